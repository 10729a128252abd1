//! `max_drift`: partitions far ahead of the slowest one are held back, for as long as that one has rows to give.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arterial::runtime::{Connect, Pipeline, RunOptions, RunSummary};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::memory::{
    Batching, MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemoryRecord, MemorySource, MemorySourceConfig,
};
use arterial_connectors::position::Partition;
use arterial_connectors::source::{Source, SourceError, SourceEvent, Until};
use chrono::{DateTime, TimeDelta, Utc};

use crate::run_support::{PIPELINE, plan};
use crate::source_support::forwarded;

const AHEAD: Partition = Partition { topic: 0, number: 0 };
const BEHIND: Partition = Partition { topic: 0, number: 1 };

/// What the worker had of its source, by the partition's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Rows(i32),
    Paused(i32),
    Resumed(i32),
}

/// What the source says of the lag of [`BEHIND`] for its first polls after a start.
#[derive(Debug, Clone, Copy)]
enum Says {
    Truth,
    Nothing,
    OneRow,
}

/// Polls after which a source says nothing but the truth.
const POLLS: u32 = 5;

struct Watched {
    inner: MemorySource,
    seen: Arc<Mutex<Vec<Seen>>>,
    says: Says,
    polls: u32,
}

impl Watched {
    fn note(&self, seen: impl IntoIterator<Item = Seen>) {
        self.seen.lock().unwrap().extend(seen);
    }
}

impl Source for Watched {
    fn poll(&mut self, _: Duration) -> Result<Option<SourceEvent>, SourceError> {
        self.polls += 1;
        let event = self.inner.poll(Duration::ZERO)?;
        if let Some(SourceEvent::Batch(batch)) = &event {
            self.note([Seen::Rows(batch.partition.number)]);
        }
        Ok(event)
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.note(partitions.iter().map(|partition| Seen::Paused(partition.number)));
        self.inner.pause(partitions)
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.note(partitions.iter().map(|partition| Seen::Resumed(partition.number)));
        self.inner.resume(partitions)
    }

    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        let early = self.polls <= POLLS;
        let said = |(partition, lag)| match self.says {
            Says::Nothing if early && partition == BEHIND => None,
            Says::OneRow if early && partition == BEHIND => Some((partition, 1)),
            _ => Some((partition, lag)),
        };
        self.inner.lag_rows().into_iter().filter_map(said).collect()
    }

    forwarded!(inner: start_of, seek, release, partition_counts, others_finished, group_metadata, connected);
}

#[derive(Clone)]
struct Ends {
    broker: MemoryBroker,
    seen: Arc<Mutex<Vec<Seen>>>,
    says: Says,
}

impl Ends {
    fn new(says: Says) -> Self {
        let broker = MemoryBroker::new();
        for topic in ["in", "alerts", "control"] {
            broker.create_topic(topic, 2).unwrap();
        }
        Self { broker, seen: Arc::default(), says }
    }

    /// Rows of one sensor, a step apart.
    fn send(&self, to: Partition, from: &str, step_minutes: i64, count: i64) {
        let from: DateTime<Utc> = from.parse().unwrap();
        for row in 0..count {
            let at = (from + TimeDelta::minutes(row * step_minutes)).to_rfc3339();
            let sensor = format!("L{}", to.number);
            let value = format!(r#"{{"sensor_id":"{sensor}","observed_at":"{at}","speed_kmh":80,"flow_veh_h":500}}"#);
            self.broker.send_to("in", to.number, MemoryRecord::new(sensor, value)).unwrap();
        }
    }

    fn pipeline(&self, until: Until) -> Pipeline {
        let text = PIPELINE.replace("max_delay: 60s }", "max_delay: 60s, max_drift: 1h }");
        Pipeline::new(Arc::new(plan(&text)), Arc::new(self.clone()), RunOptions { until, ..RunOptions::default() })
    }

    fn run_to_end(&self) -> RunSummary {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.pipeline(Until::Latest).run(std::future::pending())).unwrap()
    }

    /// Runs for ever, until everything in both partitions is committed.
    fn run_on(&self) -> RunSummary {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let wanted = self.broker.end_offsets("in").unwrap();
        let read = async {
            let deadline = Instant::now() + Duration::from_secs(60);
            let committed = |partition| self.broker.committed_offset("g", partition).unwrap_or(0);
            while [AHEAD, BEHIND].map(committed) != wanted[..] {
                assert!(Instant::now() < deadline, "stalled: {:?}", self.seen.lock().unwrap());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        runtime.block_on(self.pipeline(Until::Forever).run(read)).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Connect for Ends {
    fn source(&self, _: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let batching = Batching::in_turn(20);
        let config = MemorySourceConfig { until, batching, ..MemorySourceConfig::new("in", "g") };
        let inner = MemorySource::open(&self.broker, config)?;
        Ok(Box::new(Watched { inner, seen: Arc::clone(&self.seen), says: self.says, polls: 0 }))
    }

    fn ledger(&self, slot: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let config = MemoryLedgerConfig::new("g", slot, &["alerts", "control"]);
        Ok(Box::new(MemoryLedger::open(&self.broker, config)?))
    }
}

/// A partition whose sensor went silent days ago, all of it read, and one that has gone on since.
fn after_a_restart(says: Says) -> Ends {
    let ends = Ends::new(says);
    ends.send(BEHIND, "2026-11-20T08:00:00Z", 1, 30);
    ends.send(AHEAD, "2026-11-23T08:00:00Z", 1, 30);
    ends.run_to_end();
    ends.send(AHEAD, "2026-11-23T09:00:00Z", 1, 60);
    ends.seen();
    ends
}

#[test]
fn partitions_more_than_max_drift_ahead_wait_until_the_slowest_has_caught_up() {
    let ends = Ends::new(Says::Truth);
    ends.send(AHEAD, "2026-11-23T08:00:00Z", 10, 60);
    ends.send(BEHIND, "2026-11-23T08:00:00Z", 1, 600);
    let summary = ends.run_to_end();
    assert_eq!(summary.accounting().rows_in, 660);
    let seen = ends.seen();
    let paused = seen.iter().position(|one| *one == Seen::Paused(0)).expect("its first 20 rows are 190 minutes");
    let resumed = seen.iter().position(|one| *one == Seen::Resumed(0)).expect("it goes on");
    assert!(paused <= 2, "{seen:?}");
    // 160 minutes of the slow one, 20 at a time, bring it within half an hour.
    let between = &seen[paused + 1..resumed];
    assert_eq!(between, vec![Seen::Rows(1); between.len()]);
    assert!(between.len() >= 7, "{seen:?}");
    let count = |of: Seen| seen.iter().filter(|one| **one == of).count();
    assert_eq!(count(Seen::Rows(0)), 3, "{seen:?}");
    assert_eq!((count(Seen::Paused(1)), count(Seen::Paused(0))), (0, count(Seen::Resumed(0))), "{seen:?}");
}

#[test]
fn partition_of_which_nobody_knows_whether_rows_wait_holds_nobody_back() {
    let ends = after_a_restart(Says::Nothing);
    assert_eq!(ends.run_on().accounting().rows_in, 120);
    assert_eq!(ends.seen(), [Seen::Rows(0); 3]);
}

#[test]
fn partition_that_waited_for_one_without_rows_goes_on_without_any_event() {
    let ends = after_a_restart(Says::OneRow);
    assert_eq!(ends.run_on().accounting().rows_in, 120);
    assert_eq!(ends.seen(), [Seen::Paused(0), Seen::Resumed(0), Seen::Rows(0), Seen::Rows(0), Seen::Rows(0)]);
}
