//! One road: a cell of 500 m per detector, three lanes. Demand in, density and flow of every cell out. Which other roads it
//! joins, and what happens to all of them, is the city's business.
//!
//! # Source
//! Daganzo, "The cell transmission model", Transportation Research B 28 (1994): flow between cells is the least of
//! what the upstream cell can send and the downstream cell can take. Deviations: speed already falls by up to a fifth
//! between the empty road and capacity; a bottleneck's capacity drops while it is queued (Hall and Agyemang-Duah,
//! 1991), fluctuates slowly, and falls further in incidents; entries get a fixed share when they merge.

use super::config::SimulateConfig;
use super::demand::Demand;
use super::layout::{CELL_KM, Direction, ENTRIES, EXIT_SHARE, EXITS, cell_at, free_flow_kmh};
use super::noise::{Noise, Purpose};
use super::weather::Road;

/// Capacity of an ordinary cell, vehicles per hour: 2,000 per lane.
const CAPACITY: f64 = 6_000.0;
/// Speed at which a queue's dissolution travels upstream, km/h.
const WAVE_KMH: f64 = 20.0;
/// Share of the free speed that is lost when flow reaches capacity.
const SLOWING: f64 = 0.2;
/// Peak demand at a corridor's start and at each entry, vehicles per hour. What comes over the junction and the ring takes
/// the place of a part of it.
const MAIN_PEAK: f64 = 4_350.0;
const MAIN_PEAK_BEHIND_JUNCTION: f64 = 2_700.0;
const ENTRY_PEAK: f64 = 620.0;
const ENTRY_PEAK_BEHIND_RING: f64 = 400.0;
/// Largest share of a cell's room that vehicles take at an entry.
const ENTRY_SHARE: f64 = 0.25;
/// Bottlenecks, as shares of the corridor's length, and their share of an ordinary cell's capacity: a weaving section that
/// gives way on heavy days, and a lane drop that queues in most rush hours.
const BOTTLENECKS: [(f64, f64); 2] = [(0.46, 0.94), (0.72, 0.91)];
/// What a queued bottleneck loses of its capacity.
const CAPACITY_DROP: f64 = 0.05;
/// Slow fluctuation of bottleneck capacity: first-order autoregression, one step a minute, standard deviation 4 %.
const CAPACITY_KEPT: f64 = 0.97;
const CAPACITY_SPREAD: f64 = 0.04;
/// sqrt(1 - 0.97^2): keeps the fluctuation's variance.
const CAPACITY_STEP: f64 = 0.243_104_915_622_86;
/// Incidents: one on this share of a corridor's days, at a uniform place, beginning uniformly between 6 and 20 h, lasting
/// uniformly 20 to 50 minutes, leaving this share of capacity.
const INCIDENT_DAYS: f64 = 0.3;
pub(super) const INCIDENT_CAPACITY: f64 = 0.55;

const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_MINUTE: i64 = 60_000_000;

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
    /// `None` where there is no entry.
    entry: Option<Entry>,
    exit_share: f64,
    density: f64,
    /// Vehicles per hour that come from another corridor.
    joining: f64,
    /// Vehicles per hour above which the roads to other corridors are full.
    leaving_max: f64,
}

/// Where vehicles from the neighbourhood enter.
#[derive(Debug, Clone)]
struct Entry {
    /// Demand at its peak, vehicles per hour.
    peak: f64,
    /// Vehicles that wait.
    queue: f64,
}

/// A blocked lane or two, in the cell of a corridor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incident {
    pub(super) cell: usize,
    pub(super) from_micros: i64,
    pub(super) to_micros: i64,
}

/// A corridor's state at a simulated time.
#[derive(Debug, Clone)]
pub(super) struct Corridor {
    seed: u64,
    number: u32,
    pub(super) direction: Direction,
    cells: Vec<Cell>,
    main_peak: f64,
    /// Vehicles that wait before the first cell.
    main_queue: f64,
    demand: Demand,
    capacity_noise: Noise,
    capacity_wave: f64,
    day: i64,
    /// That of the present day.
    pub(super) incident: Option<Incident>,
    /// Vehicles per hour: into the first cell, into each cell from outside, out of each cell.
    main_flow: f64,
    entering: Vec<f64>,
    leaving: Vec<f64>,
}

impl Corridor {
    /// The road as it is when nobody is on it.
    pub(super) fn empty(config: &SimulateConfig, number: u32) -> Self {
        let direction = Direction::of(config.corridors, number);
        let first = number * config.detectors;
        let cell = |cell: u32| Cell::new(free_flow_kmh(config.seed, first + cell));
        let mut cells: Vec<Cell> = (0..config.detectors).map(cell).collect();
        let at = |share: f64| cell_at(config.detectors, share);
        let behind = direction == Direction::Outbound;
        for (place, share) in ENTRIES.into_iter().enumerate() {
            let ring = behind && place == 0;
            let peak = if ring { ENTRY_PEAK_BEHIND_RING } else { ENTRY_PEAK };
            cells[at(share)].entry = Some(Entry { peak, queue: 0.0 });
        }
        EXITS.iter().for_each(|share| cells[at(*share)].exit_share = EXIT_SHARE);
        BOTTLENECKS.iter().for_each(|(share, capacity)| cells[at(*share)].capacity_share = *capacity);
        let none = vec![0.0; cells.len()];
        Self {
            seed: config.seed,
            number,
            direction,
            cells,
            main_peak: if behind { MAIN_PEAK_BEHIND_JUNCTION } else { MAIN_PEAK },
            main_queue: 0.0,
            demand: Demand::new(config.seed, number, direction),
            capacity_noise: Noise::of_corridor(config.seed, Purpose::Capacity, number, 0),
            capacity_wave: 0.0,
            day: i64::MIN,
            incident: None,
            main_flow: 0.0,
            entering: none.clone(),
            leaving: none,
        }
    }

    /// What changes from minute to minute; says whether a day began, with its incident or none.
    pub(super) fn begin_minute(&mut self, time_micros: i64) -> bool {
        self.demand.step_minute();
        let pull = self.capacity_noise.normal() * CAPACITY_SPREAD * CAPACITY_STEP;
        self.capacity_wave = self.capacity_wave * CAPACITY_KEPT + pull;
        self.plan_incident(time_micros)
    }

    /// Vehicles enter at the start and at the entries, as far as there is room beside those that come from other corridors;
    /// the others wait. `crowd` is vehicles per hour beside the day's demand.
    pub(super) fn enter(&mut self, time_micros: i64, crowd: f64, hours: f64) {
        let demand = self.demand.factor(time_micros);
        for (cell, entering) in self.cells.iter_mut().zip(&mut self.entering) {
            let room = cell.receiving();
            *entering = cell.joining;
            let Some(entry) = &mut cell.entry else { continue };
            entry.queue += entry.peak * demand * hours;
            let flow = (entry.queue / hours).min((ENTRY_SHARE * room - cell.joining).max(0.0));
            entry.queue -= flow * hours;
            *entering += flow;
        }
        self.main_queue += (self.main_peak * demand + crowd) * hours;
        let room = self.cells.first().map_or(0.0, |first| first.receiving() - self.entering[0]);
        self.main_flow = (self.main_queue / hours).min(room);
        self.main_queue -= self.main_flow * hours;
    }

    /// Decides how many vehicles leave each cell; nobody moves yet.
    pub(super) fn send(&mut self, time_micros: i64, road: Road) {
        for index in 0..self.cells.len() {
            self.leaving[index] = self.flow_out(index, time_micros, road);
        }
    }

    /// Vehicles move on.
    pub(super) fn drive(&mut self, hours: f64) {
        let mut from_upstream = self.main_flow;
        for ((cell, leaving), entering) in self.cells.iter_mut().zip(&self.leaving).zip(&self.entering) {
            cell.density = (cell.density + (from_upstream + entering - leaving) * hours / CELL_KM).max(0.0);
            from_upstream = leaving * (1.0 - cell.exit_share);
        }
    }

    /// Adds up what passes the detectors, in one of an interval's steps.
    pub(super) fn count(&self, hours: f64, steps: i64, passed: &mut [Traffic]) {
        for ((traffic, cell), flow) in passed.iter_mut().zip(&self.cells).zip(&self.leaving) {
            traffic.vehicles += flow * hours;
            traffic.density += cell.density / steps as f64;
        }
    }

    /// Mean speeds of an interval whose vehicles and density were counted.
    pub(super) fn speeds(&self, interval_hours: f64, passed: &mut [Traffic]) {
        for (traffic, cell) in passed.iter_mut().zip(&self.cells) {
            let by_flow = traffic.vehicles / interval_hours / traffic.density.max(0.1);
            traffic.speed_kmh = by_flow.clamp(2.0, cell.free_kmh);
        }
    }

    /// Vehicles per hour that a cell has room for.
    pub(super) fn room(&self, cell: usize) -> f64 {
        self.cells[cell].receiving()
    }

    /// Forgets what other corridors said of a cell in the step before.
    pub(super) fn open(&mut self, cell: usize) {
        self.cells[cell].joining = 0.0;
        self.cells[cell].leaving_max = f64::INFINITY;
    }

    /// Vehicles per hour that come into a cell from another corridor.
    pub(super) fn join(&mut self, cell: usize, flow: f64) {
        self.cells[cell].joining += flow;
    }

    /// Vehicles per hour that may leave a cell at most, for want of room on the way to another corridor.
    pub(super) fn hold_back(&mut self, cell: usize, leaving_max: f64) {
        let cell = &mut self.cells[cell];
        cell.leaving_max = cell.leaving_max.min(leaving_max);
    }

    /// Vehicles per hour that leave a cell.
    pub(super) fn leaving(&self, cell: usize) -> f64 {
        self.leaving[cell]
    }

    /// What a cell can send, its exit can let through, and the next one and other corridors can take.
    fn flow_out(&self, index: usize, time_micros: i64, road: Road) -> f64 {
        let cell = &self.cells[index];
        let mut capacity = CAPACITY * cell.capacity_share * road.capacity;
        if cell.capacity_share < 1.0 {
            let queued = cell.density > cell.critical;
            capacity *= (1.0 + self.capacity_wave) * if queued { 1.0 - CAPACITY_DROP } else { 1.0 };
        }
        let blocked = |incident: &Incident| {
            incident.cell == index && (incident.from_micros..incident.to_micros).contains(&time_micros)
        };
        if self.incident.as_ref().is_some_and(blocked) {
            capacity *= INCIDENT_CAPACITY;
        }
        let sent = (cell.sending() * road.speed).min(capacity).min(cell.leaving_max);
        match self.cells.get(index + 1) {
            Some(next) => sent.min((next.receiving() - self.entering[index + 1]) / (1.0 - cell.exit_share)),
            None => sent,
        }
    }

    /// Draws the incident of a day, or none, when the day begins.
    fn plan_incident(&mut self, time_micros: i64) -> bool {
        let day = time_micros.div_euclid(MICROS_PER_DAY);
        if day == self.day {
            return false;
        }
        self.day = day;
        let mut noise = Noise::of_corridor(self.seed, Purpose::Incident, self.number, day as u64);
        let cell = (noise.uniform() * self.cells.len() as f64) as usize;
        let from_micros = day * MICROS_PER_DAY + (noise.between(6.0, 20.0) * 3_600_000_000.0) as i64;
        let to_micros = from_micros + (noise.between(20.0, 50.0) * MICROS_PER_MINUTE as f64) as i64;
        self.incident = noise.happens(INCIDENT_DAYS).then_some(Incident { cell, from_micros, to_micros });
        true
    }
}

impl Cell {
    fn new(free_kmh: f64) -> Self {
        let critical = CAPACITY / (free_kmh * (1.0 - SLOWING));
        let jam = critical + CAPACITY / WAVE_KMH;
        Self {
            free_kmh,
            critical,
            jam,
            capacity_share: 1.0,
            entry: None,
            exit_share: 0.0,
            density: 0.0,
            joining: 0.0,
            leaving_max: f64::INFINITY,
        }
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
