//! Whole pipelines over a real broker, run as a user runs them: the binary, YAML, kill -9.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker;
use crate::kafka_run_support::{anonymous, committed, fill, finish, pipeline, refused, start, write};

/// Waits until a pipeline has committed so many rows, or has ended.
fn await_committed(name: &str, topic: &str, rows: u64, child: &mut Child) {
    let deadline = Instant::now() + broker::PATIENCE;
    while broker::committed_rows(&format!("arterial.{name}"), topic) < rows {
        if child.try_wait().expect("a state").is_some() {
            return;
        }
        assert!(Instant::now() < deadline, "{rows} rows were not committed");
    }
}

#[test]
fn every_row_is_accounted_for_and_a_second_run_adds_nothing() {
    let (topic, name) = (broker::unique("readings"), broker::unique("account"));
    let rows = fill(&topic, 6);
    let path = pipeline(&name, &topic, "workers: 1");
    let first = finish(start(&path));
    assert_eq!(first["rows"]["in"], rows);
    assert_eq!(first["rows"]["balanced"], true);
    let alerts = committed(&format!("{name}-alerts"));
    assert_eq!(first["alerts"], alerts.len());
    let dead = committed(&format!("{name}-dlq"));
    assert_eq!(first["rows"]["dead_letter"], dead.len());
    let second = finish(start(&path));
    assert_eq!(second["rows"], first["rows"], "nothing is left to read");
    assert_eq!(second["state_digest"], first["state_digest"]);
    assert_eq!(committed(&format!("{name}-alerts")), alerts);
}

#[test]
fn killed_again_and_again_it_writes_what_an_undisturbed_run_writes() {
    let topic = broker::unique("readings");
    // In the hour between every sensor is silent.
    let rows = fill(&topic, 6) + write(&topic, 7..13);
    let (calm, shaken) = (broker::unique("calm"), broker::unique("shaken"));
    let undisturbed = finish(start(&pipeline(&calm, &topic, "workers: 1")));
    assert!(undisturbed["alerts"].as_u64() > Some(0), "the corridor gave no alert: {undisturbed}");
    // Small transactions, so that there are many of them to be killed in; static, so that nobody waits for the dead.
    let path = pipeline(&shaken, &topic, "workers: 1, static_membership: true, commit_rows_max: 200");
    let mut interrupted = 0;
    // The first is killed as it starts, each other as soon as it has committed so much.
    for kill in 0..8 {
        let mut child = start(&path);
        await_committed(&shaken, &topic, rows * kill / 9, &mut child);
        interrupted += u32::from(child.try_wait().expect("a state").is_none());
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    assert!(interrupted > 5, "{interrupted} of 8 were killed before they were done");
    let survived = finish(start(&path));
    // What a person can read first: a digest only says that something differs.
    for part in ["rows", "windows", "alerts", "scores", "state_digest"] {
        assert_eq!(survived[part], undisturbed[part], "{part}");
    }
    let (expected, got) = (committed(&format!("{calm}-alerts")), committed(&format!("{shaken}-alerts")));
    for rule in ["congestion/", "rising/", "half_hour/", "silent/"] {
        assert!(expected.iter().any(|(key, _)| key.starts_with(rule)), "no alert of {rule}");
    }
    assert_eq!(anonymous(got), anonymous(expected));
    assert_eq!(committed(&format!("{shaken}-dlq")).len(), committed(&format!("{calm}-dlq")).len());
}

#[test]
fn a_static_member_that_was_killed_goes_on_without_waiting_for_its_session() {
    let topic = broker::unique("readings");
    fill(&topic, 6);
    let name = broker::unique("static");
    let path = pipeline(&name, &topic, "workers: 1, static_membership: true");
    let mut child = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["run", "--format", "json"])
        .arg(&path)
        .env("ARTERIAL_LOG", "warn")
        .spawn()
        .expect("the binary runs");
    await_committed(&name, &topic, 1, &mut child);
    child.kill().expect("killed");
    child.wait().expect("ended");
    let again = Instant::now();
    let summary = finish(start(&path));
    assert_eq!(summary["rows"]["balanced"], true);
    assert!(again.elapsed() < Duration::from_secs(8), "waited {:?} for a session of 10 s", again.elapsed());
}

#[test]
fn an_evaluation_follows_the_control_log_of_the_runs_before_it() {
    let (topic, name) = (broker::unique("readings"), broker::unique("decided"));
    fill(&topic, 5);
    let path = pipeline(&name, &topic, "workers: 1");
    finish(start(&path));
    // From the same instant on: the readings at the first run's end come again, now late, not duplicate.
    write(&topic, 4..9);
    let ran = finish(start(&path));
    assert!(ran["rows"]["late"].as_u64() > Some(0), "the first run's end closed no window early: {ran}");
    let evaluated = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["eval", "--format", "json"])
        .arg(&path)
        .stderr(Stdio::inherit())
        .output()
        .expect("the binary runs");
    let evaluated: Value = serde_json::from_slice(&evaluated.stdout).expect("a summary");
    assert_eq!(evaluated["rows"], ran["rows"]);
    assert_eq!(evaluated["state_digest"], ran["state_digest"]);
}

#[test]
fn two_workers_write_what_one_writes() {
    let topic = broker::unique("readings");
    fill(&topic, 6);
    let (one, two) = (broker::unique("one"), broker::unique("two"));
    let alone = finish(start(&pipeline(&one, &topic, "workers: 1")));
    let shared = finish(start(&pipeline(&two, &topic, "workers: 2")));
    assert_eq!(shared["rows"], alone["rows"]);
    assert_eq!(shared["state_digest"], alone["state_digest"]);
    let (expected, got) = (committed(&format!("{one}-alerts")), committed(&format!("{two}-alerts")));
    assert_eq!(anonymous(got), anonymous(expected));
}

#[test]
fn a_missing_topic_is_named_with_a_way_out() {
    let name = broker::unique("lost");
    let err = refused(start(&pipeline(&name, "no-such-topic", "workers: 1")));
    assert!(err.contains("topic `no-such-topic` does not exist"), "{err}");
    assert!(err.contains("input topics are never created"), "{err}");
}

#[test]
fn changed_file_under_state_is_refused_with_a_table_and_goes_on_when_told_to_reset() {
    let (topic, name) = (broker::unique("readings"), broker::unique("changed"));
    fill(&topic, 3);
    let path = pipeline(&name, &topic, "workers: 1");
    let first = finish(start(&path));
    let text = std::fs::read_to_string(&path).expect("the file");
    std::fs::write(
        &path,
        text.replace("size: 5m", "size: 10m")
            .replace("horizons: [15m]", "horizons: [20m]")
            .replace("speed.15m", "speed.20m"),
    )
    .expect("written");
    let run = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_arterial"))
            .args(["run", "--until", "latest", "--format", "json"])
            .args(more)
            .arg(&path)
            .output()
            .expect("it runs")
    };
    let refused = run(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let line = |step: &str, state: &str| said.lines().any(|line| line.split_whitespace().take(2).eq([step, state]));
    assert!(line("clean.dedupe", "keep") && line("window", "reset") && line("predict.speed", "reset"), "{said}");
    assert!(said.contains("changed under existing state: window\n"), "{said}");
    assert!(said.contains("--reset"), "{said}");
    // Workers share the partitions between them by a rebalance: what one has reset the other leaves alone.
    let text = std::fs::read_to_string(&path).expect("the file");
    std::fs::write(&path, text.replace("workers: 1", "workers: 2")).expect("written");
    let reset = run(&["--reset", "window"]);
    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
    let summary: Value = serde_json::from_slice(&reset.stdout).expect("a summary");
    assert_eq!(summary["rows"], first["rows"], "rows count on");
    assert_eq!(summary["scores"][0]["count"], 0, "models start anew");
}
