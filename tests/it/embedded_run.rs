//! `brokers: embedded` as a user meets it: the run says where its broker listens, others send rows there, alerts come
//! out.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arterial_connectors::kafka::KafkaWriter;
use arterial_connectors::simulate::{Readings, SimulateConfig};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::broker::{PATIENCE, connection_to};

/// One record of the alerts topic.
type Alert = Value;

fn pipeline(name: &str, workers: u32) -> PathBuf {
    let text = format!(
        r#"
version: 1
pipeline: {name}
sources:
  loops:
    kafka: {{ brokers: embedded, topics: [loops], partitions: 4 }}
    decode: {{ schema: traffic-observation.v1 }}
    partitioned_by: sensor_id
    event_time: {{ column: observed_at, stamps: end, interval: 60s, max_delay: 60s }}
window: {{ size: 5m, key: [sensor_id], columns: {{ flow_veh_h: avg(flow_veh_h) }} }}
alerts:
  busy: {{ measure: flow_veh_h, when: "> 600", clear: "< 500", summary: "busy at {{sensor_id}}" }}
sinks:
  alerts: {{ from: alerts, kafka: {{ topic: alerts, create: {{ partitions: 1 }} }} }}
  late: {{ from: late, kafka: {{ topic: late, create: {{ partitions: 1 }} }} }}
  dead_letter: {{ from: dead_letter, kafka: {{ topic: dlq, create: {{ partitions: 1 }} }} }}
delivery: at_least_once
runtime: {{ workers: {workers} }}
"#
    );
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.yaml"));
    std::fs::write(&path, text).expect("a file");
    path
}

/// A run, and the address that its log names.
fn start(path: &Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["run", "--format", "json"])
        .arg(path)
        .env("ARTERIAL_LOG", "info,librdkafka=off")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let line = lines.by_ref().find(|line| line.contains("--brokers")).expect("the log names the address");
    // Whoever writes to a pipe that nobody reads comes to a halt.
    std::thread::spawn(move || lines.for_each(drop));
    let address = line.split_once("--brokers ").expect("an address").1;
    (child, address.split(['`', ' ']).next().expect("a word").to_owned())
}

fn send(address: &str, hours: i64) -> u64 {
    let config =
        SimulateConfig { detectors: 16, length_micros: Some(hours * 3_600_000_000), ..SimulateConfig::default() };
    let mut writer = KafkaWriter::open(&connection_to(address), "loops").expect("a writer");
    for reading in Readings::new(&config).expect("a corridor") {
        writer.send(Some(&reading.key), Some(&reading.value), None).expect("sent");
    }
    writer.flush().expect("acknowledged")
}

/// Reads the alerts topic with a client that knows nothing of the engine, until it holds `enough`.
fn alerts(address: &str, enough: impl Fn(&[Alert]) -> bool) -> Vec<Alert> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("alerts", 0, Offset::Beginning).expect("a partition");
    consumer.assign(&list).expect("assigned");
    let (mut seen, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while !enough(&seen) {
        assert!(Instant::now() < deadline, "{} alerts", seen.len());
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => seen.push(serde_json::from_slice(message.payload().expect("a value")).expect("JSON")),
            // The run creates the topic when its workers open.
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition))) | None => {}
            Some(Err(error)) => panic!("{error}"),
        }
    }
    seen
}

/// Ends a run as an operator does and returns its summary.
fn stop(mut child: Child) -> Value {
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let mut out = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
    assert!(child.wait().expect("ended").success(), "{out}");
    serde_json::from_str(&out).expect("a summary")
}

/// Rows sent to the address of the log become alerts, and the summary accounts for every row.
fn carries_rows_to_alerts(name: &str, workers: u32) {
    let (child, address) = start(&pipeline(name, workers));
    let rows = send(&address, 10);
    let opened = |alerts: &[Alert], sensor: &str| {
        alerts.iter().any(|alert| alert["state"] == "opened" && alert["summary"] == format!("busy at {sensor}"))
    };
    let every_sensor = |alerts: &[Alert]| (1..=8).all(|number| opened(alerts, &format!("L{number:03}")));
    let seen = alerts(&address, every_sensor);
    assert!(seen.iter().all(|alert| alert["pipeline"] == name), "{seen:?}");
    let summary = stop(child);
    assert_eq!(summary["rows"]["balanced"], true);
    assert!(summary["rows"]["in"].as_u64() <= Some(rows), "{summary}");
    assert!(summary["alerts"].as_u64() >= Some(seen.len() as u64), "{summary}");
}

#[test]
fn rows_sent_to_the_embedded_broker_become_alerts() {
    carries_rows_to_alerts("embedded-one", 1);
}

#[test]
fn workers_share_one_embedded_broker() {
    carries_rows_to_alerts("embedded-two", 2);
}

#[test]
fn embedded_run_up_to_the_present_end_is_refused_since_nothing_is_there() {
    let run = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["run", "--until", "latest"])
        .arg(pipeline("embedded-latest", 1))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("starts empty"), "{said}");
    let eval = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .arg("eval")
        .arg(pipeline("embedded-eval", 1))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&eval.stderr);
    assert_eq!(eval.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing to evaluate"), "{said}");
}
