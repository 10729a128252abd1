//! A checked plan and a way to connect it -> a run of one or more workers.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::position::Partition;
use arterial_connectors::source::{Source, SourceError, Until};
use tokio::sync::mpsc;

use super::clock::SystemClock;
use super::control::ControlLog;
use super::embed::PipelineBuilder;
use super::error::PipelineError;
use super::handover::History;
use super::stop::Stop;
use super::summary::{RunSummary, WorkerSummary};
use super::teller::Teller;
use super::worker::{Worker, WorkerParts};
use crate::observe::{Listener, Metrics, WorkerMetrics};
use crate::spec::PipelinePlan;
use crate::stages::custom::panic_text;
use crate::vocab::Clock;

/// Opens the two ends of a pipeline for each worker.
pub trait Connect: Send + Sync {
    /// The source of the worker with this slot.
    ///
    /// # Errors
    /// As the source says.
    fn source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError>;

    /// The ledger of the worker with this slot. `partition_counts`: partitions of each of the source's topics.
    ///
    /// # Errors
    /// As the ledger says.
    fn ledger(&self, slot: &str, partition_counts: &[u32]) -> Result<Box<dyn Ledger>, LedgerError>;
}

/// How a run differs from the plan.
#[derive(Clone)]
pub struct RunOptions {
    /// How long to read.
    pub until: Until,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where numbers go.
    pub metrics: Arc<Metrics>,
    /// Who is told what happens; nobody unless given.
    pub listener: Listener,
    /// The control log of an earlier run over the same topics: what the wall clock decided then is done again where it
    /// was done, and nothing is decided anew but the end of a bounded run.
    pub decisions: Option<Arc<ControlLog>>,
    /// What a backfill has left: the first state of partitions that nobody has committed a position of. With it the plan
    /// should start at the earliest record ([`PipelinePlan::with_earliest_start`]).
    pub history: Option<Arc<History>>,
    /// How long a bounded run waits for brokers that have not answered once; a run without end waits for ever. Those that
    /// have answered are waited for in any case.
    pub reach_within: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            until: Until::Forever,
            clock: Arc::new(SystemClock),
            metrics: Arc::new(Metrics::default()),
            listener: Arc::new(|_| {}),
            decisions: None,
            history: None,
            reach_within: REACH_WITHIN,
        }
    }
}

/// A pipeline that is ready to run.
pub struct Pipeline {
    plan: Arc<PipelinePlan>,
    connect: Arc<dyn Connect>,
    options: RunOptions,
    shared: Arc<Shared>,
}

/// How long a bounded run waits for a first answer unless told: a broker that starts beside it is there in less.
const REACH_WITHIN: Duration = Duration::from_secs(60);

/// Pause between two tries to open an end whose far side does not answer.
const OPEN_PAUSE: Duration = Duration::from_millis(500);

/// What the workers of a run share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Set once: finish the batch at hand, commit, leave.
    pub(crate) stop: Stop,
    /// Whether a worker has told of the run's first alert.
    pub(crate) alert_told: AtomicBool,
    /// Stages and reasons of the dead letters that a worker has told of.
    pub(crate) dead_letters_told: Mutex<BTreeSet<(&'static str, &'static str, String)>>,
    /// Partitions in which what the user asked to reset has been reset, durably: not again when the partition comes
    /// back or moves to another worker.
    reset_done: Mutex<BTreeSet<Partition>>,
}

impl Shared {
    pub(crate) fn was_reset(&self, partition: Partition) -> bool {
        self.reset_done.lock().unwrap_or_else(PoisonError::into_inner).contains(&partition)
    }

    pub(crate) fn note_reset(&self, partitions: impl Iterator<Item = Partition>) {
        self.reset_done.lock().unwrap_or_else(PoisonError::into_inner).extend(partitions);
    }
}

/// Stops the workers when a run is dropped: nobody else would.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.give();
    }
}

type WorkerEnd = (String, Result<WorkerSummary, PipelineError>);

impl Pipeline {
    /// A pipeline from its plan, its connections and its options. Nothing is opened yet.
    #[must_use]
    pub fn new(plan: Arc<PipelinePlan>, connect: Arc<dyn Connect>, options: RunOptions) -> Self {
        Self { plan, connect, options, shared: Arc::default() }
    }

    /// A pipeline inside another program: the text of its file -> a builder that takes what the program brings along.
    #[must_use]
    pub fn from_yaml(text: impl Into<String>) -> PipelineBuilder {
        PipelineBuilder::new(text.into())
    }

    /// Runs until `shutdown` resolves (what was read is committed first), until a bounded run reached its end, or
    /// until a worker fails. Workers are threads of their own: the caller's runtime is never blocked. Dropping the
    /// future stops them likewise, after a last commit.
    ///
    /// # Errors
    /// The first worker's error; the others are stopped at their next commit.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<RunSummary, PipelineError> {
        self.start()?.until(shutdown).await
    }

    /// What its workers will share; known before they start, for ends of the pipeline that wait themselves.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Starts the workers, each a thread.
    ///
    /// # Errors
    /// [`PipelineError::System`] where a thread cannot be started.
    pub fn start(self) -> Result<Running, PipelineError> {
        let started = Instant::now();
        let shared = Arc::clone(&self.shared);
        let stop = StopOnDrop(Arc::clone(&shared));
        let slots: Vec<String> =
            (0..self.plan.runtime.workers).map(|index| format!("{}-{index}", self.plan.runtime.instance)).collect();
        let (sender, ends) = mpsc::channel::<WorkerEnd>(slots.len().max(1));
        for slot in slots {
            self.spawn_worker(slot, &shared, sender.clone())?;
        }
        Ok(Running { started, stop, ends })
    }

    fn spawn_worker(
        &self,
        slot: String,
        shared: &Arc<Shared>,
        ends: mpsc::Sender<WorkerEnd>,
    ) -> Result<(), PipelineError> {
        let (plan, connect, options, shared) =
            (Arc::clone(&self.plan), Arc::clone(&self.connect), self.options.clone(), Arc::clone(shared));
        let name = format!("arterial-{slot}");
        let work = move || {
            let body = std::panic::AssertUnwindSafe(|| run_worker(plan, connect.as_ref(), options, &shared, &slot));
            let end = std::panic::catch_unwind(body).unwrap_or_else(|panic| {
                Err(PipelineError::Panicked { worker: slot.clone(), message: panic_text(panic.as_ref()) })
            });
            // The receiver lives until every sender is gone; a failed send means the run was dropped.
            let _ = ends.blocking_send((slot, end));
        };
        thread::Builder::new()
            .name(name)
            .spawn(work)
            .map(drop)
            .map_err(|error| PipelineError::System { what: "starting a worker".to_owned(), reason: error.to_string() })
    }
}

/// A pipeline at work. Dropping it stops the workers after a last commit.
pub struct Running {
    started: Instant,
    stop: StopOnDrop,
    ends: mpsc::Receiver<WorkerEnd>,
}

impl Running {
    /// Waits for the end of the run.
    ///
    /// # Errors
    /// As [`Pipeline::run`].
    pub async fn end(self) -> Result<RunSummary, PipelineError> {
        self.until(std::future::pending()).await
    }

    /// Waits for the end of the run, and stops the workers once `shutdown` resolves.
    ///
    /// # Errors
    /// As [`Pipeline::run`].
    pub async fn until(mut self, shutdown: impl Future<Output = ()>) -> Result<RunSummary, PipelineError> {
        tokio::pin!(shutdown);
        let shared = &self.stop.0;
        let mut summaries = Vec::new();
        let (mut failure, mut stopping, mut never_open) = (None, false, false);
        loop {
            tokio::select! {
                () = &mut shutdown, if !stopping => {
                    stopping = true;
                    shared.stop.give();
                }
                end = self.ends.recv() => match end {
                    Some((_, Ok(summary))) => summaries.push(summary),
                    // Told to stop before both ends were open: there is nothing to sum up.
                    Some((_, Err(PipelineError::Stopped))) => never_open = true,
                    Some((slot, Err(error))) => {
                        tracing::error!(slot, %error, "worker failed");
                        shared.stop.give();
                        failure.get_or_insert(error);
                    }
                    None => break,
                },
            }
        }
        match failure {
            Some(error) => Err(error),
            None => {
                let mut summary = RunSummary::of(summaries, self.started.elapsed());
                summary.reached_end &= !never_open;
                Ok(summary)
            }
        }
    }
}

fn run_worker(
    plan: Arc<PipelinePlan>,
    connect: &dyn Connect,
    options: RunOptions,
    shared: &Arc<Shared>,
    slot: &str,
) -> Result<WorkerSummary, PipelineError> {
    let mut source = connect.source(slot, options.until)?;
    let metrics = options.metrics.worker(slot);
    let within = (options.until == Until::Latest).then_some(options.reach_within);
    let counts = patiently(shared, &metrics, within, || source.partition_counts().map_err(PipelineError::from))?;
    check_scope(&plan, &counts)?;
    if let Some(history) = &options.history {
        history.check_partitions(&counts)?;
    }
    let ledger = patiently(shared, &metrics, None, || connect.ledger(slot, &counts).map_err(PipelineError::from))?;
    let teller = Teller::new(options.listener, Arc::clone(shared));
    let RunOptions { clock, until, decisions, history, .. } = options;
    let shared = Arc::clone(shared);
    let parts = WorkerParts { source, ledger, clock, shared, metrics, teller, until, decisions, history };
    Worker::new(plan, parts).run()
}

/// Refuses partitions that could not see each other's keys where a feature needs to. `counts`: of each topic.
fn check_scope(plan: &PipelinePlan, counts: &[u32]) -> Result<(), PipelineError> {
    if !plan.features.cross_keys() || counts.iter().copied().map(u64::from).sum::<u64>() <= 1 {
        return Ok(());
    }
    let of = |(topic, count): (usize, &u32)| format!("{count} of `{}`", plan.topic(topic as u16));
    Err(PipelineError::Scope { found: counts.iter().enumerate().map(of).collect::<Vec<_>>().join(", ") })
}

/// Tries until what was asked for is there, it is refused for good, the time for it is over, or the run is told to stop.
fn patiently<T>(
    shared: &Shared,
    metrics: &WorkerMetrics,
    within: Option<Duration>,
    mut ask: impl FnMut() -> Result<T, PipelineError>,
) -> Result<T, PipelineError> {
    let started = Instant::now();
    loop {
        match ask() {
            Err(error) if error.transient() && shared.stop.given() => {
                return Err(PipelineError::Stopped);
            }
            Err(error) if error.transient() && within.is_some_and(|within| started.elapsed() >= within) => {
                return Err(PipelineError::Unreached { after: started.elapsed(), error: Box::new(error) });
            }
            Err(error) if error.transient() => {
                tracing::warn!(%error, hint = error.hint(), "not open yet; trying again");
                metrics.connected(Err(error.to_string()));
                thread::sleep(OPEN_PAUSE);
            }
            answer => return answer,
        }
    }
}
