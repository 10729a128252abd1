//! What a run tells while it goes on: the first alert once it is durable, and the rows of every commit.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use arterial::observe::{AlertNotice, RunEvent};
use arterial::runtime::dry_run;
use arterial::stages::alert::Severity;
use arterial_connectors::memory::{CommitFault, Faults};
use arterial_connectors::payload::RawRows;
use serde_json::Value;

use crate::file_support::{file_plan, run_file_observed};
use crate::run_support::{Ends, PIPELINE, plan, run, run_observed};

fn first_alerts(events: &[RunEvent]) -> Vec<&AlertNotice> {
    let alert = |event: &'_ RunEvent| matches!(event, RunEvent::FirstAlert(_));
    let alerts = events.iter().filter(|event| alert(event));
    alerts.map(|event| if let RunEvent::FirstAlert(alert) = event { alert } else { panic!("filtered") }).collect()
}

#[test]
fn first_alert_is_told_once_and_is_the_first_that_was_opened() {
    let ends = Ends::new(10);
    let ran = run(plan(PIPELINE), &ends);
    let alerts: Vec<Value> =
        ends.alerts().iter().map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()).collect();
    assert!(alerts.len() > 16, "{}", alerts.len());
    let told = first_alerts(&ran.events);
    let [first] = told.as_slice() else { panic!("{told:?}") };
    let opened = alerts.iter().find(|alert| alert["state"] == "opened").unwrap();
    assert_eq!(opened["observed_at"], first.at.to_string());
    assert_eq!(opened["severity"], "minor");
    assert_eq!(first.severity.map(Severity::name), Some("minor"));
    assert_eq!(opened["summary"], first.summary.as_str());
    assert_eq!(opened["rule"], first.rule.as_str());
    assert_eq!(first.to_string(), format!("{}  {}  minor  busy at {}", first.at, first.key, first.key));
}

#[test]
fn first_alert_is_told_only_after_its_commit_has_succeeded() {
    let calm = Ends::new(10);
    let expected = run(plan(PIPELINE), &calm);
    for fault in [CommitFault::Aborted, CommitFault::UnknownDropped] {
        let mut ends = Ends::new(10);
        ends.faults = Faults::none().commit(1, fault).commit(2, fault);
        let (faults, seen) = (ends.faults.clone(), Arc::new(Mutex::new(Vec::new())));
        let (broker, noted) = (ends.clone(), Arc::clone(&seen));
        let ran = run_observed(plan(PIPELINE), &ends, move |event| {
            if matches!(event, RunEvent::FirstAlert(_)) {
                noted.lock().unwrap().push((faults.commits_seen(), broker.alerts().len()));
            }
        });
        let seen = seen.lock().unwrap();
        let [(commits, durable)] = seen.as_slice() else { panic!("{seen:?}") };
        assert!(*commits > 2, "told after commit {commits}, which did not succeed");
        assert!(*durable > 0, "told before a reader could see it");
        assert_eq!(first_alerts(&ran.events), first_alerts(&expected.events));
        let (summary, undisturbed) = (ran.result.unwrap(), expected.result.as_ref().unwrap());
        assert!(summary.rewinds >= 2, "{}", summary.rewinds);
        assert_eq!(summary.accounting(), undisturbed.accounting(), "the run ended before its end");
        assert_eq!(summary.digest(), undisturbed.digest());
    }
}

#[test]
fn first_dead_letter_of_each_reason_is_told_once_with_value_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loops.csv");
    let text = "sensor_id,observed_at,speed_kmh\nL1,yesterday,50\nL1,2026-03-02T08:00:00Z,fast\nL1,tomorrow,50\n";
    std::fs::write(&path, text).unwrap();
    let letters: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&letters);
    let plan = file_plan(&format!("path: \"{}\"", path.display()), ", format: csv");
    run_file_observed(plan, move |event| {
        if let RunEvent::FirstDeadLetter(letter) = event {
            told.lock().unwrap().push(letter.to_string());
        }
    })
    .unwrap();
    let place = |line: u32| format!("(`{}`, line {line})", path.display());
    let expected = [
        format!("decode, bad_timestamp: `observed_at`: `yesterday` is not an RFC 3339 time {}", place(2)),
        format!("decode, wrong_type: `speed_kmh`: `fast` is not a number {}", place(3)),
    ];
    assert_eq!(*letters.lock().unwrap(), expected);
}

#[test]
fn rows_of_all_commits_add_up_to_the_rows_read() {
    let mut ends = Ends::new(10);
    ends.faults = Faults::none().commit(2, CommitFault::Aborted);
    let ran =
        run(plan(&PIPELINE.replace("at_least_once\n", "at_least_once\nruntime: { commit_rows_max: 1000 }\n")), &ends);
    let rows = |event: &RunEvent| if let RunEvent::Committed { rows } = event { *rows } else { 0 };
    let told: u64 = ran.events.iter().map(rows).sum();
    let summary = ran.result.unwrap();
    assert!(summary.commits > 5, "{}", summary.commits);
    assert_eq!(told, summary.accounting().rows_in);
}

#[test]
fn windows_that_the_end_closes_are_counted_in_the_metrics() {
    let ran = run(plan(PIPELINE), &Ends::new(10));
    let windows = ran.result.unwrap().windows();
    let text = ran.metrics.encode().unwrap();
    let line = format!("arterial_window_closed_windows_total{{worker=\"0-0\"}} {windows}");
    assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
}

#[test]
fn run_shows_the_first_alert_then_the_summary_and_keeps_json_clean() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("run-events.yaml");
    std::fs::write(&path, PIPELINE).unwrap();
    let run = |format: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_arterial"))
            .args(["run", "--until", "latest", "--format", format])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (text, _) = run("text");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("first alert: 2026-03-02T") && lines[0].contains("  minor  busy at L"), "{text}");
    assert!(lines[1].starts_with("corridor: "), "{text}");
    assert!(text.contains("vs persistence"), "{text}");
    let (json, log) = run("json");
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["pipeline"], "corridor");
    assert!(log.contains("first alert: 2026-03-02T"), "{log}");
}

#[test]
fn alerts_of_one_window_come_by_the_names_of_their_keys_whichever_was_seen_first() {
    let keys = |order: [&str; 3]| {
        let mut rows = RawRows::default();
        for (offset, sensor) in order.into_iter().enumerate() {
            let row = format!(r#"{{"sensor_id":"{sensor}","observed_at":"2026-03-02T08:01:00Z","flow_veh_h":700}}"#);
            rows.push(offset as i64, None, None, Some(row.as_bytes()));
        }
        let run = dry_run(&Arc::new(plan(PIPELINE)), rows, RawRows::default()).unwrap();
        run.alerts.iter().map(|alert| alert["alert_key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(["L9", "L10", "L5"]), ["busy/L10", "busy/L5", "busy/L9"]);
    assert_eq!(keys(["L5", "L9", "L10"]), ["busy/L10", "busy/L5", "busy/L9"]);
}
