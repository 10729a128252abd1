//! Numbers around 1, one by one -> where their mean rose. A few sums; no scale, no keys, no state blocks.
//!
//! # Source
//! Page 1954, "Continuous Inspection Schemes", and Hinkley 1971, "Inference about the change-point from cumulative sum tests",
//! against the running mean, for rises only. Nothing of the sum fades: `delta` brings it down.

use serde::{Deserialize, Serialize};

use super::{Part, Shift};

/// Numbers before which nothing is told: their mean says little.
pub const LABELS_MIN: u64 = 30;

/// The cumulative sum of one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PageHinkley {
    labels: u64,
    sum: f64,
    /// Sum of what the numbers were above their mean so far and `delta`.
    cumulative: f64,
    /// Least that it was, when, and the sum of the numbers until then.
    least: f64,
    labels_at_least: u64,
    sum_at_least: f64,
}

impl PageHinkley {
    /// Takes a number in; `delta` is how far the mean may rise, `threshold` how much more may add up before a rise is told.
    pub fn update(&mut self, delta: f64, threshold: f64, value: f64) -> Option<Shift> {
        self.labels += 1;
        self.sum += value;
        self.cumulative += value - self.sum / self.labels as f64 - delta;
        if self.labels == 1 || self.cumulative <= self.least {
            (self.least, self.labels_at_least, self.sum_at_least) = (self.cumulative, self.labels, self.sum);
        }
        if self.labels < LABELS_MIN || self.cumulative - self.least <= threshold {
            return None;
        }
        // The least sum is where the mean rose, at the first number at the earliest.
        let newer = self.labels - self.labels_at_least;
        let before = Part { mean: self.sum_at_least / self.labels_at_least as f64, labels: self.labels_at_least };
        Some(Shift { before, after: Part { mean: (self.sum - self.sum_at_least) / newer as f64, labels: newer } })
    }

    /// Whether its numbers are such as it makes.
    #[must_use]
    pub fn sound(&self) -> bool {
        let sums = [self.sum, self.cumulative, self.least, self.sum_at_least];
        sums.iter().all(|sum| sum.is_finite()) && self.labels_at_least <= self.labels
    }
}
