//! `alerts:` rules.

pub use crate::stages::alert::Severity;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Span;

/// A rule with hysteresis on one measure per key and window.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertSpec {
    /// SQL expression over window columns, carried columns and forecasts: `speed.15m / free_flow_kmh`.
    pub measure: String,
    /// When it is true for `for`, the alert opens: `< 0.45`, `<=`, `>`, `>=`.
    pub when: String,
    /// When it is true, the alert clears (not before `hold`): `> 0.60`. The negation of `when` unless given.
    pub clear: Option<String>,
    /// How long `when` must hold before the alert opens, in event time.
    #[serde(default, rename = "for")]
    pub for_: Span,
    /// Least time that an alert stays open, in event time.
    #[serde(default)]
    pub hold: Span,
    /// An open alert whose measure is null for this long expires, in event time.
    #[serde(default = "default_expire_after")]
    pub expire_after: Span,
    /// Columns that identify an alert: the window's key unless given, and only that so far.
    pub key: Option<Vec<String>>,
    /// Severity -> condition; the worst that is true counts: `minor`, `moderate`, `severe`, `extreme`.
    #[serde(default)]
    #[schemars(schema_with = "severity_schema")]
    pub severity: BTreeMap<Severity, String>,
    /// One line for people; `{column}` is replaced: key columns, window columns, `{measure}`.
    pub summary: String,
}

fn default_expire_after() -> Span {
    Span::seconds(1800)
}

/// A map's keys get no completion from an enum with descriptions, so they are listed.
fn severity_schema(_: &mut SchemaGenerator) -> Schema {
    let condition = |description: &str| json_schema!({ "type": "string", "description": description });
    json_schema!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "minor": condition("Condition of minimal threat."),
            "moderate": condition("Condition of possible threat."),
            "severe": condition("Condition of significant threat."),
            "extreme": condition("Condition of extraordinary threat."),
        },
    })
}
