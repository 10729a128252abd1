//! An alert change -> key, value and headers of a record of the alert topic (schemas/alert.v1.avsc).

use std::collections::BTreeMap;

use serde::Serialize;

use super::explanation::{ExplanationJson, explanation_json};
use super::settings::EncodeFormat;
use super::{time_text, write_key};
use crate::stages::alert::{AlertChange, AlertState, Severity};
use crate::stages::predict::{Explanation, Maker};
use crate::vocab::to_json;

/// Bytes of a hash that identify an episode or an event: 128 bits.
const ID_BYTES: usize = 16;

/// What a change itself does not say.
#[derive(Debug, Clone)]
pub struct AlertContext<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The rule's name.
    pub rule: &'a str,
    /// Key columns and their values.
    pub key: BTreeMap<&'a str, &'a str>,
    /// Every forecast that the measure reads; none where it reads what was measured.
    pub forecasts: Vec<ForecastRead<'a>>,
    /// How long an alert outlives its measure, microseconds.
    pub expire_after: i64,
    /// Share of the columns behind the measure that were measured in the key's window.
    pub inputs_quality: Option<f64>,
    /// Unit of value and threshold.
    pub unit: Option<&'a str>,
    /// Who set the threshold.
    pub threshold_source: Option<&'a str>,
    /// One line for people.
    pub summary: String,
}

/// A forecast that a measure reads.
#[derive(Debug, Clone)]
pub struct ForecastRead<'a> {
    /// Who makes it.
    pub maker: Maker<'a>,
    /// Its horizon, microseconds.
    pub horizon: i64,
    /// Why it is what it is; `None` where there is no forecast.
    pub explanation: Option<Explanation>,
}

/// A record's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Key.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
    /// Headers; none of them is null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

#[derive(Serialize)]
struct AlertJson<'a> {
    alert_key: &'a str,
    episode_id: &'a str,
    seq: u32,
    state: &'a str,
    severity: Option<Severity>,
    certainty: &'a str,
    pipeline: &'a str,
    rule: &'a str,
    key: &'a BTreeMap<&'a str, &'a str>,
    observed_at: String,
    valid_from: String,
    expires_at: Option<String>,
    value: Option<f64>,
    threshold: f64,
    unit: Option<&'a str>,
    threshold_source: Option<&'a str>,
    model_version: Option<String>,
    inputs_quality: Option<f64>,
    location: Option<String>,
    explanation: Vec<ExplanationJson<'a>>,
    summary: &'a str,
}

/// Encodes one change. Ids are hashes of what they name, so a replay gives the same ones.
#[must_use]
pub fn encode_alert(change: &AlertChange, context: &AlertContext<'_>, format: EncodeFormat) -> Encoded {
    let mut alert_key = format!("{}/", context.rule);
    write_key(&context.key, &mut alert_key);
    let opened_at = change.opened_at.0.to_string();
    let episode_id = hash_id(&[context.pipeline, context.rule, &alert_key, &opened_at]);
    // What several forecasts speak of begins with the nearest of them.
    let horizon = context.forecasts.iter().map(|read| read.horizon).min().unwrap_or(0);
    let explained = context.forecasts.iter();
    let explained =
        explained.filter_map(|read| explanation_json(read.maker.predictor, read.horizon, read.explanation.as_ref()?));
    let lasting = matches!(change.state, AlertState::Opened | AlertState::Updated);
    let json = AlertJson {
        alert_key: &alert_key,
        episode_id: &episode_id,
        seq: change.seq,
        state: change.state.name(),
        severity: change.severity,
        certainty: if context.forecasts.is_empty() { "observed" } else { "likely" },
        pipeline: context.pipeline,
        rule: context.rule,
        key: &context.key,
        observed_at: time_text(change.at),
        valid_from: time_text(change.at.plus(horizon)),
        expires_at: lasting.then(|| time_text(change.at.plus(horizon).plus(context.expire_after))),
        value: change.value,
        threshold: change.threshold,
        unit: context.unit,
        threshold_source: context.threshold_source,
        model_version: model_version(&context.forecasts),
        inputs_quality: context.inputs_quality,
        location: None,
        explanation: explained.collect(),
        summary: &context.summary,
    };
    // JSON holds every number here: those that may not be finite are optional, and null where they are not.
    let value = to_json(&json);
    let mut headers = vec![("content-type".to_owned(), Some(b"application/json".to_vec()))];
    if format == EncodeFormat::Cloudevents {
        headers.extend(cloud_event(change, context, &alert_key, &episode_id));
    }
    Encoded { key: alert_key.into_bytes(), value, headers }
}

/// `speed@288, speed@280`: one for each forecast; `None` where there is none.
fn model_version(forecasts: &[ForecastRead<'_>]) -> Option<String> {
    let made = forecasts.iter().filter_map(|read| Some(read.maker.version_text(read.explanation.as_ref()?.version)));
    let versions: Vec<String> = made.collect();
    (!versions.is_empty()).then(|| versions.join(", "))
}

/// CloudEvents 1.0, Kafka protocol binding, binary content mode: attributes as `ce_` headers.
fn cloud_event(
    change: &AlertChange,
    context: &AlertContext<'_>,
    alert_key: &str,
    episode_id: &str,
) -> Vec<(String, Option<Vec<u8>>)> {
    let seq = change.seq.to_string();
    let id = hash_id(&[context.pipeline, context.rule, alert_key, episode_id, &seq]);
    let attributes = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", id),
        ("ce_source", format!("/arterial/{}", context.pipeline)),
        ("ce_type", format!("arterial.alert.{}", change.state.name())),
        ("ce_time", time_text(change.at)),
        ("ce_subject", alert_key.to_owned()),
    ];
    attributes.into_iter().map(|(name, value)| (name.to_owned(), Some(value.into_bytes()))).collect()
}

/// A hash of several texts, each with its length, in hexadecimal.
fn hash_id(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..2 * ID_BYTES].to_owned()
}
