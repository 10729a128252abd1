//! Rows -> the same rows with columns of numbers brought to a common scale: by parameters that are given, or by those of
//! the rows before, row by row, so that nothing of a row or of a later one enters its own scale.

mod check;
mod error;
mod scale;
mod streaming;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub(super) use self::check::plan_normalise;
pub use self::error::NormaliseError;
use self::scale::Scale;
use super::cleaner::{CleanError, Working};
use super::columns::UNIT_CHANGED;
use super::{NormaliseMethod, Parameters};

/// The step's key in the pipeline file.
pub(super) const NORMALISE: &str = "normalise";

/// What one step is asked to do, unchecked.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalise {
    /// Columns of numbers.
    pub columns: Vec<String>,
    /// How they are scaled.
    pub method: NormaliseMethod,
    /// Where the parameters come from.
    pub learning: Learning,
    /// Furthest that a result may lie outside, in its own scale.
    pub clip: Option<f64>,
    /// What names of new columns end in; unless given, the columns themselves are replaced.
    pub suffix: Option<String>,
}

impl Normalise {
    /// What results mean: the same from equal values where this is the same and what was learned is.
    pub(super) fn scale(&self) -> String {
        let Self { columns, method, learning, suffix, .. } = self;
        let by = match learning {
            Learning::Frozen(parameters) => {
                format!("given {}", blake3::hash(format!("{parameters:?}").as_bytes()).to_hex())
            }
            Learning::Streaming { by, .. } => format!("by {by:?}"),
        };
        format!("{columns:?} {method:?} {suffix:?} {by}")
    }
}

/// Where parameters come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Learning {
    /// They are given, by column.
    Frozen(BTreeMap<String, Parameters>),
    /// They are those of the rows before.
    Streaming {
        /// Values of a column before there is a result.
        min_count: u64,
        /// Values of a column after which its parameters stay.
        freeze_after: Option<u64>,
        /// Columns whose values together have parameters of their own; none: one set for the partition.
        by: Vec<String>,
    },
}

/// Columns that are read and where results go.
#[derive(Debug)]
struct Shape {
    columns: Vec<usize>,
    /// Results are further columns at the end.
    added: bool,
    /// Least and greatest result.
    limits: Option<(f64, f64)>,
    schema: SchemaRef,
}

impl Shape {
    /// The schema with results, which have the unit 1; limits of the topic's schema do not hold for them.
    fn new(schema: &Schema, columns: Vec<usize>, suffix: Option<&str>, limits: Option<(f64, f64)>) -> Self {
        let mut fields = schema.fields().to_vec();
        let unit = HashMap::from([(UNIT_CHANGED.to_owned(), "1".to_owned())]);
        for index in &columns {
            let name = format!("{}{}", schema.field(*index).name(), suffix.unwrap_or_default());
            let field = Arc::new(Field::new(name, DataType::Float64, true).with_metadata(unit.clone()));
            if suffix.is_some() {
                fields.push(field);
            } else {
                fields[*index] = field;
            }
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Self { columns, added: suffix.is_some(), limits, schema }
    }

    /// The columns as numbers.
    fn read(&self, rows: &RecordBatch) -> Result<Vec<Float64Array>, ArrowError> {
        let number = |index: &usize| Ok(cast(rows.column(*index), &DataType::Float64)?.as_primitive().clone());
        self.columns.iter().map(number).collect()
    }

    /// The rows with results.
    fn write(&self, rows: &RecordBatch, results: Vec<Vec<Option<f64>>>) -> Result<RecordBatch, ArrowError> {
        let mut all = rows.columns().to_vec();
        for (index, values) in self.columns.iter().zip(results) {
            let values: ArrayRef = Arc::new(Float64Array::from(values));
            if self.added {
                all.push(values);
            } else {
                all[*index] = values;
            }
        }
        RecordBatch::try_new(Arc::clone(&self.schema), all)
    }
}

/// The value of a row; NaN and the infinities are none.
fn finite(values: &Float64Array, row: usize) -> Option<f64> {
    values.is_valid(row).then(|| values.value(row)).filter(|value| value.is_finite())
}

/// A checked step whose parameters are given: it keeps no state.
#[derive(Debug)]
pub(super) struct Frozen {
    shape: Shape,
    scales: Vec<Scale>,
}

impl Frozen {
    /// Scales a batch.
    pub(super) fn apply(&self, work: &mut Working) -> Result<(), CleanError> {
        let batch = &work.rows.batch;
        let scaled = |(values, scale): (&Float64Array, &Scale)| {
            let one = |row| scale.apply(finite(values, row)?, self.shape.limits);
            (0..batch.num_rows()).map(one).collect::<Vec<_>>()
        };
        let columns = self.shape.read(batch)?;
        let results = columns.iter().zip(&self.scales).map(scaled).collect();
        work.rows.batch = self.shape.write(batch, results)?;
        Ok(())
    }
}
