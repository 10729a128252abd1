//! Members of a group that join and leave under load, by the engine's whole protocol: restore, seek, commit, release.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arterial_connectors::kafka::{KafkaLedger, KafkaSource, KafkaSourceConfig, KafkaWriter};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, Records, StateRecord};
use arterial_connectors::payload::Payload;
use arterial_connectors::position::{Partition, Position};
use arterial_connectors::source::{SeekTo, Source, SourceBatch, SourceEvent};

use crate::broker::{PATIENCE, committed_records, connection, ledger, part, source_config, topic, unique, write_rows};

/// A worker that copies values to the sink and counts rows per partition in its state, by the engine's protocol.
struct Copier {
    source: KafkaSource,
    ledger: KafkaLedger,
    counts: BTreeMap<Partition, u64>,
    pending: BTreeMap<Partition, i64>,
    rebalances: u64,
}

impl Copier {
    fn new(topic: &str, group: &str, slot: &str, sink: &str) -> Self {
        let mut ledger = ledger(topic, group, slot, sink);
        ledger.restore(&[]).unwrap();
        ledger.begin().unwrap();
        let config = KafkaSourceConfig { slot: Some(slot.to_owned()), ..source_config(topic, group) };
        let source = KafkaSource::open(config).unwrap();
        Self { source, ledger, counts: BTreeMap::new(), pending: BTreeMap::new(), rebalances: 0 }
    }

    /// Works until `done`, commits, and leaves the group.
    fn run(mut self, copied: &AtomicU64, mut done: impl FnMut(&Self) -> bool) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        let mut commit_at = Instant::now();
        while !done(&self) {
            assert!(Instant::now() < deadline, "{} rows were copied", copied.load(Ordering::SeqCst));
            match self.source.poll(Duration::from_millis(20)).unwrap() {
                Some(SourceEvent::Batch(batch)) => self.copy(&batch),
                Some(SourceEvent::Assigned(partitions)) => {
                    self.commit(copied);
                    self.take_over(&partitions);
                }
                Some(SourceEvent::Revoked(partitions)) => {
                    self.commit(copied);
                    self.rebalances += 1;
                    self.counts.retain(|partition, _| !partitions.contains(partition));
                    self.source.release(&partitions).unwrap();
                }
                Some(SourceEvent::Lost(partitions)) => {
                    self.rewind();
                    self.counts.retain(|partition, _| !partitions.contains(partition));
                }
                Some(SourceEvent::End(_)) | None => {}
            }
            if commit_at.elapsed() > Duration::from_millis(50) {
                self.commit(copied);
                commit_at = Instant::now();
            }
        }
        self.commit(copied);
        self.rebalances
    }

    fn take_over(&mut self, partitions: &[Partition]) {
        self.ledger.abort().unwrap();
        for found in self.ledger.restore(partitions).unwrap() {
            let count = found.state.first().map_or(0, |(_, value)| String::from_utf8_lossy(value).parse().unwrap());
            self.counts.insert(found.partition, count);
            let to = found.next_offset.map_or(SeekTo::Start, SeekTo::Offset);
            self.source.seek(found.partition, to).unwrap();
        }
        self.ledger.begin().unwrap();
    }

    fn copy(&mut self, batch: &SourceBatch) {
        let Payload::Raw(rows) = &batch.payload else { panic!("Kafka gives bytes") };
        let mut records = Records::default();
        for index in 0..rows.len() {
            let row = rows.row(index);
            records.push(0, row.key, row.value, Vec::new());
        }
        self.ledger.append(&records).unwrap();
        *self.counts.get_mut(&batch.partition).expect("a partition of ours") += rows.len() as u64;
        self.pending.insert(batch.partition, batch.next_offset);
    }

    fn commit(&mut self, copied: &AtomicU64) {
        let positions: Vec<_> = std::mem::take(&mut self.pending)
            .into_iter()
            .map(|(partition, next_offset)| Position { partition, next_offset })
            .collect();
        let state: Vec<_> = positions
            .iter()
            .map(|position| StateRecord {
                partition: position.partition,
                key: b"count".to_vec(),
                value: Some(self.counts[&position.partition].to_string().into_bytes()),
            })
            .collect();
        let group = self.source.group_metadata();
        let commit = Commit { positions: &positions, state: &mut state.iter().cloned(), group: group.as_ref() };
        match self.ledger.commit(commit).unwrap() {
            CommitOutcome::Committed => {
                self.ledger.begin().unwrap();
                copied.store(self.counts.values().sum(), Ordering::SeqCst);
            }
            CommitOutcome::Aborted | CommitOutcome::Unknown => self.rewind(),
            CommitOutcome::Fenced => panic!("nobody else has this slot"),
        }
    }

    fn rewind(&mut self) {
        self.pending.clear();
        let partitions: Vec<_> = self.counts.keys().copied().collect();
        self.take_over(&partitions);
    }
}

#[test]
fn members_join_and_leave_under_load_without_gap_or_repetition() {
    const ROWS: u64 = 40_000;
    const PARTITIONS: i32 = 6;
    let topic = topic("rebalance", PARTITIONS as u32);
    let sink = self::topic("rebalance-out", 1);
    let group = unique("rebalance-group");
    // The state topic is made once, before the members race.
    drop(ledger(&topic, &group, "setup", &sink));
    let (first, second) = (AtomicU64::new(0), AtomicU64::new(0));
    let written = AtomicU64::new(0);
    let second_left = AtomicBool::new(false);
    let committed_ends = || {
        let mut ledger = ledger(&topic, &group, "reader", &sink);
        let partitions: Vec<_> = (0..PARTITIONS).map(part).collect();
        ledger.restore(&partitions).unwrap()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = KafkaWriter::open(&connection(), &topic).unwrap();
            for row in 0..ROWS {
                let text = row.to_string();
                writer.send(Some(text.as_bytes()), Some(text.as_bytes()), None).unwrap();
                if row % 500 == 499 {
                    writer.flush().unwrap();
                    written.store(row + 1, Ordering::SeqCst);
                }
                // The load waits for the members, so that both join and leave while it lasts.
                while row == ROWS / 4 && first.load(Ordering::SeqCst) == 0
                    || row == ROWS / 2 && second.load(Ordering::SeqCst) == 0
                    || row == ROWS * 3 / 4 && !second_left.load(Ordering::SeqCst)
                {
                    std::thread::yield_now();
                }
            }
        });
        let topic = &topic;
        let (group, sink) = (&group, &sink);
        let (first, second, written, second_left) = (&first, &second, &written, &second_left);
        scope.spawn(move || {
            while written.load(Ordering::SeqCst) < ROWS / 4 {
                std::thread::yield_now();
            }
            let copier = Copier::new(topic, group, "b", sink);
            copier.run(second, |copier| {
                !copier.counts.is_empty()
                    && second.load(Ordering::SeqCst) > 0
                    && written.load(Ordering::SeqCst) > ROWS / 2
            });
            second_left.store(true, Ordering::SeqCst);
        });
        let copier = Copier::new(topic, group, "a", sink);
        let rebalances = copier.run(first, |copier| {
            // All partitions are back, and all that was written is copied.
            copier.counts.len() == PARTITIONS as usize && copier.counts.values().sum::<u64>() == ROWS
        });
        assert!(rebalances >= 1, "the second member took partitions over");
    });
    let counted: u64 =
        committed_ends().iter().map(|found| String::from_utf8_lossy(&found.state[0].1).parse::<u64>().unwrap()).sum();
    assert_eq!(counted, ROWS, "the state counted every row once");
    let copied: Vec<_> = committed_records(&sink, 1).into_iter().map(|record| record.value.unwrap()).collect();
    assert_eq!(copied.len() as u64, ROWS, "no row is missing, none is there twice");
    assert_eq!(copied.into_iter().collect::<BTreeSet<_>>().len() as u64, ROWS);
}

#[test]
fn static_member_that_comes_back_gets_its_partitions_again() {
    let topic = topic("static", 2);
    let group = unique("static-group");
    let config = KafkaSourceConfig { instance_id: Some("0-0".to_owned()), ..source_config(&topic, &group) };
    write_rows(&topic, 0, 0..10);
    for _ in 0..2 {
        let mut source = KafkaSource::open(config.clone()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut rows = 0;
        while rows < 10 {
            assert!(Instant::now() < deadline);
            match source.poll(Duration::from_millis(100)).unwrap() {
                Some(SourceEvent::Assigned(partitions)) => {
                    assert_eq!(partitions, [part(0), part(1)]);
                    for partition in partitions {
                        source.seek(partition, SeekTo::Start).unwrap();
                    }
                }
                Some(SourceEvent::Batch(batch)) => rows += batch.payload.len(),
                _ => {}
            }
        }
    }
}
