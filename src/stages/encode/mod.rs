//! Alert changes, forecasts, scores, drift, promotions, late rows and dead letters -> keys, values and headers of output records.

mod alert;
mod dead_letter;
mod explanation;
mod rows;
mod settings;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};

use crate::vocab::{EventTime, RFC3339_MICROS};

pub use alert::{AlertContext, Encoded, ForecastRead, encode_alert};
pub use dead_letter::{DeadLetter, DeadLetterOrigin, dead_letter_headers};
pub use rows::{
    DriftContext, ForecastHead, ForecastRow, PromotionContext, day_text, encode_drift, encode_forecast,
    encode_promotion, encode_scores, json_lines,
};
pub use settings::EncodeFormat;

/// Appends the values of the key columns as one text: a slash in a value must not look like the one between two values.
fn write_key(key: &BTreeMap<&str, &str>, into: &mut String) {
    for (index, value) in key.values().enumerate() {
        if index > 0 {
            into.push('/');
        }
        for part in value.split_inclusive(['%', '/']) {
            let (plain, escape) = match part.as_bytes().last() {
                Some(b'%') => (&part[..part.len() - 1], "%25"),
                Some(b'/') => (&part[..part.len() - 1], "%2F"),
                _ => (part, ""),
            };
            into.push_str(plain);
            into.push_str(escape);
        }
    }
}

/// RFC 3339 in UTC, with as many decimals as needed; times beyond its years (a horizon after a clock that says 9999) are
/// its last or first.
pub fn time_text(time: EventTime) -> String {
    DateTime::from_timestamp_micros(time.0.clamp(*RFC3339_MICROS.start(), *RFC3339_MICROS.end()))
        .map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        .unwrap_or_default()
}
