//! `arterial train`: a pipeline's network of classes, trained on the history that its source holds, as a new version.

mod gather;
mod trial;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use self::gather::{History, gather};
use self::trial::{Trial, compare};
use super::models::{now, print_evaluations};
use super::report::Format;
use super::usage::UsageError;
use crate::models::{Card, Store};
use crate::spec::PipelinePlan;
use crate::spec::trained::{NamedFolder, load_plan_to_train};
use crate::stages::encode::time_text;
use crate::stages::predict::neural::fit::Training;
use crate::stages::predict::plan::Trainable;

/// Train a pipeline's network of classes on a history. The newest rows are held out, and the network is measured on them
/// beside a logistic regression, the base rate, and the version that serves.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial train pipelines/diagnosis-classifier.yaml\n  \
    arterial train --folds 5 --repeats 10 pipelines/diagnosis-classifier.yaml\n  \
    arterial train --file history.parquet --promote pipelines/diagnosis-classifier.yaml\n\n\
    Rows are cleaned, windowed and turned into features as the pipeline does it. The version is put where `artefact` of the \
    network says. It serves once it is promoted: `arterial models promote`.")]
pub struct TrainArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// The predictor, where the pipeline has several networks of classes.
    #[arg(long)]
    pub predictor: Option<String>,
    /// The network, where the predictor mixes several.
    #[arg(long)]
    pub expert: Option<String>,
    /// Read this file or pattern (Parquet, CSV, lines of JSON) instead of the pipeline's source.
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Folder of the model's versions, instead of `artefact`.
    #[arg(long)]
    pub models: Option<PathBuf>,
    /// Times that the network sees every row.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub epochs: u32,
    /// Part of the rows, the newest, that is held out.
    #[arg(long, default_value_t = 0.2)]
    pub hold_out: f64,
    /// Folds of a stratified cross-validation over all rows; none unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub folds: Option<u32>,
    /// Times that it is done, each with other folds.
    #[arg(long, default_value_t = 1, requires = "folds", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeats: u32,
    /// Let the version serve at once, if it is no worse than what serves now.
    #[arg(long)]
    pub promote: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Runs the verb; prints how good the network is, and its version.
///
/// # Errors
/// A file that does not check, a history that teaches nothing, or a folder that cannot be written.
pub fn train(args: &TrainArgs) -> Result<()> {
    if !(args.hold_out > 0.0 && args.hold_out < 1.0) {
        return Err(UsageError::HoldOut { share: args.hold_out }.into());
    }
    let (mut plan, folders) = load_plan_to_train(&args.pipeline)?;
    if let Some(file) = &args.file {
        plan = plan.with_file(std::path::absolute(file)?.display().to_string(), 1);
    }
    let network = choose(&plan, args)?;
    let named =
        |(predictor, expert, _): &&NamedFolder| predictor == network.predictor && expert.as_deref() == network.expert;
    let folder = args.models.as_ref().or_else(|| folders.iter().find(named).map(|(_, _, folder)| folder));
    let Some(folder) = folder else { return Err(UsageError::NoArtefact.into()) };
    let store = Store::new(folder);
    let history = gather(&plan, &network)?;
    let (known, held_out) = history.split(args.hold_out);
    if let Some(why) = known.teaches_nothing().or_else(|| held_out.teaches_nothing()) {
        bail!("{} labelled rows, of which {} are held out: {why}", history.len(), held_out.len());
    }
    let training = Training { epochs: args.epochs, seed: network.params.seed };
    let trial = Trial { network: &network, training, folds: args.folds.map(|folds| (folds, args.repeats)) };
    let champion = store.champion()?.map(|version| Ok::<_, anyhow::Error>((version, store.load(version)?.0)));
    let outcome =
        compare(&trial, &history.examples, (&known.examples, &held_out.examples), champion.transpose()?.as_ref());
    let card = Card {
        pipeline: plan.name.clone(),
        predictor: network.predictor.to_owned(),
        target: plan.window.output_columns()[network.target].clone(),
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
    let version = store.add(&outcome.trained, card)?;
    tell(args, &store, version, &history, outcome.cross_validated_beside)?;
    if args.promote {
        let promotion = store.promote(version, &now(), "by `train --promote`: no worse than what served")?;
        complain!("{} serves", promotion.version);
    } else if args.format == Format::Text {
        say!("\nIt does not serve yet: `arterial models promote {} {version}`", store.folder().display());
    }
    Ok(())
}

/// The network that is meant.
fn choose<'a>(plan: &'a PipelinePlan, args: &TrainArgs) -> Result<Trainable<'a>> {
    let fits = |network: &Trainable<'_>| {
        args.predictor.as_ref().is_none_or(|predictor| predictor == network.predictor)
            && args.expert.as_ref().is_none_or(|expert| Some(expert.as_str()) == network.expert)
    };
    let found: Vec<Trainable<'_>> = plan.predict.trainable().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        _ => {
            let all = plan.predict.trainable().map(|network| match network.expert {
                Some(expert) => format!("--predictor {} --expert {expert}", network.predictor),
                None => format!("--predictor {}", network.predictor),
            });
            Err(UsageError::WhichNetwork { found: found.len(), all: all.collect::<Vec<_>>().join("; ") }.into())
        }
    }
}

fn tell(
    args: &TrainArgs,
    store: &Store,
    version: crate::models::Version,
    history: &History,
    cross_validated_beside: Option<crate::stages::predict::neural::fit::Evaluation>,
) -> Result<()> {
    let card = store.card(version)?;
    if args.format == Format::Json {
        let mut json = serde_json::to_value(&card)?;
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
