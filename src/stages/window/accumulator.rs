//! Values of rows -> aggregates of one open window, dense by key, whatever order the rows come in.

use serde::{Deserialize, Serialize};

use super::function::{Function, Level};
use super::squares::Squares;
use super::total::Total;
use crate::stages::quantiles::Sketch;

/// Rows of one window on their way into its aggregates, in offset order.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    /// Key of each row.
    pub(super) keys: Vec<u32>,
    /// Index of each row in its batch.
    pub(super) rows: Vec<u32>,
}

/// One aggregate of one open window for all keys. Vectors are indexed by key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Accumulator {
    /// `count(*)`: the window counts its rows itself.
    Rows,
    Count(Vec<u32>),
    Sum(Vec<Total>),
    Avg(Vec<Total>),
    StdDev(Vec<Squares>),
    Min(Vec<f64>),
    Max(Vec<f64>),
    First(Vec<Timed>),
    Last(Vec<Timed>),
    Quantile(Level, Vec<Sketch>),
}

/// A value and the event time it had; NaN where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Timed {
    time: i64,
    value: f64,
}

const NO_VALUE: Timed = Timed { time: 0, value: f64::NAN };

impl Timed {
    /// Of values of one time the first to come stays.
    fn keep_earlier(&mut self, other: Self) {
        if !other.value.is_nan() && (self.value.is_nan() || other.time < self.time) {
            *self = other;
        }
    }

    /// Of values of one time the last to come stays.
    fn keep_later(&mut self, other: Self) {
        if !other.value.is_nan() && (self.value.is_nan() || other.time >= self.time) {
            *self = other;
        }
    }
}

impl Accumulator {
    /// Of a column, or of whole rows where `column` is `None`.
    pub(super) fn new(function: Function, column: Option<usize>) -> Self {
        match function {
            Function::Count if column.is_none() => Self::Rows,
            Function::Count => Self::Count(Vec::new()),
            Function::Sum => Self::Sum(Vec::new()),
            Function::Avg => Self::Avg(Vec::new()),
            Function::StdDev => Self::StdDev(Vec::new()),
            Function::Min => Self::Min(Vec::new()),
            Function::Max => Self::Max(Vec::new()),
            Function::First => Self::First(Vec::new()),
            Function::Last => Self::Last(Vec::new()),
            Function::Quantile(level) => Self::Quantile(level, Vec::new()),
        }
    }

    /// Makes room for `keys` keys.
    pub(super) fn grow(&mut self, keys: usize) {
        fn room<T: Clone>(values: &mut Vec<T>, keys: usize, nothing: T) {
            values.resize(keys.max(values.len()), nothing);
        }
        match self {
            Self::Rows => {}
            Self::Count(counts) => room(counts, keys, 0),
            Self::Sum(totals) | Self::Avg(totals) => room(totals, keys, Total::default()),
            Self::StdDev(squares) => room(squares, keys, Squares::default()),
            Self::Min(values) | Self::Max(values) => room(values, keys, f64::NAN),
            Self::First(values) | Self::Last(values) => room(values, keys, NO_VALUE),
            Self::Quantile(_, sketches) => room(sketches, keys, Sketch::default()),
        }
    }

    /// Takes the rows of a run: row `r` of the batch has `values[r]` (NaN for null) at `times[r]`.
    pub(super) fn take(&mut self, run: &Run, values: &[f64], times: &[i64]) {
        match self {
            Self::Rows => {}
            Self::Count(counts) => each(run, values, |key, _, _| counts[key] += 1),
            Self::Sum(totals) | Self::Avg(totals) => each(run, values, |key, _, value| totals[key].add(value)),
            Self::StdDev(squares) => each(run, values, |key, _, value| squares[key].add(value)),
            Self::Quantile(_, sketches) => each(run, values, |key, _, value| sketches[key].add(value)),
            // f64::min and max leave NaN, the empty mark, for the other operand. Which of zero and minus zero they
            // give depends on the order: adding zero leaves only zero.
            Self::Min(least) => each(run, values, |key, _, value| least[key] = least[key].min(value + 0.0)),
            Self::Max(most) => each(run, values, |key, _, value| most[key] = most[key].max(value + 0.0)),
            Self::First(firsts) => each(run, values, |key, row, value| {
                firsts[key].keep_earlier(Timed { time: times[row], value });
            }),
            Self::Last(lasts) => each(run, values, |key, row, value| {
                lasts[key].keep_later(Timed { time: times[row], value });
            }),
        }
    }

    /// Adds what the same aggregate of another stretch of time holds; there is room for its keys.
    pub(super) fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(all), Self::Count(more)) => pair(all, more, |all, more| *all += more),
            (Self::Sum(all), Self::Sum(more)) | (Self::Avg(all), Self::Avg(more)) => pair(all, more, Total::merge),
            (Self::StdDev(all), Self::StdDev(more)) => pair(all, more, Squares::merge),
            (Self::Min(all), Self::Min(more)) => pair(all, more, |all, more| *all = all.min(*more)),
            (Self::Max(all), Self::Max(more)) => pair(all, more, |all, more| *all = all.max(*more)),
            (Self::First(all), Self::First(more)) => pair(all, more, |all, more| all.keep_earlier(*more)),
            (Self::Last(all), Self::Last(more)) => pair(all, more, |all, more| all.keep_later(*more)),
            (Self::Quantile(_, all), Self::Quantile(_, more)) => pair(all, more, Sketch::merge),
            // Of whole rows the window keeps count; others are not the same aggregate.
            _ => {}
        }
    }

    /// The aggregates of keys `0..into.len()`, NaN where there is none; `rows` is the window's count of rows.
    pub(super) fn fill(&self, rows: &[u32], into: &mut [f64]) {
        match self {
            Self::Rows => copy(rows, into, |rows| f64::from(*rows)),
            Self::Count(counts) => copy(counts, into, |count| f64::from(*count)),
            Self::Sum(totals) => copy(totals, into, |total| total.sum()),
            Self::Avg(totals) => copy(totals, into, |total| total.mean()),
            Self::StdDev(squares) => copy(squares, into, Squares::deviation),
            Self::Quantile(level, sketches) => copy(sketches, into, |sketch| sketch.quantile(level.share())),
            Self::Min(values) | Self::Max(values) => copy(values, into, |value| *value),
            Self::First(values) | Self::Last(values) => copy(values, into, |timed| timed.value),
        }
    }

    /// Whether a live key without rows has a value all the same: a count of nothing is 0.
    pub(super) fn counts(&self) -> bool {
        matches!(self, Self::Rows | Self::Count(_))
    }

    /// The part of keys `from..to`: one block of state.
    pub(super) fn part(&self, from: usize, to: usize) -> Self {
        match self {
            Self::Rows => Self::Rows,
            Self::Count(values) => Self::Count(values[from..to].to_vec()),
            Self::Sum(values) => Self::Sum(values[from..to].to_vec()),
            Self::Avg(values) => Self::Avg(values[from..to].to_vec()),
            Self::StdDev(values) => Self::StdDev(values[from..to].to_vec()),
            Self::Quantile(level, values) => Self::Quantile(*level, values[from..to].to_vec()),
            Self::Min(values) => Self::Min(values[from..to].to_vec()),
            Self::Max(values) => Self::Max(values[from..to].to_vec()),
            Self::First(values) => Self::First(values[from..to].to_vec()),
            Self::Last(values) => Self::Last(values[from..to].to_vec()),
        }
    }

    /// Puts a part of `count` keys back at key `from`, for which there is room; `false` where it is not such a part.
    pub(super) fn put_part(&mut self, from: usize, count: usize, part: &Self) -> bool {
        fn paste<T: Clone>(values: &mut [T], from: usize, count: usize, part: &[T]) -> bool {
            if part.len() != count {
                return false;
            }
            values[from..from + count].clone_from_slice(part);
            true
        }
        match (self, part) {
            (Self::Rows, Self::Rows) => true,
            (Self::Count(values), Self::Count(part)) => paste(values, from, count, part),
            (Self::Sum(values), Self::Sum(part)) | (Self::Avg(values), Self::Avg(part)) => {
                paste(values, from, count, part)
            }
            (Self::Min(values), Self::Min(part)) | (Self::Max(values), Self::Max(part)) => {
                paste(values, from, count, part)
            }
            (Self::First(values), Self::First(part)) | (Self::Last(values), Self::Last(part)) => {
                paste(values, from, count, part)
            }
            (Self::StdDev(values), Self::StdDev(part)) => paste(values, from, count, part),
            (Self::Quantile(level, values), Self::Quantile(saved, part)) if level == saved => {
                paste(values, from, count, part)
            }
            _ => false,
        }
    }
}

/// Calls `take(key, row, value)` for every row of the run whose value is not null.
fn each(run: &Run, values: &[f64], mut take: impl FnMut(usize, usize, f64)) {
    for (key, row) in run.keys.iter().zip(&run.rows) {
        let (key, row) = (*key as usize, *row as usize);
        let value = values[row];
        if !value.is_nan() {
            take(key, row, value);
        }
    }
}

fn copy<T>(held: &[T], into: &mut [f64], value: impl Fn(&T) -> f64) {
    into.iter_mut().zip(held).for_each(|(into, held)| *into = value(held));
}

fn pair<T>(all: &mut [T], more: &[T], merge: impl Fn(&mut T, &T)) {
    all.iter_mut().zip(more).for_each(|(all, more)| merge(all, more));
}
