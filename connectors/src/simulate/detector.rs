//! What a detector says about the traffic that passed it: counts, mean speed, occupancy, with noise and failures.

use std::collections::VecDeque;

use super::config::Faults;
use super::corridor::Traffic;
use super::failure::{Failure, Failures};
use super::layout::LANES;
use super::noise::{Noise, Purpose};
use super::truth::EventKind;

/// Standard deviations: speed 3 % and 1 km/h, count a third of its square root, occupancy 0.3 percent points.
const SPEED_SPREAD: f64 = 0.03;
const SPEED_SPREAD_KMH: f64 = 1.0;
const COUNT_SPREAD: f64 = 1.0 / 3.0;
const OCCUPANCY_SPREAD: f64 = 0.3;
/// By which they are multiplied in a noisy detector.
const NOISY_FACTOR: f64 = 5.0;
/// Length that a vehicle covers a loop for, km: the vehicle and the loop, 7 m.
const COVERED_KM: f64 = 0.007;

/// Any reading is missing with this probability, and garbled with that one.
const DROPPED: f64 = 0.002;
const GARBLED: f64 = 0.000_1;
/// A detector that sends readings again has so many of the last ones at hand.
const AT_HAND: usize = 5;

const MICROS_PER_HOUR: f64 = 3_600_000_000.0;

/// What a detector measured in one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// Tenths of km/h; `None` where no vehicle passed.
    pub(super) speed_tenths: Option<i64>,
    /// Vehicles per hour over all lanes, a whole number.
    pub(super) flow_veh_h: i64,
    /// Tenths of percent of the time that the loops were covered.
    pub(super) occupancy_tenths: i64,
}

/// A reading with the time that its detector believes it to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stamped {
    pub(super) measured: Measured,
    pub(super) stamp_micros: i64,
}

/// What comes out of a detector at the end of an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sent {
    Reading(Stamped),
    /// A reading whose payload is damaged in the way of this number, 0 to 3.
    Garbled(Stamped, u32),
    Nothing,
}

/// One detector: its noise, its weakness, and what it is going through.
#[derive(Debug, Clone)]
pub(super) struct Detector {
    measurement: Noise,
    fault: Noise,
    pub(super) failures: Failures,
    last: Option<Measured>,
    /// The last readings of one that sends some again, the newest first.
    at_hand: VecDeque<Stamped>,
    /// A reading that is sent again, behind the one that was observed last.
    again: Option<Stamped>,
}

impl Detector {
    pub(super) fn new(seed: u64, index: u32, faults: Faults) -> Self {
        Self {
            measurement: Noise::new(seed, Purpose::Measurement, u64::from(index)),
            fault: Noise::new(seed, Purpose::Fault, u64::from(index)),
            failures: Failures::new(seed, index, faults),
            last: None,
            at_hand: VecDeque::new(),
            again: None,
        }
    }

    /// What the detector sends at `time_micros` about the interval that ends there. Draws the same count of numbers from
    /// `measurement` and `fault` whatever happens.
    pub(super) fn observe(&mut self, time_micros: i64, interval_micros: i64, traffic: &Traffic) -> Sent {
        let draw = (self.fault.uniform(), self.fault.uniform());
        let failure = self.failures.at(time_micros, interval_micros, draw);
        let (dropped, garbled) = (self.fault.happens(DROPPED), self.fault.happens(GARBLED));
        let way = (self.fault.uniform() * 4.0) as u32;
        let fresh = self.measure(time_micros, interval_micros, traffic, failure.as_ref());
        let kind = failure.map(|present| present.kind);
        let measured = match kind {
            Some(EventKind::Silent) => return Sent::Nothing,
            Some(EventKind::Stuck) => self.last.unwrap_or(fresh),
            Some(EventKind::Sentinel) => Measured { speed_tenths: Some(-990), occupancy_tenths: -990, ..fresh },
            Some(_) | None => fresh,
        };
        if kind != Some(EventKind::Sentinel) {
            self.last = Some(measured);
        }
        let error_micros = match &failure {
            Some(clock) if clock.kind == EventKind::Clock => self.failures.clock_error_micros(clock),
            _ => 0,
        };
        let stamped = Stamped { measured, stamp_micros: time_micros + error_micros };
        match (dropped, garbled) {
            (true, _) => return Sent::Nothing,
            (false, true) => return Sent::Garbled(stamped, way),
            (false, false) => {}
        }
        if self.failures.duplicates() {
            self.remember(stamped, kind == Some(EventKind::Duplicate));
        }
        Sent::Reading(stamped)
    }

    /// The reading that is sent again now, if one is.
    pub(super) fn take_again(&mut self) -> Option<Stamped> {
        self.again.take()
    }

    fn remember(&mut self, stamped: Stamped, failing: bool) {
        self.at_hand.truncate(AT_HAND - 1);
        self.at_hand.push_front(stamped);
        if failing {
            self.again = self.failures.again(self.at_hand.len()).and_then(|at| self.at_hand.get(at).copied());
        }
    }

    fn measure(
        &mut self,
        time_micros: i64,
        interval_micros: i64,
        traffic: &Traffic,
        failure: Option<&Failure>,
    ) -> Measured {
        let (spread, bias) = match failure {
            Some(noisy) if noisy.kind == EventKind::Noisy => (NOISY_FACTOR, 1.0),
            Some(drift) if drift.kind == EventKind::Drift => {
                let hours = (time_micros - drift.from_micros) as f64 / MICROS_PER_HOUR;
                (1.0, 1.0 + drift.size.unwrap_or(0.0) / 100.0 * hours)
            }
            _ => (1.0, 1.0),
        };
        let (count_noise, speed_noise) = (self.measurement.normal() * spread, self.measurement.normal() * spread);
        let occupancy_noise = self.measurement.normal() * spread;
        let vehicles = traffic.vehicles.max(0.0);
        let count = (vehicles + vehicles.sqrt() * COUNT_SPREAD * count_noise).round().max(0.0);
        let speed = traffic.speed_kmh + speed_noise * (traffic.speed_kmh * SPEED_SPREAD).max(SPEED_SPREAD_KMH);
        let covered = traffic.density / f64::from(LANES) * COVERED_KM * 100.0;
        let occupancy = (covered + occupancy_noise * OCCUPANCY_SPREAD).clamp(0.0, 100.0);
        let hours = interval_micros as f64 / MICROS_PER_HOUR;
        Measured {
            speed_tenths: (count > 0.0).then(|| ((speed * bias).max(1.0) * 10.0).round() as i64),
            flow_veh_h: (count / hours).round() as i64,
            occupancy_tenths: (occupancy * 10.0).round() as i64,
        }
    }
}
