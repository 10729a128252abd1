//! Where in files of text the next rows are read. Remembers the offsets at the start of every file that it has passed:
//! a rewind reads the file again from there, for compressed text cannot be entered in the middle.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cursor::{Cursor, Part};
use super::encoding::TextEncoding;
use super::json_lines::key_of;
use super::rows::unreadable;
use super::table::Table;
use super::text::TextFile;
use crate::payload::{Payload, RawRows};
use crate::position::partition_of_key;
use crate::source::SourceError;

/// Bytes of rows that are read at a time, beside the limit of rows: a batch ends with the row that reaches them.
const BATCH_BYTES: usize = 4 << 20;

/// What the rows of the files are.
pub(super) enum TextRows {
    /// Objects of JSON, a line each; the keys that lead to the partition key in one.
    Json(Vec<String>),
    /// Rows of tables.
    Table(Box<Table>),
}

/// A reading position in files of text.
pub(super) struct TextCursor {
    paths: Vec<PathBuf>,
    rows: TextRows,
    batch_rows: usize,
    /// Rows of tables at the start of file `i`, as `starts`.
    table_rows: Vec<i64>,
    /// Next offset of every partition at the start of file `i`, as far as they are known; the last is the end.
    starts: Vec<Vec<i64>>,
    /// The file that is read, or is next.
    file: usize,
    open: Option<TextFile>,
    /// Next offset of every partition here.
    offsets: Vec<i64>,
    line: Vec<u8>,
}

impl TextCursor {
    /// Looks whether every file can be opened.
    pub(super) fn new(
        paths: Vec<PathBuf>,
        mut rows: TextRows,
        partitions: u32,
        batch_rows: usize,
    ) -> Result<Self, SourceError> {
        paths.iter().try_for_each(|path| open(path, &mut rows).map(drop))?;
        let offsets = vec![0; partitions as usize];
        Ok(Self {
            paths,
            rows,
            batch_rows,
            table_rows: vec![0],
            starts: vec![offsets.clone()],
            file: 0,
            open: None,
            offsets,
            line: Vec::new(),
        })
    }

    /// Rows of the open file, up to the limits of a batch; `None` at the file's end.
    fn read_batch(&mut self, file: &mut TextFile) -> Result<Option<Vec<Part>>, SourceError> {
        let columns = match &self.rows {
            TextRows::Json(_) => None,
            TextRows::Table(table) => Some(Arc::clone(table.cells())),
        };
        let name = Arc::from(file.path().display().to_string());
        let mut rows = PartRows::new(&name, columns.as_ref(), &mut self.offsets);
        while rows.count < self.batch_rows && rows.bytes < BATCH_BYTES {
            match &mut self.rows {
                TextRows::Json(key_path) => {
                    let Some(number) = file.next_line(&mut self.line)? else { break };
                    // An empty line, such as a file's last, is no row.
                    if !self.line.trim_ascii().is_empty() {
                        let key = key_of(&self.line, key_path);
                        rows.push(number, key.as_deref(), &self.line);
                    }
                }
                TextRows::Table(table) => {
                    let mut take = |line: i64, key: Option<&str>, record: &[u8]| rows.push(line, key, record);
                    if !table.next_row(file, &mut self.line, &mut take)? {
                        break;
                    }
                }
            }
        }
        Ok((rows.count > 0).then(|| rows.finish()))
    }
}

/// Opens a file and reads its header, where it has one.
fn open(path: &Path, rows: &mut TextRows) -> Result<TextFile, SourceError> {
    match rows {
        TextRows::Json(_) => TextFile::open(path, TextEncoding::UTF_8),
        TextRows::Table(table) => {
            let mut file = TextFile::open(path, table.encoding())?;
            table.open(&mut file)?;
            Ok(file)
        }
    }
}

/// Rows on their way into the partitions of their keys.
struct PartRows<'a> {
    offsets: &'a mut [i64],
    parts: Vec<RawRows>,
    count: usize,
    bytes: usize,
}

impl<'a> PartRows<'a> {
    fn new(file: &Arc<str>, columns: Option<&Arc<[String]>>, offsets: &'a mut [i64]) -> Self {
        let parts = offsets.iter().map(|_| RawRows::of_file(Arc::clone(file), columns.cloned())).collect();
        Self { offsets, parts, count: 0, bytes: 0 }
    }

    /// A row without key lies in partition 0.
    fn push(&mut self, line: i64, key: Option<&str>, value: &[u8]) {
        let key = key.map(str::as_bytes);
        // The number of partitions was checked to fit.
        let partition = key.map_or(0, |key| partition_of_key(key, self.offsets.len() as u32)) as usize;
        self.parts[partition].push_line(self.offsets[partition], line, key, value);
        self.offsets[partition] += 1;
        self.count += 1;
        self.bytes += value.len();
    }

    fn finish(self) -> Vec<Part> {
        let filled = self.parts.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        filled.map(|(partition, rows)| Part { partition, rows: Payload::Raw(rows) }).collect()
    }
}

impl Cursor for TextCursor {
    fn offset(&self, partition: usize) -> i64 {
        self.offsets[partition]
    }

    fn at_end(&self) -> bool {
        self.file == self.paths.len()
    }

    fn ends(&self) -> Option<&[i64]> {
        self.starts.get(self.paths.len()).map(Vec::as_slice)
    }

    fn file(&self) -> usize {
        self.file
    }

    fn rewind(&mut self, wanted: &[(usize, i64)]) {
        let before = |offsets: &&Vec<i64>| wanted.iter().all(|(partition, offset)| offsets[*partition] <= *offset);
        // The first file begins at offset 0, before everything.
        self.file = self.starts.iter().take_while(before).count().saturating_sub(1);
        self.offsets.clone_from(&self.starts[self.file]);
        if let TextRows::Table(table) = &mut self.rows {
            table.rows = self.table_rows[self.file];
        }
        self.open = None;
    }

    fn next_parts(&mut self) -> Result<Option<Vec<Part>>, SourceError> {
        while let Some(path) = self.paths.get(self.file) {
            let mut file = match self.open.take() {
                Some(file) => file,
                None => open(path, &mut self.rows)?,
            };
            if let Some(parts) = self.read_batch(&mut file)? {
                self.open = Some(file);
                return Ok(Some(parts));
            }
            self.file += 1;
            match self.starts.get(self.file) {
                None => {
                    self.starts.push(self.offsets.clone());
                    self.table_rows.push(match &self.rows {
                        TextRows::Json(_) => 0,
                        TextRows::Table(table) => table.rows,
                    });
                }
                Some(known) if *known != self.offsets => {
                    let reason = "it was replaced since the start; files of a source must stay as they are";
                    return Err(unreadable(file.path(), reason));
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }
}
