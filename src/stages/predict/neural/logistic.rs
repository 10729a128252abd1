//! Labelled rows -> a logistic regression (L2, C = 1, of `linfa-logistic`), which every network of classes is measured beside:
//! one that is no better is not worth its weights. It reads what the network reads, scaled alike.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};

use super::classifier::scaled;
use super::fit::Examples;
use crate::stages::predict::moments::Moments;

/// Penalty on the square of the weights: scikit-learn's C = 1.
const PENALTY: f64 = 1.0;
const ITERATIONS_MAX: u64 = 1_000;

/// The probabilities of the class 1 that a regression fitted to `known` gives to `asked`, both scaled by `scales`; `None`
/// where it cannot be fitted, as to labels of one kind.
#[must_use]
pub fn probabilities(known: &Examples, asked: &Examples, scales: &[Moments]) -> Option<Vec<f64>> {
    let records = matrix(known, scales)?;
    let classes: Array1<bool> = known.labels.iter().map(|&label| label > 0.5).collect();
    let regression = LogisticRegression::default().alpha(PENALTY).max_iterations(ITERATIONS_MAX);
    let fitted = regression.fit(&Dataset::new(records, classes)).ok()?;
    let made = fitted.predict_probabilities(&matrix(asked, scales)?);
    let turned = !fitted.labels().pos.class;
    Some(made.iter().map(|&probability| if turned { 1.0 - probability } else { probability }).collect())
}

fn matrix(examples: &Examples, scales: &[Moments]) -> Option<Array2<f64>> {
    let row = |row| scaled(scales, examples.row(row)).map(f64::from).collect::<Vec<_>>();
    let values: Vec<f64> = (0..examples.len()).flat_map(row).collect();
    Array2::from_shape_vec((examples.len(), 2 * examples.columns), values).ok()
}
