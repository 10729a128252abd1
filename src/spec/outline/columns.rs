//! The columns after each stage, with their types and units.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};

use super::ColumnOutline;
use crate::schema::type_name;
use crate::spec::model::AlertSpec;
use crate::spec::plan::PipelinePlan;
use crate::spec::units;
use crate::stages::expression::forecast_column;
use crate::vocab::duration_text;

/// What windows, features and forecasts hold.
const NUMBER: DataType = DataType::Float64;

pub(super) fn decoded(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    rows(plan.decode.schema(), &units::decoded(&plan.schema))
}

pub(super) fn cleaned(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    rows(plan.clean.schema(), &units::cleaned(&plan.spec, &plan.schema))
}

fn rows(schema: &Schema, units: &BTreeMap<String, String>) -> Vec<ColumnOutline> {
    let column = |name: &str, kind: &DataType| column(name, kind, units.get(name).cloned());
    schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect()
}

/// Key columns are text in windows, whatever they are in rows.
pub(super) fn windows(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    let key = plan.window.key_columns().iter().map(|name| column(name, &DataType::Utf8, None));
    let end = ColumnOutline { name: "window_end".to_owned(), kind: "timestamp".to_owned(), unit: None };
    let rows = column("rows", &DataType::Int64, None);
    let values = plan
        .window
        .output_columns()
        .iter()
        .map(|name| column(name, &NUMBER, units::of_window(&plan.spec, &plan.schema, name)));
    key.chain([end, rows]).chain(values).collect()
}

pub(super) fn features(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    let made = plan.features.columns().iter().map(|feature| {
        let unit =
            feature.in_units_of().and_then(|window_column| units::of_window(&plan.spec, &plan.schema, window_column));
        let ahead = feature.horizon_steps.map(|steps| duration_text(i64::from(steps) * plan.window.every()));
        let name = ahead.map_or_else(|| feature.name.clone(), |ahead| format!("{} at +{ahead}", feature.name));
        column(&name, &NUMBER, unit)
    });
    made.collect()
}

pub(super) fn forecasts(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    let mut columns = Vec::new();
    for (name, predict) in &plan.spec.predict {
        let unit = units::of_window(&plan.spec, &plan.schema, &predict.target);
        let names = predict.horizons.iter().map(|horizon| forecast_column(name, horizon.micros));
        columns.extend(names.map(|name| column(&name, &NUMBER, unit.clone())));
    }
    columns
}

/// A rule's unit is what it declares, else that of what it measures.
pub(super) fn measures(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    let unit = |alert: &AlertSpec| alert.unit.clone().or_else(|| units::of_measure(&plan.spec, &plan.schema, alert));
    plan.spec.alerts.iter().map(|(name, alert)| column(name, &NUMBER, unit(alert))).collect()
}

fn column(name: &str, kind: &DataType, unit: Option<String>) -> ColumnOutline {
    ColumnOutline { name: name.to_owned(), kind: type_name(kind), unit }
}
