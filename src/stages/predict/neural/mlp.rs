//! One multilayer perceptron for all keys of a partition, as a model of one predictor: it remembers rows and labels as
//! they come, and learns from that memory once a window has closed.
//!
//! *Invariant.* What a window is due to be learned is done before the labels of the next one are taken in, by the same
//! steps whenever that is: at once, ahead when nothing waits to be sent, or after a restart. The state holds the network
//! before those steps, and that they are due.
//!
//! One that was trained before speaks at once. It knows keys by name: each gets its vector when it is first met, and one that it
//! does not know begins as all are. Where another version serves than the state went on from, the network begins from that one,
//! with the rows that are remembered. One that is not to learn has no state: what it learned while it was let to is dropped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::dropped::Dropped;
use super::inputs::{Batch, Scales};
use super::integrated_gradients;
use super::made::Made;
use super::network::{Weights, forecast, input_gradients};
use super::origin::Origin;
use super::params::MlpParams;
use super::replay::Replay;
use super::training::Learned;
use crate::stages::features::{FeatureColumn, FeatureMatrix};
use crate::stages::predict::explain::AdditiveForecast;
use crate::stages::predict::names::KeyNames;
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
    /// Labels of that window, by horizon.
    due_labels: Vec<u64>,
    replay: Replay,
    versions: Vec<u64>,
    refused: Vec<u64>,
    made: Made,
    /// Keys whose names were not looked up yet, of a network that was trained before.
    unmet: BTreeSet<KeyId>,
    dropped: Dropped,
    network_changed: bool,
    progress_changed: bool,
    network_step: String,
    progress_step: String,
    beginning_step: String,
}

/// What the state holds beside the weights and the memory.
#[derive(Serialize, Deserialize)]
struct Progress {
    keys: u64,
    steps: u64,
    due: Option<EventTime>,
    due_labels: Vec<u64>,
    versions: Vec<u64>,
    refused: Vec<u64>,
    scales: Scales,
}

/// What a network went on from; none in the state of one that began with nothing.
#[derive(Serialize, Deserialize)]
struct Beginning {
    /// The trained network.
    origin: Origin,
    /// Keys that it has not met.
    unmet: BTreeSet<KeyId>,
}

impl MlpPredictor {
    /// No keys yet. `columns` are those that the network reads, in order. State goes to the steps `<step>.network`,
    /// `<step>.progress`, `<step>.replay` and, of one that was trained before, `<step>.beginning`.
    #[must_use]
    pub fn new(step: &str, params: MlpParams, columns: Vec<FeatureColumn>) -> Self {
        let horizons = params.horizons_micros.len();
        let (scales, weights) = match &params.start.pretrained {
            Some(pretrained) => (pretrained.trained.scales.clone(), pretrained.trained.shared()),
            None => (Scales::new(params.columns.len()), Weights::fresh(&params)),
        };
        Self {
            scales,
            learned: Learned::fresh(weights),
            ahead: None,
            due: None,
            due_labels: vec![0; horizons],
            replay: Replay::new(format!("{step}.replay")),
            versions: vec![0; horizons],
            refused: vec![0; horizons],
            made: Made::default(),
            unmet: BTreeSet::new(),
            dropped: Dropped::default(),
            network_changed: false,
            progress_changed: false,
            network_step: format!("{step}.network"),
            progress_step: format!("{step}.progress"),
            beginning_step: format!("{step}.beginning"),
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
            self.refused.iter_mut().zip(&self.due_labels).for_each(|(refused, labels)| *refused += labels);
        }
        self.due_labels.fill(0);
    }

    /// Has the names of these keys looked up when they are known.
    fn note_unmet(&mut self, keys: impl Iterator<Item = KeyId>) {
        if self.params.start.pretrained.is_some() {
            self.unmet.extend(keys);
        }
    }

    /// The trained network that it starts from.
    fn origin(&self) -> Option<Origin> {
        self.params.start.pretrained.as_ref().map(Origin::of_forecasts)
    }

    fn write_beginning(&self, writer: &mut dyn StateWriter) {
        if let Some(pretrained) = &self.params.start.pretrained {
            let beginning = Beginning { origin: Origin::of_forecasts(pretrained), unmet: self.unmet.clone() };
            writer.put(&self.beginning_step, 0, to_block(&beginning));
        }
    }

    fn read_beginning(&self, reader: &dyn StateReader) -> Result<Option<Beginning>, StateError> {
        let mut blocks = reader.blocks(&self.beginning_step);
        blocks.next().map(|(block, bytes)| from_block(&self.beginning_step, block, bytes)).transpose()
    }

    /// Leaves a state alone that was learned before the network was to stay as it was trained.
    fn drop_learned(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        let steps = [&self.progress_step, &self.network_step, &self.beginning_step].map(String::as_str);
        for (block, bytes) in reader.blocks(&self.progress_step) {
            let progress: Progress = from_block(&self.progress_step, block, bytes)?;
            self.dropped.note(progress.versions.iter().sum(), &steps, reader);
            self.dropped.note(0, &[self.replay.step()], reader);
        }
        Ok(())
    }

    fn trained(&self, window: EventTime) -> Learned {
        self.learned.trained(&self.params, &self.scales, &self.replay, window)
    }

    fn row(&self, features: &FeatureMatrix, key: KeyId) -> Vec<f32> {
        let row = features.row(key);
        self.params.columns.iter().map(|&column| row[column] as f32).collect()
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
            speaks.extend((0..forecasts.len()).map(|horizon| self.params.speaks(horizon, &values)));
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
        self.made.keep(features.end, forecasts);
    }

    fn explain(&self, horizon: usize, features: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast> {
        let known = (key as usize) < features.rows.min(self.learned.mean.keys());
        if !known || !self.scales.fixed(&self.params) {
            return None;
        }
        let (values, at) = (self.row(features, key), (features.end, key));
        if !self.params.speaks(horizon, &values) {
            return None;
        }
        // As it was made, among the rows of all keys: sums of products may differ in the last bit by how many rows there are.
        let forecast = self.made.get(features.end, horizon, key as usize).unwrap_or_else(|| {
            let mut made = vec![vec![f64::NAN; features.rows]; self.params.horizons_micros.len()];
            self.predict_many(features, &mut made);
            made[horizon][key as usize]
        });
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

    fn dropped(&self) -> u64 {
        self.dropped.labels()
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.dropped.snapshot(which, writer);
        // What never changes is no state.
        if self.params.start.frozen {
            return;
        }
        self.replay.snapshot(&self.params, which, writer);
        let keys = self.learned.weights.keys();
        if keys > 0 && (which == Snapshot::Full || self.network_changed) {
            self.learned.write(&self.network_step, writer);
            self.write_beginning(writer);
        }
        if keys > 0 && (which == Snapshot::Full || self.network_changed || self.progress_changed) {
            let progress = Progress {
                keys: keys as u64,
                steps: self.learned.steps,
                due: self.due,
                due_labels: self.due_labels.clone(),
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
        if self.params.start.frozen {
            return self.drop_learned(reader);
        }
        self.replay.restore(&self.params, reader)?;
        for (block, bytes) in reader.blocks(&self.progress_step) {
            let progress: Progress = from_block(&self.progress_step, block, bytes)?;
            let horizons = self.versions.len();
            if progress.versions.len() != horizons
                || [progress.refused.len(), progress.due_labels.len()] != [horizons; 2]
                || progress.scales.columns.len() != self.params.columns.len()
            {
                let reason = "its horizons or columns are not this plan's".to_owned();
                return Err(StateError { step: self.progress_step.clone(), block, reason });
            }
            let beginning = self.read_beginning(reader)?;
            let (saved, loaded) = (beginning.as_ref().map(|one| &one.origin), self.origin());
            let goes_on = Origin::goes_on(saved, loaded.as_ref(), &self.progress_step)?;
            self.learned.grow(progress.keys as usize);
            (self.due, self.due_labels) = (progress.due, progress.due_labels);
            (self.versions, self.refused) = (progress.versions, progress.refused);
            if goes_on {
                self.learned.read(&self.network_step, reader)?;
                self.learned.steps = progress.steps;
                self.scales = progress.scales;
                self.unmet = beginning.map(|beginning| beginning.unmet).unwrap_or_default();
            } else {
                // Another version serves now: it goes on from that one, with the rows that were remembered.
                self.note_unmet(0..progress.keys as KeyId);
                self.due = self.due.filter(|_| self.scales.fixed(&self.params));
                (self.network_changed, self.progress_changed) = (true, true);
            }
        }
        Ok(())
    }
}

impl OnlinePredictor for MlpPredictor {
    fn grow(&mut self, keys: usize) {
        let known = self.learned.weights.keys();
        if keys > known {
            self.learned.grow(keys);
            // Ids are u32 everywhere.
            self.note_unmet(known as KeyId..keys as KeyId);
            if let Some(ahead) = &mut self.ahead {
                ahead.grow(keys);
            }
            self.network_changed = true;
        }
    }

    fn meet_keys(&mut self, names: &dyn KeyNames) {
        let Some(pretrained) = self.params.start.pretrained.clone() else { return };
        let named = |&key: &KeyId| Some((key, names.name(key)?));
        let met: Vec<(KeyId, &str)> = self.unmet.iter().filter_map(named).collect();
        for (key, name) in met {
            self.unmet.remove(&key);
            self.network_changed = true;
            if let Some(vector) = pretrained.trained.key(name) {
                self.learned.set_key(key as usize, vector);
                // What was learned ahead was learned without it, and every step takes a part of every weight away.
                self.ahead = None;
            }
        }
    }

    fn learn_many(&mut self, horizon: usize, features: &FeatureMatrix, targets: &[f64]) {
        if self.params.start.frozen {
            return;
        }
        self.made.clear();
        let window = features.end.plus(self.params.horizons_micros[horizon]);
        if self.due.is_some_and(|due| due != window) {
            self.settle();
            self.progress_changed = true;
        }
        if !targets.iter().take(features.rows).any(|label| label.is_finite()) {
            return;
        }
        if horizon == 0 {
            self.scales.observe(&self.params, features, targets);
        }
        let noted = self.replay.take(&self.params, horizon, features, targets);
        self.versions[horizon] += noted;
        if self.scales.fixed(&self.params) {
            self.due = Some(window);
            self.due_labels[horizon] += noted;
        }
        self.progress_changed = true;
    }

    fn forget(&mut self, keys: &[KeyId]) {
        // Not `settle`: alerts of this window are still to be explained by the network that forecast it. What was learned
        // ahead came of a memory that held these keys, and is learned anew without them.
        self.ahead = None;
        keys.iter().for_each(|&key| self.learned.forget(key as usize));
        self.replay.forget(&self.params, keys);
        self.note_unmet(keys.iter().copied());
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
