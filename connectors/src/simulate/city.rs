//! All corridors together: they move in step, ramps take vehicles from one to another, weather and matches come over all of
//! them. What passed every detector leaves, and what happened, where somebody wants to know.
//!
//! # Source
//! Daganzo, "The cell transmission model, part II: network traffic", Transportation Research B 29 (1995): where a road
//! divides, vehicles wait for those before them, so one full branch holds back all. Deviation: between two corridors
//! stands a ramp, a store of vehicles that the one fills and the other empties; those on it do not keep their order.

use super::config::SimulateConfig;
use super::corridor::{Corridor, INCIDENT_CAPACITY, Incident, Traffic};
use super::layout::{Direction, RampPlan, ramps, sensor_id};
use super::stadium::Stadium;
use super::truth::{Event, EventKind};
use super::weather::{Road, Weather};

const MICROS_PER_MINUTE: i64 = 60_000_000;
const MICROS_PER_HOUR: f64 = 3_600_000_000.0;
/// An hour: longer than the first vehicle takes over two corridors of 64 detectors.
const WARM_UP_MICROS: i64 = 3_600_000_000;
/// Longest step, seconds: at 120 km/h a vehicle crosses two thirds of a cell in it, and must not cross more than one.
const STEP_SECONDS_MAX: i64 = 10;

/// A road between corridors, and the vehicles on it.
#[derive(Debug, Clone)]
struct Ramp {
    plan: RampPlan,
    vehicles: f64,
    /// Vehicles per hour that leave it.
    flow: f64,
}

/// The city's state at a simulated time.
#[derive(Debug, Clone)]
pub(super) struct City {
    corridors: Vec<Corridor>,
    detectors: usize,
    ramps: Vec<Ramp>,
    weather: Option<Weather>,
    road: Road,
    stadium: Option<Stadium>,
    /// What happened, where somebody wants to know.
    pub(super) events: Option<Vec<Event>>,
    time_micros: i64,
    next_minute: i64,
}

impl City {
    /// The roads as they are at `time_micros`: they were empty [`WARM_UP_MICROS`] before.
    pub(super) fn new(config: &SimulateConfig, time_micros: i64) -> Self {
        let begins = time_micros - WARM_UP_MICROS;
        let mut city = Self {
            corridors: (0..config.corridors).map(|number| Corridor::empty(config, number)).collect(),
            detectors: config.detectors as usize,
            ramps: ramps(config).into_iter().map(|plan| Ramp { plan, vehicles: 0.0, flow: 0.0 }).collect(),
            weather: config.weather.then(|| Weather::new(config.seed, time_micros)),
            road: Road::DRY,
            stadium: config.stadium.then(|| Stadium::new(config.seed)),
            events: None,
            time_micros: begins,
            next_minute: begins,
        };
        city.advance(WARM_UP_MICROS, &mut Vec::new());
        city
    }

    /// Notes what happens from here on, incidents and the match of the present day, and the shower that was drawn last.
    pub(super) fn note_events(&mut self) {
        let mut events: Vec<Event> = (0..self.corridors.len()).filter_map(|number| self.incident(number)).collect();
        events.extend(self.weather.as_ref().and_then(Weather::shower));
        events.extend(self.stadium.iter().flat_map(Stadium::events).cloned());
        self.events = Some(events);
    }

    /// Drives on for `interval_micros` and says what passed every detector meanwhile, corridor by corridor.
    pub(super) fn advance(&mut self, interval_micros: i64, passed: &mut Vec<Traffic>) {
        passed.clear();
        passed.resize(self.corridors.len() * self.detectors, Traffic::default());
        let steps = (interval_micros + STEP_SECONDS_MAX * 1_000_000 - 1) / (STEP_SECONDS_MAX * 1_000_000);
        let step_micros = interval_micros / steps.max(1);
        let hours = step_micros as f64 / MICROS_PER_HOUR;
        for _ in 0..steps {
            self.step(step_micros, hours);
            for (corridor, traffic) in self.corridors.iter().zip(passed.chunks_mut(self.detectors)) {
                corridor.count(hours, steps, traffic);
            }
        }
        // A remainder of the division would let the road's time fall behind the readings'.
        self.time_micros += interval_micros - step_micros * steps;
        let interval_hours = interval_micros as f64 / MICROS_PER_HOUR;
        for (corridor, traffic) in self.corridors.iter().zip(passed.chunks_mut(self.detectors)) {
            corridor.speeds(interval_hours, traffic);
        }
    }

    fn step(&mut self, step_micros: i64, hours: f64) {
        if self.time_micros >= self.next_minute {
            self.next_minute += MICROS_PER_MINUTE;
            self.begin_minute();
        }
        self.empty_ramps(hours);
        let (time_micros, road) = (self.time_micros, self.road);
        let crowd = self.stadium.as_ref().map(|stadium| stadium.crowd(time_micros)).unwrap_or_default();
        for corridor in &mut self.corridors {
            let crowd = if corridor.direction == Direction::Outbound { crowd.outbound } else { crowd.inbound };
            corridor.enter(time_micros, crowd, hours);
            corridor.send(time_micros, road);
        }
        self.fill_ramps(hours);
        self.corridors.iter_mut().for_each(|corridor| corridor.drive(hours));
        self.time_micros += step_micros;
    }

    fn begin_minute(&mut self) {
        for number in 0..self.corridors.len() {
            if self.corridors[number].begin_minute(self.time_micros)
                && let Some(incident) = self.incident(number)
            {
                self.note(&incident);
            }
        }
        if let Some(weather) = &mut self.weather {
            let (road, shower) = weather.at(self.time_micros);
            self.road = road;
            shower.iter().for_each(|event| self.note(event));
        }
        let any_outbound = self.corridors.len() > 1;
        if let Some(stadium) = &mut self.stadium
            && stadium.plan(self.time_micros, any_outbound)
        {
            let events = stadium.events().to_vec();
            events.iter().for_each(|event| self.note(event));
        }
    }

    /// Vehicles at the ends of ramps enter, and the corridors before them learn how many may follow.
    fn empty_ramps(&mut self, hours: f64) {
        for Ramp { plan, .. } in &self.ramps {
            self.corridors[plan.to.0].open(plan.to.1);
            plan.from.iter().for_each(|(corridor, cell)| self.corridors[*corridor].open(*cell));
        }
        for ramp in &mut self.ramps {
            let plan = &ramp.plan;
            // Of those on the way some arrive in each step.
            let arrived = ramp.vehicles / plan.crossing_hours.max(hours);
            ramp.flow = arrived.min(plan.room_share * self.corridors[plan.to.0].room(plan.to.1));
            self.corridors[plan.to.0].join(plan.to.1, ramp.flow);
            // Each may fill its part of what is free: together they never overfill it.
            let free = (plan.vehicles_max - ramp.vehicles).max(0.0) / plan.from.len() as f64;
            for (corridor, cell) in &plan.from {
                self.corridors[*corridor].hold_back(*cell, free / hours / plan.share);
            }
        }
    }

    /// Vehicles that leave a corridor for another one are on the ramp.
    fn fill_ramps(&mut self, hours: f64) {
        for Ramp { plan, vehicles, flow } in &mut self.ramps {
            let leaving = |(corridor, cell): &(usize, usize)| self.corridors[*corridor].leaving(*cell);
            let came = plan.from.iter().map(leaving).sum::<f64>() * plan.share;
            *vehicles = (*vehicles + (came - *flow) * hours).max(0.0);
        }
    }

    /// The incident of the present day.
    fn incident(&self, number: usize) -> Option<Event> {
        let Incident { cell, from_micros, to_micros } = self.corridors[number].incident?;
        let sensor_id = Some(sensor_id(self.corridors.len() as u32, number as u32, cell as u32));
        Some(Event { kind: EventKind::Incident, sensor_id, from_micros, to_micros, size: Some(INCIDENT_CAPACITY) })
    }

    fn note(&mut self, event: &Event) {
        self.events.iter_mut().for_each(|events| events.push(event.clone()));
    }
}
