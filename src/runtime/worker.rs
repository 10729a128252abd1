//! One thread of control that owns partitions, their state, one source and one ledger. Nothing else shares state.
//!
//! The data flows `source, decode, clean, window, features, predict, alert, encode, sink`: the middle is
//! [`super::shard::Shard`], both ends are here. Invariant: between two commits everything that a shard did is either
//! in the open transaction or nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arterial_connectors::ledger::Ledger;
use arterial_connectors::position::Partition;
use arterial_connectors::source::{Source, SourceBatch, SourceEvent, Until};

use super::commit::InFlight;
use super::control::{ControlLog, ControlRecord, FlushReason};
use super::drift::Drift;
use super::error::PipelineError;
use super::handover::History;
use super::pace::CommitPace;
use super::pipeline::Shared;
use super::shard::Shard;
use super::silence::Silence;
use super::summary::WorkerSummary;
use super::teller::Teller;
use super::transaction::{RECORDS_BYTES_MAX, Transaction};
use crate::observe::{BatchReport, WorkerMetrics};
use crate::spec::PipelinePlan;
use crate::stages::custom::guarded;
use crate::vocab::Clock;

/// Shortest wait for an event: a commit that is due may have to wait for outputs that are on their way.
const POLL_MIN: Duration = Duration::from_millis(1);

/// Longest wait for an event: how soon a stop request or a quiet partition is noticed.
const POLL_MAX: Duration = Duration::from_millis(100);

/// Longest wait for rows while a commit is in flight, whose end lets outputs go that were held back.
const IN_FLIGHT_POLL_MAX: Duration = Duration::from_millis(5);

/// What one turn may spend on looking for shards that have something to learn. One that has takes longer: a step of a network
/// takes milliseconds.
const PREPARE_MAX: Duration = Duration::from_millis(1);

/// What the runtime gives a worker.
pub(crate) struct WorkerParts {
    pub(crate) source: Box<dyn Source>,
    pub(crate) ledger: Box<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) teller: Teller,
    pub(crate) until: Until,
    pub(crate) decisions: Option<Arc<ControlLog>>,
    pub(crate) history: Option<Arc<History>>,
}

/// A worker at work.
pub(crate) struct Worker {
    pub(super) plan: Arc<PipelinePlan>,
    pub(super) source: Box<dyn Source>,
    pub(super) transaction: Transaction,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: WorkerMetrics,
    pub(super) teller: Teller,
    pub(super) until: Until,
    /// Decisions of an earlier run, which this one follows instead of taking its own.
    pub(super) decisions: Option<Arc<ControlLog>>,
    /// What partitions without a position begin with.
    pub(super) history: Option<Arc<History>>,
    pub(super) shards: BTreeMap<Partition, Shard>,
    /// The one that learned ahead last.
    prepared: Option<Partition>,
    /// Owned partitions that are not read yet: their start could not be made durable.
    pub(super) unstarted: BTreeSet<Partition>,
    pub(super) ended: BTreeSet<Partition>,
    pub(super) silence: Silence,
    pub(super) drift: Drift,
    pub(super) pace: CommitPace,
    pub(super) failures_in_a_row: u32,
    /// Reads that failed for a moment, one after the other.
    source_failures: u32,
    pub(super) in_flight: Option<InFlight>,
    pub(super) summary: WorkerSummary,
}

/// Rows of an epoch of a folder, unless the file says another number.
const EPOCH_ROWS: u64 = 5_000_000;

impl Worker {
    pub(crate) fn new(plan: Arc<PipelinePlan>, parts: WorkerParts) -> Self {
        let runtime = &plan.runtime;
        let (now, rows_max) = (Instant::now(), runtime.commit_rows_max);
        let pace = match plan.sinks.folder() {
            Some(_) if plan.source.waits_for_nobody() => CommitPace::by_rows(rows_max.unwrap_or(EPOCH_ROWS), now),
            // Each epoch is a directory that the disk has to be asked for.
            Some(_) => {
                let every = runtime.commit_every_max;
                CommitPace::new(every, every, rows_max.unwrap_or(EPOCH_ROWS), now)
            }
            None => {
                let rows_max = rows_max.unwrap_or(u64::MAX);
                CommitPace::new(runtime.commit_every, runtime.commit_every_max, rows_max, now)
            }
        };
        let drift = Drift::new(plan.event_time.max_drift_micros);
        let WorkerParts { source, ledger, clock, shared, metrics, teller, until, decisions, history } = parts;
        // A run that follows an earlier one's decisions takes none of its own.
        let transaction = Transaction::new(ledger, RECORDS_BYTES_MAX, Arc::clone(&shared));
        let silence = Silence::new(plan.event_time.idle_after_micros.filter(|_| decisions.is_none()));
        Self {
            plan,
            source,
            transaction,
            clock,
            shared,
            metrics,
            teller,
            until,
            decisions,
            history,
            shards: BTreeMap::new(),
            prepared: None,
            unstarted: BTreeSet::new(),
            ended: BTreeSet::new(),
            silence,
            drift,
            pace,
            failures_in_a_row: 0,
            source_failures: 0,
            in_flight: None,
            summary: WorkerSummary::default(),
        }
    }

    /// Works until told to stop, or until every owned partition was read to its captured end.
    ///
    /// # Errors
    /// Whatever cannot be cured by aborting and going back to the last commit.
    pub(crate) fn run(mut self) -> Result<WorkerSummary, PipelineError> {
        // A panic, too, must not leave a transaction open.
        let worked = catch_unwind(AssertUnwindSafe(|| self.work())).unwrap_or_else(|panic| {
            self.take_back();
            resume_unwind(panic)
        });
        match worked {
            Ok(()) => self.summary.reached_end = self.finished(),
            // Told to stop while the far side was away: what was not committed is read again at the next start.
            Err(PipelineError::Stopped) => {}
            Err(error) => {
                self.give_up(&error);
                return Err(error);
            }
        }
        self.metrics.ended();
        Ok(self.into_summary())
    }

    /// Readers of committed records wait for the end of every transaction that is open: those of the other workers' outputs too.
    fn give_up(&mut self, error: &PipelineError) {
        // A ledger that failed has no end to give; the next start ends it.
        if !matches!(error, PipelineError::Ledger(_)) {
            self.take_back();
        }
    }

    fn take_back(&mut self) {
        if let Err(failed) = self.transaction.abort() {
            tracing::warn!(error = %failed, "what was not committed could not be taken back; the next start does it");
        }
    }

    fn work(&mut self) -> Result<(), PipelineError> {
        loop {
            while !self.stopped() && !self.finished() {
                self.turn()?;
            }
            self.commit()?;
            // A last commit that did not succeed has wound the partitions back: they are not finished any more. Nor is
            // the run while a member that died holds partitions that nobody has read to their end.
            if self.stopped() || (self.finished() && self.others_finished()?) {
                return Ok(());
            }
            self.turn()?;
        }
    }

    fn others_finished(&mut self) -> Result<bool, PipelineError> {
        match self.source.others_finished() {
            Ok(finished) => Ok(finished),
            Err(error) if error.transient() => {
                tracing::warn!(%error, "cannot see yet whether the other partitions are read");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for one event, deals with it, and commits where that is due.
    fn turn(&mut self) -> Result<(), PipelineError> {
        let look = if self.in_flight.is_some() { IN_FLIGHT_POLL_MAX } else { POLL_MAX };
        let wait = self.pace.remaining(Instant::now()).clamp(POLL_MIN, look);
        let event = match self.source.poll(wait) {
            Ok(event) => {
                self.source_failures = 0;
                event
            }
            Err(error) if error.transient() => {
                tracing::warn!(%error, hint = error.hint(), "source failed for a moment; trying again");
                self.metrics.source_failed();
                // One that fails at once must not be asked again and again; a commit is due all the same.
                self.pause(self.source_failures);
                self.source_failures += 1;
                None
            }
            Err(error) => return Err(error.into()),
        };
        // While the group moves partitions, those that wait may be among them.
        let settled = matches!(event, None | Some(SourceEvent::Batch(_) | SourceEvent::End(_)));
        if let Some(event) = event {
            self.handle(event)?;
        }
        self.settle(false)?;
        if settled {
            self.adopt_again()?;
        }
        if self.in_flight.is_none() && !self.pace.outputs_wait() {
            // What was forecast is with its readers; networks learn now, not when the next window waits for them.
            self.prepare();
        }
        self.mind_drift()?;
        self.close_quiet_partitions()?;
        self.metrics.connected(self.source.connected().and_then(|()| self.committing()));
        if self.commits_now()? {
            self.commit_soon()?;
        }
        Ok(())
    }

    /// Whether a commit is due, and need not wait for outputs that are on their way or has put that off for long enough: rows
    /// that come meanwhile would wait with it.
    fn commits_now(&mut self) -> Result<bool, PipelineError> {
        let now = Instant::now();
        Ok(self.pace.due(now) && (self.pace.overdue(now) || self.transaction.flushed()?))
    }

    /// Lets shards learn ahead, each in its turn, until one had something to learn: rows wait no longer than for one.
    fn prepare(&mut self) {
        let after: Vec<Partition> = match self.prepared {
            Some(last) => {
                let (before, after) = self.shards.keys().partition::<Vec<Partition>, _>(|one| **one <= last);
                [after, before].concat()
            }
            None => self.shards.keys().copied().collect(),
        };
        let start = Instant::now();
        for partition in after {
            if let Some(shard) = self.shards.get_mut(&partition) {
                shard.prepare();
            }
            self.prepared = Some(partition);
            if start.elapsed() > PREPARE_MAX {
                return;
            }
        }
    }

    /// Whether the last commit succeeded.
    fn committing(&self) -> Result<(), String> {
        match self.failures_in_a_row {
            0 => Ok(()),
            failures => Err(format!("the last {failures} commits failed")),
        }
    }

    pub(super) fn stopped(&self) -> bool {
        self.shared.stop.given()
    }

    /// `topic/number` of each partition.
    fn names(&self, partitions: &[Partition]) -> String {
        let names: Vec<String> =
            partitions.iter().map(|one| format!("{}/{}", self.plan.topic(one.topic), one.number)).collect();
        names.join(" ")
    }

    fn handle(&mut self, event: SourceEvent) -> Result<(), PipelineError> {
        match event {
            SourceEvent::Assigned(partitions) => {
                tracing::info!(partitions = self.names(&partitions), "partitions assigned");
                self.commit()?;
                self.adopt(&partitions)
            }
            SourceEvent::Batch(batch) => self.process(batch),
            SourceEvent::Revoked(partitions) => {
                tracing::info!(partitions = self.names(&partitions), "partitions revoked");
                self.commit()?;
                self.drop_shards(&partitions);
                Ok(self.source.release(&partitions)?)
            }
            SourceEvent::Lost(partitions) => {
                tracing::warn!(partitions = self.names(&partitions), "partitions lost; going back to the last commit");
                self.drop_shards(&partitions);
                self.recover()
            }
            SourceEvent::End(partition) => self.end(partition),
        }
    }

    fn process(&mut self, batch: SourceBatch) -> Result<(), PipelineError> {
        let partition = batch.partition;
        let Some(shard) = self.shards.get(&partition) else {
            // A batch read just before its partition was dropped: its rows belong to the next owner.
            return Ok(());
        };
        self.silence.heard(partition, self.clock.now_micros());
        let Some(decisions) = self.decisions.clone() else { return self.process_rows(&batch) };
        let position = shard.position().map_or(i64::MIN, |position| position.next_offset);
        let rewinds = self.summary.rewinds;
        for (piece, decision) in decisions.cut(position, batch) {
            self.process_rows(&piece)?;
            // Wound back to the last commit, the source delivers the rest anew.
            if self.summary.rewinds == rewinds
                && let Some(decision) = decision
            {
                self.follow(partition, decision)?;
            }
            if self.summary.rewinds > rewinds {
                return Ok(());
            }
        }
        Ok(())
    }

    fn process_rows(&mut self, batch: &SourceBatch) -> Result<(), PipelineError> {
        self.step(batch.partition, |shard, transaction| shard.process(batch, transaction))
    }

    fn follow(&mut self, partition: Partition, decision: &ControlRecord) -> Result<(), PipelineError> {
        self.step(partition, |shard, transaction| shard.follow(decision, transaction))
    }

    /// Lets a partition's shard work, hands what it gives to the ledger, and tells of it. Where the ledger fails for a
    /// moment, what was done in part is thrown away with the shard.
    fn step(
        &mut self,
        partition: Partition,
        work: impl FnOnce(&mut Shard, &mut Transaction) -> Result<BatchReport, PipelineError>,
    ) -> Result<(), PipelineError> {
        let Some(shard) = self.shards.get_mut(&partition) else { return Ok(()) };
        let transaction = &mut self.transaction;
        let worked = guarded(|| format!("partition {}", partition.number), || work(shard, transaction));
        let worked = worked.and_then(|report| {
            if report.windows > 0 && !self.transaction.records().is_empty() && self.transaction.hides() {
                self.pace.add_outputs(Instant::now());
            }
            self.transaction.append()?;
            Ok(report)
        });
        match worked {
            Ok(mut report) => {
                self.pace.add_rows(report.rows);
                self.metrics.batch(&report);
                self.teller.note(&mut report);
                self.summary.add_days(partition, report.scores);
                Ok(())
            }
            Err(PipelineError::Ledger(error)) => self.recover_from(error),
            Err(error) => Err(error),
        }
    }

    fn end(&mut self, partition: Partition) -> Result<(), PipelineError> {
        self.ended.insert(partition);
        if let Some(shard) = self.shards.get_mut(&partition) {
            shard.note_end();
        }
        if self.plan.window.flush_at_end() {
            self.flush(partition, FlushReason::End)?;
        }
        Ok(())
    }

    /// Closes the open windows of a partition by decision, not by watermark, and logs the decision.
    fn flush(&mut self, partition: Partition, reason: FlushReason) -> Result<(), PipelineError> {
        let now_micros = self.clock.now_micros();
        self.step(partition, |shard, transaction| shard.flush(reason, now_micros, transaction))
    }

    /// A partition that has been silent for `idle_after` while the broker answers has its windows closed.
    fn close_quiet_partitions(&mut self) -> Result<(), PipelineError> {
        let (source, drift) = (&self.source, &self.drift);
        let idle = self.silence.turned_idle(self.clock.now_micros(), source.connected().is_err(), |quiet| {
            let lag: BTreeMap<Partition, u64> = source.lag_rows().into_iter().collect();
            let waits = |partition: &&Partition| drift.paused(**partition) || lag.get(partition) != Some(&0);
            quiet.iter().filter(waits).copied().collect()
        });
        let rewinds = self.summary.rewinds;
        for partition in idle {
            tracing::info!(?partition, "partition is idle; closing its windows");
            self.flush(partition, FlushReason::Idle)?;
            // Wound back to the last commit, the others have rows to read again.
            if self.summary.rewinds > rewinds {
                break;
            }
        }
        Ok(())
    }

    /// Holds back partitions that are far ahead of the slowest one, and lets them go on. Looked at in every turn: what
    /// the slowest one still has to give becomes known, or is found to be nothing, without an event of its own.
    fn mind_drift(&mut self) -> Result<(), PipelineError> {
        let unfinished = || {
            let shards = self.shards.iter().filter(|(partition, _)| !self.ended.contains(partition));
            shards.filter_map(|(partition, shard)| Some((*partition, shard.newest()?)))
        };
        if self.drift.settled(unfinished().map(|(_, time)| time)) {
            return Ok(());
        }
        let lag: BTreeMap<Partition, u64> = self.source.lag_rows().into_iter().collect();
        // A partition that has given all its rows holds nobody back, however old the last one is; nor does one of which
        // nobody knows yet whether it has.
        let waits = |partition: &Partition| lag.get(partition).is_some_and(|rows| *rows > 0);
        let progress = unfinished().filter(|(partition, _)| waits(partition)).collect();
        let change = self.drift.update(&progress);
        if !change.pause.is_empty() {
            tracing::debug!(partitions = ?change.pause, "ahead of the slowest partition; pausing");
            self.source.pause(&change.pause)?;
        }
        if !change.resume.is_empty() {
            let now_micros = self.clock.now_micros();
            // Nobody has listened to them meanwhile.
            change.resume.iter().for_each(|partition| self.silence.heard(*partition, now_micros));
            self.source.resume(&change.resume)?;
        }
        Ok(())
    }

    fn finished(&self) -> bool {
        self.until == Until::Latest
            && self.unstarted.is_empty()
            && !self.shards.is_empty()
            && self.shards.keys().all(|partition| self.ended.contains(partition))
    }
}
