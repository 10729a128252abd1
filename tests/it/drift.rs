//! Drift detectors by themselves: beside a naive one over the whole window, on noise that stays as it is, on a step, and what
//! they are given, whatever the unit and whatever a spoofed sensor says.

use arterial::stages::predict::drift::adwin::{Adwin, BUCKETS_MAX, PART_MIN, ROWS};
use arterial::stages::predict::drift::page_hinkley::PageHinkley;
use arterial::stages::predict::drift::params::DriftParams;
use arterial::stages::predict::drift::usual::{ERROR_MAX, UsualError};
use arterial::stages::predict::drift::{Drift, Turn};
use arterial::stages::predict::{DetectorSettings, DriftEffect, DriftSettings};
use arterial::vocab::EventTime;
use proptest::prelude::*;

use crate::predict_support::Numbers;

const DELTA: f64 = 0.002;
const PH_DELTA: f64 = 0.5;
const PH_THRESHOLD: f64 = 100.0;

/// Takes an error; the means before and since where it tells a rise.
type Update = Box<dyn FnMut(f64) -> Option<(f64, f64)>>;

/// ADWIN as the paper writes it, over the values themselves: the histogram is but a list of lengths.
#[derive(Default)]
struct Naive {
    values: Vec<f64>,
    /// Of the buckets, oldest first.
    lengths: Vec<usize>,
}

impl Naive {
    fn update(&mut self, delta: f64, value: f64) -> Option<(usize, usize)> {
        self.values.push(value);
        self.lengths.push(1);
        let mut length = 1;
        while self.lengths.iter().filter(|&&other| other == length).count() > BUCKETS_MAX {
            let first = self.lengths.iter().position(|&other| other == length).unwrap();
            self.lengths[first] = 2 * length;
            self.lengths.remove(first + 1);
            length *= 2;
        }
        let mut rise = None;
        while let Some((older, newer, rose)) = self.cut(delta) {
            rise = rise.or(rose.then_some((older, newer)));
            let oldest = self.lengths.remove(0);
            self.values.drain(..oldest);
        }
        rise
    }

    fn cut(&self, delta: f64) -> Option<(usize, usize, bool)> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let n = self.values.len() as f64;
        let whole = mean(&self.values);
        let variance = self.values.iter().map(|value| (value - whole).powi(2)).sum::<f64>() / n;
        let delta_cut = delta / n.ln();
        let (mut place, mut best, mut most) = (0, None, 0.0);
        for length in &self.lengths {
            place += length;
            let (older, newer) = self.values.split_at(place);
            if older.len().min(newer.len()) < PART_MIN as usize {
                continue;
            }
            let m = 1.0 / (1.0 / older.len() as f64 + 1.0 / newer.len() as f64);
            let bound = (2.0 / m * variance * (2.0 / delta_cut).ln()).sqrt() + 2.0 / (3.0 * m) * (2.0 / delta_cut).ln();
            let apart = mean(newer) - mean(older);
            if apart.abs() - bound > most {
                most = apart.abs() - bound;
                best = Some((older.len(), newer.len(), apart > 0.0));
            }
        }
        best
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adwin_finds_what_the_naive_one_finds_and_keeps_the_same_window(
        seed in 1u64..u64::MAX,
        levels in prop::collection::vec((0.0f64..0.9, 0.0f64..0.1, 20usize..160), 1..5),
        delta in prop_oneof![Just(0.002), Just(0.3)],
    ) {
        let (mut numbers, mut naive, mut adwin) = (Numbers(seed), Naive::default(), Adwin::default());
        for (level, spread, labels) in levels {
            for _ in 0..labels {
                // With few digits, so that sums are exact in whatever order.
                let value = ((level + spread * numbers.uniform()) * 4096.0).round() / 4096.0;
                let found = adwin.update(delta, value).map(|shift| (shift.before.labels, shift.after.labels));
                let due = naive.update(delta, value).map(|(older, newer)| (older as u64, newer as u64));
                prop_assert_eq!(found, due);
                prop_assert_eq!(adwin.width() as usize, naive.values.len());
            }
        }
    }
}

#[test]
fn adwin_takes_no_more_room_after_a_year() {
    let mut adwin = Adwin::default();
    let mut most = 0;
    for _ in 0..105_000 {
        assert_eq!(adwin.update(DELTA, 0.5), None);
        most = most.max(adwin.width());
        assert!(adwin.sound());
    }
    assert_eq!(most, BUCKETS_MAX as u64 * ((1 << ROWS) - 1));
    assert!(postcard_len(&adwin) <= ROWS * (BUCKETS_MAX * 16 + 1) + 4);
}

fn postcard_len(adwin: &Adwin) -> usize {
    arterial::vocab::to_block(adwin).len()
}

/// An absolute error of mean 1.
fn error(numbers: &mut Numbers) -> f64 {
    numbers.normal().abs() / 0.798
}

/// Labels until a detector tells, of errors that are `factor` times as large from label `from` on; and whether it told before.
fn told(
    seed: u64,
    from: usize,
    factor: f64,
    mut update: impl FnMut(f64) -> Option<(f64, f64)>,
) -> (bool, Option<(usize, f64, f64)>) {
    let (mut numbers, mut early) = (Numbers(seed), false);
    for step in 0..from + 1_000 {
        let level = if step < from { 1.0 } else { factor };
        match update((level * error(&mut numbers)).min(ERROR_MAX)) {
            Some((before, after)) if step >= from => return (early, Some((step + 1 - from, before, after))),
            told => early |= told.is_some(),
        }
    }
    (early, None)
}

/// Both detectors, fresh.
fn detectors() -> [(&'static str, Update); 2] {
    let (mut adwin, mut test) = (Adwin::default(), PageHinkley::default());
    let scaled = move |error: f64| {
        let shift = adwin.update(DELTA, error / ERROR_MAX)?;
        Some((shift.before.mean * ERROR_MAX, shift.after.mean * ERROR_MAX))
    };
    let summed = move |error: f64| {
        let shift = test.update(PH_DELTA, PH_THRESHOLD, error)?;
        Some((shift.before.mean, shift.after.mean))
    };
    [("adwin", Box::new(scaled)), ("page_hinkley", Box::new(summed))]
}

#[test]
fn errors_that_stay_as_they_are_or_fall_are_hardly_ever_told() {
    for factor in [1.0, 0.3] {
        for detector in 0..2 {
            let false_alarms = (1..=200).filter(|&seed| {
                let (name, mut update) = detectors().into_iter().nth(detector).unwrap();
                let (early, late) = told(seed * 7_919, 1_000, factor, &mut update);
                assert!(["adwin", "page_hinkley"].contains(&name));
                early || late.is_some()
            });
            let false_alarms = false_alarms.count();
            // 200 series of 2000 labels each.
            assert!(false_alarms <= 2, "detector {detector}, factor {factor}: {false_alarms}");
        }
    }
}

#[test]
fn errors_that_rise_are_told_soon_and_told_how_large_they_are() {
    // Page-Hinkley leaves out the half that `delta` says, and its mean follows what is left.
    for (detector, factor) in [(0, 2.0), (1, 3.0)] {
        for seed in 1..=100 {
            let (name, mut update) = detectors().into_iter().nth(detector).unwrap();
            let (_, told) = told(seed * 104_729, 1_000, factor, &mut update);
            let (delay, before, after) = told.unwrap_or_else(|| panic!("{name}, seed {seed}: nothing told"));
            assert!(delay <= 250, "{name}, seed {seed}: after {delay} labels");
            let since = factor * 0.75..factor * 1.35;
            assert!((0.85..1.15).contains(&before) && since.contains(&after), "{name}: {before}, {after}");
        }
    }
}

#[test]
fn larger_step_is_told_earlier() {
    for detector in 0..2 {
        let delay = |factor| {
            let (_, mut update) = detectors().into_iter().nth(detector).unwrap();
            told(77, 1_000, factor, &mut update).1.unwrap().0
        };
        assert!(delay(4.0) < delay(2.0) && delay(4.0) <= 50, "{} {}", delay(4.0), delay(2.0));
    }
}

#[test]
fn what_is_usual_has_no_unit() {
    let run = |unit: f64| {
        let (mut usual, mut numbers) = (UsualError::default(), Numbers(5));
        (0..2_000)
            .map(|step| usual.take(unit * error(&mut numbers), step % 96, 100).map(f64::to_bits))
            .collect::<Vec<_>>()
    };
    // By powers of two, so that nothing is rounded otherwise.
    assert_eq!(run(1.0), run(2_f64.powi(40)));
    assert_eq!(run(1.0), run(2_f64.powi(-40)));
    assert_eq!(run(1.0).iter().filter(|error| error.is_none()).count(), 100, "`min_labels` of them");
}

#[test]
fn spoofed_errors_are_bounded_and_change_little_of_what_is_usual() {
    let mut numbers = Numbers(11);
    let (mut usual, mut most) = (UsualError::default(), 0.0_f64);
    // The first, one among others, and several in a row.
    for step in 0..3_000 {
        let spoofed = [0, 4, 700, 1_500, 1_501, 1_502].contains(&step);
        let error = if spoofed { f64::MAX } else { error(&mut numbers) };
        if let Some(relative) = usual.take(error, step % 96, 30) {
            most = most.max(relative);
        }
        assert!(usual.sound());
    }
    assert_eq!(most, ERROR_MAX);
    assert!((0.9..1.15).contains(&usual.mean()), "{}", usual.mean());
    let mut infinite = UsualError::default();
    assert!((0..50).any(|_| infinite.take(f64::INFINITY, 0, 30).is_some()));
    assert!(infinite.sound());
}

/// Rises told in 60 days of errors that are five times as large in the mornings: by what is usual at that time, and by what is
/// usual on the whole.
fn told_of_mornings([mut by_time, mut by_mean]: [Update; 2]) -> [usize; 2] {
    let (mut usual, mut numbers, mut told) = (UsualError::default(), Numbers(3), [0; 2]);
    for step in 0..60 * 288 {
        let morning = (84..108).contains(&(step % 288));
        let error = if morning { 5.0 } else { 1.0 } * error(&mut numbers);
        let mean = usual.mean();
        if let Some(relative) = usual.take(error, step % 288 / 6, 1_000) {
            told[0] += usize::from(by_time(relative).is_some());
            told[1] += usize::from(by_mean((error / mean).min(ERROR_MAX)).is_some());
        }
    }
    told
}

#[test]
fn rush_hours_are_no_drift() {
    let ([(_, adwin), (_, test)], [(_, other), (_, another)]) = (detectors(), detectors());
    let [by_time, by_mean] = told_of_mornings([adwin, other]);
    assert_eq!(by_time, 0);
    assert!(by_mean > 0, "the time of the day is good for nothing");
    assert_eq!(told_of_mornings([test, another])[0], 0);
}

#[test]
fn forecasts_that_were_never_wrong_have_no_usual_error() {
    let mut usual = UsualError::default();
    assert!((0..5_000).all(|_| usual.take(0.0, 0, 30).is_none()));
    assert_eq!(usual.mean(), 0.0);
    // The first errors are what is learned from, not a rise.
    assert!((0..30).all(|_| usual.take(3.0, 0, 30).is_none()));
    assert!(usual.take(3.0, 0, 30).is_some_and(|relative| (0.9..1.1).contains(&relative)));
}

/// Labels at which a whole watch tells a rise, of errors of these levels: from which label on, how many times as large.
fn told_by_watch(detector: DetectorSettings, seed: u64, levels: &[(usize, f64)], labels: usize) -> Vec<usize> {
    const FIVE_MINUTES: i64 = 300_000_000;
    let (effect, zone) = (DriftEffect::None, chrono_tz::UTC);
    let settings =
        DriftSettings { detector, effect, forgetting: None, forgetting_labels: None, min_labels: 1_000, zone };
    let mut drift = Drift::new("drift.speed".to_owned(), DriftParams::new(&settings).unwrap(), 1);
    drift.grow(1);
    let (mut numbers, mut told) = (Numbers(seed), Vec::new());
    for label in 0..labels {
        let level = levels.iter().rev().find(|(from, _)| label >= *from).map_or(1.0, |(_, level)| *level);
        let error = level * numbers.normal().abs();
        drift.watch(0, EventTime(label as i64 * FIVE_MINUTES), &[0.0], &[error], |_, turn| {
            told.extend(matches!(turn, Turn::Drifted(_)).then_some(label));
        });
    }
    told
}

const WATCHES: [DetectorSettings; 2] = [
    DetectorSettings::Adwin { delta: DELTA },
    DetectorSettings::PageHinkley { delta: PH_DELTA, threshold: PH_THRESHOLD },
];

#[test]
fn errors_that_are_as_before_after_an_incident_are_no_rise() {
    for detector in WATCHES {
        let mut late = 0;
        for seed in 1..=40 {
            let told = told_by_watch(detector, seed * 7_919, &[(2_000, 5.0), (2_100, 1.0)], 6_000);
            assert!(told.iter().any(|label| (2_000..2_100).contains(label)), "{detector:?}, seed {seed}: {told:?}");
            late += told.iter().filter(|label| **label >= 2_100).count();
        }
        assert!(late <= 1, "{detector:?}: {late} rises of errors that were what they had been");
    }
}

#[test]
fn rise_in_the_days_after_an_incident_is_told() {
    for detector in WATCHES {
        for seed in 1..=20 {
            let levels = [(2_000, 5.0), (2_100, 1.0), (3_000, 4.0)];
            let told = told_by_watch(detector, seed * 104_729, &levels, 3_300);
            assert!(told.iter().any(|label| *label >= 3_000), "{detector:?}, seed {seed}: {told:?}");
        }
    }
}
