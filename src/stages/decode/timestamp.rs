//! Times as sensors write them -> microseconds since 1970 UTC.
//!
//! Text is RFC 3339: `2026-11-23T08:00:00.25+01:00`, with `T`, `t` or a space. Leap seconds (`:60`) are refused: no
//! two of them are alike in practice. Text without an offset is read in the declared zone: where clocks were set back
//! and an hour came twice, the earlier one counts; an hour that clocks jumped over does not exist and is refused.
//! Text of a declared format ([`TextTimeFormat`]) is told the same way.

use chrono::{LocalResult, NaiveDate, TimeZone};
use chrono_tz::Tz;

use super::settings::TimestampFormat;
use super::text_time::TextTimeFormat;
use crate::vocab::{MICROS_PER_SECOND, RFC3339_MICROS};

const DAY_SECONDS: i64 = 86_400;

/// Whether outputs can write this time.
pub(super) fn in_calendar(micros: &i64) -> bool {
    RFC3339_MICROS.contains(micros)
}

/// Reads times; remembers the last day, since neighbouring readings nearly always share it.
#[derive(Debug, Clone)]
pub(in crate::stages) struct TimeReader {
    zone: Option<Tz>,
    /// How text is written, where it is not RFC 3339.
    format: Option<TextTimeFormat>,
    day_digits: u32,
    day_seconds: i64,
    /// The last zone-less hour (seconds since 1970 by the local clock / 3600) and its offset from UTC, seconds.
    hour: Option<(i64, i64)>,
}

impl TimeReader {
    pub(in crate::stages) fn new(zone: Option<Tz>) -> Self {
        Self { zone, format: None, day_digits: u32::MAX, day_seconds: 0, hour: None }
    }

    /// Likewise, of text of this format.
    pub(super) fn of_format(zone: Option<Tz>, format: Option<TextTimeFormat>) -> Self {
        Self { format, ..Self::new(zone) }
    }

    /// Reads RFC 3339 text, also without seconds, or that of the declared format; `None` where it is not, or has no offset and
    /// there is no zone for it.
    pub(in crate::stages) fn read(&mut self, text: &[u8]) -> Option<i64> {
        if self.format.is_some() { self.read_declared(text) } else { self.read_rfc3339(text) }
    }

    fn read_declared(&mut self, text: &[u8]) -> Option<i64> {
        let (local, offset) = self.format.as_ref()?.read(std::str::from_utf8(text).ok()?)?;
        let micros = local.and_utc().timestamp_micros();
        match offset {
            Some(offset) => micros.checked_sub(i64::from(offset) * MICROS_PER_SECOND),
            None => self.local(micros),
        }
    }

    fn read_rfc3339(&mut self, text: &[u8]) -> Option<i64> {
        let date = text.get(..10)?;
        if date[4] != b'-' || date[7] != b'-' {
            return None;
        }
        if !matches!(text.get(10)?, b'T' | b't' | b' ') {
            return None;
        }
        let clock = text.get(11..16)?;
        if clock[2] != b':' {
            return None;
        }
        let year = digits(&date[..2])? * 100 + digits(&date[2..4])?;
        let day = self.day(year, digits(&date[5..7])?, digits(&date[8..10])?)?;
        let (hour, minute) = (digits(&clock[..2])?, digits(&clock[3..5])?);
        // As ISO 8601 allows, tables often leave seconds out.
        let (second, micros, rest) = match text.get(16) {
            Some(b':') => {
                let (micros, rest) = fraction(text.get(19..)?)?;
                (digits(&text[17..19])?, micros, rest)
            }
            _ => (0, 0, &text[16..]),
        };
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = day + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        let offset = match rest {
            b"Z" | b"z" => 0,
            b"" => self.zone_offset(seconds)?,
            _ => numeric_offset(rest)?,
        };
        (seconds - offset).checked_mul(MICROS_PER_SECOND)?.checked_add(micros)
    }

    /// A time without zone, microseconds since 1970 by the local clock, in the declared zone.
    pub(super) fn local(&mut self, micros: i64) -> Option<i64> {
        let offset = self.zone_offset(micros.div_euclid(MICROS_PER_SECOND))?;
        micros.checked_sub(offset * MICROS_PER_SECOND)
    }

    /// What is wrong with a value that could not be read as a time, as a sentence without its subject. `text`: the value
    /// where it is text.
    pub(in crate::stages) fn problem(&mut self, text: Option<&str>, format: TimestampFormat) -> String {
        let (TimestampFormat::Rfc3339, Some(text)) = (format, text) else {
            return format!("is not {}", format.name());
        };
        if self.read(text.as_bytes()).is_some() {
            return "is outside the years 0000 to 9999 in UTC".to_owned();
        }
        if let Some(declared) = &self.format {
            if declared.read(text).is_none() {
                return format!("is not a time written as `{declared}`");
            }
        } else if self.read(format!("{text}Z").as_bytes()).is_none() {
            return format!("is not {}", format.name());
        }
        match self.zone {
            Some(zone) => format!("does not exist in {zone}, where clocks jumped over it"),
            None => "has no offset, and no `timezone` is declared".to_owned(),
        }
    }

    fn day(&mut self, year: u32, month: u32, day: u32) -> Option<i64> {
        let key = year * 10_000 + month * 100 + day;
        if key != self.day_digits {
            // i32 holds every year of four digits.
            let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
            self.day_seconds = (date - NaiveDate::default()).num_days() * DAY_SECONDS;
            self.day_digits = key;
        }
        Some(self.day_seconds)
    }

    /// How far the local clock is ahead of UTC at this local time.
    fn zone_offset(&mut self, local_seconds: i64) -> Option<i64> {
        let zone = self.zone?;
        let hour = local_seconds.div_euclid(3600);
        if let Some((known, offset)) = self.hour.filter(|(known, _)| *known == hour) {
            debug_assert_eq!(known, hour);
            return Some(offset);
        }
        let naive = chrono::DateTime::from_timestamp(local_seconds, 0)?.naive_utc();
        let utc = match zone.from_local_datetime(&naive) {
            LocalResult::Single(one) | LocalResult::Ambiguous(one, _) => one.timestamp(),
            LocalResult::None => return None,
        };
        // Clocks change on the hour or half hour in every zone in use; remember only hours that lie whole on one side.
        let same_at_end = match zone.from_local_datetime(&(naive + chrono::Duration::seconds(3599))) {
            LocalResult::Single(end) => end.timestamp() - utc == 3599,
            _ => false,
        };
        if same_at_end && local_seconds.rem_euclid(3600) == 0 {
            self.hour = Some((hour, local_seconds - utc));
        }
        Some(local_seconds - utc)
    }
}

/// Two ASCII digits as a number.
fn digits(text: &[u8]) -> Option<u32> {
    let (tens, ones) = (text[0].wrapping_sub(b'0'), text[1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// An optional fraction of a second as microseconds, cut after the sixth digit, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let digits = rest[..count].iter().map(|digit| i64::from(digit - b'0')).chain(std::iter::repeat(0));
    let micros = digits.take(6).fold(0, |micros, digit| micros * 10 + digit);
    Some((micros, &rest[count..]))
}

/// `+01:00` as seconds.
fn numeric_offset(text: &[u8]) -> Option<i64> {
    let [sign @ (b'+' | b'-'), hour_tens, hour_ones, b':', minute_tens, minute_ones] = text else { return None };
    let (hours, minutes) = (digits(&[*hour_tens, *hour_ones])?, digits(&[*minute_tens, *minute_ones])?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = i64::from(hours * 3600 + minutes * 60);
    Some(if *sign == b'-' { -seconds } else { seconds })
}

impl TimestampFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Rfc3339 => "an RFC 3339 time",
            Self::EpochS => "a time of the years 0000 to 9999 in seconds since 1970",
            Self::EpochMs => "a time of the years 0000 to 9999 in milliseconds since 1970",
            Self::EpochUs => "a time of the years 0000 to 9999 in microseconds since 1970",
        }
    }
}
