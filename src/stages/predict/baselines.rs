//! Values of closed windows -> what any model must beat: persistence (the last known value) and the seasonal profile.
//! Both are always on, and causal.

use super::blocks::KeyBlocks;
use crate::stages::features::{Profile, ProfilePlan};
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Baselines of one predictor.
#[derive(Debug)]
pub struct Baselines {
    /// Last known value of each key, NaN where there is none yet.
    last: Vec<f64>,
    blocks: KeyBlocks,
    step: String,
    profile: Profile,
}

impl Baselines {
    /// Nothing seen yet. State goes to the step `<step>.last` and the profile's own.
    #[must_use]
    pub fn new(step: &str, profile: ProfilePlan) -> Self {
        Self {
            last: Vec::new(),
            blocks: KeyBlocks::new(size_of::<f64>()),
            step: format!("{step}.last"),
            profile: Profile::new(profile),
        }
    }

    /// Takes the target's values of the window that ended at `end` in: `values[key]`, NaN for null.
    pub fn observe_many(&mut self, end: EventTime, values: &[f64]) {
        let known = self.last.len();
        if values.len() > known {
            self.last.resize(values.len(), f64::NAN);
            self.blocks.grow(known, values.len());
        }
        for (key, &value) in values.iter().enumerate() {
            if value.is_finite() && value.to_bits() != self.last[key].to_bits() {
                self.last[key] = value;
                self.blocks.mark(key);
            }
        }
        self.profile.observe(end, values);
    }

    /// Last known value of each key.
    #[must_use]
    pub fn persistence(&self) -> &[f64] {
        &self.last
    }

    /// Profile of each key for the window that ends at `end`.
    #[must_use]
    pub fn profile(&self, end: EventTime) -> Vec<f64> {
        let mut forecasts = vec![f64::NAN; self.last.len()];
        self.profile.fill(end, &mut forecasts);
        forecasts
    }

    /// Drops what was seen of these keys.
    pub fn forget(&mut self, keys: &[KeyId]) {
        for key in keys.iter().map(|&key| key as usize) {
            if let Some(last) = self.last.get_mut(key) {
                *last = f64::NAN;
                self.blocks.mark(key);
            }
        }
        self.profile.forget(keys);
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for block in self.blocks.take(which) {
            let keys = self.blocks.keys(block, self.last.len());
            // Block numbers are below the number of keys, which fits.
            writer.put(&self.step, block as u32, to_block(&&self.last[keys]));
        }
        self.profile.snapshot(which, writer);
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            let held: Vec<f64> = from_block(&self.step, block, bytes)?;
            self.blocks.follows(&self.step, block, self.last.len(), held.len())?;
            self.last.extend(held);
        }
        self.blocks.grow(0, self.last.len());
        self.blocks.clean();
        self.profile.restore(reader)
    }
}
