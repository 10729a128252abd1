//! What a cleaning step is asked to do, unchecked: the plain form of the pipeline file's `clean:`.

use std::collections::BTreeMap;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};

use super::{CastType, Missing, Normalise, Otherwise, StepFactory};
use crate::vocab::{Snapshot, StateError, StateReader, StateWriter};

/// Inclusive limits of a column, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Least value.
    pub minimum: Option<f64>,
    /// Greatest value.
    pub maximum: Option<f64>,
}

/// A column's change of unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitChange {
    /// The unit of its numbers.
    pub from: String,
    /// The unit that they get.
    pub to: String,
    /// The column's name from then on; as it was unless given.
    pub name: Option<String>,
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
    /// Fills what is missing with the last value of the key, and flags the row.
    Impute {
        /// Columns of numbers.
        columns: Vec<String>,
        /// Oldest value that may stand in, microseconds before the row.
        within_micros: i64,
    },
    /// Brings columns to a common scale.
    Normalise(Normalise),
    /// Old name -> new name.
    Rename(BTreeMap<String, String>),
    /// SQL condition: rows for which it is not true are filtered.
    Filter(String),
    /// Column -> type.
    Cast(BTreeMap<String, CastType>),
    /// Column -> units.
    Unit(BTreeMap<String, UnitChange>),
    /// One `SELECT ... FROM rows [WHERE ...]`.
    Sql(String),
    /// A step of the embedding program.
    Custom {
        /// Its registered name.
        name: String,
        /// Its settings.
        settings: Map<String, Value>,
        /// What makes it.
        factory: StepFactory,
    },
}

/// A cleaning step of the embedding program, of one partition. What it gives must follow from the rows and its state, and
/// not from how rows are cut into batches.
pub trait CustomStep: Send {
    /// Cleans a batch: gives a row for each row, of the schema it was prepared with, and what becomes of those that do not
    /// go on. `times`: event time of each row, microseconds since 1970 UTC.
    ///
    /// # Errors
    /// What Arrow refuses although the step was prepared for this schema: it ends the run.
    fn clean(&mut self, rows: &RecordBatch, times: &[i64]) -> Result<SteppedRows, ArrowError>;

    /// Writes the state; nothing unless the step keeps some.
    fn snapshot(&mut self, _which: Snapshot, _writer: &mut dyn StateWriter) {}

    /// Reads the state back into a fresh step.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit.
    fn restore(&mut self, _reader: &dyn StateReader) -> Result<(), StateError> {
        Ok(())
    }
}

/// What a custom step makes of a batch.
#[derive(Debug, Clone)]
pub struct SteppedRows {
    /// A row for each that came.
    pub rows: RecordBatch,
    /// Rows that do not go on, by index.
    pub fates: Vec<(usize, RowFate)>,
}

/// Why a row does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowFate {
    /// It is of no interest.
    Filtered,
    /// It cannot be used: the value and the reason, for people.
    DeadLetter(String),
}

impl CleanStep {
    /// What it scales values by, where it does.
    pub(super) fn scale(&self) -> Option<String> {
        if let Self::Normalise(normalise) = self { Some(normalise.scale()) } else { None }
    }

    /// The step's key in the pipeline file.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NullIf(_) => "null_if",
            Self::Range { .. } => "range",
            Self::Dedupe { .. } => "dedupe",
            Self::Lookup { .. } => "lookup",
            Self::Impute { .. } => "impute",
            Self::Normalise(_) => "normalise",
            Self::Rename(_) => "rename",
            Self::Filter(_) => "filter",
            Self::Cast(_) => "cast",
            Self::Unit(_) => "unit",
            Self::Sql(_) => "sql",
            Self::Custom { .. } => "custom",
        }
    }
}
