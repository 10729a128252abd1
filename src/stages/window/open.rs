//! One open window: rows as they come -> aggregates by key, and which blocks of keys changed.

use serde::{Deserialize, Serialize};

use super::WindowPlan;
use super::accumulator::{Accumulator, Run};
use super::readings::Readings;

/// Keys of one block of state: tens of kB with a few aggregates.
pub(super) const BLOCK_KEYS: usize = 1024;

/// A window that still takes rows. Vectors by key are of one length; keys beyond it have no rows.
#[derive(Debug, Clone)]
pub(super) struct OpenWindow {
    /// Accepted rows by key.
    pub(super) rows: Vec<u32>,
    /// One per aggregate of the plan.
    columns: Vec<Accumulator>,
    /// Blocks of keys that changed since the last snapshot.
    pub(super) changed: Vec<bool>,
    /// Blocks of keys that the saved state holds.
    pub(super) saved: Vec<bool>,
}

/// One block of keys of one open window, as it is saved.
#[derive(Serialize, Deserialize)]
pub(super) struct OpenBlock {
    /// The window.
    pub(super) index: i64,
    first_key: u32,
    rows: Vec<u32>,
    columns: Vec<Accumulator>,
}

impl OpenWindow {
    pub(super) fn new(plan: &WindowPlan) -> Self {
        let columns = plan.aggregates().iter().map(|one| Accumulator::new(one.function, one.column)).collect();
        Self { rows: Vec::new(), columns, changed: Vec::new(), saved: Vec::new() }
    }

    fn grow(&mut self, keys: usize) {
        let keys = keys.max(self.rows.len());
        self.rows.resize(keys, 0);
        self.columns.iter_mut().for_each(|column| column.grow(keys));
        self.changed.resize(keys.div_ceil(BLOCK_KEYS), false);
        self.saved.resize(keys.div_ceil(BLOCK_KEYS), false);
    }

    /// Adds a run of rows, column by column; `keys` is how many keys the partition has.
    pub(super) fn add(&mut self, plan: &WindowPlan, run: &Run, readings: &Readings<'_>, keys: usize) {
        self.grow(keys);
        for key in &run.keys {
            self.rows[*key as usize] += 1;
            self.changed[*key as usize / BLOCK_KEYS] = true;
        }
        for (accumulator, aggregate) in self.columns.iter_mut().zip(plan.aggregates()) {
            if let Some(column) = aggregate.column {
                accumulator.take(run, &readings.values[column], &readings.rows.times);
            }
        }
    }

    /// Adds what another pane holds.
    pub(super) fn merge(&mut self, other: &Self) {
        self.grow(other.rows.len());
        self.rows.iter_mut().zip(&other.rows).for_each(|(all, more)| *all += more);
        self.columns.iter_mut().zip(&other.columns).for_each(|(all, more)| all.merge(more));
    }

    /// Accepted rows of a key.
    pub(super) fn rows_of(&self, key: u32) -> u32 {
        self.rows.get(key as usize).copied().unwrap_or(0)
    }

    /// Aggregate `place` of the plan for the keys `live` speaks of: NaN where there is none.
    pub(super) fn column(&self, place: usize, live: &[bool]) -> Vec<f64> {
        let accumulator = &self.columns[place];
        let nothing = |live: &bool| if *live && accumulator.counts() { 0.0 } else { f64::NAN };
        let mut values: Vec<f64> = live.iter().map(nothing).collect();
        accumulator.fill(&self.rows, &mut values);
        if accumulator.counts() {
            values.iter_mut().zip(live).filter(|(_, live)| !**live).for_each(|(value, _)| *value = f64::NAN);
        }
        values
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.rows.len().div_ceil(BLOCK_KEYS)
    }

    /// A block, cut after its last key with a row: what it holds must not depend on how many keys came since. `None`
    /// where no key of it has a row.
    pub(super) fn block(&self, index: i64, block: usize) -> Option<OpenBlock> {
        let from = block * BLOCK_KEYS;
        let keys = &self.rows[from..(from + BLOCK_KEYS).min(self.rows.len())];
        let to = from + keys.iter().rposition(|rows| *rows > 0)? + 1;
        Some(OpenBlock {
            index,
            first_key: from as u32,
            rows: self.rows[from..to].to_vec(),
            columns: self.columns.iter().map(|column| column.part(from, to)).collect(),
        })
    }

    /// Puts a saved block back; `keys` is how many keys the partition has.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(super) fn put_block(&mut self, saved: &OpenBlock, keys: usize) -> Result<(), &'static str> {
        let (from, count) = (saved.first_key as usize, saved.rows.len());
        if saved.columns.len() != self.columns.len() || from.saturating_add(count) > keys {
            return Err("has other columns or more keys than the partition");
        }
        self.grow(keys);
        self.rows[from..from + count].copy_from_slice(&saved.rows);
        for (column, part) in self.columns.iter_mut().zip(&saved.columns) {
            if !column.put_part(from, count, part) {
                return Err("has other aggregates than the pipeline");
            }
        }
        self.saved[from / BLOCK_KEYS] = true;
        Ok(())
    }
}
