//! The layers of a network that all keys share, and what they compute: forecasts, gradients of the weights, gradients of
//! the inputs.
//!
//! # Source
//! Spatial and temporal identity (Shao et al. 2022, "Spatial-Temporal Identity: A Simple yet Effective Baseline for
//! Multivariate Time Series Forecasting"): each key, slot of the day and day of the week has a vector of its own. Ours are
//! as wide as the hidden layer and added to it, where theirs are put side by side. Residual blocks follow (He et al. 2016),
//! and a gate that mixes given values, as the last one and the usual one, to which the network adds a correction.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};

use super::inputs::{Batch, Scales};
use super::params::MlpParams;
use super::training::{Dice, normal};
use crate::stages::predict::settings::Loss;

/// Days of a week.
const DAYS: usize = 7;
/// Matrices before the blocks: inputs, their bias, slots, days.
const BEFORE: usize = 4;
/// Matrices of a block.
const EACH: usize = 3;
/// Spread of the vectors of slots and days at the start. Those of keys are 0: a new key is as all are.
const IDENTITY_SPREAD: f32 = 0.1;

/// One matrix of weights, row by row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// `rows x columns`.
    pub values: Vec<f32>,
}

/// All weights: inputs, their bias, slots, days, then three of each block, outputs, their bias; the keys come last, as
/// their number grows.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights(pub Vec<Matrix>);

impl Weights {
    /// Those of a network that has learned nothing and knows no key.
    #[must_use]
    pub fn fresh(params: &MlpParams) -> Self {
        let mut dice = Dice::new(params.seed, crate::vocab::EventTime::MIN, 0);
        let mut matrices = Vec::new();
        let mut add = |rows: usize, columns: usize, spread: f32| {
            let values = (0..rows * columns).map(|_| if spread > 0.0 { spread * normal(&mut dice) } else { 0.0 });
            matrices.push(Matrix { rows, columns, values: values.collect() });
        };
        let (inputs, width) = (2 * params.columns.len(), params.width);
        // Spreads that keep those of the layers about 1 (He et al. 2015), smaller where a sum grows by blocks.
        let fan = |inputs: usize| (1.0 / inputs.max(1) as f32).sqrt();
        add(inputs, width, fan(inputs));
        add(1, width, 0.0);
        add(params.slots(), width, IDENTITY_SPREAD);
        add(DAYS, width, IDENTITY_SPREAD);
        for _ in 0..params.blocks {
            add(width, width, 2.0_f32.sqrt() * fan(width));
            add(1, width, 0.0);
            add(width, width, 0.3 * fan(width));
        }
        let outputs = params.horizons_micros.len() * (1 + params.anchors_each());
        add(width, outputs, 0.1 * fan(width));
        add(1, outputs, 0.0);
        add(0, width, 0.0);
        Self(matrices)
    }

    /// The same shapes, all 0.
    #[must_use]
    pub fn zeros(&self) -> Self {
        let zero = |matrix: &Matrix| Matrix { values: vec![0.0; matrix.values.len()], ..*matrix };
        Self(self.0.iter().map(zero).collect())
    }

    /// Keys that have a vector.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.0.last().map_or(0, |keys| keys.rows)
    }

    /// Adds keys up to `keys`, each with a vector of 0.
    pub fn grow(&mut self, keys: usize) {
        if let Some(last) = self.0.last_mut().filter(|last| last.rows < keys) {
            last.rows = keys;
            last.values.resize(keys * last.columns, 0.0);
        }
    }

    /// Sets the vector of a key.
    pub fn set_key(&mut self, key: usize, vector: &[f32]) {
        if let Some(last) = self.0.last_mut().filter(|last| key < last.rows && vector.len() == last.columns) {
            let width = last.columns;
            last.values[key * width..(key + 1) * width].copy_from_slice(vector);
        }
    }

    /// Makes the vector of a key 0.
    pub fn forget(&mut self, key: usize) {
        if let Some(last) = self.0.last_mut().filter(|last| key < last.rows) {
            let width = last.columns;
            last.values[key * width..(key + 1) * width].fill(0.0);
        }
    }

    /// Whether every weight is a number.
    #[must_use]
    pub fn finite(&self) -> bool {
        self.0.iter().all(|matrix| matrix.values.iter().all(|value| value.is_finite()))
    }

    pub(super) fn tensors(&self, device: &Device, learn: bool) -> Vec<Tensor<2>> {
        let tensor = |matrix: &Matrix| {
            let data = TensorData::new(matrix.values.clone(), [matrix.rows, matrix.columns]);
            let tensor = Tensor::<2>::from_data(data, device);
            if learn { tensor.require_grad() } else { tensor }
        };
        self.0.iter().map(tensor).collect()
    }
}

/// Units that a step leaves out: `[block][row x width]`, 0 or what keeps the mean.
pub type Kept = Vec<Vec<f32>>;

/// The forecasts of a batch, in spreads of the target: `rows x horizons`.
#[must_use]
pub fn forecast(params: &MlpParams, scales: &Scales, weights: &Weights, batch: &Batch) -> Vec<f32> {
    if batch.rows == 0 {
        return Vec::new();
    }
    let device = Device::flex();
    let inputs = inputs(params, batch, &device);
    values(outputs(params, scales, &weights.tensors(&device, false), (batch, inputs), None))
}

/// Gradients of the mean loss of a batch by the weights: `labels` are `rows x horizons` in spreads of the target, NaN where
/// there is none.
#[must_use]
pub fn weight_gradients(
    params: &MlpParams,
    scales: &Scales,
    weights: &Weights,
    (batch, labels): (&Batch, &[f32]),
    kept: &Kept,
) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let learned = weights.tensors(&device, true);
    let made = outputs(params, scales, &learned, (batch, inputs(params, batch, &device)), Some(kept));
    let shape = [batch.rows, params.horizons_micros.len()];
    let known: Vec<f32> = labels.iter().map(|label| f32::from(u8::from(label.is_finite()))).collect();
    let count = known.iter().sum::<f32>().max(1.0);
    let labels = labels.iter().map(|label| if label.is_finite() { *label } else { 0.0 }).collect::<Vec<_>>();
    let (labels, known) = (TensorData::new(labels, shape), TensorData::new(known, shape));
    let errors = (made - Tensor::from_data(labels, &device)) * Tensor::from_data(known, &device);
    let gradients = loss(params.loss, errors).div_scalar(count).backward();
    let of = |(tensor, matrix): (&Tensor<2>, &Matrix)| {
        tensor.grad(&gradients).map_or_else(|| vec![0.0; matrix.values.len()], values)
    };
    learned.iter().zip(&weights.0).map(of).collect()
}

/// Gradients of each row's forecast at one horizon by its inputs: `rows x inputs`, in spreads of both.
#[must_use]
pub fn input_gradients(
    params: &MlpParams,
    scales: &Scales,
    weights: &Weights,
    batch: &Batch,
    horizon: usize,
) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let inputs = inputs(params, batch, &device).require_grad();
    let made = outputs(params, scales, &weights.tensors(&device, false), (batch, inputs.clone()), None);
    let gradients = made.slice([0..batch.rows, horizon..horizon + 1]).sum().backward();
    inputs.grad(&gradients).map_or_else(|| vec![0.0; batch.inputs.len()], values)
}

fn loss(loss: Loss, errors: Tensor<2>) -> Tensor<1> {
    match loss {
        Loss::Absolute => errors.abs().sum(),
        Loss::Squared => errors.powi_scalar(2).sum(),
        // Squared up to one spread, absolute beyond (Huber 1964).
        Loss::Huber => {
            let size = errors.abs();
            let near = size.clone().clamp_max(1.0);
            (near.clone() * (size - near.mul_scalar(0.5))).sum()
        }
    }
}

fn inputs(params: &MlpParams, batch: &Batch, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(batch.inputs.clone(), [batch.rows, 2 * params.columns.len()]), device)
}

/// The layers, from inputs to `rows x horizons`.
fn outputs(
    params: &MlpParams,
    scales: &Scales,
    weights: &[Tensor<2>],
    (batch, inputs): (&Batch, Tensor<2>),
    kept: Option<&Kept>,
) -> Tensor<2> {
    let device = inputs.device();
    let ids = |ids: &[i32]| Tensor::<1, Int>::from_data(TensorData::new(ids.to_vec(), [batch.rows]), &device);
    let keys = &weights[weights.len() - 1];
    let mut hidden = inputs.clone().matmul(weights[0].clone())
        + weights[1].clone()
        + weights[2].clone().select(0, ids(&batch.slots))
        + weights[3].clone().select(0, ids(&batch.days))
        + keys.clone().select(0, ids(&batch.keys));
    for block in 0..params.blocks {
        let [inner, bias, outer] = [0, 1, 2].map(|part| weights[BEFORE + EACH * block + part].clone());
        let mut active = activation::relu(hidden.clone().matmul(inner) + bias);
        if let Some(kept) = kept {
            active =
                active * Tensor::from_data(TensorData::new(kept[block].clone(), [batch.rows, params.width]), &device);
        }
        hidden = hidden + active.matmul(outer);
    }
    let last = BEFORE + EACH * params.blocks;
    let made = hidden.matmul(weights[last].clone()) + weights[last + 1].clone();
    let (horizons, each) = (params.horizons_micros.len(), params.anchors_each());
    let correction = made.clone().slice([0..batch.rows, 0..horizons]);
    if each == 0 {
        return correction;
    }
    let gates = made.slice([0..batch.rows, horizons..horizons * (1 + each)]).reshape([batch.rows * horizons, each]);
    let anchors = anchors(params, scales, inputs, &device).reshape([batch.rows * horizons, each]);
    (activation::softmax(gates, 1) * anchors).sum_dim(1).reshape([batch.rows, horizons]) + correction
}

/// The values that forecasts lie between, in spreads of the target: `rows x (horizons x anchors)`. They are made of the
/// inputs, so that what explains the inputs explains them.
fn anchors(params: &MlpParams, scales: &Scales, inputs: Tensor<2>, device: &Device) -> Tensor<2> {
    let positions: Vec<usize> = params.anchors.iter().flatten().copied().collect();
    let count = positions.len();
    let (factors, addends): (Vec<f32>, Vec<f32>) = positions.iter().map(|&position| scales.anchor(position)).unzip();
    // Positions are those of a plan's columns, which are few.
    let ids: Vec<i32> = positions.iter().map(|&position| position as i32).collect();
    let row = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [1, count]), device);
    inputs.select(1, Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), device)) * row(factors) + row(addends)
}

/// The numbers of a tensor, row by row.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Every tensor here is of f32.
    tensor.into_data().as_slice().map(<[f32]>::to_vec).unwrap_or_default()
}
