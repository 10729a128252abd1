//! Records of one sink -> a batch. What the engine makes is JSON of a topic's schema; what it passes on is bytes.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use arterial_connectors::folder::Columns;
use arterial_connectors::ledger::{Record, Records};

use crate::schema;
use crate::spec::model::Output;

/// Prefix of the headers that say why a row is a dead letter.
const WHY: &str = "arterial.dlq.";
/// Columns of a dead letter beside its bytes, and whether they are whole numbers.
const DEAD_LETTER: [(&str, bool); 5] =
    [("stage", false), ("reason", false), ("detail", false), ("partition", true), ("offset", true)];

/// How the records of a sink become batches.
pub(super) struct RowsOf {
    output: Output,
    schema: SchemaRef,
}

impl RowsOf {
    pub(super) fn new(output: Output) -> Self {
        let schema = match output {
            Output::Alerts => schema::output("alert.v1"),
            Output::Forecasts => schema::output("forecast.v1"),
            Output::Scores => schema::output("score.v1"),
            Output::Drift => schema::output("drift.v1"),
            Output::Promotions => schema::output("promotion.v1"),
            Output::Late => Schema::new(original()).into(),
            Output::DeadLetter => {
                let kind = |whole| if whole { DataType::Int64 } else { DataType::Utf8 };
                let why = DEAD_LETTER.iter().map(|(name, whole)| Field::new(*name, kind(*whole), true));
                Schema::new(original().into_iter().chain(why).collect::<Vec<_>>()).into()
            }
        };
        Self { output, schema }
    }

    fn json(&self, records: &[Record<'_>]) -> Result<RecordBatch, ArrowError> {
        let mut decoder =
            ReaderBuilder::new(Arc::clone(&self.schema)).with_batch_size(records.len() + 1).build_decoder()?;
        for record in records {
            decoder.decode(record.value.unwrap_or_default())?;
        }
        Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&self.schema))))
    }

    fn bytes(&self, records: &[Record<'_>]) -> Result<RecordBatch, ArrowError> {
        let (mut keys, mut values) = (BinaryBuilder::new(), BinaryBuilder::new());
        for record in records {
            keys.append_option(record.key);
            values.append_option(record.value);
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(keys.finish()), Arc::new(values.finish())];
        if self.output == Output::DeadLetter {
            for (name, whole) in DEAD_LETTER {
                let texts = records.iter().map(|record| why(record, name));
                columns.push(match whole {
                    true => Arc::new(texts.map(|text| text?.parse().ok()).collect::<Int64Array>()),
                    false => Arc::new(texts.collect::<StringArray>()),
                });
            }
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

impl Columns for RowsOf {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn batch(&self, records: &Records, sink: u16) -> Result<RecordBatch, ArrowError> {
        let mine: Vec<Record<'_>> = records.iter().filter(|record| record.sink == sink).collect();
        if mine.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        match self.output {
            Output::Late | Output::DeadLetter => self.bytes(&mine),
            _ => self.json(&mine),
        }
    }
}

/// The row as it came.
fn original() -> Vec<Field> {
    ["key", "value"].map(|name| Field::new(name, DataType::Binary, true)).to_vec()
}

/// A header that says why. The engine's own is the last of its name: the row may bring one along.
fn why<'a>(record: &Record<'a>, name: &str) -> Option<&'a str> {
    let found = record.headers.iter().rev().find(|(header, _)| header.strip_prefix(WHY) == Some(name));
    found.and_then(|(_, value)| std::str::from_utf8(value.as_deref()?).ok())
}
