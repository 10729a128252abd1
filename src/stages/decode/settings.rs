//! How payloads and times are written, as in the pipeline file.

use arterial_connectors::csv::CsvDialect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Format of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object per record.
    #[default]
    Json,
    /// One record of delimited text (RFC 4180) per record: `columns` names its cells, in a file the header does.
    Csv,
}

/// How records of delimited text are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsvSettings {
    /// Names of a record's cells, where the source does not know them.
    pub columns: Option<Vec<String>>,
    /// How cells are told apart.
    pub dialect: CsvDialect,
    /// Whether decimals stand behind a comma.
    pub decimal_comma: bool,
    /// What stands between every three digits before the decimals, where something may.
    pub thousands: Option<char>,
    /// Cells that mean null, beside empty ones.
    pub nulls: Vec<String>,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampFormat {
    /// RFC 3339 text, also without seconds; without offset only where `timezone` is given.
    #[default]
    Rfc3339,
    /// A number of seconds since 1970 UTC.
    EpochS,
    /// A number of milliseconds since 1970 UTC.
    EpochMs,
    /// A number of microseconds since 1970 UTC.
    EpochUs,
}
