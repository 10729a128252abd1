//! Vehicles that want to enter, per hour, by time of day and day of week.

use super::layout::Direction;
use super::noise::{Noise, Purpose};

const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_HOUR: f64 = 3_600_000_000.0;

/// Share of the peak demand on Monday to Friday: (hour, share), straight lines between. Rush hours 7..9 and 16..18.
const WEEKDAY: [(f64, f64); 16] = [
    (0.0, 0.09),
    (3.0, 0.06),
    (5.0, 0.16),
    (6.0, 0.48),
    (6.75, 0.82),
    (7.5, 1.0),
    (8.5, 0.99),
    (9.25, 0.78),
    (11.0, 0.66),
    (14.0, 0.70),
    (15.5, 0.93),
    (16.25, 1.02),
    (17.5, 1.0),
    (18.5, 0.70),
    (21.0, 0.38),
    (24.0, 0.09),
];

/// The same on Monday to Friday into a city, with its rush hour in the morning, and out of it, with one in the evening.
const WEEKDAY_INBOUND: [(f64, f64); 13] = [
    (0.0, 0.09),
    (3.0, 0.06),
    (5.0, 0.18),
    (6.0, 0.52),
    (6.75, 0.86),
    (7.5, 1.0),
    (8.5, 1.0),
    (9.25, 0.76),
    (11.0, 0.60),
    (15.5, 0.66),
    (18.0, 0.68),
    (21.0, 0.30),
    (24.0, 0.09),
];
const WEEKDAY_OUTBOUND: [(f64, f64); 14] = [
    (0.0, 0.12),
    (3.0, 0.06),
    (5.0, 0.10),
    (6.0, 0.30),
    (7.5, 0.56),
    (9.0, 0.56),
    (11.0, 0.60),
    (14.0, 0.72),
    (15.5, 0.93),
    (16.25, 1.03),
    (17.5, 1.0),
    (18.5, 0.74),
    (21.0, 0.42),
    (24.0, 0.12),
];

/// The same on Saturday and Sunday: one low hill.
const WEEKEND: [(f64, f64); 8] =
    [(0.0, 0.12), (4.0, 0.05), (7.0, 0.14), (10.0, 0.48), (13.0, 0.66), (17.0, 0.64), (20.0, 0.36), (24.0, 0.12)];

/// Standard deviation of a day's factor on all demand.
const DAY_SPREAD: f64 = 0.03;
/// Friday's surplus.
const FRIDAY: f64 = 1.03;
/// Slow fluctuation of demand: first-order autoregression, one step a minute, standard deviation 4 %.
const WAVE_KEPT: f64 = 0.95;
const WAVE_SPREAD: f64 = 0.04;
/// sqrt(1 - 0.95^2): keeps the fluctuation's variance.
const WAVE_STEP: f64 = 0.312_249_899_919_92;

/// Demand of a whole corridor as a factor on the peak values.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    weekdays: &'static [(f64, f64)],
    seed: u64,
    day: i64,
    day_factor: f64,
    wave: f64,
    noise: Noise,
}

impl Demand {
    /// The day's factor is that of the city, the slow wave the corridor's own.
    pub(super) fn new(seed: u64, corridor: u32, direction: Direction) -> Self {
        let weekdays: &[(f64, f64)] = match direction {
            Direction::Through => &WEEKDAY,
            Direction::Inbound => &WEEKDAY_INBOUND,
            Direction::Outbound => &WEEKDAY_OUTBOUND,
        };
        let noise = Noise::of_corridor(seed, Purpose::Demand, corridor, 0);
        Self { weekdays, seed, day: i64::MIN, day_factor: 1.0, wave: 0.0, noise }
    }

    /// Moves the fluctuation on by one minute.
    pub(super) fn step_minute(&mut self) {
        self.wave = self.wave * WAVE_KEPT + self.noise.normal() * WAVE_SPREAD * WAVE_STEP;
    }

    /// Factor on the peak demand at a time, microseconds since 1970 UTC.
    pub(super) fn factor(&mut self, time_micros: i64) -> f64 {
        let day = time_micros.div_euclid(MICROS_PER_DAY);
        if day != self.day {
            self.day = day;
            self.day_factor = 1.0 + DAY_SPREAD * Noise::new(self.seed, Purpose::Day, day as u64).normal();
        }
        // 1970-01-01 was a Thursday; 0 is Monday here.
        let weekday = (day + 3).rem_euclid(7);
        let hour = time_micros.rem_euclid(MICROS_PER_DAY) as f64 / MICROS_PER_HOUR;
        let share = match weekday {
            0..=3 => between_points(self.weekdays, hour),
            4 => between_points(self.weekdays, hour) * FRIDAY,
            _ => between_points(&WEEKEND, hour),
        };
        share * self.day_factor * (1.0 + self.wave)
    }
}

/// The value of a line through points with ascending first coordinate.
fn between_points(points: &[(f64, f64)], at: f64) -> f64 {
    for pair in points.windows(2) {
        let ((from, low), (to, high)) = (pair[0], pair[1]);
        if at < to {
            return low + (high - low) * (at - from) / (to - from);
        }
    }
    points.last().map_or(0.0, |last| last.1)
}
