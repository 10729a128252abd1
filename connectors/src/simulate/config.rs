//! What can be chosen about the corridor, and where its detectors are.

use super::corridor::{CELL_KM, LANES, free_flow_kmh};
use crate::source::SourceError;

/// A simulated corridor.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulateConfig {
    /// The same seed gives the same readings.
    pub seed: u64,
    /// Detectors along the corridor, one every 500 m, 2 to 100,000.
    pub detectors: u32,
    /// Time between readings of a detector, microseconds, at least 1 s.
    pub every_micros: i64,
    /// Time of the first reading, microseconds since 1970 UTC. The corridor's day is that of UTC.
    pub start_micros: i64,
    /// Length of simulated time, microseconds; `None` is endless.
    pub length_micros: Option<i64>,
    /// Whether it rains now and then.
    pub weather: bool,
    /// Simulated seconds per second of the clock; 0 is as fast as it goes.
    pub speed: f64,
    /// Partitions of the topic it stands for; detectors lie in them by murmur2 of their id.
    pub partitions: u32,
}

impl Default for SimulateConfig {
    /// 64 detectors, one reading a minute, from Monday 2026-03-02T00:00:00Z, one week, as fast as it goes.
    fn default() -> Self {
        Self {
            seed: 42,
            detectors: 64,
            every_micros: 60_000_000,
            start_micros: 1_772_409_600_000_000,
            length_micros: Some(7 * 86_400_000_000),
            weather: false,
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
        if !(2..=100_000).contains(&self.detectors) {
            return wrong("detectors", format!("{} is not within 2 and 100000", self.detectors));
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

/// One detector's place: a row of the table that goes with the readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Key of its readings, `L001` the most upstream.
    pub sensor_id: String,
    /// Four detectors in a row make a segment: `S01`, `S02`, ...
    pub segment_id: String,
    /// Kilometres from the corridor's start.
    pub position_km: f64,
    /// Lanes it covers together.
    pub lanes: u32,
    /// Speed of an empty road, km/h.
    pub free_flow_kmh: f64,
}

/// The detectors of a corridor, upstream first. Depends on `seed` and `detectors` only.
#[must_use]
pub fn sites(config: &SimulateConfig) -> Vec<Site> {
    let site = |detector: u32| Site {
        sensor_id: sensor_id(detector),
        segment_id: format!("S{:02}", detector / 4 + 1),
        position_km: (f64::from(detector) + 0.5) * CELL_KM,
        lanes: LANES,
        free_flow_kmh: free_flow_kmh(config.seed, detector),
    };
    (0..config.detectors).map(site).collect()
}

/// Id of the detector with this index, from 0 upstream.
pub(super) fn sensor_id(detector: u32) -> String {
    format!("L{:03}", detector + 1)
}
