//! Cleaned rows of one partition -> closed windows, exactly where the watermark crosses their ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::accumulator::{Accumulator, MAGNITUDE_MAX};
use super::keys::{KeyColumns, Keys};
use super::{ClosedWindow, Crossing, WindowPlan};
use crate::stages::rows::{Reason, RejectStage, Rejected, Rows};
use crate::vocab::{EventTime, KeyId};

/// How far apart open windows may lie, in windows: the state numbers them modulo this.
pub(super) const SPREAD_MAX: i64 = 1 << 16;

/// Keys of one block of state.
pub(super) const BLOCK_KEYS: usize = 1024;

/// Takes a closed window with the keys as they were in it.
pub type OnClose<'a> = dyn FnMut(&Keys, &ClosedWindow) + 'a;

/// The windows of one partition.
#[derive(Debug)]
pub struct Windows {
    pub(super) plan: Arc<WindowPlan>,
    pub(super) keys: Keys,
    pub(super) open: BTreeMap<i64, OpenWindow>,
    /// Windows with an index below this are closed.
    pub(super) closed: i64,
    /// Blocks of keys whose lives changed since the last snapshot.
    pub(super) keys_changed: Vec<bool>,
    /// Block numbers of closed windows that the saved state still holds.
    pub(super) to_delete: Vec<u32>,
    pub(super) meta_changed: bool,
}

/// A window that still takes rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OpenWindow {
    /// Accepted rows by key.
    pub(super) rows: Vec<u32>,
    /// One per aggregate of the plan.
    pub(super) columns: Vec<Accumulator>,
    /// Blocks of keys that changed since the last snapshot.
    pub(super) changed: Vec<bool>,
    /// Blocks of keys that the saved state holds.
    pub(super) saved: Vec<bool>,
}

/// Rows of one batch on their way into windows.
struct Run {
    keys: Vec<KeyId>,
    /// Indices of the rows in the batch.
    rows: Vec<usize>,
    times: Vec<i64>,
}

impl Windows {
    /// A partition without rows.
    #[must_use]
    pub fn new(plan: Arc<WindowPlan>) -> Self {
        Self {
            plan,
            keys: Keys::default(),
            open: BTreeMap::new(),
            closed: i64::MIN,
            keys_changed: Vec::new(),
            to_delete: Vec::new(),
            meta_changed: false,
        }
    }

    /// The partition's keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Puts rows into their windows and closes windows at the crossings, in row order. `on_close` is called at each
    /// closing; ids that expire there may be given out again right after it. Returns the rows that were refused.
    pub fn push(&mut self, rows: &Rows, crossings: &[Crossing], on_close: &mut OnClose<'_>) -> Vec<Rejected> {
        let values: Vec<Vec<f64>> =
            self.plan.aggregates().iter().map(|a| numbers(a.column.map(|c| rows.batch.column(c)), rows)).collect();
        let mut refused = Vec::new();
        let mut from = 0;
        for crossing in crossings {
            let to = from + rows.origin[from..].partition_point(|origin| *origin <= crossing.after_origin);
            self.take(rows, from..to, &values, &mut refused);
            self.close_until(crossing.watermark, on_close);
            from = to;
        }
        self.take(rows, from..rows.origin.len(), &values, &mut refused);
        refused
    }

    /// Closes every window that ends at or before `until`, in order.
    pub fn close_until(&mut self, until: EventTime, on_close: &mut OnClose<'_>) {
        let target = until.0.div_euclid(self.plan.size());
        while let Some(index) = self.next_to_close().filter(|index| *index < target) {
            self.close(index, on_close);
        }
        if target > self.closed {
            self.closed = target;
            self.meta_changed = true;
        }
    }

    /// The next window with anything to say: the first open one, or the one after the last closed while keys live.
    fn next_to_close(&self) -> Option<i64> {
        let first_open = self.open.keys().next().copied();
        if self.keys.live_count() > 0 && self.closed != i64::MIN {
            return Some(first_open.map_or(self.closed, |open| open.min(self.closed)));
        }
        first_open
    }

    fn close(&mut self, index: i64, on_close: &mut OnClose<'_>) {
        let open = self.open.remove(&index);
        if let Some(open) = &open {
            let saved = open.saved.iter().enumerate().filter(|(_, saved)| **saved);
            self.to_delete.extend(saved.map(|(block, _)| block_number(index, block)));
        }
        let window = self.closed_window(index, open.as_ref());
        on_close(&self.keys, &window);
        for key in &window.expired {
            self.keys.expire(*key);
            mark(&mut self.keys_changed, *key);
        }
        self.closed = self.closed.max(index + 1);
        self.meta_changed = true;
    }

    fn closed_window(&self, index: i64, open: Option<&OpenWindow>) -> ClosedWindow {
        let (size, count) = (self.plan.size(), self.keys.len());
        let live = |life: &super::keys::KeyLife| life.name.is_some() && life.first_window <= index;
        let expire_after = self.plan.settings().expire_after;
        let expired = |life: &super::keys::KeyLife| {
            life.name.is_some() && (index - life.last_window).saturating_mul(size) >= expire_after
        };
        let column = |accumulator: usize| {
            let value = |key| open.map_or(f64::NAN, |open| open.columns[accumulator].value(key));
            (0..count).map(value).collect()
        };
        ClosedWindow {
            start: EventTime(index * size),
            end: EventTime((index + 1) * size),
            live: self.keys.lives.iter().map(live).collect(),
            rows: (0..count).map(|key| open.and_then(|open| open.rows.get(key)).copied().unwrap_or(0)).collect(),
            columns: (0..self.plan.aggregates().len()).map(column).collect(),
            expired: self.ids().filter(|key| expired(&self.keys.lives[*key as usize])).collect(),
        }
    }

    fn ids(&self) -> impl Iterator<Item = KeyId> + use<> {
        0..self.keys.len() as KeyId
    }

    /// Puts rows `range` into their windows, a run of rows of one window at a time.
    fn take(&mut self, rows: &Rows, range: std::ops::Range<usize>, values: &[Vec<f64>], refused: &mut Vec<Rejected>) {
        let columns = KeyColumns::new(self.plan.key_indices().to_vec().iter().map(|c| rows.batch.column(*c)));
        let shift = self.plan.stamp_shift();
        let mut run = Run { keys: Vec::new(), rows: Vec::new(), times: Vec::new() };
        let mut current = i64::MIN;
        for row in range {
            let index = rows.times[row].saturating_sub(shift).div_euclid(self.plan.size());
            if index != current {
                self.add(current, &mut run, values);
                current = index;
            }
            match self.admit(&columns, row, index, values) {
                Ok(key) => {
                    run.keys.push(key);
                    run.rows.push(row);
                    run.times.push(rows.times[row]);
                }
                Err((reason, detail)) => {
                    let origin = rows.origin[row];
                    refused.push(Rejected { origin, stage: RejectStage::Clean, reason, detail });
                }
            }
        }
        self.add(current, &mut run, values);
    }

    /// The key of a row that may enter window `index`, or why it may not.
    fn admit(
        &mut self,
        columns: &KeyColumns<'_>,
        row: usize,
        index: i64,
        values: &[Vec<f64>],
    ) -> Result<KeyId, (Reason, String)> {
        let first = self.open.keys().next().copied().unwrap_or(index);
        if (index - first).abs() >= SPREAD_MAX {
            return Err((Reason::FutureTimestamp, format!("more than {SPREAD_MAX} windows from the oldest open one")));
        }
        for (aggregate, values) in self.plan.aggregates().iter().zip(values) {
            if aggregate.function.sums() && values[row].abs() > MAGNITUDE_MAX {
                let detail = format!("{} = {} is beyond 2^62", aggregate.name, values[row]);
                return Err((Reason::Unrepresentable, detail));
            }
        }
        let keys_max = self.plan.settings().keys_max;
        let key = self.keys.intern(columns, row, index, keys_max).ok_or_else(|| {
            (Reason::BadKey, format!("the key is null, holds U+001F, or is one more than `keys.max` {keys_max}"))
        })?;
        let life = &mut self.keys.lives[key as usize];
        if index < life.first_window || index > life.last_window || self.keys_changed.len() * BLOCK_KEYS <= key as usize
        {
            life.first_window = life.first_window.min(index);
            life.last_window = life.last_window.max(index);
            mark(&mut self.keys_changed, key);
        }
        Ok(key)
    }

    /// Adds a run of rows to window `index`, column by column, and empties it.
    fn add(&mut self, index: i64, run: &mut Run, values: &[Vec<f64>]) {
        if run.keys.is_empty() {
            return;
        }
        let key_count = self.keys.len();
        let plan = &self.plan;
        let window = self.open.entry(index).or_insert_with(|| OpenWindow {
            rows: Vec::new(),
            columns: plan.aggregates().iter().map(|aggregate| Accumulator::new(aggregate.function)).collect(),
            changed: Vec::new(),
            saved: Vec::new(),
        });
        window.rows.resize(key_count, 0);
        for key in &run.keys {
            window.rows[*key as usize] += 1;
            mark(&mut window.changed, *key);
        }
        let mut picked = Vec::with_capacity(run.rows.len());
        for (accumulator, values) in window.columns.iter_mut().zip(values) {
            accumulator.grow(key_count);
            picked.clear();
            picked.extend(run.rows.iter().map(|row| values[*row]));
            accumulator.take(&run.keys, &picked, &run.times);
        }
        run.keys.clear();
        run.rows.clear();
        run.times.clear();
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

/// Number of a block of an open window: windows modulo [`SPREAD_MAX`], then the block of keys.
pub(super) fn block_number(index: i64, block: usize) -> u32 {
    // Both halves fit 16 bits: the remainder by definition, blocks because ids fit 26 bits (see `KEYS_LIMIT`).
    ((index.rem_euclid(SPREAD_MAX) as u32) << 16) | block as u32
}

/// A column as numbers, NaN for null; ones for `count(*)`. Minus zero becomes zero: which of the two is the least
/// must not depend on the order of rows.
fn numbers(column: Option<&ArrayRef>, rows: &Rows) -> Vec<f64> {
    let Some(column) = column else { return vec![1.0; rows.origin.len()] };
    let valid = |row: usize| column.is_valid(row);
    match column.data_type() {
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>().values();
            values.iter().enumerate().map(|(row, value)| if valid(row) { *value as f64 } else { f64::NAN }).collect()
        }
        _ => {
            let values = column.as_primitive::<Float64Type>().values();
            if column.null_count() == 0 {
                return values.iter().map(|value| value + 0.0).collect();
            }
            values.iter().enumerate().map(|(row, value)| if valid(row) { value + 0.0 } else { f64::NAN }).collect()
        }
    }
}
