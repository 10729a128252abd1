//! What can be chosen about the city.

use crate::source::SourceError;

/// Detectors of all corridors together: their state takes some 700 bytes each.
pub const DETECTORS_MAX: u32 = 100_000;

/// A simulated corridor, or a city of several.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulateConfig {
    /// The same seed gives the same readings.
    pub seed: u64,
    /// Corridors: 1 is alone, of several every other leads into the city and the next one out of it. 1 to 100.
    pub corridors: u32,
    /// Detectors along each corridor, one every 500 m, at least 2, and 100,000 on all corridors together.
    pub detectors: u32,
    /// Time between readings of a detector, microseconds, at least 1 s.
    pub every_micros: i64,
    /// Time of the first reading, microseconds since 1970 UTC. The city's day is that of UTC.
    pub start_micros: i64,
    /// Length of simulated time, microseconds; `None` is endless.
    pub length_micros: Option<i64>,
    /// Whether it rains now and then.
    pub weather: bool,
    /// Whether there are matches in a stadium, which thousands drive to and from.
    pub stadium: bool,
    /// Which ways detectors fail in.
    pub faults: Faults,
    /// Simulated seconds per second of the clock; 0 is as fast as it goes.
    pub speed: f64,
    /// Partitions of the topic it stands for; detectors lie in them by murmur2 of their id.
    pub partitions: u32,
}

/// Which ways detectors fail in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Faults {
    /// Stuck, sentinels, silence.
    #[default]
    Basic,
    /// Also noise, drift, wrong clocks and duplicates.
    All,
}

impl Default for SimulateConfig {
    /// One corridor of 64 detectors, one reading a minute, from Monday 2026-03-02T00:00:00Z, one week, as fast as it goes.
    fn default() -> Self {
        Self {
            seed: 42,
            corridors: 1,
            detectors: 64,
            every_micros: 60_000_000,
            start_micros: 1_772_409_600_000_000,
            length_micros: Some(7 * 86_400_000_000),
            weather: false,
            stadium: false,
            faults: Faults::Basic,
            speed: 0.0,
            partitions: 4,
        }
    }
}

impl SimulateConfig {
    /// Checks the ranges that the fields name.
    ///
    /// # Errors
    /// [`SourceError::Config`] with the first field that is out of range.
    pub fn check(&self) -> Result<(), SourceError> {
        let wrong = |what: &str, reason: String| Err(SourceError::Config { what: format!("simulate.{what}"), reason });
        if !(1..=100).contains(&self.corridors) {
            return wrong("corridors", format!("{} is not within 1 and 100", self.corridors));
        }
        let detectors_max = DETECTORS_MAX / self.corridors;
        if !(2..=detectors_max).contains(&self.detectors) {
            return wrong("detectors", format!("{} is not within 2 and {detectors_max}", self.detectors));
        }
        if self.every_micros < 1_000_000 {
            return wrong("every", format!("{} us is less than a second", self.every_micros));
        }
        if self.length_micros.is_some_and(|length| length <= 0) {
            return wrong("length", "it is not above 0".to_owned());
        }
        if !(self.speed.is_finite() && self.speed >= 0.0) {
            return wrong("speed", format!("{} is not a number of at least 0", self.speed));
        }
        if !(1..=i32::MAX as u32).contains(&self.partitions) {
            return wrong("partitions", format!("{} is not at least 1", self.partitions));
        }
        // Beyond these chrono writes no RFC 3339 time of four-digit years.
        let last = self.start_micros.saturating_add(self.length_micros.unwrap_or(0));
        if self.start_micros < 0 || last > 253_402_300_799_000_000 {
            return wrong("start", "times must lie between the years 1970 and 9999".to_owned());
        }
        Ok(())
    }

    /// Readings of a detector over the whole length; `None` where it is endless.
    #[must_use]
    pub fn ticks(&self) -> Option<u64> {
        // Both are positive once checked: readings at start, start + every, ... below start + length.
        self.length_micros.map(|length| length.div_euclid(self.every_micros).max(1) as u64)
    }
}
