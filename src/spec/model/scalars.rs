//! Durations with units, and JSON scalars, as they stand in a pipeline file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::vocab::{DURATION_UNITS, duration_text};

/// A length of time with its unit, as `250ms`, `90s`, `5m`, `12h`, `60d`. Kept in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Microseconds.
    pub micros: i64,
}

/// Most digits of a span: nine digits of days would not fit 64 bits of microseconds, eight do.
const SPAN_DIGITS_MAX: usize = 8;
/// The same for editors and the schema check.
const SPAN_PATTERN: &str = "^[0-9]{1,8}(ms|s|m|h|d)$";

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration; write a whole number and a unit: 250ms, 90s, 5m, 12h, 60d")]
pub struct SpanError {
    /// What was written.
    pub text: String,
}

impl Span {
    /// A span of this many seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Self {
        Self { micros: seconds * 1_000_000 }
    }

    /// A span of this many milliseconds.
    #[must_use]
    pub const fn millis(millis: i64) -> Self {
        Self { micros: millis * 1_000 }
    }

    /// Reads a whole number and a unit.
    ///
    /// # Errors
    /// [`SpanError`] where the text is anything else or the span does not fit.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        let error = || SpanError { text: text.to_owned() };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if digits > SPAN_DIGITS_MAX {
            return Err(error());
        }
        let number: i64 = number.parse().map_err(|_| error())?;
        let (_, micros) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        number.checked_mul(*micros).map(|micros| Self { micros }).ok_or_else(error)
    }

    /// As a standard duration; a negative span is zero.
    #[must_use]
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.micros).unwrap_or(0))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&duration_text(self.micros))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": SPAN_PATTERN,
            "description": "A whole number and a unit: 250ms, 90s, 5m, 12h, 60d.",
        })
    }
}

/// How far a time may lie ahead of its record's arrival: a span, or `unbounded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FutureSkew {
    /// At most this far.
    Within(Span),
    /// As far as it likes.
    Unbounded,
}

/// What [`FutureSkew::Unbounded`] is written as.
const UNBOUNDED: &str = "unbounded";

impl Serialize for FutureSkew {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Within(span) => span.serialize(serializer),
            Self::Unbounded => serializer.serialize_str(UNBOUNDED),
        }
    }
}

impl<'de> Deserialize<'de> for FutureSkew {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        if text == UNBOUNDED {
            return Ok(Self::Unbounded);
        }
        Span::parse(&text).map(Self::Within).map_err(de::Error::custom)
    }
}

impl JsonSchema for FutureSkew {
    fn schema_name() -> Cow<'static, str> {
        "FutureSkew".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([0-9]{1,8}(ms|s|m|h|d)|unbounded)$",
            "description": "A whole number and a unit, as 250ms, 90s, 5m; or unbounded.",
        })
    }
}

/// A null, boolean, number or text: a cell of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["null", "boolean", "number", "string"],
            "description": "Nothing, true or false, a number, or text.",
        })
    }
}

/// Names and texts of which some may be secret: `Debug` shows the names only.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Settings(pub BTreeMap<String, String>);

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}
