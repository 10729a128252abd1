//! Shipped safety pipelines over more rows than their own `tests:` can hold: a flood is told before it is there.

use std::f64::consts::TAU;
use std::path::Path;
use std::sync::Arc;

use arterial::runtime::{DryRun, dry_run};
use arterial::spec::{PipelineFile, Registry};
use arterial_connectors::payload::RawRows;

/// Rows through a shipped pipeline.
fn shipped(name: &str, rows: impl Iterator<Item = String>) -> DryRun {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name);
    let text = std::fs::read_to_string(&path).expect("a shipped pipeline");
    let file = PipelineFile::parse(name, &text, &|_| None, &Registry::standard());
    let plan = file.plan(path.parent().expect("a folder"), &[].into()).unwrap_or_else(|problems| panic!("{problems}"));
    let mut raw = RawRows::default();
    for (offset, row) in (0_i64..).zip(rows) {
        raw.push(offset, None, None, Some(row.as_bytes()));
    }
    dry_run(&Arc::new(plan), raw, RawRows::default()).expect("it runs")
}

/// A wave of a river that lasts a day and a half, from 0 to 1 and back.
fn wave(hours: f64) -> f64 {
    if (0.0..36.0).contains(&hours) { (1.0 - (TAU * hours / 36.0).cos()) / 2.0 } else { 0.0 }
}

#[test]
fn flood_is_told_hours_before_it_is_there() {
    // A level of 2 m, six waves that stay below the first stage at 4 m, and one that comes up to 6.5 m.
    let level = |hours: f64| {
        let small: f64 = (0_u32..6).map(|n| (0.6 + 0.2 * f64::from(n)) * wave(hours - 48.0 * f64::from(n))).sum();
        2.0 + small + 4.5 * wave(hours - 300.0)
    };
    let start = chrono::DateTime::from_timestamp(1_772_409_600, 0).expect("a time");
    let row = |step: u32| {
        let at = start + chrono::TimeDelta::minutes(15 * i64::from(step));
        let level = level(f64::from(step) / 4.0);
        format!(r#"{{"gauge_id":"example","observed_at":"{}","level_m":{level}}}"#, at.to_rfc3339())
    };
    let run = shipped("water-level.yaml", (0..4 * 340).map(row));
    let told = |rule: &str, state: &str| -> Vec<(String, String)> {
        let of_rule = run.alerts.iter().filter(|alert| alert["rule"] == rule && alert["state"] == state);
        let text = |alert: &arterial::runtime::DryRow, field: &str| alert[field].as_str().expect("text").to_owned();
        of_rule.map(|alert| (text(alert, "observed_at"), text(alert, "severity"))).collect()
    };
    let (flood, ahead) = (told("flood", "opened"), told("flood_ahead", "opened"));
    assert_eq!((flood.len(), ahead.len()), (1, 1), "{:#?}", run.alerts);
    let time = |text: &str| chrono::DateTime::parse_from_rfc3339(text).expect("a time");
    let hours = (time(&flood[0].0) - time(&ahead[0].0)).num_minutes() as f64 / 60.0;
    assert!((2.0..=6.0).contains(&hours), "{hours} hours ahead");
    // 6.5 m is two thirds from the second stage to the third.
    let worst = told("flood", "updated");
    assert!(worst.iter().any(|(_, severity)| severity == "moderate") && worst.iter().all(|(_, s)| s != "severe"));
    assert_eq!(told("flood", "cleared").len(), 1);
}
