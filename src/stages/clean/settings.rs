//! What becomes of values and rows, as in the pipeline file.

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
