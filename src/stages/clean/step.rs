//! What a cleaning step is asked to do, unchecked: the plain form of the pipeline file's `clean:`.

use std::collections::BTreeMap;

use super::{Missing, Otherwise};

/// Inclusive limits of a column, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Least value.
    pub minimum: Option<f64>,
    /// Greatest value.
    pub maximum: Option<f64>,
}

/// One cleaning step.
#[derive(Debug, Clone, PartialEq)]
pub enum CleanStep {
    /// Column -> SQL condition: where it is true, the value becomes null. The conditions of one step all see the row
    /// as it came to the step.
    NullIf(BTreeMap<String, String>),
    /// Physical limits.
    Range {
        /// Column -> limits; those left out are the schema's.
        columns: BTreeMap<String, Limits>,
        /// What becomes of a value outside.
        otherwise: Otherwise,
    },
    /// Drops repeated readings: the first counts.
    Dedupe {
        /// Columns that identify a reading; the event time among them.
        key: Vec<String>,
        /// How far behind the newest event time readings are remembered, microseconds.
        within_micros: i64,
    },
    /// Adds columns of a table.
    Lookup {
        /// The table's name.
        table: String,
        /// The row's column that is matched with the table's key.
        on: String,
        /// Columns to add.
        columns: Vec<String>,
        /// What becomes of a row without a match.
        missing: Missing,
    },
    /// One `SELECT ... FROM rows [WHERE ...]`.
    Sql(String),
}

impl CleanStep {
    /// The step's key in the pipeline file.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NullIf(_) => "null_if",
            Self::Range { .. } => "range",
            Self::Dedupe { .. } => "dedupe",
            Self::Lookup { .. } => "lookup",
            Self::Sql(_) => "sql",
        }
    }
}
