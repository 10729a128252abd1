//! Values -> their standard deviation, the same bit for bit in whatever order they come.
//!
//! The sum and the sum of squares are kept exactly, as multiples of 2^-64 and 2^-128: their difference does not cancel,
//! as it does in floating point, and addition is associative, as the updates of Welford's method are not.

use ruint::Uint;
use ruint::aliases::{U128, U256};
use serde::{Deserialize, Serialize};

use super::total::{Total, fixed_point};

/// 2^32 squares of 2^252 need 284 bits, times their count 316; so does the square of their sum.
type Wide = Uint<320, 5>;

/// 2^-128: what the last bit of a square is worth.
const UNIT: f64 = 1.0 / (1u128 << 64) as f64 / (1u128 << 64) as f64;

/// A sum, how many values are in it, and the sum of their squares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Squares {
    total: Total,
    squares: [u64; 5],
}

impl Squares {
    /// Adds a value that is a number of at most [`super::MAGNITUDE_MAX`] in magnitude.
    pub(super) fn add(&mut self, value: f64) {
        self.total.add(value);
        let magnitude = U128::from(fixed_point(value).unsigned_abs());
        let square: U256 = magnitude.widening_mul(magnitude);
        self.squares = (self.sum() + Wide::from(square)).into_limbs();
    }

    /// Adds what another one holds.
    pub(super) fn merge(&mut self, other: &Self) {
        self.total.merge(&other.total);
        self.squares = (self.sum() + other.sum()).into_limbs();
    }

    /// The standard deviation of a sample, with one less than the count in the denominator; NaN for fewer than two values.
    pub(super) fn deviation(&self) -> f64 {
        let count = self.total.count();
        if count < 2 {
            return f64::NAN;
        }
        let sum = Wide::from(self.total.magnitude());
        // Not below zero (Cauchy and Schwarz), and exact: only here is anything rounded.
        let spread = Wide::from(count) * self.sum() - sum * sum;
        (f64::from(spread) * UNIT / (f64::from(count) * f64::from(count - 1))).sqrt()
    }

    fn sum(&self) -> Wide {
        Wide::from_limbs(self.squares)
    }
}
