//! Where in Parquet files the next rows are read, and what offset each partition has reached there. Remembers the offsets
//! at the start of every row group that it has passed, so that a rewind need not go back to the first file's start, and
//! passes over row groups that nobody needs by reading their key column only.

use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use arrow::record_batch::RecordBatch;

use super::cursor::{Cursor, Part};
use super::partitions::{count_rows, key_texts, rows_of_partitions, take_rows};
use super::rows::{Columns, ParquetFiles};
use crate::payload::Payload;
use crate::source::SourceError;

/// A reading position in Parquet files.
pub(super) struct ParquetCursor {
    files: ParquetFiles,
    columns: Columns,
    key_only: Columns,
    partitioned_by: String,
    partitions: u32,
    batch_rows: usize,
    /// Next offset of every partition at the start of row group `i`, as far as they are known; the last is the end.
    starts: Vec<Vec<i64>>,
    row_group: usize,
    reader: Option<ParquetRecordBatchReader>,
    /// Next offset of every partition here.
    offsets: Vec<i64>,
}

impl ParquetCursor {
    pub(super) fn new(
        files: ParquetFiles,
        columns: Columns,
        partitioned_by: &str,
        partitions: u32,
        batch_rows: usize,
    ) -> Result<Self, SourceError> {
        let key_only = files.columns(Some(&[partitioned_by.to_owned()]))?;
        let offsets = vec![0; partitions as usize];
        Ok(Self {
            files,
            columns,
            key_only,
            partitioned_by: partitioned_by.to_owned(),
            partitions,
            batch_rows,
            starts: vec![offsets.clone()],
            row_group: 0,
            reader: None,
            offsets,
        })
    }

    /// Next offsets after the present row group, from its key column.
    fn count_group(&mut self) -> Result<Vec<i64>, SourceError> {
        let mut offsets = self.offsets.clone();
        let mut reader = self.files.read_group(self.row_group, &self.key_only, self.batch_rows)?;
        while let Some(batch) = self.files.next_batch(&mut reader, &self.key_only)? {
            let keys = key_texts(batch.column(0)).map_err(|error| self.files.damaged(error))?;
            count_rows(&keys, self.partitions, &mut offsets);
        }
        Ok(offsets)
    }

    fn split(&mut self, batch: &RecordBatch) -> Result<Vec<Part>, SourceError> {
        let damaged = |error| self.files.damaged(error);
        let index = batch.schema_ref().index_of(&self.partitioned_by).map_err(damaged)?;
        let keys = key_texts(batch.column(index)).map_err(damaged)?;
        let mut parts = Vec::with_capacity(self.offsets.len());
        for (partition, indices) in rows_of_partitions(&keys, self.partitions).into_iter().enumerate() {
            if indices.is_empty() {
                continue;
            }
            let rows = take_rows(batch, indices).map_err(|error| self.files.damaged(error))?;
            let first_offset = self.offsets[partition];
            self.offsets[partition] += rows.num_rows() as i64;
            parts.push(Part { partition, rows: Payload::Typed { rows, first_offset } });
        }
        Ok(parts)
    }
}

impl Cursor for ParquetCursor {
    fn offset(&self, partition: usize) -> i64 {
        self.offsets[partition]
    }

    fn at_end(&self) -> bool {
        self.reader.is_none() && self.row_group == self.files.row_groups()
    }

    fn ends(&self) -> Option<&[i64]> {
        self.starts.get(self.files.row_groups()).map(Vec::as_slice)
    }

    fn file(&self) -> usize {
        self.files.file_of(self.row_group)
    }

    fn rewind(&mut self, wanted: &[(usize, i64)]) {
        let before = |offsets: &&Vec<i64>| wanted.iter().all(|(partition, offset)| offsets[*partition] <= *offset);
        // The first row group begins at offset 0, before everything.
        self.row_group = self.starts.iter().take_while(before).count().saturating_sub(1);
        self.offsets.clone_from(&self.starts[self.row_group]);
        self.reader = None;
    }

    fn pass_over(&mut self, wanted: &[(usize, i64)]) -> Result<(), SourceError> {
        while self.reader.is_none() && self.row_group < self.files.row_groups() {
            let ahead = wanted.iter().any(|(partition, offset)| *offset > self.offsets[*partition]);
            if !ahead {
                return Ok(());
            }
            if self.starts.len() == self.row_group + 1 {
                let next = self.count_group()?;
                self.starts.push(next);
            }
            let next = &self.starts[self.row_group + 1];
            if wanted.iter().any(|(partition, offset)| *offset < next[*partition]) {
                return Ok(());
            }
            self.offsets.clone_from(next);
            self.row_group += 1;
        }
        Ok(())
    }

    fn next_parts(&mut self) -> Result<Option<Vec<Part>>, SourceError> {
        loop {
            if let Some(reader) = &mut self.reader {
                if let Some(batch) = self.files.next_batch(reader, &self.columns)? {
                    return self.split(&batch).map(Some);
                }
                self.reader = None;
                self.row_group += 1;
                if self.starts.len() == self.row_group {
                    self.starts.push(self.offsets.clone());
                }
            }
            if self.at_end() {
                return Ok(None);
            }
            self.reader = Some(self.files.read_group(self.row_group, &self.columns, self.batch_rows)?);
        }
    }
}
