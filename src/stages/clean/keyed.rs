//! What a step remembers by key, in bounded memory, and its blocks of state. Numbers of keys are given out again, the least
//! first, so what is remembered follows from the rows alone.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::vocab::{Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// The block of the newest event time; keys are numbered far below it.
const NEWEST_BLOCK: u32 = u32::MAX;

/// How much is remembered, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How long a key is kept behind the newest event time, microseconds; above zero.
    pub(super) kept_micros: i64,
    /// Most keys.
    pub(super) keys_max: u32,
    /// Keys of a block of state.
    pub(super) block_keys: u32,
}

/// What is remembered of a key.
pub(super) trait Memorable: Serialize + DeserializeOwned {
    /// The event time from which on it gets old, microseconds.
    fn newest(&self) -> i64;
}

/// What is remembered of one partition.
pub(super) struct Keyed<T> {
    bounds: Bounds,
    names: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Keys by number; `None` for a number that is free.
    keys: Vec<Option<Known<T>>>,
    free: BTreeSet<u32>,
    /// Newest event time; with every stretch of `kept_micros` that it enters, what is too old is forgotten.
    newest: i64,
    changed: BTreeSet<u32>,
    newest_changed: bool,
}

/// A key and what is remembered of it.
#[derive(Debug, Serialize, Deserialize)]
struct Known<T> {
    key: Box<[u8]>,
    value: T,
}

impl<T: Memorable> Keyed<T> {
    /// Nothing.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            names: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            keys: Vec::new(),
            free: BTreeSet::new(),
            newest: i64::MIN,
            changed: BTreeSet::new(),
            newest_changed: false,
        }
    }

    /// Most keys that it remembers.
    pub(super) fn keys_max(&self) -> u32 {
        self.bounds.keys_max
    }

    /// Moves event time on.
    pub(super) fn advance(&mut self, time: i64) {
        if time <= self.newest {
            return;
        }
        let kept = self.bounds.kept_micros;
        if self.newest > i64::MIN && time.div_euclid(kept) > self.newest.div_euclid(kept) {
            self.forget_older(time.saturating_sub(kept));
        }
        self.newest = time;
        self.newest_changed = true;
    }

    /// Forgets keys that are too old for every row that may still come.
    fn forget_older(&mut self, horizon: i64) {
        for number in 0..self.keys.len() as u32 {
            let Some(known) = &self.keys[number as usize] else { continue };
            if known.value.newest() >= horizon {
                continue;
            }
            if let Ok(entry) = self.names.find_entry(self.hasher.hash_one(&known.key), |other| *other == number) {
                entry.remove();
            }
            self.keys[number as usize] = None;
            self.free.insert(number);
            self.changed.insert(number / self.bounds.block_keys);
        }
    }

    /// The number of a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        let same = |number: &u32| self.keys[*number as usize].as_ref().is_some_and(|known| *known.key == *key);
        self.names.find(self.hasher.hash_one(key), same).copied()
    }

    /// Remembers a key under the least free number; `None` where there are as many as there may be.
    pub(super) fn remember(&mut self, key: &[u8], value: T) -> Option<u32> {
        if self.names.len() >= self.bounds.keys_max as usize {
            return None;
        }
        let number = self.free.first().copied().unwrap_or(self.keys.len() as u32);
        self.put(number, Known { key: key.into(), value });
        Some(number)
    }

    fn put(&mut self, number: u32, known: Known<T>) {
        while self.keys.len() <= number as usize {
            self.free.insert(self.keys.len() as u32);
            self.keys.push(None);
        }
        self.free.remove(&number);
        let hash = self.hasher.hash_one(&known.key);
        self.keys[number as usize] = Some(known);
        let (keys, hasher) = (&self.keys, &self.hasher);
        let hash_of = |number: &u32| keys[*number as usize].as_ref().map_or(0, |known| hasher.hash_one(&known.key));
        self.names.insert_unique(hash, number, hash_of);
    }

    /// What is remembered under a number.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.keys.get(number as usize)?.as_ref().map(|known| &known.value)
    }

    /// The same, to be changed.
    pub(super) fn change(&mut self, number: u32) -> Option<&mut T> {
        let known = self.keys.get_mut(number as usize)?.as_mut()?;
        self.changed.insert(number / self.bounds.block_keys);
        Some(&mut known.value)
    }

    /// Writes the state under the name of its step.
    pub(super) fn snapshot(&mut self, step: &str, which: Snapshot, writer: &mut dyn StateWriter) {
        let full = which == Snapshot::Full;
        for (block, keys) in (0..).zip(self.keys.chunks(self.bounds.block_keys as usize)) {
            if !full && !self.changed.contains(&block) {
                continue;
            }
            let held = keys.iter().enumerate().filter_map(|(place, key)| Some((place as u32, key.as_ref()?)));
            let held: Vec<(u32, &Known<T>)> = held.collect();
            match (held.is_empty(), full) {
                (false, _) => writer.put(step, block, to_block(&held)),
                (true, false) => writer.delete(step, block),
                (true, true) => {}
            }
        }
        if (full && self.newest > i64::MIN) || self.newest_changed {
            writer.put(step, NEWEST_BLOCK, to_block(&self.newest));
        }
        if !full {
            self.changed.clear();
            self.newest_changed = false;
        }
    }

    /// Reads the state back; `wrong` says of a value that it is not of the step.
    ///
    /// # Errors
    /// [`StateError`] where a block is not this state.
    pub(super) fn restore(
        &mut self,
        step: &str,
        reader: &dyn StateReader,
        wrong: impl Fn(&T) -> bool,
    ) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(step) {
            if block == NEWEST_BLOCK {
                self.newest = from_block(step, block, bytes)?;
                continue;
            }
            for (place, known) in from_block::<Vec<(u32, Known<T>)>>(step, block, bytes)? {
                if wrong(&known.value) || place >= self.bounds.block_keys {
                    let reason = "is of other columns or keys".to_owned();
                    return Err(StateError { step: step.to_owned(), block, reason });
                }
                self.put(block * self.bounds.block_keys + place, known);
            }
        }
        Ok(())
    }
}
