//! Rain over the whole city: showers drawn hour by hour, and what they do to the road.
//!
//! # Source
//! The Highway Capacity Manual (2010), chapter 10, gives the order of magnitude of heavy rain's losses: a seventh of capacity,
//! a sixteenth of speed. Here both grow in proportion to the rate of rain up to [`HEAVY_MM_H`].

use super::noise::{Noise, Purpose};
use super::truth::{Event, EventKind};

/// A shower begins in an hour of a dry spell with this probability, at a uniform minute of it.
const BEGINS: f64 = 0.04;
/// It lasts uniformly so many minutes and has a uniform rate, mm/h.
const MINUTES: (f64, f64) = (20.0, 240.0);
const RATE_MM_H: (f64, f64) = (0.3, 9.0);
/// Rate from which on the losses grow no further: a quarter of an inch an hour.
const HEAVY_MM_H: f64 = 6.35;
/// Shares that heavy rain takes of capacity and of speed.
const CAPACITY_LOSS: f64 = 0.14;
const SPEED_LOSS: f64 = 0.06;

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const MICROS_PER_MINUTE: f64 = 60_000_000.0;

/// Showers so far.
#[derive(Debug, Clone)]
pub(super) struct Weather {
    noise: Noise,
    next_hour: i64,
    shower: Option<Event>,
}

/// Factors on what a cell lets through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Road {
    pub(super) capacity: f64,
    pub(super) speed: f64,
}

impl Road {
    pub(super) const DRY: Self = Self { capacity: 1.0, speed: 1.0 };
}

impl Weather {
    /// Dry until `time_micros`.
    pub(super) fn new(seed: u64, time_micros: i64) -> Self {
        let next_hour = time_micros.div_euclid(MICROS_PER_HOUR) * MICROS_PER_HOUR;
        Self { noise: Noise::new(seed, Purpose::Weather, 0), next_hour, shower: None }
    }

    /// The shower that was drawn last.
    pub(super) fn shower(&self) -> Option<Event> {
        self.shower.clone()
    }

    /// The road at this time, and the shower that was drawn in this hour, if one was.
    pub(super) fn at(&mut self, time_micros: i64) -> (Road, Option<Event>) {
        let mut drawn = None;
        if time_micros >= self.next_hour {
            drawn = self.draw();
            self.next_hour += MICROS_PER_HOUR;
        }
        let falling = self.shower.as_ref().filter(|shower| shower.holds(time_micros));
        let share = falling.map_or(0.0, |shower| shower.size.unwrap_or(0.0).min(HEAVY_MM_H) / HEAVY_MM_H);
        (Road { capacity: 1.0 - CAPACITY_LOSS * share, speed: 1.0 - SPEED_LOSS * share }, drawn)
    }

    /// Draws the same count of numbers in every hour.
    fn draw(&mut self) -> Option<Event> {
        let begins = self.noise.happens(BEGINS);
        let minute = self.noise.between(0.0, 60.0);
        let lasts = self.noise.between(MINUTES.0, MINUTES.1);
        let rate = self.noise.between(RATE_MM_H.0, RATE_MM_H.1);
        let dry = self.shower.as_ref().is_none_or(|shower| shower.to_micros <= self.next_hour);
        if !(begins && dry) {
            return None;
        }
        let from_micros = self.next_hour + (minute * MICROS_PER_MINUTE) as i64;
        let to_micros = from_micros + (lasts * MICROS_PER_MINUTE) as i64;
        let size = Some((rate * 10.0).round() / 10.0);
        self.shower = Some(Event { kind: EventKind::Rain, sensor_id: None, from_micros, to_micros, size });
        self.shower.clone()
    }
}
