//! Forecasts and what has come of earlier ones -> a lower and an upper bound for each, that a declared share of labels lies
//! between.
//!
//! A bound lies as many units from the forecast as its side needs: units are what makes errors large just now, a sum of five
//! clues with weights that all keys of the partition learn together; how many is each key's own. The clues are the key's
//! mean error, its error at this time of day, its newest errors, and how far the forecast is from the last value and from the
//! profile.
//!
//! # Source
//! Adaptive conformal inference (Gibbs and Candès 2021, "Adaptive Conformal Inference Under Distribution Shift", eq. 2), each
//! side alone, on the logarithm of the width as in quantile tracking (Angelopoulos, Candès and Tibshirani 2023, "Conformal PID
//! Control", eq. 4): whatever the errors do, a side is left by its share of labels in the long run. The weights follow the
//! pinball loss of the logarithm of the width by exponentiated gradient (Kivinen and Warmuth 1997), so that every key counts the
//! same, whatever its errors; steps in root mean squares of the gradient.
//!
//! *Invariant.* A label moves nothing that its own interval was made from.

use std::ops::Range;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::blocks::KeyBlocks;
use crate::stages::features::{DAY_MICROS, local_time};
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Clues of a bound.
const CLUES: usize = 5;
/// Lower and upper.
const SIDES: usize = 2;
/// Slots of a day, of working days and of weekends apart, that errors are kept for.
pub(super) const SLOTS: usize = 48;
/// Weight that remains of a key's mean error after one more.
const SLOW: f64 = 0.999;
/// The same of its newest errors.
const FAST: f64 = 0.7;
/// Weight of one error in the mean of its slot.
const SLOT_RATE: f32 = 0.02;
/// How far a label moves a key's own width, in logarithms. Like [`WEIGHT_STEP`] the first value that was tried, on the warm-up
/// of METR-LA.
const WIDTH_STEP: f64 = 0.02;
/// How far a window moves the weights, in logarithms, for a gradient of usual size.
const WEIGHT_STEP: f64 = 0.02;
/// Most that a window moves them.
const WEIGHT_STEP_MAX: f64 = 0.2;
/// Weight that remains of the squared gradients after one more window.
const GRADIENT_MEMORY: f64 = 0.999;
/// Weight of every clue at the start.
const WEIGHT_START: f64 = 0.6;
/// Least and greatest weight of a clue.
const WEIGHT_RANGE: [f64; 2] = [1e-3, 10.0];
/// Most that a key's own width is off, in logarithms: a factor of 7.4.
const WIDTH_MAX: f64 = 2.0;
/// Most that a distance from the last value or the profile says, in the key's mean errors: a key whose forecasts are hardly
/// ever wrong must not teach the others that distances say nothing.
const CLUE_MAX: f64 = 10.0;
/// Errors that a key needs before it has bounds.
const ERRORS_MIN: f64 = 20.0;
/// Most that one error counts, in mean errors: a spoofed value widens nothing for long.
const ERROR_MAX: f64 = 10.0;

/// What intervals promise, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntervalParams {
    /// Share of labels that lie inside, half of the others on either side.
    pub coverage: f64,
    /// Zone of the time of day.
    pub zone: Tz,
}

/// Intervals of one origin at one horizon, and what they were made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// `[key]`, NaN where there is none.
    pub lower: Vec<f64>,
    /// Likewise.
    pub upper: Vec<f64>,
    /// `keys x CLUES`.
    clues: Vec<f64>,
}

/// Intervals of one predictor.
#[derive(Debug)]
pub struct Intervals {
    params: IntervalParams,
    horizons: Vec<Errors>,
    blocks: KeyBlocks,
    shared_changed: bool,
    step: String,
    shared_step: String,
}

/// What is known of the errors at one horizon.
#[derive(Debug, Clone, PartialEq)]
struct Errors {
    keys: Vec<KeyErrors>,
    shared: Shared,
}

/// Those of one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeyErrors {
    /// Sum of absolute errors that fade slowly, and how many they are.
    slow: [f64; 2],
    /// The same of those that fade fast.
    fast: [f64; 2],
    /// Logarithm of the width of each side.
    width: [f64; SIDES],
    /// Mean errors of the slots, in the key's mean errors; NaN before the first.
    slots: Vec<f32>,
}

/// What all keys learn together: of each side, the weights of the clues and the mean square of their gradients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Shared {
    weights: [[f64; CLUES]; SIDES],
    squares: [[f64; CLUES]; SIDES],
}

impl Default for Shared {
    fn default() -> Self {
        Self { weights: [[WEIGHT_START; CLUES]; SIDES], squares: [[0.0; CLUES]; SIDES] }
    }
}

impl KeyErrors {
    fn fresh() -> Self {
        Self { slow: [0.0; 2], fast: [0.0; 2], width: [0.0; SIDES], slots: vec![f32::NAN; 2 * SLOTS] }
    }

    fn mean(&self) -> f64 {
        self.slow[0] / self.slow[1]
    }

    /// Takes an absolute error in.
    fn take(&mut self, error: f64, slot: usize) {
        let known = self.slow[1] >= ERRORS_MIN && self.slow[0] > 0.0;
        let error = if known { error.min(ERROR_MAX * self.mean()) } else { error };
        for (sums, memory) in [(&mut self.slow, SLOW), (&mut self.fast, FAST)] {
            sums[0] = memory * sums[0] + error;
            sums[1] = memory * sums[1] + 1.0;
        }
        let mean = self.mean();
        if mean > 0.0 {
            let (relative, slot) = ((error / mean) as f32, &mut self.slots[slot]);
            let before = if slot.is_nan() { 1.0 } else { *slot };
            *slot = before + SLOT_RATE * (relative - before);
        }
    }
}

/// The slot of a time: half hours of working days, then of weekends.
pub(super) fn slot_of(time: EventTime, zone: Tz) -> usize {
    let local = local_time(time, zone);
    let of_day = (local.day_micros * SLOTS as i64 / DAY_MICROS) as usize;
    of_day.min(SLOTS - 1) + if local.weekday >= 5 { SLOTS } else { 0 }
}

impl Intervals {
    /// Nothing known yet. State goes to the steps `<step>.intervals` and `<step>.intervals.shared`.
    #[must_use]
    pub fn new(step: &str, params: IntervalParams, horizons: usize) -> Self {
        let bytes = (4 + SIDES) * size_of::<f64>() + 2 * SLOTS * size_of::<f32>();
        Self {
            params,
            horizons: vec![Errors { keys: Vec::new(), shared: Shared::default() }; horizons],
            blocks: KeyBlocks::new(horizons * bytes),
            shared_changed: false,
            step: format!("{step}.intervals"),
            shared_step: format!("{step}.intervals.shared"),
        }
    }

    fn keys(&self) -> usize {
        self.horizons.first().map_or(0, |errors| errors.keys.len())
    }

    /// Adds keys without errors up to `keys`.
    pub fn grow(&mut self, keys: usize) {
        let known = self.keys();
        if keys > known {
            self.horizons.iter_mut().for_each(|errors| errors.keys.resize(keys, KeyErrors::fresh()));
            self.blocks.grow(known, keys);
        }
    }

    /// The bounds of forecasts for windows that end at `target`: `forecasts[key]`, beside the last value and the profile of
    /// each; held at the limits. A key without enough errors has none.
    #[must_use]
    pub fn bounds(
        &self,
        horizon: usize,
        target: EventTime,
        [forecasts, last, profile]: [&[f64]; 3],
        hold: impl Fn(f64) -> f64,
    ) -> Bounds {
        let Errors { keys, shared } = &self.horizons[horizon];
        let slot = slot_of(target, self.params.zone);
        let mut bounds = Bounds::default();
        for (key, &forecast) in forecasts.iter().enumerate() {
            let errors = keys.get(key).filter(|errors| forecast.is_finite() && errors.slow[1] >= ERRORS_MIN);
            let Some(errors) = errors else {
                bounds.push(f64::NAN, f64::NAN, [f64::NAN; CLUES]);
                continue;
            };
            let mean = errors.mean();
            let known = |value: f64| if value.is_finite() { value.min(CLUE_MAX * mean) } else { mean };
            let usual = errors.slots[slot];
            let clues = [
                mean,
                if usual.is_nan() { mean } else { mean * f64::from(usual) },
                errors.fast[0] / errors.fast[1],
                known((last[key] - forecast).abs()),
                known((profile[key] - forecast).abs()),
            ];
            let side = |side: usize| errors.width[side].exp() * units(&shared.weights[side], &clues);
            // Limits hold the forecast already, so that it stays inside.
            bounds.push(hold(forecast - side(0)), hold(forecast + side(1)), clues);
        }
        bounds
    }

    /// Learns from the labels of forecasts for the windows that end at `target`: `labels[key]`, NaN where there is none.
    pub fn learn(&mut self, horizon: usize, target: EventTime, forecasts: &[f64], bounds: &Bounds, labels: &[f64]) {
        let (slot, outside) = (slot_of(target, self.params.zone), (1.0 - self.params.coverage) / SIDES as f64);
        let Errors { keys, shared } = &mut self.horizons[horizon];
        let (mut gradients, mut count) = ([[0.0; CLUES]; SIDES], 0.0);
        for (key, errors) in keys.iter_mut().enumerate().take(forecasts.len().min(labels.len())) {
            let error = labels[key] - forecasts[key];
            if !error.is_finite() {
                continue;
            }
            let made = bounds.of(key);
            if let Some((lower, upper, clues)) = made.filter(|(_, _, clues)| clues[0] > 0.0) {
                for (side, left) in [labels[key] < lower, labels[key] > upper].into_iter().enumerate() {
                    let away = f64::from(u8::from(left)) - outside;
                    let width = &mut errors.width[side];
                    *width = (*width + WIDTH_STEP * away).clamp(-WIDTH_MAX, WIDTH_MAX);
                    let weights = &shared.weights[side];
                    let units = units(weights, clues);
                    for ((sum, weight), clue) in gradients[side].iter_mut().zip(weights).zip(clues) {
                        *sum += away * weight * clue / units;
                    }
                }
                count += 1.0;
            }
            errors.take(error.abs(), slot);
            self.blocks.mark(key);
        }
        if count > 0.0 {
            shared.learn(&gradients, count);
            self.shared_changed = true;
        }
    }

    /// Drops what is known of these keys.
    pub fn forget(&mut self, keys: &[KeyId]) {
        let known = self.keys();
        for key in keys.iter().map(|&key| key as usize).filter(|&key| key < known) {
            self.horizons.iter_mut().for_each(|errors| errors.keys[key] = KeyErrors::fresh());
            self.blocks.mark(key);
        }
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for block in self.blocks.take(which) {
            let keys = self.blocks.keys(block, self.keys());
            let parts: Vec<&[KeyErrors]> = self.horizons.iter().map(|errors| &errors.keys[keys.clone()]).collect();
            // Block numbers are below the number of keys, which fits.
            writer.put(&self.step, block as u32, to_block(&parts));
        }
        let shared: Vec<&Shared> = self.horizons.iter().map(|errors| &errors.shared).collect();
        let learned = shared.iter().any(|shared| **shared != Shared::default());
        if learned && (which == Snapshot::Full || self.shared_changed) {
            writer.put(&self.shared_step, 0, to_block(&shared));
        }
        self.shared_changed &= which == Snapshot::Full;
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        let horizons = self.horizons.len();
        let misfit = |step: &str, block| {
            let reason = format!("not of {horizons} horizons and {SLOTS} slots");
            StateError { step: step.to_owned(), block, reason }
        };
        for (block, bytes) in reader.blocks(&self.step) {
            let parts: Vec<Vec<KeyErrors>> = from_block(&self.step, block, bytes)?;
            let held = parts.first().map_or(0, Vec::len);
            self.blocks.follows(&self.step, block, self.keys(), held)?;
            let whole =
                |part: &Vec<KeyErrors>| part.len() == held && part.iter().all(|key| key.slots.len() == 2 * SLOTS);
            if parts.len() != horizons || !parts.iter().all(whole) {
                return Err(misfit(&self.step, block));
            }
            for (errors, part) in self.horizons.iter_mut().zip(parts) {
                errors.keys.extend(part);
            }
        }
        self.blocks.grow(0, self.keys());
        self.blocks.clean();
        for (block, bytes) in reader.blocks(&self.shared_step) {
            let shared: Vec<Shared> = from_block(&self.shared_step, block, bytes)?;
            if shared.len() != horizons {
                return Err(misfit(&self.shared_step, block));
            }
            for (errors, shared) in self.horizons.iter_mut().zip(shared) {
                errors.shared = shared;
            }
        }
        Ok(())
    }
}

/// What a bound is measured in.
fn units(weights: &[f64], clues: &[f64]) -> f64 {
    weights.iter().zip(clues).map(|(weight, clue)| weight * clue).sum()
}

impl Shared {
    fn learn(&mut self, sums: &[[f64; CLUES]; SIDES], count: f64) {
        let sides = self.weights.iter_mut().zip(&mut self.squares).zip(sums);
        for ((weights, squares), sums) in sides {
            for ((weight, square), sum) in weights.iter_mut().zip(squares).zip(sums) {
                let gradient = sum / count;
                *square = GRADIENT_MEMORY * *square + (1.0 - GRADIENT_MEMORY) * gradient * gradient;
                if *square > 0.0 {
                    let step = (WEIGHT_STEP * gradient / square.sqrt()).clamp(-WEIGHT_STEP_MAX, WEIGHT_STEP_MAX);
                    *weight = (*weight * step.exp()).clamp(WEIGHT_RANGE[0], WEIGHT_RANGE[1]);
                }
            }
        }
    }
}

impl Bounds {
    /// Numbers of one key.
    pub(super) const NUMBERS: usize = SIDES + CLUES;

    /// None, for so many keys.
    #[must_use]
    pub fn none(keys: usize) -> Self {
        Self { lower: vec![f64::NAN; keys], upper: vec![f64::NAN; keys], clues: vec![f64::NAN; keys * CLUES] }
    }

    fn push(&mut self, lower: f64, upper: f64, clues: [f64; CLUES]) {
        self.lower.push(lower);
        self.upper.push(upper);
        self.clues.extend(clues);
    }

    /// Lower and upper bound of a key's forecast.
    #[must_use]
    pub fn interval(&self, key: usize) -> Option<(f64, f64)> {
        self.of(key).map(|(lower, upper, _)| (lower, upper))
    }

    fn of(&self, key: usize) -> Option<(f64, f64, &[f64])> {
        let (lower, upper) = (*self.lower.get(key)?, *self.upper.get(key)?);
        (lower.is_finite() && upper.is_finite()).then(|| (lower, upper, &self.clues[key * CLUES..(key + 1) * CLUES]))
    }

    /// Blanks a key.
    pub(super) fn forget(&mut self, key: usize) {
        if key < self.lower.len() {
            self.lower[key] = f64::NAN;
            self.upper[key] = f64::NAN;
            self.clues[key * CLUES..(key + 1) * CLUES].fill(f64::NAN);
        }
    }

    /// Those of some keys.
    pub(super) fn part(&self, keys: Range<usize>) -> Self {
        Self {
            lower: self.lower[keys.clone()].to_vec(),
            upper: self.upper[keys.clone()].to_vec(),
            clues: self.clues[keys.start * CLUES..keys.end * CLUES].to_vec(),
        }
    }

    /// Whether they are of so many keys.
    pub(super) fn fits(&self, keys: usize) -> bool {
        [self.lower.len(), self.upper.len()] == [keys; 2] && self.clues.len() == keys * CLUES
    }

    /// Adds those of more keys.
    pub(super) fn append(&mut self, more: &Self) {
        self.lower.extend(&more.lower);
        self.upper.extend(&more.upper);
        self.clues.extend(&more.clues);
    }
}
