//! Scaled features and labels -> weights, for the models of all keys at one horizon, in dense arrays. Scaling and
//! choice of columns happen before; state blocks after.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::params::OnlineLinearParams;
use super::recursive_least_squares::{
    ModelMut, Outcome, UpdateRule, WIDTH_MAX, forecast, start_covariance, triangle, update,
};
use super::warm_start::{WarmStart, solve};

/// Mean absolute deviations from its mean beyond which a feature is no reading of its sensor, a spoofed neighbour's as a rule,
/// and counts as its mean. Fewer would be reached by a road that is calm for weeks and then blocked.
pub(in crate::stages::predict) const DEVIATIONS_READING: f64 = 50.0;

/// The least that this is, for features of order one: a feature that was constant may begin to move.
const READING_MIN: f64 = 10.0;

/// Labels from which on features are held: three days and a half of windows of five minutes.
const HELD_AFTER: u64 = 1_000;

/// Mean absolute deviations as which a feature that is no reading counts in its own mean and deviation: where it stays as
/// it is, it is a reading in the end.
pub(in crate::stages::predict) const DEVIATIONS_COUNTED: f64 = 4.0;

/// Rows before deviations are trusted to hold others.
pub(in crate::stages::predict) const ROWS_TRUSTED: f64 = 10.0;

/// Models of all keys at one horizon. Vectors are indexed by key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bank {
    /// Whether the model makes forecasts; before, it gathers history.
    pub started: Vec<bool>,
    /// Weights: keys x width.
    pub weights: Vec<f64>,
    /// Packed upper triangles of `P`: keys x triangle(width).
    pub covariance: Vec<f64>,
    /// Running mean absolute residual, scaled.
    pub deviation: Vec<f64>,
    /// Labels learned.
    pub learned: Vec<u64>,
    /// Steps that were refused, or that started `P` anew, so that all numbers stay finite.
    pub refused: Vec<u32>,
    /// Running means of the scaled features of learned rows, forgotten as the model forgets: keys x width.
    pub means: Vec<f64>,
    /// Running mean absolute deviations of the same from their means: keys x width.
    pub spreads: Vec<f64>,
    /// Sum of the weights of the rows in `means`.
    pub memory: Vec<f64>,
    /// Complete rows that passed before learning began.
    pub passed: Vec<u32>,
}

impl Bank {
    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.started.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.started.is_empty()
    }

    /// Adds fresh models up to `keys`.
    pub fn grow(&mut self, params: &OnlineLinearParams, keys: usize) {
        let width = params.width();
        let old = self.len();
        self.started.resize(keys, false);
        self.weights.resize(keys * width, 0.0);
        self.covariance.resize(keys * triangle(width), 0.0);
        self.deviation.resize(keys, 0.0);
        self.learned.resize(keys, 0);
        self.refused.resize(keys, 0);
        self.means.resize(keys * width, 0.0);
        self.spreads.resize(keys * width, 0.0);
        self.memory.resize(keys, 0.0);
        self.passed.resize(keys, 0);
        for key in old..keys {
            self.reset(params, key);
        }
    }

    /// Makes a key's model a fresh one.
    pub fn reset(&mut self, params: &OnlineLinearParams, key: usize) {
        let width = params.width();
        self.started[key] = params.history() == 0;
        params.start_weights(&mut self.weights[key * width..(key + 1) * width]);
        start_covariance(self.covariance_mut(key, width), width, params.rule().initial_covariance);
        self.deviation[key] = 0.0;
        self.learned[key] = 0;
        self.refused[key] = 0;
        self.means[key * width..(key + 1) * width].fill(0.0);
        self.spreads[key * width..(key + 1) * width].fill(0.0);
        self.memory[key] = 0.0;
        self.passed[key] = 0;
    }

    /// The models of some keys, as a bank of their own.
    #[must_use]
    pub fn part(&self, keys: Range<usize>, width: usize) -> Self {
        let wide = keys.start * width..keys.end * width;
        Self {
            started: self.started[keys.clone()].to_vec(),
            weights: self.weights[wide.clone()].to_vec(),
            covariance: self.covariance[keys.start * triangle(width)..keys.end * triangle(width)].to_vec(),
            deviation: self.deviation[keys.clone()].to_vec(),
            learned: self.learned[keys.clone()].to_vec(),
            refused: self.refused[keys.clone()].to_vec(),
            means: self.means[wide.clone()].to_vec(),
            spreads: self.spreads[wide].to_vec(),
            memory: self.memory[keys.clone()].to_vec(),
            passed: self.passed[keys].to_vec(),
        }
    }

    /// Adds the models of the keys that come next; false, and nothing added, where the part has another shape.
    pub fn append(&mut self, part: &Self, width: usize) -> bool {
        let keys = part.len();
        let shaped = part.weights.len() == keys * width
            && part.covariance.len() == keys * triangle(width)
            && [part.means.len(), part.spreads.len()] == [keys * width; 2]
            && [part.deviation.len(), part.learned.len(), part.refused.len()] == [keys; 3]
            && [part.memory.len(), part.passed.len()] == [keys; 2];
        if shaped {
            self.started.extend_from_slice(&part.started);
            self.weights.extend_from_slice(&part.weights);
            self.covariance.extend_from_slice(&part.covariance);
            self.deviation.extend_from_slice(&part.deviation);
            self.learned.extend_from_slice(&part.learned);
            self.refused.extend_from_slice(&part.refused);
            self.means.extend_from_slice(&part.means);
            self.spreads.extend_from_slice(&part.spreads);
            self.memory.extend_from_slice(&part.memory);
            self.passed.extend_from_slice(&part.passed);
        }
        shaped
    }

    /// A key's weights.
    #[must_use]
    pub fn weights(&self, key: usize, width: usize) -> &[f64] {
        &self.weights[key * width..(key + 1) * width]
    }

    /// A key's running feature means.
    #[must_use]
    pub fn means(&self, key: usize, width: usize) -> &[f64] {
        &self.means[key * width..(key + 1) * width]
    }

    /// Puts its mean in the place of every scaled feature that is no reading.
    pub fn hold(&self, key: usize, features: &mut [f64]) {
        if self.learned[key] < HELD_AFTER {
            return;
        }
        let wide = key * features.len()..(key + 1) * features.len();
        for ((feature, mean), spread) in features.iter_mut().zip(&self.means[wide.clone()]).zip(&self.spreads[wide]) {
            if (*feature - mean).abs() > reach(*spread) {
                *feature = *mean;
            }
        }
    }

    /// Scaled forecast of features that are held; NaN where the model has not started or the value is not finite.
    #[must_use]
    pub fn forecast(&self, key: usize, features: &[f64]) -> f64 {
        if !self.started[key] {
            return f64::NAN;
        }
        let value = forecast(self.weights(key, features.len()), features);
        if value.is_finite() { value } else { f64::NAN }
    }

    /// Lets one more row of a started model pass unlearned; false once enough have passed.
    pub fn pass(&mut self, params: &OnlineLinearParams, key: usize) -> bool {
        let waits = self.passed[key] < params.learn_after();
        self.passed[key] += u32::from(waits);
        waits
    }

    /// Moves a started model by one pair; every number must be finite. The rule is the model's own, or that of a key that
    /// forgets faster for a while.
    pub fn learn(&mut self, rule: &UpdateRule, key: usize, features: &[f64], target: f64) -> Outcome {
        let width = features.len();
        let element = triangle(width);
        let mut buffer = [0.0; WIDTH_MAX];
        let held = &mut buffer[..width];
        held.copy_from_slice(features);
        self.hold(key, held);
        let mut model = ModelMut {
            weights: &mut self.weights[key * width..(key + 1) * width],
            covariance: &mut self.covariance[key * element..(key + 1) * element],
            deviation: &mut self.deviation[key],
            learned: self.learned[key],
        };
        let outcome = update(rule, &mut model, held, target);
        if outcome == Outcome::Learned {
            self.learned[key] += 1;
            self.remember(rule, key, features);
        } else {
            self.refused[key] = self.refused[key].saturating_add(1);
        }
        outcome
    }

    /// Starts a key's model on its first complete history: `pairs` holds, row by row, the scaled features and the
    /// scaled target. A history that cannot be solved is learned row by row from persistence instead.
    pub fn start(&mut self, params: &OnlineLinearParams, key: usize, pairs: &[f64]) {
        let width = params.width();
        self.reset(params, key);
        self.started[key] = true;
        let Some(start) = warm_start(params, pairs) else {
            for pair in pairs.chunks_exact(width + 1) {
                self.learn(params.rule(), key, &pair[..width], pair[width]);
            }
            return;
        };
        self.weights[key * width..(key + 1) * width].copy_from_slice(&start.weights);
        self.covariance_mut(key, width).copy_from_slice(&start.covariance);
        let mut absolute = 0.0;
        for pair in pairs.chunks_exact(width + 1) {
            absolute += (pair[width] - forecast(&start.weights, &pair[..width])).abs();
            self.learned[key] += 1;
            self.remember(params.rule(), key, &pair[..width]);
        }
        self.deviation[key] = absolute / self.learned[key] as f64;
    }

    /// Takes a learned row, as it came, into the running means and deviations.
    fn remember(&mut self, rule: &UpdateRule, key: usize, features: &[f64]) {
        let trusted = self.memory[key] >= ROWS_TRUSTED;
        let memory = self.memory[key] * rule.forgetting + 1.0;
        self.memory[key] = memory;
        let wide = key * features.len()..(key + 1) * features.len();
        let known = self.means[wide.clone()].iter_mut().zip(&mut self.spreads[wide]);
        for ((mean, spread), feature) in known.zip(features) {
            let (mut away, reach) = (feature - *mean, reach(*spread));
            if trusted && away.abs() > reach {
                away = away.signum() * (DEVIATIONS_COUNTED * *spread).max(READING_MIN);
            }
            *mean += away / memory;
            *spread += (away.abs() - *spread) / memory;
        }
    }

    fn covariance_mut(&mut self, key: usize, width: usize) -> &mut [f64] {
        &mut self.covariance[key * triangle(width)..(key + 1) * triangle(width)]
    }
}

/// How far a feature of this mean absolute deviation may lie from its mean.
fn reach(spread: f64) -> f64 {
    (DEVIATIONS_READING * spread).max(READING_MIN)
}

/// The solved start of a history, if it has one.
fn warm_start(params: &OnlineLinearParams, pairs: &[f64]) -> Option<WarmStart> {
    let width = params.width();
    let rows = pairs.len() / (width + 1);
    if rows == 0 {
        return None;
    }
    let table = ArrayView2::from_shape((rows, width + 1), pairs).ok()?;
    let features = table.slice(ndarray::s![.., ..width]);
    let targets: ArrayView1<'_, f64> = table.column(width);
    solve(features, targets, params.ridge()).ok()
}
