//! The life of an alert, window end after window end: by example, and against a naive reference with restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arterial::stages::alert::{AlertSettings, AlertState, Alerts, Severity};
use arterial::vocab::{EventTime, Snapshot};
use proptest::prelude::*;

use crate::alert::{MINUTE, evaluate, plan, settings};
use crate::predict_support::MemoryState;

/// The story of one key: `minute state seq` of each change.
fn story(settings: AlertSettings, measures: &[Option<f64>]) -> Vec<String> {
    let mut alerts = Alerts::new(plan(&[settings]));
    let mut told = Vec::new();
    for (minute, measure) in measures.iter().enumerate() {
        for change in evaluate(&mut alerts, minute as i64, &[*measure]) {
            assert_eq!(change.at, EventTime(minute as i64 * MINUTE));
            told.push(format!("{minute} {} {}", change.state.name(), change.seq));
        }
    }
    told
}

/// A story without the records that only tell an alert again.
fn states(story: &[String]) -> Vec<String> {
    let told = story.iter().filter(|told| !told.contains("updated"));
    told.map(|told| told.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

fn severities() -> BTreeMap<Severity, String> {
    [(Severity::Minor, "< 0.45".to_owned()), (Severity::Severe, "< 0.2".to_owned())].into()
}

#[test]
fn alert_opens_with_the_first_true_measure_and_clears_only_beyond_its_other_limit() {
    let measures = [0.5, 0.4, 0.5, 0.44, 0.6, 0.61, 0.5, 0.449].map(Some);
    assert_eq!(story(settings(), &measures), ["1 opened 0", "5 cleared 1", "7 opened 0"]);
}

#[test]
fn alert_opens_at_the_first_window_end_at_or_after_its_first_true_end_plus_for() {
    let rule = AlertSettings { for_micros: 3 * MINUTE, ..settings() };
    assert_eq!(story(rule.clone(), &[0.4; 5].map(Some)), ["3 opened 0"]);
    let rule_between_ends = AlertSettings { for_micros: 3 * MINUTE - 1, ..settings() };
    assert_eq!(story(rule_between_ends, &[0.4; 5].map(Some)), ["3 opened 0"]);
    let interrupted = [0.4, 0.4, 0.5, 0.4, 0.4, 0.4, 0.4].map(Some);
    assert_eq!(story(rule, &interrupted), ["6 opened 0"]);
}

#[test]
fn null_measure_neither_holds_nor_clears_nor_resets() {
    let rule = AlertSettings { for_micros: 3 * MINUTE, ..settings() };
    // Null at minute 3, when the alert would open: it opens with the next measure that holds.
    assert_eq!(story(rule.clone(), &[Some(0.4), None, None, None, Some(0.4)]), ["4 opened 0"]);
    assert_eq!(story(rule, &[Some(0.4), None, None, None, Some(0.5), Some(0.4)]), Vec::<String>::new());
    assert_eq!(story(settings(), &[Some(0.4), None, None, Some(0.7)]), ["0 opened 0", "3 cleared 1"]);
}

#[test]
fn alert_stays_open_at_least_hold() {
    let rule = AlertSettings { hold_micros: 3 * MINUTE, ..settings() };
    let measures = [0.4, 0.7, 0.7, 0.7, 0.7].map(Some);
    assert_eq!(story(rule.clone(), &measures), ["0 opened 0", "3 cleared 1"]);
    // The clearing must still hold when the time is over.
    assert_eq!(story(rule, &[0.4, 0.7, 0.7, 0.5, 0.7].map(Some)), ["0 opened 0", "4 cleared 1"]);
}

#[test]
fn open_alert_expires_once_its_measure_is_null_for_expire_after() {
    let rule = AlertSettings { expire_after_micros: 2 * MINUTE, ..settings() };
    let gone = [Some(0.4), None, None, None, None, Some(0.4)];
    assert_eq!(states(&story(rule.clone(), &gone)), ["0 opened", "3 expired", "5 opened"]);
    let interrupted = [Some(0.4), None, None, Some(0.5), None, None];
    assert_eq!(states(&story(rule, &interrupted)), ["0 opened"]);
}

#[test]
fn open_alert_is_told_again_at_the_first_window_end_at_or_after_half_of_expire_after() {
    let rule = AlertSettings { expire_after_micros: 6 * MINUTE, ..settings() };
    let told = ["0 opened 0", "3 updated 1", "6 updated 2", "8 cleared 3"];
    let measures = [0.4, 0.4, 0.4, 0.5, 0.4, 0.4, 0.3, 0.5, 0.7].map(Some);
    assert_eq!(story(rule, &measures), told);
    // Half of it is between two window ends: the next one.
    let odd = AlertSettings { expire_after_micros: 5 * MINUTE, ..settings() };
    assert_eq!(story(odd, &[Some(0.4); 7]), ["0 opened 0", "3 updated 1", "6 updated 2"]);
}

#[test]
fn change_of_severity_puts_off_when_an_alert_is_told_again() {
    let rule = AlertSettings { expire_after_micros: 6 * MINUTE, severity: severities(), ..settings() };
    let measures = [0.4, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1].map(Some);
    assert_eq!(story(rule, &measures), ["0 opened 0", "2 updated 1", "5 updated 2"]);
}

#[test]
fn open_alert_is_told_again_without_a_measure_until_it_expires() {
    let rule = AlertSettings { expire_after_micros: 6 * MINUTE, ..settings() };
    let measures = [Some(0.4), Some(0.4), None, None, None, None, None, None, None];
    assert_eq!(story(rule, &measures), ["0 opened 0", "3 updated 1", "6 updated 2", "8 expired 3"]);
}

#[test]
fn alert_told_again_keeps_its_severity_and_names_the_limit_of_that() {
    let rule = AlertSettings { expire_after_micros: 4 * MINUTE, severity: severities(), ..settings() };
    let mut alerts = Alerts::new(plan(&[rule, AlertSettings { expire_after_micros: 4 * MINUTE, ..settings() }]));
    evaluate(&mut alerts, 0, &[Some(0.1)]);
    evaluate(&mut alerts, 1, &[Some(0.1)]);
    // Between `when` and `clear` no severity holds.
    let again = evaluate(&mut alerts, 2, &[Some(0.5)]);
    let told: Vec<_> = again.iter().map(|change| (change.severity, change.threshold, change.value)).collect();
    assert_eq!(told, [(Some(Severity::Severe), 0.2, Some(0.5)), (None, 0.45, Some(0.5))]);
    assert!(again.iter().all(|change| change.opened_at == EventTime(0)));
}

proptest! {
    #[test]
    fn who_drops_an_alert_when_its_record_runs_out_never_drops_an_open_one(
        measures in prop::collection::vec(any_measure(), 1..80), expire in 2_i64..12, delay in 0_i64..6,
    ) {
        let rule = AlertSettings { expire_after_micros: expire * MINUTE, severity: severities(), ..settings() };
        let mut alerts = Alerts::new(plan(&[rule]));
        // A record of minute m is read at m + delay; without delay a reader has it when the window ends.
        let delay = delay.min(expire / 2 - 1).max(0);
        let mut runs_out: Option<i64> = None;
        let mut open = std::collections::VecDeque::new();
        for (minute, measure) in (0_i64..).zip(&measures) {
            let changes = evaluate(&mut alerts, minute, &[*measure]);
            open.extend(changes.iter().map(|change| (minute, change.state)));
            while let Some((told, state)) = open.front().copied().filter(|(told, _)| told + delay <= minute) {
                if state == AlertState::Updated {
                    prop_assert!(runs_out.is_some_and(|at| minute < at), "ran out before minute {}", minute);
                }
                let lasts = matches!(state, AlertState::Opened | AlertState::Updated);
                runs_out = lasts.then_some(told + expire);
                open.pop_front();
            }
            prop_assert!(runs_out.is_none_or(|at| minute < at), "open and run out at minute {}", minute);
        }
    }
}

#[test]
fn what_is_pending_is_forgotten_when_the_measure_is_null_for_expire_after() {
    let rule = AlertSettings { for_micros: 4 * MINUTE, expire_after_micros: 2 * MINUTE, ..settings() };
    let measures = [Some(0.4), None, None, None, Some(0.4), Some(0.4)];
    assert_eq!(story(rule, &measures), Vec::<String>::new());
}

#[test]
fn severity_is_the_worst_that_holds_and_a_change_of_it_is_an_update() {
    let severity = [(Severity::Minor, "< 0.45"), (Severity::Moderate, "< 0.35"), (Severity::Severe, "< 0.20")];
    let rule = AlertSettings {
        severity: severity.iter().map(|(severity, text)| (*severity, (*text).to_owned())).collect(),
        ..settings()
    };
    let mut alerts = Alerts::new(plan(&[rule]));
    let mut told = Vec::new();
    for (minute, measure) in [0.3, 0.3, 0.1, 0.44, 0.5, 0.7].into_iter().enumerate() {
        for change in evaluate(&mut alerts, minute as i64, &[Some(measure)]) {
            assert_eq!((change.opened_at, change.value), (EventTime(0), Some(measure * 100.0 / 100.0)));
            told.push((minute, change.state, change.severity, change.seq, change.threshold));
        }
    }
    assert_eq!(
        told,
        [
            (0, AlertState::Opened, Some(Severity::Moderate), 0, 0.45),
            (2, AlertState::Updated, Some(Severity::Severe), 1, 0.20),
            (3, AlertState::Updated, Some(Severity::Minor), 2, 0.45),
            // At 0.5 no severity holds: the alert keeps the one it had.
            (5, AlertState::Cleared, Some(Severity::Minor), 3, 0.60),
        ]
    );
}

/// Severities of measures, one window after another, and where the alert ends: `minute severity`.
fn severity_story(severity_clear: &[(Severity, &str)], hold: i64, measures: &[Option<f64>]) -> Vec<String> {
    let words =
        |words: &[(Severity, &str)]| words.iter().map(|(severity, text)| (*severity, (*text).to_owned())).collect();
    let rule = AlertSettings {
        hold_micros: hold * MINUTE,
        severity: words(&[(Severity::Minor, "< 0.45"), (Severity::Moderate, "< 0.35"), (Severity::Severe, "< 0.20")]),
        severity_clear: words(severity_clear),
        ..settings()
    };
    let mut alerts = Alerts::new(plan(&[rule]));
    let mut told = Vec::new();
    for (minute, measure) in (0_i64..).zip(measures) {
        for change in evaluate(&mut alerts, minute, &[*measure]) {
            let severity = change.severity.map_or("none", Severity::name);
            told.push(format!("{minute} {} {severity} {}", change.state.name(), change.threshold));
        }
    }
    told
}

#[test]
fn severity_that_hovers_about_its_limit_changes_once() {
    let hovers = [0.21, 0.19, 0.21, 0.18, 0.22, 0.19].map(Some);
    let every_window = severity_story(&[], 0, &hovers);
    assert_eq!(every_window.len(), 6, "{every_window:?}");
    let clear = [(Severity::Severe, "> 0.25"), (Severity::Moderate, "> 0.40")];
    assert_eq!(severity_story(&clear, 0, &hovers), ["0 opened moderate 0.45", "1 updated severe 0.2"]);
}

#[test]
fn severity_rises_at_once_and_falls_by_as_many_levels_as_are_over() {
    let clear = [(Severity::Severe, "> 0.25"), (Severity::Moderate, "> 0.40")];
    let measures = [0.44, 0.1, 0.25, 0.26, 0.36, 0.41, 0.1, 0.42, 0.55, 0.7].map(Some);
    assert_eq!(
        severity_story(&clear, 0, &measures),
        [
            "0 opened minor 0.45",
            "1 updated severe 0.2",
            // 0.25 is not above 0.25; 0.36 is no longer below 0.35, but not above 0.40.
            "3 updated moderate 0.35",
            "5 updated minor 0.45",
            "6 updated severe 0.2",
            // At 0.55 even the condition of minor is over: it lasts as long as the alert.
            "7 updated minor 0.45",
            "9 cleared minor 0.6",
        ]
    );
    // Null is no measure: the severity stays as it is.
    let gap = [Some(0.1), None, Some(0.22), Some(0.3)];
    assert_eq!(severity_story(&clear, 0, &gap), ["0 opened severe 0.45", "3 updated moderate 0.35"]);
}

#[test]
fn severity_without_a_clearing_of_its_own_ends_where_its_condition_does() {
    let clear = [(Severity::Severe, "> 0.25")];
    let measures = [0.1, 0.22, 0.3, 0.36, 0.3].map(Some);
    let told = ["0 opened severe 0.45", "2 updated moderate 0.35", "3 updated minor 0.45", "4 updated moderate 0.35"];
    assert_eq!(severity_story(&clear, 0, &measures), told);
}

#[test]
fn alert_that_is_held_open_by_time_falls_to_its_least_severity() {
    let clear = [(Severity::Severe, "> 0.25")];
    let measures = [0.1, 0.9, 0.9, 0.9].map(Some);
    let told = ["0 opened severe 0.45", "1 updated minor 0.45", "3 cleared minor 0.6"];
    assert_eq!(severity_story(&clear, 3, &measures), told);
}

/// One key's alert, written down as the rule is told to a person.
#[derive(Default)]
struct Naive {
    history: Vec<(i64, Option<f64>)>,
    open: Option<Open>,
    /// Minutes at or before which nothing counts any more.
    reset_at: i64,
    /// Severe falls above 0.42 only, and minor lasts.
    severity_clears: bool,
}

/// Minutes it opened and was last told at, records told, severity.
#[derive(Clone, Copy)]
struct Open {
    opened: i64,
    told: i64,
    seq: u32,
    severity: Option<Severity>,
}

struct Times {
    pending: i64,
    hold: i64,
    expire: i64,
}

impl Naive {
    fn step(
        &mut self,
        minute: i64,
        measure: Option<f64>,
        times: &Times,
    ) -> Option<(AlertState, u32, Option<Severity>)> {
        self.history.push((minute, measure));
        let nulls = self.history.iter().rev().take_while(|(_, value)| value.is_none()).map(|(at, _)| *at);
        let null_since = nulls.filter(|at| *at > self.reset_at).last();
        if null_since.is_some_and(|since| minute - since >= times.expire) {
            // A fresh start, unless nothing was pending or open.
            let open = self.open.take();
            if open.is_some() || self.first_true().is_some() {
                self.reset_at = minute;
            }
            return open.map(|open| (AlertState::Expired, open.seq + 1, open.severity));
        }
        let lasting = self.open.filter(|_| self.severity_clears).and_then(|open| open.severity);
        let severity = match measure {
            Some(value) if value < 0.2 => Some(Severity::Severe),
            Some(value) if value <= 0.42 && lasting == Some(Severity::Severe) => lasting,
            Some(value) if value < 0.45 => Some(Severity::Minor),
            Some(_) if lasting.is_some() => Some(Severity::Minor),
            _ => None,
        };
        if let Some(open) = self.open {
            if measure.is_some_and(|value| value > 0.6) && minute - open.opened >= times.hold {
                self.open = None;
                self.reset_at = minute;
                return Some((AlertState::Cleared, open.seq + 1, open.severity));
            }
            let worse_or_better = severity.is_some() && severity != open.severity;
            if worse_or_better || 2 * (minute - open.told) >= times.expire {
                let severity = severity.or(open.severity);
                self.open = Some(Open { told: minute, seq: open.seq + 1, severity, ..open });
                return Some((AlertState::Updated, open.seq + 1, severity));
            }
            return None;
        }
        if measure.is_some() && self.first_true().is_some_and(|first| minute - first >= times.pending) {
            self.open = Some(Open { opened: minute, told: minute, seq: 0, severity });
            return Some((AlertState::Opened, 0, severity));
        }
        None
    }

    /// The first of the true measures at the end of the history, nulls left out.
    fn first_true(&self) -> Option<i64> {
        let known = self.history.iter().rev().filter(|(at, value)| *at > self.reset_at && value.is_some());
        known.take_while(|(_, value)| value.is_some_and(|value| value < 0.45)).last().map(|(at, _)| *at)
    }
}

fn any_measure() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        3 => Just(Some(0.1)),
        4 => Just(Some(0.4)),
        1 => Just(Some(0.45)),
        2 => Just(Some(0.5)),
        2 => Just(Some(0.7)),
        4 => Just(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn life_of_every_alert_is_that_of_the_naive_reference(
        windows in prop::collection::vec(prop::collection::vec(any_measure(), 3), 1..60),
        (pending, hold, expire) in (0_i64..5, 0_i64..5, 0_i64..6),
        severity_clears: bool,
        restarts in prop::collection::vec(0_usize..60, 0..4),
    ) {
        let rule = AlertSettings {
            for_micros: pending * MINUTE,
            hold_micros: hold * MINUTE,
            expire_after_micros: expire * MINUTE,
            severity: severities(),
            severity_clear: severity_clears.then(|| (Severity::Severe, "> 0.42".to_owned())).into_iter().collect(),
            ..settings()
        };
        let plan = plan(&[rule]);
        let mut alerts = Alerts::new(Arc::clone(&plan));
        let mut naive: Vec<Naive> = (0..3).map(|_| Naive { reset_at: -1, severity_clears, ..Naive::default() }).collect();
        let mut store = MemoryState::default();
        for (minute, measures) in windows.iter().enumerate() {
            let changes = evaluate(&mut alerts, minute as i64, measures);
            let mut found = changes.iter().map(|change| (change.key, change.state, change.seq, change.severity));
            for (key, reference) in naive.iter_mut().enumerate() {
                let times = Times { pending, hold, expire };
                if let Some((state, seq, severity)) = reference.step(minute as i64, measures[key], &times) {
                    prop_assert_eq!(found.next(), Some((key as u32, state, seq, severity)), "minute {}", minute);
                }
            }
            prop_assert_eq!(found.next(), None, "minute {}", minute);
            if restarts.contains(&minute) {
                alerts.snapshot(Snapshot::Changed, &mut store);
                let mut full = MemoryState::default();
                alerts.snapshot(Snapshot::Full, &mut full);
                prop_assert_eq!(&store.blocks, &full.blocks);
                alerts = Alerts::restore(Arc::clone(&plan), &store).unwrap();
                let mut again = MemoryState::default();
                alerts.snapshot(Snapshot::Full, &mut again);
                prop_assert_eq!(&again.blocks, &full.blocks);
            }
        }
    }
}

#[test]
fn commit_writes_only_blocks_of_keys_that_changed_and_deletes_those_that_are_idle() {
    let mut alerts = Alerts::new(plan(&[settings()]));
    let mut measures = vec![Some(0.9); 3_000];
    measures[10] = Some(0.1);
    measures[2_500] = Some(0.1);
    let mut store = MemoryState::default();
    evaluate(&mut alerts, 0, &measures);
    alerts.snapshot(Snapshot::Changed, &mut store);
    assert_eq!(store.blocks.len(), 2);
    evaluate(&mut alerts, 1, &measures);
    let mut nothing = MemoryState::default();
    alerts.snapshot(Snapshot::Changed, &mut nothing);
    assert_eq!(nothing, MemoryState::default());
    measures[10] = Some(0.9);
    evaluate(&mut alerts, 2, &measures);
    alerts.snapshot(Snapshot::Changed, &mut store);
    assert_eq!(store.blocks.len(), 1);
}
