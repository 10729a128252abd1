//! `arterial run`: a pipeline, live or up to the present end of its topics.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arterial_connectors::source::Until;
use clap::{Args, ValueEnum};

use super::bar::Extent;
use super::changes::ChangeArgs;
use super::load::load_plan;
use super::progress;
use super::report::{Format, print_outputs, print_summary};
use super::unusable::{FirstLetter, Remembered};
use super::usage::UsageError;
use crate::observe::{Metrics, STUCK_AFTER};
use crate::runtime::{History, Pipeline, PipelineError, RunOptions, Wiring};
use crate::serve::Server;
use crate::spec::PipelinePlan;
use crate::spec::model::KafkaSourceSpec;

/// How long after the word to stop the process may still be there. Waits for brokers end before: 15 s for the last commit,
/// 10 s for leaving the group. The rest is for the batch at hand; what hangs in a library is not waited for.
const STOP_WITHIN: Duration = Duration::from_secs(45);

/// How often is looked whether a worker is stuck.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Run a pipeline.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial run pipelines/congestion-aarhus.yaml\n  \
    arterial run --until latest pipelines/congestion-simulated.yaml\n  \
    arterial run --reset all pipelines/city-job.yaml\n  \
    arterial run --state-from out pipelines/congestion-aarhus.yaml\n\n\
    SIGTERM and Ctrl-C finish the batch at hand, commit and leave, after 45 s in any case; a second one leaves at once.")]
pub struct RunArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// How long to read. Files are read to their end in any case.
    #[arg(long, value_enum, default_value_t = UntilArg::Forever)]
    pub until: UntilArg,
    #[command(flatten)]
    pub changes: ChangeArgs,
    /// Begin with the state that a backfill of this pipeline left in this folder (`arterial backfill --open-end`): for
    /// partitions that nothing was committed for yet. Of several processes give it to each.
    #[arg(long, value_name = "FOLDER")]
    pub state_from: Option<PathBuf>,
    /// How the summary is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How long to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UntilArg {
    /// For ever.
    Forever,
    /// Up to the ends that the partitions have now.
    Latest,
}

/// Runs the verb; prints the summary to stdout.
///
/// # Errors
/// A file that cannot be read or does not check, a run that failed, or one up to the end whose rows all are dead letters.
pub fn run(args: &RunArgs) -> Result<()> {
    let mut plan = args.changes.apply(load_plan(&args.pipeline)?)?;
    let history = args.state_from.as_ref().map(|folder| History::open(folder, &plan)).transpose();
    let history = history.map_err(PipelineError::from)?.map(Arc::new);
    if history.is_some() {
        plan = plan.with_earliest_start();
    }
    let until = match args.until {
        // Files do not grow under it: their end is the end.
        UntilArg::Forever if plan.source.file.is_none() => Until::Forever,
        UntilArg::Forever | UntilArg::Latest => Until::Latest,
    };
    let embedded = plan.source.kafka.as_ref().is_some_and(KafkaSourceSpec::embedded);
    if embedded && until == Until::Latest {
        return Err(UsageError::NothingToRead.into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let metrics = Arc::new(Metrics::default());
        tokio::spawn(watch(Arc::clone(&metrics)));
        let server = match plan.runtime.listen {
            Some(address) => Some(serve(address, &metrics).await?),
            None => None,
        };
        let plan = Arc::new(plan);
        let connection = connect(&plan)?;
        let (listener, bar) = match Extent::of(&plan)?.filter(|_| until == Until::Latest) {
            Some(extent) => {
                let (listener, bar) = progress::listener_over(extent, args.format);
                (listener, Some(bar))
            }
            None => (progress::listener(until, args.format), None),
        };
        let first = FirstLetter::default();
        let listener = first.beside(listener);
        let options = RunOptions { until, metrics, listener, history, ..RunOptions::default() };
        let ended = Pipeline::new(Arc::clone(&plan), connection, options).run(bounded_shutdown()).await;
        if let Some(bar) = bar {
            bar.clear();
        }
        let summary = ended?;
        if let Some(server) = server {
            server.abort();
        }
        print_summary(&plan, &summary, args.format)?;
        print_outputs(&plan, args.format);
        if until == Until::Latest && !summary.reached_end {
            complain!("stopped before the end of the input: the same command goes on from there");
        }
        if until == Until::Latest {
            first.refuse_unusable(&summary, Remembered::of(&plan))?;
        }
        Ok(())
    })
}

/// The two ends of the pipeline; says where an embedded broker is reached.
fn connect(plan: &Arc<PipelinePlan>) -> Result<Arc<Wiring>> {
    let connection = Wiring::new(plan).map_err(PipelineError::from)?;
    if let Some(brokers) = connection.embedded_address() {
        tracing::info!("embedded broker listens: `arterial replay --brokers {brokers}` sends rows to it");
    }
    Ok(Arc::new(connection))
}

async fn serve(address: SocketAddr, metrics: &Arc<Metrics>) -> Result<tokio::task::JoinHandle<()>> {
    let server = Server::bind(address, Arc::clone(metrics))
        .await
        .with_context(|| format!("cannot listen on {address}; choose another address under `runtime.listen`"))?;
    tracing::info!(address = %server.address()?, "serving /metrics, /healthz and /readyz");
    Ok(tokio::spawn(async move {
        if let Err(error) = server.serve(std::future::pending()).await {
            tracing::error!(%error, "the metrics server ended");
        }
    }))
}

/// Resolves at SIGTERM or Ctrl-C. The next one ends the process at once.
pub(super) async fn shutdown_signal() {
    signal().await;
    tracing::info!("stopping: committing what was read; once more to stop at once");
    tokio::spawn(async {
        signal().await;
        leave("stopped at once: what was not committed is read again at the next start");
    });
}

/// Likewise, and the process ends some time after that, whatever hangs.
async fn bounded_shutdown() {
    shutdown_signal().await;
    tokio::spawn(async {
        tokio::time::sleep(STOP_WITHIN).await;
        let limit = STOP_WITHIN.as_secs();
        leave(&format!("still busy after {limit} s: left as it is; the next start goes on from the last commit"));
    });
}

/// Ends the process where a worker is stuck: in a call of a library, or in a model of an embedding program's.
async fn watch(metrics: Arc<Metrics>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(stuck) = metrics.health().alive(STUCK_AFTER) {
            leave(&format!("{stuck}: the process ends; the next start goes on from the last commit"));
        }
    }
}

/// From here on SIGTERM or Ctrl-C ends the process at once: for work of which nothing is kept before its end.
#[cfg(feature = "neural")]
pub(super) fn end_at_signals() -> std::io::Result<()> {
    // A thread of its own: the others compute, and look at no signal meanwhile.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wait = move || {
        runtime.block_on(signal());
        leave("stopped at once, before the end: nothing is kept");
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}

/// Ends the process as a kill would: the next start ends what is open, and finds out what is durable.
fn leave(why: &str) -> ! {
    tracing::warn!("{why}");
    #[allow(clippy::disallowed_methods, reason = "a worker may hang in a call that never returns")]
    std::process::exit(1)
}

async fn signal() {
    let interrupt = tokio::signal::ctrl_c();
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        let _ = interrupt.await;
        return;
    };
    tokio::select! {
        _ = interrupt => {},
        _ = terminate.recv() => {},
    }
}
