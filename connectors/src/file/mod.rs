//! A Parquet file that stands for a topic: rows of a partition in file order, offsets counted from 0, typed payload.
//!
//! Rows lie in the partition that Kafka's murmur2 gives the text of their `partitioned_by` column, so a file and the
//! topic that was filled from it have the same partitions and offsets. Batches of rows stream through bounded
//! buffers; the whole file is never in memory. Deliberately absent: other formats, globs, files that still grow.
//!
//! | module | what |
//! |---|---|
//! | [`rows`] | [`FileRows`]: the rows in file order, for a replay; errors that name the path |
//! | `partitions` | a batch of the file -> rows of each partition |
//! | `cursor` | where in the file to read on, and which row groups can be passed over |
//! | [`source`] | [`FileSource`]: partitions, offsets, seek, pause |

mod cursor;
mod partitions;
pub mod rows;
pub mod source;

pub use partitions::{key_texts, split_rows};
pub use rows::{FileRows, FileRowsConfig};
pub use source::{FileSource, FileSourceConfig};
