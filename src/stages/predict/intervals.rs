//! Forecasts and what has come of earlier ones -> a lower and an upper bound for each, that a declared share of labels lies
//! between.
//!
//! A bound lies as many units from the forecast as its side needs: units are what makes errors large just now, a sum of
//! clues with weights that all keys of the partition learn together; how many is the key's own times what all keys need at
//! this time of day. The clues are the key's mean error, its error at this time of day, its newest errors, and how far the last
//! value and the profile are from the forecast, on this side of it and on the other.
//!
//! # Source
//! Adaptive conformal inference (Gibbs and Candès 2021, "Adaptive Conformal Inference Under Distribution Shift", eq. 2), each
//! side alone, on the logarithm of the width as in quantile tracking (Angelopoulos, Candès and Tibshirani 2023, "Conformal PID
//! Control", eq. 4): a side is left by its share of labels in the long run, whatever the errors do, while its width is not held
//! at its least or most; ours are, and a bound does not cross its forecast. The weights follow the
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

/// Numbers of a key that clues are made of: three errors and two distances.
const CLUES: usize = 5;
/// The first of the distances.
const DISTANCES: usize = 3;
/// Clues of a bound: a distance is one of two, by the side that it is on.
const SIDE_CLUES: usize = 2 * CLUES - DISTANCES;
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
/// How far a label moves a key's own width, in logarithms. Smaller ones follow more slowly, larger ones never come to rest.
const WIDTH_STEP: f64 = 0.005;
/// How much farther the first labels move it, over how many they are.
const WIDTH_START: f64 = 0.1;
/// How far a window moves the widths of its time of day, in logarithms, for every label outside in excess.
const SLOT_STEP: f64 = 0.1;
/// How far a window moves the weights, in logarithms, for a gradient of usual size.
const WEIGHT_STEP: f64 = 0.005;
/// Most that a window moves them.
const WEIGHT_STEP_MAX: f64 = 0.2;
/// Weight that remains of the squared gradients after one more window.
const GRADIENT_MEMORY: f64 = 0.999;
/// Weight of every clue at the start.
const WEIGHT_START: f64 = 0.6;
/// Least and greatest weight of a clue.
const WEIGHT_RANGE: [f64; 2] = [1e-3, 10.0];
/// Most that a key's own width is off, and that of a time of day, in logarithms: a factor of 7.4.
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

/// What all keys learn together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Shared {
    /// Of each side, the weights of the clues.
    weights: [[f64; SIDE_CLUES]; SIDES],
    /// The mean square of their gradients.
    squares: [[f64; SIDE_CLUES]; SIDES],
    /// Logarithms of the width of each side in each slot.
    widths: Vec<[f64; SIDES]>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            weights: [[WEIGHT_START; SIDE_CLUES]; SIDES],
            squares: [[0.0; SIDE_CLUES]; SIDES],
            widths: vec![[0.0; SIDES]; 2 * SLOTS],
        }
    }
}

/// What the labels of a window hold against what all keys share.
#[derive(Debug, Default)]
struct Evidence {
    gradients: [[f64; SIDE_CLUES]; SIDES],
    /// Labels outside of each side, less those that should be.
    outside: [f64; SIDES],
    count: f64,
}

impl KeyErrors {
    fn fresh() -> Self {
        Self { slow: [0.0; 2], fast: [0.0; 2], width: [0.0; SIDES], slots: vec![f32::NAN; 2 * SLOTS] }
    }

    fn mean(&self) -> f64 {
        self.slow[0] / self.slow[1]
    }

    /// Moves the width of a side by `away`: how much a label that left it, or did not, differs from the share that should.
    fn widen(&mut self, side: usize, away: f64) {
        // Labels are as many as the errors that are remembered: those that fade are at most a thousand.
        let step = WIDTH_STEP + WIDTH_START / self.slow[1].max(1.0);
        self.width[side] = (self.width[side] + step * away).clamp(-WIDTH_MAX, WIDTH_MAX);
    }

    /// Takes an absolute error in.
    fn take(&mut self, error: f64, slot: usize) {
        // What has been exact so far has no scale yet, which the first error would be measured by.
        if error == 0.0 && self.slow[0] == 0.0 {
            return;
        }
        let known = self.slow[1] >= ERRORS_MIN;
        let error = if known { error.min(ERROR_MAX * self.mean()) } else { error.min(f64::MAX.sqrt()) };
        // A spoofed value among the first ones would be the mean for long: what came after it knows better.
        for sums in [&mut self.slow, &mut self.fast].into_iter().filter(|_| error > 0.0 && !known) {
            sums[0] = sums[0].min(ERROR_MAX * error * sums[1]);
        }
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
            let usual = errors.slots[slot];
            let clues = [
                mean,
                if usual.is_nan() { mean } else { mean * f64::from(usual) },
                errors.fast[0] / errors.fast[1],
                (last[key] - forecast).clamp(-CLUE_MAX * mean, CLUE_MAX * mean),
                (profile[key] - forecast).clamp(-CLUE_MAX * mean, CLUE_MAX * mean),
            ];
            let side = |side: usize| {
                let width = errors.width[side] + shared.widths[slot][side];
                width.exp() * units(&shared.weights[side], &on_side(side, &clues))
            };
            // Limits hold the forecast already, so that it stays inside.
            bounds.push(hold(forecast - side(0)), hold(forecast + side(1)), clues);
        }
        bounds
    }

    /// Learns from the labels of forecasts for the windows that end at `target`: `labels[key]`, NaN where there is none.
    pub fn learn(&mut self, horizon: usize, target: EventTime, forecasts: &[f64], bounds: &Bounds, labels: &[f64]) {
        let (slot, outside) = (slot_of(target, self.params.zone), (1.0 - self.params.coverage) / SIDES as f64);
        let Errors { keys, shared } = &mut self.horizons[horizon];
        let mut evidence = Evidence::default();
        for (key, errors) in keys.iter_mut().enumerate().take(forecasts.len().min(labels.len())) {
            let error = labels[key] - forecasts[key];
            if !error.is_finite() {
                continue;
            }
            let made = bounds.of(key);
            if let Some((lower, upper, clues)) = made.filter(|(_, _, clues)| clues[0] > 0.0 && clues[0].is_finite()) {
                for (side, left) in [labels[key] < lower, labels[key] > upper].into_iter().enumerate() {
                    let away = f64::from(u8::from(left)) - outside;
                    errors.widen(side, away);
                    evidence.take(side, away, &shared.weights[side], &on_side(side, clues));
                }
                evidence.count += 1.0;
            }
            errors.take(error.abs(), slot);
            self.blocks.mark(key);
        }
        if evidence.count > 0.0 {
            shared.learn(&evidence, slot);
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
            if shared.len() != horizons || shared.iter().any(|shared| shared.widths.len() != 2 * SLOTS) {
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
fn units(weights: &[f64; SIDE_CLUES], clues: &[f64; SIDE_CLUES]) -> f64 {
    weights.iter().zip(clues).map(|(weight, clue)| weight * clue).sum()
}

/// The clues of one side: errors as they are, of each distance the part on this side and that on the other. Where nothing is
/// there to be distant, the mean error.
fn on_side(side: usize, clues: &[f64]) -> [f64; SIDE_CLUES] {
    let mut seen = [0.0; SIDE_CLUES];
    seen[..DISTANCES].copy_from_slice(&clues[..DISTANCES]);
    for (pair, distance) in seen[DISTANCES..].chunks_exact_mut(2).zip(&clues[DISTANCES..]) {
        let towards = if side == 0 { -distance } else { *distance };
        let parts = if distance.is_finite() { [towards.max(0.0), (-towards).max(0.0)] } else { [clues[0]; 2] };
        pair.copy_from_slice(&parts);
    }
    seen
}

impl Evidence {
    /// Takes a label in that was outside of a side, by which `away` is its share too much.
    fn take(&mut self, side: usize, away: f64, weights: &[f64; SIDE_CLUES], clues: &[f64; SIDE_CLUES]) {
        let units = units(weights, clues);
        for ((sum, weight), clue) in self.gradients[side].iter_mut().zip(weights).zip(clues) {
            *sum += away * weight * clue / units;
        }
        self.outside[side] += away;
    }
}

impl Shared {
    /// Learns from the labels of a window in this slot.
    fn learn(&mut self, evidence: &Evidence, slot: usize) {
        let count = evidence.count;
        for (width, outside) in self.widths[slot].iter_mut().zip(evidence.outside) {
            *width = (*width + SLOT_STEP * outside / count).clamp(-WIDTH_MAX, WIDTH_MAX);
        }
        let sides = self.weights.iter_mut().zip(&mut self.squares).zip(&evidence.gradients);
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
