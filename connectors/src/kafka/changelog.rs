//! The records of the state topic: what the ledger writes about a partition, and how it is read back.
//!
//! Keys are `topic|partition|p` for the position and `topic|partition|s` + the user's key for state; topic names
//! hold no `|`. The number of the state topic's partition is that of the source partition.

use std::collections::BTreeMap;

use crate::payload::Header;
use crate::position::{Partition, Position};

/// Name of the header that tells which worker wrote a record: a later owner uses it to shut out a dead one.
pub(super) const SLOT_HEADER: &str = "slot";

/// First byte of a position record: the version of its layout.
const POSITION_VERSION: u8 = 1;

/// Version, next offset, number of partitions of the source topic.
const POSITION_BYTES: usize = 1 + 8 + 4;

/// What a position record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredPosition {
    pub(super) next_offset: i64,
    /// Partitions that the source topic had: with another number, keys lie elsewhere.
    pub(super) partitions: u32,
}

impl StoredPosition {
    pub(super) fn encode(self) -> [u8; POSITION_BYTES] {
        let mut bytes = [POSITION_VERSION; POSITION_BYTES];
        bytes[1..9].copy_from_slice(&self.next_offset.to_le_bytes());
        bytes[9..].copy_from_slice(&self.partitions.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [POSITION_VERSION, o0, o1, o2, o3, o4, o5, o6, o7, p0, p1, p2, p3] => Ok(Self {
                next_offset: i64::from_le_bytes([*o0, *o1, *o2, *o3, *o4, *o5, *o6, *o7]),
                partitions: u32::from_le_bytes([*p0, *p1, *p2, *p3]),
            }),
            [version, ..] if *version != POSITION_VERSION => {
                Err(format!("position record of version {version}, this build reads {POSITION_VERSION}"))
            }
            _ => Err(format!("position record of {} bytes instead of {POSITION_BYTES}", bytes.len())),
        }
    }
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
    vec![(SLOT_HEADER.to_owned(), slot.as_bytes().to_vec())]
}

/// The newest records of one source partition, filled record by record.
#[derive(Debug, Default)]
pub(super) struct PartitionState {
    pub(super) position: Option<StoredPosition>,
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

    /// Whether nothing was ever written, or everything was deleted.
    pub(super) fn is_empty(&self) -> bool {
        self.position.is_none() && self.state.is_empty()
    }

    /// Keys and values in ascending order of key.
    pub(super) fn into_records(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.state.into_iter().collect()
    }
}
