//! What happened to the city and its detectors: what alerts, models and cleaning are judged by.

use super::config::SimulateConfig;
use super::readings::Readings;
use crate::source::SourceError;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// The road lets less through at this detector.
    Incident,
    /// It rains on all of it.
    Rain,
    /// The detector repeats its last reading.
    Stuck,
    /// The detector's speed and occupancy are -99.
    Sentinel,
    /// The detector says nothing.
    Silent,
    /// Thousands drive in to a match.
    StadiumArrival,
    /// They drive home.
    StadiumDeparture,
    /// The detector's errors are five times as large.
    Noisy,
    /// The detector's speeds are off by a share that grows.
    Drift,
    /// The detector's stamps are minutes off.
    Clock,
    /// The detector sends readings again.
    Duplicate,
}

impl EventKind {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Rain => "rain",
            Self::Stuck => "stuck",
            Self::Sentinel => "sentinel",
            Self::Silent => "silent",
            Self::StadiumArrival => "stadium_arrival",
            Self::StadiumDeparture => "stadium_departure",
            Self::Noisy => "noisy",
            Self::Drift => "drift",
            Self::Clock => "clock",
            Self::Duplicate => "duplicate",
        }
    }
}

/// Something that lasted from one time to another, microseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What it was.
    pub kind: EventKind,
    /// The detector that failed, or at which the road was blocked; `None` where it was everywhere.
    pub sensor_id: Option<String>,
    /// When it began.
    pub from_micros: i64,
    /// When it was over.
    pub to_micros: i64,
    /// Share of capacity that an incident left; mm/h of rain; vehicles to or from a match, on each corridor; percent per
    /// hour by which a drifting detector's speeds rise or fall; minutes that a clock is ahead, `None` where it jumps.
    pub size: Option<f64>,
}

impl Event {
    /// Whether it was going on at a time.
    #[must_use]
    pub fn holds(&self, time_micros: i64) -> bool {
        (self.from_micros..self.to_micros).contains(&time_micros)
    }
}

/// Everything that happens while the readings of a city last, by its beginning. A detector's single readings that are
/// missing or garbled are not told of.
///
/// # Errors
/// [`SourceError::Config`] as [`SimulateConfig::check`], and for a city without end.
pub fn events(config: &SimulateConfig) -> Result<Vec<Event>, SourceError> {
    let Some(length) = config.length_micros else {
        let reason = "what happens without end cannot be told".to_owned();
        return Err(SourceError::Config { what: "simulate.length".to_owned(), reason });
    };
    let mut readings = Readings::new(config)?;
    readings.note_events();
    while readings.skip_readings(1 << 16) > 0 {}
    let (first, end) = (config.start_micros - config.every_micros, config.start_micros + length);
    let mut events = readings.take_events();
    events.retain(|event| event.to_micros > first && event.from_micros < end);
    events.sort_by(|a, b| (a.from_micros, a.kind, &a.sensor_id).cmp(&(b.from_micros, b.kind, &b.sensor_id)));
    Ok(events)
}
