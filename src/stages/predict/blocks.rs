//! Which blocks of keys changed since the last commit. A block holds neighbouring keys; its size follows from the
//! plan alone, so that the same state always lies in the same blocks.

use std::ops::Range;

use crate::vocab::{Snapshot, StateError};

/// Bytes that a block aims at: large enough for few records per commit, small enough that a quiet key is seldom
/// written with a busy one.
pub(super) const BLOCK_BYTES: usize = 32 * 1024;

/// Neighbouring keys in blocks, and the blocks that changed.
#[derive(Debug, Clone)]
pub(super) struct KeyBlocks {
    keys_per_block: usize,
    changed: Vec<bool>,
}

impl KeyBlocks {
    /// Blocks of keys that take so many bytes each.
    pub(super) fn new(bytes_per_key: usize) -> Self {
        Self { keys_per_block: (BLOCK_BYTES / bytes_per_key.max(1)).max(1), changed: Vec::new() }
    }

    /// Takes keys `from..to` in as new.
    pub(super) fn grow(&mut self, from: usize, to: usize) {
        self.changed.resize(to.div_ceil(self.keys_per_block), false);
        if from < to {
            self.changed[from / self.keys_per_block..].fill(true);
        }
    }

    /// Marks the block of a key as changed.
    pub(super) fn mark(&mut self, key: usize) {
        self.changed[key / self.keys_per_block] = true;
    }

    /// Marks all blocks as written.
    pub(super) fn clean(&mut self) {
        self.changed.fill(false);
    }

    /// The keys of a block among `keys`.
    pub(super) fn keys(&self, block: usize, keys: usize) -> Range<usize> {
        block * self.keys_per_block..((block + 1) * self.keys_per_block).min(keys)
    }

    /// Blocks that a snapshot writes, ascending. Marks them clean where it is one of changes.
    pub(super) fn take(&mut self, which: Snapshot) -> Vec<usize> {
        let blocks = (0..self.changed.len()).filter(|&block| which == Snapshot::Full || self.changed[block]).collect();
        if which == Snapshot::Changed {
            self.clean();
        }
        blocks
    }

    /// Whether block number `block` with `held` keys can come next after `keys` keys; else the state is not ours.
    pub(super) fn follows(&self, step: &str, block: u32, keys: usize, held: usize) -> Result<(), StateError> {
        let place = block as usize * self.keys_per_block;
        if place == keys && held <= self.keys_per_block && held > 0 {
            return Ok(());
        }
        let reason = format!("{held} keys after {keys} where blocks hold {}", self.keys_per_block);
        Err(StateError { step: step.to_owned(), block, reason })
    }
}
