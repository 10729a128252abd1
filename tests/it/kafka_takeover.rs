//! Who owns what, on a real broker: the dead are shut out, the living are waited for, a time-out is no takeover, and a
//! topic made anew is not the old one.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use arterial_connectors::kafka::{
    KafkaLedger, KafkaLedgerConfig, KafkaSource, KafkaSourceConfig, StateTopic, ensure_topic,
};
use arterial_connectors::ledger::{CommitOutcome, Ledger, LedgerError};
use arterial_connectors::position::Partition;
use arterial_connectors::source::Source;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::broker::{
    PATIENCE, address, await_assignment, commit, committed_records, connection, ledger, ledger_config, part, records,
    restored, source, state, topic, topic_with, unique,
};
use crate::kafka_run_support::{fill, finish, make_topic, pipeline, refused, start, start_with, write};

/// A takeover takes at most this long, a sixth of the time after which the broker ends a transaction by itself.
const SOON: Duration = Duration::from_secs(10);

fn member(topic: &str, group: &str, slot: &str) -> KafkaSource {
    let config = crate::broker::source_config(topic, group);
    KafkaSource::open(KafkaSourceConfig { slot: Some(slot.to_owned()), ..config }).unwrap()
}

/// The end of the only partition of a topic as readers of this isolation see it.
fn end(topic: &str, isolation: &str) -> i64 {
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address())
        .set("group.id", unique("end"))
        .set("isolation.level", isolation)
        .create()
        .unwrap();
    reader.fetch_watermarks(topic, 0, PATIENCE).unwrap().1
}

fn await_end(topic: &str, isolation: &str, wanted: i64, patience: Duration) {
    let deadline = Instant::now() + patience;
    while end(topic, isolation) < wanted {
        assert!(Instant::now() < deadline, "{isolation}: {} of {wanted} after {patience:?}", end(topic, isolation));
    }
}

#[test]
fn readers_of_outputs_get_on_soon_after_a_worker_died_between_two_commits() {
    for committed_before in [false, true] {
        let (input, sink, group) = (topic("outputs", 1), topic("outputs-out", 1), unique("outputs"));
        let mut live = member(&input, &group, "heir");
        await_assignment(&mut live);
        let mut dead = ledger(&input, &group, "dead", &sink);
        dead.restore(&[part(0)]).unwrap();
        if committed_before {
            dead.begin().unwrap();
            let group = live.group_metadata();
            commit(&mut dead, group.as_ref(), &[(0, 5)], &[state(0, "m", Some("1"))]).unwrap();
        }
        dead.begin().unwrap();
        dead.append(&records(&[("a", "never committed")])).unwrap();
        await_end(&sink, "read_uncommitted", 1, PATIENCE);
        assert_eq!(end(&sink, "read_committed"), 0, "the open transaction holds readers up");
        // Its process is gone, and nobody opens its slot again.
        drop(dead);

        let mut heir = ledger(&input, &group, "heir", &sink);
        let expected = if committed_before { restored(0, Some(5), &[("m", "1")]) } else { restored(0, None, &[]) };
        assert_eq!(heir.restore(&[part(0)]).unwrap(), [expected]);
        heir.begin().unwrap();
        heir.append(&records(&[("a", "the heir's")])).unwrap();
        let outcome = commit(&mut heir, live.group_metadata().as_ref(), &[(0, 6)], &[]).unwrap();
        assert_eq!(outcome, CommitOutcome::Committed);
        // Record, marker of the abort, record.
        await_end(&sink, "read_committed", 3, SOON);
        let seen = committed_records(&sink, 1);
        assert_eq!(seen.into_iter().map(|record| record.value).collect::<Vec<_>>(), [Some(b"the heir's".to_vec())]);
    }
}

#[test]
fn a_slot_that_is_opened_again_ends_what_it_had_left_open_before_it_gets_partitions() {
    let (input, sink, group) = (topic("again", 1), topic("again-out", 1), unique("again"));
    let mut first = ledger(&input, &group, "0", &sink);
    first.restore(&[part(0)]).unwrap();
    first.begin().unwrap();
    first.append(&records(&[("a", "never committed")])).unwrap();
    await_end(&sink, "read_uncommitted", 1, PATIENCE);
    drop(first);
    let _second = ledger(&input, &group, "0", &sink);
    await_end(&sink, "read_committed", 2, SOON);
    assert!(committed_records(&sink, 1).is_empty());
}

#[test]
fn a_live_worker_amid_its_commit_is_waited_for_and_not_shut_out() {
    let (one, two, sink, group) = (topic("one", 1), topic("two", 1), topic("live-out", 1), unique("live"));
    let mut config = ledger_config(&one, &group, "2", &sink);
    config.topics.push(two.clone());
    let mut waiting = KafkaLedger::open(config).unwrap();
    let mut alive = member(&one, &group, "1");
    await_assignment(&mut alive);

    // Worker 1 writes state of the other topic's partition 0, which shares a partition of the state topic.
    let slow: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address())
        .set("transactional.id", format!("{group}-1"))
        .create()
        .unwrap();
    slow.init_transactions(PATIENCE).unwrap();
    slow.begin_transaction().unwrap();
    let (state_topic, key) = (format!("{group}.state"), format!("{one}|0|sm"));
    let headers = OwnedHeaders::new().insert(Header { key: "slot", value: Some("1") });
    slow.send(BaseRecord::to(&state_topic).partition(0).key(&key).payload("slow").headers(headers)).unwrap();
    slow.flush(PATIENCE).unwrap();

    let (done, found) = channel();
    let work = std::thread::spawn(move || {
        let partition = Partition { topic: 1, number: 0 };
        done.send(waiting.restore(&[partition]).map(|found| found.len())).unwrap();
    });
    // Long enough to be shut out twice, were it taken for dead.
    match found.recv_timeout(Duration::from_secs(5)) {
        Err(RecvTimeoutError::Timeout) => {}
        other => panic!("it did not wait: {other:?}"),
    }
    slow.commit_transaction(PATIENCE).expect("it is still the owner of its slot");
    assert_eq!(found.recv_timeout(SOON).unwrap().unwrap(), 1);
    work.join().unwrap();
}

#[test]
fn a_transaction_that_the_broker_timed_out_is_gone_back_from_and_not_taken_for_a_takeover() {
    let (input, sink, group) = (topic("timeout", 1), topic("timeout-out", 1), unique("timeout"));
    let mut member = source(&input, &group);
    await_assignment(&mut member);
    let metadata = member.group_metadata();
    let config = ledger_config(&input, &group, "0", &sink);
    let mut ledger =
        KafkaLedger::open(KafkaLedgerConfig { transaction_timeout: Duration::from_secs(1), ..config }).unwrap();
    ledger.restore(&[part(0)]).unwrap();
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "one")])).unwrap();
    let changes = [state(0, "m", Some("1"))];
    assert_eq!(commit(&mut ledger, metadata.as_ref(), &[(0, 1)], &changes).unwrap(), CommitOutcome::Committed);

    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "timed out")])).unwrap();
    // Record, marker, record, marker of the broker's own abort, after as long as it takes to look.
    await_end(&sink, "read_committed", 4, PATIENCE);
    let outcome = commit(&mut ledger, metadata.as_ref(), &[(0, 2)], &[state(0, "m", Some("2"))]).unwrap();
    assert_eq!(outcome, CommitOutcome::Unknown);
    assert_eq!(ledger.restore(&[part(0)]).unwrap(), [restored(0, Some(1), &[("m", "1")])]);
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "two")])).unwrap();
    assert_eq!(commit(&mut ledger, metadata.as_ref(), &[(0, 2)], &[]).unwrap(), CommitOutcome::Committed);
    let values: Vec<_> = committed_records(&sink, 1).into_iter().filter_map(|record| record.value).collect();
    assert_eq!(values, [b"one".to_vec(), b"two".to_vec()]);

    // And a takeover is one, also for a process that slept through its time-out.
    ledger.begin().unwrap();
    ledger.append(&records(&[("a", "asleep")])).unwrap();
    let _other = self::ledger(&input, &group, "0", &sink);
    assert_eq!(commit(&mut ledger, metadata.as_ref(), &[(0, 3)], &[]).unwrap(), CommitOutcome::Fenced);
    assert!(matches!(ledger.begin(), Err(LedgerError::Fenced { slot }) if slot == "0"));
}

#[test]
fn a_state_topic_from_which_records_vanish_is_refused() {
    let (input, sink, group) = (topic("policy", 1), topic("policy-out", 1), unique("policy"));
    for policy in ["delete", "compact,delete"] {
        let topic = topic_with("policy-state", 1, &[("cleanup.policy", policy)]);
        let config = ledger_config(&input, &group, "0", &sink);
        let config = KafkaLedgerConfig { state: StateTopic { topic: topic.clone(), replication: None }, ..config };
        let error = KafkaLedger::open(config).err().expect("refused");
        assert!(error.to_string().contains(&topic) && error.to_string().contains(policy), "{error}");
        assert!(error.hint().contains("cleanup.policy=compact"), "{}", error.hint());
    }
    drop(ledger(&input, &group, "0", &sink));
    drop(ledger(&input, &group, "0", &sink));
}

/// Deletes a topic and makes it again.
fn remake(topic: &str, make: impl Fn()) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", address()).create().unwrap();
    let deleted = futures_executor::block_on(admin.delete_topics(&[topic], &AdminOptions::new())).unwrap();
    deleted[0].as_ref().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while ensure_topic(&connection(), topic, None).is_ok() {
        assert!(Instant::now() < deadline, "`{topic}` is still there");
    }
    make();
}

#[test]
fn a_topic_made_anew_under_state_is_refused_and_read_from_its_start_once_all_is_reset() {
    let (topic, name) = (unique("readings"), unique("remade"));
    fill(&topic, 2);
    let path = pipeline(&name, &topic, "workers: 1");
    finish(start(&path));
    remake(&topic, || make_topic(address(), &topic));
    let rows = write(&topic, 0..1);
    let said = refused(start(&path));
    assert!(said.contains(&format!("topic `{topic}` was deleted and made again")), "{said}");
    assert!(said.contains("--reset all"), "{said}");
    let fresh = finish(start_with(&path, &["--until", "latest", "--reset", "all"]));
    assert_eq!((&fresh["rows"]["in"], &fresh["rows"]["balanced"]), (&rows.into(), &true.into()));
    let again = finish(start(&path));
    assert_eq!((&again["rows"], &again["state_digest"]), (&fresh["rows"], &fresh["state_digest"]));
    let calm = finish(start(&pipeline(&unique("calm"), &topic, "workers: 1")));
    assert_eq!(fresh["state_digest"], calm["state_digest"], "nothing of the old topic is left");
}

#[test]
fn rows_that_came_after_a_start_at_latest_are_read_by_whoever_goes_on() {
    let (topic, name) = (unique("readings"), unique("latest"));
    fill(&topic, 1);
    let path = pipeline(&name, &topic, "workers: 1, static_membership: true");
    let text = std::fs::read_to_string(&path).unwrap();
    // No commit of rows comes about before it is killed.
    let text = text.replace(&format!("topics: [{topic}]"), &format!("topics: [{topic}], start_at: latest"));
    std::fs::write(&path, text.replace("commit_every: 20ms, commit_every_max: 20ms", "commit_every: 10s")).unwrap();
    let mut child = start_with(&path, &[]);
    let deadline = Instant::now() + PATIENCE;
    while crate::broker::committed_rows(&format!("arterial.{name}"), &topic) == 0 {
        assert!(Instant::now() < deadline, "the start was not made durable");
    }
    let rows = write(&topic, 1..3);
    child.kill().unwrap();
    child.wait().unwrap();
    let summary = finish(start(&path));
    assert_eq!((&summary["rows"]["in"], &summary["rows"]["balanced"]), (&rows.into(), &true.into()));
}
