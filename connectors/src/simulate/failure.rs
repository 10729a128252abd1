//! The ways in which a detector fails: which one it is prone to, when a failure begins, how long it lasts and how bad it is.
//! What it does to a reading is the detector's business.

use super::config::Faults;
use super::noise::{Noise, Purpose};
use super::truth::EventKind;

/// Out of so many detectors, one each is prone to each kind.
const PRONE_ONE_IN: u64 = 16;
/// A prone detector's failures per hour in which it does not fail, and how long one lasts, minutes, uniformly between.
const STUCK: Prone = Prone { per_hour: 0.03, minutes: (45.0, 300.0) };
const SENTINEL: Prone = Prone { per_hour: 0.15, minutes: (3.0, 20.0) };
const SILENT: Prone = Prone { per_hour: 0.03, minutes: (20.0, 180.0) };
const NOISY: Prone = Prone { per_hour: 0.03, minutes: (60.0, 480.0) };
const DRIFT: Prone = Prone { per_hour: 0.01, minutes: (1_440.0, 5_760.0) };
const CLOCK: Prone = Prone { per_hour: 0.03, minutes: (60.0, 720.0) };
const DUPLICATE: Prone = Prone { per_hour: 0.1, minutes: (10.0, 60.0) };

/// A drift's rate, percent of the speed per hour; as often upwards as downwards.
const DRIFT_PERCENT: (f64, f64) = (0.2, 0.6);
/// Half of the wrong clocks stay so many minutes ahead or behind, the others jump with each reading, at most so far.
const CLOCK_MINUTES: (f64, f64) = (2.0, 15.0);
const CLOCK_JUMPS: f64 = 0.5;
const JUMP_MINUTES: f64 = 5.0;

const MICROS_PER_HOUR: f64 = 3_600_000_000.0;
const MICROS_PER_MINUTE: f64 = 60_000_000.0;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// How often and how long a detector of a kind fails.
#[derive(Debug, Clone, Copy)]
struct Prone {
    per_hour: f64,
    minutes: (f64, f64),
}

/// One failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Failure {
    pub(super) kind: EventKind,
    pub(super) from_micros: i64,
    pub(super) to_micros: i64,
    /// As an event tells it.
    pub(super) size: Option<f64>,
}

/// What a detector is prone to, and what it is going through.
#[derive(Debug, Clone)]
pub(super) struct Failures {
    weakness: Option<(EventKind, Prone)>,
    defect: Noise,
    present: Option<Failure>,
    /// Failures so far, where somebody wants to know.
    pub(super) noted: Option<Vec<Failure>>,
}

impl Failures {
    pub(super) fn new(seed: u64, index: u32, faults: Faults) -> Self {
        let all = faults == Faults::All;
        // Consecutive residues, moved by the seed, so that 16 detectors hold one of each kind.
        let weakness = match (u64::from(index) + seed % PRONE_ONE_IN) % PRONE_ONE_IN {
            3 => Some((EventKind::Stuck, STUCK)),
            8 => Some((EventKind::Sentinel, SENTINEL)),
            13 => Some((EventKind::Silent, SILENT)),
            1 if all => Some((EventKind::Noisy, NOISY)),
            5 if all => Some((EventKind::Drift, DRIFT)),
            10 if all => Some((EventKind::Clock, CLOCK)),
            15 if all => Some((EventKind::Duplicate, DUPLICATE)),
            _ => None,
        };
        Self { weakness, defect: Noise::new(seed, Purpose::Defect, u64::from(index)), present: None, noted: None }
    }

    /// Whether the detector sends readings again now and then.
    pub(super) fn duplicates(&self) -> bool {
        matches!(self.weakness, Some((EventKind::Duplicate, _)))
    }

    /// The failure at this time, perhaps one that begins now, as two uniform numbers have it.
    pub(super) fn at(&mut self, time_micros: i64, interval_micros: i64, draw: (f64, f64)) -> Option<Failure> {
        let (kind, prone) = self.weakness?;
        self.present = self.present.filter(|failure| time_micros < failure.to_micros);
        let per_interval = prone.per_hour * interval_micros as f64 / MICROS_PER_HOUR;
        if self.present.is_none() && draw.0 < per_interval {
            let minutes = prone.minutes.0 + (prone.minutes.1 - prone.minutes.0) * draw.1;
            let to_micros = time_micros + (minutes * MICROS_PER_MINUTE) as i64;
            let size = self.size(kind);
            let failure = Failure { kind, from_micros: time_micros, to_micros, size };
            self.present = Some(failure);
            self.noted.iter_mut().for_each(|noted| noted.push(failure));
        }
        self.present
    }

    /// How far a clock is off at a reading, microseconds, whole seconds.
    pub(super) fn clock_error_micros(&mut self, failure: &Failure) -> i64 {
        let minutes = failure.size.unwrap_or_else(|| self.defect.between(-JUMP_MINUTES, JUMP_MINUTES));
        (minutes * 60.0) as i64 * MICROS_PER_SECOND
    }

    /// With a probability of one half, one of the last `sent` readings, 0 the newest: it is sent again.
    pub(super) fn again(&mut self, sent: usize) -> Option<usize> {
        let (happens, which) = (self.defect.happens(0.5), self.defect.uniform());
        happens.then_some((which * sent as f64) as usize)
    }

    fn size(&mut self, kind: EventKind) -> Option<f64> {
        let signed = |noise: &mut Noise, (low, high)| {
            let size = (noise.between(low, high) * 100.0).round() / 100.0;
            if noise.happens(0.5) { size } else { -size }
        };
        match kind {
            EventKind::Drift => Some(signed(&mut self.defect, DRIFT_PERCENT)),
            EventKind::Clock if self.defect.happens(CLOCK_JUMPS) => None,
            EventKind::Clock => Some(signed(&mut self.defect, CLOCK_MINUTES).round()),
            _ => None,
        }
    }
}
