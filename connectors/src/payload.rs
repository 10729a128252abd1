//! Records as they left the broker -> one growing byte buffer per batch. Nothing is decoded here.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;

/// The rows of one batch of one partition, in offset order.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Bytes that a decoder has yet to read.
    Raw(RawRows),
    /// Rows that already have a type (Parquet files, embedders): row `i` has offset `first_offset + i`.
    Typed {
        /// The rows.
        rows: RecordBatch,
        /// Offset of the first row.
        first_offset: i64,
    },
}

impl Payload {
    /// Number of rows, tombstones included.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Raw(rows) => rows.len(),
            Self::Typed { rows, .. } => rows.num_rows(),
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows below an offset, and the others.
    #[must_use]
    pub fn split_at(self, offset: i64) -> (Self, Self) {
        match self {
            Self::Raw(rows) => {
                let middle = rows.offsets.partition_point(|one| *one < offset);
                (Self::Raw(rows.range(0..middle)), Self::Raw(rows.range(middle..rows.len())))
            }
            Self::Typed { rows, first_offset } => {
                let middle = usize::try_from(offset.saturating_sub(first_offset)).unwrap_or(0).min(rows.num_rows());
                let after = rows.slice(middle, rows.num_rows() - middle);
                let before = Self::Typed { rows: rows.slice(0, middle), first_offset };
                (before, Self::Typed { rows: after, first_offset: first_offset + middle as i64 })
            }
        }
    }

    /// Offset of row `index`.
    #[must_use]
    pub fn offset(&self, index: usize) -> i64 {
        match self {
            Self::Raw(rows) => rows.offsets[index],
            // A row index fits i64: batches are bounded far below it.
            Self::Typed { first_offset, .. } => first_offset + index as i64,
        }
    }

    /// File and line (from 1) where row `index` stands; `None` for rows that no file of text holds.
    #[must_use]
    pub fn place(&self, index: usize) -> Option<(&str, i64)> {
        let Self::Raw(rows) = self else { return None };
        Some((rows.file.as_deref()?, *rows.lines.get(index)?))
    }
}

/// A header of a record: name and bytes; `None` is a null value, which is not the same as no bytes.
pub type Header = (String, Option<Vec<u8>>);

/// Bytes of headers, names and values.
pub(crate) fn header_bytes(headers: &[Header]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len)).sum()
}

/// One record, borrowed from [`RawRows`].
#[derive(Debug, Clone, Copy)]
pub struct RawRow<'a> {
    /// The record's key, `None` where it has none.
    pub key: Option<&'a [u8]>,
    /// The record's value, `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Offset within the partition.
    pub offset: i64,
    /// The broker's timestamp, milliseconds since 1970 UTC; `None` where the record carries none.
    pub broker_ts_ms: Option<i64>,
    /// Headers in the order they were written; empty where there are none.
    pub headers: &'a [Header],
}

/// Keys and values of many records in one buffer: no allocation per record.
#[derive(Debug, Clone, Default)]
pub struct RawRows {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    offsets: Vec<i64>,
    broker_ts_ms: Vec<i64>,
    /// Headers of the few rows that have some, by ascending row.
    headers: Vec<(u32, Vec<Header>)>,
    /// The file that all of the rows stand in, where they come from one.
    file: Option<Arc<str>>,
    /// The line of each row in `file`, from 1; empty without one.
    lines: Vec<i64>,
    /// Names of the cells of records of delimited text, where the source knows them.
    columns: Option<Arc<[String]>>,
}

/// Where one record's key and value lie in the buffer. The key starts where the previous record ends.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    key_end: usize,
    value_end: usize,
    has_key: bool,
    has_value: bool,
}

/// Stands for "the broker gave no timestamp" in the dense column.
const NO_TIMESTAMP: i64 = i64::MIN;

impl RawRows {
    /// No records yet, with room for `rows` records of `bytes` bytes together.
    #[must_use]
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            spans: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
            broker_ts_ms: Vec::with_capacity(rows),
            headers: Vec::new(),
            file: None,
            lines: Vec::new(),
            columns: None,
        }
    }

    /// No records yet, all of which will stand in this file; each is pushed with its line. `columns`: names of the cells
    /// where the values are records of delimited text.
    #[must_use]
    pub fn of_file(file: Arc<str>, columns: Option<Arc<[String]>>) -> Self {
        Self { file: Some(file), columns, ..Self::default() }
    }

    /// Names of the cells of every value, where the values are records of delimited text and the source knows them.
    #[must_use]
    pub fn columns(&self) -> Option<&Arc<[String]>> {
        self.columns.as_ref()
    }

    /// Makes room for `rows` more records of `bytes` bytes together.
    pub fn reserve(&mut self, rows: usize, bytes: usize) {
        self.bytes.reserve(bytes);
        self.spans.reserve(rows);
        self.offsets.reserve(rows);
        self.broker_ts_ms.reserve(rows);
    }

    /// Appends one record. Offsets must be pushed in ascending order.
    pub fn push(&mut self, offset: i64, broker_ts_ms: Option<i64>, key: Option<&[u8]>, value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.unwrap_or_default());
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let value_end = self.bytes.len();
        self.spans.push(Span { start, key_end, value_end, has_key: key.is_some(), has_value: value.is_some() });
        self.offsets.push(offset);
        self.broker_ts_ms.push(broker_ts_ms.unwrap_or(NO_TIMESTAMP));
    }

    /// Appends one record of a file, which begins on this line (from 1).
    pub fn push_line(&mut self, offset: i64, line: i64, key: Option<&[u8]>, value: &[u8]) {
        self.push(offset, None, key, Some(value));
        self.lines.push(line);
    }

    /// Gives the record pushed last its headers.
    pub fn set_headers(&mut self, headers: Vec<Header>) {
        if let (Some(last), false) = (self.spans.len().checked_sub(1), headers.is_empty()) {
            self.headers.push((last as u32, headers));
        }
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of keys and values together.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Record `index`; panics where `index >= len()`, as slices do.
    #[must_use]
    pub fn row(&self, index: usize) -> RawRow<'_> {
        let span = self.spans[index];
        let headers = match self.headers.binary_search_by_key(&(index as u32), |(row, _)| *row) {
            Ok(found) => self.headers[found].1.as_slice(),
            Err(_) => &[],
        };
        RawRow {
            key: span.has_key.then(|| &self.bytes[span.start..span.key_end]),
            value: span.has_value.then(|| &self.bytes[span.key_end..span.value_end]),
            offset: self.offsets[index],
            broker_ts_ms: self.broker_ts_ms(index),
            headers,
        }
    }

    /// The broker's timestamp of record `index`, milliseconds since 1970 UTC; `None` where it carries none.
    #[must_use]
    pub fn broker_ts_ms(&self, index: usize) -> Option<i64> {
        Some(self.broker_ts_ms[index]).filter(|ts| *ts != NO_TIMESTAMP)
    }

    /// The value of record `index`, `None` for a tombstone.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let span = self.spans[index];
        span.has_value.then(|| &self.bytes[span.key_end..span.value_end])
    }

    /// A copy of some of the records.
    fn range(&self, rows: std::ops::Range<usize>) -> Self {
        let mut copy =
            Self { file: self.file.clone(), columns: self.columns.clone(), ..Self::with_capacity(rows.len(), 0) };
        copy.lines.extend_from_slice(self.lines.get(rows.clone()).unwrap_or_default());
        for index in rows {
            let row = self.row(index);
            copy.push(row.offset, row.broker_ts_ms, row.key, row.value);
            copy.set_headers(row.headers.to_vec());
        }
        copy
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.offsets.clear();
        self.broker_ts_ms.clear();
        self.headers.clear();
        self.lines.clear();
    }
}
