//! What the pipeline file says of features.

use std::sync::Arc;

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::graph::{Direction, Graph};
use crate::stages::clean::Table;

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

/// What is looked at in a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Its last value.
    #[default]
    Value,
    /// How far its last value is from its own profile.
    Deviation,
}

/// One group of feature columns, as the pipeline file has it. Times in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureSettings {
    /// The last values of a window column.
    Lags {
        /// Window column.
        column: String,
        /// How many.
        count: u32,
        /// What stands for a null.
        fill: Fill,
        /// Whether the age of the last value is a column too.
        age: bool,
        /// Which lags are columns, all where `None`.
        keep: Option<Vec<u32>>,
    },
    /// Differences of neighbouring lags.
    Differences {
        /// Window column.
        column: String,
        /// How many.
        count: u32,
    },
    /// Harmonics of the time of day.
    TimeOfDay {
        /// Whose time.
        at: At,
        /// Pairs of sine and cosine.
        harmonics: u32,
        /// Whose clock.
        zone: Tz,
    },
    /// Sine and cosine of the day of the week, and a weekend flag.
    DayOfWeek {
        /// Whose day.
        at: At,
        /// Whose calendar.
        zone: Tz,
    },
    /// The causal seasonal profile.
    Profile {
        /// Window column.
        column: String,
        /// Season.
        period: Period,
        /// Width of a slot; the window's size unless given.
        slot: Option<i64>,
        /// Whose slot.
        at: At,
        /// Fewest values for a slot to be believed.
        min_values: u32,
        /// Neighbouring slots that a value enters.
        smooth: u32,
        /// Largest weight of what a slot has seen.
        memory: Option<u32>,
        /// Whose clock and calendar.
        zone: Tz,
    },
    /// How far the last value is from its profile, by time of day.
    Deviation {
        /// Window column; its lags and its profile stand before.
        column: String,
        /// Pairs of sine and cosine.
        harmonics: u32,
        /// Whether a column tells how long the reading has held.
        repeats: bool,
    },
    /// Window columns as they are.
    Values {
        /// Window columns.
        columns: Vec<String>,
    },
    /// 1 where the column is null.
    Missing {
        /// Window column.
        column: String,
    },
    /// One window column by another.
    Ratio {
        /// Window column.
        of: String,
        /// Window column.
        to: String,
    },
    /// Whether a day, and its neighbours, stand in a table.
    Calendar {
        /// Keyed by dates.
        table: Arc<Table>,
        /// Whose day.
        at: At,
        /// Whose calendar.
        zone: Tz,
    },
    /// The latest values of a table that are not newer than the window's end.
    Lookup {
        /// Keyed by times.
        table: Arc<Table>,
        /// Its columns.
        columns: Vec<String>,
        /// Oldest value that counts.
        max_age: i64,
        /// Whether the age of the values is a column too.
        age: bool,
        /// Of times that name none.
        zone: Option<Tz>,
    },
    /// The last values of other keys.
    Neighbours {
        /// Window column; its lags stand before.
        column: String,
        /// Who they are.
        graph: Arc<Graph>,
        /// Along which links.
        direction: Direction,
        /// Most neighbours of a key: those that are nearest.
        count: u32,
        /// What is looked at.
        of: Of,
        /// Whether the mean of all is the one column, instead of a column for each.
        mean: bool,
        /// Oldest value that counts.
        max_age: Option<i64>,
    },
}

impl FeatureSettings {
    /// The group's key in the pipeline file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lags { .. } => "lags",
            Self::Differences { .. } => "differences",
            Self::TimeOfDay { .. } => "time_of_day",
            Self::DayOfWeek { .. } => "day_of_week",
            Self::Profile { .. } => "profile",
            Self::Deviation { .. } => "deviation",
            Self::Values { .. } => "values",
            Self::Missing { .. } => "missing",
            Self::Ratio { .. } => "ratio",
            Self::Calendar { .. } => "calendar",
            Self::Lookup { .. } => "lookup",
            Self::Neighbours { .. } => "neighbours",
        }
    }
}
