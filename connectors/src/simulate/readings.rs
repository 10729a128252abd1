//! The city's readings in the order they are sent: by time, then detector. Key, JSON payload and timestamp.

use chrono::{DateTime, SecondsFormat};

use super::city::City;
use super::config::SimulateConfig;
use super::corridor::Traffic;
use super::detector::{Detector, Sent, Stamped};
use super::failure::Failure;
use super::layout::sensor_id;
use super::payload::{garble, write_json};
use super::truth::Event;
use crate::position::partition_of_key;
use crate::source::SourceError;

/// One reading as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The detector's id.
    pub key: Vec<u8>,
    /// JSON: `sensor_id`, `observed_at` (RFC 3339, UTC, the end of the interval by the detector's clock), `speed_kmh` (null where no vehicle
    /// passed), `flow_veh_h`, `occupancy` (percent). Rarely garbled.
    pub value: Vec<u8>,
    /// Time of sending, milliseconds since 1970 UTC.
    pub timestamp_ms: i64,
}

/// A detector that this iterator reports, with its place among all of them.
#[derive(Debug, Clone)]
struct Reported {
    index: usize,
    id: String,
    detector: Detector,
}

/// Iterator over the readings of a city, or of those detectors that lie in one partition.
#[derive(Debug, Clone)]
pub struct Readings {
    every_micros: i64,
    ticks: Option<u64>,
    city: City,
    reported: Vec<Reported>,
    passed: Vec<Traffic>,
    /// Time of the tick being reported, and its text.
    time_micros: i64,
    time_text: String,
    ticks_done: u64,
    /// Next of `reported` in this tick; at its length the tick is over.
    next: usize,
    /// A reading that one of `reported` sends again before that.
    again: Option<(usize, Stamped)>,
}

impl Readings {
    /// All detectors.
    ///
    /// # Errors
    /// [`SourceError::Config`] as [`SimulateConfig::check`].
    pub fn new(config: &SimulateConfig) -> Result<Self, SourceError> {
        Self::with(config, |_| true)
    }

    /// The detectors whose id lies in a partition.
    ///
    /// # Errors
    /// As [`Readings::new`].
    pub fn of_partition(config: &SimulateConfig, number: i32) -> Result<Self, SourceError> {
        Self::with(config, |id| partition_of_key(id.as_bytes(), config.partitions) == number)
    }

    fn with(config: &SimulateConfig, wanted: impl Fn(&str) -> bool) -> Result<Self, SourceError> {
        config.check()?;
        let id = |index: u32| sensor_id(config.corridors, index / config.detectors, index % config.detectors);
        let described = (0..config.corridors * config.detectors).map(|index| (index, id(index)));
        let detector = |index| Detector::new(config.seed, index, config.faults);
        let reported: Vec<Reported> = described
            .filter(|(_, id)| wanted(id))
            .map(|(index, id)| Reported { index: index as usize, id, detector: detector(index) })
            .collect();
        // The first reading covers the interval that ends at `start`.
        let time_micros = config.start_micros - config.every_micros;
        Ok(Self {
            every_micros: config.every_micros,
            ticks: config.ticks(),
            city: City::new(config, time_micros),
            next: reported.len(),
            again: None,
            reported,
            passed: Vec::new(),
            time_micros,
            time_text: String::new(),
            ticks_done: 0,
        })
    }

    /// Time of the reading that comes next, as far as it is certain: a detector may leave its turn out. Microseconds
    /// since 1970 UTC; `None` at the end.
    #[must_use]
    pub fn next_time_micros(&self) -> Option<i64> {
        if self.next < self.reported.len() || self.again.is_some() {
            return Some(self.time_micros);
        }
        self.more_ticks().then(|| self.time_micros + self.every_micros)
    }

    /// Appends the next reading to `value` (cleared first) and gives its key and timestamp, as [`Reading`] has them;
    /// `None` at the end. Readings at or after `before_micros` are left for later, as `None` too.
    pub fn next_into(&mut self, value: &mut Vec<u8>, before_micros: i64) -> Option<(&str, i64)> {
        let (at, sent) = self.step(before_micros)?;
        value.clear();
        let id = &self.reported[at].id;
        match sent {
            Sent::Reading(stamped) => self.write(value, id, &stamped),
            Sent::Garbled(stamped, way) => {
                self.write(value, id, &stamped);
                garble(value, way);
            }
            Sent::Nothing => {}
        }
        Some((id, self.time_micros.div_euclid(1000)))
    }

    /// Passes over up to `readings` readings without writing them, and says how many there were.
    pub fn skip_readings(&mut self, readings: u64) -> u64 {
        (0..readings).take_while(|_| self.step(i64::MAX).is_some()).count() as u64
    }

    /// From here on notes what happens.
    pub(super) fn note_events(&mut self) {
        self.city.note_events();
        self.reported.iter_mut().for_each(|reported| reported.detector.failures.noted = Some(Vec::new()));
    }

    /// What was noted.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        let mut events = self.city.events.take().unwrap_or_default();
        for reported in &mut self.reported {
            let failures = reported.detector.failures.noted.take().unwrap_or_default();
            for Failure { kind, from_micros, to_micros, size } in failures {
                let sensor_id = Some(reported.id.clone());
                events.push(Event { kind, sensor_id, from_micros, to_micros, size });
            }
        }
        events
    }

    /// The next detector that sends something, and what.
    fn step(&mut self, before_micros: i64) -> Option<(usize, Sent)> {
        if let Some((at, stamped)) = self.again.take() {
            return Some((at, Sent::Reading(stamped)));
        }
        loop {
            if self.next >= self.reported.len() && !self.next_tick(before_micros) {
                return None;
            }
            let at = self.next;
            self.next += 1;
            let reported = &mut self.reported[at];
            let traffic = &self.passed[reported.index];
            let sent = reported.detector.observe(self.time_micros, self.every_micros, traffic);
            if sent != Sent::Nothing {
                self.again = reported.detector.take_again().map(|stamped| (at, stamped));
                return Some((at, sent));
            }
        }
    }

    fn next_tick(&mut self, before_micros: i64) -> bool {
        let time_micros = self.time_micros + self.every_micros;
        if !self.more_ticks() || time_micros >= before_micros {
            return false;
        }
        self.city.advance(self.every_micros, &mut self.passed);
        self.time_micros = time_micros;
        self.ticks_done += 1;
        self.next = 0;
        self.time_text = time_text(time_micros);
        true
    }

    /// Most stamps are the tick's time, which is text already.
    fn write(&self, value: &mut Vec<u8>, id: &str, stamped: &Stamped) {
        match stamped.stamp_micros == self.time_micros {
            true => write_json(value, id, &self.time_text, &stamped.measured),
            false => write_json(value, id, &time_text(stamped.stamp_micros), &stamped.measured),
        }
    }

    fn more_ticks(&self) -> bool {
        !self.reported.is_empty() && self.ticks.is_none_or(|ticks| self.ticks_done < ticks)
    }
}

impl Iterator for Readings {
    type Item = Reading;

    fn next(&mut self) -> Option<Reading> {
        let mut value = Vec::with_capacity(120);
        let (id, timestamp_ms) = self.next_into(&mut value, i64::MAX)?;
        Some(Reading { key: id.as_bytes().to_vec(), value, timestamp_ms })
    }
}

fn time_text(time_micros: i64) -> String {
    // The configuration was checked: every time lies in the years 1970 to 9999, as far as a wrong clock takes it.
    let time = DateTime::from_timestamp_micros(time_micros).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
