//! Bad days of pipelines over a real broker: it dies, it is away, it refuses, somebody wrote nonsense. What was promised
//! holds, and whoever has to act is told how.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use arterial_connectors::kafka::KafkaWriter;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use crate::broker::{self, OwnBroker, PATIENCE};
use crate::kafka_run_support::{
    anonymous, committed, committed_at, ended, fill, finish, make_topic, pipeline, pipeline_at, refused, start,
    start_with, write, write_to,
};

/// A port on which a pipeline may listen.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// Status code and body of `GET /readyz`; `None` where nobody listens yet.
pub(crate) fn readyz(address: SocketAddr) -> Option<(u16, String)> {
    get(address, "/readyz")
}

/// Status code and body of a page; `None` where nobody listens yet.
pub(crate) fn get(address: SocketAddr, page: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {page} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let code = answer.split(' ').nth(1)?.parse().ok()?;
    Some((code, answer.split("\r\n\r\n").nth(1)?.to_owned()))
}

/// Between two questions to a pipeline, so that asking does not take the processor from it.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Asks until the pipeline answers with this code; returns what it says.
pub(crate) fn await_readyz(address: SocketAddr, wanted: u16) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match readyz(address) {
            Some((code, body)) if code == wanted => return body,
            other => assert!(Instant::now() < deadline, "{wanted} was wanted, {other:?} is said"),
        }
        std::thread::sleep(POLL);
    }
}

pub(crate) fn terminate(child: &Child) {
    let ended = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(ended.success());
}

#[test]
fn broker_that_is_away_at_the_start_and_dies_in_the_middle_is_waited_for_and_nothing_is_lost_or_doubled() {
    let Some(broker) = OwnBroker::start("broker_that_is_away_at_the_start_and_dies_in_the_middle") else { return };
    let (address, topic) = (broker.address.as_str(), "readings");
    make_topic(address, topic);
    let mut rows = write_to(address, topic, 0..4);
    broker.kill();

    let listen = free_address();
    let extra = format!("workers: 1, listen: \"{listen}\"");
    let shaken = pipeline_at(address, "shaken", topic, &extra);
    let child = start_with(&shaken, &[]);
    let away = await_readyz(listen, 503);
    assert!(away.contains("worker"), "{away}");
    broker.resume();
    await_readyz(listen, 200);
    rows += write_to(address, topic, 4..8);
    broker.kill();
    let died = await_readyz(listen, 503);
    assert!(died.contains("worker"), "{died}");
    broker.resume();
    await_readyz(listen, 200);
    rows += write_to(address, topic, 8..10);
    terminate(&child);
    finish(child);
    // What was not read yet when it was stopped, and the windows that the end closes.
    let survived = finish(start(&shaken));
    assert_eq!(survived["rows"]["in"], rows);
    assert_eq!(survived["rows"]["balanced"], true);

    let calm = finish(start(&pipeline_at(address, "calm", topic, "workers: 1")));
    for part in ["rows", "windows", "alerts", "scores", "state_digest"] {
        assert_eq!(survived[part], calm[part], "{part}");
    }
    let alerts = |name: &str| anonymous(committed_at(address, &format!("{name}-alerts")));
    assert_eq!(alerts("shaken"), alerts("calm"));
}

#[test]
fn stopped_while_the_broker_is_away_it_leaves_at_once_and_well() {
    let nobody = free_address().to_string();
    let listen = free_address();
    let extra = format!("workers: 1, listen: \"{listen}\"");
    let child = start_with(&pipeline_at(&nobody, &broker::unique("alone"), "readings", &extra), &[]);
    await_readyz(listen, 503);
    terminate(&child);
    let stopped = Instant::now();
    let summary = finish(child);
    assert_eq!(summary["rows"]["in"], 0);
    assert!(stopped.elapsed() < PATIENCE / 2, "took {:?}", stopped.elapsed());
}

#[test]
fn stopped_while_its_broker_is_dead_it_leaves_in_time_and_the_next_start_finds_out_what_is_durable() {
    let Some(broker) = OwnBroker::start("stopped_while_its_broker_is_dead_it_leaves_in_time") else { return };
    let (address, topic) = (broker.address.as_str(), "readings");
    make_topic(address, topic);
    let rows = write_to(address, topic, 0..12);
    let listen = free_address();
    let left = pipeline_at(address, "left", topic, &format!("workers: 1, listen: \"{listen}\""));
    let child = start_with(&left, &[]);
    await_readyz(listen, 200);
    // In the middle of its rows: with commits every 20 ms one is in flight, or begins now.
    broker.kill();
    terminate(&child);
    let stopped = Instant::now();
    let (code, _, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    // As docs/operations.md says: 15 s for the commit, 10 s for leaving the group, and a busy machine.
    assert!(stopped.elapsed() < Duration::from_secs(44), "took {:?}: {said}", stopped.elapsed());
    broker.resume();
    let survived = finish(start(&left));
    assert_eq!(survived["rows"]["in"], rows);
    let calm = finish(start(&pipeline_at(address, "calm", topic, "workers: 1")));
    for part in ["rows", "windows", "alerts", "scores", "state_digest"] {
        assert_eq!(survived[part], calm[part], "{part}");
    }
    let alerts = |name: &str| anonymous(committed_at(address, &format!("{name}-alerts")));
    assert_eq!(alerts("left"), alerts("calm"));
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", broker::address()).create().expect("a client")
}

fn set_limit(topic: &str, bytes: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", bytes);
    let changed = futures_executor::block_on(admin().alter_configs([&change], &AdminOptions::new())).expect("answered");
    changed[0].as_ref().expect("altered");
}

/// So many bytes of a fixed seed.
fn noise(length: usize) -> Vec<u8> {
    let mut seed = 1_u64;
    let next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn dead_letter_over_the_brokers_limit_stops_the_run_with_a_way_out_and_is_written_once_there_is_room() {
    let (topic, name) = (broker::unique("readings"), broker::unique("large"));
    let mut rows = fill(&topic, 1);
    let path = pipeline(&name, &topic, "workers: 1");
    finish(start(&path));
    let dead_letters = format!("{name}-dlq");
    let before = committed(&dead_letters).len();
    set_limit(&dead_letters, "2000");
    // Compression would hide a repeated one.
    let garbage: String = noise(2500).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut writer = KafkaWriter::open(&broker::connection(), &topic).expect("a writer");
    writer.send(Some(b"k"), Some(garbage.as_bytes()), None).expect("sent");
    writer.flush().expect("acknowledged");
    rows += 1 + write(&topic, 1..2);

    let said = refused(start(&path));
    assert!(said.contains("exceeds the limit of 2000 bytes") && said.contains(&dead_letters), "{said}");
    assert!(said.contains("max.message.bytes"), "{said}");
    assert_eq!(committed(&dead_letters).len(), before, "nothing of the failed transaction is seen");

    set_limit(&dead_letters, "100000");
    let summary = finish(start(&path));
    assert_eq!((&summary["rows"]["in"], &summary["rows"]["balanced"]), (&Value::from(rows), &Value::from(true)));
    let written = committed(&dead_letters);
    assert_eq!(written.iter().filter(|(_, value)| *value == garbage).count(), 1);
    assert_eq!(summary["rows"]["dead_letter"], written.len());
}

#[test]
fn partitions_added_under_state_are_refused() {
    let (topic, name) = (broker::unique("readings"), broker::unique("grown"));
    fill(&topic, 1);
    let path = pipeline(&name, &topic, "workers: 1");
    finish(start(&path));
    let more = NewPartitions::new(&topic, 6);
    let grown = futures_executor::block_on(admin().create_partitions(&[more], &AdminOptions::new())).expect("answered");
    grown[0].as_ref().expect("added");
    let said = refused(start(&path));
    assert!(said.contains("has 4 partitions, but the source has 6"), "{said}");
}

/// Writes a state record as the pipeline's own worker would, with a value of nonsense.
fn spoil_state(name: &str, topic: &str, block: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker::address()).create().expect("a producer");
    let (state_topic, slot) = (format!("arterial.{name}.state"), Header { key: "slot", value: Some("0-0") });
    let seen = broker::committed_records(&state_topic, 4);
    let prefix = format!("{topic}|0|s{block}");
    let key = seen.iter().filter_map(|record| record.key.as_deref()).find(|key| key.starts_with(prefix.as_bytes()));
    let key = key.expect("the block was written").to_vec();
    let record = BaseRecord::to(&state_topic).partition(0).key(&key).payload("nonsense");
    producer.send(record.headers(OwnedHeaders::new().insert(slot))).expect("queued");
    producer.flush(PATIENCE).expect("sent");
}

#[test]
fn unreadable_state_is_refused_with_the_way_out_which_leads_out() {
    let (topic, name) = (broker::unique("readings"), broker::unique("spoilt"));
    let rows = fill(&topic, 2);
    let path: PathBuf = pipeline(&name, &topic, "workers: 1");
    finish(start(&path));
    spoil_state(&name, &topic, "partition");
    let said = refused(start(&path));
    assert!(said.contains("partition") && said.contains("--reset all"), "{said}");
    let more = write(&topic, 2..3);
    let summary = finish(start_with(&path, &["--until", "latest", "--reset", "all"]));
    assert_eq!(summary["rows"]["balanced"], true);
    let counted = summary["rows"]["in"].as_u64().expect("a number");
    // Partition 0 forgot its count with everything else; what it read before is not read again.
    assert!((more..rows + more).contains(&counted), "{counted} of {rows} and {more}");
}

#[test]
fn whatever_bytes_come_each_is_accounted_for_and_comes_back_as_it_was() {
    let (topic, name) = (broker::unique("readings"), broker::unique("garbage"));
    let rows = fill(&topic, 1);
    let path = pipeline(&name, &topic, "workers: 2");
    let calm = finish(start(&path));
    let mut garbage: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"{\"sensor_id\":NaN}".to_vec(),
        b"{\"sensor_id\":\"a\",\"sensor_id\":\"b\"}".to_vec(),
        "[".repeat(100_000).into_bytes(),
        format!("{{\"sensor_id\":\"{}\"", "y".repeat(900_000)).into_bytes(),
        b"{\"sensor_id\":\"a\",\"observed_at\":\"9999999999999-01-01T00:00:00Z\"}".to_vec(),
    ];
    garbage.extend((0..300).map(noise));
    let mut writer = KafkaWriter::open(&broker::connection(), &topic).expect("a writer");
    for value in &garbage {
        writer.send(Some(b"k"), Some(value), None).expect("sent");
    }
    writer.send(Some(b"k"), None, None).expect("sent");
    writer.flush().expect("acknowledged");
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker::address()).create().expect("a producer");
    let headers = OwnedHeaders::new().insert(Header::<&str> { key: "null", value: None });
    let headers = headers.insert(Header { key: "empty", value: Some("") });
    producer.send(BaseRecord::to(&topic).key("k").payload("with headers").headers(headers)).expect("queued");
    producer.flush(PATIENCE).expect("sent");
    garbage.push(b"with headers".to_vec());
    let summary = finish(start(&path));
    let count = garbage.len() as u64;
    assert_eq!(summary["rows"]["in"], rows + count + 1);
    assert_eq!(summary["rows"]["balanced"], true);
    assert_eq!(summary["rows"]["accepted"], calm["rows"]["accepted"]);
    let tombstones = summary["rows"]["filtered"].as_u64().zip(calm["rows"]["filtered"].as_u64());
    assert_eq!(tombstones.map(|(now, then)| now - then), Some(1));
    let records = broker::committed_records(&format!("{name}-dlq"), 4);
    let marked = records.iter().find(|record| record.value.as_deref() == Some(b"with headers"));
    let own = [("null".to_owned(), None), ("empty".to_owned(), Some(Vec::new()))];
    assert_eq!(marked.map(|record| &record.headers[..2]), Some(&own[..]));
    let mut returned: Vec<Vec<u8>> = records
        .into_iter()
        .filter(|record| record.key.as_deref() == Some(b"k"))
        .map(|record| record.value.unwrap_or_default())
        .collect();
    returned.sort();
    garbage.sort();
    assert!(returned == garbage, "{} of {count} came back, or changed", returned.len());
}
