//! Choices of the pipeline file about windows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which end of its interval a reading carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stamps {
    /// The start, or an instant: 11:30 belongs to the window 11:30..11:35.
    #[default]
    Start,
    /// The end: 11:30 belongs to the window 11:25..11:30.
    End,
}

/// What the end of a bounded run does to open windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AtEnd {
    /// Closes them; rows for them that come in a later run are late.
    #[default]
    Flush,
    /// Leaves them open in the state, for the next run.
    Keep,
}
