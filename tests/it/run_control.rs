//! The control log speaks of topics by their names: a pipeline file that lists them in another order reads it the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use arterial::runtime::{Connect, ControlLog, ControlRecord, Pipeline, RunOptions, RunSummary};
use arterial::spec::PipelinePlan;
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::memory::{
    MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemoryRecord, MemorySource, MemorySourceConfig,
};
use arterial_connectors::source::{Source, SourceError, Until};

use crate::encode_support::avsc;
use crate::run_support::{edited, plan};

/// The outputs of the plan, then the control log.
const SINKS: [&str; 4] = ["alerts", "dead_letter", "late", "control"];

/// A plan over these topics. Its broker is never asked: both ends are in memory.
fn plan_over(topics: &[&str]) -> Arc<PipelinePlan> {
    let kafka = format!("kafka: {{ brokers: \"nowhere:1\", topics: [{}] }}", topics.join(", "));
    let sink = |output: &&str| format!("  {output}: {{ from: {output}, kafka: {{ topic: {output} }} }}");
    let sinks: Vec<String> = SINKS[..3].iter().map(sink).collect();
    Arc::new(plan(&edited(&[
        ("simulate: { detectors: 16, length: 10h, partitions: 2 }", &kafka),
        ("  alerts: { from: alerts, memory: {} }", &sinks.join("\n")),
    ])))
}

/// Both ends of one group.
struct Ends {
    broker: MemoryBroker,
    group: &'static str,
    topics: Vec<String>,
}

impl Connect for Ends {
    fn source(&self, _: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let config =
            MemorySourceConfig { until, topics: self.topics.clone(), ..MemorySourceConfig::new("", self.group) };
        Ok(Box::new(MemorySource::open(&self.broker, config)?))
    }

    fn ledger(&self, slot: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let config = MemoryLedgerConfig::new(self.group, slot, &SINKS);
        Ok(Box::new(MemoryLedger::open(&self.broker, config)?))
    }
}

/// Runs over the topics, in this order, to their ends.
fn run(broker: &MemoryBroker, group: &'static str, topics: &[&str], decisions: Option<ControlLog>) -> RunSummary {
    let ends = Ends { broker: broker.clone(), group, topics: topics.iter().map(|topic| (*topic).to_owned()).collect() };
    let options = RunOptions { until: Until::Latest, decisions: decisions.map(Arc::new), ..RunOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pipeline = Pipeline::new(plan_over(topics), Arc::new(ends), options);
    runtime.block_on(pipeline.run(std::future::pending())).unwrap()
}

fn send(broker: &MemoryBroker, topic: &str, minutes: std::ops::Range<u32>) {
    for minute in minutes {
        let row = format!(
            r#"{{"sensor_id":"{topic}","observed_at":"2026-11-23T08:{minute:02}:00Z","speed_kmh":80,"flow_veh_h":600}}"#
        );
        broker.send(topic, MemoryRecord::new(topic, row)).unwrap();
    }
}

/// Two bounded runs over two topics that stand at different offsets when the first one ends: what the second gave, and
/// the decisions of both.
fn decided(broker: &MemoryBroker) -> (RunSummary, Vec<ControlRecord>) {
    for topic in SINKS.into_iter().chain(["north", "south"]) {
        broker.create_topic(topic, 1).unwrap();
    }
    send(broker, "north", 0..9);
    send(broker, "south", 0..3);
    run(broker, "live", &["north", "south"], None);
    send(broker, "north", 9..16);
    send(broker, "south", 3..16);
    let summary = run(broker, "live", &["north", "south"], None);
    let records = broker.committed_records("control").unwrap();
    let values = records.iter().map(|record| record.value.clone().unwrap());
    (summary, values.map(|value| serde_json::from_slice(&value).unwrap()).collect())
}

#[test]
fn decisions_are_found_by_topic_in_whatever_order_the_file_lists_them() {
    let broker = MemoryBroker::new();
    let (live, records) = decided(&broker);
    let late = live.accounting().late;
    assert!(late > 3, "rows of windows that the first run's end closed: {late}");
    let log = ControlLog::new(&plan_over(&["south", "north"]), records);
    let replayed = run(&broker, "replay", &["south", "north"], Some(log));
    assert_eq!(replayed.accounting(), live.accounting());
    let digests = |summary: &RunSummary| {
        let mut digests: Vec<String> = summary.partitions.values().map(|one| one.digest.to_string()).collect();
        digests.sort();
        digests
    };
    assert_eq!(digests(&replayed), digests(&live));
}

#[test]
fn decisions_about_topics_that_are_not_read_are_left_out() {
    let broker = MemoryBroker::new();
    let (_, records) = decided(&broker);
    let of_south = records.iter().filter(|record| record.topic == "south").count();
    assert!(of_south > 0 && of_south < records.len(), "{records:?}");
    assert_eq!(ControlLog::new(&plan_over(&["south", "east"]), records.clone()).len(), of_south);
    assert!(ControlLog::new(&plan_over(&["west"]), records).is_empty());
}

#[test]
fn decisions_have_the_fields_of_their_schema() {
    let schema = avsc("control.v1");
    let fields = schema["fields"].as_array().unwrap();
    let due: BTreeSet<&str> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
    let (_, records) = decided(&MemoryBroker::new());
    for record in records {
        let json = serde_json::to_value(record).unwrap();
        assert_eq!(json.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), due);
        assert!(json["topic"] == "north" || json["topic"] == "south", "{json}");
    }
    assert_eq!(fields.iter().find(|field| field["name"] == "topic").unwrap()["type"], "string");
}
