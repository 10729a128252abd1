//! Windows of one partition <-> blocks of state: keys, their lives, open windows, and how far windows are closed.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::keys::{Keys, Life, Name};
use super::open::{OpenBlock, OpenWindow};
use super::windows::Windows;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

const META: &str = "window";
const NAMES: &str = "window.keys";
const LIVES: &str = "window.lives";
const OPEN: &str = "window.open";

/// Keys of one block of names or lives: about 60 kB of names, 30 kB of lives.
const BLOCK_KEYS: usize = 4096;

/// Saved windows are numbered modulo this; the plan holds the windows that can be open at once below it.
pub(super) const OPEN_MAX: i64 = 1 << 16;

#[derive(Serialize, Deserialize)]
struct Meta {
    closed: i64,
}

/// What changed since the last snapshot, besides the open windows, which know it themselves.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub(super) closed: bool,
    names: Vec<bool>,
    lives: Vec<bool>,
    /// Block numbers of closed windows that the saved state still holds.
    gone: BTreeSet<u32>,
}

impl Dirty {
    pub(super) fn name(&mut self, key: KeyId) {
        mark(&mut self.names, key);
    }

    pub(super) fn life(&mut self, key: KeyId) {
        mark(&mut self.lives, key);
    }

    pub(super) fn closed_pane(&mut self, index: i64, window: &OpenWindow) {
        let saved = window.saved.iter().enumerate().filter(|(_, saved)| **saved);
        self.gone.extend(saved.map(|(block, _)| block_number(index, block)));
    }
}

/// Marks the block of a key.
fn mark(blocks: &mut Vec<bool>, key: KeyId) {
    let block = key as usize / BLOCK_KEYS;
    if blocks.len() <= block {
        blocks.resize(block + 1, false);
    }
    blocks[block] = true;
}

/// Number of a block of an open window: windows modulo [`OPEN_MAX`], then the block of keys.
fn block_number(index: i64, block: usize) -> u32 {
    // Both halves fit 16 bits: the remainder by definition, blocks because the plan limits keys to `KEYS_MAX`.
    ((index.rem_euclid(OPEN_MAX) as u32) << 16) | block as u32
}

/// Most keys of a partition: 2^16 blocks of an open window.
pub(super) const KEYS_MAX: u32 = 1 << 26;

impl Windows {
    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        let full = which == Snapshot::Full;
        if full || self.dirty.closed {
            writer.put(META, 0, to_block(&Meta { closed: self.closed }));
        }
        put_blocks(writer, NAMES, self.keys.names(), full, &self.dirty.names);
        put_blocks(writer, LIVES, self.keys.lives(), full, &self.dirty.lives);
        for (index, window) in &self.open {
            for block in (0..window.blocks()).filter(|block| full || window.changed[*block]) {
                if let Some(block_of_keys) = window.block(*index, block) {
                    writer.put(OPEN, block_number(*index, block), to_block(&block_of_keys));
                }
            }
        }
        if !full {
            self.mark_saved(writer);
        }
    }

    fn mark_saved(&mut self, writer: &mut dyn StateWriter) {
        let mut gone = std::mem::take(&mut self.dirty).gone;
        for (index, window) in &mut self.open {
            for block in 0..window.changed.len() {
                window.saved[block] |= std::mem::take(&mut window.changed[block]);
                if window.saved[block] {
                    // A window so many later has taken the number over.
                    gone.remove(&block_number(*index, block));
                }
            }
        }
        for number in gone {
            writer.delete(OPEN, number);
        }
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] where a block is not this state.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        let Some((block, bytes)) = reader.blocks(META).next() else { return Ok(()) };
        let meta: Meta = from_block(META, block, bytes)?;
        let names = read_blocks::<Option<Name>>(reader, NAMES)?;
        let lives = read_blocks::<Life>(reader, LIVES)?;
        let columns = self.plan.key_columns().len();
        self.closed = meta.closed;
        self.keys = Keys::of(columns, names, lives).ok_or_else(|| invalid(LIVES, 0, "fits other keys"))?;
        self.any_live = self.keys.lives().iter().any(|life| life.first_window < self.closed);
        for (block, bytes) in reader.blocks(OPEN) {
            let saved: OpenBlock = from_block(OPEN, block, bytes)?;
            let window = self.open.entry(saved.index).or_insert_with(|| OpenWindow::new(&self.plan));
            window.put_block(&saved, self.keys.len()).map_err(|reason| invalid(OPEN, block, reason))?;
        }
        Ok(())
    }
}

fn put_blocks<T: Serialize>(writer: &mut dyn StateWriter, step: &str, values: &[T], full: bool, changed: &[bool]) {
    for (block, values) in values.chunks(BLOCK_KEYS).enumerate() {
        if full || changed.get(block) == Some(&true) {
            writer.put(step, block as u32, to_block(&values));
        }
    }
}

fn read_blocks<T: DeserializeOwned>(reader: &dyn StateReader, step: &str) -> Result<Vec<T>, StateError> {
    let mut all = Vec::new();
    for (block, bytes) in reader.blocks(step) {
        if all.len() != block as usize * BLOCK_KEYS {
            return Err(invalid(step, block, "follows a block that is missing or cut short"));
        }
        all.extend(from_block::<Vec<T>>(step, block, bytes)?);
    }
    Ok(all)
}

fn invalid(step: &str, block: u32, reason: &str) -> StateError {
    StateError { step: step.to_owned(), block, reason: reason.to_owned() }
}
