//! Alerts: conditions, plans, what a measure reads, keys that come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use arterial::stages::alert::{
    AlertChange, AlertInput, AlertPlan, AlertSettings, AlertState, Alerts, Comparison, MeasureSettings, RuleInput,
    Severity,
};
use arterial::stages::predict::Forecasts;
use arterial::stages::window::ClosedWindow;
use arterial::vocab::EventTime;
use proptest::prelude::*;

pub(crate) const MINUTE: i64 = 60_000_000;

pub(crate) fn input() -> AlertInput {
    AlertInput {
        key: vec!["segment_id".to_owned()],
        columns: vec!["speed_kmh".to_owned(), "free_flow_kmh".to_owned()],
        predictors: vec![("speed".to_owned(), vec![15 * MINUTE, 60 * MINUTE])],
        every_micros: MINUTE,
    }
}

/// Opens below 0.45, clears above 0.60, at once.
pub(crate) fn settings() -> AlertSettings {
    AlertSettings {
        name: "congestion".to_owned(),
        measure: value("speed.15m / free_flow_kmh"),
        when: "< 0.45".to_owned(),
        clear: Some("> 0.60".to_owned()),
        for_micros: 0,
        hold_micros: 0,
        expire_after_micros: 30 * MINUTE,
        key: None,
        severity: BTreeMap::new(),
        severity_clear: BTreeMap::new(),
        unit: None,
        source: None,
        summary: "Slow traffic expected on {segment_id}: {speed.15m} of {free_flow_kmh} km/h".to_owned(),
        summary_cleared: None,
    }
}

pub(crate) fn value(measure: &str) -> MeasureSettings {
    MeasureSettings::Value(measure.to_owned())
}

pub(crate) fn plan(rules: &[AlertSettings]) -> Arc<AlertPlan> {
    Arc::new(AlertPlan::new(rules, &input()).unwrap())
}

/// A window that ended at `minute`: every key's forecast speed is its measure times a free flow of 100.
pub(crate) fn window(minute: i64, measures: &[Option<f64>]) -> (ClosedWindow, Vec<Forecasts>) {
    let end = EventTime(minute * MINUTE);
    let speeds: Vec<f64> = measures.iter().map(|measure| measure.map_or(f64::NAN, |measure| measure * 100.0)).collect();
    let keys = measures.len();
    let closed = ClosedWindow {
        start: end.plus(-MINUTE),
        end,
        live: vec![true; keys],
        rows: vec![1; keys],
        imputed: Vec::new(),
        measured_columns: Vec::new(),
        columns: vec![speeds.clone(), vec![100.0; keys]],
        expired: Vec::new(),
    };
    let nothing = vec![vec![f64::NAN; keys]; 2];
    let forecasts = Forecasts {
        end,
        predictor: 0,
        made_by: 0,
        model: vec![speeds, vec![f64::NAN; keys]],
        persistence: nothing.clone(),
        profile: nothing,
        lower: Vec::new(),
        upper: Vec::new(),
        version: vec![0, 0],
    };
    (closed, vec![forecasts])
}

pub(crate) fn evaluate(alerts: &mut Alerts, minute: i64, measures: &[Option<f64>]) -> Vec<AlertChange> {
    let (window, forecasts) = window(minute, measures);
    alerts.evaluate(&RuleInput { window: &window, forecasts: &forecasts }).unwrap()
}

#[test]
fn comparison_reads_four_operators_and_a_finite_number_and_nothing_else() {
    let holds = |text: &str, value| Comparison::parse(text).unwrap().holds(value);
    assert!(holds("< 0.45", 0.44) && !holds("< 0.45", 0.45));
    assert!(holds("<=0.45", 0.45) && !holds("<=0.45", 0.46));
    assert!(holds("> -1e3", -999.0) && !holds("> -1e3", -1000.0));
    assert!(holds(" >= 2 ", 2.0) && !holds(" >= 2 ", 1.9));
    assert!(!holds("< 1", f64::NAN) && !holds(">= 1", f64::NAN));
    for text in ["", "0.45", "= 1", "== 1", "<> 1", "< ", "< a", "< inf", "< nan", "< 1 OR > 2", "<< 1", "0.4 >"] {
        assert_eq!(Comparison::parse(text).unwrap_err().text, text, "{text}");
    }
}

proptest! {
    #[test]
    fn negation_holds_for_exactly_the_other_numbers(op in 0_usize..4, limit in -3_i32..4, value in -3_i32..4) {
        let condition = Comparison::parse(&format!("{} {limit}", ["<", "<=", ">", ">="][op])).unwrap();
        prop_assert_ne!(condition.holds(f64::from(value)), condition.negation().holds(f64::from(value)));
        prop_assert!(!condition.overlaps(condition.negation()));
    }

    #[test]
    fn comparisons_overlap_where_some_number_meets_both(
        ops in (0_usize..4, 0_usize..4), limits in (-3_i32..4, -3_i32..4),
    ) {
        let parse = |op: usize, limit: i32| Comparison::parse(&format!("{} {limit}", ["<", "<=", ">", ">="][op])).unwrap();
        let (a, b) = (parse(ops.0, limits.0), parse(ops.1, limits.1));
        let halves = (-20..=20).map(|half| f64::from(half) / 2.0);
        prop_assert_eq!(a.overlaps(b), halves.clone().any(|value| a.holds(value) && b.holds(value)));
        prop_assert_eq!(a.implies(b), halves.clone().all(|value| !a.holds(value) || b.holds(value)));
    }
}

#[test]
fn forgotten_key_expires_first_and_its_id_starts_afresh() {
    let rule = AlertSettings { for_micros: MINUTE, ..settings() };
    let mut alerts = Alerts::new(plan(&[rule]));
    evaluate(&mut alerts, 0, &[Some(0.4), Some(0.4), Some(0.4)]);
    evaluate(&mut alerts, 1, &[Some(0.4), Some(0.4), Some(0.5)]);
    let (mut closed, forecasts) = window(2, &[Some(0.7), Some(0.4), Some(0.4)]);
    closed.expired = vec![1];
    closed.live[1] = false;
    let changes = alerts.evaluate(&RuleInput { window: &closed, forecasts: &forecasts }).unwrap();
    let told: Vec<_> = changes.iter().map(|change| (change.key, change.state, change.seq, change.value)).collect();
    assert_eq!(told, [(0, AlertState::Cleared, 1, Some(0.7)), (1, AlertState::Expired, 1, None)]);
    // Another sensor has the id now: its own first true end counts.
    assert_eq!(evaluate(&mut alerts, 3, &[None, Some(0.4), None]), []);
    assert_eq!(evaluate(&mut alerts, 4, &[None, Some(0.4), None])[0].opened_at, EventTime(4 * MINUTE));
}

#[test]
fn key_that_is_not_live_is_left_alone() {
    let mut alerts = Alerts::new(plan(&[settings()]));
    let (mut closed, forecasts) = window(0, &[Some(0.1), Some(0.1)]);
    closed.live = vec![false, true];
    let changes = alerts.evaluate(&RuleInput { window: &closed, forecasts: &forecasts }).unwrap();
    assert_eq!(changes.iter().map(|change| change.key).collect::<Vec<_>>(), [1]);
}

#[test]
fn changes_come_by_rule_and_then_by_key() {
    let other = AlertSettings {
        name: "slow".to_owned(),
        measure: value("speed_kmh"),
        when: "< 90".to_owned(),
        clear: None,
        ..settings()
    };
    let mut alerts = Alerts::new(plan(&[settings(), other]));
    let changes = evaluate(&mut alerts, 0, &[Some(0.3), Some(0.8), Some(0.4)]);
    let order: Vec<_> = changes.iter().map(|change| (change.rule, change.key)).collect();
    assert_eq!(order, [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]);
    // Without `clear` an alert clears where `when` no longer holds.
    let cleared = evaluate(&mut alerts, 1, &[Some(0.9), None, None]);
    assert_eq!((cleared[1].state, cleared[1].threshold), (AlertState::Cleared, 90.0));
}

#[test]
fn measure_without_forecast_or_divided_by_zero_is_null() {
    let mut alerts = Alerts::new(plan(&[settings()]));
    let (closed, _) = window(0, &[Some(0.1)]);
    assert_eq!(alerts.evaluate(&RuleInput { window: &closed, forecasts: &[] }).unwrap(), []);
    let (mut zero, forecasts) = window(1, &[Some(0.1), Some(-0.1)]);
    zero.columns[1] = vec![0.0, 0.0];
    assert_eq!(alerts.evaluate(&RuleInput { window: &zero, forecasts: &forecasts }).unwrap(), []);
}

#[test]
fn comparison_inside_a_measure_takes_nan_for_null() {
    let rule = AlertSettings {
        measure: value("CASE WHEN speed_kmh > 50 THEN 1 ELSE 0 END"),
        when: "> 0.5".to_owned(),
        clear: None,
        ..settings()
    };
    let mut alerts = Alerts::new(plan(&[rule]));
    let changes = evaluate(&mut alerts, 0, &[None, Some(0.6)]);
    assert_eq!(changes.iter().map(|change| change.key).collect::<Vec<_>>(), [1]);
}

#[test]
fn horizon_may_be_written_in_any_unit_and_the_forecasts_read_are_told() {
    let rule = AlertSettings { measure: value("least(speed.60m, speed.900s) / free_flow_kmh"), ..settings() };
    let own = AlertSettings { measure: value("\"speed.1h\""), name: "b".to_owned(), ..settings() };
    let plan = plan(&[rule, own]);
    assert_eq!(plan.rules()[0].forecasts_read(), [(0, 0), (0, 1)]);
    assert_eq!(plan.rules()[1].forecasts_read(), [(0, 1)]);
    assert_eq!(plan.forecasts_read(), [(0, 0), (0, 1)]);
    let (closed, forecasts) = window(0, &[Some(0.3)]);
    let input = RuleInput { window: &closed, forecasts: &forecasts };
    let changes = Alerts::new(plan).evaluate(&input).unwrap();
    assert_eq!((changes.len(), changes[0].value), (1, Some(0.3)));
}

#[test]
fn summary_names_key_columns_forecasts_and_measure_with_two_decimals() {
    let rule = AlertSettings {
        summary: "{{{segment_id}}}: {measure}, {speed.15m} of {free_flow_kmh}, then {speed.1h}".to_owned(),
        ..settings()
    };
    let plan = plan(&[rule]);
    let (mut closed, forecasts) = window(0, &[Some(0.4), Some(0.30678)]);
    closed.columns[1] = vec![100.0, 120.0];
    let input = RuleInput { window: &closed, forecasts: &forecasts };
    let changes = Alerts::new(Arc::clone(&plan)).evaluate(&input).unwrap();
    let line = plan.summary(&changes[1], &["S7"], &input);
    assert_eq!(line, "{S7}: 0.26, 30.68 of 120, then unknown");
}

#[test]
fn every_problem_of_every_rule_is_reported_at_once_with_its_place() {
    let bad = AlertSettings {
        measure: value("speed.20m / free_flow"),
        when: "below 0.45".to_owned(),
        for_micros: -1,
        key: Some(vec!["sensor_id".to_owned()]),
        summary: "Slow on {segmnt_id}".to_owned(),
        ..settings()
    };
    let crossed = AlertSettings {
        name: "crossed".to_owned(),
        clear: Some("> 0.40".to_owned()),
        severity: [(Severity::Minor, "< 0.2".to_owned()), (Severity::Severe, "< 0.4".to_owned())].into(),
        summary: "Slow on {segment_id".to_owned(),
        ..settings()
    };
    let errors = AlertPlan::new(&[bad, crossed], &input()).unwrap_err();
    let told: Vec<String> = errors.iter().map(|at| format!("{at}; {}", at.hint.as_deref().unwrap_or("-"))).collect();
    assert_eq!(
        told,
        [
            "alerts.congestion.measure: line 1, column 1: unknown column `speed.20m`; did you mean `speed.15m`?",
            "alerts.congestion.when: `below 0.45` is not a comparison; write `<`, `<=`, `>` or `>=` and a number; -",
            "alerts.congestion.for: -1 us is below zero; -",
            "alerts.congestion.key: alert key (sensor_id) differs from the window's key (segment_id); leave it out",
            "alerts.congestion.summary: unknown placeholder `{segmnt_id}`; did you mean `{segment_id}`?",
            "alerts.crossed.clear: clear `> 0.4` and when `< 0.45` hold for the same values; clear within `>= 0.45`",
            "alerts.crossed.severity.severe: severity Severe `< 0.4` does not imply Minor `< 0.2`; -",
            "alerts.crossed.summary: brace at character 9 has no other half; write `{{` or `}}` for a brace",
        ]
    );
}

#[test]
fn severity_falls_neither_where_it_holds_nor_after_what_it_is_worse_than() {
    let told = |severity_clear: &[(Severity, &str)]| {
        let words = severity_clear.iter().map(|(severity, text)| (*severity, (*text).to_owned()));
        let severity = [(Severity::Minor, "< 0.45"), (Severity::Moderate, "< 0.35"), (Severity::Severe, "< 0.2")];
        let rule = AlertSettings {
            severity: severity.iter().map(|(severity, text)| (*severity, (*text).to_owned())).collect(),
            severity_clear: words.collect(),
            ..settings()
        };
        let errors = AlertPlan::new(&[rule], &input()).err().unwrap_or_default();
        errors.iter().map(|at| format!("{at}; {}", at.hint.as_deref().unwrap_or("-"))).collect::<Vec<_>>()
    };
    assert_eq!(told(&[(Severity::Severe, ">= 0.2"), (Severity::Moderate, "> 0.6")]), Vec::<String>::new());
    let place = "alerts.congestion.severity_clear";
    let severe = |text| told(&[(Severity::Severe, text)]);
    let overlaps = "clear `> 0.1` and when `< 0.2` hold for the same values; clear within `>= 0.2`";
    assert_eq!(severe("> 0.1"), [format!("{place}.severe: {overlaps}")]);
    assert_eq!(severe("above")[0].split(';').next().unwrap(), format!("{place}.severe: `above` is not a comparison"));
    // Without a clearing of its own, moderate is over at 0.35.
    let outlasts = "severity Severe lasts until `> 0.4`, but moderate is over by `>= 0.35`";
    assert!(severe("> 0.4")[0].starts_with(&format!("{place}.severe: {outlasts}")), "{:?}", severe("> 0.4"));
    let outlasts = "severity Moderate lasts until `> 0.7`, but the alert is over by `> 0.6`";
    assert!(told(&[(Severity::Moderate, "> 0.7")])[0].starts_with(&format!("{place}.moderate: {outlasts}")));
    let least = told(&[(Severity::Minor, "> 0.5"), (Severity::Extreme, "> 0.5")]);
    assert_eq!(
        least,
        [
            format!(
                "{place}.minor: severity Minor is the least one and lasts as long as its alert; leave it out; `clear` ends the alert"
            ),
            format!("{place}.extreme: severity Extreme has no condition to clear from; name one of `severity`"),
        ]
    );
}

#[test]
fn measure_is_held_to_the_same_rules_as_cleaning_sql() {
    let told = |measure: &str| {
        let rule = AlertSettings { measure: value(measure), ..settings() };
        AlertPlan::new(&[rule], &input()).unwrap_err()[0].to_string()
    };
    let wanted = [
        ("now()", "`now` does not give the same result on every replay"),
        ("avg(speed_kmh)", "`avg` is a function over several rows"),
        ("(SELECT 1)", "a subquery is not allowed"),
        ("speed_kmh speed_kmh", "line 1, column 11: expected the end of the expression, found `speed_kmh`"),
        ("speed_kmh > 1", "the result is Boolean, not a number"),
        ("speed .15m", "line 1, column"),
        ("speed.15mph", "line 1, column"),
        ("", "line 1, column 1"),
    ];
    for (measure, wanted) in wanted {
        let found = told(measure);
        assert!(found.contains(wanted), "{measure}: {found}");
    }
}
