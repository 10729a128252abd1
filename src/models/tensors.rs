//! A network of classes <-> bytes of the safetensors format: `layers.N.weight` (units x inputs) and `layers.N.bias` as PyTorch's
//! `Linear` has them, and `moments` (columns x 3: count, mean, sum of squared deviations), by which inputs are scaled.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::stages::predict::moments::Moments;
use crate::stages::predict::neural::fit::Trained;
use crate::stages::predict::neural::network::{Matrix, Weights};

/// Numbers of a column's moments.
const MOMENTS: usize = 3;

/// Why bytes are no network.
#[derive(Debug, thiserror::Error)]
pub enum TensorsError {
    /// Not the format, or damaged.
    #[error(transparent)]
    Format(#[from] safetensors::SafeTensorError),
    /// Another shape or type than a network has.
    #[error("tensor `{name}` has no place in such a network")]
    Shape {
        /// The tensor.
        name: String,
    },
    /// Weights that training has left without meaning.
    #[error("tensor `{name}` holds what is no number: a lower `learning_rate` may help")]
    NotFinite {
        /// The tensor.
        name: String,
    },
    /// Names of keys that do not fit their vectors.
    #[error("its metadata `keys` does not list a name for each row of `keys.weight`, ascending")]
    Keys,
}

/// Tensors by name, to be written.
#[derive(Default)]
pub(super) struct Parts(BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>);

impl Parts {
    pub(super) fn matrix(&mut self, name: String, matrix: &Matrix) {
        self.0.insert(name, (Dtype::F32, vec![matrix.rows, matrix.columns], bytes_of(&matrix.values)));
    }

    pub(super) fn vector(&mut self, name: String, values: &[f32]) {
        self.0.insert(name, (Dtype::F32, vec![values.len()], bytes_of(values)));
    }

    pub(super) fn moments(&mut self, name: &str, columns: &[Moments]) {
        let bytes: Vec<u8> = columns.iter().flat_map(Moments::parts).flat_map(f64::to_le_bytes).collect();
        self.0.insert(name.to_owned(), (Dtype::F64, vec![columns.len(), MOMENTS], bytes));
    }

    /// The bytes of all of them.
    pub(super) fn to_bytes(&self, metadata: Option<HashMap<String, String>>) -> Result<Vec<u8>, TensorsError> {
        let mut views = Vec::new();
        for (name, (kind, shape, bytes)) in &self.0 {
            views.push((name, TensorView::new(*kind, shape.clone(), bytes)?));
        }
        Ok(safetensors::serialize(views, metadata)?)
    }
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The bytes of a network.
///
/// # Errors
/// Only for shapes that the format cannot hold, which no network has.
pub fn to_bytes(trained: &Trained) -> Result<Vec<u8>, TensorsError> {
    let mut parts = Parts::default();
    for (layer, pair) in trained.weights.0.chunks(2).enumerate() {
        let [weight, bias] = pair else { continue };
        parts.matrix(format!("layers.{layer}.weight"), &transposed(weight));
        parts.vector(format!("layers.{layer}.bias"), &bias.values);
    }
    parts.moments("moments", &trained.scales);
    parts.to_bytes(None)
}

/// The network of these bytes.
///
/// # Errors
/// [`TensorsError`] where the bytes are damaged or of something else; restore the file, or train again.
pub fn from_bytes(bytes: &[u8]) -> Result<Trained, TensorsError> {
    let tensors = SafeTensors::deserialize(bytes)?;
    let mut matrices: Vec<Matrix> = Vec::new();
    for layer in 0..tensors.len() / 2 {
        let weight = matrix(&tensors, format!("layers.{layer}.weight"))?;
        let bias = matrix(&tensors, format!("layers.{layer}.bias"))?;
        let fits = bias.rows == 1
            && bias.columns == weight.rows
            && matrices.last().is_none_or(|before| before.columns == weight.columns);
        if !fits {
            return Err(TensorsError::Shape { name: format!("layers.{layer}.weight") });
        }
        matrices.extend([transposed(&weight), bias]);
    }
    let scales = moments(&tensors, "moments")?;
    // A flag beside each value says whether it is missing.
    if matrices.first().map(|matrix| matrix.rows) != Some(2 * scales.len()) {
        return Err(TensorsError::Shape { name: "moments".to_owned() });
    }
    Ok(Trained { weights: Weights(matrices), scales })
}

/// Reads the moments of columns.
pub(super) fn moments(tensors: &SafeTensors<'_>, name: &str) -> Result<Vec<Moments>, TensorsError> {
    let tensor = tensors.tensor(name)?;
    let (Dtype::F64, [_, MOMENTS]) = (tensor.dtype(), tensor.shape()) else {
        return Err(TensorsError::Shape { name: name.to_owned() });
    };
    let numbers: Vec<f64> =
        tensor.data().chunks_exact(8).filter_map(|bytes| bytes.try_into().ok().map(f64::from_le_bytes)).collect();
    if numbers.iter().any(|number| !number.is_finite()) {
        return Err(TensorsError::NotFinite { name: name.to_owned() });
    }
    let of = |parts: &[f64]| Moments::from_parts([parts[0], parts[1], parts[2]]);
    Ok(numbers.chunks_exact(MOMENTS).map(of).collect())
}

/// Reads a matrix; what has one dimension is its only row.
pub(super) fn matrix(tensors: &SafeTensors<'_>, name: String) -> Result<Matrix, TensorsError> {
    let tensor = tensors.tensor(&name)?;
    let (rows, columns) = match (tensor.dtype(), tensor.shape()) {
        (Dtype::F32, [rows, columns]) => (*rows, *columns),
        (Dtype::F32, [columns]) => (1, *columns),
        _ => return Err(TensorsError::Shape { name }),
    };
    let values: Vec<f32> =
        tensor.data().chunks_exact(4).filter_map(|bytes| bytes.try_into().ok().map(f32::from_le_bytes)).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(TensorsError::NotFinite { name });
    }
    Ok(Matrix { rows, columns, values })
}

/// Rows become columns.
pub(super) fn transposed(matrix: &Matrix) -> Matrix {
    let Matrix { rows, columns, ref values } = *matrix;
    let turned = (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column]));
    Matrix { rows: columns, columns: rows, values: turned.collect() }
}
