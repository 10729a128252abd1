//! Columns that identify something -> text or whole numbers, whichever Arrow type they have.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;

use crate::vocab::KEY_BYTES_MAX;

/// A column that identifies something.
pub(super) enum KeyColumn {
    /// Text.
    Text(StringArray),
    /// Whole numbers, conditions and times.
    Int(Int64Array),
}

/// How values of a type are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// As text.
    Text,
    /// As whole numbers.
    Int,
}

/// How values of the type are compared as keys; `None` where they cannot be, as floats.
pub(super) fn key_kind(data_type: &DataType) -> Option<KeyKind> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(KeyKind::Text),
        DataType::Dictionary(_, value) if value.is_string() => Some(KeyKind::Text),
        DataType::Boolean | DataType::Timestamp(..) | DataType::Date32 => Some(KeyKind::Int),
        DataType::UInt64 => None,
        integer if integer.is_integer() => Some(KeyKind::Int),
        _ => None,
    }
}

/// Writes the key of a row to `bytes`; false where it has none, or one that no window takes.
pub(super) fn read_key(columns: &[KeyColumn], row: usize, bytes: &mut Vec<u8>) -> bool {
    bytes.clear();
    if columns.iter().any(|column| column.is_null(row)) {
        return false;
    }
    columns.iter().for_each(|column| column.append(row, bytes));
    bytes.len() <= KEY_BYTES_MAX + 8 * columns.len()
}

impl KeyColumn {
    /// The column in the form its kind is compared in; plain text and 64-bit numbers are not copied.
    ///
    /// # Errors
    /// [`ArrowError`] where the column has another type than the plan said.
    pub(super) fn read(column: &ArrayRef, kind: KeyKind) -> Result<Self, ArrowError> {
        match kind {
            KeyKind::Text => Ok(Self::Text(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())),
            KeyKind::Int => Ok(Self::Int(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())),
        }
    }

    /// Whether a row has no value.
    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(values) => values.is_null(row),
            Self::Int(values) => values.is_null(row),
        }
    }

    /// Appends a row's value so that no two lists of values give the same bytes.
    pub(super) fn append(&self, row: usize, bytes: &mut Vec<u8>) {
        match self {
            Self::Text(values) => {
                let text = values.value(row).as_bytes();
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text);
            }
            Self::Int(values) => bytes.extend_from_slice(&values.value(row).to_le_bytes()),
        }
    }
}
