//! One row after a gap closes every window of the gap at once: what they give reaches the ledger in pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arterial::runtime::{Connect, Pipeline, RunOptions, RunSummary};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use arterial_connectors::memory::{
    Faults, MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemoryRecord, MemorySource, MemorySourceConfig, Operation,
};
use arterial_connectors::position::Partition;
use arterial_connectors::source::{Source, SourceError, Until};
use chrono::{DateTime, TimeDelta, Utc};

use crate::run_support::{edited, plan};

const SENSORS: usize = 16;
const GAP_DAYS: i64 = 12;
/// Records are handed over from this size on.
const LIMIT_BYTES: usize = 4 << 20;
/// More than one window of the sensors gives.
const WINDOW_BYTES: usize = SENSORS * 1024;

/// Notes how much is handed over at once.
struct Measured {
    inner: MemoryLedger,
    largest: Arc<AtomicUsize>,
}

impl Ledger for Measured {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        self.inner.restore(partitions)
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        self.inner.begin()
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        self.largest.fetch_max(records.bytes(), Ordering::Relaxed);
        self.inner.append(records)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        self.inner.commit(commit)
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        self.inner.abort()
    }
}

struct Ends {
    broker: MemoryBroker,
    faults: Faults,
    largest: Arc<AtomicUsize>,
}

impl Connect for Ends {
    fn source(&self, _: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let config = MemorySourceConfig { until, ..MemorySourceConfig::new("in", "g") };
        Ok(Box::new(MemorySource::open(&self.broker, config)?))
    }

    fn ledger(&self, slot: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let config = MemoryLedgerConfig::new("g", slot, &["alerts", "forecasts", "control"]);
        let config = MemoryLedgerConfig { faults: self.faults.clone(), ..config };
        Ok(Box::new(Measured { inner: MemoryLedger::open(&self.broker, config)?, largest: Arc::clone(&self.largest) }))
    }
}

/// Three hours of every sensor, nothing for days, then one row.
fn fill(broker: &MemoryBroker) {
    for topic in ["in", "alerts", "forecasts", "control"] {
        broker.create_topic(topic, 1).unwrap();
    }
    let start: DateTime<Utc> = "2026-11-01T08:00:00Z".parse().unwrap();
    let send = |sensor: usize, after: TimeDelta| {
        let at = (start + after).to_rfc3339();
        let row = format!(r#"{{"sensor_id":"L{sensor}","observed_at":"{at}","speed_kmh":80,"flow_veh_h":500}}"#);
        broker.send("in", MemoryRecord::new(format!("L{sensor}"), row)).unwrap();
    };
    for minutes in (5..180).step_by(5) {
        (0..SENSORS).for_each(|sensor| send(sensor, TimeDelta::minutes(minutes)));
    }
    send(0, TimeDelta::days(GAP_DAYS));
}

fn run(faults: Faults) -> (RunSummary, Vec<MemoryRecord>, usize) {
    let ends = Ends { broker: MemoryBroker::new(), faults, largest: Arc::default() };
    fill(&ends.broker);
    let (broker, largest) = (ends.broker.clone(), Arc::clone(&ends.largest));
    let text = edited(&[
        (
            "  alerts: { from: alerts, memory: {} }",
            "  alerts: { from: alerts, memory: {} }\n  forecasts: { from: forecasts, memory: {} }",
        ),
        ("window: {", "keys: { expire_after: 30d }\nwindow: {"),
    ]);
    let options = RunOptions { until: Until::Latest, ..RunOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pipeline = Pipeline::new(Arc::new(plan(&text)), Arc::new(ends), options);
    let summary = runtime.block_on(pipeline.run(std::future::pending())).unwrap();
    let forecasts = broker.committed_records("forecasts").unwrap();
    (summary, forecasts, largest.load(Ordering::Relaxed))
}

#[test]
fn windows_of_a_long_gap_are_handed_over_in_pieces_and_a_failure_between_two_changes_nothing() {
    let (calm, forecasts, largest) = run(Faults::none());
    let all: usize = forecasts.iter().map(|one| one.value.as_ref().unwrap().len()).sum();
    assert!(all > 2 * LIMIT_BYTES, "{} forecasts of {all} bytes: the gap gave too little", forecasts.len());
    assert!(largest <= LIMIT_BYTES + WINDOW_BYTES, "{largest} bytes were gathered");
    assert!(largest >= LIMIT_BYTES, "{largest} bytes are handed over at once");
    let (shaken, again, _) = run(Faults::none().fail(Operation::Append, 3));
    assert_eq!(shaken.rewinds, 1);
    assert_eq!(shaken.digest(), calm.digest());
    assert!(again == forecasts, "forecasts differ after a failure in the middle of the gap");
}
