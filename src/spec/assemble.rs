//! What the user wrote -> the plan of each stage, in the order the data flows: each is checked against the columns that
//! the one before gives. Problems are reported to the file, which knows their places.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::DateTime;
use chrono_tz::Tz;

use super::file::PipelineFile;
use super::given;
use super::model::{
    AlertSpec, CleanStepSpec, FeatureSpec, ImputeMethod, PipelineSpec, PredictSpec, SourceSpec, TestRow, UnitSpec,
};
use super::parts::Parts;
use super::plan::EventTimePlan;
use super::steps::stateful_steps;
use super::tables::Tables;
use super::trained::{self, NetworkStart, TrainedModels};
use super::{models, normalise, suggest, tables, units};
use crate::schema::{self, TopicSchema};
use crate::stages::alert::{AlertInput, AlertPlan, AlertSettings, MeasureSettings};
use crate::stages::clean::{CleanInput, CleanPlan, CleanStep, Limits, Table, UnitChange};
use crate::stages::decode::{CsvSettings, DecodePlan, DecodeSettings, TextTimeFormat};
use crate::stages::expression::did_you_mean;
use crate::stages::features::{FeatureSettings, FeaturesInput, FeaturesPlan};
use crate::stages::predict::{PredictInput, PredictPlan, PredictorSettings};
use crate::stages::window::{WindowPlan, WindowSettings};
use crate::state::StatefulStep;
use crate::vocab::{At, MICROS_PER_SECOND, PathStep, YamlPath};

/// The plans of all stages.
pub(super) struct Stages {
    pub(super) source: SourceSpec,
    pub(super) schema: Arc<TopicSchema>,
    pub(super) decode: Arc<DecodePlan>,
    pub(super) clean: Arc<CleanPlan>,
    pub(super) window: Arc<WindowPlan>,
    pub(super) features: Arc<FeaturesPlan>,
    pub(super) predict: Arc<PredictPlan>,
    pub(super) alerts: Arc<AlertPlan>,
    pub(super) event_time: EventTimePlan,
    pub(super) stateful_steps: Vec<StatefulStep>,
    pub(super) networks: Vec<NetworkStart>,
}

/// A topic that is partitioned by nothing that it holds.
#[derive(Debug, thiserror::Error)]
#[error("`partitioned_by` names column `{column}`, which schema `{schema}` lacks")]
struct UnknownPartitionedBy {
    column: String,
    schema: String,
}

/// Plans of all stages, or `None` where one could not be made: then the file holds the reason.
pub(super) fn assemble(
    file: &mut PipelineFile,
    spec: &PipelineSpec,
    folder: &Path,
    test_tables: &BTreeMap<String, Vec<TestRow>>,
) -> Option<Stages> {
    let (name, source) = spec.sources.iter().next()?;
    let schema = topic_schema(file, name, source, folder)?;
    let decode = reported(file, DecodePlan::new(decode_settings(name, source), &schema))?;
    check_partitioned_by(file, name, source, &decode);
    given::check(file, spec, &decode);
    units::check(file, spec, &schema);
    let tables = tables::read(file, spec, folder, test_tables)?;
    let parameters = normalise::read(file, spec, folder)?;
    let (clean, cleaned) = clean(file, spec, source, (&schema, &decode), &tables.rows, &parameters);
    let settings = window_settings(spec, source);
    let columns = settings.output_columns();
    let window = cleaned.and_then(|cleaned| reported(file, WindowPlan::new(settings, &cleaned)));
    let features = features(file, spec, &columns, &tables);
    // Whatever was refused so far, the names of the windows' columns are known.
    let (trained, networks) = trained::read(file, spec, folder)?;
    let predict = features.as_ref().and_then(|features| predict(file, spec, &columns, (features, &trained)));
    let alerts = alerts(file, spec, &columns);
    let (clean, window, features, predict, alerts) = (clean?, window?, features?, predict?, alerts?);
    let stateful_steps = stateful_steps((spec, source), &tables.rows, &clean, &window, &features, &alerts);
    let event_time = EventTimePlan {
        idle_after_micros: source.event_time.idle_after.map(|span| span.micros),
        max_drift_micros: source.event_time.max_drift.micros,
    };
    Some(Stages {
        source: source.clone(),
        schema: Arc::new(schema),
        decode: Arc::new(decode),
        clean: Arc::new(clean),
        window: Arc::new(window),
        features: Arc::new(features),
        predict: Arc::new(predict),
        alerts: Arc::new(alerts),
        event_time,
        stateful_steps,
        networks,
    })
}

/// A plan, or `None` after its problems went to the file.
fn reported<T, E: std::error::Error>(file: &mut PipelineFile, made: Result<T, Vec<At<E>>>) -> Option<T> {
    match made {
        Ok(plan) => Some(plan),
        Err(problems) => {
            problems.iter().for_each(|problem| file.report(problem));
            None
        }
    }
}

pub(super) fn path(keys: &[&str]) -> YamlPath {
    YamlPath(keys.iter().map(|key| PathStep::Key((*key).to_owned())).collect())
}

pub(super) fn zone(name: Option<&String>) -> Tz {
    // The rules have refused names of no zone.
    name.and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
}

fn topic_schema(file: &mut PipelineFile, name: &str, source: &SourceSpec, folder: &Path) -> Option<TopicSchema> {
    schema::load(&source.decode.schema, folder)
        .map_err(|error| {
            let shipped: Vec<&str> = schema::shipped_names().collect();
            let near = did_you_mean(&source.decode.schema, shipped.iter().copied());
            let near = near.map(|near| format!("{near} ")).unwrap_or_default();
            let hint = format!("{near}name a shipped schema ({}) or an `.avsc` file", shipped.join(", "));
            file.report(&At { path: path(&["sources", name, "decode", "schema"]), error, hint: Some(hint) });
        })
        .ok()
}

/// A time as RFC 3339 has it, microseconds since 1970 UTC.
pub(super) fn micros(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// The column that partitions go by is read from the topic.
fn check_partitioned_by(file: &mut PipelineFile, name: &str, source: &SourceSpec, decode: &DecodePlan) {
    let columns = decode.schema().fields().iter().map(|field| field.name().as_str());
    let wanted = source.partitioned_by.as_str();
    if !columns.clone().any(|column| column == wanted) {
        let hint = suggest::hint(wanted, columns, "columns");
        let error = UnknownPartitionedBy { column: wanted.to_owned(), schema: source.decode.schema.clone() };
        file.report(&At { path: path(&["sources", name, "partitioned_by"]), error, hint });
    }
}

fn decode_settings(name: &str, source: &SourceSpec) -> DecodeSettings {
    let (decode, event_time) = (&source.decode, &source.event_time);
    DecodeSettings {
        source: name.to_owned(),
        format: decode.format,
        csv: CsvSettings {
            columns: decode.columns.clone(),
            dialect: decode.dialect(),
            decimal_comma: decode.decimal == Some(','),
            thousands: decode.thousands,
            nulls: decode.nulls.clone(),
        },
        paths: decode.paths.clone(),
        zone: decode.timezone.as_ref().and_then(|name| name.parse().ok()),
        timestamp: decode.timestamp,
        // The rules have refused what is no format.
        timestamp_format: decode.timestamp_format.as_ref().and_then(|text| TextTimeFormat::new(text).ok()),
        event_time: event_time.column.clone(),
        future_skew: event_time.future_skew().map(|span| span.micros),
        // The rules have refused what is not RFC 3339.
        latest: event_time.latest.as_ref().and_then(|text| micros(text)),
        max_bytes: decode.max_bytes as usize,
        max_depth: decode.max_depth,
    }
}

/// The plan, and the schema after it, which may be known although there is no plan.
fn clean(
    file: &mut PipelineFile,
    spec: &PipelineSpec,
    source: &SourceSpec,
    (schema, decode): (&TopicSchema, &DecodePlan),
    tables: &BTreeMap<String, Arc<Table>>,
    parameters: &BTreeMap<usize, normalise::ByColumn>,
) -> (Option<CleanPlan>, Option<SchemaRef>) {
    let limits = schema.limits().into_iter().map(|(name, (minimum, maximum))| (name, Limits { minimum, maximum }));
    let input = CleanInput {
        schema: Arc::clone(decode.schema()),
        limits: limits.collect(),
        event_time: source.event_time.column.clone(),
        partitioned_by: source.partitioned_by.clone(),
        late_micros: source.event_time.max_delay.micros.saturating_add(spec.window.size.micros),
        keys_max: spec.keys.max,
        expire_micros: spec.keys.expire_after.micros,
        keys: spec.window.key.clone(),
    };
    // The rules have refused names that nobody registered.
    let each = spec.clean.iter().enumerate();
    let steps: Option<Vec<CleanStep>> =
        each.map(|(index, step)| clean_step(step, file.parts(), parameters.get(&index))).collect();
    let Some(steps) = steps else { return (None, None) };
    match CleanPlan::new(&steps, &input, tables) {
        Ok(plan) => {
            let cleaned = Arc::clone(plan.schema());
            (Some(plan), Some(cleaned))
        }
        Err(refused) => {
            refused.errors.iter().for_each(|problem| file.report(problem));
            (None, refused.schema)
        }
    }
}

/// A step's settings; `None` for one that nobody registered.
fn clean_step(step: &CleanStepSpec, parts: &Parts, parameters: Option<&normalise::ByColumn>) -> Option<CleanStep> {
    Some(match step {
        CleanStepSpec::NullIf(conditions) => CleanStep::NullIf(conditions.clone()),
        CleanStepSpec::Range(range) => {
            let limits = range.columns.iter();
            let limits = limits
                .map(|(column, limits)| (column.clone(), Limits { minimum: limits.minimum, maximum: limits.maximum }));
            CleanStep::Range { columns: limits.collect(), otherwise: range.otherwise.unwrap_or_default() }
        }
        CleanStepSpec::Dedupe(dedupe) => {
            CleanStep::Dedupe { key: dedupe.key.clone(), within_micros: dedupe.within.micros }
        }
        CleanStepSpec::Lookup(lookup) => CleanStep::Lookup {
            table: lookup.table.clone(),
            on: lookup.on.clone(),
            columns: lookup.columns.clone(),
            missing: lookup.missing,
        },
        CleanStepSpec::Impute(impute) => match impute.method {
            ImputeMethod::Last => {
                CleanStep::Impute { columns: impute.columns.clone(), within_micros: impute.within.micros }
            }
        },
        CleanStepSpec::Normalise(spec) => CleanStep::Normalise(normalise::settings(spec, parameters)),
        CleanStepSpec::Rename(names) => CleanStep::Rename(names.clone()),
        CleanStepSpec::Filter(condition) => CleanStep::Filter(condition.clone()),
        CleanStepSpec::Cast(types) => CleanStep::Cast(types.clone()),
        CleanStepSpec::Unit(changes) => {
            let change = |change: &UnitSpec| UnitChange {
                from: change.from.clone(),
                to: change.to.clone(),
                name: change.name.clone(),
            };
            CleanStep::Unit(changes.iter().map(|(column, to)| (column.clone(), change(to))).collect())
        }
        CleanStepSpec::Sql(sql) => CleanStep::Sql(sql.clone()),
        CleanStepSpec::Custom(custom) => CleanStep::Custom {
            name: custom.name.clone(),
            settings: custom.settings.clone(),
            factory: parts.clean_steps.get(&custom.name)?.clone(),
        },
    })
}

fn window_settings(spec: &PipelineSpec, source: &SourceSpec) -> WindowSettings {
    let (window, event_time) = (&spec.window, &source.event_time);
    WindowSettings {
        size: window.size.micros,
        every: window.every.map(|every| every.micros),
        stamps: event_time.stamps,
        interval: event_time.interval.map_or(0, |span| span.micros),
        max_delay: event_time.max_delay.micros,
        key: window.key.clone(),
        columns: window.columns.clone(),
        imputed: spec.clean.iter().any(|step| matches!(step, CleanStepSpec::Impute(_))),
        carry: window.carry.clone(),
        min_count: window.min_count,
        expire_after: spec.keys.expire_after.micros,
        keys_max: spec.keys.max,
        at_end: window.at_end,
    }
}

fn features(file: &mut PipelineFile, spec: &PipelineSpec, columns: &[String], tables: &Tables) -> Option<FeaturesPlan> {
    let steps: BTreeSet<u32> = spec
        .predict
        .values()
        .flat_map(|predict| &predict.horizons)
        .filter_map(|horizon| u32::try_from(horizon.micros / spec.window.every().micros.max(1)).ok())
        .collect();
    let input = FeaturesInput {
        columns: columns.to_vec(),
        every_micros: spec.window.every().micros,
        horizon_steps: steps.into_iter().collect(),
    };
    let settings: Vec<FeatureSettings> =
        spec.features.iter().map(|feature| feature_settings(feature, tables)).collect::<Option<_>>()?;
    reported(file, FeaturesPlan::new(&settings, &input))
}

/// `None` where it names a table that is not declared, which the rules have refused.
fn feature_settings(feature: &FeatureSpec, tables: &Tables) -> Option<FeatureSettings> {
    Some(match feature {
        FeatureSpec::Lags(lags) => FeatureSettings::Lags {
            column: lags.column.clone(),
            count: lags.count,
            fill: lags.fill,
            age: lags.age,
            keep: lags.keep.clone(),
        },
        FeatureSpec::Differences(differences) => {
            FeatureSettings::Differences { column: differences.column.clone(), count: differences.count }
        }
        FeatureSpec::TimeOfDay(time) => {
            FeatureSettings::TimeOfDay { at: time.at, harmonics: time.harmonics, zone: zone(time.timezone.as_ref()) }
        }
        FeatureSpec::DayOfWeek(day) => FeatureSettings::DayOfWeek { at: day.at, zone: zone(day.timezone.as_ref()) },
        FeatureSpec::Profile(profile) => FeatureSettings::Profile {
            column: profile.column.clone(),
            period: profile.period,
            slot: profile.slot.map(|span| span.micros),
            at: profile.at,
            min_values: profile.min_values,
            smooth: profile.smooth,
            memory: profile.memory,
            zone: zone(profile.timezone.as_ref()),
        },
        FeatureSpec::Deviation(deviation) => FeatureSettings::Deviation {
            column: deviation.column.clone(),
            harmonics: deviation.harmonics,
            repeats: deviation.repeats,
        },
        FeatureSpec::Values(values) => FeatureSettings::Values { columns: values.columns.clone() },
        FeatureSpec::Missing(missing) => FeatureSettings::Missing { column: missing.column.clone() },
        FeatureSpec::Ratio(ratio) => FeatureSettings::Ratio { of: ratio.of.clone(), to: ratio.to.clone() },
        FeatureSpec::Calendar(calendar) => FeatureSettings::Calendar {
            table: Arc::clone(tables.rows.get(&calendar.table)?),
            at: calendar.at,
            zone: zone(calendar.timezone.as_ref()),
        },
        FeatureSpec::Lookup(lookup) => FeatureSettings::Lookup {
            table: Arc::clone(tables.rows.get(&lookup.table)?),
            columns: lookup.columns.clone(),
            max_age: lookup.max_age.micros,
            age: lookup.age,
            zone: lookup.timezone.as_ref().and_then(|name| name.parse().ok()),
        },
        FeatureSpec::Neighbours(neighbours) => FeatureSettings::Neighbours {
            column: neighbours.column.clone(),
            graph: Arc::clone(tables.graphs.get(&neighbours.table)?),
            direction: neighbours.direction,
            count: neighbours.count,
            of: neighbours.of,
            mean: neighbours.mean,
            max_age: neighbours.max_age.map(|span| span.micros),
        },
    })
}

fn predict(
    file: &mut PipelineFile,
    spec: &PipelineSpec,
    columns: &[String],
    (features, trained): (&FeaturesPlan, &TrainedModels),
) -> Option<PredictPlan> {
    let made =
        spec.predict.iter().map(|(name, predict)| models::predictor_settings(name, predict, file.parts(), trained));
    let settings = made.collect::<Option<Vec<PredictorSettings>>>()?;
    let input = PredictInput {
        window_columns: columns,
        measured: spec.window.columns.len(),
        size_micros: spec.window.size.micros,
        every_micros: spec.window.every().micros,
        min_count: spec.window.min_count,
        feature_columns: features.columns(),
    };
    reported(file, PredictPlan::new(&settings, &input))
}

fn alerts(file: &mut PipelineFile, spec: &PipelineSpec, columns: &[String]) -> Option<AlertPlan> {
    let made = spec.alerts.iter().map(|(name, alert)| alert_settings(name, alert, spec, file.parts()));
    let settings = made.collect::<Option<Vec<AlertSettings>>>()?;
    let horizons = |predict: &PredictSpec| predict.horizons.iter().map(|span| span.micros).collect();
    let input = AlertInput {
        key: spec.window.key.clone(),
        columns: columns.to_vec(),
        predictors: spec.predict.iter().map(|(name, predict)| (name.clone(), horizons(predict))).collect(),
        every_micros: spec.window.every().micros,
    };
    reported(file, AlertPlan::new(&settings, &input))
}

/// A rule's settings; `None` for one that watches nothing or that nobody registered, which the rules have refused.
fn alert_settings(name: &str, alert: &AlertSpec, spec: &PipelineSpec, parts: &Parts) -> Option<AlertSettings> {
    let (measure, when) = match (alert.silent_after, &alert.custom) {
        (Some(after), _) => {
            let minutes = after.micros as f64 / (60 * MICROS_PER_SECOND) as f64;
            (MeasureSettings::Silence, format!(">= {minutes}"))
        }
        (None, Some(custom)) => {
            let factory = parts.alert_rules.get(&custom.name)?.clone();
            let (name, settings) = (custom.name.clone(), custom.settings.clone());
            (MeasureSettings::Custom { name, settings, factory }, alert.when.clone()?)
        }
        (None, None) => {
            let value = alert.measure.clone()?;
            let measure = match (alert.rate_per, alert.mean_over) {
                (Some(per), _) => MeasureSettings::Rate { value, per_micros: per.micros },
                (None, Some(over)) => MeasureSettings::Mean { value, over_micros: over.micros },
                (None, None) => MeasureSettings::Value(value),
            };
            (measure, alert.when.clone()?)
        }
    };
    Some(AlertSettings {
        name: name.to_owned(),
        measure,
        when,
        clear: alert.clear.clone(),
        for_micros: alert.for_.micros,
        hold_micros: alert.hold.micros,
        expire_after_micros: alert.expire_after(spec.keys.expire_after, spec.window.every()).micros,
        key: alert.key.clone(),
        severity: alert.severity.clone(),
        severity_clear: alert.severity_clear.clone(),
        unit: alert.unit.clone(),
        source: alert.source.clone(),
        summary: alert.summary.clone(),
        summary_cleared: alert.summary_cleared.clone(),
    })
}
