//! Forecasts, scores and control decisions -> JSON values of their topics (schemas/forecast.v1.avsc, score.v1.avsc).

use std::collections::BTreeMap;

use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;
use serde::Serialize;

use super::{key_text, time_text};
use crate::stages::predict::ScoreRow;
use crate::vocab::{EventTime, MICROS_PER_SECOND, to_json};

/// One forecast of one key. Numbers that are not finite become null.
#[derive(Debug, Clone)]
pub struct ForecastRow<'a> {
    /// Key columns and their values.
    pub key: BTreeMap<&'a str, &'a str>,
    /// The predictor.
    pub predictor: &'a str,
    /// How far ahead, microseconds.
    pub horizon: i64,
    /// End of the last window it knew.
    pub window_end: EventTime,
    /// The model's forecast.
    pub value: f64,
    /// Persistence.
    pub persistence: f64,
    /// The seasonal profile.
    pub profile: f64,
    /// Labels the model had learned.
    pub version: u64,
}

#[derive(Serialize)]
struct ForecastJson<'a> {
    key: &'a BTreeMap<&'a str, &'a str>,
    predictor: &'a str,
    horizon_s: f64,
    window_end: String,
    target_time: String,
    value: Option<f64>,
    persistence: Option<f64>,
    profile: Option<f64>,
    model_version: String,
}

#[derive(Serialize)]
struct ScoreJson<'a> {
    pipeline: &'a str,
    predictor: &'a str,
    model: &'a str,
    horizon_s: f64,
    day: String,
    partition: i32,
    count: u64,
    mae: f64,
    rmse: f64,
    skill_persistence: Option<f64>,
    skill_profile: Option<f64>,
}

/// Typed rows as the messages that they stand for: a JSON object with all columns a line, each ended by a line feed.
///
/// # Errors
/// As Arrow says: a type that JSON cannot hold.
pub fn json_lines(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut lines = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut lines);
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    Ok(lines)
}

/// Appends one forecast as JSON, and returns its record's key: the values of the key columns.
pub fn encode_forecast(row: &ForecastRow<'_>, into: &mut Vec<u8>) -> String {
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    let json = ForecastJson {
        key: &row.key,
        predictor: row.predictor,
        horizon_s: seconds(row.horizon),
        window_end: time_text(row.window_end),
        target_time: time_text(row.window_end.plus(row.horizon)),
        value: finite(row.value),
        persistence: finite(row.persistence),
        profile: finite(row.profile),
        model_version: format!("{}@{}", row.predictor, row.version),
    };
    // Writing to memory does not fail, and every number is finite.
    let _ = serde_json::to_writer(into, &json);
    key_text(&row.key)
}

/// Scores by day of one partition, as (key, value) records. The key names predictor, horizon, model and day: a day that
/// is told again, fuller, replaces what was told before.
#[must_use]
pub fn encode_scores(pipeline: &str, partition: i32, rows: &[ScoreRow]) -> Vec<(Vec<u8>, Vec<u8>)> {
    rows.iter()
        .filter(|row| row.count > 0)
        .map(|row| {
            let json = ScoreJson {
                pipeline,
                predictor: &row.predictor,
                model: &row.model,
                horizon_s: seconds(row.horizon_micros),
                day: day_text(row.day),
                partition,
                count: row.count,
                mae: held(row.absolute_error_sum / row.count as f64),
                rmse: held((row.squared_error_sum / row.count as f64).sqrt()),
                skill_persistence: skill(rows, row, "persistence"),
                skill_profile: skill(rows, row, "profile"),
            };
            let key = format!("{}/{}/{}/{}/{partition}", row.predictor, json.horizon_s, row.model, json.day);
            (key.into_bytes(), to_json(&json))
        })
        .collect()
}

/// `1 - MAE / MAE of the baseline` over the same forecasts.
fn skill(rows: &[ScoreRow], row: &ScoreRow, baseline: &str) -> Option<f64> {
    let same = |other: &&ScoreRow| {
        other.model == baseline
            && other.predictor == row.predictor
            && other.horizon_micros == row.horizon_micros
            && other.day == row.day
    };
    let reference = rows.iter().find(same)?;
    (reference.absolute_error_sum > 0.0).then(|| 1.0 - row.absolute_error_sum / reference.absolute_error_sum)
}

/// The sums of a model that ran away may overflow: its error is then as large as a number can say.
fn held(error: f64) -> f64 {
    error.min(f64::MAX)
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / MICROS_PER_SECOND as f64
}

/// A day since 1970-01-01 UTC as `2026-11-23`.
#[must_use]
pub fn day_text(day: i32) -> String {
    chrono::NaiveDate::default()
        .checked_add_signed(chrono::Duration::days(i64::from(day)))
        .map_or_else(|| day.to_string(), |date| date.to_string())
}
