//! Values as they come -> the last of each key and column, and blocks of state. Numbers are given out again, the least
//! first, so what is remembered follows from the rows alone.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use crate::vocab::{Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Keys of a block of state: 30 kB of it.
const BLOCK_KEYS: u32 = 1024;
/// The block of the newest event time; keys are numbered far below it.
const NEWEST_BLOCK: u32 = u32::MAX;

/// How much is remembered, and how long. Times in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Oldest value that stands in, before its row.
    pub(super) within_micros: i64,
    /// How long a value is kept behind the newest event time: a row may come that late and still want it.
    pub(super) kept_micros: i64,
    /// Most keys.
    pub(super) keys_max: u32,
}

/// What is remembered of one partition.
pub(super) struct Memory {
    columns: usize,
    limits: Limits,
    names: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Keys by number; `None` for a number that is free.
    keys: Vec<Option<Remembered>>,
    free: BTreeSet<u32>,
    /// Newest event time; with every stretch of `kept_micros` that it enters, what is too old is forgotten.
    newest: i64,
    changed: BTreeSet<u32>,
    newest_changed: bool,
}

/// The last values of a key.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    key: Box<[u8]>,
    /// By imputed column.
    last: Vec<Option<Reading>>,
}

/// A value and its event time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Reading {
    pub(super) time: i64,
    pub(super) value: Number,
}

/// As its column has it, so that nothing is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Number {
    Float(f64),
    Whole(i64),
}

impl Memory {
    /// Nothing, of keys with so many columns.
    pub(super) fn new(columns: usize, limits: Limits) -> Self {
        Self {
            columns,
            limits,
            names: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            keys: Vec::new(),
            free: BTreeSet::new(),
            newest: i64::MIN,
            changed: BTreeSet::new(),
            newest_changed: false,
        }
    }

    /// Moves event time on.
    pub(super) fn advance(&mut self, time: i64) {
        if time <= self.newest {
            return;
        }
        let kept = self.limits.kept_micros;
        if self.newest > i64::MIN && time.div_euclid(kept) > self.newest.div_euclid(kept) {
            self.forget_older(time.saturating_sub(kept));
        }
        self.newest = time;
        self.newest_changed = true;
    }

    /// Forgets keys all of whose values are too old for every row that may still come.
    fn forget_older(&mut self, horizon: i64) {
        for number in 0..self.keys.len() as u32 {
            let Some(key) = &self.keys[number as usize] else { continue };
            if key.last.iter().flatten().any(|reading| reading.time >= horizon) {
                continue;
            }
            if let Ok(entry) = self.names.find_entry(self.hasher.hash_one(&key.key), |known| *known == number) {
                entry.remove();
            }
            self.keys[number as usize] = None;
            self.free.insert(number);
            self.changed.insert(number / BLOCK_KEYS);
        }
    }

    /// The number of a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        let same = |number: &u32| self.keys[*number as usize].as_ref().is_some_and(|known| *known.key == *key);
        self.names.find(self.hasher.hash_one(key), same).copied()
    }

    /// Remembers a key under the least free number; `None` where there are as many as there may be.
    pub(super) fn remember(&mut self, key: &[u8]) -> Option<u32> {
        if self.names.len() >= self.limits.keys_max as usize {
            return None;
        }
        let number = self.free.first().copied().unwrap_or(self.keys.len() as u32);
        self.put(number, Remembered { key: key.into(), last: vec![None; self.columns] });
        Some(number)
    }

    fn put(&mut self, number: u32, remembered: Remembered) {
        while self.keys.len() <= number as usize {
            self.free.insert(self.keys.len() as u32);
            self.keys.push(None);
        }
        self.free.remove(&number);
        let hash = self.hasher.hash_one(&remembered.key);
        self.keys[number as usize] = Some(remembered);
        let (keys, hasher) = (&self.keys, &self.hasher);
        let hash_of = |number: &u32| keys[*number as usize].as_ref().map_or(0, |known| hasher.hash_one(&known.key));
        self.names.insert_unique(hash, number, hash_of);
    }

    /// Notes a value that was measured.
    pub(super) fn learn(&mut self, number: u32, column: usize, reading: Reading) {
        let Some(known) = &mut self.keys[number as usize] else { return };
        let last = &mut known.last[column];
        if last.is_none_or(|last| last.time <= reading.time) {
            *last = Some(reading);
            self.changed.insert(number / BLOCK_KEYS);
        }
    }

    /// What stands in for a value that is missing at this time.
    pub(super) fn stand_in(&self, number: u32, column: usize, time: i64) -> Option<Number> {
        let last = self.keys[number as usize].as_ref()?.last[column]?;
        (last.time <= time && time.saturating_sub(last.time) <= self.limits.within_micros).then_some(last.value)
    }

    /// Writes the state under the name of its step.
    pub(super) fn snapshot(&mut self, step: &str, which: Snapshot, writer: &mut dyn StateWriter) {
        let full = which == Snapshot::Full;
        for (block, keys) in (0..).zip(self.keys.chunks(BLOCK_KEYS as usize)) {
            if !full && !self.changed.contains(&block) {
                continue;
            }
            let held = keys.iter().enumerate().filter_map(|(place, key)| Some((place as u32, key.as_ref()?)));
            let held: Vec<(u32, &Remembered)> = held.collect();
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

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] where a block is not this state.
    pub(super) fn restore(&mut self, step: &str, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(step) {
            if block == NEWEST_BLOCK {
                self.newest = from_block(step, block, bytes)?;
                continue;
            }
            for (place, remembered) in from_block::<Vec<(u32, Remembered)>>(step, block, bytes)? {
                if remembered.last.len() != self.columns || place >= BLOCK_KEYS {
                    let reason = "is of other columns or keys".to_owned();
                    return Err(StateError { step: step.to_owned(), block, reason });
                }
                self.put(block * BLOCK_KEYS + place, remembered);
            }
        }
        Ok(())
    }
}
