//! Files as a source of rows. One reader streams through the files for all partitions; a partition
//! that was paused for long, or is rewound, is read again from a known place on.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cursor::{Cursor, Part};
use super::format::FileFormat;
use super::listing::{FilesRead, ListedFile, list};
use super::parquet_cursor::ParquetCursor;
use super::paths::paths_of;
use super::rows::ParquetFiles;
use super::table::{Table, TableLayout};
use super::text_cursor::{TextCursor, TextRows};
use crate::payload::Payload;
use crate::position::Partition;
use crate::source::{GroupMetadata, SeekTo, Source, SourceBatch, SourceError, SourceEvent};

/// Most rows that are kept for a paused partition; beyond it they are read again later.
const PAUSED_ROWS_MAX: usize = 65_536;

/// Files and how they stand for a topic.
#[derive(Debug, Clone)]
pub struct FileSourceConfig {
    /// The file, or a pattern (`history/*.parquet`): its files are one topic, in the order of their names, which say
    /// their format ([`FileFormat`]) and compression (`.gz`, `.zst`).
    pub path: PathBuf,
    /// Partitions to spread the rows over, at least 1.
    pub partitions: u32,
    /// The column (its new name) whose text is the key: a string or whole-number column. In lines of JSON a dotted path,
    /// in CSV a name of the header.
    pub partitioned_by: String,
    /// Columns of Parquet to rename, from the file's name to the schema's.
    pub columns: BTreeMap<String, String>,
    /// Columns of Parquet to read, by their new names; `None` reads all. `partitioned_by` is always read.
    pub project: Option<Vec<String>>,
    /// How tables of delimited text are laid out.
    pub table: TableLayout,
    /// Rows that are read at a time; a batch of a partition has about this many divided by `partitions`.
    pub batch_rows: usize,
}

impl FileSourceConfig {
    /// All columns under their own names, 8,192 rows per batch and partition (up to 8 partitions).
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, partitions: u32, partitioned_by: &str) -> Self {
        Self {
            path: path.into(),
            partitions,
            partitioned_by: partitioned_by.to_owned(),
            columns: BTreeMap::new(),
            project: None,
            table: TableLayout::default(),
            batch_rows: 8192 * partitions.clamp(1, 8) as usize,
        }
    }
}

/// How far one partition has been read.
#[derive(Default)]
struct Reading {
    /// Next offset to deliver; `None` before the first `seek`.
    position: Option<i64>,
    /// Rows from `position` on.
    waiting: VecDeque<Payload>,
    waiting_rows: usize,
    paused: bool,
    ended: bool,
}

/// A reader of files; it owns every partition. Files have an end, so `End` comes with every
/// [`crate::source::Until`].
pub struct FileSource {
    /// As the user wrote it, for errors.
    path: PathBuf,
    cursor: Box<dyn Cursor>,
    listing: Arc<[ListedFile]>,
    /// Files that the cursor has come to.
    files_read: usize,
    readings: Vec<Reading>,
    assigned: bool,
    turn: usize,
}

impl FileSource {
    /// Finds the files and looks whether they can be read.
    ///
    /// # Errors
    /// [`SourceError::File`] where there is none, one cannot be opened, is no complete Parquet file, lacks a column that
    /// was named or has another format or other columns than the first; [`SourceError::Config`] where there are no
    /// partitions, or columns of lines of JSON are named.
    pub fn open(config: &FileSourceConfig) -> Result<Self, SourceError> {
        if !(1..=i32::MAX as u32).contains(&config.partitions) {
            let reason = format!("{} is not at least 1", config.partitions);
            return Err(SourceError::Config { what: "file.partitions".to_owned(), reason });
        }
        let paths = paths_of(&config.path)?;
        let listed = paths.clone();
        let cursor: Box<dyn Cursor> = match FileFormat::of_all(&paths)? {
            FileFormat::Parquet => Box::new(parquet_cursor(config, paths)?),
            FileFormat::Json => {
                let key_path = config.partitioned_by.split('.').map(str::to_owned).collect();
                Box::new(text_cursor(config, paths, TextRows::Json(key_path))?)
            }
            FileFormat::Csv => {
                let table = Table::new(config.table.clone(), &config.partitioned_by);
                Box::new(text_cursor(config, paths, TextRows::Table(Box::new(table)))?)
            }
        };
        // By then what is no file that can be read has been told as that.
        let listing = list(&config.path, &listed)?.into();
        let readings = (0..config.partitions).map(|_| Reading::default()).collect();
        Ok(Self { path: config.path.clone(), cursor, listing, files_read: 0, readings, assigned: false, turn: 0 })
    }

    fn reading(&mut self, partition: Partition) -> Result<&mut Reading, SourceError> {
        let index = usize::try_from(partition.number).ok().filter(|_| partition.topic == 0 && self.assigned);
        index.and_then(|found| self.readings.get_mut(found)).ok_or(SourceError::NotAssigned(partition))
    }

    /// Partitions that may deliver, with their next offset.
    fn active(&self) -> Vec<(usize, i64)> {
        let delivering = self.readings.iter().enumerate().filter(|(_, reading)| !reading.paused && !reading.ended);
        delivering.filter_map(|(index, reading)| Some((index, reading.position?))).collect()
    }

    /// The next batch that has been read already, partitions in turn.
    fn next_waiting(&mut self, active: &[(usize, i64)]) -> Option<SourceEvent> {
        for step in 0..active.len() {
            let (index, _) = active[(self.turn + step) % active.len()];
            let reading = &mut self.readings[index];
            let Some(payload) = reading.waiting.pop_front() else { continue };
            self.turn = (self.turn + step + 1) % active.len();
            // Files have no gaps between offsets.
            let next_offset = payload.offset(0) + payload.len() as i64;
            reading.waiting_rows -= payload.len();
            reading.position = Some(next_offset);
            let partition = numbered(index);
            return Some(SourceEvent::Batch(SourceBatch { partition, payload, next_offset, skipped: 0 }));
        }
        None
    }

    /// The end of a partition that has been delivered whole.
    ///
    /// # Errors
    /// [`SourceError::Shorter`] where it ends before its position: rows that are appended would be taken for read.
    fn next_end(&mut self, active: &[(usize, i64)]) -> Result<Option<SourceEvent>, SourceError> {
        if !self.cursor.at_end() {
            return Ok(None);
        }
        let due = active.iter().find(|(index, position)| *position >= self.cursor.offset(*index));
        let Some((index, position)) = due.copied() else { return Ok(None) };
        let (partition, rows) = (numbered(index), self.cursor.offset(index));
        if position > rows {
            let path = self.path.display().to_string();
            return Err(SourceError::Shorter { path, partition: partition.number, position, rows });
        }
        self.readings[index].ended = true;
        Ok(Some(SourceEvent::End(partition)))
    }

    fn next_event(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Some(SourceEvent::Assigned((0..self.readings.len()).map(numbered).collect())));
        }
        let active = self.active();
        if active.is_empty() {
            return Ok(None);
        }
        loop {
            if let Some(event) = self.next_waiting(&active) {
                return Ok(Some(event));
            }
            if let Some(event) = self.next_end(&active)? {
                return Ok(Some(event));
            }
            // Nothing waits for an active partition, so its position says what it needs next.
            let behind: Vec<(usize, i64)> =
                active.iter().filter(|(index, position)| *position < self.cursor.offset(*index)).copied().collect();
            if !behind.is_empty() {
                self.cursor.rewind(&behind);
            }
            self.cursor.pass_over(&active)?;
            let parts = self.cursor.next_parts()?.unwrap_or_default();
            self.files_read = self.files_read.max(self.cursor.file() + 1);
            for part in parts {
                self.readings[part.partition].keep(part);
            }
        }
    }
}

impl Reading {
    /// Keeps those rows of a part that come next; others were delivered, or will be read again.
    fn keep(&mut self, part: Part) {
        let Some(position) = self.position else { return };
        let next = position + self.waiting_rows as i64;
        let first = part.rows.offset(0);
        let end = first + part.rows.len() as i64;
        let full = self.paused && self.waiting_rows >= PAUSED_ROWS_MAX;
        if first > next || end <= next || full {
            return;
        }
        let rows = if first == next { part.rows } else { part.rows.split_at(next).1 };
        self.waiting_rows += rows.len();
        self.waiting.push_back(rows);
    }
}

fn parquet_cursor(config: &FileSourceConfig, paths: Vec<PathBuf>) -> Result<ParquetCursor, SourceError> {
    let files = ParquetFiles::open(paths, &config.columns)?;
    let project = config.project.clone().map(|mut names| {
        names.push(config.partitioned_by.clone());
        names
    });
    let columns = files.columns(project.as_deref())?;
    ParquetCursor::new(files, columns, &config.partitioned_by, config.partitions, config.batch_rows.max(1))
}

fn text_cursor(config: &FileSourceConfig, paths: Vec<PathBuf>, rows: TextRows) -> Result<TextCursor, SourceError> {
    if !config.columns.is_empty() || config.project.is_some() {
        let reason = "is for Parquet; a decoder chooses and renames what it reads of text".to_owned();
        return Err(SourceError::Config { what: "file.columns".to_owned(), reason });
    }
    TextCursor::new(paths, rows, config.partitions, config.batch_rows.max(1))
}

fn numbered(index: usize) -> Partition {
    // The number of partitions was checked to fit.
    Partition { topic: 0, number: index as i32 }
}

impl Source for FileSource {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        let event = self.next_event()?;
        if event.is_none() && !timeout.is_zero() {
            // Nothing can change before the caller acts; coming back at once would let it spin.
            std::thread::sleep(timeout);
        }
        Ok(event)
    }

    fn seek(&mut self, partition: Partition, to: SeekTo) -> Result<(), SourceError> {
        let reading = self.reading(partition)?;
        let position = match to {
            SeekTo::Offset(offset) => offset.max(0),
            SeekTo::Start => 0,
        };
        *reading = Reading { position: Some(position), paused: reading.paused, ..Reading::default() };
        Ok(())
    }

    fn release(&mut self, _partitions: &[Partition]) -> Result<(), SourceError> {
        Ok(())
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        partitions.iter().try_for_each(|partition| self.reading(*partition).map(|reading| reading.paused = true))
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        partitions.iter().try_for_each(|partition| self.reading(*partition).map(|reading| reading.paused = false))
    }

    /// Known once the files have been read to its end; empty before.
    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        let Some(ends) = self.cursor.ends() else { return Vec::new() };
        let known = self.readings.iter().zip(ends).enumerate();
        known
            .filter_map(|(index, (reading, end))| Some((numbered(index), (end - reading.position?).max(0) as u64)))
            .collect()
    }

    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError> {
        Ok(vec![self.readings.len() as u32])
    }

    /// Not a group's: which files the positions count the rows of.
    fn group_metadata(&self) -> Option<GroupMetadata> {
        Some(GroupMetadata::new(FilesRead::new(&self.listing, self.files_read)))
    }

    fn connected(&self) -> Result<(), String> {
        Ok(())
    }
}
