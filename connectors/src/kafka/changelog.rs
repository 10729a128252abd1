//! The state topic -> what is durable of each partition.
//!
//! The topic is compacted and has as many partitions as the source's topics; a record of source partition `p` lies in
//! its partition `p`. Keys are a kind (`p`osition or `s`tate), the source topic's name, a zero byte, and for state the
//! worker's own key. The header `slot` names the writer, so that a successor can shut out one that died.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::config::KafkaConnection;
use super::context::Context;
use super::queue::{Notice, PartitionQueue};
use super::topics::client;
use crate::ledger::LedgerError;
use crate::payload::RawRows;
use crate::position::Partition;

/// Version of the position record.
const VERSION: u32 = 1;
/// Header that names the slot of a record's writer.
pub(super) const SLOT_HEADER: &str = "slot";
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// What a commit says of one partition beside its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PositionRecord {
    version: u32,
    pub(super) next_offset: i64,
    /// Partitions of the source topic when this was written: with another count keys lie elsewhere.
    pub(super) partitions: u32,
}

impl PositionRecord {
    pub(super) fn new(next_offset: i64, partitions: u32) -> Self {
        Self { version: VERSION, next_offset, partitions }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Three numbers always have a JSON text.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if record.version != VERSION {
            return Err(format!("its format is version {}, this engine reads {VERSION}", record.version));
        }
        Ok(record)
    }
}

/// Key of a partition's position.
pub(super) fn position_key(topic: &str) -> Vec<u8> {
    key(b'p', topic, &[])
}

/// Key of a piece of a partition's state.
pub(super) fn state_key(topic: &str, own: &[u8]) -> Vec<u8> {
    key(b's', topic, own)
}

fn key(kind: u8, topic: &str, own: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + topic.len() + own.len());
    key.push(kind);
    key.extend_from_slice(topic.as_bytes());
    key.push(0);
    key.extend_from_slice(own);
    key
}

/// What the topic holds of one partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Durable {
    pub(super) position: Option<PositionRecord>,
    pub(super) state: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// How far a read came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadEnd {
    /// All that was written when the read began is known to be committed or aborted.
    Complete,
    /// An open transaction holds the rest back; these slots wrote beyond its start.
    HeldBack(Vec<String>),
}

/// Reads the state topic.
pub(super) struct Changelog<'a> {
    pub(super) connection: &'a KafkaConnection,
    pub(super) topic: &'a str,
    pub(super) group: &'a str,
    /// Names of the source's topics.
    pub(super) sources: &'a [(String, u32)],
}

impl Changelog<'_> {
    /// Reads one partition from its beginning up to the high watermark that it has now. Gives up after `patience`
    /// without progress and then says which slots hold the rest back.
    pub(super) fn read(&self, partition: Partition, patience: Duration) -> Result<(Durable, ReadEnd), LedgerError> {
        let uncommitted = self.consumer(false)?;
        let (low, high) = uncommitted
            .fetch_watermarks(self.topic, partition.number, ASK_TIMEOUT)
            .map_err(|error| client("ask for the state's end", &error.to_string(), true))?;
        let mut durable = Durable::default();
        let reached = self.scan(true, partition.number, low, high, patience, |rows| {
            for index in 0..rows.len() {
                self.take(&mut durable, partition, rows.row(index).key, rows.row(index).value)?;
            }
            Ok(())
        })?;
        if reached >= high {
            return Ok((durable, ReadEnd::Complete));
        }
        let mut slots = Vec::new();
        self.scan(false, partition.number, reached, high, patience, |rows| {
            for index in 0..rows.len() {
                let named = rows.row(index).headers.iter().find(|(name, _)| name == SLOT_HEADER);
                slots.extend(named.map(|(_, slot)| String::from_utf8_lossy(slot).into_owned()));
            }
            Ok(())
        })?;
        slots.sort_unstable();
        slots.dedup();
        Ok((durable, ReadEnd::HeldBack(slots)))
    }

    fn take(
        &self,
        durable: &mut Durable,
        partition: Partition,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), LedgerError> {
        let topic = &self.sources[partition.topic as usize].0;
        let unreadable = |reason: String| LedgerError::Unreadable { partition, place: self.topic.to_owned(), reason };
        let key = key.ok_or_else(|| unreadable("it holds a record without key".to_owned()))?;
        if key == position_key(topic) {
            durable.position = value.map(PositionRecord::decode).transpose().map_err(unreadable)?;
        } else if let Some(own) = key.strip_prefix(state_key(topic, &[]).as_slice()) {
            match value {
                Some(value) => drop(durable.state.insert(own.to_vec(), value.to_vec())),
                None => drop(durable.state.remove(own)),
            }
        }
        Ok(())
    }

    /// Gives the rows of one partition from `from` to `to`; returns how far it came before `patience` ran out.
    fn scan(
        &self,
        committed: bool,
        partition: i32,
        from: i64,
        to: i64,
        patience: Duration,
        mut take: impl FnMut(&RawRows) -> Result<(), LedgerError>,
    ) -> Result<i64, LedgerError> {
        if from >= to {
            return Ok(from);
        }
        let consumer = self.consumer(committed)?;
        let mut queue = PartitionQueue::cut_off(&consumer, self.topic, partition)
            .ok_or_else(|| client("open partition queue", "out of memory", false))?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic, partition, Offset::Offset(from))
            .and_then(|()| consumer.assign(&list))
            .map_err(|error| client("read state", &error.to_string(), true))?;
        let (mut reached, mut moved) = (from, Instant::now());
        while reached < to && moved.elapsed() < patience {
            let mut rows = RawRows::default();
            let (notices, _) = queue.read(&mut rows, Some(to));
            if let Some(last) = rows.len().checked_sub(1) {
                take(&rows)?;
                (reached, moved) = (rows.row(last).offset + 1, Instant::now());
            }
            for notice in notices {
                match notice {
                    Notice::End(offset) if offset > reached => (reached, moved) = (offset, Instant::now()),
                    Notice::End(_) => {}
                    Notice::OffsetGone => {
                        return Err(client("read state", "records were compacted away while reading", true));
                    }
                    Notice::Failed(reason) => return Err(client("read state", &reason, true)),
                }
            }
            if rows.is_empty() {
                // Serves the client's events; nothing arrives here.
                let _ = consumer.poll(Duration::from_millis(2));
            }
        }
        drop(queue);
        Ok(reached)
    }

    fn consumer(&self, committed: bool) -> Result<BaseConsumer<Context>, LedgerError> {
        let context = Context::default();
        context.close();
        self.connection
            .consumer(self.group, committed)
            .create_with_context(context)
            .map_err(|error| client("connect", &error.to_string(), false))
    }

    /// The group's committed offset of one partition.
    pub(super) fn committed_offset(&self, partition: Partition) -> Result<Option<i64>, LedgerError> {
        let consumer = self.consumer(true)?;
        let topic = &self.sources[partition.topic as usize].0;
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition.number);
        let found = consumer
            .committed_offsets(list, ASK_TIMEOUT)
            .map_err(|error| client("ask for committed offsets", &error.to_string(), true))?;
        Ok(match found.find_partition(topic, partition.number).map(|one| one.offset()) {
            Some(Offset::Offset(offset)) => Some(offset),
            _ => None,
        })
    }
}
