//! What the features stage emits: a dense matrix, one row per key.

use std::sync::Arc;

use crate::vocab::{EventTime, KeyId};

/// A column of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureColumn {
    /// Name: `speed_kmh.lag0`, `time_of_day.sin1`, `speed_kmh.profile`.
    pub name: String,
    /// What its numbers are.
    pub kind: ColumnKind,
    /// The horizon, in window steps, that the column speaks of; `None` where it serves every horizon.
    pub horizon_steps: Option<u32>,
}

/// What the numbers of a feature column are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// In the unit of this window column: lags, differences, profiles, deviations, neighbours.
    InUnitsOf(String),
    /// In a unit of their own: ratios, columns of a table.
    OwnUnit,
    /// Of order one: flags, ages, sines and cosines.
    Unitless,
}

impl FeatureColumn {
    /// Whether forecasts of so many window steps ahead may read it.
    #[must_use]
    pub fn serves(&self, steps: u32) -> bool {
        self.horizon_steps.is_none_or(|own| own == steps)
    }

    /// The window column in whose unit the values are; `None` for those of another unit or none.
    #[must_use]
    pub fn in_units_of(&self) -> Option<&str> {
        match &self.kind {
            ColumnKind::InUnitsOf(column) => Some(column),
            ColumnKind::OwnUnit | ColumnKind::Unitless => None,
        }
    }

    /// Whether the values are of order one as they are, in whatever unit the target is.
    #[must_use]
    pub fn unitless(&self) -> bool {
        self.kind == ColumnKind::Unitless
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
