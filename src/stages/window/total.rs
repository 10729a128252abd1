//! Values -> their sum, the same bit for bit in whatever order they come, without keeping them.
//!
//! Fixed point: a value is rounded once to a multiple of 2^-64 and added as an integer. Integer addition is
//! associative, so order cannot matter. The sum has 128 bits before the point and 64 after it: 2^32 values of
//! [`MAGNITUDE_MAX`] need 94 of the 128, so it never overflows. A value's error is at most 2^-65 (none at all from
//! 2^-12 upwards, where every f64 is such a multiple); reading the sum rounds once more, to the nearest f64.
//!
//! # Source
//! The aim is that of Demmel and Nguyen, "Fast Reproducible Floating-Point Summation" (2013); physical readings need
//! far less range than theirs, so one wide integer serves where they use bins (docs/design/0003).

use ruint::aliases::U192;
use serde::{Deserialize, Serialize};

/// Largest magnitude that a sum takes, 2^62: as a multiple of 2^-64 it fits a 128-bit integer with its sign. Rows with
/// larger values are refused before anything is added.
pub const MAGNITUDE_MAX: f64 = 4_611_686_018_427_387_904.0;

/// 2^-64.
const UNIT: f64 = 1.0 / 18_446_744_073_709_551_616.0;
/// Explicit bits of an f64's mantissa.
const MANTISSA_BITS: u32 = 52;
/// Biased exponent at which the last bit of the mantissa is worth 2^-64: 1023 + 52 - 64.
const EXPONENT_OF_UNIT: i32 = 1011;

/// A sum and how many values are in it. With these bounds, whole * 2^64 + fraction multiples of 2^-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Total {
    whole: i128,
    fraction: u64,
    count: u32,
}

impl Total {
    /// Adds a value that is a number of at most [`MAGNITUDE_MAX`] in magnitude.
    pub(super) fn add(&mut self, value: f64) {
        let fixed = fixed_point(value);
        // The cast keeps the low 64 bits: the fraction of a two's complement number, whose whole part is its floor.
        let (fraction, carry) = self.fraction.overflowing_add(fixed as u64);
        self.fraction = fraction;
        self.whole += (fixed >> 64) + i128::from(carry);
        self.count += 1;
    }

    /// The sum rounded to the nearest f64; NaN where nothing was added.
    pub(super) fn sum(self) -> f64 {
        if self.count == 0 {
            return f64::NAN;
        }
        if let Ok(whole) = i64::try_from(self.whole) {
            return (i128::from(whole) << 64 | i128::from(self.fraction)) as f64 * UNIT;
        }
        // Beyond 2^63 an f64 ends above the point: of the fraction only matters whether there is one.
        (self.whole | i128::from(self.fraction != 0)) as f64
    }

    /// Adds what another one holds.
    pub(super) fn merge(&mut self, other: &Self) {
        let (fraction, carry) = self.fraction.overflowing_add(other.fraction);
        self.fraction = fraction;
        self.whole += other.whole + i128::from(carry);
        self.count += other.count;
    }

    /// How many values were added.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The sum without its sign, as a multiple of 2^-64.
    pub(super) fn magnitude(&self) -> U192 {
        let sum = U192::from_limbs([self.fraction, self.whole as u64, (self.whole >> 64) as u64]);
        if self.whole < 0 { sum.wrapping_neg() } else { sum }
    }

    /// The mean; NaN where nothing was added.
    pub(super) fn mean(self) -> f64 {
        self.sum() / f64::from(self.count)
    }
}

/// The value as a multiple of 2^-64, rounded to the nearest, ties to even.
pub(super) fn fixed_point(value: f64) -> i128 {
    let bits = value.to_bits();
    let exponent = (bits >> MANTISSA_BITS & 0x7ff) as i32;
    // Numbers too small to have the leading bit (biased exponent 0) are far below 2^-65: the shift makes them zero.
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1) | 1 << MANTISSA_BITS;
    let shift = exponent - EXPONENT_OF_UNIT;
    let magnitude = if shift >= 0 { i128::from(mantissa) << shift } else { i128::from(shifted(mantissa, -shift)) };
    if value.is_sign_negative() { -magnitude } else { magnitude }
}

/// `mantissa / 2^bits` for `bits` of at least 1, rounded to the nearest, ties to even.
fn shifted(mantissa: u64, bits: i32) -> u64 {
    if bits > 53 {
        // The mantissa is below 2^53: this is less than a half.
        return 0;
    }
    let (floor, rest, half) = (mantissa >> bits, mantissa & ((1 << bits) - 1), 1 << (bits - 1));
    floor + u64::from(rest > half || (rest == half && floor & 1 == 1))
}
