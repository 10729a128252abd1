//! What the predict stage emits.

use serde::{Deserialize, Serialize};

use super::evaluate::{Baseline, ErrorSums};
use crate::vocab::EventTime;

/// Forecasts of one predictor made at one closed window.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecasts {
    /// End of the window the forecasts were made at.
    pub end: EventTime,
    /// Index of the predictor in the plan.
    pub predictor: usize,
    /// Who made them: 0 is the predictor's own model, challengers follow.
    pub made_by: usize,
    /// The model's: `model[horizon][key]`, NaN where there is none.
    pub model: Vec<Vec<f64>>,
    /// Persistence, likewise: the last value known.
    pub persistence: Vec<Vec<f64>>,
    /// The seasonal profile, likewise.
    pub profile: Vec<Vec<f64>>,
    /// Bounds of the model's, likewise; empty where there are none.
    pub lower: Vec<Vec<f64>>,
    /// Likewise.
    pub upper: Vec<Vec<f64>>,
    /// Labels learned so far by the model of each horizon, all keys together: the state version of an explanation.
    pub version: Vec<u64>,
}

/// Who makes predictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker<'a> {
    /// The predictor.
    pub predictor: &'a str,
    /// Its challenger that serves; `None` where its own model does.
    pub challenger: Option<&'a str>,
    /// The trained versions that it went on from: of each network in it that did.
    pub trained: Vec<&'a str>,
}

impl Maker<'_> {
    /// What a prediction was made by, for those who read it: `speed@288` after 288 labels, `speed/huber@288` where its challenger
    /// `huber` serves, `diagnosis@v3+288` where the model went on from trained version 3, `diagnosis@v3/v2+288` where it mixes two.
    #[must_use]
    pub fn version_text(&self, labels: u64) -> String {
        let challenger = self.challenger.map(|name| format!("/{name}")).unwrap_or_default();
        let trained = if self.trained.is_empty() { String::new() } else { self.trained.join("/") + "+" };
        format!("{}{challenger}@{trained}{labels}", self.predictor)
    }
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
    /// The errors. Of as many forecasts for the model and both baselines; an expert of a mixture may have made fewer.
    pub sums: ErrorSums,
}

impl ScoreRow {
    /// The model's skill against a baseline; `None` of the baseline itself.
    #[must_use]
    pub fn skill(&self, baseline: Baseline) -> Option<f64> {
        self.sums.skill(baseline).filter(|_| self.model != baseline.name())
    }
}
