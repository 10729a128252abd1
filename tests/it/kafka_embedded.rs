//! librdkafka's in-process cluster: the demo's broker, and the only one that fails on command.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arterial_connectors::kafka::{
    Brokers, CreateTopic, EmbeddedBroker, KafkaConnection, KafkaLedger, KafkaLedgerConfig, KafkaSource, KafkaWriter,
    Properties, SinkTopic,
};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger};
use arterial_connectors::source::{SeekTo, Source, SourceEvent};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::broker::{
    PATIENCE, await_assignment, commit, connection_to, ledger_config_at, part, properties, records, restored,
    source_config_at, state,
};

fn write(connection: &KafkaConnection, topic: &str, rows: std::ops::Range<u64>) {
    let mut writer = KafkaWriter::open(connection, topic).unwrap();
    for row in rows.clone() {
        let text = row.to_string();
        writer.send(Some(text.as_bytes()), Some(text.as_bytes()), None).unwrap();
    }
    assert_eq!(writer.flush().unwrap(), rows.end - rows.start);
}

fn embedded(broker: &EmbeddedBroker) -> KafkaConnection {
    KafkaConnection {
        brokers: Brokers::Embedded(broker.clone()),
        client_id: "arterial.test".to_owned(),
        properties: Properties::default(),
    }
}

#[test]
fn embedded_broker_carries_a_pipeline_at_least_once() {
    let broker = EmbeddedBroker::start().unwrap();
    let connection = embedded(&broker);
    broker.create_topic("in", 2).unwrap();
    let create = CreateTopic { partitions: 1, ..CreateTopic::default() };
    write(&connection, "in", 0..1_000);
    let config = KafkaLedgerConfig {
        sinks: vec![SinkTopic { topic: "out".to_owned(), create: Some(create) }],
        ..ledger_config_at(&connection, "in", "group", "0", "out")
    };
    let refused = KafkaLedger::open(config.clone()).err().unwrap();
    assert!(refused.to_string().contains("at-least-once"), "{refused}");
    let config = KafkaLedgerConfig { transactional: false, ..config };

    let mut ends = BTreeMap::new();
    {
        let mut ledger = KafkaLedger::open(config.clone()).unwrap();
        let mut source = KafkaSource::open(source_config_at(&connection, "in", "group")).unwrap();
        let partitions = await_assignment(&mut source);
        let fresh = ledger.restore(&partitions).unwrap();
        assert!(fresh.iter().all(|found| found.next_offset.is_none() && found.state.is_empty()));
        for partition in &partitions {
            source.seek(*partition, SeekTo::Start).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        let mut rows = 0;
        ledger.begin().unwrap();
        while rows < 1_000 {
            assert!(Instant::now() < deadline);
            if let Some(SourceEvent::Batch(batch)) = source.poll(Duration::from_millis(100)).unwrap() {
                rows += batch.payload.len();
                ends.insert(batch.partition.number, batch.next_offset);
            }
        }
        ledger.append(&records(&[("a", "out")])).unwrap();
        let positions: Vec<_> = ends.iter().map(|(number, next)| (*number, *next)).collect();
        let group = source.group_metadata();
        let outcome = commit(&mut ledger, group.as_ref(), &positions, &[state(0, "m", Some("1"))]).unwrap();
        assert_eq!(outcome, CommitOutcome::Committed);
    }
    let mut ledger = KafkaLedger::open(config).unwrap();
    let expected = [restored(0, Some(ends[&0]), &[("m", "1")]), restored(1, Some(ends[&1]), &[])];
    assert_eq!(ledger.restore(&[part(0), part(1)]).unwrap(), expected);
}

#[test]
fn state_that_the_embedded_broker_began_to_drop_is_refused() {
    let broker = EmbeddedBroker::start().unwrap();
    let uncompressed = Properties::checked(properties(&[("compression.type", "none")])).unwrap();
    let connection = KafkaConnection { properties: uncompressed, ..embedded(&broker) };
    broker.create_topic("in", 1).unwrap();
    broker.create_topic("out", 1).unwrap();
    let config = KafkaLedgerConfig { transactional: false, ..ledger_config_at(&connection, "in", "group", "0", "out") };
    let mut ledger = KafkaLedger::open(config).unwrap();
    ledger.restore(&[part(0)]).unwrap();
    // 12 blocks of half a megabyte; the broker keeps five.
    let block = "x".repeat(500_000);
    for number in 0..12 {
        ledger.begin().unwrap();
        let changes = [state(0, &number.to_string(), Some(&block))];
        assert_eq!(commit(&mut ledger, None, &[(0, number)], &changes).unwrap(), CommitOutcome::Committed);
    }
    let refused = ledger.restore(&[part(0)]).err().map(|error| error.to_string());
    assert!(refused.as_ref().is_some_and(|said| said.contains("has dropped its oldest records")), "{refused:?}");
}

#[test]
fn brokers_that_go_in_the_middle_are_waited_for_and_nothing_is_lost() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("in", 1, 1).unwrap();
    let connection = connection_to(&cluster.bootstrap_servers());
    write(&connection, "in", 0..100);
    let mut source = KafkaSource::open(source_config_at(&connection, "in", "group")).unwrap();
    let mut rows = 0;
    // A slow machine lets the group take its member for dead meanwhile: the partition is assigned again then.
    let read = |source: &mut KafkaSource, rows: &mut usize| match source.poll(Duration::from_millis(50)).unwrap() {
        Some(SourceEvent::Assigned(_)) => source.seek(part(0), SeekTo::Offset(*rows as i64)).unwrap(),
        Some(SourceEvent::Batch(batch)) => *rows += batch.payload.len(),
        _ => {}
    };
    let read_to = |source: &mut KafkaSource, rows: &mut usize, wanted: usize| {
        let deadline = Instant::now() + PATIENCE;
        while *rows < wanted {
            assert!(Instant::now() < deadline, "{rows} rows");
            read(source, rows);
        }
        assert_eq!(*rows, wanted);
    };
    read_to(&mut source, &mut rows, 100);
    cluster.broker_down(-1).unwrap();
    let await_health = |source: &mut KafkaSource, rows: &mut usize, well: bool| {
        let deadline = Instant::now() + PATIENCE;
        while source.connected().is_ok() != well {
            assert!(Instant::now() < deadline, "{:?}", source.connected());
            read(source, rows);
            assert_eq!(*rows, 100, "there are no others");
        }
    };
    await_health(&mut source, &mut rows, false);
    cluster.broker_up(-1).unwrap();
    await_health(&mut source, &mut rows, true);
    write(&connection, "in", 100..200);
    read_to(&mut source, &mut rows, 200);
}

#[test]
fn commit_without_an_answer_is_unknown_and_the_next_one_works() {
    let cluster = MockCluster::new(1).unwrap();
    for topic in ["in", "out", "group.state"] {
        cluster.create_topic(topic, 1, 1).unwrap();
    }
    let connection = connection_to(&cluster.bootstrap_servers());
    let mut ledger = KafkaLedger::open(ledger_config_at(&connection, "in", "group", "0", "out")).unwrap();
    ledger.restore(&[]).unwrap();
    let end = |ledger: &mut KafkaLedger| {
        ledger.begin().unwrap();
        ledger.append(&records(&[("a", "x")])).unwrap();
        ledger.commit(Commit { positions: &[], state: &mut std::iter::empty(), group: None }).unwrap()
    };
    assert_eq!(end(&mut ledger), CommitOutcome::Committed);
    // The coordinator answers the end of the transaction with nonsense: the client gives up on it.
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE]);
    assert_eq!(end(&mut ledger), CommitOutcome::Unknown);
    assert_eq!(end(&mut ledger), CommitOutcome::Committed);
}
