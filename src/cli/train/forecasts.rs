//! A network of forecasts and its history -> a new version with its card, and what is told of it.
//!
//! The history is read twice: once for the rows to learn, and once more to measure the network on what was held out as a
//! pipeline would forecast with it, beside the baselines and the version that serves.

use std::sync::Arc;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::TrainArgs;
use super::history::gather;
use crate::cli::models::{now, print_errors};
use crate::cli::report::Format;
use crate::cli::run::shutdown_signal;
use crate::cli::usage::UsageError;
use crate::models::{Card, Compared, ForecastCard, HorizonErrors, Kind, Network, Store, Version};
use crate::runtime::Pipeline;
use crate::spec::PipelinePlan;
use crate::stages::encode::time_text;
use crate::stages::predict::Baseline;
use crate::stages::predict::neural::fit::Training;
use crate::stages::predict::neural::mlp_fit::{MlpExamples, fit_mlp};
use crate::stages::predict::neural::{PretrainedMlp, TrainedMlp};
use crate::stages::predict::trainable::{Trainable, TrainableMlp};
use crate::vocab::{EventTime, duration_text};

/// Times that a network sees every row.
const EPOCHS: u32 = 10;
/// What the network is called while it has no number.
const CANDIDATE: &str = "candidate";

type Errors = Vec<HorizonErrors>;

/// Trains and measures the network and adds it to the store.
pub(super) fn train(
    args: &TrainArgs,
    plan: &PipelinePlan,
    network: &Trainable<'_>,
    mlp: &TrainableMlp<'_>,
    store: &Store,
) -> Result<Version> {
    if args.folds.is_some() {
        return Err(UsageError::FoldsOfForecasts.into());
    }
    store.check_kind(Kind::Mlp)?;
    let champion = champion(store, mlp)?;
    let rows = gather(plan, network, mlp)?;
    let Some(from) = hold_out_from(&rows, args.hold_out) else {
        bail!("no labelled rows: there is nothing to learn from, or to measure on");
    };
    let known = rows.before(from, &mlp.params.horizons_micros);
    let training = Training { epochs: args.epochs.unwrap_or(EPOCHS), seed: mlp.params.seed };
    let bar = progress(training.epochs);
    let trained = fit_mlp(mlp.params, &known, training, |_| bar.inc(1))?;
    bar.finish_and_clear();
    let (hold_out, beside) = measure(plan, network, mlp, (&trained, champion), from)?;
    let card = ForecastCard {
        model: Kind::Mlp,
        pipeline: plan.name.clone(),
        predictor: network.place.predictor.to_owned(),
        target: plan.window.output_columns()[network.target].clone(),
        key: plan.window.key_columns().to_vec(),
        keys: trained.keys.len() as u64,
        network: mlp.shape(),
        training,
        trained_at: now(),
        arterial_version: env!("CARGO_PKG_VERSION").to_owned(),
        data_from: known.ends.first().map(|end| time_text(*end)).unwrap_or_default(),
        data_to: known.ends.last().map(|end| time_text(*end)).unwrap_or_default(),
        rows: known.len() as u64,
        data_hash: known.hash(),
        // The store writes the weights, and so knows.
        model_hash: String::new(),
        hold_out_from: time_text(from),
        hold_out,
        beside,
    };
    let version = store.add(&Network::Forecasts(trained), Card::Forecasts(card.clone()))?;
    tell(args, store, version, &card)?;
    Ok(version)
}

/// The version that serves, where it can be measured: another may read other columns, and so not be replaced by this one.
fn champion(store: &Store, mlp: &TrainableMlp<'_>) -> Result<Option<Arc<PretrainedMlp>>> {
    let Some(serves) = store.champion()? else { return Ok(None) };
    let (trained, card) = store.load_forecasts(serves)?;
    let (version, hash, key, shape) = (serves.to_string(), card.model_hash, card.key, card.network);
    let pretrained = PretrainedMlp { version, hash, key, shape, trained };
    Ok(pretrained.difference(mlp.params, mlp.columns).is_none().then(|| Arc::new(pretrained)))
}

/// The time from which on forecasts are held out, so that the rows made then are such a part; `None` without rows.
fn hold_out_from(rows: &MlpExamples, share: f64) -> Option<EventTime> {
    // Between none and all of them.
    let newest = (share * rows.len() as f64).round() as usize;
    rows.ends.get(rows.len().saturating_sub(newest.max(1))).copied()
}

/// How good the network is on what was held out; and the baselines and the version that serves on the same labels.
fn measure(
    plan: &PipelinePlan,
    network: &Trainable<'_>,
    mlp: &TrainableMlp<'_>,
    (trained, champion): (&TrainedMlp, Option<Arc<PretrainedMlp>>),
    from: EventTime,
) -> Result<(Errors, Vec<Compared<Errors>>)> {
    let candidate = PretrainedMlp {
        version: CANDIDATE.to_owned(),
        hash: String::new(),
        key: plan.window.key_columns().to_vec(),
        shape: mlp.shape(),
        trained: trained.clone(),
    };
    let mut versions = vec![(CANDIDATE.to_owned(), Some(Arc::new(candidate)))];
    versions.extend(champion.map(|pretrained| (pretrained.version.clone(), Some(pretrained))));
    let plan = plan.clone().with_predictors(plan.predict.of_versions(network, &versions, from));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let summary = runtime.block_on(Pipeline::evaluation(&plan)?.run(shutdown_signal()))?;
    let errors = |predictor: &str, model: &str| -> Result<Errors> {
        let mut errors = Vec::new();
        for score in summary.scores.iter().filter(|score| score.predictor == predictor && score.model == model) {
            let horizon = duration_text(score.horizon_micros);
            let (Some(mae), Some(rmse)) = (score.sums.mae(), score.sums.rmse()) else {
                bail!("no forecast that was held out has a label {horizon} later: give more history, or hold out more")
            };
            errors.push(HorizonErrors { horizon, count: score.sums.count, mae, rmse });
        }
        Ok(errors)
    };
    let mut beside = Vec::new();
    for model in [Baseline::Persistence.name(), Baseline::Profile.name()] {
        beside.push(Compared { model: model.to_owned(), hold_out: errors(CANDIDATE, model)? });
    }
    for (version, _) in &versions[1..] {
        beside.push(Compared { model: version.clone(), hold_out: errors(version, version)? });
    }
    Ok((errors(CANDIDATE, CANDIDATE)?, beside))
}

/// A bar on the terminal; nothing elsewhere.
fn progress(epochs: u32) -> ProgressBar {
    let bar = ProgressBar::new(u64::from(epochs));
    // A template that is wrong would show the plain bar.
    if let Ok(style) = ProgressStyle::with_template("training {bar:40} {pos}/{len} epochs, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn tell(args: &TrainArgs, store: &Store, version: Version, card: &ForecastCard) -> Result<()> {
    if args.format == Format::Json {
        // As it was written: with the hash of the weights.
        let mut json = serde_json::to_value(store.card(version)?)?;
        json["version"] = version.to_string().into();
        say!("{}", serde_json::to_string_pretty(&json)?);
        return Ok(());
    }
    say!(
        "{}: {} rows of {} keys, {} to {}, {} epochs; forecasts from {} on held out",
        store.folder().join(version.to_string()).display(),
        card.rows,
        card.keys,
        card.data_from,
        card.data_to,
        card.training.epochs,
        card.hold_out_from,
    );
    let beside = card.beside.iter().map(|compared| (compared.model.clone(), compared.hold_out.clone()));
    let rows: Vec<_> = [(version.to_string(), card.hold_out.clone())].into_iter().chain(beside).collect();
    print_errors("held out", &rows);
    Ok(())
}
