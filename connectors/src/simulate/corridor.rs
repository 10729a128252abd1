//! The road: one cell of 500 m per detector, three lanes. Demand in, density and flow of every cell out.
//!
//! # Source
//! Daganzo, "The cell transmission model", Transportation Research B 28 (1994): flow between cells is the least of
//! what the upstream cell can send and the downstream cell can take. Deviations: speed already falls by up to a fifth
//! between the empty road and capacity; a bottleneck's capacity drops while it is queued (Hall and Agyemang-Duah,
//! 1991), fluctuates slowly, and falls further in incidents; entries get a fixed share when they merge.

use super::config::{SimulateConfig, sensor_id};
use super::demand::Demand;
use super::noise::{Noise, Purpose};
use super::truth::{Event, EventKind};
use super::weather::{Road, Weather};

/// Length of a cell, and distance of detectors, km.
pub(super) const CELL_KM: f64 = 0.5;
/// Lanes of every cell.
pub(super) const LANES: u32 = 3;

/// Capacity of an ordinary cell, vehicles per hour: 2,000 per lane.
const CAPACITY: f64 = 6_000.0;
/// Speed at which a queue's dissolution travels upstream, km/h.
const WAVE_KMH: f64 = 20.0;
/// Share of the free speed that is lost when flow reaches capacity.
const SLOWING: f64 = 0.2;
/// Peak demand at the corridor's start and at each entry, vehicles per hour.
const MAIN_PEAK: f64 = 4_350.0;
const ENTRY_PEAK: f64 = 620.0;
/// Largest share of a cell's room that entering vehicles take.
const ENTRY_SHARE: f64 = 0.25;
/// Share of vehicles that leave at each exit.
const EXIT_SHARE: f64 = 0.10;
/// Places along the corridor, as shares of its length.
const ENTRIES: [f64; 3] = [0.18, 0.42, 0.62];
const EXITS: [f64; 2] = [0.30, 0.82];
/// Bottlenecks and their share of an ordinary cell's capacity: a weaving section that gives way on heavy days, and a
/// lane drop that queues in most rush hours.
const BOTTLENECKS: [(f64, f64); 2] = [(0.46, 0.94), (0.72, 0.91)];
/// What a queued bottleneck loses of its capacity.
const CAPACITY_DROP: f64 = 0.05;
/// Slow fluctuation of bottleneck capacity: first-order autoregression, one step a minute, standard deviation 4 %.
const CAPACITY_KEPT: f64 = 0.97;
const CAPACITY_SPREAD: f64 = 0.04;
/// sqrt(1 - 0.97^2): keeps the fluctuation's variance.
const CAPACITY_STEP: f64 = 0.243_104_915_622_86;
/// Incidents: one on this share of days, at a uniform place, beginning uniformly between 6 and 20 h, lasting uniformly
/// 20 to 50 minutes, leaving this share of capacity.
const INCIDENT_DAYS: f64 = 0.3;
const INCIDENT_CAPACITY: f64 = 0.55;

const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_MINUTE: i64 = 60_000_000;
/// An hour: longer than the first vehicle takes to the end of a corridor of 64 detectors.
const WARM_UP_MICROS: i64 = 3_600_000_000;
/// Longest step, seconds: at 120 km/h a vehicle crosses two thirds of a cell in it, and must not cross more than one.
const STEP_SECONDS_MAX: i64 = 10;

/// Speed of an empty road at a detector, km/h: uniform between 100 and 118, rounded to whole km/h.
pub(super) fn free_flow_kmh(seed: u64, detector: u32) -> f64 {
    Noise::new(seed, Purpose::Layout, u64::from(detector)).between(100.0, 118.0).round()
}

/// What passed a detector in one interval, before it is measured.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    /// Vehicles that left the cell.
    pub(super) vehicles: f64,
    /// Mean density, vehicles per km over all lanes.
    pub(super) density: f64,
    /// Mean speed, km/h.
    pub(super) speed_kmh: f64,
}

#[derive(Debug, Clone)]
struct Cell {
    free_kmh: f64,
    /// Density at capacity.
    critical: f64,
    /// Density of a standing queue.
    jam: f64,
    /// Share of [`CAPACITY`] that the cell's exit lets through.
    capacity_share: f64,
    /// Vehicles that wait at the entry into this cell; `None` where it has none.
    entry_queue: Option<f64>,
    exit_share: f64,
    density: f64,
}

#[derive(Debug, Clone, Copy)]
struct Incident {
    cell: usize,
    from_micros: i64,
    to_micros: i64,
}

/// The corridor's state at a simulated time.
#[derive(Debug, Clone)]
pub(super) struct Corridor {
    seed: u64,
    cells: Vec<Cell>,
    /// Vehicles that wait before the first cell.
    main_queue: f64,
    demand: Demand,
    capacity_noise: Noise,
    capacity_wave: f64,
    day: i64,
    incident: Option<Incident>,
    weather: Option<Weather>,
    road: Road,
    /// What happened, where somebody wants to know.
    pub(super) events: Option<Vec<Event>>,
    time_micros: i64,
    next_minute: i64,
    /// Vehicles per hour: into the first cell, into each cell from its entry, out of each cell.
    main_flow: f64,
    entering: Vec<f64>,
    leaving: Vec<f64>,
}

impl Corridor {
    /// The road as it is at `time_micros`: it was empty [`WARM_UP_MICROS`] before.
    pub(super) fn new(config: &SimulateConfig, time_micros: i64) -> Self {
        let mut road = Self::empty(config.seed, config.detectors, time_micros - WARM_UP_MICROS);
        road.weather = config.weather.then(|| Weather::new(config.seed, time_micros));
        road.advance(WARM_UP_MICROS, &mut Vec::new());
        road
    }

    fn empty(seed: u64, detectors: u32, time_micros: i64) -> Self {
        let mut cells: Vec<Cell> = (0..detectors).map(|detector| Cell::new(free_flow_kmh(seed, detector))).collect();
        let at = |share: f64| ((f64::from(detectors) * share) as usize).min(detectors as usize - 1);
        ENTRIES.iter().for_each(|share| cells[at(*share)].entry_queue = Some(0.0));
        EXITS.iter().for_each(|share| cells[at(*share)].exit_share = EXIT_SHARE);
        BOTTLENECKS.iter().for_each(|(share, capacity)| cells[at(*share)].capacity_share = *capacity);
        let none = vec![0.0; cells.len()];
        Self {
            seed,
            cells,
            main_queue: 0.0,
            demand: Demand::new(seed),
            capacity_noise: Noise::new(seed, Purpose::Capacity, 0),
            capacity_wave: 0.0,
            day: i64::MIN,
            incident: None,
            weather: None,
            road: Road::DRY,
            events: None,
            time_micros,
            next_minute: time_micros,
            main_flow: 0.0,
            entering: none.clone(),
            leaving: none,
        }
    }

    /// Notes what happens from here on, the incident of the present day and the shower that was drawn last.
    pub(super) fn note_events(&mut self) {
        let shower = self.weather.as_ref().and_then(Weather::shower);
        self.events = Some(self.incident.iter().map(Incident::event).chain(shower).collect());
    }

    /// Drives on for `interval_micros` and says what passed every detector meanwhile.
    pub(super) fn advance(&mut self, interval_micros: i64, passed: &mut Vec<Traffic>) {
        passed.clear();
        passed.resize(self.cells.len(), Traffic::default());
        let steps = (interval_micros + STEP_SECONDS_MAX * 1_000_000 - 1) / (STEP_SECONDS_MAX * 1_000_000);
        let step_micros = interval_micros / steps.max(1);
        let hours = step_micros as f64 / 3_600_000_000.0;
        for _ in 0..steps {
            self.step(step_micros, hours);
            for ((traffic, cell), flow) in passed.iter_mut().zip(&self.cells).zip(&self.leaving) {
                traffic.vehicles += flow * hours;
                traffic.density += cell.density / steps as f64;
            }
        }
        // A remainder of the division would let the road's time fall behind the readings'.
        self.time_micros += interval_micros - step_micros * steps;
        let interval_hours = interval_micros as f64 / 3_600_000_000.0;
        for (traffic, cell) in passed.iter_mut().zip(&self.cells) {
            let by_flow = traffic.vehicles / interval_hours / traffic.density.max(0.1);
            traffic.speed_kmh = by_flow.clamp(2.0, cell.free_kmh);
        }
    }

    fn step(&mut self, step_micros: i64, hours: f64) {
        if self.time_micros >= self.next_minute {
            self.next_minute += MICROS_PER_MINUTE;
            self.demand.step_minute();
            let pull = self.capacity_noise.normal() * CAPACITY_SPREAD * CAPACITY_STEP;
            self.capacity_wave = self.capacity_wave * CAPACITY_KEPT + pull;
            self.plan_incident();
            if let Some(weather) = &mut self.weather {
                let (road, shower) = weather.at(self.time_micros);
                self.road = road;
                self.events.iter_mut().for_each(|events| events.extend(shower.clone()));
            }
        }
        let demand = self.demand.factor(self.time_micros);
        self.enter(demand, hours);
        for index in 0..self.cells.len() {
            self.leaving[index] = self.flow_out(index);
        }
        let mut from_upstream = self.main_flow;
        for ((cell, leaving), entering) in self.cells.iter_mut().zip(&self.leaving).zip(&self.entering) {
            cell.density = (cell.density + (from_upstream + entering - leaving) * hours / CELL_KM).max(0.0);
            from_upstream = leaving * (1.0 - cell.exit_share);
        }
        self.time_micros += step_micros;
    }

    /// Vehicles enter at the start and at the entries, as far as there is room; the others wait.
    fn enter(&mut self, demand: f64, hours: f64) {
        for (cell, entering) in self.cells.iter_mut().zip(&mut self.entering) {
            let room = cell.receiving();
            let Some(queue) = &mut cell.entry_queue else { continue };
            *queue += ENTRY_PEAK * demand * hours;
            *entering = (*queue / hours).min(ENTRY_SHARE * room);
            *queue -= *entering * hours;
        }
        self.main_queue += MAIN_PEAK * demand * hours;
        let room = self.cells.first().map_or(0.0, |first| first.receiving() - self.entering[0]);
        self.main_flow = (self.main_queue / hours).min(room);
        self.main_queue -= self.main_flow * hours;
    }

    /// Vehicles per hour that leave a cell: what it can send, its exit can let through and the next one can take.
    fn flow_out(&self, index: usize) -> f64 {
        let cell = &self.cells[index];
        let mut capacity = CAPACITY * cell.capacity_share * self.road.capacity;
        if cell.capacity_share < 1.0 {
            let queued = cell.density > cell.critical;
            capacity *= (1.0 + self.capacity_wave) * if queued { 1.0 - CAPACITY_DROP } else { 1.0 };
        }
        let blocked = |incident: &Incident| {
            incident.cell == index && (incident.from_micros..incident.to_micros).contains(&self.time_micros)
        };
        if self.incident.as_ref().is_some_and(blocked) {
            capacity *= INCIDENT_CAPACITY;
        }
        let sent = (cell.sending() * self.road.speed).min(capacity);
        match self.cells.get(index + 1) {
            Some(next) => sent.min((next.receiving() - self.entering[index + 1]) / (1.0 - cell.exit_share)),
            None => sent,
        }
    }

    /// Draws the incident of a day, or none, when the day begins.
    fn plan_incident(&mut self) {
        let day = self.time_micros.div_euclid(MICROS_PER_DAY);
        if day == self.day {
            return;
        }
        self.day = day;
        let mut noise = Noise::new(self.seed, Purpose::Incident, day as u64);
        let cell = (noise.uniform() * self.cells.len() as f64) as usize;
        let from_micros = day * MICROS_PER_DAY + (noise.between(6.0, 20.0) * 3_600_000_000.0) as i64;
        let to_micros = from_micros + (noise.between(20.0, 50.0) * MICROS_PER_MINUTE as f64) as i64;
        self.incident = noise.happens(INCIDENT_DAYS).then_some(Incident { cell, from_micros, to_micros });
        if let (Some(events), Some(incident)) = (&mut self.events, self.incident) {
            events.push(incident.event());
        }
    }
}

impl Incident {
    fn event(&self) -> Event {
        let Self { cell, from_micros, to_micros } = *self;
        let (kind, sensor_id) = (EventKind::Incident, Some(sensor_id(cell as u32)));
        Event { kind, sensor_id, from_micros, to_micros, size: Some(INCIDENT_CAPACITY) }
    }
}

impl Cell {
    fn new(free_kmh: f64) -> Self {
        let critical = CAPACITY / (free_kmh * (1.0 - SLOWING));
        let jam = critical + CAPACITY / WAVE_KMH;
        Self { free_kmh, critical, jam, capacity_share: 1.0, entry_queue: None, exit_share: 0.0, density: 0.0 }
    }

    /// Vehicles per hour that want to leave.
    fn sending(&self) -> f64 {
        if self.density >= self.critical {
            return CAPACITY;
        }
        let filled = self.density / self.critical;
        self.density * self.free_kmh * (1.0 - SLOWING * filled * filled)
    }

    /// Vehicles per hour that find room.
    fn receiving(&self) -> f64 {
        (WAVE_KMH * (self.jam - self.density)).clamp(0.0, CAPACITY)
    }
}
