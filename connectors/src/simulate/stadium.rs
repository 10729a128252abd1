//! A stadium in the middle of the city: evenings on which thousands drive in before a match and out after it.

use super::noise::{Noise, Purpose};
use super::truth::{Event, EventKind};

/// There is a match on this share of days. It begins uniformly between these hours and lasts so long, hours.
const MATCH_DAYS: f64 = 0.3;
const BEGINS_HOUR: (f64, f64) = (18.0, 20.5);
const MATCH_HOURS: f64 = 2.0;
/// Vehicles that come on each inbound corridor, and leave on each outbound one: uniform, in tens.
const VEHICLES: (f64, f64) = (2_000.0, 4_500.0);
/// Hours over which they come before the match and leave after it, at a steady rate.
const ARRIVING_HOURS: f64 = 1.5;
const LEAVING_HOURS: f64 = 0.75;

const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_HOUR: f64 = 3_600_000_000.0;

/// Vehicles per hour beside those of the day's demand, on each corridor of a direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Crowd {
    pub(super) inbound: f64,
    pub(super) outbound: f64,
}

/// The match of the present day.
#[derive(Debug, Clone)]
pub(super) struct Stadium {
    seed: u64,
    day: i64,
    /// Those who come, then those who leave, where any road is simulated that they leave on.
    events: Vec<Event>,
}

impl Stadium {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, day: i64::MIN, events: Vec::new() }
    }

    /// What was drawn for the present day.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Draws the match of a day, or none, when the day begins; says whether one began.
    pub(super) fn plan(&mut self, time_micros: i64, any_outbound: bool) -> bool {
        let day = time_micros.div_euclid(MICROS_PER_DAY);
        if day == self.day {
            return false;
        }
        self.day = day;
        let mut noise = Noise::new(self.seed, Purpose::Stadium, day as u64);
        let happens = noise.happens(MATCH_DAYS);
        let begins = day * MICROS_PER_DAY + micros(noise.between(BEGINS_HOUR.0, BEGINS_HOUR.1));
        let vehicles = (noise.between(VEHICLES.0, VEHICLES.1) / 10.0).round() * 10.0;
        let over = begins + micros(MATCH_HOURS);
        let event = |kind, from_micros, to_micros| Event {
            kind,
            sensor_id: None,
            from_micros,
            to_micros,
            size: Some(vehicles),
        };
        self.events.clear();
        if happens {
            self.events.push(event(EventKind::StadiumArrival, begins - micros(ARRIVING_HOURS), begins));
        }
        if happens && any_outbound {
            self.events.push(event(EventKind::StadiumDeparture, over, over + micros(LEAVING_HOURS)));
        }
        true
    }

    /// Who is on the way at this time.
    pub(super) fn crowd(&self, time_micros: i64) -> Crowd {
        let mut crowd = Crowd::default();
        for event in self.events.iter().filter(|event| event.holds(time_micros)) {
            let vehicles = event.size.unwrap_or(0.0);
            match event.kind {
                EventKind::StadiumArrival => crowd.inbound += vehicles / ARRIVING_HOURS,
                _ => crowd.outbound += vehicles / LEAVING_HOURS,
            }
        }
        crowd
    }
}

fn micros(hours: f64) -> i64 {
    (hours * MICROS_PER_HOUR) as i64
}
