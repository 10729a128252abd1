//! One partition of the source: its queue, where it stands, what it may deliver. Batches come out; group membership
//! is the source's business.

use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode;

use super::native::{Mark, MessageBuffer, PartitionQueue, Taken};
use crate::payload::{Payload, RawRows};
use crate::position::Partition;
use crate::source::SourceBatch;

/// Most messages in a batch. Measured: 10,000 consume as fast as larger batches.
const BATCH_ROWS_MAX: usize = 10_000;

/// Bytes that a batch aims at; the first batch of a partition may exceed it, until the size of its rows is known.
const BATCH_BYTES_AIM: usize = 4 << 20;

/// A partition that this source owns.
pub(super) struct Reader {
    pub(super) partition: Partition,
    pub(super) topic: Arc<str>,
    /// `None` until the worker said where to start.
    pub(super) queue: Option<PartitionQueue>,
    /// The next offset to deliver; `None` until it is known (a start at the oldest record).
    pub(super) position: Option<i64>,
    /// Rows at or beyond it are never delivered.
    pub(super) end: Option<i64>,
    pub(super) ended: bool,
    pub(super) paused: bool,
    /// Asked back by the group: nothing more is delivered.
    pub(super) revoked: bool,
    /// Rows that `on_gap: skip` stepped over and no batch has reported yet.
    pub(super) skipped: u64,
    row_bytes: usize,
}

/// What a look at a partition's queue brought.
#[derive(Default)]
pub(super) struct Look {
    pub(super) batch: Option<SourceBatch>,
    /// To be dealt with after the batch.
    pub(super) trouble: Option<Trouble>,
}

/// What keeps a partition from being read on.
pub(super) enum Trouble {
    /// The fetch position left the partition: find out why and go on from there.
    OutOfRange,
    /// librdkafka's own position is not to be trusted: start again from ours.
    Restart,
    /// An error of this partition.
    Failed(RDKafkaErrorCode, String),
}

impl Reader {
    pub(super) fn new(partition: Partition, topic: Arc<str>, end: Option<i64>) -> Self {
        Self {
            partition,
            topic,
            queue: None,
            position: None,
            end,
            ended: false,
            paused: false,
            revoked: false,
            skipped: 0,
            row_bytes: 0,
        }
    }

    /// Whether rows may be delivered at the moment.
    pub(super) fn readable(&self) -> bool {
        self.queue.is_some() && !self.ended && !self.paused && !self.revoked
    }

    /// Sets where reading goes on: `position`, where it is known, is `offset`.
    pub(super) fn place_at(&mut self, position: Option<i64>, offset: i64, skipped: u64) {
        self.position = position;
        self.skipped += skipped;
        self.ended = offset >= self.end_or_max();
    }

    /// Takes what is queued, up to the size of a batch.
    pub(super) fn look(&mut self, buffer: &mut MessageBuffer) -> Look {
        let Some(queue) = self.queue.as_ref().filter(|_| self.readable()) else { return Look::default() };
        let limit = match self.row_bytes {
            0 => BATCH_ROWS_MAX,
            bytes => (BATCH_BYTES_AIM / bytes).clamp(1, BATCH_ROWS_MAX),
        };
        let (taken, count) = queue.take(buffer, limit, self.row_bytes, self.position.unwrap_or(0), self.end_or_max());
        if count == 0 {
            return Look::default();
        }
        self.row_bytes = taken.rows.byte_len().checked_div(taken.rows.len()).unwrap_or(self.row_bytes);
        self.digest(taken)
    }

    /// A batch without rows where the position moved although no row came: transaction markers.
    pub(super) fn look_past_markers(&mut self) -> Option<SourceBatch> {
        let before = self.position.filter(|_| self.readable())?;
        self.advance_past_markers();
        (self.position != Some(before)).then(|| self.deliver(RawRows::default()))
    }

    /// Moves the position past what was taken and decides what it means.
    fn digest(&mut self, taken: Taken) -> Look {
        let before = self.position;
        if let Some(last) = taken.rows.len().checked_sub(1) {
            self.advance(taken.rows.row(last).offset + 1);
        }
        if taken.passed_bound {
            self.advance(self.end_or_max());
        }
        let mut trouble = None;
        match taken.mark {
            Some(Mark::End(offset)) => {
                self.advance(offset);
                // A mark before the captured end is possible after a change of the partition's leader.
                trouble = (!self.ended).then_some(Trouble::Restart);
            }
            Some(Mark::OutOfRange) => trouble = Some(Trouble::OutOfRange),
            Some(Mark::Failed(code, text)) => trouble = Some(Trouble::Failed(code, text)),
            None => self.advance_past_markers(),
        }
        let moved = self.position != before;
        Look { batch: moved.then(|| self.deliver(taken.rows)), trouble }
    }

    fn deliver(&mut self, rows: RawRows) -> SourceBatch {
        SourceBatch {
            partition: self.partition,
            payload: Payload::Raw(rows),
            next_offset: self.position.unwrap_or(0),
            skipped: std::mem::take(&mut self.skipped),
        }
    }

    fn advance_past_markers(&mut self) {
        if let Some(offset) = self.queue.as_ref().and_then(PartitionQueue::position) {
            self.advance(offset);
        }
    }

    /// Never backwards, and never past the captured end: what lies there belongs to a later run.
    fn advance(&mut self, offset: i64) {
        let offset = offset.min(self.end_or_max());
        self.position = Some(self.position.map_or(offset, |position| position.max(offset)));
        self.ended |= offset >= self.end_or_max();
    }

    fn end_or_max(&self) -> i64 {
        self.end.unwrap_or(i64::MAX)
    }

    /// Rows between the position and the end, as far as known.
    pub(super) fn lag_rows(&self) -> Option<u64> {
        let watermarks = self.queue.as_ref().and_then(PartitionQueue::watermarks);
        let end = self.end.or(watermarks.map(|(_, high)| high))?;
        let position = self.position.or(watermarks.map(|(low, _)| low))?;
        Some(u64::try_from(end - position).unwrap_or(0))
    }
}
