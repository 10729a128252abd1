//! Committed records of a sink -> batches that the embedding program reads. What was not committed is never seen.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arterial_connectors::folder::Columns;
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use arterial_connectors::position::{Partition, Position};
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::runtime::rows::RowsOf;
use crate::spec::PipelinePlan;

/// Most batches of an output that wait for their reader; then the pipeline waits.
const OUTPUT_BATCHES_MAX: usize = 16;

/// What a sink gets, in batches as they are committed: [`Stream`], or [`Output::next`]. It ends with the run.
pub struct Output {
    batches: mpsc::Receiver<RecordBatch>,
    rows: Arc<RowsOf>,
}

impl Output {
    /// The schema of the batches: that of the topic (schemas/alert.v1.avsc and so on), as Arrow has it. Late rows and dead
    /// letters come as they were: `key` and `value` as bytes, dead letters with `stage`, `reason`, `detail`, `partition`
    /// and `offset`.
    #[must_use]
    pub fn schema(&self) -> arrow::datatypes::SchemaRef {
        Arc::clone(self.rows.schema())
    }

    /// The next batch, `None` after the end of the run.
    pub async fn next(&mut self) -> Option<RecordBatch> {
        self.batches.recv().await
    }

    /// As [`Output::next`], for threads.
    pub fn next_blocking(&mut self) -> Option<RecordBatch> {
        self.batches.blocking_recv()
    }
}

impl Stream for Output {
    type Item = RecordBatch;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<RecordBatch>> {
        self.batches.poll_recv(context)
    }
}

/// The sending side of every output, by number of its sink.
pub(super) struct Streams(BTreeMap<u16, (Arc<RowsOf>, mpsc::Sender<RecordBatch>)>);

impl Streams {
    /// A stream for every `memory: {}` sink, with its receiving side by name.
    pub(super) fn of(plan: &PipelinePlan) -> (Self, BTreeMap<String, Output>) {
        let (mut senders, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        // Outputs of a Kafka source belong into its transactions.
        let declared = plan.sinks.declared().iter().filter(|_| plan.source.kafka.is_none());
        for (number, (name, sink)) in (0u16..).zip(declared) {
            let (sender, batches) = mpsc::channel(OUTPUT_BATCHES_MAX);
            let rows = Arc::new(RowsOf::new(sink.from));
            senders.insert(number, (Arc::clone(&rows), sender));
            outputs.insert(name.clone(), Output { batches, rows });
        }
        (Self(senders), outputs)
    }

    fn batches(&self, records: &Records) -> Result<Vec<(u16, RecordBatch)>, ArrowError> {
        let mut made = Vec::new();
        // One that nobody reads is not made into batches.
        for (sink, (rows, _)) in self.0.iter().filter(|(_, (_, sender))| !sender.is_closed()) {
            let batch = rows.batch(records, *sink)?;
            if batch.num_rows() > 0 {
                made.push((*sink, batch));
            }
        }
        Ok(made)
    }

    /// Waits for the readers; one that has left gets nothing.
    fn deliver(&self, batches: Vec<(u16, RecordBatch)>) {
        for (sink, batch) in batches {
            if let Some((_, sender)) = self.0.get(&sink) {
                let _ = sender.blocking_send(batch);
            }
        }
    }
}

/// A ledger whose records go to the outputs as well, after their commit.
pub(super) struct DeliveringLedger {
    pub(super) inner: Box<dyn Ledger>,
    /// Whether the inner ledger keeps the records too.
    pub(super) keeps_records: bool,
    pub(super) streams: Arc<Streams>,
    /// Batches of the open transaction, or of one whose outcome is unknown: what the rows between two commits give.
    pub(super) pending: Vec<(u16, RecordBatch)>,
    /// Where a transaction of unknown outcome ends.
    pub(super) unknown: Vec<Position>,
}

impl Ledger for DeliveringLedger {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        let restored = self.inner.restore(partitions)?;
        let unknown = std::mem::take(&mut self.unknown);
        let pending = std::mem::take(&mut self.pending);
        let applied = |position: &Position| {
            let one = restored.iter().find(|one| one.partition == position.partition);
            one.is_some_and(|one| one.next_offset == Some(position.next_offset))
        };
        if !unknown.is_empty() && unknown.iter().all(applied) {
            self.streams.deliver(pending);
        }
        Ok(restored)
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        self.pending.clear();
        self.inner.begin()
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        if self.keeps_records {
            self.inner.append(records)?;
        }
        let made = self.streams.batches(records).map_err(|error| LedgerError::Client {
            operation: "making batches of output records",
            reason: error.to_string(),
            transient: false,
        })?;
        self.pending.extend(made);
        Ok(())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        let positions = commit.positions.to_vec();
        let outcome = self.inner.commit(commit)?;
        match outcome {
            CommitOutcome::Committed => self.streams.deliver(std::mem::take(&mut self.pending)),
            CommitOutcome::Unknown => self.unknown = positions,
            CommitOutcome::Aborted | CommitOutcome::Fenced => self.pending.clear(),
        }
        Ok(outcome)
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        self.pending.clear();
        self.inner.abort()
    }
}
