//! The memory broker keeps Kafka's promises: atomic commits, fencing, cooperative groups, bounded feeds.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, StateRecord};
use arterial_connectors::memory::{
    Batching, CommitFault, Faults, FeedConfig, FeedError, Membership, MemoryBroker, MemoryFeed, MemoryLedger,
    MemoryLedgerConfig, MemoryRecord, MemorySource, MemorySourceConfig, Operation,
};
use arterial_connectors::payload::Payload;
use arterial_connectors::position::{Partition, Position, partition_of_key};
use arterial_connectors::source::{OnGap, SeekTo, Source, SourceError, SourceEvent, StartAt, Until};

const NOW: Duration = Duration::ZERO;

fn partition(number: i32) -> Partition {
    Partition { topic: 0, number }
}

fn at(number: i32, next_offset: i64) -> Position {
    Position { partition: partition(number), next_offset }
}

fn broker(partitions: u32) -> MemoryBroker {
    let broker = MemoryBroker::new();
    broker.create_topic("in", partitions).unwrap();
    broker.create_topic("out", 2).unwrap();
    broker
}

fn ledger(broker: &MemoryBroker, slot: &str, faults: &Faults) -> MemoryLedger {
    let config = MemoryLedgerConfig { faults: faults.clone(), ..MemoryLedgerConfig::new("g", slot, &["out"]) };
    MemoryLedger::open(broker, config).unwrap()
}

fn one_record(key: &str, value: &str) -> Records {
    let mut records = Records::default();
    records.push(0, Some(key.as_bytes()), Some(value.as_bytes()), vec![("h".to_owned(), Some(b"1".to_vec()))]);
    records
}

fn set(number: i32, key: &str, value: Option<&str>) -> StateRecord {
    let value = value.map(|text| text.as_bytes().to_vec());
    StateRecord { partition: partition(number), key: key.as_bytes().to_vec(), value }
}

fn commit(ledger: &mut MemoryLedger, positions: &[Position], state: &[StateRecord]) -> CommitOutcome {
    ledger.commit(Commit { positions, state: &mut state.iter().cloned(), group: None }).unwrap()
}

fn values(broker: &MemoryBroker) -> Vec<String> {
    let records = broker.committed_records("out").unwrap();
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

fn member(broker: &MemoryBroker, name: &str) -> MemorySource {
    let membership = Membership::Assigned(name.to_owned());
    MemorySource::open(broker, MemorySourceConfig { membership, ..MemorySourceConfig::new("in", "g") }).unwrap()
}

fn offsets(event: Option<SourceEvent>) -> Vec<i64> {
    match event {
        Some(SourceEvent::Batch(batch)) => (0..batch.payload.len()).map(|index| batch.payload.offset(index)).collect(),
        other => panic!("a batch was expected, not {other:?}"),
    }
}

#[test]
fn keys_go_to_the_partitions_that_java_producers_choose() {
    // org.apache.kafka.common.utils.UtilsTest.testMurmur2
    let known: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    for (key, hash) in known {
        for partitions in [1, 7, 8, 1000, i32::MAX] {
            assert_eq!(partition_of_key(key.as_bytes(), partitions as u32), (hash & 0x7fff_ffff) % partitions, "{key}");
        }
    }
}

#[test]
fn outputs_state_and_offsets_become_visible_together() {
    let broker = broker(1);
    let mut ledger = ledger(&broker, "w0", &Faults::none());
    let restored = ledger.restore(&[partition(0)]).unwrap();
    assert_eq!((restored[0].next_offset, restored[0].state.len()), (None, 0));
    ledger.begin().unwrap();
    ledger.append(&one_record("a", "1")).unwrap();
    ledger.append(&one_record("b", "2")).unwrap();
    assert_eq!(values(&broker), Vec::<String>::new());
    assert_eq!(broker.committed_offset("g", partition(0)), None);
    assert_eq!(commit(&mut ledger, &[at(0, 5)], &[set(0, "k", Some("v"))]), CommitOutcome::Committed);
    let mut seen = values(&broker);
    seen.sort();
    assert_eq!(seen, ["1", "2"]);
    assert_eq!(broker.committed_offset("g", partition(0)), Some(5));
    assert_eq!(broker.state("g", partition(0)), [(b"k".to_vec(), b"v".to_vec())]);
    let number = partition_of_key(b"a", 2);
    let (_, record) = &broker.committed("out", number).unwrap()[0];
    assert_eq!((record.key.as_deref(), record.headers.len()), (Some(b"a".as_slice()), 1));
}

#[test]
fn aborted_transaction_leaves_nothing_and_restore_gives_the_newest_value_of_each_key() {
    let broker = broker(2);
    let mut ledger = ledger(&broker, "w0", &Faults::none());
    ledger.restore(&[partition(0), partition(1)]).unwrap();
    ledger.begin().unwrap();
    let state = [set(0, "z", Some("1")), set(0, "a", Some("1")), set(0, "z", Some("2")), set(1, "q", Some("9"))];
    assert_eq!(commit(&mut ledger, &[at(0, 1), at(1, 4)], &state), CommitOutcome::Committed);
    ledger.begin().unwrap();
    ledger.append(&one_record("a", "lost")).unwrap();
    ledger.abort().unwrap();
    ledger.begin().unwrap();
    assert_eq!(
        commit(&mut ledger, &[at(0, 2)], &[set(0, "a", None), set(0, "m", Some("3"))]),
        CommitOutcome::Committed
    );
    let restored = ledger.restore(&[partition(0), partition(1)]).unwrap();
    assert_eq!(restored[0].next_offset, Some(2));
    assert_eq!(restored[0].state, [(b"m".to_vec(), b"3".to_vec()), (b"z".to_vec(), b"2".to_vec())]);
    assert_eq!((restored[1].next_offset, restored[1].state.len()), (Some(4), 1));
    assert_eq!(values(&broker), Vec::<String>::new());
}

#[test]
fn new_ledger_of_a_slot_fences_the_older_one_and_aborts_its_transaction() {
    let broker = broker(1);
    let mut old = ledger(&broker, "w0", &Faults::none());
    old.restore(&[partition(0)]).unwrap();
    old.begin().unwrap();
    old.append(&one_record("a", "old")).unwrap();
    let mut new = ledger(&broker, "w0", &Faults::none());
    assert!(matches!(old.append(&one_record("a", "old")), Err(LedgerError::Fenced { slot }) if slot == "w0"));
    assert_eq!(commit(&mut old, &[at(0, 1)], &[]), CommitOutcome::Fenced);
    assert!(matches!(old.restore(&[partition(0)]), Err(LedgerError::Fenced { .. })));
    new.restore(&[partition(0)]).unwrap();
    new.begin().unwrap();
    new.append(&one_record("a", "new")).unwrap();
    assert_eq!(commit(&mut new, &[at(0, 1)], &[]), CommitOutcome::Committed);
    assert_eq!(values(&broker), ["new"]);
}

#[test]
fn restore_refuses_state_that_disagrees_with_the_committed_offset() {
    let broker = broker(1);
    let mut ledger = ledger(&broker, "w0", &Faults::none());
    ledger.restore(&[partition(0)]).unwrap();
    ledger.begin().unwrap();
    commit(&mut ledger, &[at(0, 7)], &[]);
    broker.set_committed_offset("g", partition(0), Some(6));
    let refused = ledger.restore(&[partition(0)]);
    assert!(matches!(refused, Err(LedgerError::Mismatch { state: Some(7), committed: Some(6), .. })), "{refused:?}");
    broker.set_committed_offset("g", partition(0), None);
    assert!(matches!(ledger.restore(&[partition(0)]), Err(LedgerError::Mismatch { committed: None, .. })));
}

#[test]
fn planned_faults_end_commits_as_planned() {
    let broker = broker(1);
    let faults = Faults::none()
        .commit(1, CommitFault::Aborted)
        .commit(2, CommitFault::UnknownApplied)
        .commit(3, CommitFault::UnknownDropped)
        .commit(4, CommitFault::Fenced)
        .fail(Operation::Begin, 2)
        .fail(Operation::Append, 3);
    let mut outcomes = Vec::new();
    let mut worker = ledger(&broker, "w0", &faults);
    for round in 1..=6 {
        if matches!(outcomes.last(), Some(CommitOutcome::Fenced)) {
            worker = ledger(&broker, "w0", &faults);
        }
        let restored = worker.restore(&[partition(0)]).unwrap();
        let next = restored[0].next_offset.unwrap_or(0);
        while let Err(error) = worker.begin() {
            assert!(error.transient());
        }
        while let Err(error) = worker.append(&one_record("a", &round.to_string())) {
            assert!(error.transient());
        }
        outcomes.push(commit(&mut worker, &[at(0, next + 1)], &[]));
    }
    let ended: Vec<String> = outcomes.iter().map(|outcome| format!("{outcome:?}")).collect();
    assert_eq!(ended, ["Aborted", "Unknown", "Unknown", "Fenced", "Committed", "Committed"]);
    assert_eq!(values(&broker), ["2", "5", "6"]);
    assert_eq!(broker.committed_offset("g", partition(0)), Some(3));
    assert_eq!(faults.commits_seen(), 6);
}

#[test]
fn ledger_insists_on_restore_after_an_unknown_commit() {
    let broker = broker(1);
    let mut worker = ledger(&broker, "w0", &Faults::none().commit(1, CommitFault::UnknownDropped));
    assert!(worker.begin().is_err());
    worker.restore(&[partition(0)]).unwrap();
    worker.begin().unwrap();
    assert!(worker.restore(&[partition(0)]).is_err());
    assert_eq!(commit(&mut worker, &[at(0, 1)], &[]), CommitOutcome::Unknown);
    assert!(matches!(worker.begin(), Err(error) if !error.transient()));
    assert_eq!(worker.restore(&[partition(0)]).unwrap()[0].next_offset, None);
    worker.begin().unwrap();
}

#[test]
fn record_over_the_limit_is_named_and_missing_topics_are_refused() {
    let broker = broker(1);
    let config = MemoryLedgerConfig { record_bytes_max: Some(4), ..MemoryLedgerConfig::new("g", "w0", &["out"]) };
    let mut worker = MemoryLedger::open(&broker, config).unwrap();
    worker.restore(&[]).unwrap();
    worker.begin().unwrap();
    let refused = worker.append(&one_record("abc", "d"));
    assert!(
        matches!(&refused, Err(LedgerError::TooLarge { topic, bytes: 6, limit: 4 }) if topic == "out"),
        "{refused:?}"
    );
    let nowhere = MemoryLedger::open(&broker, MemoryLedgerConfig::new("g", "w1", &["nowhere"]));
    assert!(matches!(nowhere, Err(LedgerError::Topic { topic, .. }) if topic == "nowhere"));
    let missing = MemorySource::open(&broker, MemorySourceConfig::new("nowhere", "g"));
    assert!(matches!(missing, Err(SourceError::TopicMissing { topic, .. }) if topic == "nowhere"));
}

#[test]
fn reader_of_committed_records_waits_for_open_transactions_and_steps_over_aborted_ones() {
    let broker = broker(1);
    broker.create_topic("single", 1).unwrap();
    let open = |slot| {
        let mut worker = MemoryLedger::open(&broker, MemoryLedgerConfig::new("w", slot, &["single"])).unwrap();
        worker.restore(&[]).unwrap();
        worker.begin().unwrap();
        worker
    };
    let (mut first, mut second) = (open("w0"), open("w1"));
    first.append(&one_record("a", "0")).unwrap();
    second.append(&one_record("b", "1")).unwrap();
    second.append(&one_record("b", "2")).unwrap();
    commit(&mut second, &[], &[]);
    let mut reader = MemorySource::open(&broker, MemorySourceConfig::new("single", "r")).unwrap();
    reader.poll(NOW).unwrap();
    reader.seek(partition(0), SeekTo::Start).unwrap();
    assert!(reader.poll(NOW).unwrap().is_none());
    first.abort().unwrap();
    let Some(SourceEvent::Batch(batch)) = reader.poll(NOW).unwrap() else { panic!("no batch") };
    assert_eq!((batch.payload.offset(0), batch.payload.offset(1), batch.payload.len()), (1, 2, 2));
    // Two markers follow the rows: offsets 3 and 4 are disposed of as well.
    assert_eq!(batch.next_offset, 5);
}

#[test]
fn partition_moves_only_after_its_owner_has_released_it() {
    let broker = broker(2);
    for number in 0..2 {
        broker.send_to("in", number, MemoryRecord::new("k", "v")).unwrap();
    }
    broker.assign("g", "a", &[partition(0), partition(1)]);
    let (mut a, mut b) = (member(&broker, "a"), member(&broker, "b"));
    assert!(matches!(a.poll(NOW).unwrap(), Some(SourceEvent::Assigned(all)) if all.len() == 2));
    assert!(a.poll(NOW).unwrap().is_none(), "nothing before seek");
    a.seek(partition(1), SeekTo::Start).unwrap();
    broker.assign("g", "b", &[partition(1)]);
    assert!(b.poll(NOW).unwrap().is_none());
    assert!(matches!(a.poll(NOW).unwrap(), Some(SourceEvent::Revoked(one)) if one == [partition(1)]));
    assert!(a.poll(NOW).unwrap().is_none(), "nothing after revoked");
    // The revoked partition is still a's to commit.
    let mut worker = ledger(&broker, "w0", &Faults::none());
    worker.restore(&[partition(1)]).unwrap();
    worker.begin().unwrap();
    let group = a.group_metadata();
    let outcome = worker
        .commit(Commit { positions: &[at(1, 1)], state: &mut std::iter::empty(), group: group.as_ref() })
        .unwrap();
    assert_eq!(outcome, CommitOutcome::Committed);
    a.release(&[partition(1)]).unwrap();
    assert!(matches!(b.poll(NOW).unwrap(), Some(SourceEvent::Assigned(one)) if one == [partition(1)]));
    b.seek(partition(1), SeekTo::Offset(0)).unwrap();
    assert_eq!(offsets(b.poll(NOW).unwrap()), [0]);
    assert!(matches!(a.seek(partition(1), SeekTo::Start), Err(SourceError::NotAssigned(_))));
    assert_eq!(broker.owners("g"), [(partition(0), "a".to_owned()), (partition(1), "b".to_owned())]);
}

#[test]
fn lost_partition_cannot_be_committed_even_before_the_member_has_heard_of_it() {
    let broker = broker(1);
    broker.send_to("in", 0, MemoryRecord::new("k", "v")).unwrap();
    broker.assign("g", "a", &[partition(0)]);
    let mut a = member(&broker, "a");
    a.poll(NOW).unwrap();
    a.seek(partition(0), SeekTo::Start).unwrap();
    assert_eq!(offsets(a.poll(NOW).unwrap()), [0]);
    let mut worker = ledger(&broker, "w0", &Faults::none());
    worker.restore(&[partition(0)]).unwrap();
    worker.begin().unwrap();
    worker.append(&one_record("k", "v")).unwrap();
    broker.lose("g", "a", &[partition(0)]);
    broker.assign("g", "a", &[partition(0)]);
    let group = a.group_metadata();
    let outcome = worker
        .commit(Commit { positions: &[at(0, 1)], state: &mut std::iter::empty(), group: group.as_ref() })
        .unwrap();
    assert_eq!(outcome, CommitOutcome::Aborted);
    assert!(matches!(a.poll(NOW).unwrap(), Some(SourceEvent::Lost(one)) if one == [partition(0)]));
    assert!(matches!(a.poll(NOW).unwrap(), Some(SourceEvent::Assigned(one)) if one == [partition(0)]));
    assert_eq!(values(&broker), Vec::<String>::new());
}

#[test]
fn crashed_member_frees_its_partitions_and_balanced_members_share_them() {
    let broker = broker(4);
    let open = |name: &str| {
        let membership = Membership::Balanced(name.to_owned());
        MemorySource::open(&broker, MemorySourceConfig { membership, ..MemorySourceConfig::new("in", "g") })
    };
    let mut a = open("a").unwrap();
    assert!(matches!(a.poll(NOW).unwrap(), Some(SourceEvent::Assigned(all)) if all.len() == 4));
    let mut b = open("b").unwrap();
    assert!(matches!(open("b"), Err(SourceError::Config { .. })));
    let Some(SourceEvent::Revoked(half)) = a.poll(NOW).unwrap() else { panic!("no revocation") };
    a.release(&half).unwrap();
    assert!(matches!(b.poll(NOW).unwrap(), Some(SourceEvent::Assigned(two)) if two == half));
    drop(a);
    assert!(matches!(b.poll(NOW).unwrap(), Some(SourceEvent::Assigned(two)) if two.len() == 2));
    assert!(broker.owners("g").iter().all(|(_, owner)| owner == "b"));
}

#[test]
fn retention_gap_fails_or_is_skipped_and_counted() {
    let broker = broker(1);
    for _ in 0..5 {
        broker.send_to("in", 0, MemoryRecord::new("k", "v")).unwrap();
    }
    broker.delete_before("in", 0, 3).unwrap();
    let open = |on_gap| {
        let mut source =
            MemorySource::open(&broker, MemorySourceConfig { on_gap, ..MemorySourceConfig::new("in", "g") }).unwrap();
        source.poll(NOW).unwrap();
        source
    };
    let refused = open(OnGap::Fail).seek(partition(0), SeekTo::Offset(1));
    assert!(matches!(refused, Err(SourceError::Gap { wanted: 1, earliest: 3, .. })), "{refused:?}");
    let mut skipping = open(OnGap::Skip);
    skipping.seek(partition(0), SeekTo::Offset(1)).unwrap();
    let Some(SourceEvent::Batch(batch)) = skipping.poll(NOW).unwrap() else { panic!("no batch") };
    assert_eq!((batch.payload.offset(0), batch.payload.len(), batch.skipped, batch.next_offset), (3, 2, 2, 5));
}

#[test]
fn reading_starts_where_start_at_says() {
    let broker = broker(1);
    for stamp in [10, 20, 30] {
        let record = MemoryRecord { timestamp_ms: Some(stamp), ..MemoryRecord::new("k", "v") };
        broker.send_to("in", 0, record).unwrap();
    }
    for (start_at, first) in [(StartAt::Earliest, Some(0)), (StartAt::Timestamp(11), Some(1)), (StartAt::Latest, None)]
    {
        let config = MemorySourceConfig { start_at, ..MemorySourceConfig::new("in", "g") };
        let mut source = MemorySource::open(&broker, config).unwrap();
        source.poll(NOW).unwrap();
        source.seek(partition(0), SeekTo::Start).unwrap();
        let found = source.poll(NOW).unwrap().map(|event| offsets(Some(event))[0]);
        assert_eq!(found, first, "{start_at:?}");
    }
}

fn numbers(values: std::ops::Range<i64>) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap()
}

#[test]
fn typed_rows_keep_their_offsets_however_they_are_chopped() {
    let broker = broker(1);
    broker.send_rows("in", 0, numbers(0..10)).unwrap();
    broker.send_rows("in", 0, numbers(10..17)).unwrap();
    for seed in 0..20 {
        let batching = Batching::seeded(seed, 4);
        let config = MemorySourceConfig { until: Until::Latest, batching, ..MemorySourceConfig::new("in", "g") };
        let mut source = MemorySource::open(&broker, config).unwrap();
        source.poll(NOW).unwrap();
        source.seek(partition(0), SeekTo::Offset(3)).unwrap();
        let mut seen = Vec::new();
        loop {
            match source.poll(NOW).unwrap().unwrap() {
                SourceEvent::Batch(batch) => {
                    let Payload::Typed { rows, first_offset } = &batch.payload else { panic!("not typed") };
                    let column = rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
                    assert_eq!(column.value(0), *first_offset);
                    assert_eq!(batch.next_offset, first_offset + rows.num_rows() as i64);
                    seen.extend(column.values().iter().copied());
                }
                SourceEvent::End(_) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, (3..17).collect::<Vec<i64>>());
        assert!(source.poll(NOW).unwrap().is_none());
    }
}

#[test]
fn full_feed_makes_its_sender_wait_until_the_pipeline_has_committed() {
    let broker = broker(1);
    let config = FeedConfig { topic: "feed".to_owned(), partitions: 1, group: "f".to_owned(), rows_max: 3 };
    let feed = MemoryFeed::create(&broker, config).unwrap();
    let source = MemorySourceConfig { until: Until::Latest, ..MemorySourceConfig::new("feed", "f") };
    let mut source = MemorySource::open(&broker, source).unwrap();
    let mut worker = MemoryLedger::open(&broker, MemoryLedgerConfig::new("f", "w0", &[])).unwrap();
    source.poll(NOW).unwrap();
    source.seek(partition(0), SeekTo::Start).unwrap();
    worker.restore(&[partition(0)]).unwrap();
    let sender = std::thread::spawn(move || {
        for number in 0..50 {
            feed.send(MemoryRecord::new("k", number.to_string()), Duration::from_secs(30)).unwrap();
            assert!(feed.uncommitted_rows() <= 3);
        }
    });
    let mut seen = 0;
    loop {
        match source.poll(Duration::from_secs(30)).unwrap().unwrap() {
            SourceEvent::Batch(batch) => {
                assert_eq!(batch.payload.offset(0), seen);
                seen = batch.next_offset;
                worker.begin().unwrap();
                assert_eq!(commit(&mut worker, &[at(0, seen)], &[]), CommitOutcome::Committed);
            }
            SourceEvent::End(_) => break,
            other => panic!("{other:?}"),
        }
    }
    sender.join().unwrap();
    assert_eq!(seen, 50);
}

#[test]
fn feed_without_reader_reports_that_it_is_full_or_closed() {
    let broker = broker(1);
    let config = FeedConfig { topic: "feed".to_owned(), partitions: 1, group: "f".to_owned(), rows_max: 2 };
    let feed = MemoryFeed::create(&broker, config).unwrap();
    feed.send_rows(0, numbers(0..2), NOW).unwrap();
    let full = feed.send(MemoryRecord::new("k", "v"), NOW);
    assert!(matches!(full, Err(FeedError::Full { rows: 2, rows_max: 2, .. })), "{full:?}");
    broker.shut_down();
    assert!(matches!(feed.send(MemoryRecord::new("k", "v"), NOW), Err(FeedError::Closed(_))));
}

#[tokio::test]
async fn async_sender_pends_until_there_is_room() {
    let broker = broker(1);
    let config = FeedConfig { topic: "feed".to_owned(), partitions: 1, group: "f".to_owned(), rows_max: 1 };
    let feed = MemoryFeed::create(&broker, config).unwrap();
    let _source = MemorySource::open(&broker, MemorySourceConfig::new("feed", "f")).unwrap();
    feed.send_async(MemoryRecord::new("k", "0")).await.unwrap();
    let second = tokio::spawn({
        let feed = feed.clone();
        async move { feed.send_async(MemoryRecord::new("k", "1")).await }
    });
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    let mut worker = MemoryLedger::open(&broker, MemoryLedgerConfig::new("f", "w0", &[])).unwrap();
    worker.restore(&[partition(0)]).unwrap();
    worker.begin().unwrap();
    commit(&mut worker, &[at(0, 1)], &[]);
    second.await.unwrap().unwrap();
    assert_eq!(broker.end_offsets("feed").unwrap(), [2]);
}
