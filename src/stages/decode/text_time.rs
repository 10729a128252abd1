//! A declared format of times, in the words of strftime -> what reads such text: the local time and, where it says one, its
//! offset. In which zone the others are is not known here.

use std::fmt;
use std::fmt::Write as _;

use chrono::format::{Fixed, Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, Timelike};

/// Years of four digits: `%Y` takes `26` for the year 26, which nobody means.
const YEAR_MIN: i32 = 1000;
/// A time that no part of is 0 or like another: 2026-11-23T20:45:30.25Z, seconds and nanoseconds.
const PROBE: (i64, u32) = (1_795_466_730, 250_000_000);

/// How times are written as text: `%d.%m.%Y %H:%M`. Without a time of day the day begins, without minutes the hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTimeFormat {
    text: String,
    items: Vec<Item<'static>>,
    says_hour: bool,
    says_minute: bool,
    says_offset: bool,
}

/// Why a format cannot read times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextTimeFormatError {
    /// A `%` with a letter that means nothing.
    #[error("`{text}` is no format of times: it has a `%` that means nothing")]
    Malformed {
        /// The format.
        text: String,
    },
    /// Its times would not be told apart.
    #[error("`{text}` does not say {missing}")]
    Incomplete {
        /// The format.
        text: String,
        /// What is missing.
        missing: &'static str,
    },
    /// Numbers since 1970.
    #[error("`{text}` counts seconds since 1970, which have no zone")]
    Epoch {
        /// The format.
        text: String,
    },
    /// Names of zones do not say how far they are from UTC.
    #[error("`{text}` reads a zone's name, which says no offset: `CST` is five of them")]
    ZoneName {
        /// The format.
        text: String,
    },
}

impl TextTimeFormatError {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Malformed { .. } | Self::Incomplete { .. } => {
                "write strftime's words: `%d` day, `%m` month, `%Y` year, `%H` or `%I` with `%p` hour, `%M` minute, `%S` second, \
                 `%.f` its fraction, `%z` offset; as `%d.%m.%Y %H:%M`"
            }
            Self::Epoch { .. } => "write `timestamp: epoch_s` in its place",
            Self::ZoneName { .. } => "write `%z` where `+0100` stands; else leave the zone to `timezone:`",
        }
    }
}

impl TextTimeFormat {
    /// Reads the words of a format.
    ///
    /// # Errors
    /// [`TextTimeFormatError`] where it has words that are none, or leaves out which day it is.
    pub fn new(text: &str) -> Result<Self, TextTimeFormatError> {
        let owned = || text.to_owned();
        let malformed = || TextTimeFormatError::Malformed { text: owned() };
        let items = StrftimeItems::new(text).parse_to_owned().map_err(|_| malformed())?;
        if items.contains(&Item::Fixed(Fixed::TimezoneName)) {
            return Err(TextTimeFormatError::ZoneName { text: owned() });
        }
        let probe = probe(text).ok_or_else(malformed)?;
        let mut parsed = Parsed::new();
        parse(&mut parsed, &probe, items.iter()).map_err(|_| malformed())?;
        let incomplete = |missing| TextTimeFormatError::Incomplete { text: owned(), missing };
        if parsed.timestamp().is_some() {
            return Err(TextTimeFormatError::Epoch { text: owned() });
        }
        if parsed.to_naive_date().is_err() {
            return Err(incomplete("which day it is: it takes day, month and year"));
        }
        let (says_hour, says_minute) = (parsed.hour_mod_12().is_some(), parsed.minute().is_some());
        match (says_hour, says_minute, parsed.hour_div_12()) {
            (true, _, None) => return Err(incomplete("whether it is before or after noon: `%I` needs `%p`")),
            (false, true, _) => return Err(incomplete("the hour of its minutes")),
            _ => {}
        }
        Ok(Self { text: owned(), items, says_hour, says_minute, says_offset: parsed.offset().is_some() })
    }

    /// Whether its times say how far they are from UTC.
    #[must_use]
    pub fn says_offset(&self) -> bool {
        self.says_offset
    }

    /// The local time, and how far it is ahead of UTC, seconds, where the text says so; `None` for what is not written so.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<(NaiveDateTime, Option<i32>)> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        if !self.says_hour {
            parsed.set_hour(0).ok()?;
        }
        if !self.says_minute {
            parsed.set_minute(0).ok()?;
        }
        let local = parsed.to_naive_date().ok()?.and_time(parsed.to_naive_time().ok()?);
        // A leap second is told by its nanoseconds.
        let usual = local.year() >= YEAR_MIN && local.nanosecond() < 1_000_000_000;
        usual.then(|| (local, parsed.offset()))
    }
}

impl fmt::Display for TextTimeFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A time written so; `None` where some word cannot be written.
fn probe(text: &str) -> Option<String> {
    // The one word that can be read only.
    let writable = text.replace("%#z", "%:z");
    let time: DateTime<FixedOffset> = DateTime::from_timestamp(PROBE.0, PROBE.1)?.fixed_offset();
    let mut written = String::new();
    write!(written, "{}", time.format(&writable)).ok()?;
    Some(written)
}
