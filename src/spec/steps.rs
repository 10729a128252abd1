//! The plans of all stages -> the steps that keep state: what it is made with, and from the state of which others.

use std::collections::BTreeMap;
use std::sync::Arc;

use arterial_connectors::csv::CsvDialect;

use super::model::{
    CleanStepSpec, DetectorSpec, DriftSpec, ExpertSpec, FeatureSpec, IntervalsSpec, MixSpec, MlpClassifierSpec,
    MlpSpec, ModelSpec, OnChange, OnlineLinearSpec, PipelineSpec, PredictSpec, ReplaySpec, SourceSpec, Span,
};
use crate::stages::alert::AlertPlan;
use crate::stages::clean::{CleanPlan, Table};
use crate::stages::features::FeaturesPlan;
use crate::stages::predict::drift::step_of;
use crate::stages::predict::{ComparedBy, Task, contest};
use crate::stages::window::{Watermark, WindowPlan};
use crate::state::{StatefulStep, TABLE_PREFIX};
use crate::vocab::{MadeWith, to_json};

/// Stateful steps in the order the data flows.
pub(super) fn stateful_steps(
    (spec, source): (&PipelineSpec, &SourceSpec),
    tables: &BTreeMap<String, Arc<Table>>,
    clean: &CleanPlan,
    window: &WindowPlan,
    features: &FeaturesPlan,
    alerts: &AlertPlan,
) -> Vec<StatefulStep> {
    let names = |steps: &[MadeWith]| steps.iter().map(|step| step.step.clone()).collect::<Vec<_>>();
    let (watermark, windows) = ([Watermark::made_with(window)], [windows_made_with(clean, window)]);
    let (looked_up, as_of) = (tables_read_by_rows(spec), tables_read_by_features(spec));
    let read = |of: &[&str]| of.iter().map(|name| table_step(name)).collect::<Vec<_>>();
    let mut all: Vec<StatefulStep> = tables
        .iter()
        .filter(|(name, _)| looked_up.iter().chain(&as_of).any(|read| read == name))
        .map(|(name, table)| {
            StatefulStep::stateless(&made_with_table(table), spec.tables[name].on_change == OnChange::Keep)
        })
        .collect();
    let rows = [decoded_with(source), cleaned_with(&spec.clean)];
    all.extend(rows.iter().map(|made_with| StatefulStep::stateless(made_with, false)));
    all.extend(clean.stateful_steps().map(|made_with| StatefulStep::new(made_with, names(&rows))));
    all.push(StatefulStep::new(&watermark[0], names(&rows[..1])));
    let scaled: Vec<String> = clean.scaling_steps().map(|made_with| made_with.step.clone()).collect();
    all.push(StatefulStep::new(&windows[0], [names(&rows), names(&watermark), read(&looked_up), scaled].concat()));
    let looked_back = features.made_with();
    all.extend(looked_back.iter().map(|made_with| StatefulStep::new(made_with, names(&windows))));
    let models: Vec<MadeWith> = spec.predict.iter().map(|(name, predict)| learned_with(name, predict, spec)).collect();
    let made_from = [names(&windows), names(&looked_back), read(&as_of)].concat();
    all.extend(models.iter().map(|made_with| StatefulStep::new(made_with, made_from.clone())));
    for (name, drift) in spec.predict.iter().filter_map(|(name, predict)| Some((name, predict.drift.as_ref()?))) {
        // Of the predictor's errors: without its models they would be of others.
        all.push(StatefulStep::new(
            &watched_with(name, drift),
            [made_from.clone(), vec![predictor_step(name)]].concat(),
        ));
    }
    all.extend(contested(spec, &made_from));
    for (rule, made_with) in alerts.rules().iter().zip(alerts.stateful_steps()) {
        let mut made_from = names(&windows);
        let read = rule.forecasts_read().iter().filter_map(|(predictor, _)| models.get(*predictor));
        made_from.extend(read.map(|model| model.step.clone()));
        all.push(StatefulStep::new(made_with, made_from));
    }
    all
}

/// With what values are scaled by: those on another scale would stand beside those of the windows before.
fn windows_made_with(clean: &CleanPlan, window: &WindowPlan) -> MadeWith {
    let mut made_with = window.made_with();
    for scale in clean.scales() {
        made_with.meaning.push_str(" scaled ");
        made_with.meaning.push_str(scale);
    }
    made_with
}

/// Which layout the state of predictors has: what was written in another one cannot be read. 2: moments of columns that were
/// constant, means of feature experts.
const PREDICTOR_LAYOUT: u32 = 2;

fn predictor_step(name: &str) -> String {
    format!("predict.{name}")
}

/// Which detector it is, and whose day: how eager it is and what it does may change under what it has seen.
fn watched_with(predictor: &str, drift: &DriftSpec) -> MadeWith {
    let detector = match drift.detector {
        DetectorSpec::Adwin(_) => "adwin",
        DetectorSpec::PageHinkley(_) => "page_hinkley",
    };
    MadeWith { step: step_of(predictor), meaning: json_text(&(detector, &drift.timezone)), settings: json_text(drift) }
}

/// Challengers, which may come and go beside the predictor's own model, and who serves.
fn contested(spec: &PipelineSpec, made_from: &[String]) -> Vec<StatefulStep> {
    let mut steps = Vec::new();
    for (name, predict) in spec.predict.iter().filter(|(_, predict)| !predict.challengers.is_empty()) {
        let mut learned_from = vec![predictor_step(name)];
        for (challenger, model) in &predict.challengers {
            let own = PredictSpec { model: model.clone(), ..predict.clone() };
            let step = contest::plan::challenger_step(name, challenger);
            learned_from.push(step.clone());
            let made_with = MadeWith { step, ..learned_with(name, &own, spec) };
            steps.push(StatefulStep::new(&made_with, made_from.to_vec()));
        }
        // Who serves is a decision, and stays one whatever becomes of the models' state.
        let settings = json_text(&predict.champion);
        let served = MadeWith { step: contest::step_of(name), meaning: String::new(), settings };
        steps.push(StatefulStep::new(&served, Vec::new()));
        let by = predict.promotion.as_ref().and_then(|promotion| promotion.by);
        let by = by.unwrap_or_else(|| ComparedBy::usual(predict.task == Task::Classification));
        let compared = MadeWith {
            step: contest::days_step_of(name),
            // The third layout: what errors are usual of each key, and losses in those.
            meaning: format!("{} 3", by.name()),
            settings: json_text(&predict.promotion),
        };
        steps.push(StatefulStep::new(&compared, learned_from));
    }
    steps
}

fn table_step(name: &str) -> String {
    format!("{TABLE_PREFIX}{name}")
}

/// A table has no state of its own; what is made from it has.
fn made_with_table(table: &Table) -> MadeWith {
    MadeWith { step: table_step(table.name()), meaning: table.hash().to_owned(), settings: String::new() }
}

/// Where values and times stand in a payload and how they are written: read otherwise they are others.
fn decoded_with(source: &SourceSpec) -> MadeWith {
    let (decode, time) = (&source.decode, &source.event_time);
    let times = (&time.column, &decode.timestamp, &decode.timestamp_format, &decode.timezone);
    let CsvDialect { delimiter, quote } = decode.dialect();
    let cells = (decode.format, &decode.columns, delimiter, quote, decode.decimal.unwrap_or('.'));
    let meaning = (times, &decode.paths, cells);
    MadeWith { step: "decode".to_owned(), meaning: json_text(&meaning), settings: json_text(decode) }
}

/// Steps without state. Some make other values of values; the rest take some away or add columns.
fn cleaned_with(steps: &[CleanStepSpec]) -> MadeWith {
    use CleanStepSpec::{Cast, Custom, Dedupe, Impute, Normalise, Rename, Sql, Unit};
    let stateless = steps.iter().filter(|step| !matches!(step, Custom(_) | Dedupe(_) | Impute(_) | Normalise(_)));
    let makes = |step: &&CleanStepSpec| matches!(step, Cast(_) | Rename(_) | Sql(_) | Unit(_));
    let meaning: Vec<&CleanStepSpec> = stateless.clone().filter(makes).collect();
    let settings: Vec<&CleanStepSpec> = stateless.collect();
    MadeWith { step: "clean".to_owned(), meaning: json_text(&meaning), settings: json_text(&settings) }
}

fn json_text(value: &impl serde::Serialize) -> String {
    String::from_utf8_lossy(&to_json(value)).into_owned()
}

fn tables_read_by_rows(spec: &PipelineSpec) -> Vec<&str> {
    let steps = spec.clean.iter();
    steps
        .filter_map(|step| if let CleanStepSpec::Lookup(one) = step { Some(one.table.as_str()) } else { None })
        .collect()
}

fn tables_read_by_features(spec: &PipelineSpec) -> Vec<&str> {
    let mut tables = Vec::new();
    for feature in &spec.features {
        match feature {
            FeatureSpec::Calendar(calendar) => tables.push(calendar.table.as_str()),
            FeatureSpec::Lookup(lookup) => tables.push(lookup.table.as_str()),
            FeatureSpec::Neighbours(neighbours) => tables.push(neighbours.table.as_str()),
            _ => {}
        }
    }
    tables
}

/// Everything that a predictor learns from and with. How it goes on learning, and where forecasts and scores are cut
/// off, may change under what it has learned.
fn learned_with(name: &str, predict: &PredictSpec, spec: &PipelineSpec) -> MadeWith {
    // Only its author knows which settings the state of a custom model goes on under.
    let model = match predict.model.clone() {
        ModelSpec::OnlineLinear(linear) => ModelSpec::OnlineLinear(linear_learned_with(linear)),
        ModelSpec::Mlp(mlp) => ModelSpec::Mlp(mlp_learned_with(mlp)),
        model @ (ModelSpec::Custom(_) | ModelSpec::Ftrl(_)) => model,
        ModelSpec::MlpClassifier(network) => ModelSpec::MlpClassifier(classifier_learned_with(network)),
        ModelSpec::Mix(mut mix) => {
            for expert in mix.experts.values_mut() {
                match expert {
                    ExpertSpec::OnlineLinear(linear) => *linear = linear_learned_with(linear.clone()),
                    ExpertSpec::Mlp(mlp) => *mlp = mlp_learned_with(mlp.clone()),
                    ExpertSpec::MlpClassifier(network) => *network = classifier_learned_with(network.clone()),
                    ExpertSpec::Ftrl(_) | ExpertSpec::Feature(_) | ExpertSpec::Custom(_) => {}
                }
            }
            // How weights follow evidence is no part of what was seen.
            ModelSpec::Mix(MixSpec { rate: 0.0, forgetting: 0.0, floor: 0.0, shared: 0.0, ..mix })
        }
    };
    let meant = PredictSpec {
        model,
        // What is promised may change, not whether.
        intervals: predict.intervals.as_ref().map(|intervals| IntervalsSpec { coverage: 0.0, ..intervals.clone() }),
        // These have states of their own.
        drift: None,
        challengers: BTreeMap::new(),
        champion: None,
        promotion: None,
        explain: false,
        minimum: None,
        maximum: None,
        threshold: None,
        score_from: None,
        score_by: crate::stages::predict::ScoreBy::default(),
        ..predict.clone()
    };
    MadeWith {
        step: predictor_step(name),
        meaning: json_text(&(&meant, &spec.features, spec.window.every(), PREDICTOR_LAYOUT)),
        settings: json_text(&PredictSpec {
            challengers: BTreeMap::new(),
            champion: None,
            promotion: None,
            ..predict.clone()
        }),
    }
}

/// A network's settings without those that say how it goes on learning. The rows that it remembers of a window are as
/// many as they were.
fn mlp_learned_with(mlp: MlpSpec) -> MlpSpec {
    let MlpSpec { dropout, loss, steps, batch, learning_rate, weight_decay, average, seed, online, .. } =
        MlpSpec::default();
    let replay = ReplaySpec { rows: 0, mean_age: Span::default(), ..mlp.replay };
    // Its state says which trained version it went on from, and a restore compares that: not where the folder is.
    let mlp = MlpSpec { artefact: None, ..mlp };
    MlpSpec { dropout, loss, steps, batch, learning_rate, weight_decay, average, seed, online, replay, ..mlp }
}

/// The same of a network of classes.
fn classifier_learned_with(network: MlpClassifierSpec) -> MlpClassifierSpec {
    let MlpClassifierSpec { features, hidden, min_labels, replay, .. } = network;
    MlpClassifierSpec { features, hidden, min_labels, replay, ..MlpClassifierSpec::default() }
}

/// A linear model's settings without those that say how it goes on learning.
fn linear_learned_with(linear: OnlineLinearSpec) -> OnlineLinearSpec {
    let usual = OnlineLinearSpec::default();
    let (forgetting, loss, huber_delta, trace_max) = (usual.forgetting, usual.loss, usual.huber_delta, usual.trace_max);
    OnlineLinearSpec { forgetting, loss, huber_delta, trace_max, ..linear }
}
