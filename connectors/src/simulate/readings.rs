//! The corridor's readings in the order they are sent: by time, then detector. Key, JSON payload and timestamp.

use chrono::{DateTime, SecondsFormat};

use super::config::{SimulateConfig, sensor_id};
use super::corridor::{Corridor, Traffic};
use super::detector::{Detector, Measured, Sent};
use super::truth::Event;
use crate::position::partition_of_key;
use crate::source::SourceError;

/// One reading as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The detector's id.
    pub key: Vec<u8>,
    /// JSON: `sensor_id`, `observed_at` (RFC 3339, UTC, the end of the interval), `speed_kmh` (null where no vehicle
    /// passed), `flow_veh_h`, `occupancy` (percent). Rarely garbled.
    pub value: Vec<u8>,
    /// Time of sending, milliseconds since 1970 UTC: that of the reading.
    pub timestamp_ms: i64,
}

/// A detector that this iterator reports, with its place among all of them.
#[derive(Debug, Clone)]
struct Reported {
    index: usize,
    id: String,
    detector: Detector,
}

/// Iterator over the readings of a corridor, or of those detectors that lie in one partition.
#[derive(Debug, Clone)]
pub struct Readings {
    every_micros: i64,
    ticks: Option<u64>,
    corridor: Corridor,
    reported: Vec<Reported>,
    passed: Vec<Traffic>,
    /// Time of the tick being reported, and its text.
    time_micros: i64,
    time_text: String,
    ticks_done: u64,
    /// Next of `reported` in this tick; at its length the tick is over.
    next: usize,
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
        let described = (0..config.detectors).map(|index| (index, sensor_id(index)));
        let reported: Vec<Reported> = described
            .filter(|(_, id)| wanted(id))
            .map(|(index, id)| Reported { index: index as usize, id, detector: Detector::new(config.seed, index) })
            .collect();
        // The first reading covers the interval that ends at `start`.
        let time_micros = config.start_micros - config.every_micros;
        Ok(Self {
            every_micros: config.every_micros,
            ticks: config.ticks(),
            corridor: Corridor::new(config, time_micros),
            next: reported.len(),
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
        if self.next < self.reported.len() {
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
            Sent::Reading(measured) => write_json(value, id, &self.time_text, &measured),
            Sent::Garbled(measured, way) => {
                write_json(value, id, &self.time_text, &measured);
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
        self.corridor.note_events();
        self.reported.iter_mut().for_each(|reported| reported.detector.failures = Some(Vec::new()));
    }

    /// What was noted.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        let mut events = self.corridor.events.take().unwrap_or_default();
        for reported in &mut self.reported {
            for (kind, from_micros, to_micros) in reported.detector.failures.take().unwrap_or_default() {
                let sensor_id = Some(reported.id.clone());
                events.push(Event { kind, sensor_id, from_micros, to_micros, size: None });
            }
        }
        events
    }

    /// The next detector that sends something, and what.
    fn step(&mut self, before_micros: i64) -> Option<(usize, Sent)> {
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
                return Some((at, sent));
            }
        }
    }

    fn next_tick(&mut self, before_micros: i64) -> bool {
        let time_micros = self.time_micros + self.every_micros;
        if !self.more_ticks() || time_micros >= before_micros {
            return false;
        }
        self.corridor.advance(self.every_micros, &mut self.passed);
        self.time_micros = time_micros;
        self.ticks_done += 1;
        self.next = 0;
        // The configuration was checked: every time lies before the year 10000.
        let time = DateTime::from_timestamp_micros(time_micros).unwrap_or_default();
        self.time_text = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        true
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

fn write_json(value: &mut Vec<u8>, id: &str, time: &str, measured: &Measured) {
    value.extend_from_slice(b"{\"sensor_id\":\"");
    value.extend_from_slice(id.as_bytes());
    value.extend_from_slice(b"\",\"observed_at\":\"");
    value.extend_from_slice(time.as_bytes());
    value.extend_from_slice(b"\",\"speed_kmh\":");
    match measured.speed_tenths {
        Some(tenths) => write_tenths(value, tenths),
        None => value.extend_from_slice(b"null"),
    }
    value.extend_from_slice(b",\"flow_veh_h\":");
    value.extend_from_slice(measured.flow_veh_h.to_string().as_bytes());
    value.extend_from_slice(b",\"occupancy\":");
    write_tenths(value, measured.occupancy_tenths);
    value.push(b'}');
}

/// Writes a number of tenths as a decimal. Only sentinels are negative, and they are whole.
fn write_tenths(value: &mut Vec<u8>, tenths: i64) {
    value.extend_from_slice(format!("{}.{}", tenths / 10, (tenths % 10).abs()).as_bytes());
}

/// Damages a payload: cut short, something behind it, a byte that is no UTF-8, not JSON at all.
fn garble(value: &mut Vec<u8>, way: u32) {
    match way {
        0 => value.truncate(value.len() / 2),
        1 => value.extend_from_slice(b"}{"),
        2 => value[15] = 0xff,
        _ => {
            value.clear();
            value.extend_from_slice(b"ERR 17");
        }
    }
}
