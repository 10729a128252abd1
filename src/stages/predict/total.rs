//! Score rows of days and partitions -> one line per predictor, horizon and model.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ScoreRow;

/// Errors of one model at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreTotal {
    /// Predictor's name.
    pub predictor: String,
    /// Horizon, microseconds.
    pub horizon_micros: i64,
    /// `online_linear`, `persistence` or `profile`.
    pub model: String,
    /// Forecasts scored.
    pub count: u64,
    /// Mean absolute error, in the target's unit.
    pub mae: f64,
    /// Root mean squared error, in the target's unit.
    pub rmse: f64,
}

/// Adds up score rows of days and partitions.
#[must_use]
pub fn total_scores(rows: impl Iterator<Item = ScoreRow>) -> Vec<ScoreTotal> {
    let mut sums: BTreeMap<(String, i64, String), (u64, f64, f64)> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry((row.predictor, row.horizon_micros, row.model)).or_default();
        sum.0 += row.count;
        sum.1 += row.absolute_error_sum;
        sum.2 += row.squared_error_sum;
    }
    sums.into_iter()
        .filter(|(_, (count, ..))| *count > 0)
        .map(|((predictor, horizon_micros, model), (count, absolute, squared))| ScoreTotal {
            predictor,
            horizon_micros,
            model,
            count,
            mae: absolute / count as f64,
            rmse: (squared / count as f64).sqrt(),
        })
        .collect()
}
