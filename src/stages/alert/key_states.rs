//! What a rule keeps for each key, as a dense array that is saved in blocks. Keys in their first state take no room there.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Keys of a block of state: at most 25 kB where every key has an open alert.
const BLOCK_KEYS: usize = 1024;

/// A state per key; keys never touched hold the default.
#[derive(Debug, Default)]
pub(super) struct KeyStates<T> {
    /// By key.
    states: Vec<T>,
    /// Blocks that changed since the last commit's snapshot.
    changed: BTreeSet<u32>,
}

/// Keys of a block that are not in their first state, ascending, and their states.
#[derive(Debug, Serialize, Deserialize)]
struct Block<T> {
    places: Vec<u16>,
    states: Vec<T>,
}

impl<T: Copy + Default + PartialEq + Serialize + DeserializeOwned> KeyStates<T> {
    /// Gives keys up to `keys` a first state.
    pub(super) fn grow(&mut self, keys: usize) {
        if self.states.len() < keys {
            self.states.resize(keys, T::default());
        }
    }

    /// Lets a key's state change. The key is below the number last grown to.
    pub(super) fn update<R>(&mut self, key: KeyId, change: impl FnOnce(&mut T) -> R) -> R {
        let state = &mut self.states[key as usize];
        let before = *state;
        let result = change(state);
        if *state != before {
            self.changed.insert(key / BLOCK_KEYS as u32);
        }
        result
    }

    /// Writes blocks under the name of a step.
    pub(super) fn snapshot(&mut self, step: &str, mode: Snapshot, writer: &mut dyn StateWriter) {
        match mode {
            Snapshot::Full => {
                for block in 0..self.states.len().div_ceil(BLOCK_KEYS) as u32 {
                    if let Some(bytes) = self.encode(block) {
                        writer.put(step, block, bytes);
                    }
                }
            }
            Snapshot::Changed => {
                for block in std::mem::take(&mut self.changed) {
                    match self.encode(block) {
                        Some(bytes) => writer.put(step, block, bytes),
                        None => writer.delete(step, block),
                    }
                }
            }
        }
    }

    /// A block's bytes; `None` where every key is in its first state.
    fn encode(&self, block: u32) -> Option<Vec<u8>> {
        let states = self.states.iter().skip(block as usize * BLOCK_KEYS).take(BLOCK_KEYS);
        let mut record = Block { places: Vec::new(), states: Vec::new() };
        for (place, state) in states.enumerate().filter(|(_, state)| **state != T::default()) {
            record.places.push(place as u16);
            record.states.push(*state);
        }
        (!record.places.is_empty()).then(|| to_block(&record))
    }

    /// Reads the blocks of a step back.
    pub(super) fn restore(step: &str, reader: &dyn StateReader) -> Result<Self, StateError> {
        let mut read = Self { states: Vec::new(), changed: BTreeSet::new() };
        for (block, bytes) in reader.blocks(step) {
            let record: Block<T> = from_block(step, block, bytes)?;
            for (place, state) in record.places.into_iter().zip(record.states) {
                let key = block as usize * BLOCK_KEYS + usize::from(place);
                read.grow(key + 1);
                read.states[key] = state;
            }
        }
        Ok(read)
    }
}
