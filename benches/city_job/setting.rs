//! A broker, the city's topic on it, and `pipelines/city-job.yaml` under another name for each run.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arterial::spec::{PipelineFile, PipelinePlan, Registry};
use arterial_connectors::kafka::{Brokers, CreateTopic, KafkaConnection, KafkaWriter, Properties, ensure_topic};

use crate::generator::make_readings;
use crate::support::Broker;

/// Partitions of the city's topic.
pub(crate) const PARTITIONS: i32 = 8;

/// How often the shipped pipeline commits.
pub(crate) const COMMIT_EVERY: &str = "1s";
/// What the shipped pipeline promises.
const EXACTLY_ONCE: &str = "exactly_once";
const SHIPPED: &str = "runtime: { commit_every: 1s, commit_every_max: 1s }";

/// Where the benchmark runs.
pub(crate) struct Setting {
    /// Stops when the benchmark is over.
    _broker: Option<Broker>,
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) rounds: usize,
    pub(crate) repeats: usize,
    pub(crate) rows: u64,
    pub(crate) malformed: u64,
}

impl Setting {
    /// Starts a broker where none is named, and writes the topic: `rounds` readings of every detector, unless
    /// `ARTERIAL_BENCH_ROUNDS` says how many.
    pub(crate) fn open(detectors: usize, rounds: usize) -> Result<Self> {
        let rounds = number("ARTERIAL_BENCH_ROUNDS", rounds)?;
        let repeats = number("ARTERIAL_BENCH_REPEATS", 3)?;
        let (broker, brokers) = match std::env::var("ARTERIAL_TEST_KAFKA") {
            Ok(brokers) => (None, brokers),
            Err(_) => {
                let broker = Broker::start("bench")?;
                let brokers = broker.address.clone();
                (Some(broker), brokers)
            }
        };
        let topic = format!("city-{detectors}-{}", std::process::id());
        let connection = KafkaConnection {
            brokers: Brokers::List(brokers.clone()),
            client_id: "arterial.bench".to_owned(),
            properties: Properties::default(),
        };
        let create = CreateTopic { partitions: PARTITIONS.unsigned_abs(), replication: None, config: [].into() };
        ensure_topic(&connection, &topic, Some(&create))?;
        let mut writer = KafkaWriter::open(&connection, &topic)?;
        let made = make_readings(detectors, rounds, |key, value| Ok(writer.send(Some(key), Some(value), None)?))?;
        writer.flush()?;
        eprintln!("{} rows of {} bytes written to `{topic}` on {brokers}", made.rows, made.bytes / made.rows.max(1));
        Ok(Self { _broker: broker, brokers, topic, rounds, repeats, rows: made.rows, malformed: made.malformed })
    }

    /// The shipped pipeline, renamed, and with a commit so often: nothing else differs.
    pub(crate) fn plan(&self, name: &str, commit_every: &str) -> Result<Arc<PipelinePlan>> {
        plan(&self.brokers, &self.topic, name, commit_every, EXACTLY_ONCE)
    }
}

/// The shipped pipeline over a topic, renamed, with a commit so often and this `delivery`: nothing else differs.
pub(crate) fn plan(
    brokers: &str,
    topic: &str,
    name: &str,
    commit_every: &str,
    delivery: &str,
) -> Result<Arc<PipelinePlan>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let mut text = std::fs::read_to_string(folder.join("city-job.yaml"))?;
    let runtime = format!("runtime: {{ commit_every: {commit_every}, commit_every_max: {commit_every} }}");
    for (shipped, ours) in [
        ("pipeline: city-job", format!("pipeline: {topic}-{name}")),
        ("${topic}.", format!("${{topic}}.{name}.")),
        (SHIPPED, runtime),
        ("delivery: exactly_once", format!("delivery: {delivery}")),
    ] {
        ensure!(text.contains(shipped), "the shipped pipeline has changed its shape: it has no `{shipped}`");
        text = text.replace(shipped, &ours);
    }
    let environment = |variable: &str| match variable {
        "KAFKA_BROKERS" => Some(brokers.to_owned()),
        "CITY_TOPIC" => Some(topic.to_owned()),
        _ => None,
    };
    let file = PipelineFile::parse("city-job.yaml", &text, &environment, &Registry::standard());
    Ok(Arc::new(file.plan(&folder, &[].into())?))
}

fn number(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => {
            let number = text.parse().with_context(|| format!("{variable}={text} is not a number"))?;
            ensure!(number > 0, "{variable} has to be at least 1");
            Ok(number)
        }
        Err(_) => Ok(default),
    }
}
