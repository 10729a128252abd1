//! The version that dead letters carry: it changes with what is computed and with nothing else, least of all a secret.

use std::path::Path;

use arterial::spec::{PipelineFile, Registry};

const FILE: &str = r#"
version: 1
pipeline: ring-road
vars: { password: "${PASSWORD}", unused: one, limit: "45" }
sources:
  loops:
    kafka:
      brokers: "127.0.0.1:9092"
      topics: [loops]
      properties: { security.protocol: SASL_SSL, sasl.username: me, sasl.password: "${password}" }
    decode: { schema: traffic-observation.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_kmh: avg(speed_kmh) } }
alerts:
  slow: { measure: speed_kmh, when: "< ${limit}", summary: "slow at {sensor_id}" }
sinks:
  alerts: { from: alerts, kafka: { topic: alerts } }
  late: { from: late, kafka: { topic: late } }
  dead_letter: { from: dead_letter, kafka: { topic: dlq } }
"#;

/// The version of the file with each first part replaced by the second, under a password.
fn version(password: &str, edits: &[(&str, &str)]) -> String {
    let mut text = FILE.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    let environment = |name: &str| (name == "PASSWORD").then(|| password.to_owned());
    let file = PipelineFile::parse("pipeline.yaml", &text, &environment, &Registry::default());
    file.plan(Path::new(""), &[].into()).unwrap_or_else(|problems| panic!("{problems}")).version
}

#[test]
fn version_does_not_know_the_password() {
    let version = version("correct horse", &[]);
    assert_eq!(version, self::version("battery staple", &[]));
    assert_eq!(version.len(), 12);
}

#[test]
fn version_stays_where_only_the_connection_or_the_running_changes() {
    let same = version("x", &[]);
    let edits = [
        ("127.0.0.1:9092", "broker.city.example:9093"),
        ("sasl.username: me", "sasl.username: you"),
        ("security.protocol: SASL_SSL, ", ""),
        ("topics: [loops]", "topics: [loops]\n      group: others"),
        ("unused: one", "unused: two"),
        ("\nwindow:", "\nruntime: { workers: 4 }\nwindow:"),
        ("\nwindow:", "\ntests: [{ name: nothing comes of nothing, given: {}, expect: { clean: [] } }]\nwindow:"),
    ];
    for (from, to) in edits {
        assert_eq!(version("x", &[(from, to)]), same, "{to}");
    }
}

#[test]
fn version_changes_with_what_is_computed() {
    let same = version("x", &[]);
    let edits = [
        ("size: 5m", "size: 10m"),
        ("topics: [loops]", "topics: [rings]"),
        ("max_delay: 60s", "max_delay: 61s"),
        ("limit: \"45\"", "limit: \"46\""),
        ("topic: alerts", "topic: alarms"),
        ("pipeline: ring-road", "pipeline: ring"),
        ("avg(speed_kmh)", "min(speed_kmh)"),
    ];
    for (from, to) in edits {
        assert_ne!(version("x", &[(from, to)]), same, "{to}");
    }
}
