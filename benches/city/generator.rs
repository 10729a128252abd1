//! The readings of the city job: 5,000 loop detectors, one reading each 30 s, seeded.
//!
//! The job is one that other engines run too, so the stream is fixed to the byte: splitmix64 from seed 42; per sensor a
//! base speed, the depth of its rush hours and a phase; per round a shuffle of the sensors; 1 % of the readings carry
//! the sentinel -99, 0.1 % are malformed in one of three ways.

use std::io::Write as _;

use chrono::DateTime;

/// Number of sensors.
pub const SENSORS: usize = 5_000;
/// Seconds between two readings of a sensor.
const STEP_S: i64 = 30;
/// 2026-11-23T08:00:00Z, seconds since 1970.
const START_S: i64 = 1_795_420_800;
const ROADS: [&str; 3] = ["ring", "a12", "center"];

/// Steele, Lea and Flood (2014), splitmix64.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in 0..1.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Close to normal with unit variance: the sum of four uniforms, centred and scaled.
    fn noise(&mut self) -> f64 {
        (self.uniform() + self.uniform() + self.uniform() + self.uniform() - 2.0) * 1.732_050_8
    }
}

struct Sensor {
    base_kmh: f64,
    depth: f64,
    phase_s: i64,
}

/// The stream, a round of all sensors at a time.
pub struct City {
    random: SplitMix,
    sensors: Vec<Sensor>,
    order: Vec<usize>,
    round: i64,
    malformed: usize,
}

impl City {
    /// The stream from its beginning.
    pub fn new() -> Self {
        let mut random = SplitMix(42);
        let sensors = (0..SENSORS)
            .map(|_| Sensor {
                base_kmh: 70.0 + 40.0 * random.uniform(),
                depth: 0.1 + 0.6 * random.uniform(),
                phase_s: (random.next() % 30) as i64,
            })
            .collect();
        Self { random, sensors, order: (0..SENSORS).collect(), round: 0, malformed: 0 }
    }

    /// Gives every sensor's next reading to `emit` as (key, value).
    pub fn round(&mut self, mut emit: impl FnMut(&[u8], &[u8])) {
        for i in (1..SENSORS).rev() {
            self.order.swap(i, (self.random.next() % (i as u64 + 1)) as usize);
        }
        let (mut key, mut value) = (Vec::with_capacity(8), Vec::with_capacity(160));
        for position in 0..SENSORS {
            let index = self.order[position];
            self.reading(index, &mut key, &mut value);
            emit(&key, &value);
        }
        self.round += 1;
    }

    fn reading(&mut self, index: usize, key: &mut Vec<u8>, value: &mut Vec<u8>) {
        let Sensor { base_kmh, depth, phase_s } = self.sensors[index];
        let offset_s = self.round * STEP_S + phase_s;
        let hours = offset_s as f64 / 3600.0;
        let rush = (-((hours - 2.0) / 0.9).powi(2)).exp() + (-((hours - 7.5) / 1.1).powi(2)).exp();
        let mut speed = (base_kmh * (1.0 - depth * rush) + 4.0 * self.random.noise()).max(0.5);
        let flow = (400.0 + 900.0 * rush + 60.0 * self.random.noise()).max(0.0) as i64;
        let occupancy = (0.05 + 0.3 * depth * rush + 0.01 * self.random.noise()).clamp(0.0, 0.999);
        let dice = self.random.uniform();
        if dice < 0.01 {
            speed = -99.0;
        }
        key.clear();
        value.clear();
        let time = DateTime::from_timestamp(START_S + offset_s, 0).expect("a time of this century");
        let (lane, road) = (1 + index % 3, ROADS[index % 3]);
        write!(key, "L{index:05}").expect("memory");
        write!(
            value,
            "{{\"sensor_id\":\"L{index:05}\",\"observed_at\":\"{}\",\"speed_kmh\":{speed:.1},\"flow_veh_h\":{flow},\
             \"occupancy\":{occupancy:.3},\"lane\":{lane},\"road\":\"{road}\"}}",
            time.format("%Y-%m-%dT%H:%M:%SZ"),
        )
        .expect("memory");
        if dice > 0.999 {
            self.malform(value);
        }
    }

    fn malform(&mut self, value: &mut Vec<u8>) {
        self.malformed += 1;
        match self.malformed % 3 {
            0 => value.truncate(20 + (self.malformed * 7) % 100),
            1 => *value = b"sensor offline".to_vec(),
            _ => {
                let label = b"\"speed_kmh\":";
                let at = value.windows(label.len()).position(|part| part == label).expect("the label is there");
                value.insert(at + label.len(), b'x');
            }
        }
    }
}
