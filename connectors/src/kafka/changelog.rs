//! The records of the state topic: what the ledger writes about a partition, and how it is read back.
//!
//! Keys are `topic|partition|p` for the position, `topic|partition|o` for the slot of its owner and
//! `topic|partition|s` + the user's key for state; topic names hold no `|`. The number of the state topic's partition
//! is that of the source partition, so equally numbered partitions of several topics share one. Its first partition
//! also has, under `|` + slot, which process took each slot last.

use std::collections::BTreeMap;

use crate::payload::Header;
use crate::position::{Partition, Position};

/// Name of the header that tells which worker wrote a record: a later owner uses it to shut out a dead one.
pub(super) const SLOT_HEADER: &str = "slot";

/// First byte of a position record: the version of its layout. Version 1 had no topic id.
const POSITION_VERSION: u8 = 2;

/// Version, next offset, number of partitions of the source topic; the id of that topic follows.
const POSITION_BYTES: usize = 1 + 8 + 4;

/// What a position record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredPosition {
    pub(super) next_offset: i64,
    /// Partitions that the source topic had: with another number, keys lie elsewhere.
    pub(super) partitions: u32,
    /// The source topic's id, where the brokers told it: with another one, offsets mean other records.
    pub(super) topic_id: Option<String>,
}

impl StoredPosition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![POSITION_VERSION];
        bytes.extend_from_slice(&self.next_offset.to_le_bytes());
        bytes.extend_from_slice(&self.partitions.to_le_bytes());
        bytes.extend_from_slice(self.topic_id.as_deref().unwrap_or_default().as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [1..=POSITION_VERSION, o0, o1, o2, o3, o4, o5, o6, o7, p0, p1, p2, p3, id @ ..] => Ok(Self {
                next_offset: i64::from_le_bytes([*o0, *o1, *o2, *o3, *o4, *o5, *o6, *o7]),
                partitions: u32::from_le_bytes([*p0, *p1, *p2, *p3]),
                topic_id: (!id.is_empty()).then(|| String::from_utf8_lossy(id).into_owned()),
            }),
            [1..=POSITION_VERSION, ..] => {
                Err(format!("position record of {} bytes, less than {POSITION_BYTES}", bytes.len()))
            }
            [version, ..] => {
                Err(format!("position record of version {version}, this build reads up to {POSITION_VERSION}"))
            }
            [] => Err("empty position record".to_owned()),
        }
    }
}

/// The partition of the state topic that has the records of slots.
pub(super) const SLOTS_PARTITION: i32 = 0;

/// Key of the record that tells which process took a slot last.
pub(super) fn slot_key(slot: &str) -> Vec<u8> {
    format!("|{slot}").into_bytes()
}

/// Key of the record that tells whose a partition is.
pub(super) fn owner_key(topic: &str, partition: Partition) -> Vec<u8> {
    format!("{topic}|{}|o", partition.number).into_bytes()
}

/// Key of the position record of a partition.
pub(super) fn position_key(topic: &str, position: Position) -> Vec<u8> {
    format!("{topic}|{}|p", position.partition.number).into_bytes()
}

/// Key of a state record.
pub(super) fn state_key(topic: &str, partition: Partition, key: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{topic}|{}|s", partition.number).into_bytes();
    bytes.extend_from_slice(key);
    bytes
}

/// The header that names the writer.
pub(super) fn slot_headers(slot: &str) -> Vec<Header> {
    vec![(SLOT_HEADER.to_owned(), Some(slot.as_bytes().to_vec()))]
}

/// The newest records of one source partition, filled record by record.
#[derive(Debug, Default)]
pub(super) struct PartitionState {
    pub(super) position: Option<StoredPosition>,
    /// Slot of the worker that took the partition over last.
    pub(super) owner: Option<String>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl PartitionState {
    /// Takes one record of the state topic; records of other source topics are passed over.
    pub(super) fn take(&mut self, topic: &str, number: i32, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let prefix = format!("{topic}|{number}|");
        let Some(rest) = key.strip_prefix(prefix.as_bytes()) else { return Ok(()) };
        match (rest, value) {
            ([b'p'], Some(bytes)) => self.position = Some(StoredPosition::decode(bytes)?),
            ([b'p'], None) => self.position = None,
            ([b'o'], slot) => self.owner = slot.map(|slot| String::from_utf8_lossy(slot).into_owned()),
            ([b's', user @ ..], Some(bytes)) => {
                self.state.insert(user.to_vec(), bytes.to_vec());
            }
            ([b's', user @ ..], None) => {
                self.state.remove(user);
            }
            _ => return Err(format!("a record with the unknown key `{}`", String::from_utf8_lossy(key))),
        }
        Ok(())
    }

    /// Whether neither position nor state was ever written, or all of it was deleted.
    pub(super) fn is_empty(&self) -> bool {
        self.position.is_none() && self.state.is_empty()
    }

    /// Keys in ascending order.
    pub(super) fn into_keys(self) -> Vec<Vec<u8>> {
        self.state.into_keys().collect()
    }

    /// Keys and values in ascending order of key.
    pub(super) fn into_records(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.state.into_iter().collect()
    }
}
