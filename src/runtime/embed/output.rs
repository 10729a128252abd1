//! Committed records of a sink -> batches that the embedding program reads. What was not committed is never seen.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arterial_connectors::folder::Columns;
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use arterial_connectors::position::{Partition, Position};
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::runtime::pipeline::Shared;
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

/// How long after the word to stop the pipeline waits for the reader of an output that is full. One that reads takes the
/// batches at once; one that waits for the end of the run before it reads would wait for ever.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// How long an output stays full until that is told in the log.
const TOLD_AFTER: Duration = Duration::from_secs(10);

/// How soon the word to stop is noticed while a reader is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// One output as its pipeline sees it.
struct Sending {
    name: String,
    rows: Arc<RowsOf>,
    sender: mpsc::Sender<RecordBatch>,
}

/// The sending side of every output, by number of its sink.
pub(super) struct Streams {
    outputs: BTreeMap<u16, Sending>,
    /// The run's, once it has begun.
    run: OnceLock<Arc<Shared>>,
}

impl Streams {
    /// A stream for every `memory: {}` sink, with its receiving side by name.
    pub(super) fn of(plan: &PipelinePlan) -> (Self, BTreeMap<String, Output>) {
        let (mut senders, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        // Outputs of a Kafka source belong into its transactions.
        let declared = plan.sinks.declared().iter().filter(|_| plan.source.kafka.is_none());
        for (number, (name, sink)) in (0u16..).zip(declared) {
            let (sender, batches) = mpsc::channel(OUTPUT_BATCHES_MAX);
            let rows = Arc::new(RowsOf::new(sink.from));
            senders.insert(number, Sending { name: name.clone(), rows: Arc::clone(&rows), sender });
            outputs.insert(name.clone(), Output { batches, rows });
        }
        (Self { outputs: senders, run: OnceLock::new() }, outputs)
    }

    /// From whom the word to stop will come.
    pub(super) fn begin(&self, run: Arc<Shared>) {
        // A pipeline begins once.
        let _ = self.run.set(run);
    }

    fn batches(&self, records: &Records) -> Result<Vec<(u16, RecordBatch)>, ArrowError> {
        let mut made = Vec::new();
        // One that nobody reads is not made into batches.
        for (sink, output) in self.outputs.iter().filter(|(_, output)| !output.sender.is_closed()) {
            let batch = output.rows.batch(records, *sink)?;
            if batch.num_rows() > 0 {
                made.push((*sink, batch));
            }
        }
        Ok(made)
    }

    /// Waits for the readers; one that has left gets nothing.
    fn deliver(&self, batches: Vec<(u16, RecordBatch)>) -> Result<(), LedgerError> {
        for (sink, batch) in batches {
            if let Some(output) = self.outputs.get(&sink) {
                self.send(output, batch)?;
            }
        }
        Ok(())
    }

    /// Waits for room without a runtime: this is a worker's own thread.
    fn send(&self, output: &Sending, batch: RecordBatch) -> Result<(), LedgerError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut room = pin!(output.sender.reserve());
        let (since, mut told) = (Instant::now(), false);
        loop {
            match room.as_mut().poll(&mut context) {
                Poll::Ready(Ok(room)) => {
                    room.send(batch);
                    return Ok(());
                }
                // The reader has left.
                Poll::Ready(Err(_)) => return Ok(()),
                Poll::Pending => {}
            }
            let waited = since.elapsed();
            if waited >= READ_WITHIN && self.run.get().is_some_and(|run| run.stop.older_than(READ_WITHIN)) {
                return Err(LedgerError::Unread { output: output.name.clone(), waited });
            }
            if waited >= TOLD_AFTER && !told {
                told = true;
                tracing::warn!(
                    output = output.name,
                    "an output is full and is not read; the pipeline waits for its reader"
                );
            }
            thread::park_timeout(LOOK);
        }
    }
}

/// Wakes a worker's thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
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
            self.streams.deliver(pending)?;
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
            CommitOutcome::Committed => self.streams.deliver(std::mem::take(&mut self.pending))?,
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
