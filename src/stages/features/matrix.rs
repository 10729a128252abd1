//! What the features stage emits: a dense matrix, one row per key.

use std::sync::Arc;

use crate::vocab::{EventTime, KeyId};

/// A column of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureColumn {
    /// Name: `speed_kmh.lag0`, `time_of_day.sin1`, `speed_kmh.profile`.
    pub name: String,
    /// The horizon, in window steps, that the column speaks of; `None` where it serves every horizon.
    pub horizon_steps: Option<u32>,
}

impl FeatureColumn {
    /// Whether forecasts of so many window steps ahead may read it.
    #[must_use]
    pub fn serves(&self, steps: u32) -> bool {
        self.horizon_steps.is_none_or(|own| own == steps)
    }

    /// The window column in whose unit the values are; `None` for flags, ages, sines and cosines.
    #[must_use]
    pub fn in_units_of(&self) -> Option<&str> {
        let (column, kind) = self.name.rsplit_once('.')?;
        ["lag", "difference", "profile", "deviation"].iter().any(|group| kind.starts_with(group)).then_some(column)
    }
}

/// Features of one closed window: (keys x columns), f64, row-major, NaN where a value is missing.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMatrix {
    /// End of the window the features were known at.
    pub end: EventTime,
    /// The columns, the same for every window of a plan.
    pub columns: Arc<[FeatureColumn]>,
    /// Number of rows: the window's `key_count`.
    pub rows: usize,
    /// `rows * columns.len()` values.
    pub values: Vec<f64>,
}

impl FeatureMatrix {
    /// The row of a key, in column order.
    #[must_use]
    pub fn row(&self, key: KeyId) -> &[f64] {
        let width = self.columns.len();
        &self.values[key as usize * width..(key as usize + 1) * width]
    }
}
