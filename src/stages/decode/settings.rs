//! How payloads and times are written, as in the pipeline file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Format of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object per record.
    #[default]
    Json,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampFormat {
    /// RFC 3339 text; without offset only where `timezone` is given.
    #[default]
    Rfc3339,
    /// A number of seconds since 1970 UTC.
    EpochS,
    /// A number of milliseconds since 1970 UTC.
    EpochMs,
    /// A number of microseconds since 1970 UTC.
    EpochUs,
}
