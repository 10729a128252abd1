//! A network that keys share <-> bytes of the safetensors format, named as PyTorch has them: `inputs`, `blocks.N.inner` and
//! `outputs` are `Linear`, `blocks.N.outer` is one without bias, `slots`, `days` and `keys` are `Embedding`. `moments` (columns x 3)
//! and `target.moments` are count, mean and sum of squared deviations, by which inputs and outputs are scaled. The
//! metadata `keys` lists the keys' names as JSON, one for each row of `keys.weight`.

use std::collections::HashMap;

use safetensors::SafeTensors;

use super::tensors::{Parts, TensorsError, matrix, moments, transposed};
use crate::stages::predict::neural::TrainedMlp;
use crate::stages::predict::neural::inputs::Scales;
use crate::stages::predict::neural::network::{Matrix, Weights};

/// Where the names of keys are.
const KEYS: &str = "keys";
/// Matrices of a block.
const EACH: usize = 3;

/// How a matrix is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Turned: outputs by inputs.
    Linear,
    /// A row as a vector.
    Bias,
    /// As it is.
    Embedding,
}

/// Names of the tensors in the order of the matrices.
fn names(blocks: usize) -> Vec<(String, Layout)> {
    use Layout::{Bias, Embedding, Linear};
    let before =
        [("inputs.weight", Linear), ("inputs.bias", Bias), ("slots.weight", Embedding), ("days.weight", Embedding)];
    let after = [("outputs.weight", Linear), ("outputs.bias", Bias), ("keys.weight", Embedding)];
    let parts = [("inner.weight", Linear), ("inner.bias", Bias), ("outer.weight", Linear)];
    let named = |(name, layout): (&str, Layout)| (name.to_owned(), layout);
    let block = |block: usize| parts.map(|(part, layout)| (format!("blocks.{block}.{part}"), layout));
    before.into_iter().map(named).chain((0..blocks).flat_map(block)).chain(after.into_iter().map(named)).collect()
}

/// The bytes of a network.
///
/// # Errors
/// Only for shapes that the format cannot hold, which no network has.
pub fn to_bytes(trained: &TrainedMlp) -> Result<Vec<u8>, TensorsError> {
    let mut parts = Parts::default();
    let blocks = trained.weights.0.len().saturating_sub(names(0).len()) / EACH;
    for ((name, layout), matrix) in names(blocks).into_iter().zip(&trained.weights.0) {
        match layout {
            Layout::Linear => parts.matrix(name, &transposed(matrix)),
            Layout::Bias => parts.vector(name, &matrix.values),
            Layout::Embedding => parts.matrix(name, matrix),
        }
    }
    parts.moments("moments", &trained.scales.columns);
    parts.moments("target.moments", std::slice::from_ref(&trained.scales.target));
    let keys = String::from_utf8_lossy(&crate::vocab::to_json(&trained.keys)).into_owned();
    parts.to_bytes(Some(HashMap::from([(KEYS.to_owned(), keys)])))
}

/// The network of these bytes.
///
/// # Errors
/// [`TensorsError`] where the bytes are damaged or of something else; restore the file, or train again.
pub fn from_bytes(bytes: &[u8]) -> Result<TrainedMlp, TensorsError> {
    let tensors = SafeTensors::deserialize(bytes)?;
    let wrong = |name: &str| TensorsError::Shape { name: name.to_owned() };
    // All but two are of the weights; each block has three.
    let blocks = tensors.len().saturating_sub(names(0).len() + 2) / EACH;
    let mut matrices: Vec<Matrix> = Vec::new();
    for (name, layout) in names(blocks) {
        let read = matrix(&tensors, name)?;
        matrices.push(if layout == Layout::Linear { transposed(&read) } else { read });
    }
    check(&matrices, blocks)?;
    let target = moments(&tensors, "target.moments")?.pop().ok_or_else(|| wrong("target.moments"))?;
    let scales = Scales::known(moments(&tensors, "moments")?, target);
    // A flag beside each value says whether it is missing.
    if matrices[0].rows != 2 * scales.columns.len() {
        return Err(wrong("moments"));
    }
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let listed = metadata.metadata().as_ref().and_then(|texts| texts.get(KEYS));
    let keys: Vec<String> = listed.and_then(|text| serde_json::from_str(text).ok()).ok_or(TensorsError::Keys)?;
    let ascending = keys.windows(2).all(|pair| pair[0] < pair[1]);
    match matrices.last() {
        Some(last) if last.rows == keys.len() && ascending => {
            Ok(TrainedMlp { weights: Weights(matrices), scales, keys })
        }
        _ => Err(TensorsError::Keys),
    }
}

/// Refuses matrices that do not follow each other.
fn check(matrices: &[Matrix], blocks: usize) -> Result<(), TensorsError> {
    let width = matrices[0].columns;
    for ((name, _), matrix) in names(blocks).into_iter().zip(matrices) {
        let fits = match name.as_str() {
            "inputs.weight" | "slots.weight" | "days.weight" | "keys.weight" => matrix.columns == width,
            "outputs.weight" => matrix.rows == width,
            "outputs.bias" => Some(matrix.columns) == matrices.get(matrices.len() - 3).map(|outputs| outputs.columns),
            bias if bias.ends_with("bias") => (matrix.rows, matrix.columns) == (1, width),
            _ => (matrix.rows, matrix.columns) == (width, width),
        };
        if !fits {
            return Err(TensorsError::Shape { name });
        }
    }
    Ok(())
}
