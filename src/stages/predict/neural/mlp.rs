//! One multilayer perceptron for all keys of a partition, as a model of one predictor: it remembers rows and labels as
//! they come, and learns from that memory once a window has closed.
//!
//! *Invariant.* What a window is due to be learned is done before the labels of the next one are taken in, by the same
//! steps whenever that is: at once, ahead when nothing waits to be sent, or after a restart. The state holds the network
//! before those steps, and that they are due.

use serde::{Deserialize, Serialize};

use super::inputs::{Batch, Scales};
use super::integrated_gradients;
use super::network::{Weights, forecast, input_gradients};
use super::params::MlpParams;
use super::replay::Replay;
use super::training::Learned;
use crate::stages::features::{FeatureColumn, FeatureMatrix};
use crate::stages::predict::explain::AdditiveForecast;
use crate::stages::predict::predictor::{OnlinePredictor, Predictor};
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Close enough: the part of the target's spread that shares may miss by.
const GAP_MAX: f64 = 1e-4;

/// The network of one predictor.
#[derive(Debug)]
pub struct MlpPredictor {
    params: MlpParams,
    columns: Vec<FeatureColumn>,
    scales: Scales,
    learned: Learned,
    /// What the network will be once it has learned what is due, where that was done ahead.
    ahead: Option<Learned>,
    /// End of the window whose labels are in the memory and not learned yet.
    due: Option<EventTime>,
    replay: Replay,
    versions: Vec<u64>,
    refused: Vec<u64>,
    network_changed: bool,
    progress_changed: bool,
    network_step: String,
    progress_step: String,
}

/// What the state holds beside the weights and the memory.
#[derive(Serialize, Deserialize)]
struct Progress {
    keys: u64,
    steps: u64,
    due: Option<EventTime>,
    versions: Vec<u64>,
    refused: Vec<u64>,
    scales: Scales,
}

impl MlpPredictor {
    /// No keys yet. `columns` are those that the network reads, in order. State goes to the steps `<step>.network`,
    /// `<step>.progress` and `<step>.replay`.
    #[must_use]
    pub fn new(step: &str, params: MlpParams, columns: Vec<FeatureColumn>) -> Self {
        let horizons = params.horizons_micros.len();
        Self {
            scales: Scales::new(params.columns.len()),
            learned: Learned::fresh(Weights::fresh(&params)),
            ahead: None,
            due: None,
            replay: Replay::new(format!("{step}.replay")),
            versions: vec![0; horizons],
            refused: vec![0; horizons],
            network_changed: false,
            progress_changed: false,
            network_step: format!("{step}.network"),
            progress_step: format!("{step}.progress"),
            params,
            columns,
        }
    }

    /// Learns what is due, or takes over what was learned ahead.
    fn settle(&mut self) {
        let Some(window) = self.due.take() else { return };
        let learned = self.ahead.take().unwrap_or_else(|| self.trained(window));
        if learned.sound() {
            self.learned = learned;
            self.network_changed = true;
        } else {
            self.refused.iter_mut().for_each(|refused| *refused += 1);
        }
    }

    fn trained(&self, window: EventTime) -> Learned {
        self.learned.trained(&self.params, &self.scales, &self.replay, window)
    }

    fn row(&self, features: &FeatureMatrix, key: KeyId) -> Vec<f32> {
        let row = features.row(key);
        self.params.columns.iter().map(|&column| row[column] as f32).collect()
    }

    /// Whether the network may forecast from a row: of all that it reads, the first anchor or, without anchors, something
    /// must be known.
    fn speaks(&self, horizon: usize, values: &[f32]) -> bool {
        match self.params.anchors[horizon].first() {
            Some(&anchor) => values[anchor].is_finite(),
            None => values.iter().any(|value| value.is_finite()),
        }
    }

    /// How fast the shares grow on the way from the means of all columns to the row, after each of `parts` of it; the key, the
    /// time and the flags of missing values stay as they are. In the target's unit, `parts x columns`.
    fn slopes(&self, horizon: usize, at: (EventTime, KeyId), values: &[f32], parts: &[f64]) -> Vec<Vec<f64>> {
        let mut row = Batch::default();
        row.push(&self.params, &self.scales, at, values);
        let (columns, points) = (values.len(), parts.len());
        let path = Batch {
            rows: points,
            inputs: integrated_gradients::path(&row.inputs, columns, parts),
            keys: row.keys.repeat(points),
            slots: row.slots.repeat(points),
            days: row.days.repeat(points),
        };
        let gradients = input_gradients(&self.params, &self.scales, &self.learned.mean, &path, horizon);
        let mut slopes = integrated_gradients::slopes(&gradients, &row.inputs, columns);
        let spread = self.scales.target.spread();
        slopes.iter_mut().flatten().for_each(|slope| *slope *= spread);
        slopes
    }

    /// The forecast of the means of all columns in a row's place.
    fn baseline(&self, horizon: usize, at: (EventTime, KeyId), values: &[f32]) -> f64 {
        let mut batch = Batch::default();
        batch.push(&self.params, &self.scales, at, values);
        batch.inputs[..values.len()].fill(0.0);
        self.scales.forecast(forecast(&self.params, &self.scales, &self.learned.mean, &batch)[horizon])
    }
}

impl Predictor for MlpPredictor {
    fn predict_many(&self, features: &FeatureMatrix, forecasts: &mut [Vec<f64>]) {
        if !self.scales.fixed(&self.params) {
            return;
        }
        let rows = features.rows.min(self.learned.mean.keys());
        let mut batch = Batch::default();
        let mut speaks = Vec::with_capacity(rows * forecasts.len());
        for key in 0..rows as KeyId {
            let values = self.row(features, key);
            speaks.extend((0..forecasts.len()).map(|horizon| self.speaks(horizon, &values)));
            batch.push(&self.params, &self.scales, (features.end, key), &values);
        }
        let made = forecast(&self.params, &self.scales, &self.learned.mean, &batch);
        let horizons = forecasts.len();
        for (horizon, forecasts) in forecasts.iter_mut().enumerate() {
            for (key, slot) in forecasts.iter_mut().enumerate().take(rows) {
                let index = key * horizons + horizon;
                if speaks[index] {
                    *slot = self.scales.forecast(made[index]);
                }
            }
        }
    }

    fn explain(&self, horizon: usize, features: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast> {
        let known = (key as usize) < features.rows.min(self.learned.mean.keys());
        if !known || !self.scales.fixed(&self.params) {
            return None;
        }
        let (values, at) = (self.row(features, key), (features.end, key));
        if !self.speaks(horizon, &values) {
            return None;
        }
        // As it was made, among the rows of all keys: sums of products may differ in the last bit by how many rows there are.
        let mut made = vec![vec![f64::NAN; features.rows]; self.params.horizons_micros.len()];
        self.predict_many(features, &mut made);
        let forecast = made[horizon][key as usize];
        let baseline = self.baseline(horizon, at, &values);
        let close = GAP_MAX * self.scales.target.spread();
        let slopes_at = |parts: &[f64]| self.slopes(horizon, at, &values, parts);
        Some(integrated_gradients::explain(&self.columns, &values, (baseline, forecast), close, slopes_at))
    }

    fn version(&self, horizon: usize) -> u64 {
        self.versions[horizon]
    }

    fn refused(&self, horizon: usize) -> u64 {
        self.refused[horizon]
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.replay.snapshot(&self.params, which, writer);
        let keys = self.learned.weights.keys();
        if keys > 0 && (which == Snapshot::Full || self.network_changed) {
            self.learned.write(&self.network_step, writer);
        }
        if keys > 0 && (which == Snapshot::Full || self.network_changed || self.progress_changed) {
            let progress = Progress {
                keys: keys as u64,
                steps: self.learned.steps,
                due: self.due,
                versions: self.versions.clone(),
                refused: self.refused.clone(),
                scales: self.scales.clone(),
            };
            writer.put(&self.progress_step, 0, to_block(&progress));
        }
        self.network_changed &= which == Snapshot::Full;
        self.progress_changed &= which == Snapshot::Full;
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.replay.restore(&self.params, reader)?;
        for (block, bytes) in reader.blocks(&self.progress_step) {
            let progress: Progress = from_block(&self.progress_step, block, bytes)?;
            let horizons = self.versions.len();
            if progress.versions.len() != horizons
                || progress.refused.len() != horizons
                || progress.scales.columns.len() != self.params.columns.len()
            {
                let reason = "its horizons or columns are not this plan's".to_owned();
                return Err(StateError { step: self.progress_step.clone(), block, reason });
            }
            self.learned.grow(progress.keys as usize);
            self.learned.read(&self.network_step, reader)?;
            self.learned.steps = progress.steps;
            (self.due, self.versions, self.refused) = (progress.due, progress.versions, progress.refused);
            self.scales = progress.scales;
        }
        Ok(())
    }
}

impl OnlinePredictor for MlpPredictor {
    fn grow(&mut self, keys: usize) {
        if keys > self.learned.weights.keys() {
            self.learned.grow(keys);
            if let Some(ahead) = &mut self.ahead {
                ahead.grow(keys);
            }
            self.network_changed = true;
        }
    }

    fn learn_many(&mut self, horizon: usize, features: &FeatureMatrix, targets: &[f64]) {
        let window = features.end.plus(self.params.horizons_micros[horizon]);
        if self.due.is_some_and(|due| due != window) {
            self.settle();
            self.progress_changed = true;
        }
        let labels = targets.iter().take(features.rows).filter(|label| label.is_finite()).count();
        if labels == 0 {
            return;
        }
        if !self.scales.fixed(&self.params) && horizon == 0 {
            self.scales.observe(&self.params, features, targets);
        }
        self.replay.take(&self.params, horizon, features, targets);
        self.versions[horizon] += labels as u64;
        if self.scales.fixed(&self.params) {
            self.due = Some(window);
        }
        self.progress_changed = true;
    }

    fn forget(&mut self, keys: &[KeyId]) {
        // Not `settle`: alerts of this window are still to be explained by the network that forecast it. What was learned
        // ahead came of a memory that held these keys, and is learned anew without them.
        self.ahead = None;
        keys.iter().for_each(|&key| self.learned.forget(key as usize));
        self.replay.forget(&self.params, keys);
        self.network_changed = true;
    }

    fn prepare(&mut self) {
        if self.ahead.is_none()
            && let Some(window) = self.due
        {
            self.ahead = Some(self.trained(window));
        }
    }
}
