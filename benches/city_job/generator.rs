//! A seed -> the city's readings: 5,000 detectors, a reading each 30 s, 135 bytes of JSON, 0.1 % of them malformed, 1 %
//! with the sentinel -99. The stream is the one that the other engines of `docs/benchmarks.md` read, byte for byte, so
//! that all must give the same windows and alerts.

use std::io::Write;

use anyhow::Result;
use chrono::{DateTime, SecondsFormat};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// Detectors of the city.
pub(crate) const DETECTORS: usize = 5_000;
const ROUND_SECONDS: i64 = 30;
/// 2026-11-23T08:00:00Z.
const START_SECONDS: i64 = 1_795_420_800;
const SEED: u64 = 42;
const ROADS: [&str; 3] = ["ring", "a12", "center"];

/// What was made.
pub(crate) struct Made {
    pub(crate) rows: u64,
    pub(crate) malformed: u64,
    pub(crate) bytes: u64,
}

struct Random(SplitMix64);

impl Random {
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, variance 1, nearly normal: the sum of four uniform numbers.
    fn normal(&mut self) -> f64 {
        let sum = self.uniform() + self.uniform() + self.uniform() + self.uniform();
        (sum - 2.0) * 1.732_050_8
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }
}

/// One loop detector.
struct Detector {
    free_flow_kmh: f64,
    /// Part of the free-flow speed that the rush hour takes away.
    depth: f64,
    /// Seconds after the start of a round at which it reports.
    phase: i64,
}

/// The readings, one after the other.
struct City {
    random: Random,
    detectors: Vec<Detector>,
    order: Vec<usize>,
    malformed: u64,
}

impl City {
    fn new(detectors: usize) -> Self {
        let mut random = Random(SplitMix64::seed_from_u64(SEED));
        let order = (0..detectors).collect();
        let detectors = (0..detectors)
            .map(|_| Detector {
                free_flow_kmh: 70.0 + 40.0 * random.uniform(),
                depth: 0.1 + 0.6 * random.uniform(),
                phase: random.below(30) as i64,
            })
            .collect();
        Self { random, detectors, order, malformed: 0 }
    }

    /// Detectors report in another order each round.
    fn shuffle(&mut self) {
        for last in (1..self.order.len()).rev() {
            let other = self.random.below(last as u64 + 1) as usize;
            self.order.swap(last, other);
        }
    }

    /// Writes one reading as JSON, or what a broken logger makes of it.
    fn reading(&mut self, round: usize, detector: usize, value: &mut Vec<u8>) -> Result<()> {
        let Detector { free_flow_kmh, depth, phase } = self.detectors[detector];
        let seconds = round as i64 * ROUND_SECONDS + phase;
        let hours = seconds as f64 / 3600.0;
        let rush = (-((hours - 2.0) / 0.9).powi(2)).exp() + (-((hours - 7.5) / 1.1).powi(2)).exp();
        let random = &mut self.random;
        let mut speed = (free_flow_kmh * (1.0 - depth * rush) + 4.0 * random.normal()).max(0.5);
        let flow = (400.0 + 900.0 * rush + 60.0 * random.normal()).max(0.0) as i64;
        let occupancy = (0.05 + 0.3 * depth * rush + 0.01 * random.normal()).clamp(0.0, 0.999);
        let fate = random.uniform();
        if fate < 0.01 {
            speed = -99.0;
        }
        let time = DateTime::from_timestamp(START_SECONDS + seconds, 0).unwrap_or_default();
        value.clear();
        write!(
            value,
            r#"{{"sensor_id":"L{detector:05}","observed_at":"{}","speed_kmh":{speed:.1},"flow_veh_h":{flow},"occupancy":{occupancy:.3},"lane":{},"road":"{}"}}"#,
            time.to_rfc3339_opts(SecondsFormat::Secs, true),
            1 + detector % 3,
            ROADS[detector % 3],
        )?;
        if fate > 0.999 {
            self.break_reading(value);
        }
        Ok(())
    }

    /// Cut short, not JSON at all, or a letter where a number starts: in turn.
    fn break_reading(&mut self, value: &mut Vec<u8>) {
        self.malformed += 1;
        match self.malformed % 3 {
            0 => value.truncate(20 + (self.malformed as usize * 7) % 100),
            1 => *value = b"sensor offline".to_vec(),
            _ => {
                let number = b"\"speed_kmh\":";
                let at = value.windows(number.len()).position(|text| text == number).unwrap_or(0) + number.len();
                value.insert(at, b'x');
            }
        }
    }
}

/// Makes `rounds` readings of every detector; `take` gets the key, which names the detector, and the value of each.
pub(crate) fn make_readings(
    detectors: usize,
    rounds: usize,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<Made> {
    let mut city = City::new(detectors);
    let (mut key, mut value) = (Vec::new(), Vec::with_capacity(256));
    let (mut rows, mut bytes) = (0, 0);
    for round in 0..rounds {
        city.shuffle();
        for place in 0..detectors {
            let detector = city.order[place];
            city.reading(round, detector, &mut value)?;
            key.clear();
            write!(key, "L{detector:05}")?;
            take(&key, &value)?;
            rows += 1;
            bytes += value.len() as u64;
        }
    }
    Ok(Made { rows, malformed: city.malformed, bytes })
}
