//! Values as they come -> the last of each key and column.

use serde::{Deserialize, Serialize};

use crate::stages::clean::keyed::{Bounds, Keyed, Memorable};
use crate::vocab::{Snapshot, StateError, StateReader, StateWriter};

/// Keys of a block of state: 30 kB of it.
const BLOCK_KEYS: u32 = 1024;

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
    within_micros: i64,
    keys: Keyed<Last>,
}

/// The last values of a key by imputed column.
type Last = Vec<Option<Reading>>;

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

impl Memorable for Last {
    fn newest(&self) -> i64 {
        self.iter().flatten().map(|reading| reading.time).max().unwrap_or(i64::MIN)
    }
}

impl Memory {
    /// Nothing, of keys with so many columns.
    pub(super) fn new(columns: usize, limits: Limits) -> Self {
        let Limits { within_micros, kept_micros, keys_max } = limits;
        let keys = Keyed::new(Bounds { kept_micros, keys_max, block_keys: BLOCK_KEYS });
        Self { columns, within_micros, keys }
    }

    /// Moves event time on.
    pub(super) fn advance(&mut self, time: i64) {
        self.keys.advance(time);
    }

    /// The number of a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.keys.find(key)
    }

    /// Remembers a key; `None` where there are as many as there may be.
    pub(super) fn remember(&mut self, key: &[u8]) -> Option<u32> {
        self.keys.remember(key, vec![None; self.columns])
    }

    /// Notes a value that was measured.
    pub(super) fn learn(&mut self, number: u32, column: usize, reading: Reading) {
        let newer = |last: Option<Reading>| last.is_none_or(|last| last.time <= reading.time);
        if self.keys.get(number).is_some_and(|last| newer(last[column]))
            && let Some(last) = self.keys.change(number)
        {
            last[column] = Some(reading);
        }
    }

    /// What stands in for a value that is missing at this time.
    pub(super) fn stand_in(&self, number: u32, column: usize, time: i64) -> Option<Number> {
        let last = self.keys.get(number)?[column]?;
        (last.time <= time && time.saturating_sub(last.time) <= self.within_micros).then_some(last.value)
    }

    /// Writes the state under the name of its step.
    pub(super) fn snapshot(&mut self, step: &str, which: Snapshot, writer: &mut dyn StateWriter) {
        self.keys.snapshot(step, which, writer);
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] where a block is not this state.
    pub(super) fn restore(&mut self, step: &str, reader: &dyn StateReader) -> Result<(), StateError> {
        self.keys.restore(step, reader, |last| last.len() != self.columns)
    }
}
