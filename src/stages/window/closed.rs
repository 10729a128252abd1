//! What the window stage emits: one window step of every key of a partition.

use crate::vocab::{EventTime, KeyId};

/// One closed window of all keys of a partition. Vectors are indexed by [`KeyId`]; keys that were not live in this
/// window (not seen yet, or expired) hold `live == false`, zero counts and NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedWindow {
    /// First instant inside.
    pub start: EventTime,
    /// First instant after: the time that outputs carry.
    pub end: EventTime,
    /// Whether a key gets a row.
    pub live: Vec<bool>,
    /// Accepted rows of each key.
    pub rows: Vec<u32>,
    /// How many of them have a value that was imputed; no numbers at all where rows do not say so.
    pub imputed: Vec<u32>,
    /// Values: `columns[c][key]`, NaN for null. Order: the plan's `columns`, then its `carry`. A live key without rows
    /// has counts of 0 and NaN for the rest.
    pub columns: Vec<Vec<f64>>,
    /// The same of the rows alone in which nothing was imputed; none at all where rows do not say so.
    pub measured_columns: Vec<Vec<f64>>,
    /// Keys forgotten at the end of this window: their ids may be given to other keys afterwards.
    pub expired: Vec<KeyId>,
}

impl ClosedWindow {
    /// Number of key ids given out so far, dead ones included: the length of every vector.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.live.len()
    }

    /// What a column of a key was measured to be; NaN unless that is a finite value, from `min_count` rows at least in
    /// which nothing was imputed.
    #[must_use]
    pub fn label(&self, column: usize, key: KeyId, min_count: u32) -> f64 {
        let key = key as usize;
        let rows = self.rows[key] - self.imputed.get(key).copied().unwrap_or(0);
        let value = self.measured_columns.get(column).unwrap_or(&self.columns[column])[key];
        if self.live[key] && rows >= min_count.max(1) && value.is_finite() { value } else { f64::NAN }
    }

    /// Whether a column of a key was measured: whether it has a label.
    #[must_use]
    pub fn measured(&self, column: usize, key: KeyId, min_count: u32) -> bool {
        !self.label(column, key, min_count).is_nan()
    }
}
