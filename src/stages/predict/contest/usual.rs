//! Errors of the models of a contest -> what is usual of each key at each horizon, which their losses are counted in: a key
//! counts as every other, whatever its unit and however wrong its sensor is. Losses themselves are the contest's.

use serde::{Deserialize, Serialize};

use crate::stages::predict::blocks::KeyBlocks;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Most that an error counts, in usual errors.
pub const ERROR_MAX: f64 = 10.0;
/// Errors before the mean is used: a key's first labels compare nothing.
const LABELS_MIN: u32 = 10;
/// Weight that remains of an error after one more: about a thousand count.
const MEMORY: f64 = 0.999;
/// Most that an error counts in the mean, in means: a spoofed one moves it little, and one in a hundred that is large in earnest
/// is not lost.
const LEARNED_MAX: f64 = 100.0;
/// Errors in a row beyond [`ERROR_MAX`] after which a key begins anew: the mean of a thousand follows too slowly, and until it
/// has come up, a sensor that is wrong for good would count ten times as much as others.
const HELD_MAX: u32 = 10;
/// A mean of the first errors that is so many times the newest one was spoofed.
const FIRST_MAX: f64 = 100.0;
/// Larger errors are taken for this: sums stay finite.
const FINITE_MAX: f64 = 1e300;
/// The first block of a state; the one before it holds what is compared.
const BLOCK_FIRST: u32 = 1;

/// One key at one horizon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Usual {
    /// Sum of errors that fade.
    sum: f64,
    /// How many they are.
    weight: f64,
    /// Errors since the key was new.
    labels: u32,
    /// The newest ones that were beyond what counts.
    held: u32,
}

impl Usual {
    fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }

    fn known(&self) -> Option<f64> {
        Some(self.mean()).filter(|mean| self.labels >= LABELS_MIN && *mean > 0.0)
    }

    fn learn(&mut self, error: f64) {
        let error = error.min(FINITE_MAX);
        if self.labels < LABELS_MIN && error > 0.0 {
            self.sum = self.sum.min(FIRST_MAX * error * self.weight);
        }
        let beyond = self.known().is_some_and(|mean| error >= ERROR_MAX * mean);
        self.held = if beyond { self.held + 1 } else { 0 };
        if self.held == HELD_MAX {
            *self = Self::default();
        }
        let error = self.known().map_or(error, |mean| error.min(LEARNED_MAX * mean));
        self.sum = MEMORY * self.sum + error;
        self.weight = MEMORY * self.weight + 1.0;
        self.labels = self.labels.saturating_add(1);
    }

    fn sound(&self) -> bool {
        self.sum.is_finite() && self.weight.is_finite()
    }
}

/// What is usual of all keys.
#[derive(Debug)]
pub struct UsualErrors {
    /// `[horizon][key]`.
    horizons: Vec<Vec<Usual>>,
    blocks: KeyBlocks,
    step: String,
}

impl UsualErrors {
    /// Nothing seen yet. State goes to `step`, to blocks after its first.
    pub fn new(step: String, horizons: usize) -> Self {
        let blocks = KeyBlocks::new(horizons * size_of::<Usual>());
        Self { horizons: vec![Vec::new(); horizons], blocks, step }
    }

    fn keys(&self) -> usize {
        self.horizons.first().map_or(0, Vec::len)
    }

    /// Adds keys of which nothing was seen up to `keys`.
    pub fn grow(&mut self, keys: usize) {
        let known = self.keys();
        if keys > known {
            self.horizons.iter_mut().for_each(|usual| usual.resize_with(keys, Usual::default));
            self.blocks.grow(known, keys);
        }
    }

    /// Takes the largest error of all models for one label in; returns what was usual before it, in the target's unit. `None`
    /// until a few labels are known, and where nobody was ever wrong.
    pub fn take(&mut self, horizon: usize, key: usize, error: f64) -> Option<f64> {
        let usual = &mut self.horizons[horizon][key];
        let known = usual.known();
        usual.learn(error);
        self.blocks.mark(key);
        known
    }

    /// Drops what is known of these keys.
    pub fn forget(&mut self, keys: &[KeyId]) {
        let known = self.keys();
        for key in keys.iter().map(|&key| key as usize).filter(|&key| key < known) {
            self.horizons.iter_mut().for_each(|usual| usual[key] = Usual::default());
            self.blocks.mark(key);
        }
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for block in self.blocks.take(which) {
            let keys = self.blocks.keys(block, self.keys());
            let parts: Vec<&[Usual]> = self.horizons.iter().map(|usual| &usual[keys.clone()]).collect();
            // Block numbers are at most the number of keys, which fits.
            writer.put(&self.step, BLOCK_FIRST + block as u32, to_block(&parts));
        }
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step).filter(|(block, _)| *block >= BLOCK_FIRST) {
            let parts: Vec<Vec<Usual>> = from_block(&self.step, block, bytes)?;
            let held = parts.first().map_or(0, Vec::len);
            self.blocks.follows(&self.step, block - BLOCK_FIRST, self.keys(), held)?;
            let whole = |part: &Vec<Usual>| part.len() == held && part.iter().all(Usual::sound);
            if parts.len() != self.horizons.len() || !parts.iter().all(whole) {
                let reason = format!("not of {} horizons", self.horizons.len());
                return Err(StateError { step: self.step.clone(), block, reason });
            }
            self.horizons.iter_mut().zip(parts).for_each(|(usual, part)| usual.extend(part));
        }
        self.blocks.grow(0, self.keys());
        self.blocks.clean();
        Ok(())
    }
}
