//! What `explain` tells of a plan: columns and units after each stage, state with its limits, topics; without a broker.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::run_support::plan;

const PIPELINE: &str = r#"
version: 1
pipeline: ring
sources:
  loops:
    kafka: { brokers: "127.0.0.1:1", topics: [ring.in] }
    decode: { schema: traffic-observation.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
clean:
  - dedupe: { key: [sensor_id, observed_at], within: 20m }
  - sql: SELECT *, speed_kmh / 2 AS half FROM rows
keys: { expire_after: 3d, max: 5000 }
window:
  size: 5m
  key: [sensor_id]
  columns: { speed: avg(speed_kmh), readings: count(speed_kmh), half: max(half) }
features:
  - lags: { column: speed, count: 2, age: true }
predict:
  slow: { target: speed, horizons: [15m], model: { online_linear: {} } }
alerts:
  jam: { measure: slow.15m, when: "< 20", expire_after: 45m, summary: "slow at {sensor_id}" }
  ratio: { measure: "slow.15m / speed", when: "< 0.5", summary: "slow at {sensor_id}" }
sinks:
  alerts: { from: alerts, kafka: { topic: ring.alerts, create: { partitions: 4 } } }
  late: { from: late, kafka: { topic: ring.late } }
  dead: { from: dead_letter, kafka: { topic: ring.dlq } }
"#;

fn outline() -> Value {
    serde_json::to_value(plan(PIPELINE).outline()).expect("data")
}

fn stage<'a>(outline: &'a Value, name: &str) -> &'a Value {
    let stages = outline["stages"].as_array().expect("stages");
    stages.iter().find(|stage| stage["stage"] == name).expect("the stage")
}

fn unit<'a>(outline: &'a Value, of: &str, column: &str) -> &'a Value {
    let columns = stage(outline, of)["columns"].as_array().expect("columns");
    let found = columns.iter().find(|known| known["name"] == column);
    &found.unwrap_or_else(|| panic!("no column `{column}` after {of}: {columns:?}"))["unit"]
}

fn arterial(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new(env!("CARGO_BIN_EXE_arterial")).current_dir(root).args(arguments).output().expect("it runs")
}

#[test]
fn stages_are_told_in_the_order_the_data_flows() {
    let outline = outline();
    let names: Vec<&str> = outline["stages"].as_array().unwrap().iter().map(|s| s["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["source", "decode", "clean", "window", "features", "predict", "alert", "encode", "sink"]);
}

#[test]
fn units_follow_a_column_from_the_schema_to_the_measure() {
    let outline = outline();
    for (stage, column) in [
        ("decode", "speed_kmh"),
        ("clean", "speed_kmh"),
        ("window", "speed"),
        ("features", "speed.lag1"),
        ("predict", "slow.15m"),
        ("alert", "jam"),
    ] {
        assert_eq!(unit(&outline, stage, column), "km/h", "{stage}.{column}");
    }
    for (stage, column) in
        [("clean", "half"), ("window", "half"), ("window", "readings"), ("features", "speed.age"), ("alert", "ratio")]
    {
        assert_eq!(unit(&outline, stage, column), &Value::Null, "{stage}.{column}");
    }
}

#[test]
fn every_step_with_state_tells_its_scope_key_and_limits() {
    let outline = outline();
    let stages = outline["stages"].as_array().unwrap();
    let states: Vec<&Value> = stages.iter().flat_map(|stage| stage["states"].as_array().unwrap()).collect();
    let told: Vec<&str> = states.iter().map(|state| state["step"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        ["watermark", "clean.dedupe", "window", "lags", "predict.slow", "alert.jam", "alert.ratio"],
        "features that the file lacks keep nothing"
    );
    assert!(states.iter().all(|state| state["scope"] == "partition"));
    let of = |step: &str| states.iter().find(|state| state["step"] == step).expect("the step");
    assert_eq!(of("clean.dedupe")["key"], json!(["sensor_id", "observed_at"]));
    assert_eq!(of("clean.dedupe")["forgets"], "readings 20m behind the newest");
    assert_eq!(of("predict.slow")["key"], json!(["sensor_id"]));
    assert_eq!(of("predict.slow")["forgets"], "a key without accepted rows for 3d");
    assert_eq!(of("predict.slow")["limit"], "5000 keys");
    assert_eq!(of("alert.jam")["forgets"], "an alert without a measure for 45m");
    assert_eq!(of("alert.jam")["made_from"], json!(["window", "predict.slow"]));
}

#[test]
fn topics_tell_who_creates_them() {
    let outline = outline();
    let topics: Vec<Value> = outline["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| json!([t["topic"], t["reads"], t["writes"], t["creates"], t["partitions"]]))
        .collect();
    assert_eq!(
        topics,
        [
            json!(["ring.in", true, false, false, null]),
            json!(["ring.alerts", false, true, true, 4]),
            json!(["ring.dlq", false, true, false, null]),
            json!(["ring.late", false, true, false, null]),
            json!(["arterial.ring.control", true, true, true, null]),
            json!(["arterial.ring.state", true, true, true, null]),
        ]
    );
}

#[test]
fn shipped_pipelines_are_explained_as_text_and_as_json_without_a_broker() {
    for pipeline in ["pipelines/congestion-aarhus.yaml", "pipelines/congestion-simulated.yaml"] {
        let output = arterial(&["explain", pipeline]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("partition scope"), "{text}");
        let output = arterial(&["explain", "--format", "json", pipeline]);
        let outline: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
        assert_eq!(outline["scope"], "partition");
    }
}

#[test]
fn a_file_with_problems_is_not_explained() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("explain-bad.yaml");
    std::fs::write(&path, PIPELINE.replace("count: 2", "cuont: 2")).expect("a file");
    let output = arterial(&["explain", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("cuont"));
}
