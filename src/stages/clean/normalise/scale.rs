//! Values of a column, one by one -> a middle and a spread to scale the next ones by. Nothing here knows keys or rows.
//!
//! # Source
//! Welford, "Note on a method for calculating corrected sums of squares and products" (1962). The deviation is that of a
//! population, as scalers of other libraries have it; quartiles are those of `stages::quantiles`.

use serde::{Deserialize, Serialize};

use super::NormaliseMethod;
use crate::stages::quantiles::Sketch;

/// Largest magnitude that is learned from: the squares of 2^64 such values still have a sum.
const LEARNED_MAX: f64 = 1e100;

/// What values are scaled by: `(value - center) / spread`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Scale {
    pub(super) center: f64,
    /// Not below zero.
    pub(super) spread: f64,
}

impl Scale {
    /// The value by this scale, held within limits; `None` where that is no finite number, as for a value that differs
    /// from a column that was constant.
    pub(super) fn apply(self, value: f64, limits: Option<(f64, f64)>) -> Option<f64> {
        let difference = value - self.center;
        // What a constant column always was lies in its middle.
        let scaled = if difference == 0.0 { 0.0 } else { difference / self.spread };
        let held = limits.map_or(scaled, |(least, greatest)| scaled.clamp(least, greatest));
        held.is_finite().then_some(held)
    }
}

/// What has been learned of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Estimate {
    /// The mean, and the sum of squared differences from it.
    Moments { count: u64, mean: f64, squares: f64 },
    /// The least and the greatest value.
    Extremes { count: u64, minimum: f64, maximum: f64 },
    /// Where the quartiles are.
    Quartiles { count: u64, sketch: Sketch },
    /// What it was when enough had been seen; it learns no more.
    Frozen(Scale),
}

impl Estimate {
    /// Of no value yet.
    pub(super) fn new(method: NormaliseMethod) -> Self {
        match method {
            NormaliseMethod::ZScore => Self::Moments { count: 0, mean: 0.0, squares: 0.0 },
            NormaliseMethod::MinMax => Self::Extremes { count: 0, minimum: f64::INFINITY, maximum: f64::NEG_INFINITY },
            NormaliseMethod::Robust => Self::Quartiles { count: 0, sketch: Sketch::default() },
        }
    }

    /// Whether it is what a method learns.
    pub(super) fn is_of(&self, method: NormaliseMethod) -> bool {
        match self {
            Self::Moments { .. } => method == NormaliseMethod::ZScore,
            Self::Extremes { .. } => method == NormaliseMethod::MinMax,
            Self::Quartiles { .. } => method == NormaliseMethod::Robust,
            Self::Frozen(_) => true,
        }
    }

    /// What the next value is scaled by, once so many have been seen.
    pub(super) fn scale(&self, min_count: u64) -> Option<Scale> {
        match self {
            Self::Frozen(scale) => Some(*scale),
            Self::Moments { count, mean, squares } if *count >= min_count => {
                Some(Scale { center: *mean, spread: (squares / *count as f64).sqrt() })
            }
            Self::Extremes { count, minimum, maximum } if *count >= min_count => {
                Some(Scale { center: *minimum, spread: maximum - minimum })
            }
            Self::Quartiles { count, sketch } if *count >= min_count => {
                let spread = sketch.quantile(0.75) - sketch.quantile(0.25);
                Some(Scale { center: sketch.quantile(0.5), spread })
            }
            _ => None,
        }
    }

    /// Learns a finite value, unless it is beyond all sense; after `freeze_after` of them what it knows stays.
    pub(super) fn learn(&mut self, value: f64, freeze_after: Option<u64>) {
        if value.abs() > LEARNED_MAX {
            return;
        }
        let seen = match self {
            Self::Frozen(_) => return,
            Self::Moments { count, mean, squares } => {
                *count += 1;
                let before = value - *mean;
                *mean += before / *count as f64;
                *squares += before * (value - *mean);
                *count
            }
            Self::Extremes { count, minimum, maximum } => {
                *count += 1;
                (*minimum, *maximum) = (minimum.min(value), maximum.max(value));
                *count
            }
            Self::Quartiles { count, sketch } => {
                *count += 1;
                sketch.add(value);
                *count
            }
        };
        if freeze_after.is_some_and(|enough| seen >= enough)
            && let Some(scale) = self.scale(0)
        {
            *self = Self::Frozen(scale);
        }
    }
}
