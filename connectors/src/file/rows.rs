//! Parquet files -> record batches in the order of file names and rows, chosen columns only, renamed. Errors name the
//! file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::format::FileFormat;
use super::paths::paths_of;
use super::recognise::no_text;
use crate::source::SourceError;

/// What to read.
#[derive(Debug, Clone)]
pub struct FileRowsConfig {
    /// The Parquet file, or a pattern (`history/*.parquet`): its files are read in the order of their names.
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

/// Iterator over the rows, in the order of file names and rows.
pub struct FileRows {
    files: ParquetFiles,
    columns: Columns,
    batch_rows: usize,
    row_group: usize,
    reader: Option<ParquetRecordBatchReader>,
}

impl FileRows {
    /// Finds the files and reads their footers.
    ///
    /// # Errors
    /// [`SourceError::File`] where there is none, one is no complete Parquet file, lacks a column that was named, or
    /// has other columns than the first.
    pub fn open(config: &FileRowsConfig) -> Result<Self, SourceError> {
        let files = ParquetFiles::open(paths_of(&config.path)?, &config.columns)?;
        let columns = files.columns(config.project.as_deref())?;
        Ok(Self { files, columns, batch_rows: config.batch_rows.max(1), row_group: 0, reader: None })
    }

    /// Columns of the batches.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.columns.schema.clone()
    }

    /// Rows of all files.
    #[must_use]
    pub fn rows_total(&self) -> u64 {
        self.files.rows_total()
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            if let Some(reader) = &mut self.reader {
                if let Some(batch) = self.files.next_batch(reader, &self.columns)? {
                    return Ok(Some(batch));
                }
                self.reader = None;
                self.row_group += 1;
            }
            if self.row_group == self.files.row_groups() {
                return Ok(None);
            }
            self.reader = Some(self.files.read_group(self.row_group, &self.columns, self.batch_rows)?);
        }
    }
}

/// Rows of the files that a path or pattern names, where that is known without reading them: of Parquet.
///
/// # Errors
/// As [`FileRows::open`].
pub fn rows_total(path: &Path) -> Result<Option<u64>, SourceError> {
    let paths = paths_of(path)?;
    match FileFormat::of_all(&paths)? {
        FileFormat::Parquet => Ok(Some(ParquetFiles::open(paths, &BTreeMap::new())?.rows_total())),
        FileFormat::Json | FileFormat::Csv => Ok(None),
    }
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// Files that are read one after the other as if they were one; one of them is open at a time. Row groups are numbered
/// through all of them.
pub(super) struct ParquetFiles {
    files: Vec<FoundFile>,
    open: OpenFile,
    /// The fields of every file under their new names.
    fields: Vec<Field>,
    rows_total: u64,
}

struct FoundFile {
    path: PathBuf,
    /// Row groups of this file and those before it.
    row_groups_end: usize,
}

/// The file that a row group was last read from.
struct OpenFile {
    index: usize,
    file: File,
    metadata: ArrowReaderMetadata,
}

/// Chosen columns of [`ParquetFiles`], and the schema they give.
#[derive(Clone)]
pub(super) struct Columns {
    mask: ProjectionMask,
    pub(super) schema: SchemaRef,
}

impl ParquetFiles {
    /// Reads the footers of files, at least one.
    pub(super) fn open(paths: Vec<PathBuf>, renames: &BTreeMap<String, String>) -> Result<Self, SourceError> {
        let mut paths = paths.into_iter();
        let first = paths.next().ok_or_else(|| unreadable(Path::new(""), "names no file"))?;
        let open = OpenFile::open(0, &first)?;
        let fields = renamed(&first, open.metadata.schema(), renames)?;
        let (row_groups_end, rows_total) = (open.row_groups(), open.rows());
        let mut found = Self { files: vec![FoundFile { path: first, row_groups_end }], open, fields, rows_total };
        paths.try_for_each(|path| found.add(path, renames))?;
        Ok(found)
    }

    fn add(&mut self, path: PathBuf, renames: &BTreeMap<String, String>) -> Result<(), SourceError> {
        let opened = OpenFile::open(self.files.len(), &path)?;
        let fields = renamed(&path, opened.metadata.schema(), renames)?;
        if let Some(difference) = difference(&self.fields, &fields) {
            let first = self.files[0].path.display();
            let reason = format!("{difference} in `{first}`; files of one source must have the same columns");
            return Err(unreadable(&path, reason));
        }
        for (field, other) in self.fields.iter_mut().zip(&fields) {
            field.set_nullable(field.is_nullable() || other.is_nullable());
        }
        self.rows_total = self.rows_total.saturating_add(opened.rows());
        let row_groups_end = self.row_groups() + opened.row_groups();
        self.files.push(FoundFile { path, row_groups_end });
        Ok(())
    }

    /// The columns of these (new) names, or all.
    pub(super) fn columns(&self, names: Option<&[String]>) -> Result<Columns, SourceError> {
        for name in names.unwrap_or_default() {
            if !self.fields.iter().any(|field| field.name() == name) {
                return Err(no_column(self.path(), name, self.fields.iter().map(|field| field.name().as_str())));
            }
        }
        let chosen = |field: &Field| names.is_none_or(|wanted| wanted.contains(field.name()));
        let roots: Vec<usize> = (0..self.fields.len()).filter(|root| chosen(&self.fields[*root])).collect();
        let fields: Vec<Field> = roots.iter().map(|root| self.fields[*root].clone()).collect();
        let mask = ProjectionMask::roots(self.open.metadata.parquet_schema(), roots);
        Ok(Columns { mask, schema: Arc::new(Schema::new(fields)) })
    }

    pub(super) fn rows_total(&self) -> u64 {
        self.rows_total
    }

    /// Row groups of all files.
    pub(super) fn row_groups(&self) -> usize {
        self.files.last().map_or(0, |file| file.row_groups_end)
    }

    /// Number of the file that has a row group; of all files behind the last.
    pub(super) fn file_of(&self, row_group: usize) -> usize {
        self.files.partition_point(|file| file.row_groups_end <= row_group)
    }

    /// Starts to read one row group; opens its file if another was read last.
    pub(super) fn read_group(
        &mut self,
        row_group: usize,
        columns: &Columns,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader, SourceError> {
        let index = self.file_of(row_group);
        let first_group = index.checked_sub(1).map_or(0, |before| self.files[before].row_groups_end);
        if self.open.index != index {
            let found = &self.files[index];
            self.open = OpenFile::open(index, &found.path)?;
            if self.open.row_groups() != found.row_groups_end - first_group {
                return Err(self.damaged("it was replaced since the start; files of a source must stay as they are"));
            }
        }
        let file = self.open.file.try_clone().map_err(|error| unreadable(self.path(), error.to_string()))?;
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.open.metadata.clone())
            .with_row_groups(vec![row_group - first_group])
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

    /// The file that a row group was last read from is at fault.
    pub(super) fn damaged(&self, error: impl std::fmt::Display) -> SourceError {
        unreadable(self.path(), format!("cannot be read: {error}"))
    }

    fn path(&self) -> &Path {
        &self.files[self.open.index].path
    }
}

/// Enough to tell what a file is.
const BEGINS_BYTES: u64 = 64;

/// The first bytes of a file that can be read.
fn begins(path: &Path) -> Option<Vec<u8>> {
    let mut begins = Vec::new();
    File::open(path).ok()?.take(BEGINS_BYTES).read_to_end(&mut begins).ok()?;
    Some(begins)
}

/// Why a file is taken for Parquet whose name does not say that it is.
fn taken_for(path: &Path) -> &'static str {
    match path.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("parquet") => "",
        _ => ", which it is taken for by its name (`.csv` and `.ndjson` are text, also with `.gz` or `.zst`)",
    }
}

impl OpenFile {
    fn open(index: usize, path: &Path) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|error| unreadable(path, error.to_string()))?;
        if file.metadata().is_ok_and(|found| found.is_dir()) {
            return Err(unreadable(
                path,
                "is a directory, not a Parquet file; to read those in it write a pattern, as `*.parquet` or `*.csv` behind its name",
            ));
        }
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|error| {
            let other = begins(path).and_then(|begins| no_text(path, &begins)).filter(|_| !taken_for(path).is_empty());
            let broken = || format!("is not a complete Parquet file{}: {error}", taken_for(path));
            unreadable(path, other.unwrap_or_else(broken))
        })?;
        Ok(Self { index, file, metadata })
    }

    fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    fn rows(&self) -> u64 {
        // A count of rows is never negative; a broken footer that says so counts as empty.
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }
}

/// Where the columns of another file first differ, in names, order or types, from those of the first.
fn difference(first: &[Field], other: &[Field]) -> Option<String> {
    let said = |field: Option<&Field>| {
        field.map_or("no column".to_owned(), |field| format!("`{}` of type {}", field.name(), field.data_type()))
    };
    let columns = first.len().max(other.len());
    (0..columns).map(|column| (column, said(first.get(column)), said(other.get(column)))).find_map(
        |(column, first, other)| {
            (first != other).then(|| format!("has {other} as column {} where there is {first}", column + 1))
        },
    )
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

pub(super) fn no_column<'a>(path: &Path, name: &str, others: impl Iterator<Item = &'a str>) -> SourceError {
    let others = others.map(str::to_owned).collect();
    SourceError::NoColumn { path: path.display().to_string(), name: name.to_owned(), others }
}

pub(super) fn unreadable(path: &Path, reason: impl Into<String>) -> SourceError {
    SourceError::File { path: path.display().to_string(), reason: reason.into() }
}
