//! `alerts:` rules.

pub use crate::stages::alert::Severity;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{CustomSpec, Span};

/// A rule with hysteresis on one number per key and window: a `measure`, how fast it changes (`rate_per`), its mean over a
/// longer time (`mean_over`), the time without readings (`silent_after`), or what a rule of the embedding program measures
/// (`custom`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertSpec {
    /// SQL expression over window columns, carried columns and forecasts: `speed.15m / free_flow_kmh`.
    pub measure: Option<String>,
    /// Watches how fast `measure` changes, not what it is: its change since the last window in which it had a value, told
    /// for this time. `1h`: per hour.
    pub rate_per: Option<Span>,
    /// Watches the mean of `measure` over this time up to each window's end, a multiple of the window's size: `24h`. It is
    /// null unless three quarters of its windows have a value.
    pub mean_over: Option<Span>,
    /// Instead of `measure` and `when`: opens when a key had no readings for this long, and clears when they come back. The
    /// measure is then the minutes since the end of the last window with readings.
    pub silent_after: Option<Span>,
    /// Instead of `measure`: a rule that the program registered. The limits are compared with what it measures.
    pub custom: Option<CustomSpec>,
    /// When it is true for `for`, the alert opens: `< 0.45`, `<=`, `>`, `>=`.
    pub when: Option<String>,
    /// When it is true, the alert clears (not before `hold`): `> 0.60`. The negation of `when` unless given.
    pub clear: Option<String>,
    /// How long `when` must hold before the alert opens, in event time.
    #[serde(default, rename = "for")]
    pub for_: Span,
    /// Least time that an alert stays open, in event time.
    #[serde(default)]
    pub hold: Span,
    /// An open alert whose measure is null for this long expires, in event time: 30m, or three windows where that is longer,
    /// unless given. With `silent_after` it lasts until its key is forgotten. A record vouches for its alert that long, and
    /// after half of it one that stays open is told again.
    pub expire_after: Option<Span>,
    /// Columns that identify an alert: the window's key unless given, and only that so far.
    pub key: Option<Vec<String>>,
    /// Severity -> condition; the worst that is true counts: `minor`, `moderate`, `severe`, `extreme`.
    #[serde(default)]
    #[schemars(schema_with = "severity_schema")]
    pub severity: BTreeMap<Severity, String>,
    /// Severity -> what ends it while the alert stays open: `> 25` for one of `< 20`. A severity rises at once, and falls when
    /// this is true, by as many levels as it is true of; the least one lasts as long as the alert. Severities that are not
    /// named end where their condition does. Without any, a severity changes whenever another is the worst that is true.
    #[serde(default)]
    #[schemars(schema_with = "severity_schema")]
    pub severity_clear: BTreeMap<Severity, String>,
    /// Unit of the measure and its limits, for people: `ug/m3`.
    pub unit: Option<String>,
    /// Who set the limits: `WHO 2021 global air quality guidelines, 24 h mean`. Goes out with every alert.
    pub source: Option<String>,
    /// One line for people; `{column}` is replaced: key columns, window columns, `{measure}`.
    pub summary: String,
    /// The line of an alert that has cleared; `Cleared: ` and `summary`, with the values of then, unless given.
    pub summary_cleared: Option<String>,
}

/// How long an alert outlives its measure unless the rule says otherwise: half an hour bridges the gaps of most feeds.
const EXPIRE_AFTER: Span = Span::seconds(1800);
/// And so many windows at least: one that is missing ends no alert.
const EXPIRE_AFTER_WINDOWS: i64 = 3;

impl AlertSpec {
    /// How long an open alert lasts without a measure. `keys`: after what time without readings a key is forgotten; `every`:
    /// time between windows.
    #[must_use]
    pub fn expire_after(&self, keys: Span, every: Span) -> Span {
        let windows = Span { micros: every.micros.saturating_mul(EXPIRE_AFTER_WINDOWS) };
        let usual = if self.silent_after.is_some() { keys } else { EXPIRE_AFTER.max(windows) };
        self.expire_after.unwrap_or(usual)
    }
}

/// A map's keys get no completion from an enum with descriptions, so they are listed.
fn severity_schema(_: &mut SchemaGenerator) -> Schema {
    let condition = |description: &str| json_schema!({ "type": "string", "description": description });
    json_schema!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "minor": condition("Comparison for minimal threat."),
            "moderate": condition("Comparison for possible threat."),
            "severe": condition("Comparison for significant threat."),
            "extreme": condition("Comparison for extraordinary threat."),
        },
    })
}
