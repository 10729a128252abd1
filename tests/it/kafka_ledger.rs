//! The Kafka ledger against a real broker: what is committed is seen, what is aborted is not, and nobody but the
//! owner of a slot writes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arterial_connectors::kafka::{
    CreateTopic, KafkaLedger, KafkaLedgerConfig, KafkaSource, KafkaWriter, SinkTopic, ensure_topic,
};
use arterial_connectors::ledger::{CommitOutcome, Ledger, LedgerError, Records};
use arterial_connectors::position::partition_of_key;
use arterial_connectors::source::{SeekTo, Source};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::broker::{
    PATIENCE, address, await_assignment, commit, committed_records, connection, ledger, ledger_config, part, records,
    restored, source, state, topic, topic_with, unique, write_rows,
};

/// Topics, group and a member of it that owns the partitions.
struct Bench {
    topic: String,
    sink: String,
    group: String,
    source: KafkaSource,
}

impl Bench {
    fn new(name: &str, partitions: u32) -> Self {
        let topic = topic(name, partitions);
        let sink = self::topic(&format!("{name}-out"), 1);
        let group = unique(&format!("{name}-group"));
        let mut source = source(&topic, &group);
        await_assignment(&mut source);
        Self { topic, sink, group, source }
    }

    fn ledger(&self, slot: &str) -> KafkaLedger {
        ledger(&self.topic, &self.group, slot, &self.sink)
    }

    fn values(&self) -> Vec<String> {
        let seen = committed_records(&self.sink, 1);
        seen.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
    }
}

#[test]
fn committed_transaction_is_visible_and_its_state_comes_back() {
    let bench = Bench::new("commit", 2);
    let mut ledger = bench.ledger("0");
    let member = bench.source.group_metadata();
    assert_eq!(
        ledger.restore(&[part(0), part(1)]).unwrap(),
        [restored(0, None, &[]), restored(1, None, &[])],
        "nothing was ever committed"
    );
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "one"), ("b", "two")])).unwrap();
    let changes = [state(0, "m", Some("1")), state(0, "k", Some("2")), state(1, "m", Some("3"))];
    assert_eq!(commit(&mut ledger, member.as_ref(), &[(0, 7), (1, 9)], &changes).unwrap(), CommitOutcome::Committed);
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "three")])).unwrap();
    let changes = [state(0, "m", None), state(0, "n", Some("4"))];
    assert_eq!(commit(&mut ledger, member.as_ref(), &[(0, 8)], &changes).unwrap(), CommitOutcome::Committed);

    let expected = [restored(0, Some(8), &[("k", "2"), ("n", "4")]), restored(1, Some(9), &[("m", "3")])];
    assert_eq!(ledger.restore(&[part(0), part(1)]).unwrap(), expected);
    drop(ledger);
    // Another process, the same slot.
    assert_eq!(bench.ledger("0").restore(&[part(0), part(1)]).unwrap(), expected);
    // Another slot takes over one partition alone.
    assert_eq!(bench.ledger("1").restore(&[part(1)]).unwrap(), expected[1..]);
    assert_eq!(bench.values(), ["one", "two", "three"]);
}

#[test]
fn keys_go_to_the_partitions_that_java_producers_choose() {
    let topic_name = topic("murmur", 1);
    let sink = topic("murmur-out", 5);
    let group = unique("murmur-group");
    let mut ledger = ledger(&topic_name, &group, "0", &sink);
    ledger.restore(&[]).unwrap();
    ledger.begin().unwrap();
    let rows: Vec<String> = (0..200).map(|row| format!("sensor-{row}")).collect();
    let pairs: Vec<_> = rows.iter().map(|row| (row.as_str(), "x")).collect();
    ledger.append(&records(&pairs)).unwrap();
    assert_eq!(commit(&mut ledger, None, &[], &[]).unwrap(), CommitOutcome::Committed);
    let seen = committed_records(&sink, 5);
    assert_eq!(seen.len(), 200);
    for record in seen {
        assert_eq!(record.partition, partition_of_key(&record.key.unwrap(), 5));
    }
}

#[test]
fn aborted_transaction_is_invisible_and_state_is_as_before() {
    let bench = Bench::new("abort", 1);
    let mut ledger = bench.ledger("0");
    let member = bench.source.group_metadata();
    ledger.restore(&[part(0)]).unwrap();
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "kept")])).unwrap();
    commit(&mut ledger, member.as_ref(), &[(0, 3)], &[state(0, "m", Some("1"))]).unwrap();
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "dropped")])).unwrap();
    ledger.abort().unwrap();
    assert_eq!(ledger.restore(&[part(0)]).unwrap(), [restored(0, Some(3), &[("m", "1")])]);
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "after")])).unwrap();
    assert_eq!(commit(&mut ledger, member.as_ref(), &[(0, 4)], &[]).unwrap(), CommitOutcome::Committed);
    assert_eq!(bench.values(), ["kept", "after"]);
    assert_eq!(ledger.restore(&[part(0)]).unwrap(), [restored(0, Some(4), &[("m", "1")])]);
}

#[test]
fn worker_whose_slot_was_taken_over_is_fenced() {
    let bench = Bench::new("fence", 1);
    let member = bench.source.group_metadata();
    let mut zombie = bench.ledger("0");
    zombie.restore(&[part(0)]).unwrap();
    zombie.begin().unwrap();
    zombie.append(&records(&[("a", "zombie")])).unwrap();

    let mut owner = bench.ledger("0");
    assert_eq!(owner.restore(&[part(0)]).unwrap(), [restored(0, None, &[])]);
    let outcome = commit(&mut zombie, member.as_ref(), &[(0, 5)], &[state(0, "m", Some("zombie"))]).unwrap();
    assert_eq!(outcome, CommitOutcome::Fenced);
    assert!(matches!(zombie.begin(), Err(LedgerError::Fenced { slot }) if slot == "0"));

    owner.begin().unwrap();
    owner.append(&records(&[("a", "owner")])).unwrap();
    let outcome = commit(&mut owner, member.as_ref(), &[(0, 2)], &[state(0, "m", Some("owner"))]).unwrap();
    assert_eq!(outcome, CommitOutcome::Committed);
    assert_eq!(bench.values(), ["owner"]);
    assert_eq!(owner.restore(&[part(0)]).unwrap(), [restored(0, Some(2), &[("m", "owner")])]);
}

#[test]
fn commit_of_a_member_that_left_the_group_is_aborted() {
    let bench = Bench::new("left", 1);
    let mut ledger = bench.ledger("0");
    ledger.restore(&[part(0)]).unwrap();
    let stale = bench.source.group_metadata();
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "stale")])).unwrap();
    let Bench { topic, sink, group, source: old } = bench;
    drop(old);
    let mut fresh = source(&topic, &group);
    await_assignment(&mut fresh);
    assert_eq!(commit(&mut ledger, stale.as_ref(), &[(0, 5)], &[]).unwrap(), CommitOutcome::Aborted);
    assert_eq!(ledger.restore(&[part(0)]).unwrap(), [restored(0, None, &[])]);
    assert!(committed_records(&sink, 1).is_empty());
}

/// Leaves a transaction open in which worker `slot` wrote state of partition 0: a process that died in a commit.
fn die_in_a_commit(bench: &Bench, slot: &str, member_offsets: bool) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address())
        .set("transactional.id", format!("{}-{slot}", bench.group))
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    let headers =
        rdkafka::message::OwnedHeaders::new().insert(rdkafka::message::Header { key: "slot", value: Some(slot) });
    let state_topic = format!("{}.state", bench.group);
    let key = format!("{}|0|sm", bench.topic);
    producer.send(BaseRecord::to(&state_topic).partition(0).key(&key).payload("dead").headers(headers)).unwrap();
    producer.flush(PATIENCE).unwrap();
    if member_offsets {
        use rdkafka::consumer::Consumer;
        // A commit in a group without generation, as the dead member's would be seen after its session expired.
        let consumer: rdkafka::consumer::BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", address()).set("group.id", &bench.group).create().unwrap();
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(&bench.topic, 0, rdkafka::Offset::Offset(99)).unwrap();
        let metadata = consumer.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&list, &metadata, PATIENCE).unwrap();
    }
    producer
}

#[test]
fn open_transaction_of_a_dead_worker_is_shut_out_by_the_new_owner() {
    for member_offsets in [false, true] {
        let mut bench = Bench::new("dead", 1);
        let member = bench.source.group_metadata();
        let mut first = bench.ledger("7");
        first.restore(&[part(0)]).unwrap();
        first.begin().unwrap();
        commit(&mut first, member.as_ref(), &[(0, 5)], &[state(0, "m", Some("alive"))]).unwrap();
        drop(first);
        if member_offsets {
            // Offsets of no member are taken only while the group is empty.
            let fresh = topic("elsewhere", 1);
            let old = std::mem::replace(&mut bench.source, source(&fresh, &unique("elsewhere")));
            drop(old);
        }
        // It stays alive as a client, but never ends its transaction.
        let dead = die_in_a_commit(&bench, "7", member_offsets);
        let started = Instant::now();
        let mut heir = bench.ledger("8");
        assert_eq!(heir.restore(&[part(0)]).unwrap(), [restored(0, Some(5), &[("m", "alive")])]);
        println!("offsets pending: {member_offsets}, shut out after {:?}", started.elapsed());
        assert!(started.elapsed() < Duration::from_secs(12), "took {:?}", started.elapsed());
        assert!(dead.commit_transaction(Duration::from_secs(10)).is_err(), "the dead worker cannot come back");
    }
}

#[test]
fn state_that_disagrees_with_the_committed_offset_is_refused() {
    let bench = Bench::new("mismatch", 1);
    let mut ledger = bench.ledger("0");
    ledger.restore(&[part(0)]).unwrap();
    ledger.begin().unwrap();
    commit(&mut ledger, bench.source.group_metadata().as_ref(), &[(0, 5)], &[state(0, "m", Some("1"))]).unwrap();
    let Bench { topic, group, source: old, .. } = bench;
    drop(old);
    // Somebody resets the group's offsets by hand.
    use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    let hand: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", address()).set("group.id", &group).create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, rdkafka::Offset::Offset(2)).unwrap();
    hand.commit(&list, CommitMode::Sync).unwrap();
    match ledger.restore(&[part(0)]) {
        Err(LedgerError::Mismatch { partition, place, state, committed }) => {
            assert_eq!((partition, place), (part(0), format!("{group}.state")));
            assert_eq!((state, committed), (Some(5), Some(2)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn state_of_an_unknown_format_is_unreadable() {
    let bench = Bench::new("format", 1);
    let mut ledger = bench.ledger("0");
    let mut writer = KafkaWriter::open(&connection(), &format!("{}.state", bench.group)).unwrap();
    let key = format!("{}|0|p", bench.topic);
    writer.send_to(Some(0), Some(key.as_bytes()), Some(&[9, 1, 2]), None).unwrap();
    writer.flush().unwrap();
    match ledger.restore(&[part(0)]) {
        Err(LedgerError::Unreadable { partition, place, reason }) => {
            assert_eq!((partition, place), (part(0), format!("{}.state", bench.group)));
            assert!(reason.contains("version 9"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn record_over_the_limit_names_its_sink_and_sizes() {
    let bench = Bench::new("large", 1);
    let mut ledger = bench.ledger("0");
    ledger.restore(&[part(0)]).unwrap();
    ledger.begin().unwrap();
    let large = "x".repeat(110_000_000);
    match ledger.append(&records(&[("a", &large)])) {
        Err(LedgerError::TooLarge { topic, bytes: 110_000_001, limit }) => {
            // The producer takes what a broker does; the topic's own limit is less.
            assert_eq!((topic, limit), (bench.sink.clone(), 1_048_588));
        }
        other => panic!("{other:?}"),
    }
    ledger.abort().unwrap();
    // The topic's own limit shows only when the broker answers. Random bytes, so that lz4 does not hide them.
    let strict = topic_with("large-strict", 1, &[("max.message.bytes", "20000")]);
    let mut ledger = self::ledger(&bench.topic, &bench.group, "1", &strict);
    ledger.restore(&[part(0)]).unwrap();
    ledger.begin().unwrap();
    let mut seed = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    })
    .take(50_000)
    .collect();
    let mut records = Records::default();
    records.push(0, Some(b"a"), Some(&noise), Vec::new());
    ledger.append(&records).unwrap();
    match commit(&mut ledger, bench.source.group_metadata().as_ref(), &[(0, 1)], &[]) {
        Err(LedgerError::TooLarge { topic, bytes: 50_001, limit: 20_000 }) => assert_eq!(topic, strict),
        other => panic!("{other:?}"),
    }
    ledger.abort().unwrap();
    assert_eq!(ledger.restore(&[part(0)]).unwrap(), [restored(0, None, &[])], "nothing of it is durable");
}

#[test]
fn changed_partition_count_is_refused() {
    let bench = Bench::new("count", 2);
    drop(bench.ledger("0"));
    let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", address()).create().unwrap();
    let more = rdkafka::admin::NewPartitions::new(&bench.topic, 3);
    let options = rdkafka::admin::AdminOptions::new();
    futures_executor::block_on(admin.create_partitions(&[more], &options)).unwrap()[0].as_ref().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let config = ledger_config(&bench.topic, &bench.group, "0", &bench.sink);
    // The new number takes a moment to spread.
    let (topic, reason) = loop {
        assert!(Instant::now() < deadline);
        match KafkaLedger::open(config.clone()) {
            Err(LedgerError::Topic { topic, reason }) => break (topic, reason),
            Err(other) => panic!("{other}"),
            Ok(_) => {}
        }
    };
    assert_eq!(topic, format!("{}.state", bench.group));
    assert!(reason.contains("has 2 partitions, but the source has 3"), "{reason}");
}

#[test]
fn missing_output_topic_is_created_or_named() {
    let bench = Bench::new("create", 1);
    let missing = unique("create-missing");
    let mut config = ledger_config(&bench.topic, &bench.group, "0", &missing);
    match KafkaLedger::open(config.clone()) {
        Err(error @ LedgerError::Topic { .. }) => {
            assert!(error.to_string().contains(&missing), "{error}");
            assert!(error.hint().contains("create"), "{}", error.hint());
        }
        other => panic!("{:?}", other.err()),
    }
    let create = CreateTopic { partitions: 4, replication: Some(1), config: BTreeMap::new() };
    config.sinks = vec![SinkTopic { topic: missing.clone(), create: Some(create) }];
    KafkaLedger::open(config).unwrap();
    assert_eq!(ensure_topic(&connection(), &missing, None).unwrap().partitions, 4);
}

#[test]
fn at_least_once_ledger_on_a_real_broker_resumes_and_commits_the_groups_offset() {
    let mut bench = Bench::new("alo", 1);
    write_rows(&bench.topic, 0, 0..10);
    let config =
        KafkaLedgerConfig { transactional: false, ..ledger_config(&bench.topic, &bench.group, "0", &bench.sink) };
    let mut ledger = KafkaLedger::open(config.clone()).unwrap();
    ledger.restore(&[part(0)]).unwrap();
    bench.source.seek(part(0), SeekTo::Start).unwrap();
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "one")])).unwrap();
    let outcome = commit(&mut ledger, bench.source.group_metadata().as_ref(), &[(0, 6)], &[]).unwrap();
    assert_eq!(outcome, CommitOutcome::Committed);
    assert_eq!(bench.values(), ["one"]);
    assert_eq!(KafkaLedger::open(config).unwrap().restore(&[part(0)]).unwrap(), [restored(0, Some(6), &[])]);
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let reader: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", address()).set("group.id", &bench.group).create().unwrap();
    let mut question = rdkafka::TopicPartitionList::new();
    question.add_partition(&bench.topic, 0);
    let answer = reader.committed_offsets(question, PATIENCE).unwrap();
    assert_eq!(answer.elements()[0].offset(), rdkafka::Offset::Offset(6));
}

#[test]
fn at_least_once_no_position_is_written_behind_an_output_that_the_broker_refuses() {
    let mut bench = Bench::new("alo-refused", 1);
    write_rows(&bench.topic, 0, 0..10);
    let small = CreateTopic {
        partitions: 1,
        replication: Some(1),
        config: [("max.message.bytes".to_owned(), "1000".to_owned())].into(),
    };
    let sink = format!("{}-small", bench.sink);
    ensure_topic(&connection(), &sink, Some(&small)).unwrap();
    let config = KafkaLedgerConfig { transactional: false, ..ledger_config(&bench.topic, &bench.group, "0", &sink) };
    let mut ledger = KafkaLedger::open(config.clone()).unwrap();
    ledger.restore(&[part(0)]).unwrap();
    bench.source.seek(part(0), SeekTo::Start).unwrap();
    ledger.begin().unwrap();
    // Compressed it must not fit either.
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (seed >> 33) as u8 % 90)
    };
    let large: String = std::iter::repeat_with(&mut noise).take(5_000).collect();
    ledger.append(&records(&[("a", large.as_str())])).unwrap();
    let refused = commit(&mut ledger, bench.source.group_metadata().as_ref(), &[(0, 6)], &[]).unwrap_err();
    assert!(matches!(&refused, LedgerError::TooLarge { topic, .. } if *topic == sink), "{refused}");
    drop(ledger);
    assert_eq!(KafkaLedger::open(config).unwrap().restore(&[part(0)]).unwrap(), [restored(0, None, &[])]);
}
