//! Where history ends and the topic goes on: decoded rows -> those that are new, and those that history has had. Once laid,
//! it stays in the state for as long as the partition does.

use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use crate::stages::rows::Rows;
use crate::vocab::{EventTime, StateError, StateReader, StateWriter, from_block, to_block};

/// Step name of the state.
const STEP: &str = "seam";

/// The end of the history that a partition's state was handed over from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seam {
    /// The largest event time in history; `None` where it had no row of the partition.
    until: Option<EventTime>,
    /// Which state was handed over: its digest.
    origin: String,
}

impl Seam {
    /// A seam after `until`; `origin` is the digest of the state that is handed over.
    #[must_use]
    pub fn new(until: Option<EventTime>, origin: &str) -> Self {
        Self { until, origin: origin.to_owned() }
    }

    /// Digest of the state that was handed over.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The rows after the end of history, and the origins of the others. History holds every row up to its end, so a row
    /// that is not later has been counted there, whatever became of it.
    ///
    /// # Errors
    /// Only where Arrow refuses to filter, which these masks never cause.
    pub fn split(&self, rows: Rows) -> Result<(Rows, Vec<u32>), ArrowError> {
        let Some(EventTime(until)) = self.until else { return Ok((rows, Vec::new())) };
        let new: Vec<bool> = rows.times.iter().map(|time| *time > until).collect();
        rows.split(&new)
    }

    /// Writes the state.
    pub fn write(&self, writer: &mut dyn StateWriter) {
        writer.put(STEP, 0, to_block(self));
    }

    /// Reads the state back; `None` where nothing was handed over.
    ///
    /// # Errors
    /// [`StateError`] where the block is not this state.
    pub fn restore(reader: &dyn StateReader) -> Result<Option<Self>, StateError> {
        reader.blocks(STEP).next().map(|(block, bytes)| from_block(STEP, block, bytes)).transpose()
    }
}
