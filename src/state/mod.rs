//! Blocks of stateful steps <-> records of a ledger, and the digest that makes two states comparable. The accounting of rows
//! is part of the state and lives here too.
//!
//! A block's compaction key is its step's name, a zero byte and the block's number, big-endian, so that keys sort
//! as (step, block). Values are what the step wrote; this layer never looks inside.

mod accounting;
mod digest;
mod identity;

use std::collections::BTreeMap;

use arterial_connectors::ledger::StateRecord;
use arterial_connectors::position::Partition;

use crate::vocab::{StateReader, StateWriter};

pub use accounting::Accounting;
pub use digest::{Digest, combine, digest_of_blocks};
pub use identity::{Decision, Identity, StatefulStep, StepDecision, TABLE_PREFIX, Why, decide, owner};

/// Separates the step's name from the block's number; names of steps never hold it.
const SEPARATOR: u8 = 0;

/// Block changes of one partition on their way to the ledger.
#[derive(Debug)]
pub struct BlockRecords<'a> {
    partition: Partition,
    records: &'a mut Vec<StateRecord>,
}

impl<'a> BlockRecords<'a> {
    /// Appends the partition's changes to `records`.
    pub fn new(partition: Partition, records: &'a mut Vec<StateRecord>) -> Self {
        Self { partition, records }
    }
}

impl StateWriter for BlockRecords<'_> {
    fn put(&mut self, step: &str, block: u32, value: Vec<u8>) {
        self.records.push(StateRecord { partition: self.partition, key: block_key(step, block), value: Some(value) });
    }

    fn delete(&mut self, step: &str, block: u32) {
        self.records.push(StateRecord { partition: self.partition, key: block_key(step, block), value: None });
    }
}

/// All blocks of one partition, by step and number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocks {
    blocks: BTreeMap<(String, u32), Vec<u8>>,
}

/// A state record whose key is not a block's.
#[derive(Debug, thiserror::Error)]
#[error("state key {key:?} is not `step`, zero byte, 4 bytes of block number")]
pub struct BlockKeyError {
    /// The key, lossily as text.
    pub key: String,
}

impl Blocks {
    /// Blocks from a ledger's records.
    ///
    /// # Errors
    /// [`BlockKeyError`]: the topic or folder holds something else than this engine's state.
    pub fn from_records(records: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, BlockKeyError> {
        let mut blocks = BTreeMap::new();
        for (key, value) in records {
            let place =
                parse_key(&key).ok_or_else(|| BlockKeyError { key: String::from_utf8_lossy(&key).into_owned() })?;
            blocks.insert(place, value);
        }
        Ok(Self { blocks })
    }

    /// Whether nothing was ever saved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Every block in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32, &[u8])> {
        self.blocks.iter().map(|((step, block), value)| (step.as_str(), *block, value.as_slice()))
    }

    /// Names of the steps that have blocks.
    #[must_use]
    pub fn steps(&self) -> Vec<&str> {
        let mut steps: Vec<&str> = self.blocks.keys().map(|(step, _)| step.as_str()).collect();
        steps.dedup();
        steps
    }

    /// Forgets the blocks of the steps for which `reset` holds and returns their keys.
    pub fn remove_steps(&mut self, reset: impl Fn(&str) -> bool) -> Vec<(String, u32)> {
        let gone: Vec<(String, u32)> = self.blocks.keys().filter(|(step, _)| reset(step)).cloned().collect();
        for key in &gone {
            self.blocks.remove(key);
        }
        gone
    }
}

impl StateWriter for Blocks {
    fn put(&mut self, step: &str, block: u32, value: Vec<u8>) {
        self.blocks.insert((step.to_owned(), block), value);
    }

    fn delete(&mut self, step: &str, block: u32) {
        self.blocks.remove(&(step.to_owned(), block));
    }
}

impl StateReader for Blocks {
    fn blocks<'a>(&'a self, step: &str) -> Box<dyn Iterator<Item = (u32, &'a [u8])> + 'a> {
        let range = (step.to_owned(), 0)..=(step.to_owned(), u32::MAX);
        Box::new(self.blocks.range(range).map(|((_, block), value)| (*block, value.as_slice())))
    }
}

fn block_key(step: &str, block: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(step.len() + 5);
    key.extend_from_slice(step.as_bytes());
    key.push(SEPARATOR);
    key.extend_from_slice(&block.to_be_bytes());
    key
}

fn parse_key(key: &[u8]) -> Option<(String, u32)> {
    let (step, block) = key.split_at_checked(key.len().checked_sub(5)?)?;
    let (separator, number) = block.split_first()?;
    if *separator != SEPARATOR {
        return None;
    }
    let step = std::str::from_utf8(step).ok()?;
    Some((step.to_owned(), u32::from_be_bytes(number.try_into().ok()?)))
}
