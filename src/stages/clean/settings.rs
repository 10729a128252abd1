//! What becomes of values and rows, as in the pipeline file.

use arrow::datatypes::DataType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a value outside its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// The row is filtered.
    Drop,
    /// The value becomes null.
    #[default]
    Null,
    /// The value becomes the nearest limit.
    Clamp,
    /// The row is a dead letter.
    DeadLetter,
}

/// A type that `cast` gives a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CastType {
    /// A 64-bit number.
    Float,
    /// A 64-bit whole number.
    Int,
    /// True or false.
    Bool,
    /// Text.
    Text,
}

impl CastType {
    /// Its name in SQL, and the type that columns have.
    pub(super) const fn types(self) -> (&'static str, DataType) {
        match self {
            Self::Float => ("DOUBLE", DataType::Float64),
            Self::Int => ("BIGINT", DataType::Int64),
            Self::Bool => ("BOOLEAN", DataType::Boolean),
            Self::Text => ("VARCHAR", DataType::Utf8),
        }
    }
}

/// What becomes of a row without a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The added columns are null.
    Null,
    /// The row is filtered.
    Drop,
    /// The row is a dead letter.
    #[default]
    DeadLetter,
}
