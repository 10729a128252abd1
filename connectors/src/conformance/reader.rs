//! Drives a source for the checks: polls, remembers rows, and refuses what the contract forbids at once.

use std::collections::{BTreeMap, BTreeSet};

use arrow::record_batch::RecordBatch;

use super::Patience;
use crate::payload::{Header, Payload};
use crate::position::Partition;
use crate::source::{SeekTo, Source, SourceBatch, SourceEvent};

/// A row's content, whatever its payload.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Raw { key: Option<Vec<u8>>, value: Option<Vec<u8>>, broker_ts_ms: Option<i64>, headers: Vec<Header> },
    Typed(RecordBatch),
}

/// Rows of every partition by offset.
pub(super) type Rows = BTreeMap<Partition, BTreeMap<i64, Content>>;

/// A source under test.
pub(super) struct Reader {
    pub(super) source: Box<dyn Source>,
    patience: Patience,
    assigned: BTreeSet<Partition>,
    silent: BTreeSet<Partition>,
    next: BTreeMap<Partition, i64>,
    ended: BTreeSet<Partition>,
    /// What was delivered since each partition's last seek.
    pub(super) rows: Rows,
}

impl Reader {
    pub(super) fn new(source: Box<dyn Source>, patience: Patience) -> Self {
        let (assigned, silent, ended) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { source, patience, assigned, silent, next: BTreeMap::new(), ended, rows: Rows::new() }
    }

    /// Polls until all these partitions are assigned.
    pub(super) fn assigned(&mut self, partitions: &[Partition]) -> Result<(), String> {
        self.until("the assignment of all partitions", |reader| {
            partitions.iter().all(|partition| reader.assigned.contains(partition))
        })
    }

    pub(super) fn seek(&mut self, partition: Partition, to: SeekTo) -> Result<(), String> {
        self.source.seek(partition, to).map_err(|error| format!("seek of {partition:?} to {to:?}: {error}"))?;
        self.rows.insert(partition, BTreeMap::new());
        self.ended.remove(&partition);
        match to {
            SeekTo::Offset(offset) => self.next.insert(partition, offset),
            SeekTo::Start => self.next.insert(partition, i64::MIN),
        };
        Ok(())
    }

    pub(super) fn seek_all(&mut self, partitions: &[Partition], to: SeekTo) -> Result<(), String> {
        partitions.iter().try_for_each(|partition| self.seek(*partition, to))
    }

    pub(super) fn pause(&mut self, partition: Partition) -> Result<(), String> {
        self.source.pause(&[partition]).map_err(|error| format!("pause of {partition:?}: {error}"))?;
        self.silent.insert(partition);
        Ok(())
    }

    pub(super) fn resume(&mut self, partition: Partition) -> Result<(), String> {
        self.source.resume(&[partition]).map_err(|error| format!("resume of {partition:?}: {error}"))?;
        self.silent.remove(&partition);
        Ok(())
    }

    /// Polls until all these partitions have ended.
    pub(super) fn ends(&mut self, partitions: &[Partition]) -> Result<(), String> {
        self.until("the end of the partitions", |reader| {
            partitions.iter().all(|partition| reader.ended.contains(partition))
        })
    }

    /// Polls until this many rows of a partition have come since its last seek.
    pub(super) fn rows_of(&mut self, partition: Partition, rows: usize) -> Result<(), String> {
        self.until("rows of a partition", |reader| reader.count(partition) >= rows)
    }

    pub(super) fn count(&self, partition: Partition) -> usize {
        self.rows.get(&partition).map_or(0, BTreeMap::len)
    }

    pub(super) fn ended(&self, partition: Partition) -> bool {
        self.ended.contains(&partition)
    }

    /// Polls until some of these partitions are revoked; the first part are those, the second the others.
    pub(super) fn revoked(&mut self, partitions: &[Partition]) -> Result<(Vec<Partition>, Vec<Partition>), String> {
        let kept = |reader: &Self, partition: &Partition| reader.assigned.contains(partition);
        self.until("the revocation of a partition", |reader| {
            !partitions.iter().all(|partition| kept(reader, partition))
        })?;
        Ok(partitions.iter().partition(|partition| !kept(self, partition)))
    }

    /// Looks for a while whether anything comes.
    pub(super) fn quiet(&mut self) -> Result<(), String> {
        for _ in 0..self.patience.quiet_polls {
            let event = self.source.poll(self.patience.poll).map_err(|error| format!("poll: {error}"))?;
            if let Some(SourceEvent::Batch(_) | SourceEvent::End(_)) = event {
                return Err(format!("nothing was to come, but there was {event:?}"));
            }
        }
        Ok(())
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let mut polls = 0;
        while !done(self) {
            match self.source.poll(self.patience.poll).map_err(|error| format!("poll: {error}"))? {
                Some(event) => {
                    polls = 0;
                    self.take(event)?;
                }
                None if polls == self.patience.polls_max => return Err(format!("waited in vain for {what}")),
                None => polls += 1,
            }
        }
        Ok(())
    }

    fn take(&mut self, event: SourceEvent) -> Result<(), String> {
        match event {
            SourceEvent::Assigned(partitions) => self.assigned.extend(partitions),
            SourceEvent::Batch(batch) => self.take_batch(&batch)?,
            SourceEvent::Revoked(partitions) => {
                for partition in partitions {
                    self.assigned.remove(&partition);
                    self.silent.insert(partition);
                }
            }
            SourceEvent::Lost(partitions) => return Err(format!("{partitions:?} were lost")),
            SourceEvent::End(partition) => {
                if !self.rows.contains_key(&partition) {
                    return Err(format!("{partition:?} ended before it was sought"));
                }
                if !self.ended.insert(partition) {
                    return Err(format!("{partition:?} ended twice"));
                }
            }
        }
        Ok(())
    }

    fn take_batch(&mut self, batch: &SourceBatch) -> Result<(), String> {
        let partition = batch.partition;
        let Some(rows) = self.rows.get_mut(&partition) else {
            return Err(format!("rows of {partition:?} came before seek"));
        };
        if self.ended.contains(&partition) {
            return Err(format!("rows of {partition:?} came after its end"));
        }
        if self.silent.contains(&partition) {
            return Err(format!("rows of {partition:?} came while it was paused or revoked"));
        }
        if batch.payload.is_empty() {
            return Err(format!("a batch of {partition:?} has no rows"));
        }
        let mut next = self.next.get(&partition).copied().unwrap_or(i64::MIN);
        for index in 0..batch.payload.len() {
            let offset = batch.payload.offset(index);
            if offset < next {
                return Err(format!("{partition:?}: offset {offset} came where {next} or more was next"));
            }
            rows.insert(offset, content(&batch.payload, index));
            next = offset + 1;
        }
        if batch.next_offset < next {
            return Err(format!("{partition:?}: a batch that ends before {next} says {} is next", batch.next_offset));
        }
        self.next.insert(partition, batch.next_offset);
        Ok(())
    }
}

fn content(payload: &Payload, index: usize) -> Content {
    match payload {
        Payload::Raw(rows) => {
            let row = rows.row(index);
            Content::Raw {
                key: row.key.map(<[u8]>::to_vec),
                value: row.value.map(<[u8]>::to_vec),
                broker_ts_ms: row.broker_ts_ms,
                headers: row.headers.to_vec(),
            }
        }
        Payload::Typed { rows, .. } => Content::Typed(rows.slice(index, 1)),
    }
}

/// What differs between rows that should be equal, in words.
pub(super) fn same_rows(expected: &BTreeMap<i64, Content>, found: &BTreeMap<i64, Content>) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let missing = expected.keys().find(|offset| !found.contains_key(offset));
    let surplus = found.keys().find(|offset| !expected.contains_key(offset));
    let differing = expected.iter().find(|(offset, row)| found.get(offset).is_some_and(|other| other != *row));
    let differing = differing.map(|(offset, _)| offset);
    Err(format!("first missing offset {missing:?}, first surplus {surplus:?}, first with other content {differing:?}"))
}
