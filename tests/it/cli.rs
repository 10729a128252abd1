//! The command line as a user meets it: exit codes, and the tests that a pipeline file carries.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::run_support::PIPELINE;

fn arterial(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arterial")).args(arguments).arg(file).output().expect("it runs")
}

/// The shared pipeline with some more text, as a file.
fn file(name: &str, more: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}.yaml"));
    std::fs::write(&path, format!("{PIPELINE}{more}")).expect("a file");
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn arguments_that_nothing_can_be_done_with_exit_with_2() {
    let pipeline = file("usage", "");
    let refused = |arguments: &[&str], said: &str| {
        let output = arterial(arguments, &pipeline);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    };
    refused(&["run", "--reset", "widnow"], "--reset: `widnow` keeps no state");
    refused(&["eval", "--from", "yesterday"], "RFC 3339");
    if cfg!(feature = "kafka") {
        let replay = ["replay", "--topic", "t", "--key", "k"];
        refused(&[&replay[..], &["--speed", "2"]].concat(), "--time COLUMN");
        refused(&[&replay[..], &["--stamp-event"]].concat(), "--time COLUMN");
    }
    let failed = arterial(&["run"], Path::new("no-such.yaml")).status.code();
    assert_eq!(failed, Some(78), "a file that cannot be read is no matter of usage");
}

const TESTS: &str = r#"
tests:
  - name: what is not there
    given: { rows: [{ sensor_id: L1, observed_at: "2026-03-02T08:00:00Z", flow_veh_h: 700 }] }
    expect:
      clean: [{ sensor_id: L1, speed_kmh: null, flow_veh_h: 700 }]
      windows: [{ sensor_id: L1, speed_kmh: null, rows: 1 }]
      alerts: [{ sensor_id: L1, state: opened, rule: busy, model_version: null }]
"#;

#[test]
fn expected_null_is_met_by_a_null_of_a_column_that_exists() {
    let output = arterial(&["test"], &file("null", TESTS));
    assert!(output.status.success(), "{}", text(&output.stdout));
    let wrong = TESTS.replace("flow_veh_h: 700 }]\n      w", "flow_veh_h: null }]\n      w");
    let output = arterial(&["test"], &file("not-null", &wrong));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("clean[0].flow_veh_h: expected null, got 700"), "{}", text(&output.stdout));
}

#[test]
fn expected_column_that_does_not_exist_fails_the_test_with_the_one_that_was_meant() {
    let wrong = TESTS.replace("speed_kmh: null", "sped_kmh: null").replace("model_version: null", "modelversion: null");
    let output = arterial(&["test"], &file("misspelt", &wrong));
    assert_eq!(output.status.code(), Some(1));
    let out = text(&output.stdout);
    for place in ["clean[0].sped_kmh", "windows[0].sped_kmh"] {
        assert!(out.contains(&format!("{place}: there is no such column; did you mean `speed_kmh`?")), "{out}");
    }
    assert!(out.contains("alerts[0].modelversion: there is no such column; did you mean `model_version`?"), "{out}");
    assert!(out.contains("0 passed, 1 failed"), "{out}");
}

#[test]
fn late_row_may_be_expected_to_lack_what_its_sensor_left_out() {
    let late = r#"
tests:
  - name: late
    given:
      rows:
        - { sensor_id: L1, observed_at: "2026-03-02T08:30:00Z", flow_veh_h: 7 }
        - { sensor_id: L1, observed_at: "2026-03-02T08:00:00Z", flow_veh_h: 7 }
    expect: { late: [{ sensor_id: L1, speed_kmh: null }] }
"#;
    let output = arterial(&["test"], &file("late", late));
    assert!(output.status.success(), "{}", text(&output.stdout));
    let output = arterial(&["test"], &file("later", &late.replace("speed_kmh: null", "sped: null")));
    assert!(text(&output.stdout).contains("late[0].sped: there is no such column"), "{}", text(&output.stdout));
}

/// The shared pipeline, whose predictor looks for drift, and a test of as many windows of five minutes as there are speeds.
fn watched(name: &str, speeds: impl Iterator<Item = i32>, expect: &str) -> PathBuf {
    let mut tests = "tests:\n  - name: drift\n    given:\n      rows:\n".to_owned();
    for (speed, minute) in speeds.zip((5..).step_by(5)) {
        let at = format!("2026-03-02T{:02}:{:02}:00Z", minute / 60, minute % 60);
        tests += &format!("        - {{ sensor_id: L1, observed_at: \"{at}\", speed_kmh: {speed} }}\n");
    }
    let path = file(name, &format!("{tests}    expect: {{ drift: {expect} }}\n"));
    let model = "    model: { online_linear: { scale: 10 } }\n";
    let drift = "    drift: { detector: { page_hinkley: { delta: 0, threshold: 8 } }, min_labels: 30 }\n";
    let text = std::fs::read_to_string(&path).expect("the file").replace(model, &format!("{model}{drift}"));
    std::fs::write(&path, text).expect("a file");
    path
}

#[test]
fn drift_is_expected_as_the_other_outputs_are() {
    let steady = || (0..100).map(|window| 60 + [0, 1, 3, 1, 2][window % 5]);
    let output = arterial(&["test"], &watched("steady", steady(), "[]"));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let told = r#"[{ sensor_id: L1, predictor: speed, horizon_s: 900, detected_at: "2026-03-02T08:25:00Z", detector: page_hinkley, effect: none }]"#;
    let output = arterial(&["test"], &watched("drift", steady().chain([20]), told));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let output = arterial(&["test"], &watched("no-drift", steady().chain([20]), "[]"));
    assert_eq!(output.status.code(), Some(1));
    let out = text(&output.stdout);
    assert!(out.contains("drift: expected 0 rows, got 1") && out.contains("drift: unexpected {"), "{out}");
}

#[test]
fn drift_that_nobody_looks_for_cannot_be_expected() {
    let tests = "tests:\n  - name: none\n    given: { rows: [] }\n    expect: { drift: [] }\n";
    let output = arterial(&["test"], &file("unwatched", tests));
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("no predictor of the pipeline looks for drift"), "{}", text(&output.stderr));
}

#[test]
fn whoever_read_the_log_may_be_gone() {
    let (broken, whole) = (file("gone", "tests: 7\n"), file("logged", ""));
    for (arguments, path, code) in [(&["validate"][..], &broken, 78), (&["run", "--until", "latest"], &whole, 0)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_arterial"))
            .args(arguments)
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn payloads_of_a_topic_of_delimited_text_are_read_as_such() {
    let text = r#"version: 1
pipeline: delimited
sources:
  loops:
    kafka: { brokers: "127.0.0.1:9092", topics: [loops] }
    decode:
      format: csv
      columns: [sensor_id, observed_at, km/h]
      delimiter: ";"
      decimal: ","
      nulls: ["-"]
      schema: traffic-observation.v1
      paths: { speed_kmh: km/h }
      timezone: Europe/Copenhagen
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 0s }
window: { size: 5m, key: [sensor_id], columns: { speed_kmh: avg(speed_kmh) } }
sinks:
  late: { from: late, kafka: { topic: loops.late, create: { partitions: 1 } } }
  dead_letter: { from: dead_letter, kafka: { topic: loops.dlq, create: { partitions: 1 } } }
tests:
  - name: a comma and a null
    given:
      rows: [{ sensor_id: N7, observed_at: "2026-03-02T06:59:00Z", km/h: 40 }]
      payloads: ["N7;2026-03-02T08:00:00;52,5", "N7;2026-03-02T08:01:00;-", "{}"]
    expect:
      clean: [{ speed_kmh: 40 }, { sensor_id: N7, speed_kmh: 52.5 }, { speed_kmh: null }]
      dead_letter: [{ stage: decode, reason: malformed }]
"#;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli-delimited.yaml");
    std::fs::write(&path, text).unwrap();
    let output = arterial(&["test"], &path);
    assert!(output.status.success(), "{}{}", self::text(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn verdicts_are_data_with_format_json() {
    let wrong = TESTS.replace("rows: 1", "rows: 2");
    for (name, tests, passed) in [("json", TESTS, true), ("json-wrong", &wrong, false)] {
        let path = file(name, tests);
        let output = arterial(&["test", "--format", "json"], &path);
        assert_eq!(output.status.code(), Some(i32::from(!passed)));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
        let differences: &[&str] = if passed { &[] } else { &["windows[0].rows: expected 2, got 1"] };
        let test = serde_json::json!({
            "file": path, "name": "what is not there", "passed": passed, "differences": differences,
        });
        assert_eq!(
            report,
            serde_json::json!({ "passed": u8::from(passed), "failed": u8::from(!passed), "tests": [test] })
        );
    }
}

/// A command line without a file.
fn plain(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arterial")).args(arguments).output().expect("it runs")
}

/// Names of the verbs, as `--help` lists them.
fn verbs() -> Vec<String> {
    let help = String::from_utf8(plain(&["--help"]).stdout).expect("text");
    let listed = help.split("Commands:\n").nth(1).expect("commands").lines();
    // A description that is wrapped goes on further to the right.
    let first = listed.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    let names = first.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_verb_has_examples_that_begin_with_it() {
    let verbs = verbs();
    assert!(verbs.len() >= 10, "{verbs:?}");
    for verb in verbs {
        let help = String::from_utf8(plain(&[&verb, "--help"]).stdout).expect("text");
        let examples = help.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("no examples of `{verb}`: {help}"));
        assert!(examples.contains(&format!("arterial {verb} ")), "{examples}");
    }
}

#[test]
fn completions_know_every_verb_and_are_scripts_of_their_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = plain(&["completions", shell]);
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).expect("text");
        for verb in verbs() {
            assert!(script.contains(&verb), "{shell} does not know `{verb}`");
        }
        if shell == "bash" {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("arterial");
            std::fs::write(&path, script).expect("a file");
            let checked = Command::new("bash").arg("-n").arg(&path).status().expect("bash runs");
            assert!(checked.success());
        }
    }
    assert_eq!(plain(&["completions", "basch"]).status.code(), Some(2));
}
