//! Dead letters over a real broker: counted, shown as they came, and sent back once.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::broker;
use crate::kafka_run_support::{ended, finish, make_topic, pipeline, start};

/// A logger that leaves out the zone, one that sends no JSON, one whose bytes are no text.
const BROKEN: [(&str, &[u8]); 4] = [
    ("L1", br#"{"sensor_id":"L1","observed_at":"2026-03-02T08:01:00","speed_kmh":51}"#),
    ("L2", br#"{"sensor_id":"L2","observed_at":"2026-03-02T08:01:00","speed_kmh":52}"#),
    ("L3", b"sensor offline"),
    ("L4", b"\xff\xfe{"),
];

fn send(topic: &str, rows: &[(&str, &[u8])]) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker::address()).create().expect("a producer");
    for (key, value) in rows {
        let header = Header { key: "trace", value: Some(&b"\x00\xff"[..]) };
        let record = BaseRecord::to(topic).key(*key).payload(*value).headers(OwnedHeaders::new().insert(header));
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(Duration::from_secs(20)).expect("delivered");
}

fn dlq(verb: &str, path: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
    command.args(["dlq", verb]).args(more).arg(path).output().expect("the binary runs")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn summary(verb: &str, path: &Path, more: &[&str]) -> Value {
    serde_json::from_str(&text(&dlq(verb, path, &[&["--format", "json"], more].concat()))).expect("JSON")
}

/// A run that could use no row: it fails, with the first of them and the remedy; how many they are.
fn all_dead(path: &Path) -> u64 {
    let (code, summary, said) = ended(start(path));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("rows could be used, all of them are dead letters"), "{said}");
    let ran: Value = serde_json::from_str(&summary).expect("JSON");
    ran["rows"]["dead_letter"].as_u64().expect("a count")
}

/// A pipeline whose file lacks a zone, after a run over rows that it cannot use.
fn run_into_trouble(name: &str) -> (String, std::path::PathBuf) {
    let (topic, name) = (broker::unique(name), broker::unique(name));
    make_topic(broker::address(), &topic);
    send(&topic, &BROKEN);
    let path = pipeline(&name, &topic, "workers: 1");
    assert_eq!(all_dead(&path), 4);
    (topic, path)
}

#[test]
fn letters_are_counted_by_reason_and_shown_byte_for_byte() {
    let (topic, path) = run_into_trouble("letters");
    let groups = summary("ls", &path, &[]);
    let counts: Vec<(&str, &str, u64)> = groups
        .as_array()
        .expect("groups")
        .iter()
        .map(|group| {
            (group["stage"].as_str().unwrap(), group["reason"].as_str().unwrap(), group["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(counts, [("decode", "bad_timestamp", 2), ("decode", "invalid_utf8", 1), ("decode", "malformed", 1)]);
    assert!(groups[0]["example"].as_str().unwrap().contains("no `timezone` is declared"), "{groups:#}");
    let table = text(&dlq("ls", &path, &["--reason", "malformed"]));
    assert!(table.contains("malformed") && !table.contains("bad_timestamp"), "{table}");
    assert_eq!(text(&dlq("ls", &path, &["--until", "2026-01-01T00:00:00Z"])), "no dead letters\n");

    let shown = text(&dlq("show", &path, &["--format", "json", "--limit", "9"]));
    let letters: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(letters.len(), 4, "{shown}");
    let of = |key: &str| letters.iter().find(|letter| letter["key"] == key).expect("a letter");
    assert_eq!(of("L1")["value"], std::str::from_utf8(BROKEN[0].1).unwrap());
    assert_eq!(of("L4")["value_base64"], "//57");
    assert_eq!(of("L3")["headers"], json!([{ "name": "trace", "value_base64": "AP8=" }]));
    assert_eq!(of("L3")["from"]["topic"], topic.as_str());
    let people = text(&dlq("show", &path, &["--reason", "malformed"]));
    assert!(people.contains("  value    sensor offline\n") && people.contains("  key      L3\n"), "{people}");
    assert_eq!(text(&dlq("show", &path, &["--limit", "1"])).matches("  key ").count(), 1);
}

#[test]
fn letters_are_sent_back_once_and_are_used_by_the_corrected_pipeline() {
    let (topic, path) = run_into_trouble("replayed");
    let file = std::fs::read_to_string(&path).expect("the file");
    let corrected = file.replace("decode: { schema:", "decode: { timezone: Europe/Copenhagen, schema:");
    assert_ne!(file, corrected);
    std::fs::write(&path, corrected).expect("written");
    let only = ["--reason", "bad_timestamp"];
    let first = summary("replay", &path, &only);
    assert_eq!(first, json!({ "sent": 2, "filtered": 2, "exhausted": 0, "foreign": 0 }));
    let again = summary("replay", &path, &only);
    assert_eq!(again, json!({ "sent": 0, "filtered": 0, "exhausted": 0, "foreign": 0 }), "sent twice");
    let (sent, first): (Vec<_>, Vec<_>) =
        broker::committed_records(&topic, 4).into_iter().partition(|one| one.headers.len() == 2);
    assert_eq!(sent.len(), 2);
    for record in &sent {
        // Their logger hashes keys otherwise than we do.
        let original = first.iter().find(|one| one.key == record.key).expect("the original");
        assert_eq!(record.partition, original.partition);
        assert!(BROKEN[..2].iter().any(|(key, value)| {
            record.key.as_deref() == Some(key.as_bytes()) && record.value.as_deref() == Some(*value)
        }));
        let count = ("arterial.dlq.replays".to_owned(), Some(b"1".to_vec()));
        assert_eq!(record.headers, [("trace".to_owned(), Some(b"\x00\xff".to_vec())), count]);
    }
    let ran = finish(start(&path));
    assert_eq!((&ran["rows"]["in"], &ran["rows"]["accepted"]), (&json!(6), &json!(2)), "{ran:#}");
}

#[test]
fn row_that_dies_again_and_again_is_left_in_the_end() {
    let (_, path) = run_into_trouble("exhausted");
    for round in 1..=2 {
        // Those of earlier rounds are behind the position; each round brings the same four anew.
        let sent = summary("replay", &path, &["--max-replays", "2"]);
        assert_eq!(sent["sent"], 4, "round {round}: {sent}");
        assert_eq!(all_dead(&path), 4 * (round + 1));
    }
    let left = summary("replay", &path, &["--max-replays", "2"]);
    assert_eq!(left, json!({ "sent": 0, "filtered": 0, "exhausted": 4, "foreign": 0 }));
    assert_eq!(summary("replay", &path, &["--max-replays", "9"])["sent"], 0, "they are behind the position");
    let anew = summary("replay", &path, &["--max-replays", "9", "--from-start"]);
    assert_eq!(anew["sent"], 12, "{anew}");
}

#[test]
fn records_that_are_no_letters_and_pipelines_without_a_topic_of_letters_are_told() {
    let (_, path) = run_into_trouble("foreign");
    let name = path.file_stem().unwrap().to_str().unwrap();
    send(&format!("{name}-dlq"), &[("L9", b"by another program")]);
    let groups = summary("ls", &path, &[]);
    assert_eq!(groups[0]["reason"], "not a dead letter", "{groups:#}");
    let sent = summary("replay", &path, &[]);
    assert_eq!(sent, json!({ "sent": 4, "filtered": 0, "exhausted": 0, "foreign": 1 }));
    let nowhere = dlq("replay", &path, &["--to", "no-such-topic"]);
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(!nowhere.status.success() && said.contains("no-such-topic"), "{said}");

    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/congestion-simulated.yaml");
    let refused = dlq("ls", &shipped, &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("no dead-letter topic"), "{said}");
}
