//! Rows with their labels, 0 or 1, to learn from again: the newest, in a ring.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::vocab::{Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Rows of a block of state.
const ROWS_PER_BLOCK: usize = 64;

/// The memory of one network.
#[derive(Debug)]
pub struct Rows {
    step: String,
    columns: usize,
    capacity: usize,
    /// `rows x columns`, NaN where missing; the oldest are overwritten.
    values: Vec<f32>,
    labels: Vec<f32>,
    taken: u64,
    changed: BTreeSet<usize>,
}

#[derive(Serialize, Deserialize)]
struct Part {
    values: Vec<f32>,
    labels: Vec<f32>,
}

impl Rows {
    /// Empty. State goes to `step`.
    #[must_use]
    pub fn new(step: String, columns: usize, capacity: usize) -> Self {
        Self { step, columns, capacity, values: Vec::new(), labels: Vec::new(), taken: 0, changed: BTreeSet::new() }
    }

    /// The step of its state.
    pub(super) fn step(&self) -> &str {
        &self.step
    }

    /// Adds a row, in the place of the oldest where all are taken.
    pub fn push(&mut self, values: impl Iterator<Item = f32>, label: f32) {
        // Below the capacity, which is a u32.
        let place = (self.taken % self.capacity as u64) as usize;
        if place == self.labels.len() {
            self.values.extend(values);
            self.labels.push(label);
        } else {
            let row = &mut self.values[place * self.columns..(place + 1) * self.columns];
            row.iter_mut().zip(values).for_each(|(held, value)| *held = value);
            self.labels[place] = label;
        }
        self.taken += 1;
        self.changed.insert(place / ROWS_PER_BLOCK);
    }

    /// Rows held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Rows ever taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The row that is `age` rows old, 0 for the newest: its values and label.
    #[must_use]
    pub fn row(&self, age: usize) -> Option<(&[f32], f32)> {
        if age >= self.len() {
            return None;
        }
        let place = ((self.taken - 1 - age as u64) % self.capacity as u64) as usize;
        Some((&self.values[place * self.columns..(place + 1) * self.columns], self.labels[place]))
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        let blocks: Vec<usize> = match which {
            Snapshot::Full => (0..self.len().div_ceil(ROWS_PER_BLOCK)).collect(),
            Snapshot::Changed => std::mem::take(&mut self.changed).into_iter().collect(),
        };
        for block in blocks {
            let rows = block * ROWS_PER_BLOCK..((block + 1) * ROWS_PER_BLOCK).min(self.len());
            let values = self.values[rows.start * self.columns..rows.end * self.columns].to_vec();
            // Blocks are fewer than rows.
            writer.put(&self.step, block as u32, to_block(&Part { values, labels: self.labels[rows].to_vec() }));
        }
    }

    /// Reads the state back; `taken` rows had been taken by then.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit.
    pub fn restore(&mut self, taken: u64, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            let part: Part = from_block(&self.step, block, bytes)?;
            let fits = self.len() == block as usize * ROWS_PER_BLOCK
                && part.labels.len() <= ROWS_PER_BLOCK
                && part.values.len() == part.labels.len() * self.columns
                && self.len() + part.labels.len() <= self.capacity;
            if !fits {
                let reason = "its columns or its place are not this plan's".to_owned();
                return Err(StateError { step: self.step.clone(), block, reason });
            }
            self.values.extend(part.values);
            self.labels.extend(part.labels);
        }
        if taken.min(self.capacity as u64) != self.len() as u64 {
            let reason = format!("{} rows where {taken} were taken", self.len());
            return Err(StateError { step: self.step.clone(), block: 0, reason });
        }
        self.taken = taken;
        Ok(())
    }
}
