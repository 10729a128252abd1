//! A reading position in files that stand for a topic: what [`FileSource`](super::FileSource) asks of every format.

use crate::payload::Payload;
use crate::source::SourceError;

/// Rows of one partition.
pub(super) struct Part {
    pub(super) partition: usize,
    pub(super) rows: Payload,
}

/// Reads rows in the order of file names and rows, and counts the offsets of every partition.
pub(super) trait Cursor: Send {
    /// The offset of a partition's next row here.
    fn offset(&self, partition: usize) -> i64;

    /// Whether every row has been read.
    fn at_end(&self) -> bool;

    /// The offset after each partition's last row, once the files have been read to their end.
    fn ends(&self) -> Option<&[i64]>;

    /// Number of the file, from 0, whose row was read last or comes next.
    fn file(&self) -> usize;

    /// Goes back to a known place at or before all these (partition, offset).
    fn rewind(&mut self, wanted: &[(usize, i64)]);

    /// Passes over what holds nothing at or above these (partition, offset), where that is cheaper than reading it.
    fn pass_over(&mut self, _wanted: &[(usize, i64)]) -> Result<(), SourceError> {
        Ok(())
    }

    /// The next rows, each partition's in their order; `None` at the end.
    fn next_parts(&mut self) -> Result<Option<Vec<Part>>, SourceError>;
}
