//! Values of closed windows -> how many in a row equalled the one before: a sensor that holds its reading.

use serde::{Deserialize, Serialize};

use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Keys of one block of state.
const BLOCK_KEYS: usize = 4096;

/// Runs of equal readings of one column of one partition.
#[derive(Debug)]
pub(super) struct Repeats {
    step: String,
    runs: Vec<Run>,
    changed: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Run {
    last: f64,
    count: u32,
}

const NO_READING: Run = Run { last: f64::NAN, count: 0 };

impl Repeats {
    pub(super) fn new(step: String) -> Self {
        Self { step, runs: Vec::new(), changed: Vec::new() }
    }

    /// Takes the values of a window, by key; a null leaves the run alone.
    pub(super) fn push(&mut self, values: &[f64]) {
        self.grow(values.len());
        for (key, value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            let run = &mut self.runs[key];
            run.count = if *value == run.last { run.count.saturating_add(1) } else { 0 };
            run.last = *value;
            self.changed[key / BLOCK_KEYS] = true;
        }
    }

    fn grow(&mut self, keys: usize) {
        self.runs.resize(keys.max(self.runs.len()), NO_READING);
        self.changed.resize(self.runs.len().div_ceil(BLOCK_KEYS), false);
    }

    /// How many readings in a row equalled the one before.
    pub(super) fn of(&self, key: usize) -> f64 {
        f64::from(self.runs[key].count)
    }

    pub(super) fn forget(&mut self, keys: &[KeyId]) {
        let known = self.runs.len();
        for key in keys.iter().map(|key| *key as usize).filter(|key| *key < known) {
            self.runs[key] = NO_READING;
            self.changed[key / BLOCK_KEYS] = true;
        }
    }

    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for (block, runs) in self.runs.chunks(BLOCK_KEYS).enumerate() {
            let changed = match which {
                Snapshot::Changed => std::mem::take(&mut self.changed[block]),
                Snapshot::Full => true,
            };
            if !changed {
                continue;
            }
            // Cut after the last reading: what a block holds must not depend on how many keys came since.
            let runs = &runs[..runs.iter().rposition(|run| !run.last.is_nan()).map_or(0, |last| last + 1)];
            if !runs.is_empty() {
                writer.put(&self.step, block as u32, to_block(&runs));
            } else if which == Snapshot::Changed {
                writer.delete(&self.step, block as u32);
            }
        }
    }

    pub(super) fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (number, bytes) in reader.blocks(&self.step) {
            let runs: Vec<Run> = from_block(&self.step, number, bytes)?;
            let from = number as usize * BLOCK_KEYS;
            self.grow(from + runs.len());
            self.runs[from..from + runs.len()].copy_from_slice(&runs);
        }
        Ok(())
    }
}
