//! A Parquet file -> record batches in file order, chosen columns only, renamed. Errors name the path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use crate::source::SourceError;

/// What to read of a file.
#[derive(Debug, Clone)]
pub struct FileRowsConfig {
    /// The Parquet file.
    pub path: PathBuf,
    /// Columns to rename, from the file's name to the new one.
    pub columns: BTreeMap<String, String>,
    /// Columns to read, by their new names, given back in the file's order; `None` reads all.
    pub project: Option<Vec<String>>,
    /// Most rows of a batch, at least 1.
    pub batch_rows: usize,
}

impl FileRowsConfig {
    /// All columns under their own names, 8,192 rows at a time.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), columns: BTreeMap::new(), project: None, batch_rows: 8192 }
    }
}

/// Iterator over the rows of a file, in file order.
pub struct FileRows {
    file: ParquetFile,
    columns: Columns,
    batch_rows: usize,
    row_group: usize,
    reader: Option<ParquetRecordBatchReader>,
}

impl FileRows {
    /// Opens the file and reads its footer.
    ///
    /// # Errors
    /// [`SourceError::File`] where it is missing, is no complete Parquet file, or lacks a column that was named.
    pub fn open(config: &FileRowsConfig) -> Result<Self, SourceError> {
        let file = ParquetFile::open(&config.path, &config.columns)?;
        let columns = file.columns(config.project.as_deref())?;
        Ok(Self { file, columns, batch_rows: config.batch_rows.max(1), row_group: 0, reader: None })
    }

    /// Columns of the batches.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.columns.schema.clone()
    }

    /// Rows of the whole file.
    #[must_use]
    pub fn rows_total(&self) -> u64 {
        self.file.rows_total()
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(reader) = &mut self.reader {
                if let Some(batch) = self.file.next_batch(reader, &self.columns)? {
                    return Ok(Some(batch));
                }
                self.reader = None;
                self.row_group += 1;
            }
            if self.row_group == self.file.row_groups() {
                return Ok(None);
            }
            self.reader = Some(self.file.read_group(self.row_group, &self.columns, self.batch_rows)?);
        }
    }
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// An open file, its footer and its renamed schema.
pub(super) struct ParquetFile {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
    /// The file's fields under their new names.
    fields: Vec<Field>,
}

/// Chosen columns of a [`ParquetFile`], and the schema they give.
#[derive(Clone)]
pub(super) struct Columns {
    mask: ProjectionMask,
    pub(super) schema: SchemaRef,
}

impl ParquetFile {
    pub(super) fn open(path: &Path, renames: &BTreeMap<String, String>) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|error| unreadable(path, error.to_string()))?;
        if file.metadata().is_ok_and(|found| found.is_dir()) {
            return Err(unreadable(path, "is a directory, not a Parquet file"));
        }
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| unreadable(path, format!("is not a complete Parquet file: {error}")))?;
        let fields = renamed(path, metadata.schema(), renames)?;
        Ok(Self { path: path.to_owned(), file, metadata, fields })
    }

    /// The columns of these (new) names, or all.
    pub(super) fn columns(&self, names: Option<&[String]>) -> Result<Columns, SourceError> {
        for name in names.unwrap_or_default() {
            if !self.fields.iter().any(|field| field.name() == name) {
                return Err(no_column(&self.path, name, self.fields.iter().map(|field| field.name().as_str())));
            }
        }
        let chosen = |field: &Field| names.is_none_or(|wanted| wanted.contains(field.name()));
        let roots: Vec<usize> = (0..self.fields.len()).filter(|root| chosen(&self.fields[*root])).collect();
        let fields: Vec<Field> = roots.iter().map(|root| self.fields[*root].clone()).collect();
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
        Ok(Columns { mask, schema: Arc::new(Schema::new(fields)) })
    }

    pub(super) fn rows_total(&self) -> u64 {
        // A count of rows is never negative; a broken footer that says so counts as empty.
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    pub(super) fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Starts to read one row group.
    pub(super) fn read_group(
        &self,
        row_group: usize,
        columns: &Columns,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader, SourceError> {
        let file = self.file.try_clone().map_err(|error| unreadable(&self.path, error.to_string()))?;
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_row_groups(vec![row_group])
            .with_projection(columns.mask.clone())
            .with_batch_size(batch_rows)
            .build()
            .map_err(|error| self.damaged(error))
    }

    /// The next rows of a row group, renamed.
    pub(super) fn next_batch(
        &self,
        reader: &mut ParquetRecordBatchReader,
        columns: &Columns,
    ) -> Result<Option<RecordBatch>, SourceError> {
        let Some(batch) = reader.next() else { return Ok(None) };
        let (_, arrays, rows) = batch.map_err(|error| self.damaged(error))?.into_parts();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let named = RecordBatch::try_new_with_options(columns.schema.clone(), arrays, &options);
        named.map(Some).map_err(|error| self.damaged(error))
    }

    pub(super) fn damaged(&self, error: impl std::fmt::Display) -> SourceError {
        unreadable(&self.path, format!("cannot be read: {error}"))
    }
}

fn renamed(path: &Path, schema: &Schema, renames: &BTreeMap<String, String>) -> Result<Vec<Field>, SourceError> {
    for name in renames.keys() {
        if schema.field_with_name(name).is_err() {
            return Err(no_column(path, name, schema.fields().iter().map(|field| field.name().as_str())));
        }
    }
    let mut taken = BTreeSet::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let name = renames.get(field.name()).unwrap_or(field.name());
        if !taken.insert(name.clone()) {
            return Err(unreadable(path, format!("has two columns `{name}` after renaming")));
        }
        fields.push(field.as_ref().clone().with_name(name));
    }
    Ok(fields)
}

fn no_column<'a>(path: &Path, name: &str, others: impl Iterator<Item = &'a str>) -> SourceError {
    let others: Vec<&str> = others.collect();
    unreadable(path, format!("has no column `{name}`, only: {}", others.join(", ")))
}

fn unreadable(path: &Path, reason: impl Into<String>) -> SourceError {
    SourceError::File { path: path.display().to_string(), reason: reason.into() }
}
