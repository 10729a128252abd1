//! What the predict stage emits.

use serde::{Deserialize, Serialize};

use crate::vocab::EventTime;

/// Forecasts of one predictor made at one closed window.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecasts {
    /// End of the window the forecasts were made at.
    pub end: EventTime,
    /// Index of the predictor in the plan.
    pub predictor: usize,
    /// The model's: `model[horizon][key]`, NaN where there is none.
    pub model: Vec<Vec<f64>>,
    /// Persistence, likewise: the last value known.
    pub persistence: Vec<Vec<f64>>,
    /// The seasonal profile, likewise.
    pub profile: Vec<Vec<f64>>,
    /// Labels learned so far by the model of each horizon, all keys together: the state version of an explanation.
    pub version: Vec<u64>,
}

/// Errors of one model at one horizon over the forecasts of one day (UTC, by the time they were made) of one
/// partition. Sums, so that partitions add up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// Predictor's name.
    pub predictor: String,
    /// The model's name, `persistence`, `profile`, or the name of an expert.
    pub model: String,
    /// Horizon, microseconds.
    pub horizon_micros: i64,
    /// Days since 1970-01-01 UTC.
    pub day: i32,
    /// Forecasts scored. The same for every model: only those that all of them made count.
    pub count: u64,
    /// Sum of absolute errors, in the target's unit.
    pub absolute_error_sum: f64,
    /// Sum of squared errors.
    pub squared_error_sum: f64,
}
