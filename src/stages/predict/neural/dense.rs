//! The layers of a plain network of classes, and what they compute: log-odds of the class 1, gradients of the weights,
//! gradients of the probability by the inputs.
//!
//! # Source
//! Rectified units (Glorot, Bordes and Bengio 2011) with the start of He et al. 2015, binary cross-entropy, dropout
//! (Srivastava et al. 2014) on the hidden units.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::network::{Kept, Matrix, Weights};
use super::training::{Dice, normal};

/// Inputs of each layer, and of the output: `[inputs, hidden.., 1]`.
pub type Widths = Vec<usize>;

/// Weights and bias of each layer, of a network that has learned nothing.
#[must_use]
pub fn fresh(widths: &Widths, seed: u64) -> Weights {
    let mut dice = Dice::new(seed, crate::vocab::EventTime::MIN, 0);
    let mut matrices = Vec::new();
    for (layer, pair) in widths.windows(2).enumerate() {
        let (rows, columns) = (pair[0], pair[1]);
        // The last layer starts small: a network that knows nothing should be sure of nothing.
        let gain = if layer + 2 == widths.len() { 0.1 } else { 2.0_f32.sqrt() };
        let spread = gain / (rows.max(1) as f32).sqrt();
        matrices.push(Matrix {
            rows,
            columns,
            values: (0..rows * columns).map(|_| spread * normal(&mut dice)).collect(),
        });
        matrices.push(Matrix { rows: 1, columns, values: vec![0.0; columns] });
    }
    Weights(matrices)
}

/// Log-odds of each row: `inputs` are `rows x widths[0]`.
#[must_use]
pub fn log_odds(weights: &Weights, inputs: &[f32]) -> Vec<f32> {
    let width = weights.0.first().map_or(0, |matrix| matrix.rows);
    if inputs.is_empty() || width == 0 {
        return Vec::new();
    }
    let device = Device::flex();
    super::network::values(outputs(&weights.tensors(&device, false), rows(inputs, width, &device), None))
}

/// Gradients of the mean cross-entropy of a batch by the weights: a label, 0 or 1, for each row.
#[must_use]
pub fn weight_gradients(weights: &Weights, inputs: &[f32], labels: &[f32], kept: &Kept) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let learned = weights.tensors(&device, true);
    let width = weights.0.first().map_or(0, |matrix| matrix.rows);
    let odds = outputs(&learned, rows(inputs, width, &device), Some(kept));
    let labels = rows(labels, 1, &device);
    // -ln of the label's probability, from log-odds so that no certainty overflows.
    let size = odds.clone().abs().neg().exp().log1p();
    let losses = activation::relu(odds.clone()) - odds * labels + size;
    let gradients = losses.mean().backward();
    let of = |(tensor, matrix): (&Tensor<2>, &Matrix)| {
        tensor.grad(&gradients).map_or_else(|| vec![0.0; matrix.values.len()], super::network::values)
    };
    learned.iter().zip(&weights.0).map(of).collect()
}

/// Gradients of each row's probability by its inputs: `rows x inputs`.
#[must_use]
pub fn input_gradients(weights: &Weights, inputs: &[f32]) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let width = weights.0.first().map_or(0, |matrix| matrix.rows);
    let read = rows(inputs, width, &device).require_grad();
    let made = activation::sigmoid(outputs(&weights.tensors(&device, false), read.clone(), None));
    let gradients = made.sum().backward();
    read.grad(&gradients).map_or_else(|| vec![0.0; inputs.len()], super::network::values)
}

fn rows(values: &[f32], width: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / width.max(1), width]), device)
}

/// The layers, from inputs to log-odds: `rows x 1`.
fn outputs(weights: &[Tensor<2>], inputs: Tensor<2>, kept: Option<&Kept>) -> Tensor<2> {
    let layers = weights.len() / 2;
    let mut hidden = inputs;
    for layer in 0..layers {
        hidden = hidden.matmul(weights[2 * layer].clone()) + weights[2 * layer + 1].clone();
        if layer + 1 < layers {
            hidden = activation::relu(hidden);
            if let Some(kept) = kept.and_then(|kept| kept.get(layer)) {
                let (shape, device) = (hidden.dims(), hidden.device());
                hidden = hidden * Tensor::from_data(TensorData::new(kept.clone(), shape), &device);
            }
        }
    }
    hidden
}
