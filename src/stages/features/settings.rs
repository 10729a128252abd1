//! Choices of the pipeline file about features.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stands for a null value in a lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// Nothing: the lag is null, and models with it make no forecast.
    #[default]
    None,
    /// The last value, however old.
    Last,
}

/// The time that a feature speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// The closed window's end.
    Now,
    /// The forecast's own time: one column per horizon.
    #[default]
    Target,
}

/// Season of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Time of day.
    Day,
    /// Time of week.
    #[default]
    Week,
    /// Time of day, Monday to Friday and the weekend apart.
    Workweek,
}
