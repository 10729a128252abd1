//! Rows of past windows with their labels -> a trained network that their keys share, by epochs over all of them.
//! Deterministic in the seed; no files, no clock.
//!
//! # Source
//! Steps become shorter by half a cosine (Loshchilov and Hutter 2017, "SGDR", equation 5, one cycle).

use super::fit::{Training, shuffle};
use super::inputs::{Batch, Scales};
use super::network::{Weights, weight_gradients};
use super::params::MlpParams;
use super::pretrained::TrainedMlp;
use super::training::{Dice, Learned, kept};
use crate::vocab::EventTime;

/// Rows with the labels of every horizon.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MlpExamples {
    /// Columns of a row.
    pub columns: usize,
    /// Labels of a row.
    pub horizons: usize,
    /// Names of all keys, ascending.
    pub names: Vec<String>,
    /// End of each row's window.
    pub ends: Vec<EventTime>,
    /// Its key, as an index into `names`.
    pub keys: Vec<u32>,
    /// `rows x columns`, in the columns' own units, NaN where missing.
    pub values: Vec<f32>,
    /// `rows x horizons`, in the target's unit, NaN where there is none.
    pub labels: Vec<f32>,
}

impl MlpExamples {
    /// Rows held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A row's window and key.
    #[must_use]
    pub fn origin(&self, row: usize) -> (EventTime, u32) {
        (self.ends[row], self.keys[row])
    }

    /// A row's values.
    #[must_use]
    pub fn values(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// These rows alone, in this order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            names: self.names.clone(),
            ends: rows.iter().map(|&row| self.ends[row]).collect(),
            keys: rows.iter().map(|&row| self.keys[row]).collect(),
            values: rows.iter().flat_map(|&row| self.values(row).iter().copied()).collect(),
            labels: rows.iter().flat_map(|&row| self.labels(row).iter().copied()).collect(),
            ..*self
        }
    }

    /// What was known before a time: rows of earlier windows, with the labels that had come by then. Rows without any, and names
    /// without rows, are left out.
    #[must_use]
    pub fn before(&self, time: EventTime, horizons_micros: &[i64]) -> Self {
        let mut known = self.clone();
        for (end, labels) in known.ends.iter().zip(known.labels.chunks_exact_mut(self.horizons.max(1))) {
            let later = labels.iter_mut().zip(horizons_micros).filter(|(_, micros)| end.plus(**micros) >= time);
            later.for_each(|(label, _)| *label = f32::NAN);
        }
        let labelled = |&row: &usize| known.ends[row] < time && known.labels(row).iter().any(|label| label.is_finite());
        let mut known = known.select(&(0..self.len()).filter(labelled).collect::<Vec<_>>());
        let mut used = vec![false; known.names.len()];
        known.keys.iter().for_each(|&key| used[key as usize] = true);
        let numbers: Vec<u32> =
            used.iter().scan(0, |next, &used| Some(std::mem::replace(next, *next + u32::from(used)))).collect();
        known.keys.iter_mut().for_each(|key| *key = numbers[*key as usize]);
        known.names = known.names.into_iter().zip(used).filter(|(_, used)| *used).map(|(name, _)| name).collect();
        known
    }

    /// blake3 of windows, keys, values and labels.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for name in &self.names {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        }
        for (end, key) in self.ends.iter().zip(&self.keys) {
            hasher.update(&end.0.to_le_bytes()).update(&key.to_le_bytes());
        }
        for number in self.values.iter().chain(&self.labels) {
            hasher.update(&number.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// A row's labels.
    #[must_use]
    pub fn labels(&self, row: usize) -> &[f32] {
        &self.labels[row * self.horizons..(row + 1) * self.horizons]
    }
}

/// Why a network cannot be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MlpFitError {
    /// Fewer than two labels of the first horizon.
    #[error("{labels} labels of the first horizon: there is nothing to learn from")]
    NoLabels {
        /// How many.
        labels: u64,
    },
    /// Weights that are no numbers.
    #[error("the weights are no numbers any more after epoch {epoch}: a lower `learning_rate` may help")]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
    },
}

/// Trains a network: every epoch in an order of its own, by batches of the settings' size. What forecasts is the mean of the
/// weights. `done` is told of every epoch that is over.
///
/// # Errors
/// [`MlpFitError`]: give more history, or other settings.
pub fn fit_mlp(
    params: &MlpParams,
    rows: &MlpExamples,
    training: Training,
    mut done: impl FnMut(u32),
) -> Result<TrainedMlp, MlpFitError> {
    let scales = scales(rows);
    let labels = scales.target.count() as u64;
    if labels < 2 {
        return Err(MlpFitError::NoLabels { labels });
    }
    let seeded = MlpParams { seed: training.seed, ..params.clone() };
    let mut learned = Learned::fresh(Weights::fresh(&seeded));
    learned.grow(rows.names.len());
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let steps = u64::from(training.epochs) * order.len().div_ceil(params.batch) as u64;
    for epoch in 0..training.epochs {
        let mut dice = Dice::new(training.seed, EventTime(i64::from(epoch)), 1);
        shuffle(&mut order, &mut dice);
        for some in order.chunks(params.batch) {
            let (mut batch, mut labels) = (Batch::default(), Vec::new());
            for &row in some {
                batch.push(params, &scales, rows.origin(row), rows.values(row));
                labels.extend(rows.labels(row).iter().map(|&label| scales.label_or_missing(label)));
            }
            let kept = kept(params, batch.rows, &mut dice);
            let gradients = weight_gradients(params, &scales, &learned.weights, (&batch, &labels), &kept);
            let turn = std::f64::consts::PI * learned.steps as f64 / steps as f64;
            let rate = params.learning_rate * (0.5 * (1.0 + turn.cos())) as f32;
            learned.step((rate, params.weight_decay), &gradients);
            learned.average(params.average);
        }
        if !learned.sound() {
            return Err(MlpFitError::Diverged { epoch: epoch + 1 });
        }
        done(epoch + 1);
    }
    Ok(TrainedMlp { weights: learned.mean, scales, keys: rows.names.clone() })
}

/// Means and spreads of the rows that have a label of the first horizon, as a network that learns online has them.
fn scales(rows: &MlpExamples) -> Scales {
    let mut scales = Scales::new(rows.columns);
    for row in 0..rows.len() {
        let Some(label) = rows.labels(row).first().filter(|label| label.is_finite()) else { continue };
        scales.target.add_held(f64::from(*label));
        let known = scales.columns.iter_mut().zip(rows.values(row)).filter(|(_, value)| value.is_finite());
        for (moments, value) in known {
            moments.add_held(f64::from(*value));
        }
    }
    scales
}
