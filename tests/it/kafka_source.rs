//! The Kafka source against a real broker: order, offsets, ends, gaps, rebalances.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use arterial_connectors::kafka::{KafkaSource, KafkaSourceConfig, KafkaWriter};
use arterial_connectors::payload::Payload;
use arterial_connectors::position::Partition;
use arterial_connectors::source::{OnGap, SeekTo, Source, SourceBatch, SourceError, SourceEvent, StartAt, Until};
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::broker::{
    PATIENCE, address, connection, connection_to, part, source, source_config, topic, topic_with, unique, write_rows,
};

/// What a source delivered, by partition.
#[derive(Default)]
struct Delivered {
    rows: BTreeMap<Partition, Vec<(i64, String)>>,
    next: BTreeMap<Partition, i64>,
    skipped: u64,
    ended: Vec<Partition>,
}

impl Delivered {
    fn count(&self) -> usize {
        self.rows.values().map(Vec::len).sum()
    }

    fn take(&mut self, batch: &SourceBatch) {
        let rows = self.rows.entry(batch.partition).or_default();
        let Payload::Raw(raw) = &batch.payload else { panic!("Kafka gives bytes") };
        for index in 0..raw.len() {
            let row = raw.row(index);
            assert!(rows.last().is_none_or(|(offset, _)| *offset < row.offset), "offsets go up");
            assert!(row.offset < batch.next_offset);
            rows.push((row.offset, String::from_utf8(row.value.unwrap().to_vec()).unwrap()));
        }
        assert!(self.next.get(&batch.partition).is_none_or(|next| *next <= batch.next_offset));
        self.next.insert(batch.partition, batch.next_offset);
        self.skipped += batch.skipped;
    }
}

/// Drives a source, starting partitions at `from` or as the source's settings say, until `enough`.
fn drive(
    source: &mut KafkaSource,
    from: &BTreeMap<Partition, i64>,
    mut enough: impl FnMut(&Delivered) -> bool,
) -> Result<Delivered, SourceError> {
    let mut delivered = Delivered::default();
    let deadline = Instant::now() + PATIENCE;
    while !enough(&delivered) {
        assert!(Instant::now() < deadline, "only {} rows came", delivered.count());
        match source.poll(Duration::from_millis(100))? {
            Some(SourceEvent::Assigned(partitions)) => {
                for partition in partitions {
                    let to = from.get(&partition).map_or(SeekTo::Start, |offset| SeekTo::Offset(*offset));
                    source.seek(partition, to)?;
                }
            }
            Some(SourceEvent::Batch(batch)) => delivered.take(&batch),
            Some(SourceEvent::Revoked(partitions)) => source.release(&partitions)?,
            Some(SourceEvent::End(partition)) => delivered.ended.push(partition),
            Some(SourceEvent::Lost(_)) | None => {}
        }
    }
    Ok(delivered)
}

#[test]
fn batches_come_in_order_with_exact_offsets_and_values() {
    let topic = topic("order", 3);
    for partition in 0..3 {
        write_rows(&topic, partition, 0..12_000);
    }
    let mut source = source(&topic, &unique("group"));
    assert_eq!(source.partition_counts().unwrap(), [3]);
    let delivered = drive(&mut source, &BTreeMap::new(), |delivered| delivered.count() >= 36_000).unwrap();
    for partition in 0..3 {
        let expected: Vec<_> = (0..12_000).map(|row| (row, row.to_string())).collect();
        assert_eq!(delivered.rows[&part(partition)], expected);
        assert_eq!(delivered.next[&part(partition)], 12_000);
    }
    assert_eq!(source.connected(), Ok(()));
    assert_eq!(source.lag_rows(), [(part(0), 0), (part(1), 0), (part(2), 0)]);
}

#[test]
fn keys_headers_tombstones_and_timestamps_arrive_as_they_were_written() {
    let topic = topic("fields", 1);
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", address()).create().unwrap();
    let headers = rdkafka::message::OwnedHeaders::new()
        .insert(rdkafka::message::Header { key: "a", value: Some("1") })
        .insert(rdkafka::message::Header { key: "b", value: Some(&[0u8, 255][..]) })
        .insert(rdkafka::message::Header { key: "empty", value: Some("") })
        .insert(rdkafka::message::Header::<&str> { key: "null", value: None });
    producer.send(BaseRecord::to(&topic).key("k").payload("v").timestamp(1_795_000_000_123).headers(headers)).unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).key("gone")).unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).payload("")).unwrap();
    producer.flush(PATIENCE).unwrap();

    let mut source = source(&topic, &unique("group"));
    let mut rows = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while rows.len() < 3 {
        assert!(Instant::now() < deadline);
        match source.poll(Duration::from_millis(100)).unwrap() {
            Some(SourceEvent::Assigned(_)) => source.seek(part(0), SeekTo::Start).unwrap(),
            Some(SourceEvent::Batch(SourceBatch { payload: Payload::Raw(raw), .. })) => {
                for index in 0..raw.len() {
                    let row = raw.row(index);
                    let ts_ms = row.broker_ts_ms.unwrap();
                    let (key, value) = (row.key.map(<[u8]>::to_vec), row.value.map(<[u8]>::to_vec));
                    rows.push((key, value, row.headers.to_vec(), ts_ms));
                }
            }
            _ => {}
        }
    }
    let values = [("a", Some(b"1".to_vec())), ("b", Some(vec![0, 255])), ("empty", Some(Vec::new())), ("null", None)];
    let expected = values.map(|(name, value)| (name.to_owned(), value)).to_vec();
    assert_eq!(rows[0], (Some(b"k".to_vec()), Some(b"v".to_vec()), expected, 1_795_000_000_123));
    assert_eq!((&rows[1].0, &rows[1].1, rows[1].2.len()), (&Some(b"gone".to_vec()), &None, 0));
    assert_eq!((&rows[2].0, &rows[2].1), (&None, &Some(Vec::new())));
}

#[test]
fn nothing_is_delivered_before_seek_and_seek_rewinds_without_repetition() {
    let topic = topic("seek", 1);
    write_rows(&topic, 0, 0..5_000);
    let mut source = source(&topic, &unique("group"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline);
        if let Some(SourceEvent::Assigned(partitions)) = source.poll(Duration::from_millis(100)).unwrap() {
            assert_eq!(partitions, [part(0)]);
            break;
        }
    }
    assert!(source.poll(Duration::from_millis(200)).unwrap().is_none());
    assert!(matches!(source.seek(part(7), SeekTo::Start), Err(SourceError::NotAssigned(wrong)) if wrong == part(7)));
    for start in [4_000, 10, 2_500, 2_500] {
        source.seek(part(0), SeekTo::Offset(start)).unwrap();
        let wanted = usize::try_from(5_000 - start).unwrap();
        let delivered = drive(&mut source, &BTreeMap::new(), |delivered| delivered.count() >= wanted).unwrap();
        let expected: Vec<_> = (start..5_000).map(|row| (row, row.to_string())).collect();
        assert_eq!(delivered.rows[&part(0)], expected);
    }
}

#[test]
fn paused_partition_is_silent_and_goes_on_where_it_stopped() {
    let topic = topic("pause", 2);
    let mut source = source(&topic, &unique("group"));
    write_rows(&topic, 0, 0..1_000);
    write_rows(&topic, 1, 0..1_000);
    drive(&mut source, &BTreeMap::new(), |delivered| delivered.count() >= 2_000).unwrap();
    source.pause(&[part(0)]).unwrap();
    write_rows(&topic, 0, 1_000..2_000);
    write_rows(&topic, 1, 1_000..2_000);
    let delivered = drive(&mut source, &BTreeMap::new(), |delivered| delivered.count() >= 1_000).unwrap();
    assert_eq!(delivered.rows.keys().copied().collect::<Vec<_>>(), [part(1)]);
    assert!(source.poll(Duration::from_millis(100)).unwrap().is_none());
    source.resume(&[part(0)]).unwrap();
    let delivered = drive(&mut source, &BTreeMap::new(), |delivered| delivered.count() >= 1_000).unwrap();
    let expected: Vec<_> = (1_000..2_000).map(|row| (row, row.to_string())).collect();
    assert_eq!(delivered.rows[&part(0)], expected);
}

/// A foreign transactional producer.
fn transactional(id: &str) -> BaseProducer {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", address()).set("transactional.id", id).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn write_transaction(producer: &BaseProducer, topic: &str, rows: std::ops::Range<u64>, commit: bool) {
    producer.begin_transaction().unwrap();
    for row in rows {
        let text = row.to_string();
        producer.send(BaseRecord::to(topic).partition(0).key(&text).payload(&text)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    if commit {
        producer.commit_transaction(PATIENCE).unwrap();
    } else {
        producer.abort_transaction(PATIENCE).unwrap();
    }
}

#[test]
fn until_latest_ends_once_behind_transaction_markers_and_reads_no_further() {
    let topic = topic("until", 2);
    let producer = transactional(&unique("tx"));
    // Offsets 0..10, marker 10, aborted 11..16, marker 16: the end is 17 and the last row is 9.
    write_transaction(&producer, &topic, 0..10, true);
    write_transaction(&producer, &topic, 10..15, false);
    let mut source =
        KafkaSource::open(KafkaSourceConfig { until: Until::Latest, ..source_config(&topic, &unique("group")) })
            .unwrap();
    let mut later = Some(topic.clone());
    let delivered = drive(&mut source, &BTreeMap::new(), |delivered| {
        // Rows that come after the capture belong to a later run.
        if delivered.count() > 0
            && let Some(topic) = later.take()
        {
            write_rows(&topic, 0, 100..110);
        }
        delivered.ended.len() >= 2
    })
    .unwrap();
    assert_eq!(delivered.ended.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([part(0), part(1)]));
    let expected: Vec<_> = (0..10).map(|row| (row, row.to_string())).collect();
    assert_eq!(delivered.rows[&part(0)], expected);
    assert_eq!(delivered.next[&part(0)], 17);
    assert!(source.poll(Duration::from_millis(300)).unwrap().is_none(), "an end is told once");

    // After a rewind the end comes again, behind the same rows.
    source.seek(part(0), SeekTo::Offset(8)).unwrap();
    let again = drive(&mut source, &BTreeMap::new(), |delivered| !delivered.ended.is_empty()).unwrap();
    assert_eq!(again.rows[&part(0)], [(8, "8".to_owned()), (9, "9".to_owned())]);
    assert_eq!(again.next[&part(0)], 17);
    // A start at the end has nothing to read.
    source.seek(part(0), SeekTo::Offset(17)).unwrap();
    let none = drive(&mut source, &BTreeMap::new(), |delivered| !delivered.ended.is_empty()).unwrap();
    assert_eq!((none.count(), none.ended), (0, vec![part(0)]));
}

#[test]
fn position_passes_transaction_markers_without_a_row() {
    let topic = topic("markers", 1);
    let producer = transactional(&unique("tx"));
    write_transaction(&producer, &topic, 0..10, true);
    let mut source = source(&topic, &unique("group"));
    let reached = |end: i64| move |delivered: &Delivered| delivered.next.get(&part(0)) == Some(&end);
    let delivered = drive(&mut source, &BTreeMap::new(), reached(11)).unwrap();
    assert_eq!(delivered.count(), 10);
    write_transaction(&producer, &topic, 10..15, false);
    let delivered = drive(&mut source, &BTreeMap::new(), reached(17)).unwrap();
    assert_eq!(delivered.count(), 0, "aborted rows are never delivered");
}

/// Deletes the records of partition 0 below `offset`, as retention would.
fn delete_below(topic: &str, offset: i64) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", address()).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, rdkafka::Offset::Offset(offset)).unwrap();
    let answer = futures_executor::block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
    answer.elements()[0].error().unwrap();
}

#[test]
fn gap_stops_the_source_unless_it_may_skip_and_count() {
    let topic = topic_with("gap", 1, &[("segment.bytes", "1048576")]);
    write_rows(&topic, 0, 0..100);
    delete_below(&topic, 40);
    let from = BTreeMap::from([(part(0), 15)]);
    let mut strict = source(&topic, &unique("group"));
    let error = drive(&mut strict, &from, |_| false).err().unwrap();
    match error {
        SourceError::Gap { topic: named, partition, wanted, earliest } => {
            assert_eq!((named.as_str(), partition, wanted, earliest), (topic.as_str(), 0, 15, 40));
        }
        other => panic!("{other}"),
    }
    let mut lenient =
        KafkaSource::open(KafkaSourceConfig { on_gap: OnGap::Skip, ..source_config(&topic, &unique("group")) })
            .unwrap();
    let delivered = drive(&mut lenient, &from, |delivered| delivered.count() >= 60).unwrap();
    assert_eq!(delivered.skipped, 25);
    let expected: Vec<_> = (40..100).map(|row| (row, row.to_string())).collect();
    assert_eq!(delivered.rows[&part(0)], expected);
}

#[test]
fn gap_that_opens_under_a_reader_is_seen() {
    let topic = topic("gap-live", 1);
    write_rows(&topic, 0, 0..10);
    let properties =
        crate::broker::properties(&[("queued.max.messages.kbytes", "16"), ("fetch.queue.backoff.ms", "1")]);
    let mut config = source_config(&topic, &unique("group"));
    config.connection.properties = arterial_connectors::kafka::Properties::checked(properties).unwrap();
    config.on_gap = OnGap::Skip;
    let mut source = KafkaSource::open(config).unwrap();
    drive(&mut source, &BTreeMap::new(), |delivered| delivered.count() >= 10).unwrap();
    // Paused, the queue fills up to 16 kB and fetching stops; then everything behind it is deleted.
    source.pause(&[part(0)]).unwrap();
    write_rows(&topic, 0, 10..20_000);
    assert!(source.poll(Duration::from_millis(500)).unwrap().is_none());
    delete_below(&topic, 19_990);
    source.resume(&[part(0)]).unwrap();
    let delivered =
        drive(&mut source, &BTreeMap::new(), |delivered| delivered.next.get(&part(0)) == Some(&20_000)).unwrap();
    let rows = &delivered.rows[&part(0)];
    assert_eq!(rows.len() as u64 + delivered.skipped, 19_990, "every offset is delivered or counted as skipped");
    assert_eq!(rows.last().unwrap().0, 19_999);
}

#[test]
fn start_at_a_time_begins_with_the_first_record_of_that_time() {
    let topic = topic("time", 1);
    let mut writer = KafkaWriter::open(&connection(), &topic).unwrap();
    let now_ms = 1_795_420_800_000;
    for row in 0..100 {
        writer.send(None, Some(row.to_string().as_bytes()), Some(now_ms + row * 1_000)).unwrap();
    }
    writer.flush().unwrap();
    let open = |start_at| {
        KafkaSource::open(KafkaSourceConfig { start_at, ..source_config(&topic, &unique("group")) }).unwrap()
    };
    let mut timed = open(StartAt::Timestamp(now_ms + 59_500));
    let delivered = drive(&mut timed, &BTreeMap::new(), |delivered| delivered.count() >= 40).unwrap();
    assert_eq!(delivered.rows[&part(0)][0], (60, "60".to_owned()));

    // A time after every record, and `latest`, begin with what comes.
    for start_at in [StartAt::Timestamp(now_ms + 999_000_000), StartAt::Latest] {
        let mut late = open(start_at);
        let mut wrote = false;
        let deadline = Instant::now() + PATIENCE;
        let first = loop {
            assert!(Instant::now() < deadline);
            match late.poll(Duration::from_millis(100)).unwrap() {
                Some(SourceEvent::Assigned(_)) => {
                    late.seek(part(0), SeekTo::Start).unwrap();
                    write_rows(&topic, 0, 500..501);
                    wrote = true;
                }
                Some(SourceEvent::Batch(batch)) => break batch,
                _ => {}
            }
        };
        assert!(wrote);
        let Payload::Raw(rows) = first.payload else { panic!("Kafka gives bytes") };
        assert_eq!((rows.len(), rows.value(0)), (1, Some(&b"500"[..])));
    }
}

#[test]
fn missing_topic_is_reported_when_the_brokers_answer() {
    let missing = unique("missing");
    let mut source = source(&missing, &unique("group"));
    let started = Instant::now();
    let error = drive(&mut source, &BTreeMap::new(), |_| false).err().unwrap();
    assert!(
        matches!(&error, SourceError::TopicMissing { topic, brokers } if *topic == missing && brokers == address())
    );
    assert!(started.elapsed() < Duration::from_secs(15), "took {:?}", started.elapsed());
    assert!(matches!(source.partition_counts(), Err(SourceError::TopicMissing { .. })));
}

#[test]
fn brokers_that_are_away_are_waited_for_and_the_reason_is_told() {
    let mut config = source_config("any", "any");
    // Nobody listens there.
    config.connection = connection_to("127.0.0.1:9");
    let mut source = KafkaSource::open(config).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline);
        assert!(source.poll(Duration::from_millis(50)).unwrap().is_none());
        if source.connected().is_err_and(|reason| reason.contains("refused")) {
            break;
        }
    }
    let started = Instant::now();
    drop(source);
    assert!(started.elapsed() < Duration::from_secs(9), "closing took {:?}", started.elapsed());
}

#[test]
fn row_reaches_an_idle_reader_within_milliseconds() {
    let topic = topic("latency", 1);
    let mut source = source(&topic, &unique("group"));
    let mut writer = KafkaWriter::open(&connection(), &topic).unwrap();
    write_rows(&topic, 0, 0..1);
    drive(&mut source, &BTreeMap::new(), |delivered| delivered.count() >= 1).unwrap();
    let mut waits = Vec::new();
    for _ in 0..50 {
        writer.send(None, Some(b"x"), None).unwrap();
        writer.flush().unwrap();
        // The broker has it: from here on it is the source's time.
        let started = Instant::now();
        while !matches!(source.poll(Duration::from_secs(5)).unwrap(), Some(SourceEvent::Batch(_))) {}
        waits.push(started.elapsed());
    }
    waits.sort_unstable();
    println!("acknowledged -> delivered: median {:?}, worst {:?}", waits[25], waits[49]);
    assert!(waits[25] < Duration::from_millis(20), "median {:?}", waits[25]);
}
