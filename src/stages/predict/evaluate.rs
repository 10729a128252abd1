//! Forecasts and the labels they were made for -> sums of errors per model, horizon and day. Sums only: partitions
//! add up, and a mean is taken by whoever prints one. Nothing learns here.

use serde::{Deserialize, Serialize};

use super::forecast::ScoreRow;
use crate::vocab::{EventTime, MICROS_PER_SECOND};

/// Microseconds of a UTC day.
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Models that are scored side by side: the model, persistence, the seasonal profile.
pub const SCORED: usize = 3;

/// Sums over errors (forecast minus label), in the target's unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorSums {
    /// Number of errors.
    pub count: u64,
    /// Sum of absolute errors.
    pub absolute: f64,
    /// Sum of squared errors.
    pub squared: f64,
}

impl ErrorSums {
    /// Takes one error in.
    pub fn add(&mut self, error: f64) {
        self.count += 1;
        self.absolute += error.abs();
        self.squared += error * error;
    }

    /// Takes the errors of another partition or day in.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.absolute += other.absolute;
        self.squared += other.squared;
    }
}

/// Sums of one predictor at one horizon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct HorizonScores {
    /// Day of the forecasts in `today`, since 1970 UTC; `None` before the first.
    day: Option<i64>,
    today: [ErrorSums; SCORED],
    total: [ErrorSums; SCORED],
}

/// Sums of one predictor in one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    horizons: Vec<HorizonScores>,
}

/// Forecasts of one origin at one horizon: `[key]`, NaN where there is none.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The model's.
    pub model: &'a [f64],
    /// Persistence's.
    pub persistence: &'a [f64],
    /// The seasonal profile's.
    pub profile: &'a [f64],
}

impl Scores {
    /// No errors yet.
    #[must_use]
    pub fn new(horizons: usize) -> Self {
        Self { horizons: vec![HorizonScores::default(); horizons] }
    }

    /// Number of horizons.
    #[must_use]
    pub fn horizons(&self) -> usize {
        self.horizons.len()
    }

    /// Whether nothing has come in yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.horizons.iter().all(|horizon| *horizon == HorizonScores::default())
    }

    /// Moves a horizon on to forecasts made at `origin`. Where a day ends by that, its sums are returned and a new
    /// day begins: forecasts come in the order they were made, so none of that day is missing.
    pub fn advance(&mut self, horizon: usize, origin: EventTime) -> Option<(i32, [ErrorSums; SCORED])> {
        let scores = &mut self.horizons[horizon];
        let day = origin.0.div_euclid(MICROS_PER_DAY);
        if scores.day == Some(day) {
            return None;
        }
        let ended = scores.day.replace(day);
        let sums = std::mem::take(&mut scores.today);
        // Days of event times in microseconds fit: |i64 / 86.4e9| < 2^31.
        ended.filter(|_| sums[0].count > 0).map(|ended| (ended as i32, sums))
    }

    /// Scores the keys for which there is a label (`labels[key]`, else NaN) and every model made a forecast.
    pub fn score(&mut self, horizon: usize, forecasts: Scored<'_>, labels: &[f64]) {
        let HorizonScores { today, total, .. } = &mut self.horizons[horizon];
        let others = forecasts.persistence.iter().zip(forecasts.profile);
        for ((model, (persistence, profile)), label) in forecasts.model.iter().zip(others).zip(labels) {
            let errors = [model - label, persistence - label, profile - label];
            if !errors.iter().all(|error| error.is_finite()) {
                continue;
            }
            for (index, error) in errors.into_iter().enumerate() {
                today[index].add(error);
                total[index].add(error);
            }
        }
    }

    /// Day of the forecasts scored last, and sums since the start: model, persistence, profile.
    #[must_use]
    pub fn total(&self, horizon: usize) -> (i32, &[ErrorSums; SCORED]) {
        let scores = &self.horizons[horizon];
        (scores.day.unwrap_or(0) as i32, &scores.total)
    }
}

/// Errors of one model at one horizon over all partitions and days: what a summary prints.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreTotal {
    /// Predictor's name.
    pub predictor: String,
    /// `online_linear`, `persistence` or `profile`.
    pub model: String,
    /// Horizon, microseconds.
    pub horizon_micros: i64,
    /// Forecasts scored.
    pub count: u64,
    /// Mean absolute error, in the target's unit.
    pub mae: f64,
    /// Root mean squared error, in the target's unit.
    pub rmse: f64,
}

/// Adds rows up per predictor, horizon and model, in the order of their first appearance. Give the rows of partitions
/// in ascending order: floating-point sums depend on it. What was never scored is left out.
pub fn total_scores(rows: impl IntoIterator<Item = ScoreRow>) -> Vec<ScoreTotal> {
    let mut sums: Vec<(ScoreRow, ErrorSums)> = Vec::new();
    for row in rows.into_iter().filter(|row| row.count > 0) {
        let add = ErrorSums { count: row.count, absolute: row.absolute_error_sum, squared: row.squared_error_sum };
        let same = sums.iter_mut().find(|(known, _)| {
            known.predictor == row.predictor && known.model == row.model && known.horizon_micros == row.horizon_micros
        });
        match same {
            Some((_, sum)) => sum.merge(&add),
            None => sums.push((row, add)),
        }
    }
    let total = |(row, sum): (ScoreRow, ErrorSums)| ScoreTotal {
        predictor: row.predictor,
        model: row.model,
        horizon_micros: row.horizon_micros,
        count: sum.count,
        mae: sum.absolute / sum.count as f64,
        rmse: (sum.squared / sum.count as f64).sqrt(),
    };
    sums.into_iter().map(total).collect()
}

/// A day's sums of one model as a row.
#[must_use]
pub fn score_row(predictor: &str, model: &str, horizon_micros: i64, day: i32, sums: &ErrorSums) -> ScoreRow {
    ScoreRow {
        predictor: predictor.to_owned(),
        model: model.to_owned(),
        horizon_micros,
        day,
        count: sums.count,
        absolute_error_sum: sums.absolute,
        squared_error_sum: sums.squared,
    }
}
