//! Records of one sink -> its file in an epoch: lines of JSON, or the columns of a Parquet file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::disk::DurableFile;
use super::error::FolderError;
use super::lines;
use crate::ledger::{Record, Records};

/// Rows of a row group: what a file holds in memory until they are written.
const ROW_GROUP_ROWS: usize = 1 << 16;

/// Makes columns of the records of a sink.
pub trait Columns: Send + Sync {
    /// The columns.
    fn schema(&self) -> &SchemaRef;

    /// The records of this sink, in order, a row each.
    ///
    /// # Errors
    /// A record that does not fit the columns: a defect of whoever made it.
    fn batch(&self, records: &Records, sink: u16) -> Result<RecordBatch, ArrowError>;
}

/// A sink and how its file is written.
#[derive(Clone)]
pub struct FolderSink {
    /// Name of the file, without its ending.
    pub name: String,
    /// Columns of a Parquet file; lines of JSON without.
    pub columns: Option<Arc<dyn Columns>>,
}

impl FolderSink {
    /// A sink of lines of JSON.
    #[must_use]
    pub fn lines(name: impl Into<String>) -> Self {
        Self { name: name.into(), columns: None }
    }

    pub(super) fn create(&self, epoch: &Path) -> Result<SinkFile, FolderError> {
        let Some(columns) = &self.columns else {
            let file = DurableFile::create(epoch.join(format!("{}.ndjson", self.name)))?;
            return Ok(SinkFile::Lines { file, line: Vec::new() });
        };
        let path = epoch.join(format!("{}.parquet", self.name));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(Default::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let file = DurableFile::create(path.clone())?;
        let writer = ArrowWriter::try_new(file, Arc::clone(columns.schema()), Some(properties));
        Ok(SinkFile::Columns(Box::new(writer.map_err(|source| parquet_error(path, source))?)))
    }
}

impl fmt::Debug for FolderSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.columns.is_some() { "parquet" } else { "ndjson" };
        formatter.debug_struct("FolderSink").field("name", &self.name).field("kind", &kind).finish()
    }
}

/// The file of a sink in an epoch that is being written.
pub(super) enum SinkFile {
    Lines { file: DurableFile, line: Vec<u8> },
    Columns(Box<ArrowWriter<DurableFile>>),
}

impl SinkFile {
    /// Appends a record to lines.
    pub(super) fn line(&mut self, record: &Record<'_>) -> Result<(), FolderError> {
        let Self::Lines { file, line } = self else { return Ok(()) };
        line.clear();
        lines::write(record, line);
        file.write(line)
    }

    /// Appends rows to columns.
    pub(super) fn rows(&mut self, rows: &RecordBatch) -> Result<(), FolderError> {
        let Self::Columns(writer) = self else { return Ok(()) };
        writer.write(rows).map_err(|source| parquet_error(writer.inner().path().to_owned(), source))
    }

    /// Ends the file; it is durable then.
    pub(super) fn finish(self) -> Result<(), FolderError> {
        match self {
            Self::Lines { file, .. } => file.finish(),
            Self::Columns(writer) => {
                let path = writer.inner().path().to_owned();
                writer.into_inner().map_err(|source| parquet_error(path, source))?.finish()
            }
        }
    }
}

/// What the disk refused where it did, else what Parquet did.
fn parquet_error(path: PathBuf, source: ParquetError) -> FolderError {
    match source {
        ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(cause) => FolderError::Disk { operation: "write", path, cause: *cause },
            Err(error) => FolderError::Parquet { path, cause: ParquetError::External(error) },
        },
        cause => FolderError::Parquet { path, cause },
    }
}
