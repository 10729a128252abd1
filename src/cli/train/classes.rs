//! A network of classes and its history -> a new version with its card, and what is told of it.

use anyhow::{Result, bail};

use super::TrainArgs;
use super::gather::{History, gather};
use super::trial::{Trial, compare};
use crate::cli::models::{now, print_evaluations};
use crate::cli::report::Format;
use crate::models::{Card, ClassCard, Kind, Network, Store, Version};
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
    let champion = store
        .champion()?
        .map(|version| Ok::<_, anyhow::Error>((version, store.load_classes(version)?.0)))
        .transpose()?;
    let outcome = compare(&trial, &history.examples, (&known.examples, &held_out.examples), champion.as_ref());
    let card = ClassCard {
        pipeline: plan.name.clone(),
        predictor: named.place.predictor.to_owned(),
        target: plan.window.output_columns()[named.target].clone(),
        features: network.columns.iter().map(|(_, column)| column.name.clone()).collect(),
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
        cross_validation: outcome.cross_validation,
    };
    let version = store.add(&Network::Classes(outcome.trained), Card::Classes(card.clone()))?;
    tell(args, store, (version, card), &history, outcome.cross_validated_beside)?;
    Ok(version)
}

fn tell(
    args: &TrainArgs,
    store: &Store,
    (version, card): (Version, ClassCard),
    history: &History,
    cross_validated_beside: Option<Evaluation>,
) -> Result<()> {
    if args.format == Format::Json {
        // As it was written: with the hash of the weights.
        let mut json = serde_json::to_value(store.card(version)?)?;
        json["version"] = version.to_string().into();
        json["cross_validation_logistic_regression"] = serde_json::to_value(cross_validated_beside)?;
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
        rows.extend(cross_validated_beside.map(|beside| ("logistic_regression".to_owned(), beside)));
        print_evaluations(&folds, &rows);
    }
    let beside = card.beside.iter().map(|compared| (compared.model.clone(), compared.hold_out));
    let rows: Vec<_> = [(version.to_string(), card.hold_out)].into_iter().chain(beside).collect();
    print_evaluations("held out", &rows);
    Ok(())
}
