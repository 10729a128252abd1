//! Values of a column, one by one -> their mean and spread, and any value in spreads from the mean.

use serde::{Deserialize, Serialize};

/// Spreads from the mean at which a value is held: what is spoofed or broken says no more than that.
const SPREADS_MAX: f64 = 10.0;

/// Least spread of a column that counts: below it the column is a constant.
const SPREAD_MIN: f64 = 1e-9;

/// Values before a spread is trusted to hold others.
const VALUES_TRUSTED: f64 = 10.0;

/// Running mean and spread (Chan, Golub and LeVeque 1983, eq. 1.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Count, mean and sum of squared deviations.
    #[must_use]
    pub fn parts(&self) -> [f64; 3] {
        [self.count, self.mean, self.squares]
    }

    /// From the same.
    #[must_use]
    pub fn from_parts([count, mean, squares]: [f64; 3]) -> Self {
        Self { count, mean, squares }
    }

    /// Takes a finite value in.
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        let away = value - self.mean;
        self.mean += away / self.count;
        self.squares += away * (value - self.mean);
    }

    /// The same, but a value far from those before counts as one that lies as far as values are held.
    pub fn add_held(&mut self, value: f64) {
        let reach = SPREADS_MAX * self.spread();
        let trusted = self.count >= VALUES_TRUSTED;
        self.add(if trusted { value.clamp(self.mean - reach, self.mean + reach) } else { value });
    }

    /// Values taken in.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.count
    }

    /// Their mean; 0 without any.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Root of the mean square deviation; 1 for a constant.
    #[must_use]
    pub fn spread(&self) -> f64 {
        let spread = (self.squares / self.count.max(1.0)).sqrt();
        if spread > SPREAD_MIN { spread } else { 1.0 }
    }

    /// A value in spreads from the mean, held at ten.
    #[must_use]
    pub fn scaled(&self, value: f64) -> f64 {
        ((value - self.mean) / self.spread()).clamp(-SPREADS_MAX, SPREADS_MAX)
    }
}
