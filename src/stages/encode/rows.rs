//! Forecasts, scores, drift, promotions and control decisions -> JSON values of their topics (schemas/forecast.v1.avsc,
//! score.v1.avsc, drift.v1.avsc, promotion.v1.avsc).

use std::collections::BTreeMap;

use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;
use serde::Serialize;

use super::explanation::{ExplanationJson, explanation_json};
use super::{time_text, write_key};
use crate::stages::predict::{Baseline, ClassSums, DriftDetection, Explanation, Maker, Promotion, ScoreRow};
use crate::vocab::{EventTime, MICROS_PER_SECOND, to_json};

/// What the forecasts of one window, predictor and horizon have in common.
#[derive(Debug, Clone)]
pub struct ForecastHead<'a> {
    predictor: &'a str,
    horizon: i64,
    window_end: String,
    target_time: String,
    model_version: String,
}

impl<'a> ForecastHead<'a> {
    /// Of forecasts made at the end of a window, so many microseconds ahead, after so many labels.
    #[must_use]
    pub fn new(maker: &Maker<'a>, window_end: EventTime, horizon: i64, labels: u64) -> Self {
        Self {
            predictor: maker.predictor,
            horizon,
            window_end: time_text(window_end),
            target_time: time_text(window_end.plus(horizon)),
            model_version: maker.version_text(labels),
        }
    }
}

/// One forecast of one key. Numbers that are not finite become null.
#[derive(Debug, Clone)]
pub struct ForecastRow<'a> {
    /// Key columns and their values.
    pub key: BTreeMap<&'a str, &'a str>,
    /// The model's forecast.
    pub value: f64,
    /// Persistence.
    pub persistence: f64,
    /// The seasonal profile.
    pub profile: f64,
    /// Bounds of the forecast, where it has some.
    pub interval: Option<(f64, f64)>,
    /// Why it is what it is; `None` where nobody asked. Within it, `None` where the model cannot tell.
    pub explanation: Option<Option<Explanation>>,
}

#[derive(Serialize)]
struct ForecastJson<'a> {
    key: &'a BTreeMap<&'a str, &'a str>,
    predictor: &'a str,
    horizon_s: f64,
    window_end: &'a str,
    target_time: &'a str,
    value: Option<f64>,
    persistence: Option<f64>,
    profile: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    model_version: &'a str,
    explanation: Option<Vec<ExplanationJson<'a>>>,
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
    interval_coverage: Option<f64>,
    interval_score: Option<f64>,
    log_loss: Option<f64>,
    accuracy: Option<f64>,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    auc: Option<f64>,
    calibration_error: Option<f64>,
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

/// Appends one forecast as JSON, and its record's key to another buffer: the values of the key columns.
pub fn encode_forecast(head: &ForecastHead<'_>, row: &ForecastRow<'_>, value: &mut Vec<u8>, key: &mut String) {
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    let told = |why| explanation_json(head.predictor, head.horizon, why);
    let json = ForecastJson {
        key: &row.key,
        predictor: head.predictor,
        horizon_s: seconds(head.horizon),
        window_end: &head.window_end,
        target_time: &head.target_time,
        value: finite(row.value),
        persistence: finite(row.persistence),
        profile: finite(row.profile),
        lower: row.interval.and_then(|(lower, _)| finite(lower)),
        upper: row.interval.and_then(|(_, upper)| finite(upper)),
        model_version: &head.model_version,
        explanation: row.explanation.as_ref().map(|why| why.iter().filter_map(told).collect()),
    };
    // Writing to memory does not fail, and every number is finite.
    let _ = serde_json::to_writer(value, &json);
    write_key(&row.key, key);
}

/// Scores by day of one partition, as (key, value) records. The key names predictor, horizon, model and day: a day that
/// is told again, fuller, replaces what was told before.
#[must_use]
pub fn encode_scores(pipeline: &str, partition: i32, rows: &[ScoreRow]) -> Vec<(Vec<u8>, Vec<u8>)> {
    rows.iter()
        .filter(|row| row.sums.count > 0)
        .map(|row| {
            let classes = row.sums.classes.as_deref();
            let json = ScoreJson {
                pipeline,
                predictor: &row.predictor,
                model: &row.model,
                horizon_s: seconds(row.horizon_micros),
                day: day_text(row.day),
                partition,
                count: row.sums.count,
                mae: held(row.sums.absolute / row.sums.count as f64),
                rmse: held((row.sums.squared / row.sums.count as f64).sqrt()),
                skill_persistence: row.skill(Baseline::Persistence),
                skill_profile: row.skill(Baseline::Profile),
                interval_coverage: row.sums.intervals.coverage(),
                interval_score: row.sums.intervals.mean_score().map(held),
                log_loss: classes.and_then(ClassSums::mean_log_loss),
                accuracy: classes.and_then(ClassSums::accuracy),
                precision: classes.and_then(ClassSums::precision),
                recall: classes.and_then(ClassSums::recall),
                f1: classes.and_then(ClassSums::f1),
                auc: classes.and_then(ClassSums::auc),
                calibration_error: classes.and_then(ClassSums::calibration_error),
            };
            let key = format!("{}/{}/{}/{}/{partition}", row.predictor, json.horizon_s, row.model, json.day);
            (key.into_bytes(), to_json(&json))
        })
        .collect()
}

/// What is said of a detection beside what it holds itself.
#[derive(Debug, Clone)]
pub struct DriftContext<'a> {
    /// Whose forecasts they are.
    pub maker: Maker<'a>,
    /// Key columns and their values.
    pub key: BTreeMap<&'a str, &'a str>,
    /// Horizon, microseconds.
    pub horizon: i64,
    /// What found it.
    pub detector: &'static str,
    /// What was done.
    pub effect: &'static str,
}

#[derive(Serialize)]
struct DriftJson<'a> {
    key: &'a BTreeMap<&'a str, &'a str>,
    predictor: &'a str,
    horizon_s: f64,
    detected_at: String,
    detector: &'a str,
    effect: &'a str,
    mae_before: f64,
    mae_after: f64,
    labels_before: u64,
    labels_after: u64,
    model_version: String,
}

/// A detection as (key, value); the key holds the values of the key columns, as that of a forecast.
#[must_use]
pub fn encode_drift(drift: &DriftDetection, context: &DriftContext<'_>) -> (String, Vec<u8>) {
    let json = DriftJson {
        key: &context.key,
        predictor: context.maker.predictor,
        horizon_s: seconds(context.horizon),
        detected_at: time_text(drift.at),
        detector: context.detector,
        effect: context.effect,
        mae_before: held(drift.shift.before.mean),
        mae_after: held(drift.shift.after.mean),
        labels_before: drift.shift.before.labels,
        labels_after: drift.shift.after.labels,
        model_version: context.maker.version_text(drift.version),
    };
    let mut key = String::new();
    write_key(&context.key, &mut key);
    (key, to_json(&json))
}

/// What is said of a promotion beside what it holds itself.
#[derive(Debug, Clone)]
pub struct PromotionContext<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The partition whose forecasts another model makes.
    pub partition: i32,
    /// The predictor.
    pub predictor: &'a str,
    /// Its horizons, microseconds.
    pub horizons: Vec<i64>,
    /// What the models were compared by.
    pub by: &'static str,
}

#[derive(Serialize)]
struct PromotionJson<'a> {
    pipeline: &'a str,
    predictor: &'a str,
    partition: i32,
    promoted_at: String,
    before: &'a str,
    after: &'a str,
    reason: &'a str,
    by: &'a str,
    comparisons: Vec<ComparisonJson>,
}

#[derive(Serialize)]
struct ComparisonJson {
    horizon_s: f64,
    labels: u64,
    before: Option<f64>,
    after: Option<f64>,
}

/// A promotion as (key, value). The key names predictor, time and partition: what is told again replaces what was told.
#[must_use]
pub fn encode_promotion(promotion: &Promotion, context: &PromotionContext<'_>) -> (String, Vec<u8>) {
    // Nothing was compared where nobody has had a label yet.
    let measure = |value: f64| (!value.is_nan()).then(|| held(value));
    let comparisons = promotion.comparisons.iter().map(|one| ComparisonJson {
        horizon_s: seconds(context.horizons[one.horizon]),
        labels: one.labels,
        before: measure(one.before),
        after: measure(one.after),
    });
    let json = PromotionJson {
        pipeline: context.pipeline,
        predictor: context.predictor,
        partition: context.partition,
        promoted_at: time_text(promotion.at),
        before: &promotion.before,
        after: &promotion.after,
        reason: promotion.reason.name(),
        by: context.by,
        comparisons: comparisons.collect(),
    };
    (format!("{}/{}/{}", context.predictor, json.promoted_at, context.partition), to_json(&json))
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
