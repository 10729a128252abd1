//! What a detector says about the traffic that passed it: counts, mean speed, occupancy, with noise and failures.

use super::corridor::{LANES, Traffic};
use super::noise::{Noise, Purpose};
use super::truth::EventKind;

/// Standard deviations: speed 3 % and 1 km/h, count a third of its square root, occupancy 0.3 percent points.
const SPEED_SPREAD: f64 = 0.03;
const SPEED_SPREAD_KMH: f64 = 1.0;
const COUNT_SPREAD: f64 = 1.0 / 3.0;
const OCCUPANCY_SPREAD: f64 = 0.3;
/// Length that a vehicle covers a loop for, km: the vehicle and the loop, 7 m.
const COVERED_KM: f64 = 0.007;

/// Any reading is missing with this probability, and garbled with that one.
const DROPPED: f64 = 0.002;
const GARBLED: f64 = 0.000_1;
/// Out of 16 detectors, one each is prone to be stuck, to send sentinels, to fall silent.
const PRONE_ONE_IN: u64 = 16;
/// A prone detector's failures per hour, and how long one lasts, minutes, uniformly between the two.
const STUCK: Prone = Prone { per_hour: 0.03, minutes: (45.0, 300.0) };
const SENTINEL: Prone = Prone { per_hour: 0.15, minutes: (3.0, 20.0) };
const SILENT: Prone = Prone { per_hour: 0.03, minutes: (20.0, 180.0) };

/// How often and how long a detector of a kind fails.
#[derive(Debug, Clone, Copy)]
struct Prone {
    per_hour: f64,
    minutes: (f64, f64),
}

/// What a detector sends for one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// Tenths of km/h; `None` where no vehicle passed.
    pub(super) speed_tenths: Option<i64>,
    /// Vehicles per hour over all lanes, a whole number.
    pub(super) flow_veh_h: i64,
    /// Tenths of percent of the time that the loops were covered.
    pub(super) occupancy_tenths: i64,
}

/// What comes out of a detector at the end of an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sent {
    Reading(Measured),
    /// A reading whose payload is damaged in the way of this number, 0 to 3.
    Garbled(Measured, u32),
    Nothing,
}

/// One detector: its noise, its weakness, and what it is going through.
#[derive(Debug, Clone)]
pub(super) struct Detector {
    measurement: Noise,
    fault: Noise,
    weakness: Option<(EventKind, Prone)>,
    /// The present failure and the time it ends.
    failing: Option<(EventKind, i64)>,
    /// Failures with the times they began and ended, where somebody wants to know.
    pub(super) failures: Option<Vec<(EventKind, i64, i64)>>,
    last: Option<Measured>,
}

impl Detector {
    pub(super) fn new(seed: u64, index: u32) -> Self {
        // Consecutive residues, moved by the seed, so that 16 detectors hold one of each kind.
        let weakness = match (u64::from(index) + seed % PRONE_ONE_IN) % PRONE_ONE_IN {
            3 => Some((EventKind::Stuck, STUCK)),
            8 => Some((EventKind::Sentinel, SENTINEL)),
            13 => Some((EventKind::Silent, SILENT)),
            _ => None,
        };
        let measurement = Noise::new(seed, Purpose::Measurement, u64::from(index));
        let fault = Noise::new(seed, Purpose::Fault, u64::from(index));
        Self { measurement, fault, weakness, failing: None, failures: None, last: None }
    }

    /// What the detector sends at `time_micros` about the interval that ends there.
    pub(super) fn observe(&mut self, time_micros: i64, interval_micros: i64, traffic: &Traffic) -> Sent {
        let fresh = self.measure(interval_micros, traffic);
        let failure = self.failure(time_micros, interval_micros);
        let (dropped, garbled) = (self.fault.happens(DROPPED), self.fault.happens(GARBLED));
        let way = (self.fault.uniform() * 4.0) as u32;
        let measured = match failure {
            Some(EventKind::Silent) => return Sent::Nothing,
            Some(EventKind::Stuck) => self.last.unwrap_or(fresh),
            Some(EventKind::Sentinel) => Measured { speed_tenths: Some(-990), occupancy_tenths: -990, ..fresh },
            Some(_) | None => fresh,
        };
        if failure != Some(EventKind::Sentinel) {
            self.last = Some(measured);
        }
        match (dropped, garbled) {
            (true, _) => Sent::Nothing,
            (false, true) => Sent::Garbled(measured, way),
            (false, false) => Sent::Reading(measured),
        }
    }

    fn measure(&mut self, interval_micros: i64, traffic: &Traffic) -> Measured {
        let (count_noise, speed_noise) = (self.measurement.normal(), self.measurement.normal());
        let occupancy_noise = self.measurement.normal();
        let vehicles = traffic.vehicles.max(0.0);
        let count = (vehicles + vehicles.sqrt() * COUNT_SPREAD * count_noise).round().max(0.0);
        let speed = traffic.speed_kmh + speed_noise * (traffic.speed_kmh * SPEED_SPREAD).max(SPEED_SPREAD_KMH);
        let covered = traffic.density / f64::from(LANES) * COVERED_KM * 100.0;
        let occupancy = (covered + occupancy_noise * OCCUPANCY_SPREAD).clamp(0.0, 100.0);
        let hours = interval_micros as f64 / 3_600_000_000.0;
        Measured {
            speed_tenths: (count > 0.0).then(|| (speed.max(1.0) * 10.0).round() as i64),
            flow_veh_h: (count / hours).round() as i64,
            occupancy_tenths: (occupancy * 10.0).round() as i64,
        }
    }

    /// The failure at this time, perhaps one that begins now. Draws the same count of numbers whatever happens.
    fn failure(&mut self, time_micros: i64, interval_micros: i64) -> Option<EventKind> {
        let (begins, lasts) = (self.fault.uniform(), self.fault.uniform());
        let (kind, prone) = self.weakness?;
        self.failing = self.failing.filter(|(_, until)| time_micros < *until);
        let per_interval = prone.per_hour * interval_micros as f64 / 3_600_000_000.0;
        if self.failing.is_none() && begins < per_interval {
            let minutes = prone.minutes.0 + (prone.minutes.1 - prone.minutes.0) * lasts;
            let until = time_micros + (minutes * 60_000_000.0) as i64;
            self.failing = Some((kind, until));
            self.failures.iter_mut().for_each(|failures| failures.push((kind, time_micros, until)));
        }
        self.failing.map(|(failure, _)| failure)
    }
}
