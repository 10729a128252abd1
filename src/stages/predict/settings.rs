//! Choices of the pipeline file about models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Loss of a residual.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Squared error: the mean.
    #[default]
    Squared,
    /// Huber's: squared near zero, absolute beyond 1.345 robust standard deviations of the residual.
    Huber,
}
