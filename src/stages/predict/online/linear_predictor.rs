//! Feature matrices and labels -> forecasts of one predictor: a linear model per key and horizon, its history before
//! the start, and its state. Limits, scores and the time of labels are the stage's.

use std::collections::BTreeMap;

use super::bank::Bank;
use super::history::History;
use super::params::OnlineLinearParams;
use super::recursive_least_squares::{Outcome, UpdateRule, WIDTH_MAX, triangle};
use crate::stages::features::FeatureMatrix;
use crate::stages::predict::blocks::KeyBlocks;
use crate::stages::predict::drift::params::DriftEffect;
use crate::stages::predict::explain::{AdditiveForecast, Contribution};
use crate::stages::predict::predictor::{OnlinePredictor, Predictor};
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// The models of one horizon: what they read and how they learn.
#[derive(Debug, Clone, PartialEq)]
pub struct HorizonModel {
    /// Parameters.
    pub params: OnlineLinearParams,
    /// Column of the feature matrix of each feature.
    pub columns: Vec<usize>,
}

/// Linear models of all keys at all horizons of one predictor.
#[derive(Debug)]
pub struct LinearPredictor {
    horizons: Vec<HorizonModel>,
    banks: Vec<Bank>,
    history: History,
    versions: Vec<u64>,
    /// Rules of keys that forget faster just now, by horizon: no state, the stage says it again after a restart.
    hastened: Vec<BTreeMap<usize, UpdateRule>>,
    blocks: KeyBlocks,
    models_step: String,
    history_step: String,
    versions_step: String,
    versions_changed: bool,
}

impl LinearPredictor {
    /// No keys yet. State goes to the steps `<step>.models`, `<step>.history` and `<step>.versions`.
    #[must_use]
    pub fn new(step: &str, horizons: Vec<HorizonModel>) -> Self {
        let numbers: usize =
            horizons.iter().map(|model| 3 * model.params.width() + triangle(model.params.width()) + 5).sum();
        let complete = horizons.iter().map(|model| model.params.history()).max().unwrap_or(0);
        let widths = horizons.iter().map(|model| model.params.width() + 1).collect();
        Self {
            banks: vec![Bank::default(); horizons.len()],
            history: History::new(widths, complete.max(1)),
            versions: vec![0; horizons.len()],
            hastened: vec![BTreeMap::new(); horizons.len()],
            blocks: KeyBlocks::new(numbers * size_of::<f64>()),
            models_step: format!("{step}.models"),
            history_step: format!("{step}.history"),
            versions_step: format!("{step}.versions"),
            versions_changed: false,
            horizons,
        }
    }

    /// The models of a horizon.
    #[must_use]
    pub fn bank(&self, horizon: usize) -> &Bank {
        &self.banks[horizon]
    }

    fn keys(&self) -> usize {
        self.banks.first().map_or(0, Bank::len)
    }

    fn restore_models(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.models_step) {
            let parts: Vec<Bank> = from_block(&self.models_step, block, bytes)?;
            let held = parts.first().map_or(0, Bank::len);
            self.blocks.follows(&self.models_step, block, self.keys(), held)?;
            let mut fits = parts.len() == self.banks.len() && parts.iter().all(|part| part.len() == held);
            for ((bank, part), model) in self.banks.iter_mut().zip(&parts).zip(&self.horizons) {
                fits = fits && bank.append(part, model.params.width());
            }
            if !fits {
                let reason = format!("{} horizons or their widths are not this plan's", parts.len());
                return Err(StateError { step: self.models_step.clone(), block, reason });
            }
        }
        Ok(())
    }
}

impl Predictor for LinearPredictor {
    fn predict_many(&self, features: &FeatureMatrix, forecasts: &mut [Vec<f64>]) {
        let mut buffer = [0.0; WIDTH_MAX];
        for ((HorizonModel { params, columns }, bank), forecasts) in
            self.horizons.iter().zip(&self.banks).zip(forecasts)
        {
            let scaled = &mut buffer[..params.width()];
            for (key, forecast) in forecasts.iter_mut().enumerate().take(features.rows.min(bank.len())) {
                let row = features.row(key as KeyId);
                let complete = params.scale_features(columns.iter().map(|&column| row[column]), scaled);
                *forecast = f64::NAN;
                if complete {
                    bank.hold(key, scaled);
                    let made = bank.forecast(key, scaled) * params.target_scale();
                    // What is huge may overflow: then there is no forecast.
                    *forecast = if made.is_finite() { made } else { f64::NAN };
                }
            }
        }
    }

    fn explain(&self, horizon: usize, features: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast> {
        let HorizonModel { params, columns } = &self.horizons[horizon];
        let index = key as usize;
        if index >= features.rows.min(self.keys()) {
            return None;
        }
        let row = features.row(key);
        let mut scaled = vec![0.0; params.width()];
        let complete = params.scale_features(columns.iter().map(|&column| row[column]), &mut scaled);
        self.banks[horizon].hold(index, &mut scaled);
        let forecast = self.banks[horizon].forecast(index, &scaled) * params.target_scale();
        if !complete || !forecast.is_finite() {
            return None;
        }
        let weights = self.banks[horizon].weights(index, params.width());
        let mut means = self.banks[horizon].means(index, params.width()).to_vec();
        // The bias is 1 in every row, and so is its mean, also before any row was learned.
        means[columns.len()..].fill(1.0);
        let baseline: f64 = weights.iter().zip(&means).map(|(weight, mean)| weight * mean).sum();
        let contributions = columns.iter().enumerate().map(|(feature, &column)| Contribution {
            feature: features.columns[column].name.clone(),
            value: row[column],
            share: weights[feature] * (scaled[feature] - means[feature]) * params.target_scale(),
        });
        let contributions = contributions.collect();
        Some(AdditiveForecast { baseline: baseline * params.target_scale(), forecast, contributions })
    }

    fn version(&self, horizon: usize) -> u64 {
        self.versions[horizon]
    }

    fn refused(&self, horizon: usize) -> u64 {
        self.banks[horizon].refused.iter().map(|&refused| u64::from(refused)).sum()
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        let keys = self.keys();
        for block in self.blocks.take(which) {
            let range = self.blocks.keys(block, keys);
            let parts = self.banks.iter().zip(&self.horizons);
            let parts: Vec<Bank> = parts.map(|(bank, model)| bank.part(range.clone(), model.params.width())).collect();
            // Block numbers are below the number of keys, which fits.
            writer.put(&self.models_step, block as u32, to_block(&parts));
        }
        self.history.snapshot(&self.history_step, which, writer);
        let learned = self.versions.iter().any(|&version| version > 0);
        if learned && (which == Snapshot::Full || self.versions_changed) {
            writer.put(&self.versions_step, 0, to_block(&self.versions));
        }
        self.versions_changed &= which == Snapshot::Full;
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.restore_models(reader)?;
        let keys = self.keys();
        self.blocks.grow(0, keys);
        self.blocks.clean();
        self.history.grow(keys);
        self.history.restore(&self.history_step, reader)?;
        for (block, bytes) in reader.blocks(&self.versions_step) {
            let versions: Vec<u64> = from_block(&self.versions_step, block, bytes)?;
            if versions.len() != self.versions.len() {
                let reason = format!("{} horizons for a plan of {}", versions.len(), self.versions.len());
                return Err(StateError { step: self.versions_step.clone(), block, reason });
            }
            self.versions = versions;
        }
        Ok(())
    }
}

impl OnlinePredictor for LinearPredictor {
    fn grow(&mut self, keys: usize) {
        let known = self.keys();
        if keys <= known {
            return;
        }
        for (bank, model) in self.banks.iter_mut().zip(&self.horizons) {
            bank.grow(&model.params, keys);
        }
        self.history.grow(keys);
        self.blocks.grow(known, keys);
    }

    fn learn_many(&mut self, horizon: usize, features: &FeatureMatrix, targets: &[f64]) {
        let HorizonModel { params, columns } = &self.horizons[horizon];
        let (bank, hastened) = (&mut self.banks[horizon], &self.hastened[horizon]);
        let mut buffer = [0.0; WIDTH_MAX];
        let scaled = &mut buffer[..params.width()];
        for (key, target) in targets.iter().enumerate().take(features.rows.min(bank.len())) {
            if !target.is_finite() {
                continue;
            }
            let row = features.row(key as KeyId);
            if !params.scale_features(columns.iter().map(|&column| row[column]), scaled) {
                continue;
            }
            let scaled_target = target / params.target_scale();
            if bank.started[key] && bank.pass(params, key) {
                self.blocks.mark(key);
                continue;
            }
            if bank.started[key] {
                let rule = hastened.get(&key).unwrap_or(params.rule());
                let outcome = bank.learn(rule, key, scaled, scaled_target);
                self.versions[horizon] += u64::from(outcome == Outcome::Learned);
            } else if let Some(pairs) = self.history.push(horizon, key, scaled, scaled_target) {
                bank.start(params, key, &pairs);
                self.versions[horizon] += bank.learned[key];
            } else {
                continue;
            }
            self.versions_changed = true;
            self.blocks.mark(key);
        }
    }

    fn forget(&mut self, keys: &[KeyId]) {
        let known = self.keys();
        for key in keys.iter().map(|&key| key as usize).filter(|&key| key < known) {
            for (bank, model) in self.banks.iter_mut().zip(&self.horizons) {
                bank.reset(&model.params, key);
            }
            for hastened in &mut self.hastened {
                hastened.remove(&key);
            }
            self.history.forget(key);
            self.blocks.mark(key);
        }
    }

    fn supports(&self, _effect: DriftEffect) -> bool {
        true
    }

    fn rewarm(&mut self, horizon: usize, key: KeyId) {
        let (key, bank) = (key as usize, &mut self.banks[horizon]);
        if key < bank.len() {
            // The labels were refused, whatever model comes after.
            let refused = bank.refused[key];
            bank.reset(&self.horizons[horizon].params, key);
            bank.refused[key] = refused;
            self.history.forget_horizon(horizon, key);
            self.blocks.mark(key);
        }
    }

    fn hasten(&mut self, horizon: usize, key: KeyId, forgetting: Option<f64>) {
        let (key, own) = (key as usize, self.horizons[horizon].params.rule());
        match forgetting {
            Some(forgetting) => {
                let forgetting = forgetting.min(own.forgetting);
                self.hastened[horizon].insert(key, UpdateRule { forgetting, ..own.clone() });
            }
            None => {
                self.hastened[horizon].remove(&key);
            }
        }
    }
}
