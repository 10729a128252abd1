//! Forecasts and their labels -> where errors of a key have risen at a horizon, and for how long its model is to forget faster.
//!
//! | module | what |
//! |---|---|
//! | [`params`], `plan` | what the user wrote, checked |
//! | [`usual`] | an absolute error -> how many usual errors it is |
//! | [`adwin`], [`page_hinkley`] | numbers -> where their mean rose |
//! | [`Drift`] | all of it for every key and horizon of one predictor, with its state |
//!
//! Each key and horizon is watched for itself, as each has a model of its own: that a quarter of an hour ahead is forecast badly
//! says little of an hour. After a rise was told, its detector begins anew: one change is told once. What is usual does not: errors
//! of an incident would be the measure of all that come after it. What becomes of models is the lane's.
//!
//! *Invariant.* An error is measured by those before it, and is of a forecast that was made before its label was known.

pub mod adwin;
pub mod page_hinkley;
pub mod params;
pub(super) mod plan;
pub mod usual;

use serde::{Deserialize, Serialize};

use super::blocks::KeyBlocks;
use super::intervals::{SLOTS, slot_of};
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};
use adwin::Adwin;
use page_hinkley::PageHinkley;
use params::{DetectorSettings, DriftEffect, DriftParams};
use usual::{ERROR_MAX, UsualError};

/// Some neighbouring labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Mean of what was watched.
    pub mean: f64,
    /// How many there are.
    pub labels: u64,
}

/// Where a mean rose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// Before.
    pub before: Part,
    /// Since.
    pub after: Part,
}

impl Shift {
    /// With both means multiplied.
    fn times(self, factor: f64) -> Self {
        let part = |part: Part| Part { mean: part.mean * factor, ..part };
        Self { before: part(self.before), after: part(self.after) }
    }
}

/// Errors of a key that rose at a horizon, as the stage tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftDetection {
    /// Index of the predictor in the plan.
    pub predictor: usize,
    /// Whose forecasts they are: 0 is the predictor's own model, challengers follow.
    pub model: usize,
    /// Index of the horizon in the predictor's.
    pub horizon: usize,
    /// The key.
    pub key: KeyId,
    /// End of the window whose label told.
    pub at: EventTime,
    /// The mean absolute error before and since, in the target's unit, as of a usual time of the day.
    pub shift: Shift,
    /// Labels learned by the model at this horizon, all keys together, before this window's.
    pub version: u64,
}

/// What a label brings about for its key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Turn {
    /// Errors have risen.
    Drifted(Shift),
    /// From this label on it is forgotten as before.
    Recovered,
}

/// One key at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Watch {
    usual: UsualError,
    detector: Detector,
    /// Labels that are learned with faster forgetting, from the newest one on.
    hastened: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Detector {
    Adwin(Adwin),
    PageHinkley(PageHinkley),
}

impl Detector {
    fn fresh(settings: DetectorSettings) -> Self {
        match settings {
            DetectorSettings::Adwin { .. } => Self::Adwin(Adwin::default()),
            DetectorSettings::PageHinkley { .. } => Self::PageHinkley(PageHinkley::default()),
        }
    }

    /// Takes an error in, in usual errors. A rise to no more than what is usual is none: errors were large for a while, what is
    /// usual comes down again, and errors that are as before seem to rise. The detector then forgets what was before.
    fn update(&mut self, settings: DetectorSettings, error: f64) -> Option<Shift> {
        let risen = match (&mut *self, settings) {
            (Self::Adwin(adwin), DetectorSettings::Adwin { delta }) => {
                adwin.update(delta, error / ERROR_MAX).map(|shift| shift.times(ERROR_MAX))
            }
            (Self::PageHinkley(test), DetectorSettings::PageHinkley { delta, threshold }) => {
                test.update(delta, threshold, error)
            }
            // A state of the other detector is refused when it is restored.
            _ => None,
        };
        let above_usual = risen.filter(|shift| shift.after.mean > 1.0);
        // ADWIN has cut its window; the sum of the other test would tell the same again with the next error.
        if let (Some(_), None, Self::PageHinkley(_)) = (risen, above_usual, &*self) {
            *self = Self::fresh(settings);
        }
        above_usual
    }

    fn sound(&self, settings: DetectorSettings) -> bool {
        match (self, settings) {
            (Self::Adwin(adwin), DetectorSettings::Adwin { .. }) => adwin.sound(),
            (Self::PageHinkley(test), DetectorSettings::PageHinkley { .. }) => test.sound(),
            _ => false,
        }
    }
}

impl Watch {
    fn fresh(params: &DriftParams) -> Self {
        Self { usual: UsualError::default(), detector: Detector::fresh(params.detector), hastened: 0 }
    }

    /// Takes an absolute error in.
    fn take(&mut self, params: &DriftParams, error: f64, slot: usize) -> Option<Turn> {
        let recovered = self.hastened == 1;
        self.hastened = self.hastened.saturating_sub(1);
        let usual = self.usual.mean();
        let risen = self.usual.take(error, slot, params.min_labels);
        if let Some(shift) = risen.and_then(|error| self.detector.update(params.detector, error)) {
            self.detector = Detector::fresh(params.detector);
            if params.effect == DriftEffect::Forget {
                self.hastened = params.forgetting_labels;
            }
            return Some(Turn::Drifted(shift.times(usual)));
        }
        recovered.then_some(Turn::Recovered)
    }
}

/// The detectors of one predictor.
#[derive(Debug)]
pub struct Drift {
    params: DriftParams,
    /// `[horizon][key]`.
    horizons: Vec<Vec<Watch>>,
    blocks: KeyBlocks,
    step: String,
}

/// The step of a predictor's detectors: they may come and go without its models.
pub fn step_of(predictor: &str) -> String {
    format!("drift.{predictor}")
}

impl Drift {
    /// Nothing seen yet. State goes to `step`.
    #[must_use]
    pub fn new(step: String, params: DriftParams, horizons: usize) -> Self {
        let detector = match params.detector {
            DetectorSettings::Adwin { .. } => adwin::ROWS * (adwin::BUCKETS_MAX * 2 * size_of::<f64>() + 1),
            DetectorSettings::PageHinkley { .. } => size_of::<PageHinkley>(),
        };
        let usual = 2 * SLOTS * size_of::<f32>() + 3 * size_of::<f64>();
        Self {
            params,
            horizons: vec![Vec::new(); horizons],
            blocks: KeyBlocks::new(horizons * (detector + usual)),
            step,
        }
    }

    fn keys(&self) -> usize {
        self.horizons.first().map_or(0, Vec::len)
    }

    /// What is done about it.
    #[must_use]
    pub fn params(&self) -> &DriftParams {
        &self.params
    }

    /// Adds keys of which nothing was seen up to `keys`.
    pub fn grow(&mut self, keys: usize) {
        let known = self.keys();
        if keys > known {
            self.horizons.iter_mut().for_each(|watches| watches.resize_with(keys, || Watch::fresh(&self.params)));
            self.blocks.grow(known, keys);
        }
    }

    /// Takes the labels of forecasts for the windows that end at `target` in: `labels[key]`, NaN where there is none. Says by key
    /// what they bring about, before they are learned.
    pub fn watch(
        &mut self,
        horizon: usize,
        target: EventTime,
        forecasts: &[f64],
        labels: &[f64],
        mut tell: impl FnMut(KeyId, Turn),
    ) {
        let slot = slot_of(target, self.params.zone);
        let pairs = forecasts.iter().zip(labels);
        for (key, (watch, (forecast, label))) in self.horizons[horizon].iter_mut().zip(pairs).enumerate() {
            let error = (label - forecast).abs();
            // A forecast and a label that are both numbers may lie too far apart for one.
            if error.is_nan() || !forecast.is_finite() || !label.is_finite() {
                continue;
            }
            if let Some(turn) = watch.take(&self.params, error, slot) {
                // Keys are at most 2^20 by `keys.max`.
                tell(key as KeyId, turn);
            }
            self.blocks.mark(key);
        }
    }

    /// Keys and horizons whose models forget faster just now.
    pub fn hastened(&self) -> impl Iterator<Item = (usize, KeyId)> {
        let effect = self.params.effect == DriftEffect::Forget;
        let horizons = self.horizons.iter().enumerate().filter(move |_| effect);
        horizons.flat_map(|(horizon, watches)| {
            let hastened = watches.iter().enumerate().filter(|(_, watch)| watch.hastened > 0);
            hastened.map(move |(key, _)| (horizon, key as KeyId))
        })
    }

    /// Drops what is known of these keys.
    pub fn forget(&mut self, keys: &[KeyId]) {
        let known = self.keys();
        for key in keys.iter().map(|&key| key as usize).filter(|&key| key < known) {
            self.horizons.iter_mut().for_each(|watches| watches[key] = Watch::fresh(&self.params));
            self.blocks.mark(key);
        }
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for block in self.blocks.take(which) {
            let keys = self.blocks.keys(block, self.keys());
            let parts: Vec<&[Watch]> = self.horizons.iter().map(|watches| &watches[keys.clone()]).collect();
            // Block numbers are below the number of keys, which fits.
            writer.put(&self.step, block as u32, to_block(&parts));
        }
    }

    /// Reads the state back. Of detectors that are new in the file there is none.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            let parts: Vec<Vec<Watch>> = from_block(&self.step, block, bytes)?;
            let held = parts.first().map_or(0, Vec::len);
            self.blocks.follows(&self.step, block, self.keys(), held)?;
            let sound = |watch: &Watch| watch.usual.sound() && watch.detector.sound(self.params.detector);
            let whole = |part: &Vec<Watch>| part.len() == held && part.iter().all(sound);
            if parts.len() != self.horizons.len() || !parts.iter().all(whole) {
                let reason = format!("not of {} horizons and `{}`", self.horizons.len(), self.params.detector());
                return Err(StateError { step: self.step.clone(), block, reason });
            }
            for (watches, part) in self.horizons.iter_mut().zip(parts) {
                watches.extend(part);
            }
        }
        self.blocks.grow(0, self.keys());
        self.blocks.clean();
        Ok(())
    }
}
