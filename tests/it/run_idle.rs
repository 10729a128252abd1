//! When a partition counts as idle: only by silence that somebody listened to. The clock and the source are ours.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use arterial::runtime::{Connect, ControlRecord, Pipeline, RunOptions, RunSummary};
use arterial::vocab::Clock;
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::memory::{
    MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemoryRecord, MemorySource, MemorySourceConfig,
};
use arterial_connectors::position::Partition;
use arterial_connectors::source::{Source, SourceError, SourceEvent, Until};

use crate::run_support::{PIPELINE, plan};
use crate::source_support::forwarded;

const SECOND: i64 = 1_000_000;

/// A clock that goes on by `step` whenever the source is polled.
struct Stepping {
    now_micros: AtomicI64,
    step_micros: AtomicI64,
}

impl Clock for Stepping {
    fn now_micros(&self) -> i64 {
        self.now_micros.load(Ordering::Relaxed)
    }
}

/// What the tests turn on their source.
struct Setting {
    broker: MemoryBroker,
    clock: Stepping,
    /// Polls that the test grants and the worker has taken up: it does nothing unseen.
    polls: Mutex<(u64, u64)>,
    granted: Condvar,
    /// More rows wait than come.
    stalled: bool,
}

/// A memory source that never blocks, polled as often as time steps.
struct Watched {
    inner: MemorySource,
    setting: Arc<Setting>,
}

impl Source for Watched {
    fn poll(&mut self, _: Duration) -> Result<Option<SourceEvent>, SourceError> {
        let setting = &self.setting;
        let mut polls = setting.polls.lock().unwrap();
        polls.1 += 1;
        setting.granted.notify_all();
        let granted = setting.granted.wait_while(polls, |(granted, polls)| *polls > *granted).unwrap();
        drop(granted);
        setting.clock.now_micros.fetch_add(setting.clock.step_micros.load(Ordering::Relaxed), Ordering::Relaxed);
        self.inner.poll(Duration::ZERO)
    }

    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        let waiting = u64::from(self.setting.stalled);
        self.inner.lag_rows().into_iter().map(|(partition, lag)| (partition, lag + waiting)).collect()
    }

    forwarded!(inner: start_of, seek, release, pause, resume, partition_counts, others_finished, group_metadata, connected);
}

struct Ends(Arc<Setting>);

impl Connect for Ends {
    fn source(&self, _: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let config = MemorySourceConfig { until, ..MemorySourceConfig::new("in", "g") };
        let inner = MemorySource::open(&self.0.broker, config)?;
        Ok(Box::new(Watched { inner, setting: Arc::clone(&self.0) }))
    }

    fn ledger(&self, slot: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let config = MemoryLedgerConfig::new("g", slot, &["alerts", "control"]);
        Ok(Box::new(MemoryLedger::open(&self.0.broker, config)?))
    }
}

struct SharedClock(Arc<Setting>);

impl Clock for SharedClock {
    fn now_micros(&self) -> i64 {
        self.0.clock.now_micros()
    }
}

/// A topic of two partitions with some rows, read by a pipeline with `idle_after: 30s`.
struct Bench {
    setting: Arc<Setting>,
    stop: Arc<tokio::sync::Notify>,
    run: std::thread::JoinHandle<RunSummary>,
}

impl Bench {
    /// The clock goes on by `step_micros` with every poll.
    fn start(step_micros: i64, stalled: bool) -> Self {
        let broker = MemoryBroker::new();
        for topic in ["in", "alerts", "control"] {
            broker.create_topic(topic, 2).unwrap();
        }
        let clock = Stepping { now_micros: AtomicI64::new(0), step_micros: AtomicI64::new(step_micros) };
        let (polls, granted) = (Mutex::default(), Condvar::new());
        let setting = Arc::new(Setting { broker, clock, polls, granted, stalled });
        send(&setting.broker, 0..3);
        let text = PIPELINE.replace("max_delay: 60s }", "max_delay: 60s, idle_after: 30s }");
        let options = RunOptions { clock: Arc::new(SharedClock(Arc::clone(&setting))), ..RunOptions::default() };
        let pipeline = Pipeline::new(Arc::new(plan(&text)), Arc::new(Ends(Arc::clone(&setting))), options);
        let stop = Arc::new(tokio::sync::Notify::new());
        let told = Arc::clone(&stop);
        let run = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(pipeline.run(async move { told.notified().await })).unwrap()
        });
        Self { setting, stop, run }
    }

    /// Lets the worker poll this often, and waits until it asks for more.
    fn polls(&self, count: u64) {
        let mut polls = self.setting.polls.lock().unwrap();
        polls.0 += count;
        self.setting.granted.notify_all();
        drop(self.setting.granted.wait_while(polls, |(granted, polls)| *polls <= *granted).unwrap());
    }

    /// Stops the run; what it gave, and the decisions it logged.
    fn end(self) -> (RunSummary, Vec<ControlRecord>) {
        self.stop.notify_one();
        self.setting.clock.step_micros.store(0, Ordering::Relaxed);
        self.setting.polls.lock().unwrap().0 = u64::MAX;
        self.setting.granted.notify_all();
        let summary = self.run.join().unwrap();
        let records = self.setting.broker.committed_records("control").unwrap();
        let decision = |record: &MemoryRecord| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        (summary, records.iter().map(decision).collect())
    }
}

/// A row a minute in each partition.
fn send(broker: &MemoryBroker, minutes: std::ops::Range<u32>) {
    for minute in minutes {
        for number in 0..2 {
            let row = format!(
                r#"{{"sensor_id":"L{number}","observed_at":"2026-11-23T08:{minute:02}:00Z","speed_kmh":80,"flow_veh_h":600,"occupancy":3}}"#
            );
            broker.send_to("in", number, MemoryRecord::new(format!("L{number}"), row)).unwrap();
        }
    }
}

#[test]
fn partition_that_nobody_feeds_has_its_windows_closed_once_until_a_row_comes() {
    let bench = Bench::start(SECOND / 10, false);
    bench.polls(900);
    send(&bench.setting.broker, 3..10);
    bench.polls(900);
    let (summary, decisions) = bench.end();
    let mut anchors: Vec<(i32, i64)> = decisions.iter().map(|one| (one.partition, one.next_offset)).collect();
    anchors.sort_unstable();
    assert_eq!(anchors, [(0, 3), (0, 10), (1, 3), (1, 10)]);
    assert!(decisions.iter().all(|decision| decision.decided_at >= 30 * SECOND), "{decisions:?}");
    // The window of the first three rows was closed: the next three of it are late.
    assert_eq!((summary.accounting().late, summary.accounting().rows_in), (6, 20));
}

#[test]
fn time_in_which_nobody_looked_is_not_silence() {
    let bench = Bench::start(SECOND / 1000, false);
    bench.polls(100);
    // The machine slept for an hour, or the clock was set.
    bench.setting.clock.now_micros.fetch_add(3600 * SECOND, Ordering::Relaxed);
    bench.polls(1000);
    assert_eq!(bench.end().1, []);
}

#[test]
fn partition_whose_rows_wait_is_not_idle() {
    let bench = Bench::start(SECOND / 10, true);
    bench.polls(900);
    assert_eq!(bench.end().1, []);
}

#[test]
fn silence_of_the_broker_is_not_silence_of_the_sensors() {
    let bench = Bench::start(SECOND / 10, false);
    bench.polls(50);
    bench.setting.broker.set_unreachable(Some("gone"));
    bench.polls(900);
    bench.setting.broker.set_unreachable(None);
    bench.polls(150);
    assert_eq!(bench.end().1, []);
}
