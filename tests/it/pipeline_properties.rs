//! Whole pipelines in memory: however rows are cut into batches, partitions take turns, commits fall and fail, the
//! output of every key and the state are the same. The broker is not a real one here; `kafka_pipeline` and
//! `make kill-nine` show exactly once on Kafka.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arterial::runtime::{Connect, ControlLog, ControlRecord, Pipeline, RunOptions};
use arterial::spec::{PipelineFile, PipelinePlan, Registry};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::memory::{
    Batching, CommitFault, Faults, MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemoryRecord, MemorySource,
    MemorySourceConfig, Operation,
};
use arterial_connectors::simulate::{Readings, SimulateConfig};
use arterial_connectors::source::{Source, SourceError, Until};
use proptest::prelude::*;

const TOPIC: &str = "readings";
const PARTITIONS: u32 = 4;
const HOUR_MICROS: i64 = 3_600_000_000;
const SINKS: [&str; 7] = ["alerts", "dead_letter", "drift", "forecasts", "late", "scores", "control"];

/// Everything that a reader of the outputs or a later run could notice. The control log holds times of the wall clock
/// and is left out.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    digest: String,
    rows: String,
    windows: u64,
    /// Records of each sink and key, in order.
    outputs: BTreeMap<(String, String), Vec<(String, String)>>,
}

/// One way of running the same pipeline over the same rows.
#[derive(Debug, Clone)]
struct Way {
    batching: Batching,
    commit_rows: u64,
    faults: Vec<(u64, u8)>,
    looks_in_flight: u32,
}

struct InMemory {
    broker: MemoryBroker,
    way: Way,
}

impl Connect for InMemory {
    fn source(&self, _: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let batching = self.way.batching.clone();
        let config = MemorySourceConfig { until, batching, ..MemorySourceConfig::new(TOPIC, "g") };
        Ok(Box::new(MemorySource::open(&self.broker, config)?))
    }

    fn ledger(&self, slot: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let faults = self.way.faults.iter().fold(Faults::none(), |plan, (nth, kind)| match kind {
            0 => plan.commit(*nth, CommitFault::Aborted),
            1 => plan.commit(*nth, CommitFault::UnknownApplied),
            2 => plan.commit(*nth, CommitFault::UnknownDropped),
            3 => plan.fail(Operation::Begin, *nth),
            4 => plan.fail(Operation::Append, *nth),
            _ => plan.fail(Operation::Restore, *nth),
        });
        let config = MemoryLedgerConfig {
            faults,
            looks_in_flight: self.way.looks_in_flight,
            ..MemoryLedgerConfig::new("g", slot, &SINKS)
        };
        Ok(Box::new(MemoryLedger::open(&self.broker, config)?))
    }
}

fn plan(commit_rows: u64) -> Arc<PipelinePlan> {
    let text = r#"
version: 1
pipeline: chopped
sources:
  loops:
    simulate: { length: 6h }
    decode: { schema: traffic-observation.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, stamps: end, interval: 60s, max_delay: 60s }
clean:
  - dedupe: { key: [sensor_id, observed_at], within: 10m }
  - null_if: { speed_kmh: "speed_kmh < 0" }
  - range: { columns: { occupancy: { minimum: 0, maximum: 20 } }, otherwise: dead_letter }
window: { size: 5m, key: [sensor_id], columns: { speed_kmh: avg(speed_kmh), last_kmh: last(speed_kmh) } }
features:
  - lags: { column: speed_kmh, count: 4, fill: last }
  - profile: { column: speed_kmh, period: day, at: target }
predict:
  speed:
    target: speed_kmh
    horizons: [5m, 15m]
    min_history: 1h
    intervals: { coverage: 0.9 }
    drift: { detector: { page_hinkley: { delta: 0, threshold: 3 } }, effect: forget, forgetting_labels: 5, min_labels: 30 }
    model:
      mix:
        experts:
          linear: { online_linear: { forgetting: 0.999, scale: 10 } }
          network: { mlp: { width: 8, blocks: 1, steps: 1, batch: 32, replay: { windows: 30, rows: 4 } } }
alerts:
  congestion: { measure: "speed.15m", when: "< 112", clear: "> 114", for: 5m, summary: "slow at {sensor_id}" }
sinks:
  alerts: { from: alerts, memory: {} }
  dead_letter: { from: dead_letter, memory: {} }
  drift: { from: drift, memory: {} }
  forecasts: { from: forecasts, memory: {} }
  late: { from: late, memory: {} }
  scores: { from: scores, memory: {} }
runtime: { commit_every: 30s, commit_every_max: 30s }
"#;
    let file = PipelineFile::parse("chopped.yaml", text, &|_| None, &Registry::standard());
    let mut plan = file.plan(Path::new(""), &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors}"));
    // Not in the file, whose hash is in every dead letter.
    plan.runtime.commit_rows_max = Some(commit_rows);
    Arc::new(plan)
}

/// Six hours of a corridor across a day's end, with duplicates, stragglers and garbage at fixed places.
fn readings() -> &'static [(Vec<u8>, Vec<u8>)] {
    static READINGS: OnceLock<Vec<(Vec<u8>, Vec<u8>)>> = OnceLock::new();
    READINGS.get_or_init(|| {
        let config = SimulateConfig {
            detectors: 12,
            start_micros: 1_772_402_400_000_000,
            length_micros: Some(6 * HOUR_MICROS),
            ..SimulateConfig::default()
        };
        let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (index, reading) in Readings::new(&config).expect("a corridor").enumerate() {
            let row = (reading.key, reading.value);
            match index % 97 {
                13 => rows.push(row.clone()),
                // Far behind the watermark by now.
                29 if index > 2_000 => rows.push(rows[index - 2_000].clone()),
                61 => rows.push((row.0.clone(), b"sensor offline".to_vec())),
                _ => {}
            }
            rows.push(row);
        }
        rows
    })
}

fn broker() -> MemoryBroker {
    let broker = MemoryBroker::new();
    broker.create_topic(TOPIC, PARTITIONS).expect("a topic");
    SINKS.iter().for_each(|sink| broker.create_topic(sink, 2).expect("a topic"));
    broker
}

fn send(broker: &MemoryBroker, rows: &[(Vec<u8>, Vec<u8>)]) {
    for (key, value) in rows {
        broker.send(TOPIC, MemoryRecord::new(key.clone(), value.clone())).expect("sent");
    }
}

/// Runs up to the present end of the topic.
fn run_on(broker: &MemoryBroker, way: Way, decisions: Option<ControlLog>) -> Outcome {
    let plan = plan(way.commit_rows);
    let connect = Arc::new(InMemory { broker: broker.clone(), way });
    let options = RunOptions { until: Until::Latest, decisions: decisions.map(Arc::new), ..RunOptions::default() };
    let pipeline = Pipeline::new(plan, connect, options).run(std::future::pending());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let summary = runtime.block_on(pipeline).expect("the pipeline runs to its end");
    let rows = summary.accounting();
    assert!(rows.balanced(), "{rows:?}");
    Outcome {
        digest: summary.digest().to_string(),
        rows: format!("{rows:?}"),
        windows: summary.windows(),
        outputs: outputs(broker),
    }
}

fn run(way: Way) -> Outcome {
    let broker = broker();
    send(&broker, readings());
    run_on(&broker, way, None)
}

fn outputs(broker: &MemoryBroker) -> BTreeMap<(String, String), Vec<(String, String)>> {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let mut outputs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for sink in SINKS.into_iter().filter(|sink| *sink != "control") {
        for record in broker.committed_records(sink).expect("a topic") {
            let key = (sink.to_owned(), text(&record.key));
            outputs.entry(key).or_default().push((text(&record.value), format!("{:?}", record.headers)));
        }
    }
    outputs
}

/// Nothing special: large batches, few commits, nothing goes wrong.
fn undisturbed() -> &'static Outcome {
    static OUTCOME: OnceLock<Outcome> = OnceLock::new();
    OUTCOME.get_or_init(|| run(calm()))
}

fn calm() -> Way {
    Way { batching: Batching::in_turn(1024), commit_rows: 4_000_000, faults: Vec::new(), looks_in_flight: 0 }
}

#[test]
fn the_rows_reach_every_stage_and_every_sink() {
    let outcome = undisturbed();
    for sink in SINKS.into_iter().filter(|sink| *sink != "control") {
        let records: usize = outcome.outputs.iter().filter(|((of, _), _)| of == sink).map(|(_, rows)| rows.len()).sum();
        assert!(records > 0, "nothing was written to `{sink}`: the property would hold for no reason");
    }
}

/// Two bounded runs, one after the other over a topic that grows: the end of the first has closed windows early. The
/// broker, and what the second run leaves.
fn interrupted() -> &'static (Outcome, ControlLog) {
    static OUTCOME: OnceLock<(Outcome, ControlLog)> = OnceLock::new();
    OUTCOME.get_or_init(|| {
        let broker = broker();
        let (first, second) = readings().split_at(readings().len() / 2);
        send(&broker, first);
        run_on(&broker, calm(), None);
        send(&broker, second);
        let outcome = run_on(&broker, calm(), None);
        let records = broker.committed_records("control").expect("a topic");
        let read = |value: Option<Vec<u8>>| serde_json::from_slice::<ControlRecord>(&value.unwrap_or_default());
        let log = ControlLog::new(&plan(1), records.into_iter().map(|record| read(record.value).expect("a decision")));
        (outcome, log)
    })
}

#[test]
fn the_end_of_an_earlier_run_is_seen_in_the_outputs() {
    let (outcome, log) = interrupted();
    assert!(log.len() >= PARTITIONS as usize, "each partition's first end is a decision");
    assert_ne!(outcome, undisturbed(), "rows after the first end that belong before it are late");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_replay_follows_the_control_log_wherever_batches_are_cut(
        seed in any::<u64>(),
        rows_max in 2..3_000_usize,
        commit_rows in 20..3_000_u64,
        faults in prop::collection::vec((1..30_u64, 0..6_u8), 0..4),
        looks_in_flight in 0..6_u32,
    ) {
        let (due, log) = interrupted();
        let broker = broker();
        send(&broker, readings());
        let way = Way { batching: Batching::seeded(seed, rows_max), commit_rows, faults, looks_in_flight };
        let found = run_on(&broker, way, Some(log.clone()));
        prop_assert_eq!(&found.rows, &due.rows);
        prop_assert_eq!(&found.digest, &due.digest);
        prop_assert!(found.outputs == due.outputs, "the outputs differ");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batches_turns_commits_and_failures_change_nothing(
        seed in any::<u64>(),
        rows_max in prop_oneof![2..30_usize, 1..3_000_usize],
        commit_rows in 20..3_000_u64,
        faults in prop::collection::vec((1..30_u64, 0..6_u8), 0..4),
        looks_in_flight in 0..6_u32,
    ) {
        let way = Way { batching: Batching::seeded(seed, rows_max), commit_rows, faults, looks_in_flight };
        let (found, due) = (run(way), undisturbed());
        prop_assert_eq!(&found.rows, &due.rows);
        prop_assert_eq!(found.windows, due.windows);
        for (key, records) in &due.outputs {
            let got = found.outputs.get(key).map_or(&[][..], Vec::as_slice);
            let first = (0..records.len().max(got.len())).find(|index| got.get(*index) != records.get(*index));
            prop_assert!(first.is_none(), "record {:?} of {:?} differs", first, key);
        }
        prop_assert_eq!(found.outputs.len(), due.outputs.len());
        prop_assert_eq!(&found.digest, &due.digest);
    }
}
