//! A column that has been constant -> what is kept of it until it varies for good: what is spoofed meanwhile is known by the
//! readings that come later, and how a column without a spread was entered is taken back.
//!
//! While all values were the same nobody knows how far others may lie, and the first that is different counts as it is: a street
//! is empty at night, and then counts. If that one was no reading, everything after it is small beside it. So the newest values
//! that differ are kept, and once those in their middle lie a thousand times nearer than something that was taken in, the column
//! is what it was before it began to vary, and these.
//!
//! Nothing changes where no such value comes: what is kept here only looks on.

use serde::{Deserialize, Serialize};

use super::moments::{OUTER, SPREADS_READING, SPREADS_SPOOFED, VALUES_TRUSTED};

/// Share of all values that differ from the constant from which on the spread is one of readings: a sensor of twenty that is
/// spoofed for good through a night does not end it, a column that varies does. One that is seldom something else never ends it.
const SHARE_VARYING: f64 = 1.0 / 16.0;

/// What is kept of a column that has been constant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Onset {
    /// What every value was.
    constant: f64,
    /// Values that were that, and that were not.
    counts: [f64; 2],
    /// The newest that were not, oldest first.
    newest: Vec<f64>,
    /// How far from the constant the furthest lies that was taken in.
    furthest: f64,
}

/// What a value says of the column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// Nothing new.
    Nothing,
    /// It varies for good.
    Varies,
    /// Something that was taken in was no reading: so many values were the constant, and these are those that were not.
    Spoofed {
        /// Values that were.
        constants: f64,
        /// Those that were not, as they count.
        others: Vec<f64>,
    },
}

impl Onset {
    /// A column whose first values were this constant, but for some.
    pub(super) fn new(constant: f64, first: &[f64]) -> Self {
        let mut onset = Self { constant, counts: [0.0; 2], newest: Vec::new(), furthest: 0.0 };
        for value in first {
            onset.note(*value, *value);
        }
        onset
    }

    /// What every value was.
    pub(super) fn constant(&self) -> f64 {
        self.constant
    }

    /// The next value, and what it was taken in as.
    pub(super) fn see(&mut self, value: f64, counted: f64) -> Seen {
        if !self.note(value, counted) || self.newest.len() < VALUES_TRUSTED {
            return Seen::Nothing;
        }
        let step = self.step();
        if self.furthest > SPREADS_READING * step {
            return self.without_spoofed(step);
        }
        let [constants, others] = self.counts;
        if others >= SHARE_VARYING * (constants + others) { Seen::Varies } else { Seen::Nothing }
    }

    /// Counts a value; whether it differs.
    fn note(&mut self, value: f64, counted: f64) -> bool {
        let differs = value != self.constant;
        self.counts[usize::from(differs)] += 1.0;
        if differs {
            self.furthest = self.furthest.max((counted - self.constant).abs());
            if self.newest.len() == VALUES_TRUSTED {
                self.newest.remove(0);
            }
            self.newest.push(value);
        }
        differs
    }

    /// Root of the mean square distance from the constant, of the newest in the middle.
    fn step(&self) -> f64 {
        let mut sorted = self.newest.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = &sorted[OUTER..sorted.len() - OUTER];
        let squares: f64 = middle.iter().map(|value| (value - self.constant).powi(2)).sum();
        (squares / middle.len() as f64).sqrt()
    }

    fn without_spoofed(&mut self, step: f64) -> Seen {
        let as_it_counts = |value: &f64| {
            let away = value - self.constant;
            let spoofed = away.abs() > SPREADS_READING * step;
            if spoofed { self.constant + away.signum() * SPREADS_SPOOFED * step } else { *value }
        };
        let others: Vec<f64> = self.newest.iter().map(as_it_counts).collect();
        let constants = self.counts[0];
        *self = Self { counts: [constants, 0.0], newest: Vec::new(), furthest: 0.0, ..*self };
        for value in &others {
            self.note(*value, *value);
        }
        Seen::Spoofed { constants, others }
    }
}
