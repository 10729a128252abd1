//! Alert changes, forecasts, scores, late rows and dead letters -> keys, values and headers of output records.

mod alert;
mod dead_letter;
mod rows;
mod settings;

use chrono::{DateTime, SecondsFormat};

use crate::vocab::EventTime;

pub use alert::{AlertContext, Encoded, encode_alert};
pub use dead_letter::{DeadLetterOrigin, dead_letter_headers};
pub use rows::{ForecastRow, encode_forecast, encode_scores};
pub use settings::EncodeFormat;

/// RFC 3339 in UTC, with as many decimals as needed; empty for times beyond the calendar's years.
fn time_text(time: EventTime) -> String {
    DateTime::from_timestamp_micros(time.0)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        .unwrap_or_default()
}
