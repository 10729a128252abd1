//! Complete pairs of features and label of models that have not started yet -> the first complete history of each. A
//! started model keeps nothing here.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::stages::predict::blocks::BLOCK_BYTES;
use crate::vocab::{Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Pairs gathered so far, per horizon and key: rows of (scaled features, scaled target), oldest first.
#[derive(Debug)]
pub struct History {
    /// Values of one pair, per horizon.
    pair_widths: Vec<usize>,
    /// Pairs of a complete history.
    complete: usize,
    keys_per_block: usize,
    pairs_per_block: usize,
    pairs: Vec<Vec<Vec<f64>>>,
    changed: BTreeSet<u32>,
}

/// Some pairs of neighbouring keys: `pairs[horizon][key]`.
#[derive(Debug, Serialize, Deserialize)]
struct HistoryBlock {
    first_key: u32,
    pairs: Vec<Vec<Vec<f64>>>,
}

impl History {
    /// Nothing gathered. `pair_widths[horizon]` is the number of features and one; `complete` is at least 1.
    #[must_use]
    pub fn new(pair_widths: Vec<usize>, complete: usize) -> Self {
        let bytes_per_pair = pair_widths.iter().sum::<usize>() * size_of::<f64>();
        // Whole histories of several keys where they fit a block, else parts of one key's.
        let pairs_per_block = (BLOCK_BYTES / bytes_per_pair.max(1)).clamp(1, complete.max(1));
        let keys_per_block = (BLOCK_BYTES / (bytes_per_pair * complete).max(1)).max(1);
        let pairs = vec![Vec::new(); pair_widths.len()];
        Self { pair_widths, complete, keys_per_block, pairs_per_block, pairs, changed: BTreeSet::new() }
    }

    /// Makes room for keys.
    pub fn grow(&mut self, keys: usize) {
        for horizon in &mut self.pairs {
            horizon.resize(keys, Vec::new());
        }
    }

    /// Gathers one pair; returns all of the history when that makes it complete, and keeps nothing of it.
    pub fn push(&mut self, horizon: usize, key: usize, features: &[f64], target: f64) -> Option<Vec<f64>> {
        let width = self.pair_widths[horizon];
        let pairs = &mut self.pairs[horizon][key];
        pairs.extend_from_slice(features);
        pairs.push(target);
        let count = pairs.len() / width;
        if count < self.complete {
            self.changed.insert(self.block(key, count - 1));
            return None;
        }
        let complete = std::mem::take(pairs);
        self.mark_key(key);
        Some(complete)
    }

    /// Drops what was gathered of a key.
    pub fn forget(&mut self, key: usize) {
        for horizon in &mut self.pairs {
            horizon[key] = Vec::new();
        }
        self.mark_key(key);
    }

    /// Drops what was gathered of a key at one horizon.
    pub fn forget_horizon(&mut self, horizon: usize, key: usize) {
        self.pairs[horizon][key] = Vec::new();
        self.mark_key(key);
    }

    /// Writes blocks; those that hold nothing any more are deleted.
    pub fn snapshot(&mut self, step: &str, which: Snapshot, writer: &mut dyn StateWriter) {
        let blocks: Vec<u32> = match which {
            Snapshot::Changed => std::mem::take(&mut self.changed).into_iter().collect(),
            Snapshot::Full => self.filled_blocks(),
        };
        for block in blocks {
            let value = self.contents(block);
            if value.pairs.iter().flatten().any(|pairs| !pairs.is_empty()) {
                writer.put(step, block, to_block(&value));
            } else if which == Snapshot::Changed {
                writer.delete(step, block);
            }
        }
    }

    /// Reads the blocks back; room for all keys must have been made.
    ///
    /// # Errors
    /// [`StateError`] where a block does not fit.
    pub fn restore(&mut self, step: &str, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(step) {
            let value: HistoryBlock = from_block(step, block, bytes)?;
            self.take_in(value).map_err(|reason| StateError { step: step.to_owned(), block, reason })?;
        }
        Ok(())
    }

    /// Ascending blocks keep a key's pairs in order.
    fn take_in(&mut self, block: HistoryBlock) -> Result<(), String> {
        if block.pairs.len() != self.pairs.len() {
            return Err(format!("{} horizons for a model of {}", block.pairs.len(), self.pairs.len()));
        }
        for ((horizon, keys), width) in self.pairs.iter_mut().zip(block.pairs).zip(&self.pair_widths) {
            for (key, pairs) in keys.into_iter().enumerate() {
                let key = block.first_key as usize + key;
                let slot = horizon.get_mut(key).ok_or_else(|| format!("key {key} is unknown"))?;
                slot.extend(pairs);
                if slot.len() % width != 0 || slot.len() / width >= self.complete {
                    return Err(format!("{} values of history for pairs of {width}", slot.len()));
                }
            }
        }
        Ok(())
    }

    fn chunks(&self) -> usize {
        self.complete.div_ceil(self.pairs_per_block)
    }

    fn block(&self, key: usize, pair: usize) -> u32 {
        // Keys (at most 2^20 by `keys.max`) times parts of a history stay far below 2^32.
        (key / self.keys_per_block * self.chunks() + pair / self.pairs_per_block) as u32
    }

    fn mark_key(&mut self, key: usize) {
        let first = self.block(key, 0);
        self.changed.extend(first..first + self.chunks() as u32);
    }

    fn keys(&self, block: u32) -> Range<usize> {
        let first = block as usize / self.chunks() * self.keys_per_block;
        let known = self.pairs.first().map_or(0, Vec::len);
        first.min(known)..(first + self.keys_per_block).min(known)
    }

    fn contents(&self, block: u32) -> HistoryBlock {
        let keys = self.keys(block);
        let first_pair = block as usize % self.chunks() * self.pairs_per_block;
        let part = |pairs: &Vec<f64>, width: usize| {
            let end = (width * (first_pair + self.pairs_per_block)).min(pairs.len());
            pairs.get(width * first_pair..end).unwrap_or_default().to_vec()
        };
        // Up to the last key that has some: a key that comes new changes nothing in the block of its neighbours.
        let filled = |pairs: &[Vec<f64>]| pairs.iter().rposition(|key| !key.is_empty()).map_or(0, |last| last + 1);
        let of_horizon = |(horizon, &width): (&Vec<Vec<f64>>, &usize)| {
            let mut parts: Vec<Vec<f64>> = horizon[keys.clone()].iter().map(|key| part(key, width)).collect();
            parts.truncate(filled(&parts));
            parts
        };
        let pairs = self.pairs.iter().zip(&self.pair_widths).map(of_horizon).collect();
        HistoryBlock { first_key: keys.start as u32, pairs }
    }

    fn filled_blocks(&self) -> Vec<u32> {
        let mut blocks = BTreeSet::new();
        for (horizon, width) in self.pairs.iter().zip(&self.pair_widths) {
            for (key, pairs) in horizon.iter().enumerate().filter(|(_, pairs)| !pairs.is_empty()) {
                blocks.extend(self.block(key, 0)..=self.block(key, pairs.len() / width - 1));
            }
        }
        blocks.into_iter().collect()
    }
}
