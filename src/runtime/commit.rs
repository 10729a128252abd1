//! The commit protocol of a worker: begin, append, commit, and the way back after anything but success.
//!
//! *Invariant:* after every outcome other than `Committed`, working state is thrown away and rebuilt from what is
//! durable, and the source is wound back to the offset that state ends at.

use std::time::{Duration, Instant};

use arterial_connectors::ledger::{Commit, CommitOutcome, LedgerError, Restored};
use arterial_connectors::position::{Partition, Position};
use arterial_connectors::source::SeekTo;

use super::changes::Changes;
use super::error::PipelineError;
use super::shard::Shard;
use super::summary::WorkerSummary;
use super::worker::Worker;
use crate::stages::predict::ScoreTotal;
use crate::state::{Accounting, Blocks};

/// Longest pause between two attempts after failed commits.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// First pause; doubles with every failure in a row.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// A commit in flight: what is to be told of it once it has succeeded.
pub(super) struct InFlight {
    started: Instant,
    state_bytes: usize,
    report: Report,
}

/// What partitions hold as of a commit.
struct Report {
    accounting: Vec<(Partition, Accounting)>,
    scores: Vec<(Partition, Vec<ScoreTotal>)>,
}

impl Worker {
    /// Makes everything up to now durable, if there is anything, and waits until it is.
    pub(super) fn commit(&mut self) -> Result<(), PipelineError> {
        self.commit_soon()?;
        self.settle(true)
    }

    /// Begins to make everything since the last commit durable, if there is anything. Rows are worked on meanwhile: what
    /// came of the commit is seen in a later turn.
    pub(super) fn commit_soon(&mut self) -> Result<(), PipelineError> {
        self.settle(true)?;
        let lag_rows = self.source.lag_rows().iter().map(|(_, rows)| rows).sum();
        self.metrics.lag(lag_rows);
        self.pace.committed(Instant::now(), lag_rows);
        if self.shards.values().any(Shard::changed) { self.begin_commit() } else { Ok(()) }
    }

    fn begin_commit(&mut self) -> Result<(), PipelineError> {
        if let Err(error) = self.transaction.begin() {
            return self.recover_from(error);
        }
        let started = Instant::now();
        let changed = |shard: &&mut Shard| shard.changed();
        let positions: Vec<Position> = self.shards.values_mut().filter(changed).filter_map(|s| s.position()).collect();
        let mut state_bytes = 0;
        let saved = self.shards.values_mut().filter(changed).flat_map(Shard::save);
        let mut state = saved.inspect(|record| state_bytes += record.value.as_ref().map_or(0, Vec::len));
        let group = self.source.group_metadata();
        let commit = Commit { positions: &positions, state: &mut state, group: group.as_ref() };
        let begun = self.transaction.commit(commit);
        state.for_each(drop);
        if let Err(error) = begun {
            return self.recover_from(error);
        }
        self.teller.seal();
        self.in_flight = Some(InFlight { started, state_bytes, report: self.report() });
        // Ledgers that are done at once are told of at once.
        self.settle(false)
    }

    /// Sees how the commit in flight has ended, if there is one. `waits`: for its end.
    pub(super) fn settle(&mut self, waits: bool) -> Result<(), PipelineError> {
        let Some(in_flight) = self.in_flight.take() else { return Ok(()) };
        match self.transaction.outcome(waits) {
            Ok(None) => {
                self.in_flight = Some(in_flight);
                Ok(())
            }
            Ok(Some(outcome)) => self.ended(outcome, &in_flight),
            Err(error) => self.recover_from(error),
        }
    }

    fn ended(&mut self, outcome: CommitOutcome, in_flight: &InFlight) -> Result<(), PipelineError> {
        self.metrics.commit(outcome, in_flight.started.elapsed(), in_flight.state_bytes);
        match outcome {
            CommitOutcome::Committed => {
                self.failures_in_a_row = 0;
                self.summary.commits += 1;
                self.teller.committed();
                if self.plan.resets_any() {
                    self.shared.note_reset(self.shards.keys().copied());
                }
                self.tell(&in_flight.report);
                Ok(())
            }
            CommitOutcome::Aborted | CommitOutcome::Unknown if self.stopped() => {
                tracing::warn!(
                    ?outcome,
                    "the last commit did not succeed; the next start goes on from what is durable"
                );
                self.leave()
            }
            CommitOutcome::Aborted | CommitOutcome::Unknown => {
                tracing::warn!(?outcome, "commit did not succeed; going back to the last one");
                self.back_off();
                self.restore_owned()
            }
            CommitOutcome::Fenced => Err(PipelineError::Fenced),
        }
    }

    fn report(&self) -> Report {
        // Of a partition that was never committed there is nothing to say.
        let committed = || self.shards.values().filter(|shard| shard.position().is_some());
        Report {
            accounting: committed().map(|shard| (shard.partition(), *shard.accounting())).collect(),
            scores: committed().map(|shard| (shard.partition(), shard.score_totals())).collect(),
        }
    }

    /// To the metrics, less what was lost meanwhile.
    fn tell(&self, report: &Report) {
        let owned = |partition: &Partition| self.shards.contains_key(partition);
        for (partition, accounting) in report.accounting.iter().filter(|(partition, _)| owned(partition)) {
            self.metrics.accounting(self.plan.topic(partition.topic), *partition, accounting);
        }
        self.metrics.scores(report.scores.iter().filter(|(partition, _)| owned(partition)).cloned());
    }

    pub(super) fn recover_from(&mut self, error: LedgerError) -> Result<(), PipelineError> {
        if !error.transient() {
            return Err(error.into());
        }
        if self.stopped() {
            tracing::warn!(%error, "ledger failed at the end; the next start goes on from the last commit");
            return self.leave();
        }
        tracing::warn!(%error, hint = error.hint(), "ledger failed for a moment; going back to the last commit");
        self.metrics.connected(Err(error.to_string()));
        self.back_off();
        self.recover()
    }

    /// Ends without what is not durable: going back to it could take long, and nobody would go on from there. What is left
    /// open the next owner of the slot ends, which is the first that it does.
    fn leave(&mut self) -> Result<(), PipelineError> {
        let owned: Vec<Partition> = self.shards.keys().copied().collect();
        self.drop_shards(&owned);
        Err(PipelineError::Stopped)
    }

    /// Aborts the open transaction and rebuilds every owned partition from what is durable.
    pub(super) fn recover(&mut self) -> Result<(), PipelineError> {
        self.settle(true)?;
        self.abort_open()?;
        self.restore_owned()
    }

    /// Aborts the transaction, where one is open.
    pub(super) fn abort_open(&mut self) -> Result<(), PipelineError> {
        match self.transaction.abort() {
            // The next restore shuts the old transaction out in any case.
            Err(error) if error.transient() => tracing::warn!(%error, "abort failed for a moment"),
            outcome => outcome?,
        }
        Ok(())
    }

    fn restore_owned(&mut self) -> Result<(), PipelineError> {
        self.teller.rewind();
        self.summary.rewinds += 1;
        let owned: Vec<Partition> = self.shards.keys().copied().collect();
        // Wound back, none of them is ahead of the others any more.
        let paused = self.drop_shards(&owned);
        self.source.resume(&paused)?;
        self.adopt(&owned)
    }

    /// Restores partitions and starts reading them where their state ends. Those whose start could not be made durable
    /// are left for [`Worker::adopt_again`].
    pub(super) fn adopt(&mut self, partitions: &[Partition]) -> Result<(), PipelineError> {
        if partitions.is_empty() {
            return Ok(());
        }
        // Where a topic grew after the start was checked.
        let another = |partition: &&Partition| partition.topic > 0 || partition.number > 0;
        if let Some(partition) = partitions.iter().find(another).filter(|_| self.plan.features.cross_keys()) {
            let found = format!("partition {} of `{}`", partition.number, self.plan.topic(partition.topic));
            return Err(PipelineError::Scope { found });
        }
        self.settle(true)?;
        let now_micros = self.clock.now_micros();
        let mut restored = self.restore_patiently(partitions)?;
        self.hand_over(&mut restored)?;
        if !self.settle_starts(&mut restored)? {
            self.unstarted.extend(partitions);
            return Ok(());
        }
        for Restored { partition, next_offset, state } in restored {
            let blocks = Blocks::from_records(state).map_err(|error| PipelineError::State(error.to_string()))?;
            let changes = Changes::of(&self.plan, &blocks, !self.shared.was_reset(partition))?;
            self.teller.decided(&changes);
            changes.check()?;
            let shard = Shard::restore(&self.plan, partition, next_offset, blocks, &changes)?;
            self.summary.taken(&shard);
            self.shards.insert(partition, shard);
            self.silence.heard(partition, now_micros);
            self.seek_patiently(partition, next_offset.map_or(SeekTo::Start, SeekTo::Offset))?;
        }
        // Whatever this worker owned before has been committed or wound back, too.
        self.tell(&self.report());
        Ok(())
    }

    fn restore_patiently(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, PipelineError> {
        loop {
            match self.transaction.restore(partitions) {
                Err(error) if error.transient() => self.wait_out(&error, error.hint())?,
                outcome => return Ok(outcome?),
            }
        }
    }

    fn seek_patiently(&mut self, partition: Partition, to: SeekTo) -> Result<(), PipelineError> {
        loop {
            match self.source.seek(partition, to) {
                Err(error) if error.transient() => self.wait_out(&error, error.hint())?,
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Pauses before something that failed for a moment is tried again.
    pub(super) fn wait_out(&mut self, error: &dyn std::error::Error, hint: &str) -> Result<(), PipelineError> {
        tracing::warn!(%error, hint, "going back to the last commit failed for a moment; trying again");
        self.metrics.connected(Err(error.to_string()));
        self.back_off();
        if self.stopped() { Err(PipelineError::Stopped) } else { Ok(()) }
    }

    /// Forgets partitions; returns those of them that the source still holds paused.
    pub(super) fn drop_shards(&mut self, partitions: &[Partition]) -> Vec<Partition> {
        self.unstarted.retain(|partition| !partitions.contains(partition));
        for partition in partitions {
            self.shards.remove(partition);
            // Its next owner exports them.
            self.metrics.forget_accounting(self.plan.topic(partition.topic), *partition);
            self.ended.remove(partition);
            self.silence.forget(*partition);
        }
        self.metrics.scores(self.shards.values().map(|shard| (shard.partition(), shard.score_totals())));
        self.drift.forget(partitions)
    }

    pub(super) fn back_off(&mut self) {
        self.pause(self.failures_in_a_row);
        self.failures_in_a_row += 1;
    }

    /// Waits the longer, the more has failed in a row; not after the word to stop.
    pub(super) fn pause(&self, failures: u32) {
        let pause = BACKOFF_MIN.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX);
        let end = Instant::now() + pause;
        while Instant::now() < end && !self.stopped() {
            std::thread::sleep(BACKOFF_MIN.min(pause));
        }
    }

    pub(super) fn into_summary(mut self) -> WorkerSummary {
        for shard in self.shards.values_mut() {
            self.summary.add_partition(shard);
        }
        self.summary
    }
}
