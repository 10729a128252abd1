//! What a rule keeps for each key, as a dense array that is saved in blocks. Keys in their first state take no room there.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Most keys of a block: 32 kB where each has an open alert.
pub(super) const BLOCK_KEYS_MAX: usize = 1024;

/// A state per key; keys never touched hold the default.
#[derive(Debug)]
pub(super) struct KeyStates<T> {
    /// By key.
    states: Vec<T>,
    block_keys: usize,
    /// Blocks that changed since the last commit's snapshot.
    changed: BTreeSet<u32>,
}

/// Keys of a block that are not in their first state, ascending, and their states.
#[derive(Debug, Serialize, Deserialize)]
struct Block<T> {
    places: Vec<u16>,
    states: Vec<T>,
}

impl<T: Clone + Default + PartialEq + Serialize + DeserializeOwned> KeyStates<T> {
    /// No keys. `block_keys`: how many share a block. State that was written with another number cannot be read back.
    pub(super) fn new(block_keys: usize) -> Self {
        Self { states: Vec::new(), block_keys: block_keys.clamp(1, BLOCK_KEYS_MAX), changed: BTreeSet::new() }
    }

    /// Gives keys up to `keys` a first state.
    pub(super) fn grow(&mut self, keys: usize) {
        if self.states.len() < keys {
            self.states.resize(keys, T::default());
        }
    }

    /// A key's state, to be changed. The key is below the number last grown to.
    pub(super) fn touch(&mut self, key: KeyId) -> &mut T {
        self.changed.insert((key as usize / self.block_keys) as u32);
        &mut self.states[key as usize]
    }

    /// Lets a key's state change, and takes note if it does. The key is below the number last grown to.
    pub(super) fn update<R>(&mut self, key: KeyId, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Copy,
    {
        let state = &mut self.states[key as usize];
        let before = *state;
        let result = change(state);
        if *state != before {
            self.touch(key);
        }
        result
    }

    /// Writes blocks under the name of a step.
    pub(super) fn snapshot(&mut self, step: &str, mode: Snapshot, writer: &mut dyn StateWriter) {
        match mode {
            Snapshot::Full => {
                for block in 0..self.states.len().div_ceil(self.block_keys) as u32 {
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
        let states = self.states.iter().skip(block as usize * self.block_keys).take(self.block_keys);
        let mut record = Block { places: Vec::new(), states: Vec::new() };
        for (place, state) in states.enumerate().filter(|(_, state)| **state != T::default()) {
            record.places.push(place as u16);
            record.states.push(state.clone());
        }
        (!record.places.is_empty()).then(|| to_block(&record))
    }

    /// Reads the blocks of a step back, into no keys.
    pub(super) fn restore(mut self, step: &str, reader: &dyn StateReader) -> Result<Self, StateError> {
        for (block, bytes) in reader.blocks(step) {
            let record: Block<T> = from_block(step, block, bytes)?;
            for (place, state) in record.places.into_iter().zip(record.states) {
                let key = block as usize * self.block_keys + usize::from(place);
                self.grow(key + 1);
                self.states[key] = state;
            }
        }
        Ok(self)
    }
}
