//! Units of columns, from the topic's schema through cleaning and windows to alerts; what the file says of units is held
//! to them.

use std::collections::BTreeMap;

use super::file::PipelineFile;
use super::model::{AlertSpec, CleanStepSpec, PipelineSpec, UnitSpec};
use crate::schema::TopicSchema;
use crate::stages::clean::same_unit;
use crate::stages::expression::forecast_column;
use crate::stages::window::{Function, aggregate};
use crate::vocab::{At, YamlPath};

/// Unit by column; columns without a known one are left out.
type Units = BTreeMap<String, String>;

/// A unit that contradicts what is known.
#[derive(Debug, thiserror::Error)]
enum UnitProblem {
    #[error("`{column}` is in {known} by the schema: a change from {from} to {to} leaves neither right")]
    Change { column: String, known: String, from: String, to: String },
    #[error("`{measure}` is in {known}, not in {unit}")]
    Alert { measure: String, known: String, unit: String },
    #[error("`{measure}` is in {known}, and `{unit}` is no known name of that unit")]
    AlertName { measure: String, known: String, unit: String },
}

/// As the topic's schema has them.
pub(super) fn decoded(schema: &TopicSchema) -> Units {
    let columns = schema.columns.iter();
    columns.filter_map(|column| Some((column.name.clone(), column.unit.clone()?))).collect()
}

/// After cleaning: units follow a column's name, but for steps that change one or the other.
pub(super) fn cleaned(spec: &PipelineSpec, schema: &TopicSchema) -> Units {
    let mut units = decoded(schema);
    spec.clean.iter().for_each(|step| follow(step, &mut units));
    units
}

fn follow(step: &CleanStepSpec, units: &mut Units) {
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
        CleanStepSpec::Normalise(normalise) => {
            let suffix = normalise.suffix.as_deref().unwrap_or_default();
            units.extend(normalise.columns.iter().map(|column| (format!("{column}{suffix}"), "1".to_owned())));
        }
        _ => {}
    }
}

/// Whether a step computes columns, which may get any unit under the names that they had.
fn computes(step: &CleanStepSpec) -> bool {
    matches!(step, CleanStepSpec::Sql(_) | CleanStepSpec::Custom(_))
}

/// Of a window column: that of the row column it is made from, none for a count.
pub(super) fn of_window(spec: &PipelineSpec, schema: &TopicSchema, name: &str) -> Option<String> {
    match spec.window.columns.get(name).map(|text| aggregate(text)) {
        Some(Some((Function::Count, _)) | None) => None,
        Some(Some((_, read))) => cleaned(spec, schema).remove(read?),
        // Carried along under its own name.
        None => cleaned(spec, schema).remove(name),
    }
}

/// Of what a rule measures: that of the one column or forecast that it reads; of another expression none is known.
pub(super) fn of_measure(spec: &PipelineSpec, schema: &TopicSchema, alert: &AlertSpec) -> Option<String> {
    if alert.silent_after.is_some() {
        return Some("min".to_owned());
    }
    if alert.rate_per.is_some() {
        return None;
    }
    let measure = alert.measure.as_deref()?.trim();
    let forecast = spec.predict.iter().find(|(name, predict)| {
        predict.horizons.iter().any(|horizon| forecast_column(name, horizon.micros) == measure)
    });
    of_window(spec, schema, forecast.map_or(measure, |(_, predict)| &predict.target))
}

/// Reports changes of unit and units of alerts that contradict the schema, as far as columns are not computed anew.
pub(super) fn check(file: &mut PipelineFile, spec: &PipelineSpec, schema: &TopicSchema) {
    let mut units = decoded(schema);
    for (index, step) in spec.clean.iter().enumerate() {
        if computes(step) {
            units.clear();
            continue;
        }
        if let CleanStepSpec::Unit(changes) = step {
            for (column, change) in changes {
                check_change(file, index, (column, change), units.get(column));
            }
        }
        follow(step, &mut units);
    }
    if spec.clean.iter().any(computes) {
        return;
    }
    for (name, alert) in &spec.alerts {
        check_alert(file, name, alert, of_measure(spec, schema, alert));
    }
}

fn check_alert(file: &mut PipelineFile, name: &str, alert: &AlertSpec, known: Option<String>) {
    let (Some(unit), Some(known)) = (alert.unit.clone(), known) else { return };
    let same = same_unit(&unit, &known);
    if same == Some(true) {
        return;
    }
    let hint = format!("write `unit: {known}`, with limits in it, or convert with a `unit` step under `clean`");
    let measure = alert.measure.clone().unwrap_or_else(|| "silent_after".to_owned());
    let error = match same {
        Some(_) => UnitProblem::Alert { measure, known, unit },
        None => UnitProblem::AlertName { measure, known, unit },
    };
    file.report(&At { path: YamlPath::default().key("alerts").key(name).key("unit"), error, hint: Some(hint) });
}

/// Values may come in another unit than the schema's, and be brought to it; or be brought from it to another.
fn check_change(file: &mut PipelineFile, step: usize, (column, change): (&String, &UnitSpec), known: Option<&String>) {
    let Some(known) = known else { return };
    if [&change.from, &change.to].into_iter().any(|unit| same_unit(unit, known) != Some(false)) {
        return;
    }
    let hint = format!("values in {known}: write `from: {known}`; values in {}: write `to: {known}`", change.from);
    file.report(&At {
        path: YamlPath::default().key("clean").index(step).key("unit").key(column).key("from"),
        error: UnitProblem::Change {
            column: column.clone(),
            known: known.clone(),
            from: change.from.clone(),
            to: change.to.clone(),
        },
        hint: Some(hint),
    });
}
