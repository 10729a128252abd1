//! Files that stand for a topic: rows of a partition in the order of file names and rows, offsets counted from 0. Parquet
//! gives typed rows, lines of JSON and CSV give bytes for a decoder, each row with its file and line.
//!
//! Rows lie in the partition that Kafka's murmur2 gives the text of their `partitioned_by` column, so files and the
//! topic that was filled from them have the same partitions and offsets. Batches of rows stream through bounded
//! buffers; a whole file is never in memory, and one is open at a time. Deliberately absent: files that still grow.
//!
//! | module | what |
//! |---|---|
//! | `paths` | a path or a pattern -> the files it names, in order |
//! | [`mod@format`] | a file's name -> its format and compression |
//! | `listing` | those files as a later run has to find them again |
//! | [`rows`] | [`FileRows`]: the rows of Parquet in that order, for a replay; errors that name the path |
//! | `partitions` | a batch of Parquet -> rows of each partition |
//! | `text` | a file of text, compressed or not -> its lines |
//! | [`encoding`] | text that is not in UTF-8 -> the same text in UTF-8 |
//! | `recognise` | what is no text by its first bytes, and what to do about it |
//! | [`sample`] | the first lines of a file, and how they are written |
//! | `json_lines` | a line of JSON -> its partition key |
//! | [`table`] | CSV -> records of named cells: header, wide tables, tables without times |
//! | `cursor` | what the source asks of a reading position |
//! | `parquet_cursor` | where in Parquet files to read on, and which row groups can be passed over |
//! | `text_cursor` | where in files of text to read on |
//! | [`source`] | [`FileSource`]: partitions, offsets, seek, pause |

mod cursor;
pub mod encoding;
pub mod format;
mod json_lines;
mod listing;
mod parquet_cursor;
mod partitions;
mod paths;
mod recognise;
pub mod rows;
pub mod sample;
pub mod source;
pub mod table;
mod text;
mod text_cursor;

use std::path::Path;

pub use encoding::TextEncoding;
pub use format::FileFormat;
pub(crate) use listing::FilesRead;
pub use listing::{ListedFile, listing};
pub use partitions::{key_texts, split_rows};
pub use rows::{FileRows, FileRowsConfig, rows_total};
pub use sample::{EncodingSign, FirstLines, first_lines};
pub use source::{FileSource, FileSourceConfig};
pub use table::{TableClock, TableLayout, Unpivot};

/// Whether a path or a pattern names any file that is there.
#[must_use]
pub fn exists(pattern: &Path) -> bool {
    paths::paths_of(pattern).is_ok_and(|paths| paths.iter().any(|path| path.exists()))
}
