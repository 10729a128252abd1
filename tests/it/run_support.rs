//! Pipelines over the simulated corridor and a memory ledger, run through the library: what the runtime's tests share.

use std::path::Path;
use std::sync::{Arc, Mutex};

use arterial::observe::{Metrics, RunEvent};
use arterial::runtime::{Connect, Pipeline, PipelineError, RunOptions, RunSummary};
use arterial::spec::{PipelineFile, PipelinePlan, Registry};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::memory::{Faults, MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemoryRecord};
use arterial_connectors::simulate::{SimulateConfig, SimulateSource};
use arterial_connectors::source::{Source, SourceError, Until};

/// A pipeline with something of every stateful step.
pub const PIPELINE: &str = r#"
version: 1
pipeline: corridor
sources:
  loops:
    simulate: { detectors: 16, length: 10h, partitions: 2 }
    decode: { schema: traffic-observation.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, stamps: end, interval: 60s, max_delay: 60s }
clean:
  - dedupe: { key: [sensor_id, observed_at], within: 20m }
window: { size: 5m, key: [sensor_id], columns: { speed_kmh: avg(speed_kmh), flow_veh_h: avg(flow_veh_h) } }
features:
  - lags: { column: speed_kmh, count: 3, fill: last }
predict:
  speed:
    target: speed_kmh
    horizons: [15m]
    min_history: 1h
    model: { online_linear: { scale: 10 } }
alerts:
  busy: { measure: flow_veh_h, when: "> 600", clear: "< 500", severity: { minor: "> 600", severe: "> 4000" }, summary: "busy at {sensor_id}" }
  slow: { measure: speed.15m, when: "< 60", clear: "> 70", summary: "slow at {sensor_id}" }
sinks:
  alerts: { from: alerts, memory: {} }
delivery: at_least_once
"#;

/// The plan of a text.
pub fn plan(text: &str) -> PipelinePlan {
    let file = PipelineFile::parse("pipeline.yaml", text, &|_| None, &Registry::standard());
    file.plan(Path::new(""), &[].into()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The text with each first part, which stands once, replaced by the second.
pub fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = PIPELINE.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    text
}

/// Both ends: what is committed outlives a run, so that another may go on.
#[derive(Clone)]
pub struct Ends {
    pub broker: MemoryBroker,
    pub faults: Faults,
    pub hours: i64,
    pub sinks: Vec<&'static str>,
}

impl Ends {
    /// Nothing committed yet; readings of this many hours.
    pub fn new(hours: i64) -> Self {
        Self::with_sinks(hours, &["alerts", "control"])
    }

    /// Likewise, with these sinks in the order of the plan's.
    pub fn with_sinks(hours: i64, sinks: &[&'static str]) -> Self {
        let broker = MemoryBroker::new();
        sinks.iter().for_each(|sink| broker.create_topic(sink, 1).unwrap());
        Self { broker, faults: Faults::none(), hours, sinks: sinks.to_vec() }
    }

    /// Everything committed in the alerts topic.
    pub fn alerts(&self) -> Vec<MemoryRecord> {
        self.broker.committed_records("alerts").unwrap()
    }
}

impl Connect for Ends {
    fn source(&self, _: &str, _: Until) -> Result<Box<dyn Source>, SourceError> {
        let config = SimulateConfig {
            detectors: 16,
            partitions: 2,
            length_micros: Some(self.hours * 3_600_000_000),
            ..SimulateConfig::default()
        };
        Ok(Box::new(SimulateSource::open(config, Arc::new(|| 0))?))
    }

    fn ledger(&self, slot: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let config = MemoryLedgerConfig::new("corridor", slot, &self.sinks);
        let config = MemoryLedgerConfig { faults: self.faults.clone(), looks_in_flight: 3, ..config };
        Ok(Box::new(MemoryLedger::open(&self.broker, config)?))
    }
}

/// What a run gave, and what it told in order.
pub struct Ran {
    pub result: Result<RunSummary, PipelineError>,
    pub events: Vec<RunEvent>,
    pub metrics: Arc<Metrics>,
}

/// Runs to the end of the readings.
pub fn run(plan: PipelinePlan, ends: &Ends) -> Ran {
    run_observed(plan, ends, |_| {})
}

/// Likewise; `look` sees every event as it is told.
pub fn run_observed(plan: PipelinePlan, ends: &Ends, look: impl Fn(&RunEvent) + Send + Sync + 'static) -> Ran {
    run_with(plan, Arc::new(ends.clone()), look)
}

/// Likewise, with ends of another kind.
pub fn run_with(plan: PipelinePlan, ends: Arc<dyn Connect>, look: impl Fn(&RunEvent) + Send + Sync + 'static) -> Ran {
    let events: Arc<Mutex<Vec<RunEvent>>> = Arc::default();
    let metrics = Arc::new(Metrics::default());
    let told = Arc::clone(&events);
    let options = RunOptions {
        until: Until::Latest,
        metrics: Arc::clone(&metrics),
        listener: Arc::new(move |event| {
            look(event);
            told.lock().unwrap().push(event.clone());
        }),
        ..RunOptions::default()
    };
    let pipeline = Pipeline::new(Arc::new(plan), ends, options);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(pipeline.run(std::future::pending()));
    let events = std::mem::take(&mut *events.lock().unwrap());
    Ran { result, events, metrics }
}
