//! Absolute errors of one key at one horizon -> each in errors that are usual there, at that time of the day: numbers around 1
//! whatever the target's unit, bounded whatever a spoofed sensor says. No detector here.
//!
//! Errors of traffic are several times larger at rush hours than at night, which is no change. So what is usual is a mean that
//! follows slowly, times a factor for each half hour, of working days and of weekends (design note 0014).

use serde::{Deserialize, Serialize};

use crate::stages::predict::intervals::SLOTS;

/// Weight that remains of an error after one more: slower than what a detector is to find.
const MEMORY: f64 = 0.9999;
/// Errors before the mean is used.
pub const LABELS_MIN: u32 = 30;
/// Errors after which one counts as at most [`ERROR_MAX`] means.
const TRUSTED: u32 = 10;
/// Most that an error counts, in usual errors.
pub const ERROR_MAX: f64 = 10.0;
/// Larger errors are taken for this: sums stay finite.
const FINITE_MAX: f64 = 1e300;
/// Errors that a slot's factor of 1, with which it begins, weighs.
const SLOT_PRIOR: f64 = 6.0;
/// Least weight of an error in the factor of its slot.
const SLOT_RATE_MIN: f64 = 0.005;
/// Least factor: where forecasts are never wrong at night, one that is a little is no change.
const SLOT_MIN: f32 = 0.2;

/// What is usual of one key at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsualError {
    /// Sum of errors that fade.
    sum: f64,
    /// How many they are.
    weight: f64,
    /// Errors since the key was new.
    labels: u32,
    /// Factors of the slots of the day.
    slots: Vec<f32>,
}

impl Default for UsualError {
    fn default() -> Self {
        Self { sum: 0.0, weight: 0.0, labels: 0, slots: vec![1.0; 2 * SLOTS] }
    }
}

impl UsualError {
    /// The mean absolute error, in the target's unit; 0 before the first.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }

    /// Takes an error in that is at least 0; returns it in errors usual before it, at most [`ERROR_MAX`]. `None` until
    /// `labels_min` errors are known of the key, and where forecasts were never wrong.
    pub fn take(&mut self, error: f64, slot: usize, labels_min: u32) -> Option<f64> {
        if error == 0.0 && self.sum == 0.0 {
            return None;
        }
        let expected = self.mean() * f64::from(self.slots[slot].max(SLOT_MIN));
        let known = self.labels >= labels_min.max(LABELS_MIN) && expected > 0.0;
        let relative = known.then(|| (error / expected).min(ERROR_MAX));
        self.learn(error, slot);
        relative
    }

    fn learn(&mut self, error: f64, slot: usize) {
        let error = error.min(FINITE_MAX);
        if self.labels < TRUSTED && error > 0.0 {
            // A start of which the newest error is a small part was spoofed.
            self.sum = self.sum.min(ERROR_MAX * error * self.weight);
        }
        let error = if self.labels >= TRUSTED { error.min(ERROR_MAX * self.mean()) } else { error };
        self.sum = MEMORY * self.sum + error;
        self.weight = MEMORY * self.weight + 1.0;
        self.labels = self.labels.saturating_add(1);
        let seen_by_slot = f64::from(self.labels) / (2 * SLOTS) as f64;
        let rate = (1.0 / (1.0 + SLOT_PRIOR + seen_by_slot)).max(SLOT_RATE_MIN);
        let relative = (error / self.mean()).min(ERROR_MAX);
        let factor = &mut self.slots[slot];
        *factor += (rate * (relative - f64::from(*factor))) as f32;
    }

    /// Whether its numbers are such as it makes.
    #[must_use]
    pub fn sound(&self) -> bool {
        let finite = self.sum.is_finite() && self.weight.is_finite() && self.slots.iter().all(|slot| slot.is_finite());
        finite && self.slots.len() == 2 * SLOTS
    }
}
