//! The real broker that the Kafka tests talk to, and small helpers to write to it and read from it as a foreign
//! client would.
//!
//! `ARTERIAL_TEST_KAFKA=host:port` names a broker; otherwise one is started from its jars, once per test process. It
//! watches that process and stops with it, however it ends. Tests that kill a broker start one of their own, and are
//! skipped where an existing one is named.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use arterial_connectors::kafka::{
    Brokers, CreateTopic, KafkaConnection, KafkaLedger, KafkaLedgerConfig, KafkaSource, KafkaSourceConfig, KafkaWriter,
    Properties, SinkTopic, StateTopic, TRANSACTION_TIMEOUT, ensure_topic,
};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored, StateRecord};
use arterial_connectors::payload::Header;
use arterial_connectors::position::{Partition, Position};
use arterial_connectors::source::{GroupMetadata, OnGap, Source, SourceEvent, StartAt, Until};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

/// How long a test waits for something that should take milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// `host:port` of the broker.
pub(crate) fn address() -> &'static str {
    static ADDRESS: OnceLock<Result<String, String>> = OnceLock::new();
    match ADDRESS.get_or_init(start) {
        Ok(address) => address,
        Err(problem) => panic!("{problem}"),
    }
}

fn start() -> Result<String, String> {
    match existing() {
        Some(address) => Ok(address),
        None => script("start", &std::env::temp_dir().join(format!("arterial-test-kafka-{}", std::process::id()))),
    }
}

/// The broker that `ARTERIAL_TEST_KAFKA` names.
fn existing() -> Option<String> {
    std::env::var("ARTERIAL_TEST_KAFKA").ok().filter(|address| !address.is_empty())
}

/// Runs `scripts/kafka.sh` for the broker of a folder; returns what it prints, or what it complains of.
pub(crate) fn script(verb: &str, folder: &Path) -> Result<String, String> {
    let done = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh"))
        .arg(verb)
        .arg(folder)
        .env("ARTERIAL_KAFKA_PARENT", std::process::id().to_string())
        .output()
        .map_err(|error| format!("scripts/kafka.sh: {error}"))?;
    let said = if done.status.success() { &done.stdout } else { &done.stderr };
    let text = String::from_utf8_lossy(said).trim().to_owned();
    if done.status.success() { Ok(text) } else { Err(text) }
}

/// A broker of one test alone, which may be killed and comes back on the same port.
pub(crate) struct OwnBroker {
    directory: tempfile::TempDir,
    pub(crate) address: String,
}

impl OwnBroker {
    /// `None` where an existing broker is used: there may be no Java to start another, and that one is not ours to
    /// kill. The test says so, past the harness, which shows only what failing tests print, and returns.
    pub(crate) fn start(test: &str) -> Option<Self> {
        if let Some(address) = existing() {
            let line =
                format!("test {test} is skipped: it kills its broker, and ARTERIAL_TEST_KAFKA={address} is used\n");
            std::io::stderr().write_all(line.as_bytes()).expect("written");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let address = script("start", directory.path()).expect("the broker starts");
        Some(Self { directory, address })
    }

    /// kill -9.
    pub(crate) fn kill(&self) {
        let pid = std::fs::read_to_string(self.directory.path().join("pid")).expect("a process id");
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().expect("kill runs").success());
    }

    pub(crate) fn resume(&self) {
        assert_eq!(script("resume", self.directory.path()).as_ref(), Ok(&self.address));
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        script("stop", self.directory.path()).expect("the broker stops");
    }
}

/// A name that no other test and no earlier run has used.
pub(crate) fn unique(name: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{name}-{:016x}", RandomState::new().hash_one(name))
}

pub(crate) fn connection() -> KafkaConnection {
    connection_to(address())
}

pub(crate) fn connection_to(brokers: &str) -> KafkaConnection {
    KafkaConnection {
        brokers: Brokers::List(brokers.to_owned()),
        client_id: "arterial.test".to_owned(),
        properties: Properties::default(),
    }
}

/// A fresh topic.
pub(crate) fn topic(name: &str, partitions: u32) -> String {
    topic_with(name, partitions, &[])
}

pub(crate) fn topic_with(name: &str, partitions: u32, config: &[(&str, &str)]) -> String {
    let topic = unique(name);
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let create = CreateTopic { partitions, replication: None, config };
    let state = ensure_topic(&connection(), &topic, Some(&create)).expect("the topic is created");
    assert!(state.created);
    topic
}

pub(crate) fn source_config(topic: &str, group: &str) -> KafkaSourceConfig {
    source_config_at(&connection(), topic, group)
}

pub(crate) fn source_config_at(connection: &KafkaConnection, topic: &str, group: &str) -> KafkaSourceConfig {
    KafkaSourceConfig {
        connection: connection.clone(),
        topics: vec![topic.to_owned()],
        group: group.to_owned(),
        slot: None,
        instance_id: None,
        start_at: StartAt::Earliest,
        on_gap: OnGap::Fail,
        until: Until::Forever,
    }
}

pub(crate) fn source(topic: &str, group: &str) -> KafkaSource {
    KafkaSource::open(source_config(topic, group)).expect("the source opens")
}

/// Settings of an exactly-once ledger with one sink.
pub(crate) fn ledger_config(topic: &str, group: &str, slot: &str, sink: &str) -> KafkaLedgerConfig {
    ledger_config_at(&connection(), topic, group, slot, sink)
}

pub(crate) fn ledger_config_at(
    connection: &KafkaConnection,
    topic: &str,
    group: &str,
    slot: &str,
    sink: &str,
) -> KafkaLedgerConfig {
    KafkaLedgerConfig {
        connection: connection.clone(),
        group: group.to_owned(),
        slot: slot.to_owned(),
        topics: vec![topic.to_owned()],
        state: StateTopic { topic: format!("{group}.state"), replication: None },
        sinks: vec![SinkTopic { topic: sink.to_owned(), create: None }],
        transactional: true,
        transaction_timeout: TRANSACTION_TIMEOUT,
        forget_remade: false,
    }
}

pub(crate) fn ledger(topic: &str, group: &str, slot: &str, sink: &str) -> KafkaLedger {
    KafkaLedger::open(ledger_config(topic, group, slot, sink)).expect("the ledger opens")
}

/// Writes rows `first..last`, keyed and valued by their number, to one partition.
pub(crate) fn write_rows(topic: &str, partition: i32, rows: std::ops::Range<u64>) {
    let mut writer = KafkaWriter::open(&connection(), topic).expect("the writer opens");
    for row in rows.clone() {
        let text = row.to_string();
        writer.send_to(Some(partition), Some(text.as_bytes()), Some(text.as_bytes()), None).expect("queued");
    }
    assert_eq!(writer.flush().expect("delivered"), rows.end - rows.start);
}

/// One record as a foreign reader of committed records sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
}

/// Everything committed in a topic, by an independent consumer.
pub(crate) fn committed_records(topic: &str, partitions: i32) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address())
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&list).expect("assigned");
    let (mut seen, mut ended, deadline) = (Vec::new(), 0, Instant::now() + PATIENCE);
    while ended < partitions {
        assert!(Instant::now() < deadline, "reading `{topic}` to its end took too long");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => seen.push(Seen {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: message.headers().map(headers_of).unwrap_or_default(),
            }),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    seen
}

fn headers_of(headers: &BorrowedHeaders) -> Vec<Header> {
    headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
}

/// Properties from pairs.
pub(crate) fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A partition of the only topic.
pub(crate) fn part(number: i32) -> Partition {
    Partition { topic: 0, number }
}

pub(crate) fn state(number: i32, key: &str, value: Option<&str>) -> StateRecord {
    let value = value.map(|value| value.as_bytes().to_vec());
    StateRecord { partition: part(number), key: key.as_bytes().to_vec(), value }
}

pub(crate) fn restored(number: i32, next_offset: Option<i64>, state: &[(&str, &str)]) -> Restored {
    let state = state.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    Restored { partition: part(number), next_offset, state }
}

pub(crate) fn records(rows: &[(&str, &str)]) -> Records {
    let mut records = Records::default();
    for (key, value) in rows {
        records.push(0, Some(key.as_bytes()), Some(value.as_bytes()), Vec::new());
    }
    records
}

pub(crate) fn await_assignment(source: &mut KafkaSource) -> Vec<Partition> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no partitions were assigned");
        if let Some(SourceEvent::Assigned(partitions)) = source.poll(Duration::from_millis(100)).unwrap() {
            return partitions;
        }
    }
}

/// Commits `(partition, next offset)` pairs and state.
pub(crate) fn commit(
    ledger: &mut KafkaLedger,
    group: Option<&GroupMetadata>,
    positions: &[(i32, i64)],
    state: &[StateRecord],
) -> Result<CommitOutcome, LedgerError> {
    let positions: Vec<_> = positions
        .iter()
        .map(|(number, next_offset)| Position { partition: part(*number), next_offset: *next_offset })
        .collect();
    ledger.commit(Commit { positions: &positions, state: &mut state.iter().cloned(), group })
}

/// How many rows of a topic of 4 partitions a group has committed.
pub(crate) fn committed_rows(group: &str, topic: &str) -> u64 {
    let observer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address())
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut place = TopicPartitionList::new();
    place.add_partition_range(topic, 0, 3);
    // A group that is just being made has no coordinator for a moment: nothing is committed then.
    let Ok(committed) = observer.committed_offsets(place, PATIENCE) else { return 0 };
    let rows = |offset| if let Offset::Offset(rows) = offset { rows as u64 } else { 0 };
    committed.elements().iter().map(|element| rows(element.offset())).sum()
}
