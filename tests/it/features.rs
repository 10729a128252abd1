//! Features: what each column holds, which horizon it speaks of, and what a profile knows when.

use std::sync::Arc;

use chrono_tz::Tz;

use arterial::stages::features::{
    At, FeatureMatrix, FeatureSettings, Features, FeaturesInput, FeaturesPlan, Fill, Period, Profile, ProfilePlan,
};
use arterial::stages::window::ClosedWindow;
use arterial::vocab::{EventTime, Snapshot};

use super::predict_support::MemoryState;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Monday 2026-01-05, 00:00 UTC.
const MONDAY: i64 = 1_767_571_200_000_000;
const NAN: f64 = f64::NAN;

/// A plan over hourly windows with columns `speed` and `flow`, for horizons of one and three windows.
pub(crate) fn plan(settings: &[FeatureSettings]) -> Arc<FeaturesPlan> {
    Arc::new(FeaturesPlan::new(settings, &input()).unwrap())
}

pub(crate) fn input() -> FeaturesInput {
    FeaturesInput {
        columns: vec!["speed".to_owned(), "flow".to_owned()],
        every_micros: HOUR,
        horizon_steps: vec![1, 3],
    }
}

/// A window of live keys with these speeds; flow is ten times the speed.
pub(crate) fn window(end: i64, speeds: &[f64]) -> ClosedWindow {
    ClosedWindow {
        start: EventTime(end - HOUR),
        end: EventTime(end),
        live: vec![true; speeds.len()],
        rows: vec![1; speeds.len()],
        imputed: Vec::new(),
        measured_columns: Vec::new(),
        columns: vec![speeds.to_vec(), speeds.iter().map(|speed| speed * 10.0).collect()],
        expired: Vec::new(),
    }
}

/// A key's value in a column, by name and horizon.
fn value(matrix: &FeatureMatrix, name: &str, horizon_steps: Option<u32>, key: u32) -> f64 {
    let is_it = |column: &&arterial::stages::features::FeatureColumn| {
        column.name == name && column.horizon_steps == horizon_steps
    };
    let place = matrix.columns.iter().position(|column| is_it(&column)).expect(name);
    matrix.row(key)[place]
}

/// Numbers with NaN as a text that equals itself.
fn shown(values: &[f64]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

pub(crate) fn lags(fill: Fill, age: bool) -> FeatureSettings {
    FeatureSettings::Lags { column: "speed".to_owned(), count: 3, fill, age, keep: None }
}

pub(crate) fn profile(period: Period, at: At, min_values: u32) -> FeatureSettings {
    FeatureSettings::Profile {
        column: "speed".to_owned(),
        period,
        slot: None,
        at,
        min_values,
        smooth: 0,
        memory: None,
        zone: Tz::UTC,
    }
}

#[test]
fn lag_0_is_the_closed_windows_own_value_and_nulls_stay_unless_carried() {
    let difference = FeatureSettings::Differences { column: "speed".to_owned(), count: 2 };
    let mut plain = Features::new(plan(&[lags(Fill::None, true), difference]));
    let mut carried = Features::new(plan(&[lags(Fill::Last, true)]));
    let mut rows = Vec::new();
    for (step, speed) in [10.0, 20.0, NAN, 50.0].into_iter().enumerate() {
        let window = window(MONDAY + step as i64 * HOUR, &[speed]);
        rows.push((plain.update(&window).row(0).to_vec(), carried.update(&window).row(0).to_vec()));
    }
    let age = 1.0 / 255.0;
    assert_eq!(shown(&rows[0].0), shown(&[10.0, NAN, NAN, 0.0, NAN, NAN]));
    assert_eq!(shown(&rows[2].0), shown(&[NAN, 20.0, 10.0, age, NAN, 10.0]));
    assert_eq!(shown(&rows[3].0), shown(&[50.0, NAN, 20.0, 0.0, NAN, NAN]));
    assert_eq!(shown(&rows[0].1), shown(&[10.0, 10.0, 10.0, 0.0]), "a key's first value stands for what came before");
    assert_eq!(shown(&rows[2].1), shown(&[20.0, 20.0, 10.0, age]));
    assert_eq!(shown(&rows[3].1), shown(&[50.0, 20.0, 20.0, 0.0]));
}

#[test]
fn key_that_is_not_live_keeps_its_lags_and_an_expired_one_loses_everything() {
    let missing = FeatureSettings::Missing { column: "speed".to_owned() };
    let settings = [lags(Fill::Last, false), profile(Period::Day, At::Now, 1), missing];
    let mut features = Features::new(plan(&settings));
    features.update(&window(MONDAY, &[10.0, 20.0]));
    let mut gone = window(MONDAY + DAY, &[12.0, NAN]);
    gone.expired = vec![1];
    let matrix = features.update(&gone);
    assert_eq!(matrix.row(0), [12.0, 10.0, 10.0, 11.0, 0.0]);
    assert_eq!(matrix.row(1), [20.0, 20.0, 20.0, 20.0, 1.0], "the last row of an expiring key still knows it");
    // The id goes to another key: nothing of the old one is left.
    let matrix = features.update(&window(MONDAY + 2 * DAY, &[14.0, 90.0]));
    assert_eq!(matrix.row(1), [90.0, 90.0, 90.0, 90.0, 0.0]);
    let mut dead = window(MONDAY + 3 * DAY, &[16.0, NAN]);
    dead.live[1] = false;
    assert_eq!(features.update(&dead).row(1)[..3], [90.0; 3]);
}

#[test]
fn calendar_columns_stand_once_for_now_and_once_per_horizon_for_the_target() {
    let zone = chrono_tz::Europe::Copenhagen;
    let settings = [
        FeatureSettings::TimeOfDay { at: At::Now, harmonics: 1, zone },
        FeatureSettings::DayOfWeek { at: At::Target, zone },
    ];
    let plan = plan(&settings);
    let columns: Vec<(&str, Option<u32>)> =
        plan.columns().iter().map(|column| (column.name.as_str(), column.horizon_steps)).collect();
    assert_eq!(
        columns,
        [
            ("time_of_day.sin1", None),
            ("time_of_day.cos1", None),
            ("day_of_week.sin", Some(1)),
            ("day_of_week.cos", Some(1)),
            ("day_of_week.weekend", Some(1)),
            ("day_of_week.sin", Some(3)),
            ("day_of_week.cos", Some(3)),
            ("day_of_week.weekend", Some(3)),
        ]
    );
    // Friday 21:00 UTC is 22:00 in Copenhagen in winter; two hours later begins its Saturday.
    let matrix = Features::new(plan).update(&window(MONDAY + 4 * DAY + 21 * HOUR, &[1.0]));
    let angle = std::f64::consts::TAU * 22.0 / 24.0;
    assert!((value(&matrix, "time_of_day.sin1", None, 0) - angle.sin()).abs() < 1e-12);
    assert!((value(&matrix, "time_of_day.cos1", None, 0) - angle.cos()).abs() < 1e-12);
    assert_eq!(value(&matrix, "day_of_week.weekend", Some(1), 0), 0.0);
    assert_eq!(value(&matrix, "day_of_week.weekend", Some(3), 0), 1.0);
    let saturday = (std::f64::consts::TAU * 5.0 / 7.0).sin();
    assert!((value(&matrix, "day_of_week.sin", Some(3), 0) - saturday).abs() < 1e-12);
}

#[test]
fn time_of_day_follows_the_clocks_of_its_zone() {
    let zone = chrono_tz::Europe::Copenhagen;
    let settings = [FeatureSettings::TimeOfDay { at: At::Now, harmonics: 2, zone }];
    let mut features = Features::new(plan(&settings));
    // 2026-07-06 is summer: 06:00 UTC is 08:00; in winter 07:00 UTC is.
    let summer = features.update(&window(MONDAY + 182 * DAY + 6 * HOUR, &[1.0])).row(0).to_vec();
    let winter = features.update(&window(MONDAY + 7 * HOUR, &[1.0])).row(0).to_vec();
    assert_eq!(summer, winter);
    assert!((summer[2] - (2.0 * std::f64::consts::TAU * 8.0 / 24.0).sin()).abs() < 1e-12);
}

#[test]
fn profile_falls_back_from_the_week_to_the_day_to_everything() {
    let settings = [profile(Period::Week, At::Target, 2)];
    let mut features = Features::new(plan(&settings));
    let mut at = |day: i64, hour: i64, speed: f64| features.update(&window(MONDAY + day * DAY + hour * HOUR, &[speed]));
    // The window that ends at 08:00; its neighbours at 09:00 and 11:00 are the targets.
    let first = at(0, 8, 10.0);
    assert_eq!(value(&first, "speed.profile", Some(1), 0), 10.0, "all that is known");
    at(0, 9, 20.0);
    at(1, 9, 40.0);
    let second = at(2, 8, 50.0);
    assert_eq!(value(&second, "speed.profile", Some(1), 0), 30.0, "two values at 09:00, none on a Wednesday");
    assert_eq!(value(&second, "speed.profile", Some(3), 0), 30.0, "(10 + 20 + 40 + 50) / 4: nothing at 11:00");
    at(7, 9, 60.0);
    let third = at(14, 8, 0.0);
    assert_eq!(value(&third, "speed.profile", Some(1), 0), 40.0, "(20 + 60) / 2 on Mondays at 09:00");
}

#[test]
fn workweek_keeps_weekends_apart() {
    let settings = [profile(Period::Workweek, At::Now, 1)];
    let mut features = Features::new(plan(&settings));
    let mut now = |day: i64, speed: f64| features.update(&window(MONDAY + day * DAY + 8 * HOUR, &[speed])).row(0)[0];
    assert_eq!([now(0, 10.0), now(4, 30.0), now(5, 80.0), now(6, 90.0), now(7, 50.0)], [10.0, 20.0, 80.0, 85.0, 30.0]);
}

#[test]
fn window_that_ends_at_midnight_belongs_to_the_day_it_lies_in() {
    let settings = [profile(Period::Workweek, At::Now, 1)];
    let mut features = Features::new(plan(&settings));
    // Friday 23:00..24:00, Saturday 23:00..24:00.
    features.update(&window(MONDAY + 5 * DAY, &[10.0]));
    let saturday = features.update(&window(MONDAY + 6 * DAY, &[70.0]));
    assert_eq!(saturday.row(0), [70.0]);
}

#[test]
fn profile_stands_alone_smooths_and_fades_as_declared() {
    let of = |smooth, memory| {
        let plan = ProfilePlan {
            step: "baseline".to_owned(),
            period: Period::Day,
            slot_micros: HOUR,
            min_values: 1,
            smooth,
            memory,
            zone: Tz::UTC,
        };
        Profile::new(plan)
    };
    let read = |profile: &Profile, hour: i64| {
        let mut values = [0.0; 3];
        profile.fill(EventTime(MONDAY + hour * HOUR), &mut values);
        values
    };
    let mut smooth = of(1, None);
    smooth.observe(EventTime(MONDAY + 8 * HOUR), &[10.0, NAN]);
    smooth.observe(EventTime(MONDAY + 9 * HOUR), &[40.0, NAN]);
    // Weights of 1 and, for a neighbour, 1/2.
    assert_eq!(read(&smooth, 8)[0], (10.0 + 0.5 * 40.0) / 1.5);
    assert_eq!(shown(&read(&smooth, 8)[1..]), ["NaN", "NaN"], "no value, no key");
    let mut fading = of(0, Some(1));
    for day in 0..14 {
        fading.observe(EventTime(MONDAY + day * DAY + 8 * HOUR), &[0.0]);
    }
    fading.observe(EventTime(MONDAY + 14 * DAY + 8 * HOUR), &[7.0]);
    // Slots of the day remember seven values' worth.
    assert!((read(&fading, 8)[0] - 1.0).abs() < 1e-12);
    fading.forget(&[0]);
    assert!(read(&fading, 8)[0].is_nan());
}

#[test]
fn profile_passes_over_values_that_are_not_finite() {
    let mut features = Features::new(plan(&[profile(Period::Day, At::Now, 1)]));
    for (day, value) in [10.0, f64::INFINITY, f64::NEG_INFINITY, NAN, 20.0].into_iter().enumerate() {
        features.update(&window(MONDAY + day as i64 * DAY, &[value]));
    }
    let matrix = features.update(&window(MONDAY + 5 * DAY, &[NAN]));
    assert_eq!(matrix.row(0), [15.0]);
}

#[test]
fn spoofed_value_is_held_wherever_it_comes_and_others_count_bit_for_bit() {
    // Two weeks of hours that differ by the time of the day; the value of one window may be spoofed.
    let read = |spoofed: Option<i64>, at: i64| {
        let mut features = Features::new(plan(&[profile(Period::Day, At::Now, 1)]));
        for step in 0..24 * 14 {
            let usual = 50.0 + (step % 24) as f64 + (step % 7) as f64;
            let value = if spoofed == Some(step) { 1e12 } else { usual };
            features.update(&window(MONDAY + step * HOUR, &[value, usual]));
        }
        let row = features.update(&window(MONDAY + (24 * 14 + at) * HOUR, &[NAN, NAN]));
        [row.row(0)[0], row.row(1)[0]]
    };
    for (spoofed, reach) in [(0, 5.0), (7, 5.0), (9, 5.0), (12, 60.0), (100, 60.0), (300, 60.0)] {
        for at in [spoofed % 24, (spoofed + 5) % 24] {
            let [held, usual] = read(Some(spoofed), at);
            assert!((held - usual).abs() < reach, "hour {spoofed}, read at {at}: {held} beside {usual}");
        }
    }
    assert_eq!(read(None, 3)[0].to_bits(), read(Some(100), 3)[1].to_bits());
}

#[test]
fn one_closed_window_changes_few_blocks_of_a_long_profile() {
    let settings = [profile(Period::Week, At::Target, 3), lags(Fill::Last, false)];
    let mut features = Features::new(plan(&settings));
    let mut state = MemoryState::default();
    for step in 0..24 * 14 {
        features.update(&window(MONDAY + step * HOUR, &vec![1.0; 5000]));
    }
    features.snapshot(Snapshot::Changed, &mut state);
    let all = state.writes;
    state.writes = 0;
    features.update(&window(MONDAY + 24 * 14 * HOUR, &vec![1.0; 5000]));
    features.snapshot(Snapshot::Changed, &mut state);
    // 5000 keys are two blocks of a slot (its own, that of the day), five of what is usual and two of lags.
    assert_eq!(state.writes, 2 * 2 + 5 + 2);
    assert_eq!(all, (7 * 24 + 24) * 2 + 5 + 2);
    let largest = state.blocks.values().map(Vec::len).max().unwrap();
    assert!(largest < 100_000, "{largest} bytes");
    state.writes = 0;
    features.snapshot(Snapshot::Changed, &mut state);
    assert_eq!(state.writes, 0);
}

#[test]
fn lags_that_are_not_kept_are_no_columns_but_differences_know_them() {
    let speed = || "speed".to_owned();
    let settings = [
        FeatureSettings::Lags { column: speed(), count: 4, fill: Fill::Last, age: false, keep: Some(vec![0, 3]) },
        FeatureSettings::Differences { column: speed(), count: 2 },
    ];
    let mut features = Features::new(plan(&settings));
    let matrices: Vec<_> =
        (0..4).map(|step| features.update(&window(MONDAY + step * HOUR, &[f64::from(1 << step)]))).collect();
    let names: Vec<&str> = matrices[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["speed.lag0", "speed.lag3", "speed.difference0", "speed.difference1"]);
    assert_eq!(matrices[0].row(0), [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(matrices[3].row(0), [8.0, 1.0, 4.0, 2.0]);
}

#[test]
fn deviation_without_repeats_has_no_column_and_no_state_of_them() {
    let deviation = FeatureSettings::Deviation { column: "speed".to_owned(), harmonics: 1, repeats: false };
    let mut features = Features::new(plan(&[lags(Fill::Last, false), profile(Period::Day, At::Target, 1), deviation]));
    let matrix = features.update(&window(MONDAY, &[50.0]));
    assert!(matrix.columns.iter().all(|column| column.name != "speed.deviation_held"));
    let mut state = MemoryState::default();
    features.snapshot(Snapshot::Full, &mut state);
    assert!(state.blocks.keys().all(|(step, _)| !step.starts_with("repeats")), "{:?}", state.blocks.keys());
}

#[test]
fn all_problems_of_features_are_reported_at_once_with_their_places() {
    let speed = || "speed".to_owned();
    let settings = [
        FeatureSettings::Differences { column: speed(), count: 1 },
        FeatureSettings::Lags { column: "sped".to_owned(), count: 3, fill: Fill::None, age: false, keep: None },
        FeatureSettings::Lags { column: speed(), count: 0, fill: Fill::None, age: false, keep: None },
        FeatureSettings::Lags { column: speed(), count: 2, fill: Fill::None, age: false, keep: None },
        FeatureSettings::Differences { column: speed(), count: 2 },
        FeatureSettings::Deviation { column: speed(), harmonics: 1, repeats: true },
        FeatureSettings::Missing { column: speed() },
        FeatureSettings::Missing { column: speed() },
        FeatureSettings::Lags {
            column: "flow".to_owned(),
            count: 3,
            fill: Fill::None,
            age: false,
            keep: Some(vec![0, 3]),
        },
        FeatureSettings::Lags {
            column: "flow".to_owned(),
            count: 3,
            fill: Fill::None,
            age: false,
            keep: Some(vec![1, 1]),
        },
        FeatureSettings::Lags { column: "flow".to_owned(), count: 3, fill: Fill::None, age: false, keep: Some(vec![]) },
        FeatureSettings::Profile {
            column: speed(),
            period: Period::Day,
            slot: Some(7 * HOUR),
            at: At::Now,
            min_values: 1,
            smooth: 0,
            memory: None,
            zone: Tz::UTC,
        },
    ];
    let errors = FeaturesPlan::new(&settings, &input()).unwrap_err();
    let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "features[0].differences: 1 differences of `speed` need 2 lags of it before, found 0",
            "features[1].lags: unknown window column `sped`",
            "features[2].lags: count is 0",
            "features[4].differences: 2 differences of `speed` need 3 lags of it before, found 2",
            "features[5].deviation: the deviation of `speed` needs `lags` and a `profile` of it before",
            "features[7].missing: feature `speed.missing` is made twice",
            "features[8].lags: lag 3 is not among the 3 lags of `flow`, which are 0 to 2",
            "features[9].lags: feature `flow.lag1` is made twice",
            "features[10].lags: count is 0",
            "features[11].profile: slot of 25200 s does not divide a day",
        ]
    );
    assert_eq!(errors[1].hint.as_deref(), Some("did you mean `speed`?"));
}
