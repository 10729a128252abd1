//! A network <-> bytes of the safetensors format: `layers.N.weight` (units x inputs) and `layers.N.bias` as PyTorch's
//! `Linear` has them, and `moments` (columns x 3: count, mean, sum of squared deviations), by which inputs are scaled.

use std::collections::BTreeMap;

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
    #[error("tensor `{name}` has no place in a dense network of classes")]
    Shape {
        /// The tensor.
        name: String,
    },
}

/// The bytes of a network.
///
/// # Errors
/// Only for shapes that the format cannot hold, which no network has.
pub fn to_bytes(trained: &Trained) -> Result<Vec<u8>, TensorsError> {
    let mut parts: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (layer, pair) in trained.weights.0.chunks(2).enumerate() {
        let [weight, bias] = pair else { continue };
        let turned = transposed(weight);
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let shape = vec![turned.rows, turned.columns];
        parts.insert(format!("layers.{layer}.weight"), (Dtype::F32, shape, bytes(&turned.values)));
        parts.insert(format!("layers.{layer}.bias"), (Dtype::F32, vec![bias.columns], bytes(&bias.values)));
    }
    let numbers = trained.scales.iter().flat_map(Moments::parts);
    let bytes: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
    parts.insert("moments".to_owned(), (Dtype::F64, vec![trained.scales.len(), MOMENTS], bytes));
    let views: Result<Vec<_>, _> = parts
        .iter()
        .map(|(name, (kind, shape, bytes))| Ok((name, TensorView::new(*kind, shape.clone(), bytes)?)))
        .collect();
    let views: Vec<(&String, TensorView<'_>)> = views.map_err(|error: safetensors::SafeTensorError| error)?;
    Ok(safetensors::serialize(views, None)?)
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
    let moments = tensors.tensor("moments")?;
    let wrong = || TensorsError::Shape { name: "moments".to_owned() };
    let columns = match (moments.dtype(), moments.shape()) {
        (Dtype::F64, [columns, MOMENTS]) => *columns,
        _ => return Err(wrong()),
    };
    // A flag beside each value says whether it is missing.
    if matrices.first().map(|matrix| matrix.rows) != Some(2 * columns) {
        return Err(wrong());
    }
    let numbers: Vec<f64> =
        moments.data().chunks_exact(8).filter_map(|bytes| bytes.try_into().ok().map(f64::from_le_bytes)).collect();
    let scales = numbers.chunks_exact(MOMENTS).map(|parts| Moments::from_parts([parts[0], parts[1], parts[2]]));
    Ok(Trained { weights: Weights(matrices), scales: scales.collect() })
}

fn matrix(tensors: &SafeTensors<'_>, name: String) -> Result<Matrix, TensorsError> {
    let tensor = tensors.tensor(&name)?;
    let (rows, columns) = match (tensor.dtype(), tensor.shape()) {
        (Dtype::F32, [rows, columns]) => (*rows, *columns),
        (Dtype::F32, [columns]) => (1, *columns),
        _ => return Err(TensorsError::Shape { name }),
    };
    let values: Vec<f32> =
        tensor.data().chunks_exact(4).filter_map(|bytes| bytes.try_into().ok().map(f32::from_le_bytes)).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(TensorsError::Shape { name });
    }
    Ok(Matrix { rows, columns, values })
}

fn transposed(matrix: &Matrix) -> Matrix {
    let Matrix { rows, columns, ref values } = *matrix;
    let turned = (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column]));
    Matrix { rows: columns, columns: rows, values: turned.collect() }
}
