//! Windows of one partition <-> blocks of state: keys, open windows, and how far windows are closed.

use serde::{Deserialize, Serialize};

use super::accumulator::Accumulator;
use super::keys::{KeyLife, Keys};
use super::windows::{BLOCK_KEYS, OpenWindow, Windows, block_number};
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

const META: &str = "window";
const KEYS: &str = "window.keys";
const OPEN: &str = "window.open";

#[derive(Serialize, Deserialize)]
struct Meta {
    closed: i64,
    free: Vec<KeyId>,
}

/// One block of keys of one open window.
#[derive(Serialize, Deserialize)]
struct OpenBlock {
    index: i64,
    first_key: u32,
    rows: Vec<u32>,
    columns: Vec<Accumulator>,
}

impl Windows {
    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        let full = which == Snapshot::Full;
        if full || self.meta_changed {
            writer.put(META, 0, to_block(&Meta { closed: self.closed, free: self.keys.free.clone() }));
        }
        for (block, lives) in self.keys.lives.chunks(BLOCK_KEYS).enumerate() {
            if full || self.keys_changed.get(block) == Some(&true) {
                writer.put(KEYS, block as u32, to_block(&lives));
            }
        }
        for (index, window) in &mut self.open {
            for block in 0..window.rows.len().div_ceil(BLOCK_KEYS) {
                // A block that never took a row is left out of both kinds of snapshot.
                let touched = window.is_touched(block);
                if touched && (full || window.changed.get(block) == Some(&true)) {
                    writer.put(OPEN, block_number(*index, block), to_block(&window.block(*index, block)));
                }
            }
        }
        if !full {
            self.mark_saved(writer);
        }
    }

    fn mark_saved(&mut self, writer: &mut dyn StateWriter) {
        self.meta_changed = false;
        self.keys_changed.fill(false);
        for window in self.open.values_mut() {
            for block in 0..window.changed.len() {
                if std::mem::take(&mut window.changed[block]) {
                    window.saved.resize(window.changed.len().max(window.saved.len()), false);
                    window.saved[block] = true;
                }
            }
        }
        let reused: Vec<u32> = self
            .open
            .iter()
            .flat_map(|(index, window)| (0..window.saved.len()).map(move |block| (index, window, block)))
            .filter(|(_, window, block)| window.saved[*block])
            .map(|(index, _, block)| block_number(*index, block))
            .collect();
        for number in self.to_delete.drain(..).filter(|number| !reused.contains(number)) {
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
        let mut lives: Vec<KeyLife> = Vec::new();
        for (block, bytes) in reader.blocks(KEYS) {
            lives.extend(from_block::<Vec<KeyLife>>(KEYS, block, bytes)?);
        }
        self.closed = meta.closed;
        self.keys_changed = vec![false; lives.len().div_ceil(BLOCK_KEYS)];
        self.keys = Keys::of(lives, meta.free);
        for (block, bytes) in reader.blocks(OPEN) {
            let saved: OpenBlock = from_block(OPEN, block, bytes)?;
            self.put_block(&saved).map_err(|reason| StateError { step: OPEN.to_owned(), block, reason })?;
        }
        Ok(())
    }

    fn put_block(&mut self, saved: &OpenBlock) -> Result<(), String> {
        let (plan, key_count) = (&self.plan, self.keys.len());
        let window = self.open.entry(saved.index).or_insert_with(|| OpenWindow {
            rows: vec![0; key_count],
            columns: plan.aggregates().iter().map(|aggregate| Accumulator::new(aggregate.function)).collect(),
            changed: Vec::new(),
            saved: Vec::new(),
        });
        let from = saved.first_key as usize;
        if saved.columns.len() != window.columns.len() || from + saved.rows.len() > key_count {
            return Err("has other columns or more keys than the pipeline".to_owned());
        }
        window.rows[from..from + saved.rows.len()].copy_from_slice(&saved.rows);
        for (column, part) in window.columns.iter_mut().zip(&saved.columns) {
            column.grow(key_count);
            if !column.put_part(from, part) {
                return Err("has other aggregates than the pipeline".to_owned());
            }
        }
        let block = from / BLOCK_KEYS;
        window.saved.resize(window.saved.len().max(block + 1), false);
        window.saved[block] = true;
        Ok(())
    }
}

impl OpenWindow {
    /// Whether any key of a block has a row.
    fn is_touched(&self, block: usize) -> bool {
        let from = block * BLOCK_KEYS;
        self.rows[from..(from + BLOCK_KEYS).min(self.rows.len())].iter().any(|rows| *rows > 0)
    }

    /// A block, cut after its last key with a row: what it holds must not depend on how many keys came since.
    fn block(&self, index: i64, block: usize) -> OpenBlock {
        let from = block * BLOCK_KEYS;
        let keys = &self.rows[from..(from + BLOCK_KEYS).min(self.rows.len())];
        let to = from + keys.iter().rposition(|rows| *rows > 0).map_or(0, |last| last + 1);
        OpenBlock {
            index,
            first_key: from as u32,
            rows: self.rows[from..to].to_vec(),
            columns: self.columns.iter().map(|column| column.part(from, to)).collect(),
        }
    }
}
