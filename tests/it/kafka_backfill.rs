//! `backfill` over a file beside `run` over the topic that the file was replayed into: the same records and the same state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::ReaderBuilder;
use arterial_connectors::conformance::CommittedRecord;
use arterial_connectors::kafka::{KafkaSource, KafkaSourceConfig};
use arterial_connectors::payload::Payload;
use arterial_connectors::simulate::{Readings, SimulateConfig};
use arterial_connectors::source::{OnGap, SeekTo, Source, SourceEvent, StartAt, Until};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tempfile::TempDir;

use crate::broker;
use crate::folder_support::{lines, record};
use crate::kafka_run_support::{finish, pipeline, start};

/// Sinks whose records are the same in every run; the control log tells the time.
const SINKS: [&str; 5] = ["alerts", "late", "dead_letter", "forecasts", "scores"];

/// Messages of a corridor over some hours.
pub(crate) fn messages(hours: std::ops::Range<i64>) -> Vec<Value> {
    let hour = 3_600_000_000;
    let default = SimulateConfig::default();
    let config = SimulateConfig {
        detectors: 40,
        start_micros: default.start_micros + hours.start * hour,
        length_micros: Some((hours.end - hours.start) * hour),
        ..default
    };
    let readings = Readings::new(&config).expect("a corridor");
    // Some detectors send what no file of rows can hold.
    readings.filter_map(|reading| serde_json::from_slice(&reading.value).ok()).collect()
}

/// Some come again too late, some without what must be there.
fn spoil(messages: &[Value]) -> Vec<Value> {
    let mut spoilt = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let mut message = message.clone();
        match number % 100 {
            7 => message["observed_at"] = Value::Null,
            13 => message["observed_at"] = "yesterday".into(),
            19 => message["sensor_id"] = Value::Null,
            29 => spoilt.push(messages[number / 2].clone()),
            _ => {}
        }
        spoilt.push(message);
    }
    spoilt
}

/// A Parquet file with these messages as rows.
pub(crate) fn write_parquet(path: &Path, messages: &[Value]) {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let fields =
        vec![text("sensor_id"), text("observed_at"), number("speed_kmh"), number("flow_veh_h"), number("occupancy")];
    let schema = Arc::new(Schema::new(fields));
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).with_batch_size(messages.len()).build_decoder().unwrap();
    decoder.serialize(messages).unwrap();
    let rows = decoder.flush().unwrap().unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), schema, None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

/// Sends a file to a topic of 4 partitions, as a user does.
pub(crate) fn replay(file: &Path, topic: &str) {
    let sent = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["replay", "--topic", topic, "--key", "sensor_id", "--create", "4", "--brokers", broker::address()])
        .arg(file)
        .output()
        .expect("the binary runs");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

/// A pipeline file with a sink for every output.
pub(crate) fn full_pipeline(name: &str, topic: &str) -> PathBuf {
    let path = pipeline(name, topic, "workers: 1");
    let text = std::fs::read_to_string(&path).unwrap();
    let more: String = ["forecasts", "scores"]
        .iter()
        .map(|sink| {
            format!("\n  {sink}: {{ from: {sink}, kafka: {{ topic: {name}-{sink}, create: {{ partitions: 4 }} }} }}")
        })
        .collect();
    let text = text.replace("\nsinks:", &format!("\nsinks:{more}"));
    let text = text.replace(&format!("{{ topic: {name}-dlq"), &format!("{{ topic: {name}-dead_letter"));
    let text = text.replace(
        &format!("{name}-alerts, create: {{ partitions: 4 }} }} }}"),
        &format!("{name}-alerts, create: {{ partitions: 4 }} }}, encode: {{ format: cloudevents }} }}"),
    );
    std::fs::write(&path, text).unwrap();
    path
}

pub(crate) fn backfill(pipeline: &Path, from: &Path, to: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["backfill", "--format", "json"])
        .args(more)
        .arg(pipeline)
        .arg("--from")
        .arg(from)
        .arg("--to")
        .arg(to)
        .env("ARTERIAL_LOG", "warn")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

pub(crate) fn summary(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a summary")
}

/// Committed records of a topic by key, those of one key in order.
pub(crate) fn of_topic(topic: &str) -> BTreeMap<Option<Vec<u8>>, Vec<CommittedRecord>> {
    let config = KafkaSourceConfig {
        connection: broker::connection_to(broker::address()),
        topics: vec![topic.to_owned()],
        group: broker::unique("reader"),
        slot: None,
        instance_id: None,
        start_at: StartAt::Earliest,
        on_gap: OnGap::Fail,
        until: Until::Latest,
    };
    let mut source = KafkaSource::open(config).expect("a reader");
    let (mut records, mut open) = (BTreeMap::<_, Vec<_>>::new(), None);
    while open != Some(0) {
        match source.poll(Duration::from_secs(20)).expect("read").expect("an event within 20 s") {
            SourceEvent::Assigned(partitions) => {
                open = Some(partitions.len());
                partitions.into_iter().for_each(|one| source.seek(one, SeekTo::Start).expect("sought"));
            }
            SourceEvent::Batch(batch) => {
                let Payload::Raw(raw) = batch.payload else { panic!("raw rows") };
                for row in (0..raw.len()).map(|index| raw.row(index)) {
                    let (key, value) = (row.key.map(<[u8]>::to_vec), row.value.map(compact));
                    let record = CommittedRecord { key: key.clone(), value, headers: row.headers.to_vec() };
                    records.entry(key).or_default().push(record);
                }
            }
            SourceEvent::End(_) => open = open.map(|left| left - 1),
            other => panic!("unexpected {other:?}"),
        }
    }
    records
}

/// JSON in the form in which the folder's reader gives it back.
fn compact(value: &[u8]) -> Vec<u8> {
    serde_json::from_slice::<Value>(value).map_or_else(|_| value.to_vec(), |json| json.to_string().into_bytes())
}

/// Records of a folder's sink by key.
pub(crate) fn of_folder(folder: &Path, sink: &str) -> BTreeMap<Option<Vec<u8>>, Vec<CommittedRecord>> {
    let mut records = BTreeMap::<_, Vec<_>>::new();
    for line in lines(folder, sink) {
        let record = record(&line);
        records.entry(record.key.clone()).or_default().push(record);
    }
    records
}

#[test]
fn backfill_of_a_file_equals_the_run_over_the_topic_it_was_replayed_into() {
    let (topic, name) = (broker::unique("history"), broker::unique("backfill"));
    let folder = TempDir::new().unwrap();
    let (file, out) = (folder.path().join("rows.parquet"), folder.path().join("out"));
    write_parquet(&file, &spoil(&messages(0..30)));
    replay(&file, &topic);
    let pipeline = full_pipeline(&name, &topic);
    let run = finish(start(&pipeline));
    // How many partitions there are the broker says.
    let filled = summary(&backfill(&pipeline, &file, &out, &[]));
    assert_eq!(filled["rows"], run["rows"]);
    for disposition in ["accepted", "late", "dead_letter", "duplicate"] {
        assert!(run["rows"][disposition].as_u64() > Some(0), "{disposition}: {}", run["rows"]);
    }
    for sink in SINKS {
        let (mut expected, mut found) = (of_topic(&format!("{name}-{sink}")), of_folder(&out, sink));
        // Records without key have no order: the broker's are in several partitions.
        [&mut expected, &mut found]
            .into_iter()
            .filter_map(|records| records.get_mut(&None))
            .for_each(|list| list.sort());
        assert!(!expected.is_empty(), "nothing in {sink}");
        assert!(expected.keys().eq(found.keys()), "keys of {sink}");
        for (key, expected) in expected {
            assert_eq!(found[&key], expected, "{sink} {}", String::from_utf8_lossy(key.as_deref().unwrap_or_default()));
        }
    }
    assert_eq!(filled["state_digest"], run["state_digest"]);
    assert_eq!(filled["scores"], run["scores"]);
}

#[test]
fn backfill_without_a_broker_asks_for_the_number_of_partitions() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("rows.parquet");
    write_parquet(&file, &messages(0..2));
    let pipeline = full_pipeline(&broker::unique("away"), "nowhere");
    let text = std::fs::read_to_string(&pipeline).unwrap();
    std::fs::write(&pipeline, text.replace(broker::address(), "127.0.0.1:1")).unwrap();
    let asked = std::time::Instant::now();
    let refused = backfill(&pipeline, &file, &folder.path().join("out"), &[]);
    // It waits for 5 s; the rest is for a busy machine.
    assert!(asked.elapsed() < Duration::from_secs(14), "took {:?}", asked.elapsed());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("give --partitions N"), "{said}");
    let given = summary(&backfill(&pipeline, &file, &folder.path().join("out"), &["--partitions", "4"]));
    assert!(given["rows"]["in"].as_u64() > Some(0), "{given}");
}
