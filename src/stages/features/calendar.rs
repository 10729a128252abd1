//! Event times -> time of day and day of week in a declared zone.

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;

use crate::vocab::EventTime;

/// Microseconds of a day without a change of the clock.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// A time as the clocks of a zone show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Microseconds since local midnight, by the clock: 03:00 is the same on the days when clocks change.
    pub day_micros: i64,
    /// Days since Monday, 0..=6.
    pub weekday: u32,
    /// The date, in days since 0001-01-01.
    pub day: i32,
}

/// What the clocks of `zone` show at `time`. Times beyond the years of the calendar count as the epoch.
#[must_use]
pub fn local_time(time: EventTime, zone: Tz) -> LocalTime {
    let utc = DateTime::from_timestamp_micros(time.0).unwrap_or_default();
    let local = utc.with_timezone(&zone);
    let second = i64::from(local.num_seconds_from_midnight());
    LocalTime {
        day_micros: second * 1_000_000 + i64::from(local.nanosecond() / 1_000 % 1_000_000),
        weekday: local.weekday().num_days_from_monday(),
        day: local.num_days_from_ce(),
    }
}

/// Sine and cosine of `cycles` turns per `period` at `position`.
#[must_use]
pub fn harmonic(position: f64, period: f64, cycles: u32) -> (f64, f64) {
    (std::f64::consts::TAU * f64::from(cycles) * position / period).sin_cos()
}
