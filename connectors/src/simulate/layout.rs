//! Where the detectors are and which roads join: from the settings alone, so that tables agree with readings.
//!
//! Even corridors lead into the city, odd ones out of it, each on a road of its own. Inbound ones end at the junction in
//! the middle, where outbound ones begin, and a ring road leads from each inbound corridor to the next outbound one. No
//! vehicle comes back to where it was: a queue always dissolves from its end.

use super::config::SimulateConfig;
use super::noise::{Noise, Purpose};

/// Length of a cell, and distance of detectors, km.
pub(super) const CELL_KM: f64 = 0.5;
/// Lanes of every cell.
pub(super) const LANES: u32 = 3;

/// Places along a corridor, as shares of its length.
pub(super) const ENTRIES: [f64; 3] = [0.18, 0.42, 0.62];
pub(super) const EXITS: [f64; 2] = [0.30, 0.82];
/// Share of vehicles that leave at each exit.
pub(super) const EXIT_SHARE: f64 = 0.10;

/// Share of the vehicles at the end of the inbound corridors that go through the city and out of it again; the others
/// have arrived. It is shared evenly by the outbound corridors; where one inbound is without an outbound, less go through.
const THROUGH_SHARE: f64 = 0.4;
/// Share of the vehicles at an inbound corridor's last exit that take the ring road.
const RING_SHARE: f64 = 0.5;
/// Largest shares of a cell's room that come from the junction, from the ring.
const JUNCTION_ROOM_SHARE: f64 = 0.33;
const RING_ROOM_SHARE: f64 = 0.15;
/// Vehicles that the junction's road to an outbound corridor holds, those that a ring road's does.
const JUNCTION_VEHICLES: f64 = 120.0;
const RING_VEHICLES: f64 = 100.0;
/// Speed on the junction and the ring, km/h.
const RAMP_KMH: f64 = 60.0;

/// Distance from the junction's middle to where corridors begin and end, km.
const JUNCTION_KM: f64 = 0.5;
/// The junction's middle: in the sea, where no city is taken for this one. Degrees, and km of one of them there.
const CENTRE: (f64, f64) = (54.0, 7.0);
const DEGREE_KM: (f64, f64) = (111.2, 65.4);

/// One detector's place: a row of the table that goes with the readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Key of its readings: `L001` the most upstream, in a city `C1-L001`.
    pub sensor_id: String,
    /// Four detectors in a row make a segment: `S01`, `S02`, ..., in a city `C1-S01`.
    pub segment_id: String,
    /// Kilometres from the corridor's start.
    pub position_km: f64,
    /// Lanes it covers together.
    pub lanes: u32,
    /// Speed of an empty road, km/h.
    pub free_flow_kmh: f64,
    /// The corridor it is on: `C1`, `C2`, ...
    pub corridor: String,
    /// Where traffic of the corridor goes.
    pub direction: Direction,
    /// Degrees north, to five decimals.
    pub latitude: f64,
    /// Degrees east, to five decimals.
    pub longitude: f64,
}

/// Where the traffic of a corridor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Past a city: both rush hours. The only corridor there is.
    Through,
    /// Into the city: in the morning.
    Inbound,
    /// Out of it: in the evening.
    Outbound,
}

impl Direction {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Through => "through",
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    pub(super) fn of(corridors: u32, corridor: u32) -> Self {
        match (corridors, corridor % 2) {
            (1, _) => Self::Through,
            (_, 0) => Self::Inbound,
            _ => Self::Outbound,
        }
    }
}

/// Traffic can drive from one detector to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The detector upstream.
    pub from_id: String,
    /// The detector downstream.
    pub to_id: String,
    /// The way between them.
    pub metres: u32,
}

/// A road that leads from cells of some corridors to a cell of another one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RampPlan {
    /// Corridors and cells that vehicles come from.
    pub(super) from: Vec<(usize, usize)>,
    /// Corridor and cell that they enter.
    pub(super) to: (usize, usize),
    /// Share of what leaves each of the cells.
    pub(super) share: f64,
    /// Largest share of the entered cell's room.
    pub(super) room_share: f64,
    /// Vehicles that it holds.
    pub(super) vehicles_max: f64,
    /// Mean time on it, hours.
    pub(super) crossing_hours: f64,
}

/// The cell at this share of a corridor's length.
pub(super) fn cell_at(detectors: u32, share: f64) -> usize {
    ((f64::from(detectors) * share) as usize).min(detectors as usize - 1)
}

/// Speed of an empty road at a detector, km/h: uniform between 100 and 118, rounded to whole km/h. Detectors are counted
/// over all corridors.
pub(super) fn free_flow_kmh(seed: u64, detector: u32) -> f64 {
    Noise::new(seed, Purpose::Layout, u64::from(detector)).between(100.0, 118.0).round()
}

/// Id of a detector, from 0 upstream, of a corridor, from 0.
pub(super) fn sensor_id(corridors: u32, corridor: u32, cell: u32) -> String {
    format!("{}L{:03}", prefix(corridors, corridor), cell + 1)
}

/// One corridor's ids need none.
fn prefix(corridors: u32, corridor: u32) -> String {
    if corridors == 1 { String::new() } else { format!("C{}-", corridor + 1) }
}

/// The detectors, corridor by corridor, upstream first. Depends on `seed`, `corridors` and `detectors` only.
#[must_use]
pub fn sites(config: &SimulateConfig) -> Vec<Site> {
    let cells = (0..config.corridors).flat_map(|corridor| (0..config.detectors).map(move |cell| (corridor, cell)));
    cells.map(|(corridor, cell)| site(config, corridor, cell)).collect()
}

fn site(config: &SimulateConfig, corridor: u32, cell: u32) -> Site {
    let (east_km, north_km) = place_km(config, corridor as usize, cell as usize);
    let degrees = |centre: f64, km: f64, degree_km: f64| ((centre + km / degree_km) * 100_000.0).round() / 100_000.0;
    Site {
        sensor_id: sensor_id(config.corridors, corridor, cell),
        segment_id: format!("{}S{:02}", prefix(config.corridors, corridor), cell / 4 + 1),
        position_km: position_km(cell),
        lanes: LANES,
        free_flow_kmh: free_flow_kmh(config.seed, corridor * config.detectors + cell),
        corridor: format!("C{}", corridor + 1),
        direction: Direction::of(config.corridors, corridor),
        latitude: degrees(CENTRE.0, north_km, DEGREE_KM.0),
        longitude: degrees(CENTRE.1, east_km, DEGREE_KM.1),
    }
}

/// Which detector's traffic comes to which next: along the corridors, over the junction and the ring. Sorted by `from_id`
/// as the sites are, nearest first.
#[must_use]
pub fn links(config: &SimulateConfig) -> Vec<Link> {
    let mut pairs = Vec::new();
    for corridor in 0..config.corridors as usize {
        let along = (1..config.detectors as usize).map(|cell| ((corridor, cell - 1), (corridor, cell)));
        pairs.extend(along.map(|(from, to)| (from, (CELL_KM * 1000.0) as u32, to)));
    }
    for ramp in ramps(config) {
        let metres = (ramp.crossing_hours * RAMP_KMH * 1000.0).round() as u32;
        pairs.extend(ramp.from.iter().map(|from| (*from, metres, ramp.to)));
    }
    pairs.sort_unstable();
    let id = |(corridor, cell): (usize, usize)| sensor_id(config.corridors, corridor as u32, cell as u32);
    pairs.into_iter().map(|(from, metres, to)| Link { from_id: id(from), to_id: id(to), metres }).collect()
}

/// The roads between corridors; a single one has none.
pub(super) fn ramps(config: &SimulateConfig) -> Vec<RampPlan> {
    let corridors = config.corridors as usize;
    let (inbound, outbound) = (corridors.div_ceil(2), corridors / 2);
    let (ring_exit, ring_entry) = (cell_at(config.detectors, EXITS[1]), cell_at(config.detectors, ENTRIES[0]));
    let ramp = |from: Vec<(usize, usize)>, to: (usize, usize), share, (room_share, vehicles_max), km: f64| RampPlan {
        from,
        to,
        share,
        room_share,
        vehicles_max,
        crossing_hours: km / RAMP_KMH,
    };
    let mut ramps = Vec::with_capacity(2 * outbound);
    for out in (0..outbound).map(|pair| 2 * pair + 1) {
        let ends = (0..inbound).map(|pair| (2 * pair, config.detectors as usize - 1)).collect();
        let junction = (JUNCTION_ROOM_SHARE, JUNCTION_VEHICLES);
        let km = 2.0 * JUNCTION_KM + CELL_KM;
        ramps.push(ramp(ends, (out, 0), THROUGH_SHARE / inbound as f64, junction, km));
        let (from, to) = ((out - 1, ring_exit), (out, ring_entry));
        let (one, other) = (place_km(config, from.0, from.1), place_km(config, to.0, to.1));
        let km = ((one.0 - other.0) * (one.0 - other.0) + (one.1 - other.1) * (one.1 - other.1)).sqrt();
        ramps.push(ramp(vec![from], to, EXIT_SHARE * RING_SHARE, (RING_ROOM_SHARE, RING_VEHICLES), km));
    }
    ramps
}

/// Kilometres from a corridor's start to the middle of a cell.
fn position_km(cell: u32) -> f64 {
    (f64::from(cell) + 0.5) * CELL_KM
}

/// Kilometres east and north of the junction.
fn place_km(config: &SimulateConfig, corridor: usize, cell: usize) -> (f64, f64) {
    let from_start = position_km(cell as u32);
    let length = f64::from(config.detectors) * CELL_KM;
    let along = if corridor.is_multiple_of(2) { length - from_start } else { from_start };
    let (east, north) = bearing(corridor as f64 / f64::from(config.corridors));
    (east * (along + JUNCTION_KM), north * (along + JUNCTION_KM))
}

/// A direction, from the west over the north, at a share of the way round: along the sides of a square, brought to length
/// 1, since sines differ between platforms in the last bit.
fn bearing(share: f64) -> (f64, f64) {
    let round = share * 8.0;
    let (east, north) = match round {
        _ if round < 1.0 => (-1.0, round),
        _ if round < 3.0 => (round - 2.0, 1.0),
        _ if round < 5.0 => (1.0, 4.0 - round),
        _ if round < 7.0 => (6.0 - round, -1.0),
        _ => (-1.0, round - 8.0),
    };
    let length = (east * east + north * north).sqrt();
    (east / length, north / length)
}
