//! Parquet files that stand for a topic: rows of a partition in the order of file names and rows, offsets counted from
//! 0, typed payload.
//!
//! Rows lie in the partition that Kafka's murmur2 gives the text of their `partitioned_by` column, so files and the
//! topic that was filled from them have the same partitions and offsets. Batches of rows stream through bounded
//! buffers; a whole file is never in memory, and one is open at a time. Deliberately absent: other formats, files
//! that still grow.
//!
//! | module | what |
//! |---|---|
//! | `paths` | a path or a pattern -> the files it names, in order |
//! | [`rows`] | [`FileRows`]: the rows in that order, for a replay; errors that name the path |
//! | `partitions` | a batch of the file -> rows of each partition |
//! | `cursor` | where in the files to read on, and which row groups can be passed over |
//! | [`source`] | [`FileSource`]: partitions, offsets, seek, pause |

mod cursor;
mod partitions;
mod paths;
pub mod rows;
pub mod source;

pub use partitions::{key_texts, split_rows};
pub use rows::{FileRows, FileRowsConfig};
pub use source::{FileSource, FileSourceConfig};
