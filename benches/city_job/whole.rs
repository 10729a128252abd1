//! The whole pipeline as `arterial run` runs it: with the real ledger, or with one that throws everything away, which
//! shows what the commits cost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use arterial::runtime::{Connect, Pipeline, RunOptions, RunSummary, Wiring};
use arterial::spec::PipelinePlan;
use arterial_connectors::discard::DiscardLedger;
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use arterial_connectors::position::Partition;
use arterial_connectors::source::{GroupMetadata, SeekTo, Source, SourceError, SourceEvent, Until};

use crate::measure::{CommitCost, Meter};

type SharedMeter = Arc<Mutex<Meter>>;

/// Where outputs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    Discarded,
    Committed,
}

/// Runs the pipeline over its topic to the end. The meter counts from the first row read to the last commit.
pub(crate) fn run(plan: &Arc<PipelinePlan>, outputs: Outputs) -> Result<(Meter, RunSummary)> {
    let meter = SharedMeter::default();
    let connect = Arc::new(Metered { wiring: Wiring::new(plan)?, outputs, meter: Arc::clone(&meter) });
    let options = RunOptions { until: Until::Latest, ..RunOptions::default() };
    let pipeline = Pipeline::new(Arc::clone(plan), connect, options);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let summary = runtime.block_on(pipeline.run(std::future::pending()))?;
    Ok((with(&meter, std::mem::take), summary))
}

fn with<T>(meter: &SharedMeter, act: impl FnOnce(&mut Meter) -> T) -> T {
    act(&mut meter.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Metered {
    wiring: Wiring,
    outputs: Outputs,
    meter: SharedMeter,
}

impl Connect for Metered {
    fn source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let inner = self.wiring.source(slot, until)?;
        Ok(Box::new(MeteredSource { inner, meter: Arc::clone(&self.meter) }))
    }

    fn ledger(&self, slot: &str, partition_counts: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let inner: Box<dyn Ledger> = match self.outputs {
            Outputs::Discarded => Box::new(DiscardLedger),
            Outputs::Committed => self.wiring.ledger(slot, partition_counts)?,
        };
        Ok(Box::new(MeteredLedger { inner, meter: Arc::clone(&self.meter), in_flight: None }))
    }
}

/// Notes when rows arrive.
struct MeteredSource {
    inner: Box<dyn Source>,
    meter: SharedMeter,
}

impl Source for MeteredSource {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        let event = self.inner.poll(timeout)?;
        if let Some(SourceEvent::Batch(batch)) = &event {
            with(&self.meter, |meter| meter.rows(batch.payload.len()));
        }
        Ok(event)
    }

    fn seek(&mut self, partition: Partition, to: SeekTo) -> Result<(), SourceError> {
        self.inner.seek(partition, to)?;
        with(&self.meter, Meter::sought);
        Ok(())
    }

    fn release(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.inner.release(partitions)
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.inner.pause(partitions)
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.inner.resume(partitions)
    }

    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        self.inner.lag_rows()
    }

    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError> {
        self.inner.partition_counts()
    }

    fn others_finished(&mut self) -> Result<bool, SourceError> {
        self.inner.others_finished()
    }

    fn group_metadata(&self) -> Option<GroupMetadata> {
        self.inner.group_metadata()
    }

    fn connected(&self) -> Result<(), String> {
        self.inner.connected()
    }
}

/// Notes what is restored, and what is committed.
struct MeteredLedger {
    inner: Box<dyn Ledger>,
    meter: SharedMeter,
    /// The commit whose end is not known yet, and since when.
    in_flight: Option<(CommitCost, Instant)>,
}

impl MeteredLedger {
    /// Begins a commit in either way, and notes what it carries.
    fn begin_commit<T>(
        &mut self,
        commit: Commit<'_>,
        begin: impl FnOnce(&mut dyn Ledger, Commit<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let since = Instant::now();
        let mut cost = CommitCost { records: 0, bytes: 0, took: Duration::ZERO };
        let Commit { positions, state, group } = commit;
        let mut state = state.inspect(|record| {
            cost.records += 1;
            cost.bytes += record.key.len() + record.value.as_ref().map_or(0, Vec::len);
        });
        let begun = begin(self.inner.as_mut(), Commit { positions, state: &mut state, group });
        self.in_flight = Some((cost, since));
        begun
    }

    fn ended(&mut self) {
        if let Some((cost, since)) = self.in_flight.take() {
            with(&self.meter, |meter| meter.committed(CommitCost { took: since.elapsed(), ..cost }));
        }
    }
}

impl Ledger for MeteredLedger {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        let since = Instant::now();
        let restored = self.inner.restore(partitions)?;
        let records = restored.iter().flat_map(|partition| &partition.state);
        let bytes = records.map(|(key, value)| key.len() + value.len()).sum();
        with(&self.meter, |meter| meter.restored(since, bytes));
        Ok(restored)
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        self.inner.begin()
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        self.inner.append(records)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        let outcome = self.begin_commit(commit, |ledger, commit| ledger.commit(commit))?;
        self.ended();
        Ok(outcome)
    }

    fn commit_soon(&mut self, commit: Commit<'_>) -> Result<Option<CommitOutcome>, LedgerError> {
        let outcome = self.begin_commit(commit, |ledger, commit| ledger.commit_soon(commit))?;
        if outcome.is_some() {
            self.ended();
        }
        Ok(outcome)
    }

    fn outcome(&mut self, patience: Duration) -> Result<Option<CommitOutcome>, LedgerError> {
        let outcome = self.inner.outcome(patience)?;
        if outcome.is_some() {
            self.ended();
        }
        Ok(outcome)
    }

    fn flushed(&mut self, patience: Duration) -> Result<bool, LedgerError> {
        self.inner.flushed(patience)
    }

    fn overlaps(&self) -> bool {
        self.inner.overlaps()
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        self.inner.abort()
    }
}
