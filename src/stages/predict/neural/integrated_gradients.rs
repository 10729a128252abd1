//! What a network computes along a path from the means of its columns to a row -> shares of the columns in what it made of
//! the row, and what they miss by.
//!
//! # Source
//! Integrated gradients (Sundararajan, Taly and Yan 2017, eq. 1) along a straight path. Where they sum even steps, ours are
//! halved where the gradients differ: those of rectified units jump, and even steps near a jump slowly.

use crate::stages::features::FeatureColumn;
pub use crate::stages::predict::explain::GAP;
use crate::stages::predict::explain::{AdditiveForecast, Contribution};

/// Intervals of the path at the start.
const INTERVALS: usize = 32;
/// Most intervals, but for those of the last round. Small networks of steep random weights took up to 460 (measured).
const INTERVALS_MAX: usize = 4096;
/// Narrowest part of the path that is halved: inputs are of 32 bits, which tell no finer parts of it apart.
const WIDTH_MIN: f64 = 1.0 / (1 << 24) as f64;

/// Inputs after each of `parts` of the way, 0 to 1, `points x inputs`: the first `columns` go from 0 to the row's, the others
/// stay as they are.
#[must_use]
pub fn path(inputs: &[f32], columns: usize, parts: &[f64]) -> Vec<f32> {
    let mut path = Vec::with_capacity(parts.len() * inputs.len());
    for &part in parts {
        path.extend(inputs[..columns].iter().map(|value| part as f32 * value));
        path.extend(&inputs[columns..]);
    }
    path
}

/// How fast the shares of the first `columns` inputs grow at each point of their path, `points x columns`, from the gradients
/// there: `points x inputs`.
#[must_use]
pub fn slopes(gradients: &[f32], inputs: &[f32], columns: usize) -> Vec<Vec<f64>> {
    let of = |(gradient, value): (&f32, &f32)| f64::from(*gradient) * f64::from(*value);
    let row = |gradients: &[f32]| gradients.iter().zip(inputs).take(columns).map(of).collect();
    gradients.chunks_exact(inputs.len().max(1)).map(row).collect()
}

/// A part of the path, with the slopes at both ends and in the middle.
#[derive(Debug, Clone)]
struct Interval {
    from: f64,
    to: f64,
    slopes: [Vec<f64>; 3],
}

impl Interval {
    fn middle(&self) -> f64 {
        0.5 * (self.from + self.to)
    }

    /// Integral of each column's slope by the rule of trapezes over both halves.
    fn integrals(&self) -> impl Iterator<Item = f64> {
        let [from, middle, to] = &self.slopes;
        let quarter = 0.25 * (self.to - self.from);
        from.iter().zip(middle).zip(to).map(move |((from, middle), to)| quarter * (from + 2.0 * middle + to))
    }

    /// The most that a column's integral moved when the interval was halved: where a single jump lies inside, a bound of
    /// what is still missed.
    fn moved(&self) -> f64 {
        let [from, middle, to] = &self.slopes;
        let quarter = 0.25 * (self.to - self.from);
        let of = |((from, middle), to): ((&f64, &f64), &f64)| quarter * (from - 2.0 * middle + to).abs();
        from.iter().zip(middle).zip(to).map(of).fold(0.0, f64::max)
    }

    /// Whether halving it may move a share by more than `part`.
    fn open(&self, part: f64) -> bool {
        self.moved() > part && self.to - self.from > WIDTH_MIN
    }

    /// Both halves, with the slopes in their middles.
    fn halves(self, first: Vec<f64>, second: Vec<f64>) -> [Self; 2] {
        let at = self.middle();
        let [from, middle, to] = self.slopes;
        [
            Self { from: self.from, to: at, slopes: [from, first, middle.clone()] },
            Self { from: at, to: self.to, slopes: [middle, second, to] },
        ]
    }
}

/// The path in even intervals.
fn intervals(slopes_at: &impl Fn(&[f64]) -> Vec<Vec<f64>>) -> Vec<Interval> {
    let part = |point: usize| point as f64 / (2 * INTERVALS) as f64;
    let slopes = slopes_at(&(0..=2 * INTERVALS).map(part).collect::<Vec<_>>());
    let of = |interval: usize| {
        let slopes = [0, 1, 2].map(|point| slopes[2 * interval + point].clone());
        Interval { from: part(2 * interval), to: part(2 * interval + 2), slopes }
    };
    (0..INTERVALS).map(of).collect()
}

/// Halves the intervals that `chosen` names.
fn halved(
    intervals: Vec<Interval>,
    chosen: impl Fn(&Interval) -> bool,
    slopes_at: &impl Fn(&[f64]) -> Vec<Vec<f64>>,
) -> Vec<Interval> {
    let middles = |one: &Interval| [0.5 * (one.from + one.middle()), 0.5 * (one.middle() + one.to)];
    let parts: Vec<f64> = intervals.iter().filter(|one| chosen(one)).flat_map(middles).collect();
    let mut slopes = slopes_at(&parts).into_iter();
    let mut made = Vec::with_capacity(intervals.len() + parts.len() / 2);
    for interval in intervals {
        if chosen(&interval)
            && let (Some(first), Some(second)) = (slopes.next(), slopes.next())
        {
            made.extend(interval.halves(first, second));
        } else {
            made.push(interval);
        }
    }
    made
}

/// Shares of the columns in `forecast - baseline`, from the slopes at parts of the way. Intervals of the path are halved until
/// none moves a share by more than its even part of `close`, and the shares' sum is within `close` of what they explain.
/// Where `INTERVALS_MAX` do not bring that about, the shares are those of the last round; what they miss stands beside them
/// as [`GAP`].
#[must_use]
pub fn explain(
    columns: &[FeatureColumn],
    values: &[f32],
    (baseline, forecast): (f64, f64),
    close: f64,
    slopes_at: impl Fn(&[f64]) -> Vec<Vec<f64>>,
) -> AdditiveForecast {
    let mut path = intervals(&slopes_at);
    let (shares, gap) = loop {
        let mut shares = vec![0.0; values.len()];
        for interval in &path {
            shares.iter_mut().zip(interval.integrals()).for_each(|(share, integral)| *share += integral);
        }
        let gap = forecast - baseline - shares.iter().sum::<f64>();
        let part = close / path.len() as f64;
        let settled = !path.iter().any(|interval| interval.open(part));
        if path.len() >= INTERVALS_MAX || (settled && gap.abs() <= close) {
            break (shares, gap);
        }
        // Where what is seen has settled and the sum has not, something lies between the points: all are halved.
        path = halved(path, |interval| settled || interval.open(part), &slopes_at);
    };
    let of = |((column, &value), share): ((&FeatureColumn, &f32), f64)| Contribution {
        feature: column.name.clone(),
        value: f64::from(value),
        share,
    };
    let mut contributions: Vec<Contribution> = columns.iter().zip(values).zip(shares).map(of).collect();
    contributions.push(Contribution { feature: GAP.to_owned(), value: gap, share: gap });
    AdditiveForecast { baseline, forecast, contributions }
}
