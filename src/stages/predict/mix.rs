//! Forecasts of several experts -> one forecast per key and horizon: their weighted mean, with weights that follow how
//! good each has been.
//!
//! The rule is exponentiated gradient (Kivinen and Warmuth 1997, "Exponentiated Gradient versus Gradient Descent for Linear
//! Predictors") on the absolute error, linearised at the mixture: an expert that lies on the label's side of the mixture
//! gains by as far as it does, in mean absolute errors of the key's mixture, so that a difference counts the same for a
//! quiet key and a busy one. What a key has seen is little and noisy, so most of the evidence is the mean of all keys of
//! the partition; experts without a forecast sleep (Freund et al. 1997, "Using and Combining Predictors That
//! Specialize"); evidence fades, and no expert's weight falls below a floor, so that one which was bad can come back.
//!
//! Of probabilities the loss is the log loss: an expert gains by as many times as its probability of the class that came was
//! greater than the mixture's, as in a portfolio (Cover 1991, "Universal Portfolios"; Helmbold et al. 1998). By the absolute error
//! an expert would gain by being surer than it ought to be.
//!
//! *Invariant.* Only forecasts that were made before their label was known are evidence.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::blocks::KeyBlocks;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Most experts of a mixture.
pub const EXPERTS_MAX: usize = 16;

/// Most that one label may count for or against an expert, in mean absolute errors: a spoofed value moves no weight far.
const EVIDENCE_MAX: f64 = 3.0;

/// Most that one label adds to a key's mean absolute error, as a multiple of it. A lasting change of its size is followed
/// within a few labels all the same: the first ones move the mean most.
const ERROR_STEP_MAX: f64 = 10.0;

/// Errors before which a mean of more than [`ERROR_STEP_MAX`] times the newest error is taken for a spoofed start.
const ERRORS_TRUSTED: f64 = 10.0;

/// How weights follow evidence, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixParams {
    /// How far a weight moves by evidence.
    pub rate: f64,
    /// Weight that remains of evidence after one more label, in (0, 1].
    pub forgetting: f64,
    /// Least weight of an expert that has a forecast.
    pub floor: f64,
    /// Part of the evidence that is the mean of all keys of the partition, 0 to 1.
    pub shared: f64,
}

/// Weights of the experts of one predictor, for every key and horizon.
#[derive(Debug)]
pub struct Mix {
    params: MixParams,
    experts: usize,
    /// Whether they are probabilities.
    classes: bool,
    horizons: Vec<Evidence>,
    blocks: KeyBlocks,
    shared_changed: bool,
    step: String,
    shared_step: String,
}

/// What is held against the experts at one horizon. Sums fade by `forgetting` with every label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Evidence {
    /// `keys * experts`.
    losses: Vec<f64>,
    /// Absolute errors of each key's mixture.
    errors: Vec<f64>,
    /// How many they are.
    counts: Vec<f64>,
    /// The mean of all keys, of each expert.
    shared: Vec<f64>,
}

impl Mix {
    /// Equal weights, of forecasts or, for `classes`, of probabilities. State goes to the steps `<step>.mix` and `<step>.mix.shared`.
    #[must_use]
    pub fn new(step: &str, params: MixParams, (experts, horizons): (usize, usize), classes: bool) -> Self {
        let fresh = Evidence { shared: vec![0.0; experts], ..Evidence::default() };
        Self {
            params,
            experts,
            classes,
            horizons: vec![fresh; horizons],
            blocks: KeyBlocks::new(horizons * (experts + 2) * size_of::<f64>()),
            shared_changed: false,
            step: format!("{step}.mix"),
            shared_step: format!("{step}.mix.shared"),
        }
    }

    fn keys(&self) -> usize {
        self.horizons.first().map_or(0, |evidence| evidence.errors.len())
    }

    /// Adds keys without evidence of their own up to `keys`.
    pub fn grow(&mut self, keys: usize) {
        let known = self.keys();
        if keys <= known {
            return;
        }
        for evidence in &mut self.horizons {
            evidence.losses.resize(keys * self.experts, 0.0);
            evidence.errors.resize(keys, 0.0);
            evidence.counts.resize(keys, 0.0);
        }
        self.blocks.grow(known, keys);
    }

    /// The mixture of every key: `experts[expert][key]`, NaN where one sleeps; NaN where all do.
    pub fn blend(&self, horizon: usize, experts: &[Vec<f64>], forecasts: &mut [f64]) {
        for (key, forecast) in forecasts.iter_mut().enumerate().take(self.keys()) {
            let weights = self.weights(horizon, key, |expert| experts[expert][key].is_finite());
            *forecast = mixture(&weights[..self.experts], experts, key);
        }
    }

    /// Weights of the experts for a key, 0 of those asleep; they add up to 1 unless all are.
    #[must_use]
    pub fn weights(&self, horizon: usize, key: usize, awake: impl Fn(usize) -> bool) -> [f64; EXPERTS_MAX] {
        let Evidence { losses, shared, .. } = &self.horizons[horizon];
        let MixParams { rate, floor, shared: share, .. } = self.params;
        let own = &losses[key * self.experts..(key + 1) * self.experts];
        let mut weights = [0.0; EXPERTS_MAX];
        let exponent = |expert: usize| -rate * ((1.0 - share) * own[expert] + share * shared[expert]);
        let best = (0..self.experts).filter(|&expert| awake(expert)).map(exponent).fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut count) = (0.0, 0.0);
        for expert in (0..self.experts).filter(|&expert| awake(expert)) {
            weights[expert] = (exponent(expert) - best).exp();
            sum += weights[expert];
            count += 1.0;
        }
        for expert in (0..self.experts).filter(|&expert| awake(expert)) {
            weights[expert] = floor + (1.0 - count * floor) * weights[expert] / sum;
        }
        weights
    }

    /// Weights of the experts where all have a forecast: the sum over the keys that have evidence, and how many those are.
    #[must_use]
    pub fn weight_sums(&self, horizon: usize) -> ([f64; EXPERTS_MAX], u64) {
        let (mut sums, mut keys) = ([0.0; EXPERTS_MAX], 0);
        for key in (0..self.keys()).filter(|&key| self.horizons[horizon].counts[key] > 0.0) {
            let weights = self.weights(horizon, key, |_| true);
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
            keys += 1;
        }
        (sums, keys)
    }

    /// Takes the labels of forecasts in: `experts[expert][key]` as they were made, `labels[key]`, NaN where there is none.
    pub fn learn(&mut self, horizon: usize, experts: &[Vec<f64>], labels: &[f64]) {
        let (mut sums, mut counts) = ([0.0; EXPERTS_MAX], [0.0; EXPERTS_MAX]);
        let made = experts.first().map_or(0, Vec::len).min(labels.len()).min(self.keys());
        for key in (0..made).filter(|&key| labels[key].is_finite()) {
            let weights = self.weights(horizon, key, |expert| experts[expert][key].is_finite());
            let mixed = mixture(&weights[..self.experts], experts, key);
            let error = (mixed - labels[key]).abs();
            if !error.is_finite() {
                continue;
            }
            let forgetting = self.params.forgetting;
            let evidence = &mut self.horizons[horizon];
            let scale = evidence.take_error(key, error, forgetting);
            let own = &mut evidence.losses[key * self.experts..(key + 1) * self.experts];
            for expert in 0..self.experts {
                let away = experts[expert][key] - mixed;
                if away.is_finite() {
                    let loss = match self.classes {
                        true => against_class(away, mixed, labels[key]),
                        false => against(away, mixed - labels[key], scale),
                    };
                    own[expert] = forgetting * own[expert] + loss;
                    sums[expert] += loss;
                    counts[expert] += 1.0;
                }
            }
            self.blocks.mark(key);
        }
        for (expert, shared) in self.horizons[horizon].shared.iter_mut().enumerate() {
            if counts[expert] > 0.0 {
                *shared = self.params.forgetting * *shared + sums[expert] / counts[expert];
                self.shared_changed = true;
            }
        }
    }

    /// Drops the evidence of these keys.
    pub fn forget(&mut self, keys: &[KeyId]) {
        let known = self.keys();
        for key in keys.iter().map(|&key| key as usize).filter(|&key| key < known) {
            for evidence in &mut self.horizons {
                evidence.losses[key * self.experts..(key + 1) * self.experts].fill(0.0);
                evidence.errors[key] = 0.0;
                evidence.counts[key] = 0.0;
            }
            self.blocks.mark(key);
        }
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for block in self.blocks.take(which) {
            let keys = self.blocks.keys(block, self.keys());
            let parts: Vec<Evidence> =
                self.horizons.iter().map(|evidence| evidence.part(keys.clone(), self.experts)).collect();
            // Block numbers are below the number of keys, which fits.
            writer.put(&self.step, block as u32, to_block(&parts));
        }
        let shared: Vec<&Vec<f64>> = self.horizons.iter().map(|evidence| &evidence.shared).collect();
        let any = shared.iter().any(|shared| shared.iter().any(|&loss| loss != 0.0));
        if any && (which == Snapshot::Full || self.shared_changed) {
            writer.put(&self.shared_step, 0, to_block(&shared));
        }
        self.shared_changed &= which == Snapshot::Full;
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            let parts: Vec<Evidence> = from_block(&self.step, block, bytes)?;
            let held = parts.first().map_or(0, |part| part.errors.len());
            self.blocks.follows(&self.step, block, self.keys(), held)?;
            let fits = parts.len() == self.horizons.len() && parts.iter().all(|part| part.fits(held, self.experts));
            if !fits {
                return Err(self.misfit(&self.step, block));
            }
            for (evidence, part) in self.horizons.iter_mut().zip(parts) {
                evidence.losses.extend(part.losses);
                evidence.errors.extend(part.errors);
                evidence.counts.extend(part.counts);
            }
        }
        self.blocks.grow(0, self.keys());
        self.blocks.clean();
        for (block, bytes) in reader.blocks(&self.shared_step) {
            let shared: Vec<Vec<f64>> = from_block(&self.shared_step, block, bytes)?;
            if shared.len() != self.horizons.len() || shared.iter().any(|shared| shared.len() != self.experts) {
                return Err(self.misfit(&self.shared_step, block));
            }
            for (evidence, shared) in self.horizons.iter_mut().zip(shared) {
                evidence.shared = shared;
            }
        }
        Ok(())
    }

    fn misfit(&self, step: &str, block: u32) -> StateError {
        let reason = format!("not of {} experts at {} horizons", self.experts, self.horizons.len());
        StateError { step: step.to_owned(), block, reason }
    }
}

impl Evidence {
    /// Takes an error of a key's mixture in; returns the mean of those since the first that was not 0.
    fn take_error(&mut self, key: usize, error: f64, forgetting: f64) -> f64 {
        let (sum, count) = (&mut self.errors[key], &mut self.counts[key]);
        if *sum == 0.0 && error == 0.0 {
            return 0.0;
        }
        if *count < ERRORS_TRUSTED && error > 0.0 {
            *sum = sum.min(ERROR_STEP_MAX * error * *count);
        }
        let bound = if *sum > 0.0 { ERROR_STEP_MAX * *sum / *count } else { f64::INFINITY };
        *sum = forgetting * *sum + error.min(bound);
        *count = forgetting * *count + 1.0;
        *sum / *count
    }

    fn part(&self, keys: Range<usize>, experts: usize) -> Self {
        Self {
            losses: self.losses[keys.start * experts..keys.end * experts].to_vec(),
            errors: self.errors[keys.clone()].to_vec(),
            counts: self.counts[keys].to_vec(),
            shared: Vec::new(),
        }
    }

    fn fits(&self, keys: usize, experts: usize) -> bool {
        self.losses.len() == keys * experts && [self.errors.len(), self.counts.len()] == [keys; 2]
    }
}

/// The weighted mean of the experts that have a forecast; NaN where none has.
fn mixture(weights: &[f64], experts: &[Vec<f64>], key: usize) -> f64 {
    let shares = weights.iter().zip(experts).filter(|(_, forecasts)| forecasts[key].is_finite());
    shares.map(|(weight, forecasts)| weight * forecasts[key]).reduce(|sum, share| sum + share).unwrap_or(f64::NAN)
}

/// What a class, 0 or 1, holds against an expert whose probability lies `away` from the mixture's: the gradient of the log loss.
fn against_class(away: f64, mixed: f64, label: f64) -> f64 {
    let (away, of_label) = if label > 0.5 { (away, mixed) } else { (-away, 1.0 - mixed) };
    if away == 0.0 {
        return 0.0;
    }
    // A mixture that was sure of the other class divides by 0: the greatest evidence there is.
    (-away / of_label.max(0.0)).clamp(-EVIDENCE_MAX, EVIDENCE_MAX)
}

/// What a label holds against an expert that lies `away` from the mixture, which erred by `error`: the gradient of the
/// absolute error, in mean absolute errors.
fn against(away: f64, error: f64, scale: f64) -> f64 {
    if error == 0.0 || away == 0.0 {
        return 0.0;
    }
    (error.signum() * away / scale).clamp(-EVIDENCE_MAX, EVIDENCE_MAX)
}
