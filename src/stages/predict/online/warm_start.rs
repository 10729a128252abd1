//! The first complete history of a series -> weights and `P`, as if recursive least squares without forgetting had
//! seen it all. No retries: a history that cannot be solved is the caller's business.
//!
//! # Source
//! Ordinary least squares by linfa-linear (QR). Ridge regression is the same on a design with one further row
//! `sqrt(ridge)` per weight (Hastie, Tibshirani and Friedman, *The Elements of Statistical Learning*, exercise 3.12).

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linalg::cholesky::InverseC;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use super::params::OnlineLinearError;
use super::recursive_least_squares::triangle;

/// A solved start.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmStart {
    /// Weights.
    pub weights: Vec<f64>,
    /// Upper triangle of `P = (X'X + ridge I)^-1`, row by row.
    pub covariance: Vec<f64>,
}

/// Solves `rows` (rows x width, scaled, bias included) against `targets`.
///
/// # Errors
/// [`OnlineLinearError::Singular`] where the solution is not unique or not finite; only possible with `ridge` 0 or
/// values beyond all scale.
pub fn solve(
    rows: ArrayView2<'_, f64>,
    targets: ArrayView1<'_, f64>,
    ridge: f64,
) -> Result<WarmStart, OnlineLinearError> {
    let singular = || OnlineLinearError::Singular { rows: rows.nrows() };
    let dataset = Dataset::new(penalised(rows, ridge), extended(targets, rows.ncols(), ridge));
    let fitted = LinearRegression::new().with_intercept(false).fit(&dataset).map_err(|_| singular())?;
    let mut normal = rows.t().dot(&rows);
    normal.diag_mut().map_inplace(|element| *element += ridge);
    let inverse: Array2<f64> = normal.invc().map_err(|_| singular())?;
    let start = WarmStart { weights: fitted.params().to_vec(), covariance: packed(&inverse) };
    let finite = start.weights.iter().chain(&start.covariance).all(|number| number.is_finite());
    if finite { Ok(start) } else { Err(singular()) }
}

/// The design with a row `sqrt(ridge)` per weight below it.
fn penalised(rows: ArrayView2<'_, f64>, ridge: f64) -> Array2<f64> {
    let (count, width) = rows.dim();
    if ridge == 0.0 {
        return rows.to_owned();
    }
    let root = ridge.sqrt();
    Array2::from_shape_fn((count + width, width), |(row, column)| match row.checked_sub(count) {
        None => rows[[row, column]],
        Some(penalty) if penalty == column => root,
        Some(_) => 0.0,
    })
}

/// The targets with a zero per row that the penalty added.
fn extended(targets: ArrayView1<'_, f64>, width: usize, ridge: f64) -> Array1<f64> {
    let zeros = if ridge == 0.0 { 0 } else { width };
    targets.iter().copied().chain(std::iter::repeat_n(0.0, zeros)).collect()
}

/// Upper triangle, row by row, of a matrix that is symmetric but for rounding.
fn packed(matrix: &Array2<f64>) -> Vec<f64> {
    let width = matrix.nrows();
    let mut upper = Vec::with_capacity(triangle(width));
    for row in 0..width {
        for column in row..width {
            upper.push(0.5 * (matrix[[row, column]] + matrix[[column, row]]));
        }
    }
    upper
}
