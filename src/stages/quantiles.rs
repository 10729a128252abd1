//! Values -> their quantiles, in bounded memory, the same bit for bit in whatever order they come.
//!
//! Few values are kept as they are. More are counted in buckets whose bounds are a value's sign, exponent and first bits of
//! the mantissa, so that a bucket's middle is within 0.4 % of every value in it. Where the values need more buckets than
//! there may be, neighbouring ones are joined, all of them alike; how often depends on the values only, not on their order.
//!
//! # Source
//! Masson, Rim and Lee, "DDSketch" (2019), for buckets of relative width; Epicoco and others, "UDDSketch" (2020), for joining
//! them uniformly. Buckets of equal steps within an octave, as in HdrHistogram, are found without a logarithm.

use serde::{Deserialize, Serialize};

/// Most values that are kept as they are.
const EXACT_MAX: usize = 32;
/// Most buckets: 16 kB.
const BUCKETS_MAX: usize = 2048;
/// Bits of an f64 after its sign, exponent and first 7 bits of mantissa.
const REST_BITS: u32 = 45;

/// Values of one key: in a window, or of all its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Sketch {
    /// In ascending order.
    Values(Vec<f64>),
    /// Counts of buckets in ascending order; so many times neighbours were joined.
    Buckets { joined: u32, counts: Vec<(i32, u32)> },
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Values(Vec::new())
    }
}

impl Sketch {
    /// Adds a value that is not NaN.
    pub(crate) fn add(&mut self, value: f64) {
        match self {
            Self::Values(values) if values.len() < EXACT_MAX => {
                // Adding zero makes zero of minus zero.
                let value = value + 0.0;
                values.insert(values.partition_point(|known| *known < value), value);
            }
            _ => self.count(bucket(value), 0, 1),
        }
    }

    /// Adds what another one holds.
    pub(crate) fn merge(&mut self, other: &Self) {
        match other {
            Self::Values(values) => values.iter().for_each(|value| self.add(*value)),
            Self::Buckets { joined, counts } => {
                counts.iter().for_each(|(bucket, count)| self.count(*bucket, *joined, *count));
            }
        }
    }

    /// Counts values of a bucket whose neighbours were joined so many times; what was kept as it is, is counted from here on.
    fn count(&mut self, place: i32, before: u32, count: u32) {
        if let Self::Values(values) = self {
            let mut counts = Vec::new();
            values.iter().for_each(|value| put(&mut counts, bucket(*value), 1));
            *self = Self::Buckets { joined: 0, counts };
        }
        let Self::Buckets { joined, counts } = self else { return };
        while *joined < before {
            join(counts);
            *joined += 1;
        }
        put(counts, place >> (*joined - before), count);
        while counts.len() > BUCKETS_MAX {
            join(counts);
            *joined += 1;
        }
    }

    /// The quantile of a level between 0 and 1, interpolated between neighbouring values (Hyndman and Fan 1996, type 7); NaN
    /// where there are none.
    pub(crate) fn quantile(&self, level: f64) -> f64 {
        let count = match self {
            Self::Values(values) => values.len() as u64,
            Self::Buckets { counts, .. } => counts.iter().map(|(_, count)| u64::from(*count)).sum(),
        };
        let Some(last) = count.checked_sub(1) else { return f64::NAN };
        let rank = level * last as f64;
        let (low, high) = (self.ranked(rank.floor() as u64), self.ranked((rank.ceil() as u64).min(last)));
        if low == high { low } else { low + (high - low) * rank.fract() }
    }

    /// The value of a rank below the count, from 0.
    fn ranked(&self, rank: u64) -> f64 {
        match self {
            Self::Values(values) => values[rank as usize],
            Self::Buckets { joined, counts } => {
                let mut below = 0;
                let holds = |(_, count): &&(i32, u32)| {
                    below += u64::from(*count);
                    below > rank
                };
                counts.iter().find(holds).map_or(f64::NAN, |(bucket, _)| middle(*bucket, *joined))
            }
        }
    }
}

/// The bucket of a value: ascending with it, negative for negative values.
fn bucket(value: f64) -> i32 {
    // 18 bits: 11 of exponent, 7 of mantissa.
    let magnitude = (value.abs().to_bits() >> REST_BITS) as i32;
    if value < 0.0 { -1 - magnitude } else { magnitude }
}

/// The middle of a bucket that is 2^joined buckets; of the one around zero, zero.
fn middle(bucket: i32, joined: u32) -> f64 {
    let (magnitude, sign) = if bucket < 0 { (-1 - bucket, -1.0) } else { (bucket, 1.0) };
    if magnitude == 0 {
        return 0.0;
    }
    let bits = REST_BITS + joined;
    sign * f64::from_bits(((magnitude as u64) << bits) + (1 << (bits - 1))).min(f64::MAX)
}

/// Joins each even bucket with the odd one above it.
fn join(counts: &mut Vec<(i32, u32)>) {
    let mut kept = 0;
    for place in 0..counts.len() {
        let (bucket, count) = (counts[place].0 >> 1, counts[place].1);
        if kept > 0 && counts[kept - 1].0 == bucket {
            counts[kept - 1].1 = counts[kept - 1].1.saturating_add(count);
        } else {
            counts[kept] = (bucket, count);
            kept += 1;
        }
    }
    counts.truncate(kept);
}

fn put(counts: &mut Vec<(i32, u32)>, bucket: i32, count: u32) {
    match counts.binary_search_by_key(&bucket, |(known, _)| *known) {
        Ok(place) => counts[place].1 = counts[place].1.saturating_add(count),
        Err(place) => counts.insert(place, (bucket, count)),
    }
}
