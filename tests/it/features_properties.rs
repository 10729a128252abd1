//! Features as properties: against a naive reference over the whole history, blind to the future, and across restarts.

use std::sync::Arc;

use chrono::{Datelike, Timelike};
use proptest::prelude::*;

use arterial::stages::features::{At, FeatureSettings, Features, FeaturesPlan, Fill, Period};
use arterial::stages::window::ClosedWindow;
use arterial::vocab::Snapshot;

use super::features::{lags, plan, profile, window};
use super::predict_support::MemoryState;

const HOUR: i64 = 3_600_000_000;
const KEYS: usize = 3;

/// Everything that features offer, each once.
fn everything() -> Arc<FeaturesPlan> {
    let speed = || "speed".to_owned();
    let zone = chrono_tz::America::New_York;
    plan(&[
        lags(Fill::Last, true),
        FeatureSettings::Differences { column: speed(), count: 2 },
        FeatureSettings::TimeOfDay { at: At::Target, harmonics: 2, zone },
        FeatureSettings::DayOfWeek { at: At::Now, zone },
        profile(Period::Week, At::Target, 2),
        FeatureSettings::Deviation { column: speed(), harmonics: 1, repeats: true },
        FeatureSettings::Missing { column: speed() },
    ])
}

/// Hourly windows of three keys from a Sunday on; a key may be null, not live, or expire.
fn windows(count: usize) -> impl Strategy<Value = Vec<ClosedWindow>> {
    let key = (prop_oneof![1 => Just(f64::NAN), 4 => (0..40u8).prop_map(f64::from)], 0..20u8);
    let one = proptest::collection::vec(key, KEYS);
    proptest::collection::vec(one, 1..count).prop_map(|windows| {
        let mut made = Vec::new();
        for (step, keys) in windows.into_iter().enumerate() {
            let mut window = window((step as i64 * 5 + 68) * HOUR, &keys.iter().map(|key| key.0).collect::<Vec<_>>());
            for (id, (_, fate)) in keys.iter().enumerate() {
                if *fate == 0 {
                    window.live[id] = false;
                    window.columns.iter_mut().for_each(|column| column[id] = f64::NAN);
                } else if *fate == 1 {
                    window.expired.push(id as u32);
                }
            }
            made.push(window);
        }
        made
    })
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn blocks(features: &mut Features) -> std::collections::BTreeMap<(String, u32), Vec<u8>> {
    let mut state = MemoryState::default();
    features.snapshot(Snapshot::Full, &mut state);
    state.blocks
}

/// The windows of a key's present life, oldest first: those since it last expired.
fn life(windows: &[ClosedWindow], key: usize) -> &[ClosedWindow] {
    let (_, before) = windows.split_last().unwrap();
    let start = before.iter().rposition(|window| window.expired.contains(&(key as u32))).map_or(0, |last| last + 1);
    &windows[start..]
}

/// A mean over the windows of a life whose end lies in a slot, where there are at least `least` values.
fn mean(life: &[ClosedWindow], key: usize, least: usize, in_slot: impl Fn(i64) -> bool) -> Option<f64> {
    let values = life.iter().filter(|window| in_slot(window.end.0)).map(|window| window.columns[0][key]);
    let values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    (values.len() >= least).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The day of the week and the hour of the window that ends at `end`.
fn slot(end: i64) -> (u32, u32) {
    let time = chrono::DateTime::from_timestamp_micros(end - 1).unwrap();
    (time.weekday().num_days_from_monday(), time.hour())
}

/// Lags with nothing carried, lags carried, the age, and the week's profile one and three windows ahead, as of the last
/// of `windows`.
fn reference(windows: &[ClosedWindow], key: usize) -> Vec<f64> {
    let life = life(windows, key);
    let live: Vec<f64> = life.iter().filter(|window| window.live[key]).map(|window| window.columns[0][key]).collect();
    let lag = |values: &[f64], lag: usize| values.iter().rev().nth(lag).copied().unwrap_or(f64::NAN);
    let first = live.iter().position(|value| !value.is_nan());
    let mut carried = vec![first.map_or(f64::NAN, |first| live[first]); 3];
    for value in live.iter().skip(first.unwrap_or(0)) {
        carried.push(if value.is_nan() { *carried.last().unwrap() } else { *value });
    }
    let silent = live.iter().rev().take_while(|value| value.is_nan()).count();
    let age = if first.is_some() { silent.min(255) as f64 / 255.0 } else { 1.0 };
    let end = windows.last().unwrap().end.0;
    let ahead = |steps: i64| {
        let (day, hour) = slot(end + steps * HOUR);
        mean(life, key, 2, |end| slot(end) == (day, hour))
            .or_else(|| mean(life, key, 2, |end| slot(end).1 == hour))
            .or_else(|| mean(life, key, 1, |_| true))
            .unwrap_or(f64::NAN)
    };
    let plain = (0..3).map(|place| lag(&live, place));
    plain.chain((0..3).map(|place| lag(&carried, place))).chain([age, ahead(1), ahead(3)]).collect()
}

/// Weighted mean with a bounded weight, as the recurrence says it: (weight, mean).
fn faded(pairs: impl Iterator<Item = (f64, f64)>, memory: f64) -> (f64, f64) {
    pairs.fold((0.0, 0.0), |(weight, mean), (share, value)| {
        let weight = f64::min(weight + share, memory);
        (weight, mean + share * (value - mean) / weight)
    })
}

/// The workweek profile of a life at a time, with one smoothing neighbour and a memory of 2.
fn workweek(life: &[ClosedWindow], key: usize, end: i64) -> f64 {
    let class = |(day, hour): (u32, u32)| (day >= 5, hour);
    let entries = |same: &dyn Fn(i64) -> bool| {
        let mut entries = Vec::new();
        for window in life.iter().filter(|window| !window.columns[0][key].is_nan()) {
            for (step, share) in [(-1, 0.5), (0, 1.0), (1, 0.5)] {
                if same(window.end.0 + step * HOUR) {
                    entries.push((share, window.columns[0][key]));
                }
            }
        }
        entries
    };
    let of_class = faded(entries(&|at| class(slot(at)) == class(slot(end))).into_iter(), 2.0);
    let of_day = faded(entries(&|at| slot(at).1 == slot(end).1).into_iter(), 14.0);
    let of_all = mean(life, key, 1, |_| true).unwrap_or(f64::NAN);
    [of_class, of_day].iter().find(|(weight, _)| *weight >= 2.0).map_or(of_all, |(_, mean)| *mean)
}

/// Profile, deviation by the target's time of day (one and three windows ahead), and the held deviation.
fn deviation(windows: &[ClosedWindow], key: usize) -> Vec<f64> {
    let life = life(windows, key);
    let end = windows.last().unwrap().end.0;
    let readings: Vec<f64> = life.iter().map(|window| window.columns[0][key]).filter(|value| !value.is_nan()).collect();
    let gap = readings.last().copied().unwrap_or(f64::NAN) - workweek(life, key, end);
    let mut wanted: Vec<f64> = [1, 3].iter().map(|steps| workweek(life, key, end + steps * HOUR)).collect();
    for steps in [1, 3] {
        let turn = (end + steps * HOUR).rem_euclid(24 * HOUR) as f64 / (24 * HOUR) as f64 * std::f64::consts::TAU;
        wanted.extend([1.0, 2.0].iter().flat_map(|cycles| [gap * (cycles * turn).sin(), gap * (cycles * turn).cos()]));
    }
    let held = readings.windows(2).rev().take_while(|pair| pair[0] == pair[1]).count() as f64;
    wanted.push(gap * held / (held + 3.0));
    wanted
}

fn close(left: f64, right: f64) -> bool {
    (left.is_nan() && right.is_nan()) || (left - right).abs() < 1e-9
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn features_are_what_the_whole_history_says(windows in windows(80)) {
        let mut plain = Features::new(plan(&[lags(Fill::None, false)]));
        let mut rest = Features::new(plan(&[lags(Fill::Last, true), profile(Period::Week, At::Target, 2)]));
        for count in 1..=windows.len() {
            let window = &windows[count - 1];
            let (plain, rest) = (plain.update(window), rest.update(window));
            for key in 0..KEYS {
                let found = [plain.row(key as u32), rest.row(key as u32)].concat();
                let wanted = reference(&windows[..count], key);
                let equal = found.iter().zip(&wanted).all(|(found, wanted)| close(*found, *wanted));
                prop_assert!(equal, "window {count}, key {key}: {found:?}, not {wanted:?}");
            }
        }
    }

    #[test]
    fn deviation_is_how_far_the_last_reading_is_from_a_faded_smoothed_workweek(windows in windows(80)) {
        let column = "speed".to_owned();
        let profile = FeatureSettings::Profile {
            column: column.clone(),
            period: Period::Workweek,
            slot: None,
            at: At::Target,
            min_values: 2,
            smooth: 1,
            memory: Some(2),
            zone: chrono_tz::UTC,
        };
        let deviation_of = FeatureSettings::Deviation { column, harmonics: 2, repeats: true };
        let mut features = Features::new(plan(&[lags(Fill::Last, false), profile, deviation_of]));
        for count in 1..=windows.len() {
            let matrix = features.update(&windows[count - 1]);
            for key in 0..KEYS {
                // The lags have their own test.
                let (found, wanted) = (&matrix.row(key as u32)[3..], deviation(&windows[..count], key));
                prop_assert_eq!(found.len(), wanted.len());
                let equal = found.iter().zip(&wanted).all(|(found, wanted)| close(*found, *wanted));
                prop_assert!(equal, "window {count}, key {key}: {found:?}, not {wanted:?}");
            }
        }
    }

    #[test]
    fn nothing_that_happens_later_changes_a_matrix(windows in windows(40), at in 0..40usize, other in 100.0..200.0f64) {
        let at = at % windows.len();
        let mut changed = windows.clone();
        for window in &mut changed[at..] {
            window.columns.iter_mut().flatten().for_each(|value| *value = other);
            window.live.fill(true);
        }
        let (mut one, mut two) = (Features::new(everything()), Features::new(everything()));
        for (step, (left, right)) in windows.iter().zip(&changed).enumerate() {
            let (left, right) = (one.update(left), two.update(right));
            if step < at {
                prop_assert_eq!(bits(&left.values), bits(&right.values));
            } else {
                prop_assert_ne!(bits(&left.values), bits(&right.values));
                break;
            }
        }
    }

    #[test]
    fn restart_at_any_commit_goes_on_as_if_nothing_had_happened(
        windows in windows(60),
        commits in proptest::collection::vec(0..3u8, 60),
    ) {
        let (mut undisturbed, mut features) = (Features::new(everything()), Features::new(everything()));
        let mut state = MemoryState::default();
        for (window, commit) in windows.iter().zip(commits) {
            let (left, right) = (undisturbed.update(window), features.update(window));
            prop_assert_eq!(bits(&left.values), bits(&right.values));
            if commit > 0 {
                features.snapshot(Snapshot::Changed, &mut state);
                prop_assert_eq!(&state.blocks, &blocks(&mut features));
            }
            if commit > 1 {
                features = Features::new(everything());
                features.restore(&state).unwrap();
                prop_assert_eq!(blocks(&mut features), blocks(&mut undisturbed));
            }
        }
        prop_assert_eq!(blocks(&mut features), blocks(&mut undisturbed));
    }
}
