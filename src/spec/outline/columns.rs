//! The columns after each stage, with their types and units.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};

use super::ColumnOutline;
use crate::schema::type_name;
use crate::spec::model::{AlertSpec, CleanStepSpec, UnitSpec};
use crate::spec::plan::PipelinePlan;
use crate::stages::expression::forecast_column;
use crate::stages::window::{Function, aggregate};
use crate::vocab::duration_text;

/// What windows, features and forecasts hold.
const NUMBER: DataType = DataType::Float64;

pub(super) fn decoded(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    rows(plan.decode.schema(), &decoded_units(plan))
}

pub(super) fn cleaned(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    rows(plan.clean.schema(), &cleaned_units(plan))
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
    let values = plan.window.output_columns().iter().map(|name| column(name, &NUMBER, window_unit(plan, name)));
    key.chain([end, rows]).chain(values).collect()
}

/// The unit of a window column: that of the row column it is made from, none for a count.
fn window_unit(plan: &PipelinePlan, name: &str) -> Option<String> {
    match plan.spec.window.columns.get(name).map(|text| aggregate(text)) {
        Some(Some((Function::Count, _)) | None) => None,
        Some(Some((_, read))) => cleaned_units(plan).remove(read?),
        // Carried along under its own name.
        None => cleaned_units(plan).remove(name),
    }
}

pub(super) fn features(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    let made = plan.features.columns().iter().map(|feature| {
        let unit = feature.in_units_of().and_then(|window_column| window_unit(plan, window_column));
        let ahead = feature.horizon_steps.map(|steps| duration_text(i64::from(steps) * plan.window.every()));
        let name = ahead.map_or_else(|| feature.name.clone(), |ahead| format!("{} at +{ahead}", feature.name));
        column(&name, &NUMBER, unit)
    });
    made.collect()
}

pub(super) fn forecasts(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    let mut columns = Vec::new();
    for (name, predict) in &plan.spec.predict {
        let unit = window_unit(plan, &predict.target);
        let names = predict.horizons.iter().map(|horizon| forecast_column(name, horizon.micros));
        columns.extend(names.map(|name| column(&name, &NUMBER, unit.clone())));
    }
    columns
}

/// A rule's unit is what it declares, minutes of silence, or that of the one column that it measures; of another
/// expression none is known.
pub(super) fn measures(plan: &PipelinePlan) -> Vec<ColumnOutline> {
    let known: Vec<ColumnOutline> = windows(plan).into_iter().chain(forecasts(plan)).collect();
    let unit_of = |measure: &str| known.iter().find(|column| column.name == measure.trim())?.unit.clone();
    let unit = |alert: &AlertSpec| match (&alert.unit, &alert.measure) {
        (Some(unit), _) => Some(unit.clone()),
        (None, _) if alert.silent_after.is_some() => Some("min".to_owned()),
        (None, Some(measure)) if alert.rate_per.is_none() => unit_of(measure),
        _ => None,
    };
    plan.spec.alerts.iter().map(|(name, alert)| column(name, &NUMBER, unit(alert))).collect()
}

fn column(name: &str, kind: &DataType, unit: Option<String>) -> ColumnOutline {
    ColumnOutline { name: name.to_owned(), kind: type_name(kind), unit }
}

/// Unit by column, as the topic's schema has them.
fn decoded_units(plan: &PipelinePlan) -> BTreeMap<String, String> {
    let columns = plan.schema.columns.iter();
    columns.filter_map(|column| Some((column.name.clone(), column.unit.clone()?))).collect()
}

/// The same after cleaning: units follow a column's name, but for steps that change one or the other.
fn cleaned_units(plan: &PipelinePlan) -> BTreeMap<String, String> {
    let mut units = decoded_units(plan);
    for step in &plan.spec.clean {
        match step {
            CleanStepSpec::Rename(names) => {
                let moved: Vec<_> = names.iter().map(|(old, new)| (new.clone(), units.remove(old))).collect();
                units.extend(moved.into_iter().filter_map(|(name, unit)| Some((name, unit?))));
            }
            CleanStepSpec::Unit(changes) => {
                changes.keys().for_each(|column| drop(units.remove(column)));
                let new = |(column, change): (&String, &UnitSpec)| {
                    (change.name.clone().unwrap_or_else(|| column.clone()), change.to.clone())
                };
                units.extend(changes.iter().map(new));
            }
            _ => {}
        }
    }
    units
}
