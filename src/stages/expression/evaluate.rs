//! A batch -> the values of an expression, and the rows it fails for. One row's failure leaves the others alone.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DataFusionError;

use super::Expression;

/// Longest value or message in a failure's detail, characters: a dead letter carries the whole record anyway.
const DETAIL_CHARS_MAX: usize = 120;

/// A row that an expression fails for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Row of the batch.
    pub row: usize,
    /// The expression, what went wrong and the values it read.
    pub detail: String,
}

/// Values of one expression over one batch.
#[derive(Debug)]
pub struct Evaluated {
    /// One value per row; null where it failed.
    pub values: ArrayRef,
    /// Rows that failed, ascending.
    pub failures: Vec<Failure>,
}

impl Expression {
    /// The values over a batch, with the rows that fail told apart. A row fails if and only if it fails in a batch of
    /// its own, so how rows are cut into batches changes nothing: an operator that skips its right side does so at
    /// least as often for one row as for many. Floats that are not finite are failures, unless a column passed on.
    ///
    /// # Errors
    /// [`ArrowError`] where the batch does not have the schema the expression was compiled for.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<Evaluated, ArrowError> {
        let mut parts = Vec::new();
        let mut failures = Vec::new();
        self.collect(batch, 0, batch.num_rows(), &mut parts, &mut failures)?;
        let values = match parts.as_slice() {
            [] => new_null_array(self.data_type(), 0),
            [whole] => ArrayRef::clone(whole),
            several => concat(&several.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
        };
        if self.passed_column().is_none() {
            self.refuse_not_finite(batch, &values, &mut failures);
        }
        Ok(Evaluated { values, failures })
    }

    /// Evaluates rows `start..start + length`; halves them where that fails, down to the rows at fault.
    fn collect(
        &self,
        batch: &RecordBatch,
        start: usize,
        length: usize,
        parts: &mut Vec<ArrayRef>,
        failures: &mut Vec<Failure>,
    ) -> Result<(), ArrowError> {
        if length == 0 {
            return Ok(());
        }
        let outcome = if length == batch.num_rows() {
            self.physical.evaluate(batch)
        } else {
            self.physical.evaluate(&batch.slice(start, length))
        };
        let outcome = outcome.and_then(|value| value.into_array(length));
        match outcome {
            Ok(values) => parts.push(values),
            Err(error) if length == 1 => {
                failures.push(Failure { row: start, detail: self.detail(batch, start, &message_of(&error)) });
                parts.push(new_null_array(self.data_type(), 1));
            }
            Err(_) => {
                let half = length / 2;
                self.collect(batch, start, half, parts, failures)?;
                self.collect(batch, start + half, length - half, parts, failures)?;
            }
        }
        Ok(())
    }

    fn refuse_not_finite(&self, batch: &RecordBatch, values: &ArrayRef, failures: &mut Vec<Failure>) {
        if values.data_type() != &DataType::Float64 {
            return;
        }
        let floats = values.as_primitive::<Float64Type>();
        // The quick look first: a finite number times zero is zero, and a sum of zeros too.
        if floats.values().iter().map(|value| value * 0.0).sum::<f64>() == 0.0 {
            return;
        }
        for (row, value) in floats.iter().enumerate() {
            if let Some(value) = value
                && !value.is_finite()
            {
                failures.push(Failure { row, detail: self.detail(batch, row, &format!("result is {value}")) });
            }
        }
        failures.sort_by_key(|failure| failure.row);
    }

    /// `speed_kmh / gap: Divide by zero error (speed_kmh = 50, gap = 0)`.
    fn detail(&self, batch: &RecordBatch, row: usize, message: &str) -> String {
        let options = FormatOptions::default().with_null("null");
        let mut values = Vec::with_capacity(self.columns.len());
        for &index in &self.columns {
            let (Some(field), Some(column)) = (batch.schema_ref().fields().get(index), batch.columns().get(index))
            else {
                continue;
            };
            let shown = ArrayFormatter::try_new(column.as_ref(), &options)
                .map_or_else(|_| "?".to_owned(), |formatter| formatter.value(row).to_string());
            values.push(format!("{} = {}", field.name(), shortened(&shown)));
        }
        let read = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
        format!("`{}`: {}{read}", shortened(&self.text), shortened(message))
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What DataFusion says, without the names of its layers.
pub(super) fn message_of(error: &DataFusionError) -> String {
    const LAYERS: [&str; 8] = [
        "Arrow error: ",
        "Error during planning: ",
        "Execution error: ",
        "Schema error: ",
        "Cast error: ",
        "Compute error: ",
        "Arithmetic overflow: ",
        "Invalid argument error: ",
    ];
    let message = error.find_root().strip_backtrace();
    // A call with wrong arguments is told as a bug of DataFusion first, and then as what it is.
    let told = message.find("No function matches").map_or(message.as_str(), |start| &message[start..]);
    let mut rest = told.lines().next().unwrap_or_default();
    while let Some(inner) = LAYERS.iter().find_map(|layer| rest.strip_prefix(layer)) {
        rest = inner;
    }
    rest.to_owned()
}
