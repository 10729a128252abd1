//! What a network computes along a path from the means of its columns to a row -> shares of the columns in what it made of
//! the row, and what they miss by.
//!
//! # Source
//! Integrated gradients (Sundararajan, Taly and Yan 2017, eq. 1), summed at midpoints of a straight path.

use crate::stages::features::FeatureColumn;
use crate::stages::predict::explain::{AdditiveForecast, Contribution};

/// Points of the first sum that stands for the integral, doubled while it is not close enough.
const POINTS: usize = 32;
/// Most points. Gradients of rectified units jump, so that the sum nears the integral no faster than points are added.
const POINTS_MAX: usize = 8192;

/// Name of the share that an explanation's sum misses the integral by.
pub const GAP: &str = "completeness_gap";

/// Inputs along the path, `points x inputs`: the first `columns` go from 0 to the row's, the others stay as they are.
#[must_use]
pub fn path(inputs: &[f32], columns: usize, points: usize) -> Vec<f32> {
    let mut path = Vec::with_capacity(points * inputs.len());
    for point in 0..points {
        let part = (point as f32 + 0.5) / points as f32;
        path.extend(inputs[..columns].iter().map(|value| part * value));
        path.extend(&inputs[columns..]);
    }
    path
}

/// Shares of the first `columns` inputs, from the gradients along their path: `points x inputs`.
#[must_use]
pub fn shares(gradients: &[f32], inputs: &[f32], columns: usize) -> Vec<f64> {
    let points = gradients.len() / inputs.len().max(1);
    let mut shares = vec![0.0; columns];
    for gradients in gradients.chunks_exact(inputs.len().max(1)) {
        for ((share, gradient), value) in shares.iter_mut().zip(gradients).zip(inputs) {
            *share += f64::from(*gradient) * f64::from(*value);
        }
    }
    shares.iter().map(|share| share / points.max(1) as f64).collect()
}

/// Shares of the columns in `forecast - baseline`. Points are doubled until no share moves by more than `close`, and their sum is
/// within `close` of it: errors of two columns may cancel out in the sum. Where [`POINTS_MAX`] do not bring that about, the
/// shares are those of the most points; what they miss stands beside them as [`GAP`].
#[must_use]
pub fn explain(
    columns: &[FeatureColumn],
    values: &[f32],
    (baseline, forecast): (f64, f64),
    close: f64,
    shares_at: impl Fn(usize) -> Vec<f64>,
) -> AdditiveForecast {
    let gap_of = |shares: &[f64]| forecast - baseline - shares.iter().sum::<f64>();
    let (mut points, mut shares) = (POINTS, shares_at(POINTS));
    let mut moved = f64::INFINITY;
    while points < POINTS_MAX && moved.max(gap_of(&shares).abs()) > close {
        points *= 2;
        let finer = shares_at(points);
        moved = shares.iter().zip(&finer).map(|(coarse, fine)| (coarse - fine).abs()).fold(0.0, f64::max);
        shares = finer;
    }
    let gap = gap_of(&shares);
    let of = |((column, &value), share): ((&FeatureColumn, &f32), f64)| Contribution {
        feature: column.name.clone(),
        value: f64::from(value),
        share,
    };
    let mut contributions: Vec<Contribution> = columns.iter().zip(values).zip(shares).map(of).collect();
    contributions.push(Contribution { feature: GAP.to_owned(), value: gap, share: gap });
    AdditiveForecast { baseline, forecast, contributions }
}
