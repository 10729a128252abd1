//! A dense network of classes, one for all keys of a partition, as a model of one predictor: every label is learned with
//! others drawn from a memory of rows, a declared number of steps per closed window.
//!
//! The first labels scale the inputs; until those have come it predicts the share of positive ones. One that was trained
//! before predicts at once, and learns on only where it is let, once it remembers as many labels. Its steps are a function
//! of the state alone, so that a replay takes the same.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dense::{self, Widths};
use super::dropped::Dropped;
use super::fit::Pretrained;
use super::integrated_gradients;
use super::made::Made;
use super::network::Kept;
use super::origin::Origin;
use super::rows::Rows;
use super::training::{Dice, Learned, unit};
use super::unsettled::Unsettled;
use crate::stages::features::{FeatureColumn, FeatureMatrix};
use crate::stages::predict::classes::logistic;
use crate::stages::predict::error::PredictError;
use crate::stages::predict::explain::AdditiveForecast;
use crate::stages::predict::moments::Moments;
use crate::stages::predict::predictor::{OnlinePredictor, Predictor};
use crate::stages::predict::settings::MlpClassifierSettings;
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Most hidden layers.
const LAYERS_MAX: usize = 8;
/// Most units of one.
const WIDTH_MAX: u32 = 1024;
/// Most rows of an optimiser step, and most steps of a window.
const BATCH_MAX: u32 = 16_384;
const STEPS_MAX: u32 = 1_000;
/// Most rows that are remembered.
const ROWS_MAX: u32 = 1_000_000;
/// Close enough: what shares may miss the probability by.
const GAP_MAX: f64 = 1e-4;

/// A network's shape and how it learns, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpClassifierParams {
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// Part of the hidden units that a step leaves out.
    pub dropout: f32,
    /// Labels that scale the inputs, and that are remembered before any is learned.
    pub min_labels: usize,
    /// Optimiser steps per closed window with labels.
    pub steps: u32,
    /// Rows of a step.
    pub batch: usize,
    /// Step size, and the part of a weight that a step takes away in step sizes.
    pub rates: (f32, f32),
    /// Weight that the mean of the weights keeps when a window is taken in.
    pub average: f32,
    /// Rows remembered.
    pub rows: usize,
    /// Seed of the weights, the rows drawn and the units left out.
    pub seed: u64,
    /// What it starts from.
    pub pretrained: Option<Arc<Pretrained>>,
    /// Whether it learns from labels.
    pub online: bool,
}

impl MlpClassifierParams {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`PredictError::Classifier`] with the first setting out of its bounds; correct it in the pipeline file.
    pub fn new(settings: &MlpClassifierSettings) -> Result<Self, PredictError> {
        let whole =
            |name, value: u32, max: u32| (name, f64::from(value), (1..=max).contains(&value), format!("1 to {max}"));
        let part = |name, value: f64| (name, value, (0.0..1.0).contains(&value), "0 to below 1".to_owned());
        let rate = settings.learning_rate;
        let layers = settings.hidden.len() as u32;
        let mut bounds = vec![
            whole("hidden", layers, LAYERS_MAX as u32),
            whole("min_labels", settings.min_labels, ROWS_MAX),
            whole("steps", settings.steps, STEPS_MAX),
            whole("batch", settings.batch, BATCH_MAX),
            whole("replay.rows", settings.replay_rows, ROWS_MAX),
            part("dropout", settings.dropout),
            part("average", settings.average),
            part("weight_decay", settings.weight_decay),
            ("learning_rate", rate, rate > 0.0 && rate <= 1.0, "above 0, at most 1".to_owned()),
        ];
        bounds.extend(settings.hidden.iter().map(|&units| whole("hidden", units, WIDTH_MAX)));
        if let Some((name, value, _, allowed)) = bounds.into_iter().find(|(_, _, fine, _)| !fine) {
            return Err(PredictError::Classifier { name, value, allowed });
        }
        Ok(Self {
            hidden: settings.hidden.iter().map(|&units| units as usize).collect(),
            dropout: settings.dropout as f32,
            min_labels: settings.min_labels as usize,
            steps: settings.steps,
            batch: settings.batch as usize,
            rates: (settings.learning_rate as f32, settings.weight_decay as f32),
            average: settings.average as f32,
            rows: settings.replay_rows as usize,
            seed: settings.seed,
            pretrained: settings.pretrained.clone(),
            online: settings.online,
        })
    }

    /// Inputs and units of each layer, for so many columns.
    #[must_use]
    pub fn widths(&self, columns: usize) -> Widths {
        [2 * columns].into_iter().chain(self.hidden.iter().copied()).chain([1]).collect()
    }

    /// Refuses a trained network of other columns or layers.
    ///
    /// # Errors
    /// [`PredictError::Pretrained`]: train again, or name the columns that it was trained with.
    pub fn check_columns(&self, columns: &[String]) -> Result<(), PredictError> {
        let Some(pretrained) = &self.pretrained else { return Ok(()) };
        let (reads, layers) = (&pretrained.features, pretrained.trained.widths());
        let difference = if reads != columns {
            format!("it reads {}; the predictor has {}", reads.join(", "), columns.join(", "))
        } else if layers != self.widths(columns.len()) {
            format!("its layers are {layers:?}, those of `hidden` {:?}", self.widths(columns.len()))
        } else {
            return Ok(());
        };
        Err(PredictError::Pretrained { version: pretrained.version.clone(), difference })
    }

    /// Units that a step leaves out.
    #[must_use]
    pub fn kept(&self, rows: usize, dice: &mut Dice) -> Kept {
        if self.dropout == 0.0 {
            return Kept::new();
        }
        let scale = 1.0 / (1.0 - self.dropout);
        let one = |dice: &mut Dice| if unit(dice) < f64::from(self.dropout) { 0.0 } else { scale };
        self.hidden.iter().map(|&units| (0..rows * units).map(|_| one(dice)).collect()).collect()
    }
}

/// The networks of one predictor, one for each horizon.
#[derive(Debug)]
pub struct MlpClassifier {
    params: MlpClassifierParams,
    horizons: Vec<Classifier>,
}

/// The network of one horizon.
#[derive(Debug)]
struct Classifier {
    /// What it reads, as indices and as columns.
    columns: Vec<usize>,
    names: Vec<FeatureColumn>,
    /// The trained network that it went on from.
    origin: Option<Origin>,
    scales: Vec<Moments>,
    /// Columns that had not varied when it started.
    unsettled: Unsettled,
    positives: u64,
    learned: Learned,
    rows: Rows,
    refused: u64,
    made: Made,
    dropped: Dropped,
    changed: bool,
    network_step: String,
    progress_step: String,
}

#[derive(Serialize, Deserialize)]
struct Progress {
    /// The trained network that it went on from.
    origin: Option<Origin>,
    steps: u64,
    taken: u64,
    positives: u64,
    refused: u64,
    scales: Vec<Moments>,
    unsettled: Unsettled,
}

impl MlpClassifier {
    /// Nothing learned. `columns` are those that each horizon reads, with what they are. State goes to the steps
    /// `<step>.<number>.network`, `.progress` and `.rows`, numbered by horizon.
    #[must_use]
    pub fn new(step: &str, params: MlpClassifierParams, columns: Vec<Vec<(usize, FeatureColumn)>>) -> Self {
        let fresh = |(horizon, columns): (usize, Vec<(usize, FeatureColumn)>)| {
            let (columns, names): (Vec<usize>, Vec<FeatureColumn>) = columns.into_iter().unzip();
            let step = format!("{step}.{horizon}");
            let (scales, weights) = match &params.pretrained {
                Some(pretrained) => (pretrained.trained.scales.clone(), pretrained.trained.weights.clone()),
                None => {
                    let fresh = dense::fresh(&params.widths(columns.len()), params.seed);
                    (vec![Moments::default(); columns.len()], fresh)
                }
            };
            Classifier {
                origin: params.pretrained.as_ref().map(Origin::of_classes),
                scales,
                unsettled: Unsettled::default(),
                positives: 0,
                learned: Learned::fresh(weights),
                rows: Rows::new(format!("{step}.rows"), columns.len(), params.rows),
                refused: 0,
                made: Made::default(),
                dropped: Dropped::default(),
                changed: false,
                network_step: format!("{step}.network"),
                progress_step: format!("{step}.progress"),
                columns,
                names,
            }
        };
        Self { horizons: columns.into_iter().enumerate().map(fresh).collect(), params }
    }
}

/// Values in spreads of their columns, 0 where missing; then a flag for each, 1 where missing.
pub fn scaled<'a>(scales: &'a [Moments], values: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    let known = scales.iter().zip(values);
    let known =
        known.map(|(moments, &value)| if value.is_finite() { moments.scaled(f64::from(value)) as f32 } else { 0.0 });
    known.chain(values.iter().map(|value| f32::from(u8::from(!value.is_finite()))))
}

impl Classifier {
    fn started(&self, params: &MlpClassifierParams) -> bool {
        self.origin.is_some() || self.learns(params)
    }

    /// Whether it remembers enough to learn from: a batch drawn from a few rows is those few rows many times over.
    fn learns(&self, params: &MlpClassifierParams) -> bool {
        self.rows.taken() >= params.min_labels as u64
    }

    fn values(&self, row: &[f64]) -> Vec<f32> {
        self.columns.iter().map(|&column| row[column] as f32).collect()
    }

    /// The share of positive labels, as if there had been one of each kind before.
    fn prevalence(&self) -> f64 {
        (self.positives + 1) as f64 / (self.rows.taken() + 2) as f64
    }

    fn predict(&self, params: &MlpClassifierParams, features: &FeatureMatrix, forecasts: &mut [f64]) {
        let known: Vec<(usize, Vec<f32>)> = (0..features.rows.min(forecasts.len()))
            .map(|key| (key, self.values(features.row(key as KeyId))))
            .filter(|(_, values)| values.iter().any(|value| value.is_finite()))
            .collect();
        if !self.started(params) {
            known.iter().for_each(|(key, _)| forecasts[*key] = self.prevalence());
            return;
        }
        let inputs: Vec<f32> = known.iter().flat_map(|(_, values)| scaled(&self.scales, values)).collect();
        for ((key, _), odds) in known.iter().zip(dense::log_odds(&self.learned.mean, &inputs)) {
            forecasts[*key] = logistic(f64::from(odds));
        }
        self.made.keep(features.end, &[forecasts.to_vec()]);
    }

    fn learn(&mut self, params: &MlpClassifierParams, features: &FeatureMatrix, targets: &[f64]) {
        self.made.clear();
        let mut new = 0;
        for (key, &target) in targets.iter().enumerate().take(features.rows).filter(|(_, label)| label.is_finite()) {
            let values = self.values(features.row(key as KeyId));
            if values.iter().all(|value| !value.is_finite()) {
                continue;
            }
            let started = self.started(params);
            self.observe(started, &values);
            self.positives += u64::from(target > 0.5);
            self.rows.push(values.into_iter(), target as f32);
            if !started && self.started(params) {
                self.unsettled = Unsettled::of(self.scales.iter());
            }
            new += 1;
        }
        if new == 0 {
            return;
        }
        self.changed = true;
        if self.learns(params) {
            let next = self.trained(params, features.end, new);
            if next.weights.finite() && next.mean.finite() {
                self.learned = next;
            } else {
                self.refused += new as u64;
            }
        }
    }

    /// Takes a row into the scales: until it has started, and then where a column had not varied yet.
    fn observe(&mut self, started: bool, values: &[f32]) {
        if started && self.unsettled.is_empty() {
            return;
        }
        let known = self.scales.iter_mut().zip(values).enumerate().filter(|(_, (_, value))| value.is_finite());
        for (place, (moments, &value)) in known {
            if started {
                self.unsettled.observe(place, f64::from(value), moments);
            } else {
                moments.add_held(f64::from(value));
            }
        }
    }

    /// The network after a window's steps: each has the newest rows, to half of the batch, and others at random. Where a window
    /// has more, it draws among them: which of them came last says who was seen first, and nothing else.
    fn trained(&self, params: &MlpClassifierParams, window: EventTime, new: usize) -> Learned {
        let mut next = self.learned.clone();
        let newest = new.min(params.batch.div_ceil(2)).min(self.rows.len());
        for step in 0..params.steps {
            let mut dice = Dice::new(params.seed, window, 1 + u64::from(step));
            let (mut inputs, mut labels) = (Vec::new(), Vec::new());
            for number in 0..params.batch {
                let among = if number < newest { new.min(self.rows.len()) } else { self.rows.len() };
                let drawn = (dice.next_u64() % among.max(1) as u64) as usize;
                let age = if number < newest && new == newest { number } else { drawn };
                let Some((values, label)) = self.rows.row(age) else { continue };
                inputs.extend(scaled(&self.scales, values));
                labels.push(label);
            }
            let kept = params.kept(labels.len(), &mut dice);
            let gradients = dense::weight_gradients(&next.weights, &inputs, &labels, &kept);
            next.step(params.rates, &gradients);
        }
        // The mean of a network that was trained before is not young: its first steps after that say little.
        match self.origin {
            Some(_) => next.keep(params.average),
            None => next.average(params.average),
        }
        next
    }

    fn explain(&self, params: &MlpClassifierParams, features: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast> {
        let values = self.values(features.row(key));
        if values.iter().all(|value| !value.is_finite()) {
            return None;
        }
        let forecast = self.made.get(features.end, 0, key as usize).unwrap_or_else(|| {
            let mut made = vec![f64::NAN; features.rows];
            self.predict(params, features, &mut made);
            made[key as usize]
        });
        if !self.started(params) {
            return Some(AdditiveForecast { baseline: forecast, forecast, contributions: Vec::new() });
        }
        let inputs: Vec<f32> = scaled(&self.scales, &values).collect();
        let mut usual = inputs.clone();
        usual[..values.len()].fill(0.0);
        let baseline = logistic(f64::from(dense::log_odds(&self.learned.mean, &usual)[0]));
        let slopes_at = |parts: &[f64]| {
            let path = integrated_gradients::path(&inputs, values.len(), parts);
            integrated_gradients::slopes(&dense::input_gradients(&self.learned.mean, &path), &inputs, values.len())
        };
        Some(integrated_gradients::explain(&self.names, &values, (baseline, forecast), GAP_MAX, slopes_at))
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        if self.rows.taken() > 0 && (which == Snapshot::Full || self.changed) {
            self.learned.write(&self.network_step, writer);
            let progress = Progress {
                origin: self.origin.clone(),
                steps: self.learned.steps,
                taken: self.rows.taken(),
                positives: self.positives,
                refused: self.refused,
                scales: self.scales.clone(),
                unsettled: self.unsettled.clone(),
            };
            writer.put(&self.progress_step, 0, to_block(&progress));
        }
        self.rows.snapshot(which, writer);
        self.dropped.snapshot(which, writer);
        self.changed &= which == Snapshot::Full;
    }

    fn restore(&mut self, params: &MlpClassifierParams, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.progress_step) {
            let progress: Progress = from_block(&self.progress_step, block, bytes)?;
            if !params.online && self.origin.is_some() {
                // It stays as it was trained, whatever it was let learn before.
                let steps = [self.progress_step.as_str(), &self.network_step, self.rows.step()];
                self.dropped.note(progress.taken, &steps, reader);
                continue;
            }
            if progress.scales.len() != self.columns.len() {
                let reason = "its columns are not this plan's".to_owned();
                return Err(StateError { step: self.progress_step.clone(), block, reason });
            }
            let goes_on = Origin::goes_on(progress.origin.as_ref(), self.origin.as_ref(), &self.progress_step)?;
            self.rows.restore(progress.taken, reader)?;
            (self.positives, self.refused) = (progress.positives, progress.refused);
            // Otherwise another version serves now: it goes on from that one, with the rows that were remembered.
            if goes_on {
                self.learned.read(&self.network_step, reader)?;
                self.learned.steps = progress.steps;
                (self.scales, self.unsettled) = (progress.scales, progress.unsettled);
            }
        }
        Ok(())
    }
}

impl Predictor for MlpClassifier {
    fn predict_many(&self, features: &FeatureMatrix, forecasts: &mut [Vec<f64>]) {
        for (classifier, forecasts) in self.horizons.iter().zip(forecasts) {
            classifier.predict(&self.params, features, forecasts);
        }
    }

    fn explain(&self, horizon: usize, features: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast> {
        let known = (key as usize) < features.rows;
        known.then(|| self.horizons[horizon].explain(&self.params, features, key)).flatten()
    }

    fn version(&self, horizon: usize) -> u64 {
        self.horizons[horizon].rows.taken()
    }

    fn refused(&self, horizon: usize) -> u64 {
        self.horizons[horizon].refused
    }

    fn dropped(&self) -> u64 {
        self.horizons.iter().map(|classifier| classifier.dropped.labels()).sum()
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.horizons.iter_mut().for_each(|classifier| classifier.snapshot(which, writer));
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.horizons.iter_mut().try_for_each(|classifier| classifier.restore(&self.params, reader))
    }
}

impl OnlinePredictor for MlpClassifier {
    fn grow(&mut self, _keys: usize) {}

    fn learn_many(&mut self, horizon: usize, features: &FeatureMatrix, targets: &[f64]) {
        if !self.params.online {
            return;
        }
        self.horizons[horizon].learn(&self.params, features, targets);
    }

    /// All keys share what was learned: there is nothing of one alone.
    fn forget(&mut self, _keys: &[KeyId]) {}
}
