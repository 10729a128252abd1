//! `arterial train`: a pipeline's network, trained on the history that its source holds, as a new version.

mod by_key;
mod classes;
mod forecasts;
mod gather;
mod history;
mod reading;
mod trial;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::models::now;
use super::report::Format;
use super::run::end_at_signals;
use super::usage::UsageError;
use crate::models::{Gate, NotCompared, Store, Version};
use crate::spec::PipelinePlan;
use crate::spec::trained::{NamedFolder, load_plan_to_train};
use crate::stages::predict::trainable::{Place, Trainable, TrainableNetwork};

/// Train a pipeline's network, `mlp` or `mlp_classifier`, on a history. The newest part is held out, and the network is measured on
/// it: one of forecasts beside persistence and the seasonal profile, one of classes beside a logistic regression and the base
/// rate, and either beside the version that serves.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial train pipelines/diagnosis-classifier.yaml\n  \
    arterial train --folds 5 --repeats 10 pipelines/diagnosis-classifier.yaml\n  \
    arterial train --file history.parquet --promote pipelines/diagnosis-classifier.yaml\n  \
    arterial train --predictor speed --expert network --models models/speed pipelines/forecasts-aarhus.yaml\n\n\
    Rows are cleaned, windowed and turned into features as the pipeline does it. The version is put where `artefact` of the \
    network says. It serves once it is promoted: `arterial models promote`.")]
pub struct TrainArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// The predictor, where the pipeline has several networks.
    #[arg(long)]
    pub predictor: Option<String>,
    /// The predictor's challenger, where the network is one or is mixed in one.
    #[arg(long)]
    pub challenger: Option<String>,
    /// The network, where the predictor mixes several.
    #[arg(long)]
    pub expert: Option<String>,
    /// Read this file or pattern (Parquet, CSV, lines of JSON) instead of the pipeline's source.
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Folder of the model's versions, instead of `artefact`.
    #[arg(long)]
    pub models: Option<PathBuf>,
    /// Times that the network sees every row: 30 of classes, 10 of forecasts, unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub epochs: Option<u32>,
    /// Part of the rows, the newest, that is held out. Of forecasts by time: those made from some time on, of whose labels none is
    /// learned.
    #[arg(long, default_value_t = 0.2)]
    pub hold_out: f64,
    /// Folds of a stratified cross-validation over all rows, of classes; none unless given.
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
    // Nothing is kept before the end: neither a history in part nor a network in part.
    end_at_signals()?;
    let (mut plan, folders) = load_plan_to_train(&args.pipeline)?;
    if let Some(file) = &args.file {
        plan = plan.with_file(std::path::absolute(file)?.display().to_string(), 1);
    }
    let network = choose(&plan, args)?;
    let place = network.place.to_string();
    let named = |(of, _): &&NamedFolder| *of == place;
    let folder = args.models.as_ref().or_else(|| folders.iter().find(named).map(|(_, folder)| folder));
    let Some(folder) = folder else { return Err(UsageError::NoArtefact.into()) };
    let store = Store::new(folder);
    let version = match network.network {
        TrainableNetwork::Classes(classifier) => classes::train(args, &plan, &network, &classifier, &store)?,
        TrainableNetwork::Forecasts(mlp) => forecasts::train(args, &plan, &network, &mlp, &store)?,
    };
    if args.promote {
        let promotion =
            store.promote(version, Gate::Compared, &now(), "by `train --promote`: no worse than what served")?;
        complain!("{} serves", promotion.version);
        return Ok(());
    }
    if let Some(held_out) = store.card(version)?.too_little_held_out() {
        complain!("{version} cannot serve by this: too little was held out to say how good it is: {held_out}");
    }
    if args.format == Format::Text {
        say!("\nIt does not serve yet: `arterial models promote {} {version}`", store.folder().display());
    }
    Ok(())
}

/// Says what a comparison with the version that serves leaves out.
fn tell_standing_still(beside: &str) {
    if beside.parse::<Version>().is_ok() {
        say!("\nBoth stood still: what {beside} has learned on while it serves (`online: true`) is not in its errors.");
    }
}

/// Says why a version cannot take over under the usual rule.
fn tell_not_compared(version: Version, not_compared: Option<&NotCompared>) {
    if let Some(NotCompared { version: serves, why }) = not_compared {
        complain!("{version} was not measured beside {serves}, which serves: {why}");
    }
}

/// The network that is meant.
fn choose<'a>(plan: &'a PipelinePlan, args: &TrainArgs) -> Result<Trainable<'a>> {
    let fits = |network: &Trainable<'_>| {
        let Place { predictor, challenger, expert } = network.place;
        args.predictor.as_ref().is_none_or(|asked| asked == predictor)
            && args.challenger.as_ref().is_none_or(|asked| Some(asked.as_str()) == challenger)
            && args.expert.as_ref().is_none_or(|asked| Some(asked.as_str()) == expert)
    };
    // What is not said may be anything, but what was said to the letter is meant before what it may also mean.
    let exactly = |network: &&Trainable<'_>| {
        let Place { predictor, challenger, expert } = network.place;
        args.predictor.as_deref() == Some(predictor)
            && args.challenger.as_deref() == challenger
            && args.expert.as_deref() == expert
    };
    let found: Vec<Trainable<'_>> = plan.predict.trainable().filter(fits).collect();
    match (found.as_slice(), found.iter().find(exactly)) {
        ([one], _) | (_, Some(one)) => Ok(*one),
        _ if plan.predict.trainable().next().is_none() => Err(UsageError::NoNetwork.into()),
        _ => {
            let all = plan.predict.trainable().map(|network| network.place.to_string());
            Err(UsageError::WhichNetwork { found: found.len(), all: all.collect::<Vec<_>>().join("; ") }.into())
        }
    }
}
