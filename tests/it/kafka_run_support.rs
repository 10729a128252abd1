//! Pipelines over a real broker, run as a user runs them: what their tests share.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use arterial_connectors::kafka::{CreateTopic, KafkaSource, KafkaSourceConfig, KafkaWriter, ensure_topic};
use arterial_connectors::payload::Payload;
use arterial_connectors::simulate::{Readings, SimulateConfig};
use arterial_connectors::source::{OnGap, SeekTo, Source, SourceEvent, StartAt, Until};
use serde_json::Value;

use crate::broker;

const HOUR_MICROS: i64 = 3_600_000_000;

/// Fills a topic of 4 partitions with some hours of a simulated corridor; returns the number of records.
pub(crate) fn fill(topic: &str, hours: i64) -> u64 {
    make_topic(broker::address(), topic);
    write(topic, 0..hours)
}

pub(crate) fn make_topic(brokers: &str, topic: &str) {
    let create = CreateTopic { partitions: 4, replication: None, config: [].into() };
    ensure_topic(&broker::connection_to(brokers), topic, Some(&create)).expect("a topic");
}

/// Appends the corridor's readings of these hours.
pub(crate) fn write(topic: &str, hours: std::ops::Range<i64>) -> u64 {
    write_to(broker::address(), topic, hours)
}

pub(crate) fn write_to(brokers: &str, topic: &str, hours: std::ops::Range<i64>) -> u64 {
    let default = SimulateConfig::default();
    let config = SimulateConfig {
        detectors: 40,
        start_micros: default.start_micros + hours.start * HOUR_MICROS,
        length_micros: Some((hours.end - hours.start) * HOUR_MICROS),
        ..default
    };
    let mut writer = KafkaWriter::open(&broker::connection_to(brokers), topic).expect("a writer");
    let mut count = 0;
    for reading in Readings::new(&config).expect("a corridor") {
        writer.send(Some(&reading.key), Some(&reading.value), None).expect("sent");
        count += 1;
    }
    writer.flush().expect("acknowledged");
    count
}

/// A pipeline file over `topic` whose outputs carry `name`.
pub(crate) fn pipeline(name: &str, topic: &str, extra: &str) -> PathBuf {
    pipeline_at(broker::address(), name, topic, extra)
}

pub(crate) fn pipeline_at(brokers: &str, name: &str, topic: &str, extra: &str) -> PathBuf {
    let text = format!(
        r#"
version: 1
pipeline: {name}
sources:
  loops:
    kafka: {{ brokers: "{brokers}", topics: [{topic}] }}
    decode: {{ schema: traffic-observation.v1 }}
    partitioned_by: sensor_id
    event_time: {{ column: observed_at, stamps: end, interval: 60s, max_delay: 60s }}
clean:
  - null_if: {{ speed_kmh: "speed_kmh < 0" }}
  - dedupe: {{ key: [sensor_id, observed_at], within: 10m }}
window: {{ size: 5m, key: [sensor_id], columns: {{ speed_kmh: avg(speed_kmh), rows: count(*) }} }}
features:
  - lags: {{ column: speed_kmh, count: 4, fill: last }}
  - profile: {{ column: speed_kmh, period: day, at: target }}
predict:
  speed:
    target: speed_kmh
    horizons: [15m]
    min_history: 1h
    model: {{ online_linear: {{ forgetting: 0.999, scale: 10 }} }}
alerts:
  congestion: {{ measure: "speed.15m", when: "< 60", clear: "> 70", summary: "slow at {{sensor_id}}" }}
  rising: {{ measure: speed_kmh, rate_per: 1h, when: "> 120", summary: "faster at {{sensor_id}}" }}
  half_hour: {{ measure: speed_kmh, mean_over: 30m, when: "< 60", summary: "slow for long at {{sensor_id}}" }}
  silent: {{ silent_after: 10m, summary: "nothing from {{sensor_id}}" }}
sinks:
  alerts: {{ from: alerts, kafka: {{ topic: {name}-alerts, create: {{ partitions: 4 }} }} }}
  late: {{ from: late, kafka: {{ topic: {name}-late, create: {{ partitions: 4 }} }} }}
  dead_letter: {{ from: dead_letter, kafka: {{ topic: {name}-dlq, create: {{ partitions: 4 }} }} }}
delivery: exactly_once
runtime: {{ commit_every: 20ms, commit_every_max: 20ms, {extra} }}
"#
    );
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.yaml"));
    std::fs::write(&path, text).expect("a file");
    path
}

pub(crate) fn start(path: &Path) -> Child {
    start_with(path, &["--until", "latest"])
}

pub(crate) fn start_with(path: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["run", "--format", "json"])
        .args(more)
        .arg(path)
        .env("ARTERIAL_LOG", "warn")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

/// Waits for a run to end well and returns its summary.
pub(crate) fn finish(child: Child) -> Value {
    let (code, out, err) = ended(child);
    assert_eq!(code, Some(0), "run failed: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out} {err}"))
}

/// Waits for a run to fail and returns what it said.
pub(crate) fn refused(child: Child) -> String {
    let (code, _, err) = ended(child);
    assert_eq!(code, Some(1), "{err}");
    err
}

pub(crate) fn ended(mut child: Child) -> (Option<i32>, String, String) {
    // A run that never ends must not hold up all tests: it is killed, and fails the one that waits for it.
    let (over, ended) = std::sync::mpsc::channel::<()>();
    let id = child.id().to_string();
    std::thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(300)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-9", &id]).status();
        }
    });
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
    child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
    let code = child.wait().expect("ended").code();
    drop(over);
    (code, out, err)
}

/// Everything a committed reader sees of a topic, as sorted (key, value) texts.
pub(crate) fn committed(topic: &str) -> Vec<(String, String)> {
    committed_at(broker::address(), topic)
}

pub(crate) fn committed_at(brokers: &str, topic: &str) -> Vec<(String, String)> {
    let config = KafkaSourceConfig {
        connection: broker::connection_to(brokers),
        topics: vec![topic.to_owned()],
        group: broker::unique("reader"),
        slot: None,
        instance_id: None,
        start_at: StartAt::Earliest,
        on_gap: OnGap::Fail,
        until: Until::Latest,
    };
    let mut source = KafkaSource::open(config).expect("a reader");
    let (mut rows, mut open) = (Vec::new(), None);
    while open != Some(0) {
        match source.poll(Duration::from_secs(20)).expect("read").expect("an event within 20 s") {
            SourceEvent::Assigned(partitions) => {
                open = Some(partitions.len());
                for partition in partitions {
                    source.seek(partition, SeekTo::Start).expect("sought");
                }
            }
            SourceEvent::Batch(batch) => {
                let Payload::Raw(raw) = batch.payload else { panic!("raw rows") };
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                rows.extend((0..raw.len()).map(|row| (text(raw.row(row).key), text(raw.row(row).value))));
            }
            SourceEvent::End(_) => open = open.map(|left| left - 1),
            other => panic!("unexpected {other:?}"),
        }
    }
    rows.sort();
    rows
}

/// Alerts without what names the pipeline: its name, and ids made of it.
pub(crate) fn anonymous(alerts: Vec<(String, String)>) -> Vec<Value> {
    let strip = |(_, value): (String, String)| {
        let mut json: Value = serde_json::from_str(&value).expect("JSON");
        let object = json.as_object_mut().expect("an object");
        object.remove("pipeline");
        object.remove("episode_id");
        json
    };
    let mut stripped: Vec<Value> = alerts.into_iter().map(strip).collect();
    stripped.sort_by_key(ToString::to_string);
    stripped
}
