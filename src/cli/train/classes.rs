//! A network of classes and its history -> a new version with its card, and what is told of it.

use anyhow::{Context, Result, bail};

use super::gather::{History, gather};
use super::trial::{Champion, Trial, compare};
use super::{TrainArgs, tell_not_compared, tell_standing_still};
use crate::cli::models::{now, print_evaluations, time_of};
use crate::cli::report::Format;
use crate::models::{Card, ClassCard, Kind, Network, REGRESSION, Store, Version};
use crate::spec::PipelinePlan;
use crate::stages::encode::time_text;
use crate::stages::predict::neural::fit::{Evaluation, Training};
use crate::stages::predict::trainable::{Trainable, TrainableClassifier};

/// Times that a network sees every row.
const EPOCHS: u32 = 30;

/// Trains and measures the network and adds it to the store.
pub(super) fn train(
    args: &TrainArgs,
    plan: &PipelinePlan,
    named: &Trainable<'_>,
    network: &TrainableClassifier<'_>,
    store: &Store,
) -> Result<Version> {
    store.check_kind(Kind::MlpClassifier)?;
    let history = gather(plan, named.place.predictor, network)?;
    let (known, held_out) = history.split(args.hold_out);
    if let Some(why) = known.teaches_nothing().or_else(|| held_out.teaches_nothing()) {
        bail!("{} labelled rows, of which {} are held out: {why}", history.len(), held_out.len());
    }
    let training = Training { epochs: args.epochs.unwrap_or(EPOCHS), seed: network.params.seed };
    let trial = Trial { network, training, folds: args.folds.map(|folds| (folds, args.repeats)) };
    let features: Vec<String> = network.columns.iter().map(|(_, column)| column.name.clone()).collect();
    let target = plan.window.output_columns()[named.target].clone();
    let champion = champion(store, (&features, &target), (&known, &held_out))?;
    let outcome = compare(&trial, &history.examples, (&known.examples, &held_out.examples), champion.as_ref())?;
    let card = ClassCard {
        pipeline: plan.name.clone(),
        predictor: named.place.predictor.to_owned(),
        target,
        features,
        hidden: network.params.hidden.clone(),
        training,
        trained_at: now(),
        arterial_version: env!("CARGO_PKG_VERSION").to_owned(),
        data_from: known.times.first().map(|time| time_text(*time)).unwrap_or_default(),
        data_to: known.times.last().map(|time| time_text(*time)).unwrap_or_default(),
        rows: known.len() as u64,
        positives: known.positives(),
        data_hash: known.hash(),
        // The store writes the weights, and so knows.
        model_hash: String::new(),
        threshold: network.threshold,
        hold_out: outcome.hold_out,
        beside: outcome.beside,
        not_compared: outcome.not_compared,
        not_fitted: outcome.not_fitted,
        cross_validation: outcome.cross_validation.mean(),
    };
    let version = store.add(&Network::Classes(outcome.trained), Card::Classes(card.clone()))?;
    tell(args, store, (version, card), &history, outcome.cross_validation.both())?;
    Ok(version)
}

/// The version that serves, whether it is the same network, and which of the rows held out it has not seen.
fn champion(
    store: &Store,
    (features, target): (&[String], &str),
    (known, held_out): (&History, &History),
) -> Result<Option<Champion>> {
    let Some(version) = store.champion()? else { return Ok(None) };
    let (network, card) = store.load_classes(version)?;
    let difference = if card.target != target {
        Some(format!("it tells `{}`, this one `{target}`", card.target))
    } else if card.features != features {
        Some(format!("it reads {}; this one {}", card.features.join(", "), features.join(", ")))
    } else {
        None
    };
    // The same rows were known then: what is held out now was held out then. Else only what came later was not.
    let unseen = if card.data_hash == known.hash() {
        (0..held_out.len()).collect()
    } else {
        let last = time_of(&card.data_to);
        held_out.after(last.with_context(|| format!("the card of {version} has no time: `{}`", card.data_to))?)
    };
    Ok(Some(Champion { version, network, card, difference, unseen }))
}

fn tell(
    args: &TrainArgs,
    store: &Store,
    (version, card): (Version, ClassCard),
    history: &History,
    both: Option<(Evaluation, Evaluation)>,
) -> Result<()> {
    if args.format == Format::Json {
        // As it was written: with the hash of the weights.
        let mut json = serde_json::to_value(store.card(version)?)?;
        json["version"] = version.to_string().into();
        json["cross_validation_logistic_regression"] = serde_json::to_value(both.map(|(_, beside)| beside))?;
        if card.not_fitted.is_some() {
            json["cross_validation_same_folds"] = serde_json::to_value(both.map(|(own, _)| own))?;
        }
        say!("{}", serde_json::to_string_pretty(&json)?);
        return Ok(());
    }
    say!(
        "{}: {} of {} labelled rows, {} to {}, {} epochs; {} newer rows held out",
        store.folder().join(version.to_string()).display(),
        card.rows,
        history.len(),
        card.data_from,
        card.data_to,
        card.training.epochs,
        card.hold_out.rows,
    );
    if let Some(evaluation) = card.cross_validation {
        let folds = format!("{} folds x {}", args.folds.unwrap_or_default(), args.repeats);
        let mut rows = vec![(version.to_string(), evaluation)];
        if let Some((own, beside)) = both {
            // Those that both have, where they are fewer.
            let same = (version.to_string() + ", same folds", own);
            rows.extend(card.not_fitted.as_ref().filter(|one| !one.folds.is_empty()).map(|_| same));
            rows.push((REGRESSION.to_owned(), beside));
        }
        print_evaluations(&folds, &rows);
    }
    let all = card.beside.iter().filter(|compared| compared.own.is_none());
    let beside = all.map(|compared| (compared.model.clone(), compared.hold_out));
    let rows: Vec<_> = [(version.to_string(), card.hold_out)].into_iter().chain(beside).collect();
    print_evaluations("held out", &rows);
    for compared in &card.beside {
        if let Some(own) = compared.own {
            let what = format!("not seen by {}", compared.model);
            print_evaluations(&what, &[(version.to_string(), own), (compared.model.clone(), compared.hold_out)]);
        }
    }
    if let Some(not_fitted) = &card.not_fitted {
        complain!("{not_fitted}: it is not beside {version} there");
    }
    card.beside.iter().for_each(|compared| tell_standing_still(&compared.model));
    tell_not_compared(version, card.not_compared.as_ref());
    Ok(())
}
