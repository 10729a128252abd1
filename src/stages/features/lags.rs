//! Values of closed windows -> the last few of each key, newest first.

use serde::{Deserialize, Serialize};

use super::settings::Fill;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Lags of one block of state, all its keys together: 64 kB.
const BLOCK_LAGS: usize = 8192;
/// Windows beyond which an age counts no further; ages are divided by it, so that they lie in 0..=1.
const AGE_MAX: u8 = u8::MAX;

/// Lags of one column of one partition.
#[derive(Debug)]
pub(super) struct Lags {
    step: String,
    count: usize,
    /// Keys of one block of state.
    block_keys: usize,
    fill: Fill,
    /// Keys x count, newest first, NaN where there is none.
    values: Vec<f64>,
    /// Windows since the last value.
    ages: Vec<u8>,
    changed: Vec<bool>,
}

#[derive(Serialize, Deserialize)]
struct Block {
    values: Vec<f64>,
    ages: Vec<u8>,
}

impl Lags {
    pub(super) fn new(step: String, count: usize, fill: Fill) -> Self {
        let block_keys = (BLOCK_LAGS / count.max(1)).max(1);
        Self { step, count, block_keys, fill, values: Vec::new(), ages: Vec::new(), changed: Vec::new() }
    }

    /// Takes the values of a window, by key; keys that are not live keep what they have.
    pub(super) fn push(&mut self, values: &[f64], live: &[bool]) {
        self.grow(values.len());
        for (key, (value, live)) in values.iter().zip(live).enumerate() {
            if !live {
                continue;
            }
            let lags = &mut self.values[key * self.count..(key + 1) * self.count];
            if self.fill == Fill::Last && lags[0].is_nan() {
                // Before a key's first reading there is nothing to carry: it stands for all that came before.
                lags.fill(*value);
            } else {
                let carried = lags[0];
                lags.copy_within(0..self.count - 1, 1);
                lags[0] = if value.is_nan() && self.fill == Fill::Last { carried } else { *value };
            }
            self.ages[key] = if value.is_nan() { self.ages[key].saturating_add(1) } else { 0 };
            self.changed[key / self.block_keys] = true;
        }
    }

    fn grow(&mut self, keys: usize) {
        let keys = keys.max(self.ages.len());
        self.values.resize(keys * self.count, f64::NAN);
        self.ages.resize(keys, AGE_MAX);
        self.changed.resize(keys.div_ceil(self.block_keys), false);
    }

    /// A key's lags, newest first.
    pub(super) fn of(&self, key: usize) -> &[f64] {
        &self.values[key * self.count..(key + 1) * self.count]
    }

    /// Windows since a key's last value, as a share of 255.
    pub(super) fn age(&self, key: usize) -> f64 {
        f64::from(self.ages[key]) / f64::from(AGE_MAX)
    }

    /// Windows since a key's last value, 255 for that many or more.
    pub(super) fn windows_since(&self, key: usize) -> u8 {
        self.ages[key]
    }

    pub(super) fn forget(&mut self, keys: &[KeyId]) {
        let known = self.ages.len();
        for key in keys.iter().map(|key| *key as usize).filter(|key| *key < known) {
            self.values[key * self.count..(key + 1) * self.count].fill(f64::NAN);
            self.ages[key] = AGE_MAX;
            self.changed[key / self.block_keys] = true;
        }
    }

    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for block in 0..self.changed.len() {
            let changed = match which {
                Snapshot::Changed => std::mem::take(&mut self.changed[block]),
                Snapshot::Full => true,
            };
            if !changed {
                continue;
            }
            let saved = self.block(block);
            if !saved.ages.is_empty() {
                writer.put(&self.step, block as u32, to_block(&saved));
            } else if which == Snapshot::Changed {
                writer.delete(&self.step, block as u32);
            }
        }
    }

    /// A block, cut after its last key with a reading: what it holds must not depend on how many keys came since.
    fn block(&self, block: usize) -> Block {
        let from = block * self.block_keys;
        let keys = from..(from + self.block_keys).min(self.ages.len());
        let known = keys.rev().find(|key| self.ages[*key] < AGE_MAX || self.of(*key).iter().any(|lag| !lag.is_nan()));
        let to = known.map_or(from, |last| last + 1);
        let values = self.values[from * self.count..to * self.count].to_vec();
        Block { values, ages: self.ages[from..to].to_vec() }
    }

    pub(super) fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (number, bytes) in reader.blocks(&self.step) {
            let block: Block = from_block(&self.step, number, bytes)?;
            if block.values.len() != block.ages.len() * self.count {
                let reason = format!("holds other than {} lags per key", self.count);
                return Err(StateError { step: self.step.clone(), block: number, reason });
            }
            let from = number as usize * self.block_keys;
            self.grow(from + block.ages.len());
            self.ages[from..from + block.ages.len()].copy_from_slice(&block.ages);
            self.values[from * self.count..from * self.count + block.values.len()].copy_from_slice(&block.values);
        }
        Ok(())
    }
}
