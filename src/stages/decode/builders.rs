//! Values of whole rows -> Arrow columns. A row is appended only after all of it was accepted.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringArray, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use super::plan::Kind;
use super::scanner::Slot;

/// A growing column.
pub(super) enum ColumnBuilder {
    /// Bytes of UTF-8: all of them are checked once more when the column is finished, which is cheaper than each.
    Text(BinaryBuilder),
    Float(Float64Builder),
    Int(Int64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    pub(super) fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Text => Self::Text(BinaryBuilder::with_capacity(rows, rows * 8)),
            Kind::Float => Self::Float(Float64Builder::with_capacity(rows)),
            Kind::Int => Self::Int(Int64Builder::with_capacity(rows)),
            Kind::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            Kind::Time => Self::Time(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")),
        }
    }

    /// Appends a value of this column's kind; anything else counts as null. Times come as microseconds.
    pub(super) fn push(&mut self, slot: &Slot, payload: &[u8], scratch: &[u8]) {
        match (self, slot) {
            (Self::Text(column), Slot::Text(from, to)) => column.append_value(&payload[*from..*to]),
            (Self::Text(column), Slot::Unescaped(from, to)) => column.append_value(&scratch[*from..*to]),
            (Self::Text(column), _) => column.append_null(),
            (Self::Float(column), Slot::Float(value)) => column.append_value(*value),
            (Self::Float(column), _) => column.append_null(),
            (Self::Int(column), Slot::Int(value)) => column.append_value(*value),
            (Self::Int(column), _) => column.append_null(),
            (Self::Bool(column), Slot::Bool(value)) => column.append_value(*value),
            (Self::Bool(column), _) => column.append_null(),
            (Self::Time(column), Slot::Int(micros)) => column.append_value(*micros),
            (Self::Time(column), _) => column.append_null(),
        }
    }

    /// The column.
    ///
    /// # Errors
    /// Text that is not UTF-8, which nobody has pushed.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(column) => Arc::new(StringArray::try_from_binary(column.finish())?),
            Self::Float(column) => Arc::new(column.finish()),
            Self::Int(column) => Arc::new(column.finish()),
            Self::Bool(column) => Arc::new(column.finish()),
            Self::Time(column) => Arc::new(column.finish()),
        })
    }
}
