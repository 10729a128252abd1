//! A feature column -> forecasts: whatever the stages before know already (the last value, the profile of that time) as an
//! expert beside models that learn.
//!
//! A forecast is the column's value, whatever came before. What is learned is what is usual of it, per key, so that an
//! explanation starts from where those of models that learn start: from the mean of what they have learned from.

use serde::{Deserialize, Serialize};

use super::blocks::KeyBlocks;
use super::explain::{AdditiveForecast, Contribution};
use super::online::bank::{DEVIATIONS_COUNTED, DEVIATIONS_READING, ROWS_TRUSTED};
use super::predictor::{OnlinePredictor, Predictor};
use crate::stages::features::FeatureMatrix;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Weight that what was seen keeps with every label: as an online linear model forgets unless told otherwise.
const FORGETTING: f64 = 0.9995;

/// Forecasts a column of the feature matrix.
#[derive(Debug)]
pub struct FeaturePredictor {
    /// The column of each horizon.
    columns: Vec<usize>,
    /// What is usual of it: `[horizon][key]`.
    usual: Vec<Vec<Usual>>,
    blocks: KeyBlocks,
    step: String,
}

/// What is usual of a column in rows whose label came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Usual {
    mean: f64,
    /// Mean absolute deviation from it.
    deviation: f64,
    /// Sum of the weights of the rows in both.
    memory: f64,
}

impl Usual {
    fn take(&mut self, value: f64) {
        let mut away = value - self.mean;
        let reach = DEVIATIONS_READING * self.deviation;
        if self.memory >= ROWS_TRUSTED && reach > 0.0 && away.abs() > reach {
            away = away.signum() * DEVIATIONS_COUNTED * self.deviation;
        }
        self.memory = self.memory * FORGETTING + 1.0;
        // Of one value nobody knows how far others lie.
        if self.memory > 1.0 {
            self.deviation += (away.abs() - self.deviation) / self.memory;
        }
        self.mean += away / self.memory;
    }
}

impl FeaturePredictor {
    /// `columns[horizon]` of the matrices that it will see. State goes to the step `<step>.usual`.
    #[must_use]
    pub fn new(step: &str, columns: Vec<usize>) -> Self {
        let blocks = KeyBlocks::new(columns.len() * size_of::<Usual>());
        Self { usual: vec![Vec::new(); columns.len()], columns, blocks, step: format!("{step}.usual") }
    }

    fn keys(&self) -> usize {
        self.usual.first().map_or(0, Vec::len)
    }
}

impl Predictor for FeaturePredictor {
    fn predict_many(&self, features: &FeatureMatrix, forecasts: &mut [Vec<f64>]) {
        for (&column, forecasts) in self.columns.iter().zip(forecasts) {
            for (key, forecast) in forecasts.iter_mut().enumerate().take(features.rows) {
                let value = features.row(key as KeyId)[column];
                // Infinity is what an overflow left, and no forecast.
                *forecast = if value.is_finite() { value } else { f64::NAN };
            }
        }
    }

    fn explain(&self, horizon: usize, features: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast> {
        let column = self.columns[horizon];
        let value = *features.values.get(key as usize * features.columns.len() + column)?;
        if !value.is_finite() {
            return None;
        }
        // Before the first label nothing else is usual.
        let known = self.usual[horizon].get(key as usize).filter(|usual| usual.memory > 0.0);
        let baseline = known.map_or(value, |usual| usual.mean);
        let share = Contribution { feature: features.columns[column].name.clone(), value, share: value - baseline };
        Some(AdditiveForecast { baseline, forecast: value, contributions: vec![share] })
    }

    fn version(&self, _horizon: usize) -> u64 {
        0
    }

    fn refused(&self, _horizon: usize) -> u64 {
        0
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for block in self.blocks.take(which) {
            let keys = self.blocks.keys(block, self.keys());
            let part: Vec<&[Usual]> = self.usual.iter().map(|usual| &usual[keys.clone()]).collect();
            // Block numbers are below the number of keys, which fits.
            writer.put(&self.step, block as u32, to_block(&part));
        }
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            let part: Vec<Vec<Usual>> = from_block(&self.step, block, bytes)?;
            let held = part.first().map_or(0, Vec::len);
            self.blocks.follows(&self.step, block, self.keys(), held)?;
            if part.len() != self.usual.len() || part.iter().any(|usual| usual.len() != held) {
                let reason = format!("{} horizons for a plan of {}", part.len(), self.usual.len());
                return Err(StateError { step: self.step.clone(), block, reason });
            }
            self.usual.iter_mut().zip(part).for_each(|(usual, part)| usual.extend(part));
        }
        self.blocks.grow(0, self.keys());
        self.blocks.clean();
        Ok(())
    }
}

impl OnlinePredictor for FeaturePredictor {
    fn grow(&mut self, keys: usize) {
        let known = self.keys();
        if keys > known {
            self.usual.iter_mut().for_each(|usual| usual.resize(keys, Usual::default()));
            self.blocks.grow(known, keys);
        }
    }

    fn learn_many(&mut self, horizon: usize, features: &FeatureMatrix, targets: &[f64]) {
        let (column, usual) = (self.columns[horizon], &mut self.usual[horizon]);
        for (key, (usual, target)) in usual.iter_mut().zip(targets).enumerate().take(features.rows) {
            let value = features.row(key as KeyId)[column];
            if target.is_finite() && value.is_finite() {
                usual.take(value);
                self.blocks.mark(key);
            }
        }
    }

    fn forget(&mut self, keys: &[KeyId]) {
        let known = self.keys();
        for key in keys.iter().map(|&key| key as usize).filter(|&key| key < known) {
            self.usual.iter_mut().for_each(|usual| usual[key] = Usual::default());
            self.blocks.mark(key);
        }
    }
}
