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

/// Readings of every detector, 24 million in all.
pub(crate) const ROUNDS: usize = 4_800;

/// How often the shipped pipeline commits.
pub(crate) const COMMIT_EVERY: &str = "1s";
/// What the shipped pipeline promises.
const EXACTLY_ONCE: &str = "exactly_once";
/// The sink that the shipped pipeline does without.
const FORECASTS: &str =
    r#"forecasts: { from: forecasts, kafka: { topic: "${topic}.forecasts", create: { partitions: 8 } } }"#;
/// The shipped pipeline's model.
const MODEL: &str = "model: { online_linear: { forgetting: 0.999, loss: squared, scale: 100, initial_covariance: 1 } }";
const LINEAR: &str = "online_linear: { forgetting: 0.999, loss: squared, scale: 100, initial_covariance: 1 }";
/// Its event time, and that of readings which are made up: those of a small city go on into next week.
const CLOCK: [&str; 2] = ["max_delay: 60s }", "max_delay: 60s, future_skew: unbounded }"];
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
        let (broker, brokers) = broker()?;
        let topic = format!("city-{detectors}-{}", std::process::id());
        let connection = connection(&brokers);
        let create = CreateTopic { partitions: PARTITIONS.unsigned_abs(), replication: None, config: [].into() };
        ensure_topic(&connection, &topic, Some(&create))?;
        let mut writer = KafkaWriter::open(&connection, &topic)?;
        let made = make_readings(detectors, rounds, |key, value| Ok(writer.send(Some(key), Some(value), None)?))?;
        writer.flush()?;
        eprintln!("{} rows of {} bytes written to `{topic}` on {brokers}", made.rows, made.bytes / made.rows.max(1));
        Ok(Self { _broker: broker, brokers, topic, rounds, repeats, rows: made.rows, malformed: made.malformed })
    }

    /// The same with a network mixed with its linear models.
    pub(crate) fn plan_with_network(&self, name: &str) -> Result<Arc<PipelinePlan>> {
        Variant { name, network: true, ..Variant::default() }.plan(&self.brokers, &self.topic)
    }

    /// The shipped pipeline, renamed, and with a commit so often: nothing else differs.
    pub(crate) fn plan(&self, name: &str, commit_every: &str) -> Result<Arc<PipelinePlan>> {
        Variant { name, commit_every, ..Variant::default() }.plan(&self.brokers, &self.topic)
    }
}

/// What differs from the shipped pipeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant<'a> {
    /// Part of the names of its consumer group and its topics.
    pub(crate) name: &'a str,
    pub(crate) commit_every: &'a str,
    /// Longest time between commits while catching up; as `commit_every` unless given.
    pub(crate) commit_every_max: Option<&'a str>,
    pub(crate) delivery: &'a str,
    /// Whether every forecast is written, too.
    pub(crate) forecasts: bool,
    /// Whether a network that all keys share is mixed with the linear models.
    pub(crate) network: bool,
}

impl Default for Variant<'_> {
    fn default() -> Self {
        Self {
            name: "city-job",
            commit_every: COMMIT_EVERY,
            commit_every_max: None,
            delivery: EXACTLY_ONCE,
            forecasts: false,
            network: false,
        }
    }
}

impl Variant<'_> {
    /// The pipeline over a topic.
    pub(crate) fn plan(&self, brokers: &str, topic: &str) -> Result<Arc<PipelinePlan>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        let text = self.text(&std::fs::read_to_string(folder.join("city-job.yaml"))?, topic)?;
        let environment = |variable: &str| match variable {
            "KAFKA_BROKERS" => Some(brokers.to_owned()),
            "CITY_TOPIC" => Some(topic.to_owned()),
            _ => None,
        };
        let file = PipelineFile::parse("city-job.yaml", &text, &environment, &Registry::standard());
        Ok(Arc::new(file.plan(&folder, &[].into())?))
    }

    fn text(&self, shipped: &str, topic: &str) -> Result<String> {
        let Self { name, commit_every, commit_every_max, delivery, forecasts, network } = *self;
        let most = commit_every_max.unwrap_or(commit_every);
        let runtime = format!("runtime: {{ commit_every: {commit_every}, commit_every_max: {most} }}");
        let mut changes = vec![
            ("pipeline: city-job", format!("pipeline: {topic}-{name}")),
            (SHIPPED, runtime),
            (CLOCK[0], CLOCK[1].to_owned()),
            ("delivery: exactly_once", format!("delivery: {delivery}")),
        ];
        if forecasts {
            changes.push(("\nsinks:\n", format!("\nsinks:\n  {FORECASTS}\n")));
        }
        if network {
            let experts = format!("{{ linear: {{ {LINEAR} }}, network: {{ mlp: {{}} }} }}");
            changes.push((MODEL, format!("model: {{ mix: {{ experts: {experts} }} }}")));
        }
        changes.push(("${topic}.", format!("${{topic}}.{name}.")));
        let mut text = shipped.to_owned();
        for (shipped, ours) in changes {
            ensure!(text.contains(shipped), "the shipped pipeline has changed its shape: it has no `{shipped}`");
            text = text.replace(shipped, &ours);
        }
        Ok(text)
    }
}

/// The broker that `ARTERIAL_TEST_KAFKA` names, or one that stops with its handle.
pub(crate) fn broker() -> Result<(Option<Broker>, String)> {
    if let Ok(brokers) = std::env::var("ARTERIAL_TEST_KAFKA") {
        return Ok((None, brokers));
    }
    let broker = Broker::start("bench")?;
    let brokers = broker.address.clone();
    Ok((Some(broker), brokers))
}

pub(crate) fn connection(brokers: &str) -> KafkaConnection {
    KafkaConnection {
        brokers: Brokers::List(brokers.to_owned()),
        client_id: "arterial.bench".to_owned(),
        properties: Properties::default(),
    }
}

pub(crate) fn number(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => {
            let number = text.parse().with_context(|| format!("{variable}={text} is not a number"))?;
            ensure!(number > 0, "{variable} has to be at least 1");
            Ok(number)
        }
        Err(_) => Ok(default),
    }
}
