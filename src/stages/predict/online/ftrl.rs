//! Feature matrices and labels, 0 or 1 -> probabilities of 1: one logistic regression for all keys of a partition and each
//! horizon, of `linfa-ftrl`. Rows with a missing feature are neither predicted nor learned.
//!
//! # Source
//! Follow the regularised leader, proximal, with a step size for each weight (McMahan et al. 2013, "Ad Click Prediction: a
//! View from the Trenches", algorithm 1). Ours reads features in spreads around their running means, so that steps mean the
//! same for every unit, and takes the labels of one window as one step.

use std::fmt;

use linfa::traits::FitWith;
use linfa::{DatasetBase, ParamGuard};
use linfa_ftrl::Ftrl;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::stages::features::FeatureMatrix;
use crate::stages::predict::classes::logistic;
use crate::stages::predict::error::PredictError;
use crate::stages::predict::explain::{AdditiveForecast, Contribution};
use crate::stages::predict::moments::Moments;
use crate::stages::predict::predictor::{OnlinePredictor, Predictor};
use crate::stages::predict::settings::FtrlSettings;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// A logistic regression's settings, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FtrlParams {
    alpha: f64,
    beta: f64,
    l1: f64,
    l2: f64,
}

impl FtrlParams {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`PredictError::Classifier`] with the first setting out of its bounds; correct it in the pipeline file.
    pub fn new(settings: &FtrlSettings) -> Result<Self, PredictError> {
        let FtrlSettings { alpha, beta, l1, l2, .. } = *settings;
        let steps = "a number above 0, at most 100";
        let bounds = [
            ("alpha", alpha, alpha > 0.0 && alpha <= 100.0, steps),
            ("beta", beta, (0.0..=100.0).contains(&beta), "0 to 100"),
            // What linfa-ftrl takes.
            ("l1", l1, (0.0..=1.0).contains(&l1), "0 to 1"),
            ("l2", l2, (0.0..=1.0).contains(&l2), "0 to 1"),
        ];
        match bounds.into_iter().find(|(_, _, fine, _)| !fine) {
            Some((name, value, _, allowed)) => {
                Err(PredictError::Classifier { name, value, allowed: allowed.to_owned() })
            }
            None => Ok(Self { alpha, beta, l1, l2 }),
        }
    }

    /// A regression that has learned nothing: all weights are 0, as are those of McMahan; linfa-ftrl's own start is random.
    fn fresh(self, width: usize) -> Ftrl<f64> {
        let zeros = Array1::<f64>::zeros(width);
        let model = serde_json::json!({
            "alpha": self.alpha, "beta": self.beta, "l1_ratio": self.l1, "l2_ratio": self.l2, "z": zeros, "n": zeros,
        });
        #[expect(clippy::expect_used, reason = "the fields of the one version that Cargo.lock names; tests make them")]
        serde_json::from_value(model).expect("a regression has these fields")
    }
}

/// The regressions of one predictor.
#[derive(Debug)]
pub struct FtrlPredictor {
    horizons: Vec<Regression>,
    step: String,
}

/// The regression of one horizon.
#[derive(Debug)]
struct Regression {
    columns: Vec<usize>,
    learned: Learned,
    changed: bool,
}

/// What it knows: the last weight is that of a constant.
#[derive(Serialize, Deserialize)]
struct Learned {
    moments: Vec<Moments>,
    model: Ftrl<f64>,
    labels: u64,
    refused: u64,
}

impl fmt::Debug for Learned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Learned").field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl FtrlPredictor {
    /// Nothing learned. `columns` are those that each horizon reads. State goes to the step `<step>.ftrl`.
    #[must_use]
    pub fn new(step: &str, params: FtrlParams, columns: Vec<Vec<usize>>) -> Self {
        let fresh = |columns: Vec<usize>| {
            let width = columns.len();
            let moments = vec![Moments::default(); width];
            let learned = Learned { moments, model: params.fresh(width + 1), labels: 0, refused: 0 };
            Regression { columns, learned, changed: false }
        };
        Self { horizons: columns.into_iter().map(fresh).collect(), step: format!("{step}.ftrl") }
    }
}

impl Regression {
    /// Whether no feature of a row is missing; infinity is.
    fn complete(&self, row: &[f64]) -> bool {
        self.columns.iter().all(|&column| row[column].is_finite())
    }

    /// The features of a complete row in spreads, then the constant.
    fn scaled<'a>(&'a self, row: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let values = self.columns.iter().map(|&column| row[column]);
        values.zip(&self.learned.moments).map(|(value, moments)| moments.scaled(value)).chain([1.0])
    }

    /// What each weight adds to the log-odds of a complete row.
    fn terms<'a>(&'a self, row: &'a [f64], weights: &'a Array1<f64>) -> impl Iterator<Item = f64> + 'a {
        self.scaled(row).zip(weights).map(|(value, weight)| value * weight)
    }

    fn learn(&mut self, features: &FeatureMatrix, targets: &[f64]) {
        let labelled = targets.iter().enumerate().take(features.rows).filter(|(_, label)| label.is_finite());
        // Key ids are u32 everywhere.
        let known = labelled.map(|(key, &target)| (features.row(key as KeyId), target > 0.5));
        let (rows, labels): (Vec<&[f64]>, Vec<bool>) = known.filter(|(row, _)| self.complete(row)).unzip();
        if labels.is_empty() {
            return;
        }
        // First of all: without means and spreads the first rows would be far out at whatever unit, and what they add to the
        // sums of squared gradients is never forgotten.
        for row in &rows {
            for (moments, &column) in self.learned.moments.iter_mut().zip(&self.columns) {
                moments.add_held(row[column]);
            }
        }
        let scaled: Vec<f64> = rows.iter().flat_map(|row| self.scaled(row)).collect();
        let Ok(records) = Array2::from_shape_vec((labels.len(), self.columns.len() + 1), scaled) else { return };
        let count = labels.len() as u64;
        let before = &self.learned.model;
        let params = Ftrl::<f64>::params()
            .alpha(before.alpha())
            .beta(before.beta())
            .l1_ratio(before.l1_ratio())
            .l2_ratio(before.l2_ratio());
        let dataset = DatasetBase::from(records).with_targets(Array1::from(labels));
        let next = params.check().and_then(|params| params.fit_with(Some(before.clone()), &dataset));
        self.changed = true;
        match next {
            Ok(model) if model.z().iter().chain(model.n()).all(|sum| sum.is_finite()) => {
                self.learned.model = model;
                self.learned.labels += count;
            }
            Ok(_) | Err(_) => self.learned.refused += count,
        }
    }
}

impl Predictor for FtrlPredictor {
    fn predict_many(&self, features: &FeatureMatrix, forecasts: &mut [Vec<f64>]) {
        for (regression, forecasts) in self.horizons.iter().zip(forecasts) {
            let weights = regression.learned.model.get_weights();
            for (key, forecast) in forecasts.iter_mut().enumerate().take(features.rows) {
                let row = features.row(key as KeyId);
                let known = regression.complete(row);
                *forecast = if known { logistic(regression.terms(row, &weights).sum()) } else { f64::NAN };
            }
        }
    }

    /// Integrated gradients from the mean of every feature, in closed form: along the straight path the shares are as the
    /// terms of the log-odds, and add up to the difference of the probabilities.
    fn explain(&self, horizon: usize, features: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast> {
        let regression = &self.horizons[horizon];
        if key as usize >= features.rows {
            return None;
        }
        let row = features.row(key);
        if !regression.complete(row) {
            return None;
        }
        let weights = regression.learned.model.get_weights();
        let terms: Vec<f64> = regression.terms(row, &weights).collect();
        let constant = terms[regression.columns.len()];
        let odds: f64 = terms.iter().sum();
        let (baseline, forecast) = (logistic(constant), logistic(odds));
        let away: f64 = terms[..regression.columns.len()].iter().sum();
        // Where the terms cancel out, the slope at the row stands for the mean slope along the path.
        let flat = away.abs() < 1e-9;
        let slope = if flat { forecast * (1.0 - forecast) } else { (forecast - baseline) / away };
        let contributions = regression.columns.iter().zip(&terms).map(|(&column, term)| Contribution {
            feature: features.columns[column].name.clone(),
            value: row[column],
            share: term * slope,
        });
        Some(AdditiveForecast { baseline, forecast, contributions: contributions.collect() })
    }

    fn version(&self, horizon: usize) -> u64 {
        self.horizons[horizon].learned.labels
    }

    fn refused(&self, horizon: usize) -> u64 {
        self.horizons[horizon].learned.refused
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for (block, regression) in self.horizons.iter_mut().enumerate() {
            let Learned { labels, refused, .. } = regression.learned;
            if labels + refused > 0 && (which == Snapshot::Full || regression.changed) {
                // A predictor has few horizons.
                writer.put(&self.step, block as u32, to_block(&regression.learned));
            }
            regression.changed &= which == Snapshot::Full;
        }
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            let learned: Learned = from_block(&self.step, block, bytes)?;
            let place = self.horizons.get_mut(block as usize);
            let fits = |regression: &&mut Regression| {
                let width = regression.columns.len();
                learned.moments.len() == width && [learned.model.z().len(), learned.model.n().len()] == [width + 1; 2]
            };
            let Some(regression) = place.filter(fits) else {
                let reason = "its features or horizons are not this plan's".to_owned();
                return Err(StateError { step: self.step.clone(), block, reason });
            };
            regression.learned = learned;
        }
        Ok(())
    }
}

impl OnlinePredictor for FtrlPredictor {
    fn grow(&mut self, _keys: usize) {}

    fn learn_many(&mut self, horizon: usize, features: &FeatureMatrix, targets: &[f64]) {
        self.horizons[horizon].learn(features, targets);
    }

    /// All keys share what was learned: there is nothing of one alone.
    fn forget(&mut self, _keys: &[KeyId]) {}
}
