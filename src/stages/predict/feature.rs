//! A feature column -> forecasts: whatever the stages before know already (the last value, the profile of that time) as an
//! expert beside models that learn.

use super::explain::{AdditiveForecast, Contribution};
use super::predictor::{OnlinePredictor, Predictor};
use crate::stages::features::FeatureMatrix;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter};

/// Forecasts a column of the feature matrix. Learns nothing, and has no state.
#[derive(Debug)]
pub struct FeaturePredictor {
    /// The column of each horizon.
    columns: Vec<usize>,
}

impl FeaturePredictor {
    /// `columns[horizon]` of the matrices that it will see.
    #[must_use]
    pub fn new(columns: Vec<usize>) -> Self {
        Self { columns }
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
        let share = Contribution { feature: features.columns[column].name.clone(), value, share: value };
        value.is_finite().then(|| AdditiveForecast { baseline: 0.0, forecast: value, contributions: vec![share] })
    }

    fn version(&self, _horizon: usize) -> u64 {
        0
    }

    fn refused(&self, _horizon: usize) -> u64 {
        0
    }

    fn snapshot(&mut self, _which: Snapshot, _writer: &mut dyn StateWriter) {}

    fn restore(&mut self, _reader: &dyn StateReader) -> Result<(), StateError> {
        Ok(())
    }
}

impl OnlinePredictor for FeaturePredictor {
    fn grow(&mut self, _keys: usize) {}

    fn learn_many(&mut self, _horizon: usize, _features: &FeatureMatrix, _targets: &[f64]) {}

    fn forget(&mut self, _keys: &[KeyId]) {}
}
