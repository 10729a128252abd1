//! One partition of a topic: records, batches of typed rows and transaction markers, each at its offset.
//! Readers see committed rows only, up to the first offset of the oldest open transaction.

use std::collections::{BTreeMap, VecDeque};

use arrow::record_batch::RecordBatch;

use super::broker::MemoryRecord;
use crate::payload::{Payload, RawRows};

/// What lies at an offset.
#[derive(Debug, Clone)]
enum Body {
    /// One record, one offset.
    Record(MemoryRecord),
    /// One offset per row.
    Rows(RecordBatch),
    /// The end of a transaction: takes an offset as in Kafka, has no row.
    Marker,
}

/// Whether a reader of committed records sees an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open(u64),
    Committed,
    Aborted,
}

#[derive(Debug, Clone)]
struct Entry {
    first: i64,
    fate: Fate,
    body: Body,
}

impl Entry {
    /// The offset after the entry's last.
    fn end(&self) -> i64 {
        match &self.body {
            Body::Rows(rows) => self.first + rows.num_rows() as i64,
            Body::Record(_) | Body::Marker => self.first + 1,
        }
    }

    /// Whether a reader of committed records gets rows from it.
    fn visible(&self) -> bool {
        self.fate == Fate::Committed && !matches!(self.body, Body::Marker)
    }
}

/// A partition's entries in offset order.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    start: i64,
    end: i64,
    entries: VecDeque<Entry>,
    /// First offset of every open transaction that wrote here.
    open: BTreeMap<u64, i64>,
}

impl Log {
    /// The oldest offset kept.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// The offset that the next record will get.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Where a reader of committed records has to stop.
    pub(super) fn stable_end(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    /// Appends a record and gives its offset; with `txn` it stays invisible until that transaction commits.
    pub(super) fn append(&mut self, record: MemoryRecord, txn: Option<u64>) -> i64 {
        self.put(Body::Record(record), txn)
    }

    /// Appends typed rows and gives the first one's offset.
    pub(super) fn append_rows(&mut self, rows: RecordBatch) -> i64 {
        self.put(Body::Rows(rows), None)
    }

    fn put(&mut self, body: Body, txn: Option<u64>) -> i64 {
        let first = self.end;
        if let Some(txn) = txn {
            self.open.entry(txn).or_insert(first);
        }
        let fate = txn.map_or(Fate::Committed, Fate::Open);
        let entry = Entry { first, fate, body };
        self.end = entry.end();
        self.entries.push_back(entry);
        first
    }

    /// Ends a transaction here: its records become visible or stay invisible for ever.
    pub(super) fn finish(&mut self, txn: u64, committed: bool) {
        let Some(first) = self.open.remove(&txn) else { return };
        let fate = if committed { Fate::Committed } else { Fate::Aborted };
        let from = self.index_of(first);
        for entry in self.entries.iter_mut().skip(from).filter(|entry| entry.fate == Fate::Open(txn)) {
            entry.fate = fate;
        }
        self.put(Body::Marker, None);
    }

    /// Deletes what lies wholly below `offset`, as retention does.
    pub(super) fn delete_before(&mut self, offset: i64) {
        self.start = self.start.max(offset.min(self.end));
        while self.entries.front().is_some_and(|entry| entry.end() <= self.start) {
            self.entries.pop_front();
        }
    }

    /// Visible rows from `from` on.
    pub(super) fn visible_rows(&self, from: i64) -> u64 {
        let stable_end = self.stable_end();
        let entries = self.entries.iter().skip(self.index_of(from)).filter(|entry| entry.first < stable_end);
        entries.filter(|entry| entry.visible()).map(|entry| (entry.end() - entry.first.max(from)) as u64).sum()
    }

    /// The first offset whose record is stamped at or after `timestamp_ms`; the end where there is none.
    pub(super) fn offset_at(&self, timestamp_ms: i64) -> i64 {
        let stamped = |entry: &&Entry| match &entry.body {
            Body::Record(record) => record.timestamp_ms.is_some_and(|stamp| stamp >= timestamp_ms),
            Body::Rows(_) | Body::Marker => false,
        };
        self.entries.iter().find(stamped).map_or_else(|| self.stable_end(), |entry| entry.first)
    }

    /// Committed records with their offsets.
    pub(super) fn committed(&self) -> impl Iterator<Item = (i64, &MemoryRecord)> {
        let stable_end = self.stable_end();
        self.entries.iter().filter(move |entry| entry.first < stable_end && entry.visible()).filter_map(|entry| {
            match &entry.body {
                Body::Record(record) => Some((entry.first, record)),
                Body::Rows(_) | Body::Marker => None,
            }
        })
    }

    /// The next visible row at or after `from`, below `limit`.
    pub(super) fn next_visible(&self, from: i64, limit: i64) -> Option<i64> {
        let limit = limit.min(self.stable_end());
        let mut entries = self.entries.iter().skip(self.index_of(from));
        let entry = entries.find(|entry| entry.first >= limit || entry.visible())?;
        (entry.first < limit).then(|| entry.first.max(from)).filter(|offset| *offset < limit)
    }

    /// Up to `max_rows` visible rows from `from` on and below `limit`, and the offset to go on from, which steps
    /// over markers and aborted records that follow. `None` where no row is visible.
    pub(super) fn read(&self, from: i64, limit: i64, max_rows: usize) -> Option<(Payload, i64)> {
        let first = self.next_visible(from, limit)?;
        let limit = limit.min(self.stable_end());
        let index = self.index_of(first);
        let (payload, next) = match &self.entries.get(index)?.body {
            Body::Rows(rows) => {
                let skipped = (first - self.entries[index].first) as usize;
                let room = usize::try_from(limit - first).unwrap_or(usize::MAX);
                let taken = (rows.num_rows() - skipped).min(max_rows.max(1)).min(room);
                let payload = Payload::Typed { rows: rows.slice(skipped, taken), first_offset: first };
                (payload, first + taken as i64)
            }
            Body::Record(_) | Body::Marker => self.read_raw(index, limit, max_rows.max(1)),
        };
        Some((payload, self.next_visible(next, limit).unwrap_or_else(|| limit.max(next))))
    }

    fn read_raw(&self, index: usize, limit: i64, max_rows: usize) -> (Payload, i64) {
        let mut rows = RawRows::default();
        let mut next = limit;
        for entry in self.entries.iter().skip(index).take_while(|entry| entry.first < limit) {
            next = entry.first;
            match &entry.body {
                Body::Record(_) if rows.len() == max_rows => break,
                Body::Rows(_) => break,
                Body::Record(record) if entry.visible() => {
                    rows.push(entry.first, record.timestamp_ms, record.key.as_deref(), record.value.as_deref());
                    rows.set_headers(record.headers.clone());
                }
                Body::Record(_) | Body::Marker => {}
            }
            next = entry.end();
        }
        (Payload::Raw(rows), next)
    }

    /// Index of the first entry that ends after `offset`.
    fn index_of(&self, offset: i64) -> usize {
        self.entries.partition_point(|entry| entry.end() <= offset)
    }
}
