//! `arterial eval`: how good a pipeline's forecasts are, beside persistence and the seasonal profile.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use chrono::DateTime;
use clap::Args;

use super::load::load_plan;
use super::report::{Format, print_summary};
use super::run::shutdown_signal;
use super::unusable::{FirstLetter, Remembered};
use crate::runtime::{Pipeline, RunOptions};
use crate::spec::{NetworkStart, PipelinePlan, Start};
use crate::stages::encode::time_text;
use crate::stages::predict::{Observed, Observer};
use crate::vocab::EventTime;

/// Score a pipeline's forecasts over all that its source holds. Writes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial eval pipelines/loops-metr-la.yaml\n  \
    arterial eval --from 2014-09-18T20:45:00+02:00 --file traffic.parquet pipelines/congestion-aarhus.yaml\n\n\
    Every forecast is scored before its label is learned. Models start from nothing, networks with an `artefact` from the \
    version that serves: scores of times that it was trained on flatter it, and a warning says so. The pipeline's own \
    state, offsets and outputs are not touched. From a topic, windows that the pipeline's runs closed by the clock (an idle partition, a \
    bounded run's end) are closed at the same rows, as its control topic says.")]
pub struct EvalArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Score forecasts from this time on (RFC 3339) instead of `score_from`.
    #[arg(long, value_parser = time)]
    pub from: Option<EventTime>,
    /// Read this file or pattern (Parquet, CSV, lines of JSON) instead of the pipeline's source.
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Partitions to spread the file's rows over.
    #[arg(long, default_value_t = 8, requires = "file")]
    pub partitions: u32,
    /// How scores are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

fn time(text: &str) -> Result<EventTime, String> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| EventTime(time.timestamp_micros()))
        .map_err(|_| "not RFC 3339, as 2014-09-18T20:45:00+02:00".to_owned())
}

/// Runs the verb; prints the score table.
///
/// # Errors
/// A file that cannot be read or does not check, or a run that failed or could use no row.
pub fn eval(args: &EvalArgs) -> Result<()> {
    let mut plan = load_plan(&args.pipeline)?;
    if let Some(from) = args.from {
        plan = plan.with_score_from(from);
    }
    if let Some(file) = &args.file {
        plan = plan.with_file(std::path::absolute(file)?.display().to_string(), args.partitions);
    }
    let trained_on = Arc::new(TrainedOn::new(&plan));
    let looks_on = Arc::clone(&trained_on);
    plan = plan.with_observer(&Observer::new(move |observed| looks_on.look(observed)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let first = FirstLetter::default();
    let listener = first.beside(RunOptions::default().listener);
    let summary = runtime.block_on(Pipeline::evaluation_told(&plan, listener)?.run(shutdown_signal()))?;
    trained_on.tell();
    print_summary(&plan, &summary, args.format)?;
    first.refuse_unusable(&summary, Remembered::Nowhere)?;
    if !summary.reached_end {
        anyhow::bail!("stopped after {} rows: these are scores of a part of the history", summary.accounting().rows_in);
    }
    Ok(())
}

/// Versions that networks start from, the times that they were trained on, and the labels of those times that were scored.
struct TrainedOn(Vec<(NetworkStart, RangeInclusive<EventTime>, AtomicU64)>);

impl TrainedOn {
    fn new(plan: &PipelinePlan) -> Self {
        let known = plan.networks.iter().filter_map(|network| {
            let Start::Version { data: (from, to), hold_out_from, .. } = &network.start else { return None };
            // Labels come a horizon later than the rows that they were learned with.
            let last = match hold_out_from {
                Some(later) => time(later).ok()?.plus(-1),
                None => time(to).ok()?,
            };
            Some((network.clone(), time(from).ok()?..=last, AtomicU64::new(0)))
        });
        Self(known.collect())
    }

    fn look(&self, observed: &Observed<'_>) {
        for (network, times, scored) in &self.0 {
            if observed.counted && observed.predictor == network.predictor && times.contains(&observed.target) {
                let labels = observed.labels.iter().filter(|label| label.is_finite()).count();
                scored.fetch_add(labels as u64, Ordering::Relaxed);
            }
        }
    }

    fn tell(&self) {
        for (network, times, scored) in &self.0 {
            let labels = scored.load(Ordering::Relaxed);
            if let (Start::Version { version, hold_out_from, .. }, 1..) = (&network.start, labels) {
                let until = match hold_out_from {
                    Some(later) => format!("before {later}"),
                    None => format!("to {}", time_text(*times.end())),
                };
                tracing::warn!(
                    "{labels} of the labels scored are of times {until}, which {version} of `{}` was trained on: they flatter it; \
                     `--from` leaves them out",
                    network.folder.display()
                );
            }
        }
    }
}
