//! What alert rules watch beside a value: how fast it changes, and how long a key has been silent; what an alert says once
//! it is over.

use std::sync::Arc;

use arterial::stages::alert::{AlertChange, AlertSettings, AlertState, Alerts, MeasureSettings, RuleInput, Severity};
use arterial::stages::window::ClosedWindow;
use arterial::vocab::{EventTime, Snapshot};
use proptest::prelude::*;

use crate::alert::{MINUTE, plan, settings, value};
use crate::predict_support::MemoryState;

/// A five-minute window that ended at `minute`, with a speed and a number of readings per key.
fn window(minute: i64, speeds: &[Option<f64>], rows: &[u32]) -> ClosedWindow {
    let end = EventTime(minute * MINUTE);
    ClosedWindow {
        start: end.plus(-5 * MINUTE),
        end,
        live: vec![true; speeds.len()],
        rows: rows.to_vec(),
        imputed: Vec::new(),
        measured_columns: Vec::new(),
        columns: vec![speeds.iter().map(|speed| speed.unwrap_or(f64::NAN)).collect(), vec![100.0; speeds.len()]],
        expired: Vec::new(),
    }
}

fn evaluate(alerts: &mut Alerts, window: &ClosedWindow) -> Vec<AlertChange> {
    alerts.evaluate(&RuleInput { window, forecasts: &[] }).unwrap()
}

/// Opens where the speed rises by more than 60 km/h in an hour.
fn rising() -> AlertSettings {
    let measure = MeasureSettings::Rate { value: "speed_kmh".to_owned(), per_micros: 60 * MINUTE };
    AlertSettings { measure, when: "> 60".to_owned(), clear: None, ..settings() }
}

/// Opens after 15 minutes without readings, severe after 30.
fn silent() -> AlertSettings {
    AlertSettings {
        measure: MeasureSettings::Silence,
        when: ">= 15".to_owned(),
        clear: None,
        severity: [(Severity::Minor, ">= 15".to_owned()), (Severity::Severe, ">= 30".to_owned())].into(),
        summary: "No readings from {segment_id} for {measure} minutes".to_owned(),
        ..settings()
    }
}

/// State, seq and value of each change of one key, with the minute.
fn story(rule: AlertSettings, windows: &[ClosedWindow]) -> Vec<(i64, AlertState, Option<f64>)> {
    let mut alerts = Alerts::new(plan(&[rule]));
    let told = windows.iter().flat_map(|window| evaluate(&mut alerts, window));
    told.map(|change| (change.at.0 / MINUTE, change.state, change.value)).collect()
}

#[test]
fn rate_is_the_change_since_the_last_value_and_null_is_no_change() {
    let speeds = [Some(50.0), Some(60.0), Some(61.0), None, None, Some(80.0), Some(80.0)];
    let windows: Vec<_> =
        speeds.iter().enumerate().map(|(step, speed)| window(5 * step as i64, &[*speed], &[1])).collect();
    // 10 in 5 minutes, then 1 in 5; 19 over the 15 minutes of the gap; then nothing.
    let wanted = [
        (5, AlertState::Opened, Some(120.0)),
        (10, AlertState::Cleared, Some(12.0)),
        (25, AlertState::Opened, Some(76.0)),
        (30, AlertState::Cleared, Some(0.0)),
    ];
    assert_eq!(story(rising(), &windows), wanted);
}

#[test]
fn first_value_of_a_key_is_no_change_even_where_another_key_had_its_id() {
    let mut first = window(0, &[Some(10.0)], &[1]);
    first.expired = vec![0];
    first.live = vec![false];
    let mut before = window(-5, &[Some(10.0)], &[1]);
    before.live = vec![true];
    assert_eq!(story(rising(), &[before, first, window(5, &[Some(90.0)], &[1])]), []);
}

/// Opens where the mean over four windows exceeds 50 km/h.
fn mean() -> AlertSettings {
    let measure = MeasureSettings::Mean { value: "speed_kmh".to_owned(), over_micros: 4 * MINUTE };
    AlertSettings { measure, when: "> 50".to_owned(), clear: None, ..settings() }
}

#[test]
fn mean_over_the_last_windows_wants_three_quarters_of_them() {
    let speeds = [Some(90.0), Some(30.0), None, Some(60.0), None, None, Some(40.0), Some(40.0), Some(40.0)];
    let windows: Vec<_> =
        speeds.iter().enumerate().map(|(step, speed)| window(5 * step as i64, &[*speed], &[1])).collect();
    // Known of the last four: 1, 2, 2, 3 (mean 60), 2, 1, 2, 2, 3 (mean 40).
    let told =
        [(15, AlertState::Opened, Some(60.0)), (30, AlertState::Updated, None), (40, AlertState::Cleared, Some(40.0))];
    assert_eq!(story(mean(), &windows), told);
}

#[test]
fn mean_is_over_whole_windows_and_not_too_many() {
    for over_micros in [0, MINUTE, MINUTE * 5 / 2, 1_441 * MINUTE] {
        let measure = MeasureSettings::Mean { value: "speed_kmh".to_owned(), over_micros };
        let rule = AlertSettings { measure, ..settings() };
        let errors = arterial::stages::alert::AlertPlan::new(&[rule], &crate::alert::input()).unwrap_err();
        let wanted = format!(
            "alerts.congestion.mean_over: {over_micros} us is no number of windows of 60000000 us that a mean is made of"
        );
        assert_eq!(errors[0].to_string(), wanted);
        assert_eq!(errors[0].hint.as_deref(), Some("use 2 to 1440 times the time between windows"));
    }
}

#[test]
fn silent_sensor_opens_worsens_and_clears_when_readings_come_back() {
    let rows = [1, 0, 0, 0, 0, 0, 0, 2, 0, 0];
    let windows: Vec<_> =
        rows.iter().enumerate().map(|(step, rows)| window(5 * step as i64, &[None], &[*rows])).collect();
    let wanted = [
        (15, AlertState::Opened, Some(15.0)),
        (30, AlertState::Updated, Some(30.0)),
        (35, AlertState::Cleared, Some(0.0)),
    ];
    assert_eq!(story(silent(), &windows), wanted);
}

#[test]
fn readings_without_a_value_are_no_silence() {
    let windows: Vec<_> = (0..9).map(|step| window(5 * step, &[None], &[1])).collect();
    assert_eq!(story(silent(), &windows), []);
}

#[test]
fn silent_sensor_that_is_forgotten_expires_and_its_id_starts_afresh() {
    let mut windows: Vec<_> = (0..5).map(|step| window(5 * step, &[None], &[u32::from(step == 0)])).collect();
    windows[4].expired = vec![0];
    windows[4].live = vec![false];
    windows.push(window(25, &[None], &[1]));
    windows.push(window(30, &[None], &[0]));
    assert_eq!(story(silent(), &windows), [(15, AlertState::Opened, Some(15.0)), (20, AlertState::Expired, None)]);
}

#[test]
fn alert_that_is_over_says_what_is_true_then() {
    let lines = |rule: AlertSettings, last: ClosedWindow| -> Vec<String> {
        let plan = plan(&[rule]);
        let mut alerts = Alerts::new(Arc::clone(&plan));
        let mut told = Vec::new();
        for window in [
            window(0, &[None], &[1]),
            window(5, &[None], &[0]),
            window(10, &[None], &[0]),
            window(15, &[None], &[0]),
            last,
        ] {
            let input = RuleInput { window: &window, forecasts: &[] };
            let changes = alerts.evaluate(&input).unwrap();
            told.extend(changes.iter().map(|change| plan.summary(change, &["S7"], &input)));
        }
        told
    };
    let opened = "No readings from S7 for 15 minutes";
    let back = || window(20, &[Some(61.5)], &[3]);
    assert_eq!(lines(silent(), back()), [opened, "Cleared: No readings from S7 for 0 minutes"]);
    let cleared = Some("{segment_id} measures again: {speed_kmh} km/h".to_owned());
    assert_eq!(
        lines(AlertSettings { summary_cleared: cleared.clone(), ..silent() }, back()),
        [opened, "S7 measures again: 61.5 km/h"]
    );
    let mut gone = window(20, &[None], &[0]);
    (gone.live, gone.expired) = (vec![false], vec![0]);
    let expired = "Expired: No readings from S7 for unknown minutes";
    assert_eq!(lines(AlertSettings { summary_cleared: cleared, ..silent() }, gone), [opened, expired]);
}

#[test]
fn template_of_the_cleared_line_is_checked_too() {
    let rule =
        AlertSettings { summary_cleared: Some("{speed_kmhh}".to_owned()), measure: value("speed_kmh"), ..settings() };
    let errors = arterial::stages::alert::AlertPlan::new(&[rule], &crate::alert::input()).unwrap_err();
    assert_eq!(errors[0].to_string(), "alerts.congestion.summary_cleared: unknown placeholder `{speed_kmhh}`");
    assert_eq!(errors[0].hint.as_deref(), Some("did you mean `{speed_kmh}`?"));
}

#[test]
fn marks_and_means_of_many_keys_come_back_from_their_blocks_and_silence_that_is_over_leaves_none() {
    let average = AlertSettings { name: "average".to_owned(), ..mean() };
    let plan = plan(&[silent(), average]);
    let (mut steady, mut store) = (Alerts::new(Arc::clone(&plan)), MemoryState::default());
    let speeds = |step: i64| (0..2_500_i64).map(|key| Some((key * 7 + step * 31) as f64 % 100.0)).collect::<Vec<_>>();
    // Every seventh key is silent from the second window on.
    let rows = |step: i64| (0..2_500).map(|key| u32::from(step == 0 || key % 7 != 0)).collect::<Vec<u32>>();
    for step in 0..4 {
        evaluate(&mut steady, &window(5 * step, &speeds(step), &rows(step)));
        steady.snapshot(Snapshot::Changed, &mut store);
    }
    let blocks = |store: &MemoryState, step: &str| store.blocks.keys().filter(|(name, _)| name == step).count();
    assert_eq!((blocks(&store, "alert.congestion.marks"), blocks(&store, "alert.average.recent")), (3, 4));
    let mut restored = Alerts::restore(Arc::clone(&plan), &store).unwrap();
    let next = window(20, &speeds(4), &rows(4));
    let changes = evaluate(&mut restored, &next);
    assert!(changes.len() > 300, "{} changes", changes.len());
    assert_eq!(changes, evaluate(&mut steady, &next));
    evaluate(&mut steady, &window(25, &speeds(5), &rows(0)));
    steady.snapshot(Snapshot::Changed, &mut store);
    assert_eq!(blocks(&store, "alert.congestion.marks"), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn silence_rates_and_means_go_on_after_a_restart_as_if_there_had_been_none(
        readings in prop::collection::vec(prop::collection::vec(prop::option::of(0.0_f64..90.0), 3), 1..40),
        restarts in prop::collection::vec(0_usize..40, 0..5),
    ) {
        let other = AlertSettings { name: "rising".to_owned(), ..rising() };
        let average = AlertSettings { name: "average".to_owned(), ..mean() };
        let plan = plan(&[silent(), other, average]);
        let (mut steady, mut restarted) = (Alerts::new(Arc::clone(&plan)), Alerts::new(Arc::clone(&plan)));
        let mut store = MemoryState::default();
        for (step, speeds) in readings.iter().enumerate() {
            let rows: Vec<u32> = speeds.iter().map(|speed| u32::from(speed.is_some())).collect();
            let window = window(5 * step as i64, speeds, &rows);
            prop_assert_eq!(evaluate(&mut steady, &window), evaluate(&mut restarted, &window));
            if restarts.contains(&step) {
                restarted.snapshot(Snapshot::Changed, &mut store);
                let mut full = MemoryState::default();
                steady.snapshot(Snapshot::Full, &mut full);
                prop_assert_eq!(&store.blocks, &full.blocks);
                restarted = Alerts::restore(Arc::clone(&plan), &store).unwrap();
            }
        }
    }
}
