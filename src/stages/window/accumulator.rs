//! Values of rows -> aggregates of one open window, dense by key, whatever order the rows come in.
//!
//! Sums are fixed point: a value is rounded once to a multiple of 2^-64 and added to a 128-bit integer, so that the
//! order of rows cannot matter. A value's error is at most 2^-65; its magnitude is at most [`MAGNITUDE_MAX`].
//!
//! # Source
//! The aim is that of Demmel and Nguyen, "Fast Reproducible Floating-Point Summation" (2013); physical readings need
//! far less range than theirs, so one wide integer serves where they use bins (docs/design/0003).

use serde::{Deserialize, Serialize};

/// Largest magnitude that a sum takes; 2^62, so that 2^(127-62-64) = 2 values could not overflow, and larger ones are
/// refused before they are added. Sums saturate far beyond anything physical.
pub const MAGNITUDE_MAX: f64 = 4_611_686_018_427_387_904.0;

/// 2^64.
const SCALE: f64 = 18_446_744_073_709_551_616.0;

/// How rows of one key become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// Number of rows, or of values that are not null.
    Count,
    /// Sum.
    Sum,
    /// Mean.
    Avg,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// The value of the earliest row by event time, then offset.
    First,
    /// The value of the latest row by event time, then offset.
    Last,
}

impl Function {
    /// Reads a function's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "count" => Self::Count,
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "first" => Self::First,
            "last" => Self::Last,
            _ => return None,
        })
    }

    /// Whether values are added up, so that their magnitude is limited.
    #[must_use]
    pub fn sums(self) -> bool {
        matches!(self, Self::Sum | Self::Avg)
    }
}

/// One aggregate of one open window for all keys. Vectors are indexed by key; keys beyond their length are empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Accumulator {
    Count(Vec<u32>),
    Sum(Vec<Total>),
    Avg(Vec<Total>),
    Min(Vec<f64>),
    Max(Vec<f64>),
    First(Vec<Timed>),
    Last(Vec<Timed>),
}

/// A fixed-point sum and how many values are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Total {
    sum: i128,
    count: u32,
}

/// A value and the event time it had; NaN where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Timed {
    time: i64,
    value: f64,
}

const NO_VALUE: Timed = Timed { time: 0, value: f64::NAN };

impl Total {
    fn add(&mut self, value: f64) {
        self.sum = self.sum.saturating_add((value * SCALE).round_ties_even() as i128);
        self.count += 1;
    }

    fn sum(self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.sum as f64 / SCALE }
    }
}

impl Accumulator {
    pub(super) fn new(function: Function) -> Self {
        match function {
            Function::Count => Self::Count(Vec::new()),
            Function::Sum => Self::Sum(Vec::new()),
            Function::Avg => Self::Avg(Vec::new()),
            Function::Min => Self::Min(Vec::new()),
            Function::Max => Self::Max(Vec::new()),
            Function::First => Self::First(Vec::new()),
            Function::Last => Self::Last(Vec::new()),
        }
    }

    /// Makes room for `keys` keys.
    pub(super) fn grow(&mut self, keys: usize) {
        match self {
            Self::Count(counts) => counts.resize(keys.max(counts.len()), 0),
            Self::Sum(totals) | Self::Avg(totals) => totals.resize(keys.max(totals.len()), Total::default()),
            Self::Min(values) | Self::Max(values) => values.resize(keys.max(values.len()), f64::NAN),
            Self::First(values) | Self::Last(values) => values.resize(keys.max(values.len()), NO_VALUE),
        }
    }

    /// Takes rows in offset order: `keys[i]` has `values[i]` (NaN for null) at `times[i]`.
    pub(super) fn take(&mut self, keys: &[u32], values: &[f64], times: &[i64]) {
        let present = keys.iter().zip(values).filter(|(_, value)| !value.is_nan());
        match self {
            Self::Count(counts) => present.for_each(|(key, _)| counts[*key as usize] += 1),
            Self::Sum(totals) | Self::Avg(totals) => {
                present.for_each(|(key, value)| totals[*key as usize].add(*value));
            }
            // f64::min and max leave NaN, the empty mark, for the other operand.
            Self::Min(least) => present.for_each(|(key, value)| {
                let held = &mut least[*key as usize];
                *held = held.min(*value);
            }),
            Self::Max(most) => present.for_each(|(key, value)| {
                let held = &mut most[*key as usize];
                *held = held.max(*value);
            }),
            Self::First(firsts) => take_timed(firsts, keys, values, times, |time, held| time < held),
            Self::Last(lasts) => take_timed(lasts, keys, values, times, |time, held| time >= held),
        }
    }

    /// The aggregate of a key, NaN where it has none.
    pub(super) fn value(&self, key: usize) -> f64 {
        match self {
            Self::Count(counts) => f64::from(counts.get(key).copied().unwrap_or(0)),
            Self::Sum(totals) => totals.get(key).copied().unwrap_or_default().sum(),
            Self::Avg(totals) => {
                let total = totals.get(key).copied().unwrap_or_default();
                total.sum() / f64::from(total.count)
            }
            Self::Min(values) | Self::Max(values) => values.get(key).copied().unwrap_or(f64::NAN),
            Self::First(values) | Self::Last(values) => values.get(key).map_or(f64::NAN, |timed| timed.value),
        }
    }

    /// The part of keys `from..to`: one block of state.
    pub(super) fn part(&self, from: usize, to: usize) -> Self {
        fn cut<T: Clone>(values: &[T], from: usize, to: usize) -> Vec<T> {
            values[from.min(values.len())..to.min(values.len())].to_vec()
        }
        match self {
            Self::Count(values) => Self::Count(cut(values, from, to)),
            Self::Sum(values) => Self::Sum(cut(values, from, to)),
            Self::Avg(values) => Self::Avg(cut(values, from, to)),
            Self::Min(values) => Self::Min(cut(values, from, to)),
            Self::Max(values) => Self::Max(cut(values, from, to)),
            Self::First(values) => Self::First(cut(values, from, to)),
            Self::Last(values) => Self::Last(cut(values, from, to)),
        }
    }

    /// Puts a part back at key `from`; `false` where it is of another kind.
    pub(super) fn put_part(&mut self, from: usize, part: &Self) -> bool {
        fn paste<T: Copy>(values: &mut [T], from: usize, part: &[T]) {
            values[from..from + part.len()].copy_from_slice(part);
        }
        self.grow(from + part.len());
        match (self, part) {
            (Self::Count(values), Self::Count(part)) => paste(values, from, part),
            (Self::Sum(values), Self::Sum(part)) | (Self::Avg(values), Self::Avg(part)) => paste(values, from, part),
            (Self::Min(values), Self::Min(part)) | (Self::Max(values), Self::Max(part)) => paste(values, from, part),
            (Self::First(values), Self::First(part)) | (Self::Last(values), Self::Last(part)) => {
                paste(values, from, part);
            }
            _ => return false,
        }
        true
    }

    fn len(&self) -> usize {
        match self {
            Self::Count(values) => values.len(),
            Self::Sum(values) | Self::Avg(values) => values.len(),
            Self::Min(values) | Self::Max(values) => values.len(),
            Self::First(values) | Self::Last(values) => values.len(),
        }
    }
}

fn take_timed(held: &mut [Timed], keys: &[u32], values: &[f64], times: &[i64], wins: impl Fn(i64, i64) -> bool) {
    for ((key, value), time) in keys.iter().zip(values).zip(times) {
        let held = &mut held[*key as usize];
        if !value.is_nan() && (held.value.is_nan() || wins(*time, held.time)) {
            *held = Timed { time: *time, value: *value };
        }
    }
}
