//! Batches of the embedding program -> rows of the pipeline's source. A batch of another schema is refused here, where
//! its sender hears of it, and not in the worker.

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arterial_connectors::memory::{FeedError, MemoryFeed};

use crate::spec::PipelinePlan;
use crate::stages::decode::{DecodeError, DecodePlan, Decoder};

/// Why a batch was not taken: none of its rows was.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The batch has other columns than the pipeline's schema.
    #[error(transparent)]
    Schema(#[from] DecodeError),
    /// No room in time, nobody reads any more, or no key to go by.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

impl SendError {
    /// What the embedding program should do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Schema(_) => "compare the batch's columns with the schema named under `decode:`",
            Self::Feed(FeedError::Full { .. }) => "read the outputs, wait longer, or raise `feed.rows_max`",
            Self::Feed(FeedError::Closed(_)) => "the run has ended: its result says why",
            Self::Feed(_) => "key the rows by text or whole numbers: `partitioned_by` names the column",
        }
    }
}

/// The sending side of a pipeline's `feed`. Clones share its limit; the pipeline is at its end when the last is finished
/// or dropped.
#[derive(Clone)]
pub struct Input {
    feed: MemoryFeed,
    decode: Arc<DecodePlan>,
    /// The column, as the batches call it, whose value says which partition a row belongs to.
    key: String,
}

impl Input {
    pub(super) fn new(feed: MemoryFeed, plan: &PipelinePlan) -> Self {
        Self { feed, decode: Arc::clone(&plan.decode), key: plan.partition_column().to_owned() }
    }

    /// Sends a batch when there is room for it: `feed.rows_max` counts the rows that were sent and are not committed.
    /// Columns are found by name, and cast where nothing is lost; a row whose value cannot be cast is a dead letter.
    /// Dropping the future before it is ready sends nothing.
    ///
    /// # Errors
    /// [`SendError::Schema`] names a column, its type and the type that is due; [`FeedError::Closed`] after the end of the
    /// run. None of the rows was taken then.
    pub async fn send(&self, rows: RecordBatch) -> Result<(), SendError> {
        self.check(&rows)?;
        Ok(self.feed.send_keyed_async(&self.key, rows).await?)
    }

    /// As [`Input::send`], for threads: waits for room for at most `timeout`.
    ///
    /// # Errors
    /// Likewise; [`FeedError::Full`] after the time-out.
    pub fn send_timeout(&self, rows: &RecordBatch, timeout: Duration) -> Result<(), SendError> {
        self.check(rows)?;
        Ok(self.feed.send_keyed(&self.key, rows, timeout)?)
    }

    /// Says that this sender is done. What was sent is worked on to the end.
    pub fn finish(self) {}

    /// Whether a batch has the columns that the pipeline reads.
    fn check(&self, rows: &RecordBatch) -> Result<(), DecodeError> {
        Decoder::new(Arc::clone(&self.decode)).check(rows)
    }
}
