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

/// How `normalise` scales values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NormaliseMethod {
    /// Less the mean, by the standard deviation.
    ZScore,
    /// So that the least value is 0 and the greatest 1.
    MinMax,
    /// Less the median, by the distance between the quartiles: outliers hardly move either.
    Robust,
}

impl NormaliseMethod {
    /// Its name in the file, and the parameters that it takes.
    pub(super) const fn takes(self) -> (&'static str, &'static str) {
        match self {
            Self::ZScore => ("z_score", "`mean` and `deviation`"),
            Self::MinMax => ("min_max", "`minimum` and `maximum`"),
            Self::Robust => ("robust", "`median` and `iqr`"),
        }
    }
}

/// What a column is scaled by, in its unit: two of these, as the method has it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// With `z_score`: the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// With `z_score`: the standard deviation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
    /// With `min_max`: what becomes 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// With `min_max`: what becomes 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// With `robust`: the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// With `robust`: the upper quartile less the lower one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iqr: Option<f64>,
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
