//! What each stage does, a line each.

use serde::Serialize;

use super::topics::content;
use crate::spec::model::{
    AlertSpec, CleanStepSpec, FeatureSpec, ModelSpec, NormaliseSpec, Of, RangeSpec, SinkSpec, UnitSpec,
};
use crate::spec::plan::PipelinePlan;
use crate::spec::trained::Start;
use crate::vocab::duration_text;

pub(super) fn source(plan: &PipelinePlan) -> Vec<String> {
    let source = &plan.source;
    let from = match (&source.kafka, &source.file, &source.simulate, &source.custom) {
        (Some(kafka), ..) => format!(
            "kafka {} of {}, from {}, as group {}",
            kafka.topics.join(", "),
            kafka.brokers,
            kafka.start_at,
            plan.group()
        ),
        (_, Some(file), ..) => format!("file {}", file.path),
        (_, _, Some(simulate), _) => {
            let each = if simulate.corridors == 1 { String::new() } else { format!("{} x ", simulate.corridors) };
            format!("simulate {each}{} detectors for {}", simulate.detectors, simulate.length)
        }
        (.., Some(custom)) => format!("custom {}", custom.name),
        _ => "feed of the embedding program".to_owned(),
    };
    vec![from, format!("partitioned by {}", source.partitioned_by)]
}

pub(super) fn decode(plan: &PipelinePlan) -> Vec<String> {
    let (decode, time) = (&plan.source.decode, &plan.source.event_time);
    let mut lines = vec![format!("{} as {}", word(&decode.format), decode.schema)];
    lines.extend(
        decode.paths.iter().filter(|(column, path)| column != path).map(|(c, path)| format!("{c} from {path}")),
    );
    let interval = time.interval.map(|interval| format!(", at the {} of {interval}", word(&time.stamps)));
    lines.push(format!("event time {}{}, up to {} late", time.column, interval.unwrap_or_default(), time.max_delay));
    lines
}

pub(super) fn clean(plan: &PipelinePlan) -> Vec<String> {
    plan.spec.clean.iter().map(|step| clean_step(plan, step)).collect()
}

fn clean_step(plan: &PipelinePlan, step: &CleanStepSpec) -> String {
    match step {
        CleanStepSpec::NullIf(conditions) => {
            let each: Vec<String> = conditions.iter().map(|(column, sql)| format!("{column} where {sql}")).collect();
            format!("null_if {}", each.join("; "))
        }
        CleanStepSpec::Range(range) => range_step(plan, range),
        CleanStepSpec::Dedupe(dedupe) => format!("dedupe {} within {}", dedupe.key.join(", "), dedupe.within),
        CleanStepSpec::Lookup(lookup) => format!(
            "lookup {} of table {} by {}; without a match: {}",
            lookup.columns.join(", "),
            lookup.table,
            lookup.on,
            word(&lookup.missing)
        ),
        CleanStepSpec::Impute(impute) => {
            format!("impute {} by the {} within {}", impute.columns.join(", "), word(&impute.method), impute.within)
        }
        CleanStepSpec::Normalise(spec) => normalise_step(spec),
        CleanStepSpec::Rename(names) => {
            let each: Vec<String> = names.iter().map(|(old, new)| format!("{old} to {new}")).collect();
            format!("rename {}", each.join(", "))
        }
        CleanStepSpec::Filter(condition) => format!("filter {condition}"),
        CleanStepSpec::Cast(types) => {
            let each: Vec<String> = types.iter().map(|(column, to)| format!("{column} to {}", word(to))).collect();
            format!("cast {}", each.join(", "))
        }
        CleanStepSpec::Unit(changes) => {
            let one = |(column, change): (&String, &UnitSpec)| {
                let name = change.name.as_ref().map(|name| format!(" as {name}")).unwrap_or_default();
                format!("{column} from {} to {}{name}", change.from, change.to)
            };
            format!("unit {}", changes.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        CleanStepSpec::Sql(sql) => format!("sql {}", sql.split_whitespace().collect::<Vec<_>>().join(" ")),
        CleanStepSpec::Custom(custom) => format!("custom {}", custom.name),
    }
}

fn normalise_step(spec: &NormaliseSpec) -> String {
    let by = spec.by.iter().flatten().map(|column| format!(" per {column}")).collect::<String>();
    let from = match (&spec.parameters, &spec.parameters_file, spec.freeze_after) {
        (Some(_), ..) => "with the parameters given".to_owned(),
        (_, Some(path), _) => format!("with the parameters of {path}"),
        (.., Some(enough)) => format!("by the rows before{by}, up to {enough} of them"),
        _ => format!("by the rows before{by}"),
    };
    let clip = spec.clip.map(|clip| format!(", clipped at {clip}")).unwrap_or_default();
    let suffix = spec.suffix.as_ref().map(|suffix| format!(" as ...{suffix}")).unwrap_or_default();
    format!("normalise {}{suffix} to {} {from}{clip}", spec.columns.join(", "), word(&spec.method))
}

/// Limits left out are the schema's.
fn range_step(plan: &PipelinePlan, range: &RangeSpec) -> String {
    let of_schema = plan.schema.limits();
    let number = |limit: Option<f64>| limit.map_or_else(String::new, |limit| limit.to_string());
    let each: Vec<String> = range
        .columns
        .iter()
        .map(|(column, own)| {
            let (minimum, maximum) = of_schema.get(column).copied().unwrap_or_default();
            format!("{column} {}..{}", number(own.minimum.or(minimum)), number(own.maximum.or(maximum)))
        })
        .collect();
    format!("range {}; outside: {}", each.join(", "), word(&range.otherwise.unwrap_or_default()))
}

pub(super) fn window(plan: &PipelinePlan) -> Vec<String> {
    let window = &plan.spec.window;
    let every = window.every.map(|every| format!(" every {every}")).unwrap_or_default();
    let mut lines = vec![format!("{}{every} per {}", window.size, window.key.join(", "))];
    lines.extend(window.columns.iter().map(|(name, aggregate)| format!("{name} = {aggregate}")));
    lines.extend(window.carry.iter().map(|name| format!("{name} carried along")));
    lines
}

pub(super) fn features(plan: &PipelinePlan) -> Vec<String> {
    plan.spec.features.iter().map(feature).collect()
}

fn feature(feature: &FeatureSpec) -> String {
    match feature {
        FeatureSpec::Lags(lags) => format!("lags {} of {}", lags.count, lags.column),
        FeatureSpec::Differences(differences) => format!("differences {} of {}", differences.count, differences.column),
        FeatureSpec::TimeOfDay(time) => format!("time_of_day, {} harmonics", time.harmonics),
        FeatureSpec::DayOfWeek(_) => "day_of_week".to_owned(),
        FeatureSpec::Profile(profile) => format!("profile of {} by {}", profile.column, word(&profile.period)),
        FeatureSpec::Deviation(deviation) => format!("deviation of {} from its profile", deviation.column),
        FeatureSpec::Values(values) => values.columns.join(", "),
        FeatureSpec::Missing(missing) => format!("missing {}", missing.column),
        FeatureSpec::Ratio(ratio) => format!("ratio of {} to {}", ratio.of, ratio.to),
        FeatureSpec::Calendar(calendar) => format!("calendar of {}", calendar.table),
        FeatureSpec::Neighbours(neighbours) => format!(
            "neighbours of {}: {} {} of {}, {}, {}",
            neighbours.column,
            if neighbours.mean { "mean of" } else { "each of" },
            neighbours.count,
            neighbours.table,
            word(&neighbours.direction),
            if neighbours.of == Of::Deviation { "deviations" } else { "values" },
        ),
        FeatureSpec::Lookup(lookup) => {
            format!("lookup of {} in {}, at most {} old", lookup.columns.join(", "), lookup.table, lookup.max_age)
        }
    }
}

pub(super) fn predict(plan: &PipelinePlan) -> Vec<String> {
    let line = |(name, predict): (&String, &crate::spec::model::PredictSpec)| {
        let horizons: Vec<String> = predict.horizons.iter().map(ToString::to_string).collect();
        let model = model_name(&predict.model);
        let others: Vec<String> =
            predict.challengers.iter().map(|(name, model)| format!("{name} ({})", model_name(model))).collect();
        let beside = if others.is_empty() { String::new() } else { format!(", challenged by {}", others.join(", ")) };
        let effect = predict.drift.as_ref().map(|drift| format!(", watched for drift, effect {}", drift.effect.name()));
        format!(
            "{name}: {} in {} with {model}{beside}, after {} of history{}",
            predict.target,
            horizons.join(", "),
            predict.min_history,
            effect.unwrap_or_default()
        )
    };
    let starts = plan.networks.iter().filter_map(|network| match &network.start {
        Start::Version { version, data: (from, to), .. } => {
            let folder = network.folder.display();
            Some(format!("`{}` starts from {version} of `{folder}`, trained on {from} to {to}", network.place))
        }
        _ => network.note(&plan.name),
    });
    plan.spec.predict.iter().map(line).chain(starts).collect()
}

fn model_name(model: &ModelSpec) -> String {
    match model {
        ModelSpec::OnlineLinear(_) => "online_linear".to_owned(),
        ModelSpec::Mlp(_) => "mlp".to_owned(),
        ModelSpec::Ftrl(_) => "ftrl".to_owned(),
        ModelSpec::MlpClassifier(_) => "mlp_classifier".to_owned(),
        ModelSpec::Custom(custom) => custom.name.clone(),
        ModelSpec::Mix(mix) => {
            let experts: Vec<&str> = mix.experts.keys().map(String::as_str).collect();
            format!("a mix of {}", experts.join(", "))
        }
    }
}

pub(super) fn alerts(plan: &PipelinePlan) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, alert) in &plan.spec.alerts {
        let clear = alert.clear.as_ref().map(|clear| format!(", clears {clear}")).unwrap_or_default();
        let held = format!("for {}, holds {}", duration_text(alert.for_.micros), duration_text(alert.hold.micros));
        lines.push(format!("{name}: {} {held}{clear}", watched(alert)));
    }
    lines
}

/// What opens an alert of the rule: `change of level_m per 1h > 0.2`.
fn watched(alert: &AlertSpec) -> String {
    if let Some(after) = alert.silent_after {
        return format!("no readings for {after}");
    }
    let custom = alert.custom.as_ref().map(|custom| format!("custom {}", custom.name));
    let measure = alert.measure.clone().or(custom).unwrap_or_default();
    let measure = match (alert.rate_per, alert.mean_over) {
        (Some(per), _) => format!("change of {measure} per {per}"),
        (None, Some(over)) => format!("mean of {measure} over {over}"),
        (None, None) => measure,
    };
    format!("{measure} {}", alert.when.as_deref().unwrap_or_default())
}

pub(super) fn encode(plan: &PipelinePlan) -> Vec<String> {
    let declared = plan.sinks.declared().iter();
    declared.map(|(name, sink)| format!("{name}: {} as {}", content(sink.from), word(&sink.encode.format))).collect()
}

pub(super) fn sinks(plan: &PipelinePlan) -> Vec<String> {
    let to = |sink: &SinkSpec| match (&sink.kafka, &sink.folder) {
        (Some(kafka), _) => format!("kafka {}", kafka.topic),
        (None, Some(folder)) => format!("folder {}", folder.path),
        (None, None) => "memory".to_owned(),
    };
    let declared = plan.sinks.declared().iter();
    let mut lines: Vec<String> = declared.map(|(name, sink)| format!("{name}: {}", to(sink))).collect();
    lines.push(format!("delivery {}", word(&plan.delivery)));
    lines
}

/// A choice as it is spelt in the pipeline file.
fn word<T: Serialize>(choice: &T) -> String {
    serde_json::to_value(choice).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}
