//! Values of a column, one by one -> their mean and spread, and any value in spreads from the mean. What is spoofed or broken
//! enters as little as one value can; out of a constant it enters as it is, and is taken out again once readings tell.

use serde::{Deserialize, Serialize};

use super::onset::{Onset, Seen};

/// Spreads from the mean at which a value is held: what is spoofed or broken says no more than that.
pub(super) const SPREADS_MAX: f64 = 10.0;

/// Spreads from the mean beyond which a value is no reading. What is rare is nearer: a flag that is 1 once in a hundred
/// thousand rows lies at 316.
pub(super) const SPREADS_READING: f64 = 1_000.0;

/// Spreads from the mean as which a value counts that is no reading. By the sum of squares, a sensor that is spoofed for good
/// widens the spread without end where its share of all values is above one to the square of this, a sixteenth; and a column
/// that was constant for long, and then has another level, is known in the end.
pub(super) const SPREADS_SPOOFED: f64 = 4.0;

/// Least spread of a column that counts: below it the column is a constant.
const SPREAD_MIN: f64 = 1e-9;

/// Values before a spread is trusted to hold others.
pub(super) const VALUES_TRUSTED: usize = 10;

/// Of the first values, those on either side that do not judge the others. Six are left, whose spread says little: of ten
/// neighbouring speeds of a METR-LA loop, one lies beyond 50 of it in 0.3 % of cases, which is far from [`SPREADS_READING`].
pub(super) const OUTER: usize = 2;

/// Largest magnitude that counts.
const VALUE_MAX: f64 = 1e100;

/// Running mean and spread (Chan, Golub and LeVeque 1983, eq. 1.3).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
    /// The first values, until they are enough to judge each other.
    first: Vec<f64>,
    /// What is kept of a column that was constant at first, until it varies.
    onset: Option<Box<Onset>>,
}

/// A value as it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// The value, or the furthest that one may lie.
    pub value: f64,
    /// Whether it is the one by which a value before it turned out to be no reading.
    pub spoofed_before: bool,
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
        Self { count, mean, squares, first: Vec::new(), onset: None }
    }

    /// Takes a finite value in.
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let away = value - self.mean;
        self.mean += away / self.count;
        self.squares += away * (value - self.mean);
    }

    /// Takes a finite value in; one beyond ten spreads counts as one at ten, and less where it is no reading. Says whether one
    /// before it turned out to be none.
    pub fn add_held(&mut self, value: f64) -> bool {
        self.hold(value, SPREADS_MAX).spoofed_before
    }

    /// The same where values are held at `spreads_max`, at least ten. Says what is left of the value; the first ones are as
    /// they are until there are enough to judge them.
    pub fn hold(&mut self, value: f64, spreads_max: f64) -> Held {
        // Squares of the largest numbers would be infinite.
        let value = value.clamp(-VALUE_MAX, VALUE_MAX);
        if self.count < VALUES_TRUSTED as f64 {
            let known = self.first.len() as f64 == self.count;
            self.add(value);
            if known {
                self.first.push(value);
            }
            let spoofed_before = self.first.len() == VALUES_TRUSTED && self.judge_first();
            return Held { value, spoofed_before };
        }
        let (mean, spread) = (self.mean, self.spread());
        let away = (value - mean) / spread;
        // Of values that were all the same nobody knows how far others lie: a street is empty at night, and it is dry for weeks.
        let near = away.abs() <= spreads_max || self.squares == 0.0;
        let at = |spreads: f64| mean + away.signum() * spreads * spread;
        let reading = if away.abs() <= SPREADS_READING { SPREADS_MAX } else { SPREADS_SPOOFED };
        let (counted, left) = if near { (value, value) } else { (at(reading), at(spreads_max)) };
        self.add(counted);
        Held { value: left, spoofed_before: self.look_on(value, counted) }
    }

    /// Has a column that was constant seen its next value. Says whether one before it turned out to be no reading.
    fn look_on(&mut self, value: f64, counted: f64) -> bool {
        let Some(mut onset) = self.onset.take() else { return false };
        let seen = onset.see(value, counted);
        if seen == Seen::Varies {
            return false;
        }
        let Seen::Spoofed { constants, others } = seen else {
            self.onset = Some(onset);
            return false;
        };
        (self.count, self.mean, self.squares) = (constants, onset.constant(), 0.0);
        others.into_iter().for_each(|value| self.add(value));
        self.onset = Some(onset);
        true
    }

    /// Has the first values judged by those in their middle: what cannot be a reading counts as one that lies far out. Says
    /// whether there was one.
    fn judge_first(&mut self) -> bool {
        let first = std::mem::take(&mut self.first);
        let mut sorted = first.clone();
        sorted.sort_by(f64::total_cmp);
        let mut middle = Self::default();
        sorted[OUTER..VALUES_TRUSTED - OUTER].iter().for_each(|value| middle.add(*value));
        if middle.squares == 0.0 {
            self.onset = Some(Box::new(Onset::new(middle.mean, &first)));
            return false;
        }
        let (center, spread) = (middle.mean, middle.spread());
        let spoofed = |value: f64| (value - center).abs() > SPREADS_READING * spread;
        if !first.iter().any(|value| spoofed(*value)) {
            return false;
        }
        *self = Self::default();
        for value in first {
            let far = center + (value - center).signum() * SPREADS_SPOOFED * spread;
            self.add(if spoofed(value) { far } else { value });
        }
        true
    }

    /// Whether it was constant at first and does not vary yet.
    #[must_use]
    pub fn unsettled(&self) -> bool {
        self.onset.is_some()
    }

    /// Whether what lies far out by these would be held by those.
    #[must_use]
    pub fn outgrows(&self, fixed: &Self) -> bool {
        SPREADS_SPOOFED * self.spread() > SPREADS_MAX * fixed.spread()
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
