//! A network of forecasts and its history -> a new version with its card, and what is told of it.
//!
//! The history is read twice: once for the rows to learn, and once more to measure the network on what was held out as a
//! pipeline would forecast with it, beside the baselines and the version that serves.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::by_key::ByKey;
use super::history::gather;
use super::reading::read;
use super::{TrainArgs, tell_not_compared, tell_standing_still};
use crate::cli::models::{now, print_errors, time_of};
use crate::cli::report::Format;
use crate::cli::usage::UsageError;
use crate::models::gate::{HELD_OUT_MIN_S, LABELS_MIN};
use crate::models::{
    Card, Compared, ForecastCard, HorizonErrors, Incomparable, Kind, Network, NotCompared, Store, Version,
};
use crate::spec::PipelinePlan;
use crate::stages::encode::time_text;
use crate::stages::predict::neural::fit::Training;
use crate::stages::predict::neural::mlp_fit::{MlpExamples, fit_mlp};
use crate::stages::predict::neural::{PretrainedMlp, TrainedMlp};
use crate::stages::predict::trainable::{Trainable, TrainableMlp};
use crate::stages::predict::{Baseline, ScoreTotal};
use crate::vocab::{EventTime, duration_text};

/// Times that a network sees every row.
const EPOCHS: u32 = 10;
/// What the network is called while it has no number.
const CANDIDATE: &str = "candidate";
/// What it is called where it is measured on what the version that serves has not seen either, and that one.
const CANDIDATE_LATER: &str = "candidate_later";
const CHAMPION: &str = "champion";

type Errors = Vec<HorizonErrors>;

/// The version that serves.
struct Champion {
    version: Version,
    /// The network, or why it is not the one that is trained.
    network: Result<Arc<PretrainedMlp>, String>,
    data_to: String,
    /// No label of this time or later was learned.
    unseen_from: EventTime,
}

/// What came of the measurement.
struct Measured {
    /// How long after the time from which on forecasts count the newest label is.
    hold_out_s: i64,
    hold_out: Errors,
    beside: Vec<Compared<Errors>>,
    not_compared: Option<NotCompared>,
}

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
    let champion = champion(plan, network, mlp, store)?;
    let rows = gather(plan, network, mlp)?;
    let Some(from) = hold_out_from(&rows, args.hold_out) else {
        bail!("no labelled rows: there is nothing to learn from, or to measure on");
    };
    let known = rows.before(from, &mlp.params.horizons_micros);
    let training = Training { epochs: args.epochs.unwrap_or(EPOCHS), seed: mlp.params.seed };
    let bar = progress(training.epochs);
    let trained = fit_mlp(mlp.params, &known, training, |_| bar.inc(1))?;
    bar.finish_and_clear();
    let measured = measure(plan, (network, mlp), (&trained, champion.as_ref()), from)?;
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
        hold_out_s: Some(measured.hold_out_s),
        hold_out: measured.hold_out,
        beside: measured.beside,
        not_compared: measured.not_compared,
    };
    let version = store.add(&Network::Forecasts(trained), Card::Forecasts(card.clone()))?;
    tell(args, store, version, &card)?;
    Ok(version)
}

/// The version that serves. Another may read other columns: it cannot be measured on these rows.
fn champion(
    plan: &PipelinePlan,
    network: &Trainable<'_>,
    mlp: &TrainableMlp<'_>,
    store: &Store,
) -> Result<Option<Champion>> {
    let Some(serves) = store.champion()? else { return Ok(None) };
    let (trained, card) = store.load_forecasts(serves)?;
    let unseen_from = time_of(&card.hold_out_from)
        .with_context(|| format!("the card of {serves} has no time: `{}`", card.hold_out_from))?;
    let target = &plan.window.output_columns()[network.target];
    let key = plan.window.key_columns();
    let other = if card.target != *target {
        Some(format!("it tells `{}`, this one `{target}`", card.target))
    } else if card.key != key {
        Some(format!("it knows keys of {}, this one of {}", card.key.join(", "), key.join(", ")))
    } else {
        None
    };
    let (version, hash, key, shape) = (serves.to_string(), card.model_hash, card.key, card.network);
    let pretrained = PretrainedMlp { version, hash, key, shape, trained };
    let network = match other.or_else(|| pretrained.difference(mlp.params, mlp.columns)) {
        Some(difference) => Err(difference),
        None => Ok(Arc::new(pretrained)),
    };
    Ok(Some(Champion { version: serves, network, data_to: card.data_to, unseen_from }))
}

/// The time from which on forecasts are held out, so that the rows made then are such a part; `None` without rows.
fn hold_out_from(rows: &MlpExamples, share: f64) -> Option<EventTime> {
    // Between none and all of them.
    let newest = (share * rows.len() as f64).round() as usize;
    rows.ends.get(rows.len().saturating_sub(newest.max(1))).copied()
}

/// How good the network is on what was held out; and the baselines and the version that serves on the same labels, that one
/// on those that it has not learned.
fn measure(
    plan: &PipelinePlan,
    (network, mlp): (&Trainable<'_>, &TrainableMlp<'_>),
    (trained, champion): (&TrainedMlp, Option<&Champion>),
    from: EventTime,
) -> Result<Measured> {
    let candidate = Arc::new(PretrainedMlp {
        version: CANDIDATE.to_owned(),
        hash: String::new(),
        key: plan.window.key_columns().to_vec(),
        shape: mlp.shape(),
        trained: trained.clone(),
    });
    let mut versions = vec![(CANDIDATE.to_owned(), Some(Arc::clone(&candidate)), from)];
    if let Some((champion, pretrained)) = champion.and_then(|one| Some((one, one.network.as_ref().ok()?))) {
        let later = champion.unseen_from.max(from);
        versions.push((CHAMPION.to_owned(), Some(Arc::clone(pretrained)), later));
        if later > from {
            versions.push((CANDIDATE_LATER.to_owned(), Some(candidate), later));
        }
    }
    let by_key = ByKey::default();
    let alone = plan.predict.of_versions(network, &versions);
    let plan = plan.clone().with_predictors(alone).with_observer(&by_key.observer());
    let summary = read(&plan, "forecasts that were held out", None)?;
    let errors = |predictor: &str, model: &str| errors(&summary.scores, predictor, model);
    let held_out = |model: &str| {
        errors(CANDIDATE, model)
            .context("no forecast that was held out has a label at every horizon: give more history, or hold out more")
    };
    let mut beside = Vec::new();
    for baseline in [Baseline::Persistence, Baseline::Profile] {
        let (model, shares) = (baseline.name(), by_key.compare_baseline(CANDIDATE, baseline));
        let (model, hold_out) = (model.to_owned(), held_out(model)?);
        beside.push(Compared { model, hold_out, own: None, standard_error: None, by_key: shares });
    }
    let hold_out_s = held_out_s(&by_key, CANDIDATE, from);
    let mut measured = Measured { hold_out_s, hold_out: held_out(CANDIDATE)?, beside, not_compared: None };
    if let Some(champion) = champion {
        let later = versions.iter().any(|(name, ..)| name == CANDIDATE_LATER);
        match champion.beside(&summary.scores, &by_key, later) {
            Ok(compared) => measured.beside.push(compared),
            Err(why) => measured.not_compared = Some(NotCompared { version: champion.version, why }),
        }
    }
    Ok(measured)
}

impl Champion {
    /// How good it is on what it has not learned, and the network that was trained now on the same; `later` where that is less than
    /// all that was held out.
    fn beside(&self, scores: &[ScoreTotal], by_key: &ByKey, later: bool) -> Result<Compared<Errors>, Incomparable> {
        if let Err(difference) = &self.network {
            return Err(Incomparable::Different { difference: difference.clone() });
        }
        let too_few = |rows| Incomparable::TooFewRows { rows, data_to: self.data_to.clone() };
        let hold_out = errors(scores, CHAMPION, CHAMPION).ok_or_else(|| too_few(0))?;
        let fewest = hold_out.iter().map(|one| one.count).min().unwrap_or_default();
        // Of all that was held out this is asked before a version is promoted.
        if later && (fewest < LABELS_MIN || held_out_s(by_key, CHAMPION, self.unseen_from) < HELD_OUT_MIN_S) {
            return Err(too_few(fewest));
        }
        let own =
            later.then(|| errors(scores, CANDIDATE_LATER, CANDIDATE_LATER).ok_or_else(|| too_few(0))).transpose()?;
        let by_key = by_key.compare(if later { CANDIDATE_LATER } else { CANDIDATE }, CHAMPION);
        Ok(Compared { model: self.version.to_string(), hold_out, own, standard_error: None, by_key })
    }
}

/// How long after a time the newest label of a version's forecasts is, seconds.
fn held_out_s(by_key: &ByKey, version: &str, from: EventTime) -> i64 {
    by_key.newest(version).map_or(0, |to| (to.0 - from.0) / 1_000_000)
}

/// Errors by horizon; `None` where a horizon has no labels.
fn errors(scores: &[ScoreTotal], predictor: &str, model: &str) -> Option<Errors> {
    let own = scores.iter().filter(|score| score.predictor == predictor && score.model == model);
    let one = |score: &ScoreTotal| {
        let (mae, rmse) = (score.sums.mae()?, score.sums.rmse()?);
        Some(HorizonErrors { horizon: duration_text(score.horizon_micros), count: score.sums.count, mae, rmse })
    };
    let errors: Errors = own.map(one).collect::<Option<_>>()?;
    (!errors.is_empty()).then_some(errors)
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
    let all = card.beside.iter().filter(|compared| compared.own.is_none());
    let beside = all.map(|compared| (compared.model.clone(), compared.hold_out.clone()));
    let rows: Vec<_> = [(version.to_string(), card.hold_out.clone())].into_iter().chain(beside).collect();
    print_errors("held out", &rows);
    for compared in &card.beside {
        if let Some(own) = &compared.own {
            let both = [(version.to_string(), own.clone()), (compared.model.clone(), compared.hold_out.clone())];
            print_errors(&format!("not seen by {}", compared.model), &both);
        }
    }
    card.beside.iter().for_each(|compared| tell_standing_still(&compared.model));
    tell_not_compared(version, card.not_compared.as_ref());
    Ok(())
}
