//! `arterial backfill`: a pipeline over files instead of its topic, into a folder instead of its sinks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use arterial_connectors::folder::Manifest;
use arterial_connectors::source::Until;
use clap::Args;

use super::bar::Extent;
use super::changes::ChangeArgs;
use super::load::{load_plan, load_plan_with_tables, tell_notes};
use super::progress;
use super::report::{Format, print_outputs, print_summary};
use super::run::shutdown_signal;
use super::unusable::{FirstLetter, Remembered};
use super::usage::UsageError;
use crate::runtime::{Connect, Pipeline, PipelineError, RunOptions, Wiring};
use crate::spec::PipelinePlan;

/// How long brokers may take to say how many partitions the topic has. Somebody waits, and can say it instead; one that
/// answers takes milliseconds, over a slow link or with a login less than two seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Run a pipeline over files of history, into a folder.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial backfill pipelines/congestion-aarhus.yaml --from 'history/*.parquet' --to out\n  \
    arterial backfill --format json --partitions 8 pipelines/congestion-aarhus.yaml --from traffic.parquet --to out\n  \
    arterial backfill --parquet pipelines/congestion-aarhus.yaml --from traffic.parquet --to out\n  \
    arterial backfill --open-end pipelines/congestion-aarhus.yaml --from traffic.parquet --to out\n  \
    arterial run --state-from out pipelines/congestion-aarhus.yaml\n\n\
    The files stand for the pipeline's topic: rows lie in the partitions and have the offsets that a replay gives them, so \
    that alerts, forecasts, scores and state are those of a run over that topic. Started again over the same folder it goes \
    on where it was, also after a kill.")]
pub struct BackfillArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// File or pattern (Parquet, CSV, lines of JSON) that is read instead of the pipeline's source.
    #[arg(long, value_name = "FILES")]
    pub from: PathBuf,
    /// Folder for outputs and state, instead of the pipeline's sinks.
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// Partitions to spread the rows over; those of the pipeline's topic unless given, which the broker is asked for.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub partitions: Option<u32>,
    /// Threads that share the partitions; as many as there are cores unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
    #[command(flatten)]
    pub changes: ChangeArgs,
    /// Leave the windows open in which history ends, for `arterial run --state-from`; unless given they are closed, as at
    /// the end of a bounded run.
    #[arg(long)]
    pub open_end: bool,
    /// Write alerts, forecasts and scores as Parquet, a column for each of their fields, instead of lines of JSON.
    #[arg(long)]
    pub parquet: bool,
    /// How the summary is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Runs the verb; prints the summary to stdout.
///
/// # Errors
/// A file that cannot be read or does not check, or a run that failed or could use no row: what is complete in the folder stays.
pub fn backfill(args: &BackfillArgs) -> Result<()> {
    let (plan, partitions) = match args.partitions {
        // Nothing is connected, so no secrets are needed.
        Some(partitions) => {
            let plan = load_plan_with_tables(&args.pipeline, &BTreeMap::new())?;
            tell_notes(&plan);
            (plan, partitions)
        }
        None => {
            let plan = Arc::new(load_plan(&args.pipeline)?);
            let partitions = partitions_of(&plan)?;
            (plan.as_ref().clone(), partitions)
        }
    };
    let plan = args.changes.apply(plan)?;
    let (from, to) = (std::path::absolute(&args.from)?, std::path::absolute(&args.to)?);
    let mut plan =
        plan.with_file(from.display().to_string(), partitions).with_folder(&to.display().to_string(), args.parquet);
    plan = plan.with_workers(args.workers.unwrap_or_else(cores).min(partitions));
    if args.open_end {
        plan = plan.with_open_end();
    }
    let extent = Extent::of_files(&from, Some(&to))?;
    let plan = Arc::new(plan);
    let connection = Arc::new(Wiring::new(&plan).map_err(PipelineError::from)?);
    let (listener, bar) = progress::listener_over(extent, args.format);
    let first = FirstLetter::default();
    let listener = first.beside(listener);
    let options = RunOptions { until: Until::Latest, listener, ..RunOptions::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ended = runtime.block_on(Pipeline::new(Arc::clone(&plan), connection, options).run(shutdown_signal()));
    bar.clear();
    let summary = ended?;
    print_summary(&plan, &summary, args.format)?;
    print_outputs(&plan, args.format);
    // What is no history is not handed over either.
    first.refuse_unusable(&summary, Remembered::of(&plan))?;
    if summary.reached_end {
        return Ok(Manifest::mark_finished(&to)?);
    }
    let rows_read: u64 = summary.partitions.values().filter_map(|one| one.next_offset).map(i64::unsigned_abs).sum();
    bail!("stopped after {rows_read}{} rows; the same command goes on from there", extent.of_total())
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
}

/// Partitions of the pipeline's source.
fn partitions_of(plan: &Arc<PipelinePlan>) -> Result<u32> {
    let source = &plan.source;
    let declared = None
        .or(source.file.as_ref().map(|file| file.partitions))
        .or(source.simulate.as_ref().map(|simulate| simulate.partitions))
        .or(source.feed.as_ref().map(|feed| feed.partitions))
        .or(source.kafka.as_ref().and_then(|kafka| kafka.partitions));
    if let Some(partitions) = declared {
        return Ok(partitions);
    }
    let wiring = Wiring::detached(plan);
    let counts = match &source.kafka {
        Some(kafka) => {
            let (topics, brokers, limit) = (kafka.topics.join("`, `"), &kafka.brokers, ANSWER_WITHIN.as_secs());
            tracing::info!(
                "asking {brokers} how many partitions `{topics}` has, for {limit} s at most; --partitions N spares it"
            );
            wiring.partition_counts(ANSWER_WITHIN)
        }
        None => wiring.source("backfill", Until::Latest).and_then(|mut source| source.partition_counts()),
    };
    let counts = counts.map_err(UsageError::PartitionsUnknown)?;
    Ok(counts.into_iter().max().unwrap_or(1))
}
