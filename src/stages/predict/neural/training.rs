//! A network that learns: its weights, what the optimiser keeps of them, and the mean of the weights that forecasts are
//! made with; and their state.
//!
//! # Source
//! AdamW (Loshchilov and Hutter 2019, algorithm 2) on gradients of norm 1 at most. The mean of the weights is exponential
//! (Polyak and Juditsky 1992), younger at the start. Randomness is a function of the seed, the window and the step, so that
//! a replay draws the same.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use super::inputs::{Batch, Scales};
use super::network::{Kept, Weights, weight_gradients};
use super::params::MlpParams;
use super::replay::Replay;
use crate::vocab::{EventTime, StateError, StateReader, StateWriter, from_block, to_block};

/// Norm at which the gradient of a step is held.
const NORM_MAX: f64 = 1.0;
/// Weight that the moments of gradients keep.
const MOMENTUM: [f32; 2] = [0.9, 0.999];
/// What keeps a step finite where there was no gradient yet.
const EPSILON: f32 = 1e-8;
/// Steps after which the mean of the weights is half as slow as it will be.
const YOUTH: f32 = 20.0;
/// Weights of a block of state, each with two moments and its mean: 32 kB.
const WEIGHTS_PER_BLOCK: usize = 2048;

/// A network's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Weights that learn.
    pub weights: Weights,
    /// Their mean, which forecasts.
    pub mean: Weights,
    first: Weights,
    second: Weights,
    /// Optimiser steps taken.
    pub steps: u64,
}

/// Some weights in the state.
#[derive(Serialize, Deserialize)]
struct Part {
    weights: Vec<f32>,
    mean: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Learned {
    /// A network with its first weights.
    #[must_use]
    pub fn fresh(weights: Weights) -> Self {
        Self { mean: weights.clone(), first: weights.zeros(), second: weights.zeros(), weights, steps: 0 }
    }

    fn all(&mut self) -> [&mut Weights; 4] {
        [&mut self.weights, &mut self.mean, &mut self.first, &mut self.second]
    }

    /// Adds keys up to `keys`.
    pub fn grow(&mut self, keys: usize) {
        self.all().into_iter().for_each(|weights| weights.grow(keys));
    }

    /// Gives a key that has learned nothing its vector.
    pub fn set_key(&mut self, key: usize, vector: &[f32]) {
        self.weights.set_key(key, vector);
        self.mean.set_key(key, vector);
    }

    /// Makes a key a new one.
    pub fn forget(&mut self, key: usize) {
        self.all().into_iter().for_each(|weights| weights.forget(key));
    }

    /// Learns from the memory what a window is due: a declared number of steps, the same ones whenever it is done.
    #[must_use]
    pub fn trained(&self, params: &MlpParams, scales: &Scales, replay: &Replay, window: EventTime) -> Self {
        let mut next = self.clone();
        for step in 0..params.steps {
            let mut dice = Dice::new(params.seed, window, 1 + u64::from(step));
            let (mut batch, mut labels) = (Batch::default(), Vec::new());
            for _ in 0..params.batch {
                let Some((end, key, values, known)) = replay.draw(params, &mut dice) else { continue };
                batch.push(params, scales, (end, key), values);
                labels.extend(known.iter().map(|&label| scales.label_or_missing(label)));
            }
            if batch.rows == 0 {
                return next;
            }
            let kept = kept(params, batch.rows, &mut dice);
            let gradients = weight_gradients(params, scales, &next.weights, (&batch, &labels), &kept);
            next.step((params.learning_rate, params.weight_decay), &gradients);
        }
        // The mean of a network that was trained before is not young: its first steps after that say little.
        match params.start.pretrained {
            Some(_) => next.keep(params.average),
            None => next.average(params.average),
        }
        next
    }

    /// Takes the weights into their mean, of which `most` is kept where it is not young.
    pub fn average(&mut self, most: f32) {
        self.keep(most.min(self.steps as f32 / (YOUTH + self.steps as f32)));
    }

    /// Takes the weights into their mean, of which so much is kept.
    pub(super) fn keep(&mut self, keep: f32) {
        for (mean, weights) in self.mean.0.iter_mut().zip(&self.weights.0) {
            for (mean, weight) in mean.values.iter_mut().zip(&weights.values) {
                *mean = keep * *mean + (1.0 - keep) * weight;
            }
        }
    }

    /// Whether every weight is a number.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.weights.finite() && self.mean.finite()
    }

    /// One step down the gradients, `rate` long; of a weight, `decay` step sizes are taken away.
    pub fn step(&mut self, (rate, decay): (f32, f32), gradients: &[Vec<f32>]) {
        self.steps += 1;
        let norm = gradients.iter().flatten().map(|&gradient| f64::from(gradient).powi(2)).sum::<f64>().sqrt();
        let held = (NORM_MAX / norm.max(NORM_MAX)) as f32;
        // After millions of steps the corrections are 1.
        let taken = self.steps.min(1_000_000) as i32;
        let [first_left, second_left] = MOMENTUM.map(|momentum| 1.0 - momentum.powi(taken));
        let moments = self.first.0.iter_mut().zip(&mut self.second.0);
        for ((weights, (first, second)), gradients) in self.weights.0.iter_mut().zip(moments).zip(gradients) {
            for (index, gradient) in gradients.iter().enumerate() {
                let gradient = gradient * held;
                let (first, second) = (&mut first.values[index], &mut second.values[index]);
                *first = MOMENTUM[0] * *first + (1.0 - MOMENTUM[0]) * gradient;
                *second = MOMENTUM[1] * *second + (1.0 - MOMENTUM[1]) * gradient * gradient;
                let weight = &mut weights.values[index];
                *weight -= rate * decay * *weight;
                *weight -= rate * (*first / first_left) / ((*second / second_left).sqrt() + EPSILON);
            }
        }
    }

    /// Writes all of it: every step changes every weight.
    pub fn write(&self, step: &str, writer: &mut dyn StateWriter) {
        let flat =
            |weights: &Weights| weights.0.iter().flat_map(|matrix| matrix.values.iter().copied()).collect::<Vec<_>>();
        let [weights, mean, first, second] = [&self.weights, &self.mean, &self.first, &self.second].map(flat);
        for (block, start) in (0..weights.len()).step_by(WEIGHTS_PER_BLOCK).enumerate() {
            let range = start..(start + WEIGHTS_PER_BLOCK).min(weights.len());
            let some = |all: &[f32]| all[range.clone()].to_vec();
            let part = Part { weights: some(&weights), mean: some(&mean), first: some(&first), second: some(&second) };
            // A network has at most some millions of weights.
            writer.put(step, block as u32, to_block(&part));
        }
    }

    /// Reads it back into a network that has learned nothing, but has its keys.
    ///
    /// # Errors
    /// [`StateError`] where the blocks are of a network of another shape.
    pub fn read(&mut self, step: &str, reader: &dyn StateReader) -> Result<(), StateError> {
        let mut flat: [Vec<f32>; 4] = Default::default();
        let mut last = 0;
        for (block, bytes) in reader.blocks(step) {
            let Part { weights, mean, first, second } = from_block(step, block, bytes)?;
            for (all, part) in flat.iter_mut().zip([weights, mean, first, second]) {
                all.extend(part);
            }
            last = block;
        }
        let expected: usize = self.weights.0.iter().map(|matrix| matrix.values.len()).sum();
        if flat.iter().any(|all| all.len() != expected) {
            let reason = format!("{} weights for a network of {expected}", flat[0].len());
            return Err(StateError { step: step.to_owned(), block: last, reason });
        }
        for (weights, all) in self.all().into_iter().zip(&flat) {
            let mut start = 0;
            for matrix in &mut weights.0 {
                let end = start + matrix.values.len();
                matrix.values.copy_from_slice(&all[start..end]);
                start = end;
            }
        }
        Ok(())
    }
}

/// Units of the blocks that a step leaves out.
pub(super) fn kept(params: &MlpParams, rows: usize, dice: &mut Dice) -> Kept {
    let scale = 1.0 / (1.0 - params.dropout);
    let unit_kept = |dice: &mut Dice| if unit(dice) < f64::from(params.dropout) { 0.0 } else { scale };
    let block = |dice: &mut Dice| (0..rows * params.width).map(|_| unit_kept(dice)).collect();
    (0..params.blocks).map(|_| block(dice)).collect()
}

/// Random numbers that follow from a seed, a window and a number.
#[derive(Debug, Clone)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// Those of a window's step.
    #[must_use]
    pub fn new(seed: u64, window: EventTime, step: u64) -> Self {
        // Odd constants of SplitMix64 keep neighbouring windows and steps apart.
        let mixed = seed
            ^ window.0.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ step.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Uniform in 0 to below 1.
pub(super) fn unit(dice: &mut Dice) -> f64 {
    (dice.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Of mean 0 and spread 1 (Box and Muller 1958).
pub(super) fn normal(dice: &mut Dice) -> f32 {
    let (radius, angle) = ((-2.0 * (1.0 - unit(dice)).ln()).sqrt(), std::f64::consts::TAU * unit(dice));
    (radius * angle.cos()) as f32
}
