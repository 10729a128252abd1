//! The Kafka half of the wiring.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use arterial_connectors::kafka::{
    Brokers, CreateTopic, EmbeddedBroker, Finding, KafkaConnection, KafkaLedger, KafkaLedgerConfig, KafkaSource,
    KafkaSourceConfig, Present, Properties, SinkTopic, StateTopic, TRANSACTION_TIMEOUT, check_up,
};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::payload::Payload;
use arterial_connectors::source::{OnGap, Source, SourceBatch, SourceError, StartAt, Until};
use chrono::DateTime;

use super::read::{Visit, read_to_end};
use super::{Wiring, security};
use crate::runtime::PipelineError;
use crate::runtime::control::{ControlLog, ControlRecord};
use crate::runtime::dead_letters::{Letter, Look, Replay, ReplayRequest, ReplaySummary};
use crate::spec::PipelinePlan;
use crate::spec::model::{CreateSpec, Delivery, KafkaSourceSpec, Output, Span};

/// Rows of one batch that a sample takes.
const SAMPLE_BATCH_ROWS: usize = 2000;

/// Slot of a replay of dead letters: there is one at a time of each name.
const REPLAY_SLOT: &str = "replay";

/// How far records may be ahead of this machine's clock where the file does not say.
const AHEAD_MAX: Span = Span::seconds(60);

/// Largest record of a topic that is created for originals, bytes: twice Kafka's default.
const ORIGINAL_BYTES_MAX: u32 = 2 << 20;

impl Wiring {
    fn kafka(&self) -> Result<&KafkaSourceSpec, SourceError> {
        self.plan.source.kafka.as_ref().ok_or_else(|| SourceError::Config {
            what: "sources".to_owned(),
            reason: "names neither `kafka` nor `file` nor `simulate`".to_owned(),
        })
    }

    /// Decisions of the pipeline's own runs so far, from its control topic; none where it never ran on Kafka.
    ///
    /// # Errors
    /// As the source's; [`SourceError::Config`] for a record that is no decision.
    pub fn control_log(&self) -> Result<ControlLog, SourceError> {
        let Some(kafka) = &self.plan.source.kafka else { return Ok(ControlLog::default()) };
        let topic = self.plan.control_topic();
        let config = whole_topic(self.connection(kafka)?, &topic, self.evaluation_group("control"));
        let mut source = KafkaSource::open(config)?;
        match source.partition_counts() {
            Err(SourceError::TopicMissing { .. }) => return Ok(ControlLog::default()),
            counts => counts?,
        };
        let mut records = Vec::new();
        read_to_end(&mut source, "reading the control log", &mut Decisions { topic: &topic, records: &mut records })?;
        Ok(ControlLog::new(&self.plan, records))
    }

    /// Hands every record of the dead-letter topic to `take`, up to its present end, until that answers `false`. Nothing is
    /// committed.
    ///
    /// # Errors
    /// As the source's; [`SourceError::Config`] where the pipeline has no dead-letter topic.
    pub fn dead_letters(&self, take: &mut dyn FnMut(Letter<'_>) -> bool) -> Result<(), SourceError> {
        let topic = self.dead_letter_topic()?;
        let config = whole_topic(self.connection(self.kafka()?)?, topic, self.evaluation_group("dlq"));
        read_to_end(&mut KafkaSource::open(config)?, "reading dead letters", &mut Look(take))
    }

    /// Sends dead letters back to the topic that they came from, or to another one, as they were before they died.
    /// `progress` is told after every transaction.
    ///
    /// # Errors
    /// As [`Wiring::dead_letters`], and the ledger's. What was sent stays sent; the same request goes on from there.
    pub fn replay_dead_letters(
        &self,
        request: &ReplayRequest,
        progress: &mut dyn FnMut(&ReplaySummary),
    ) -> Result<ReplaySummary, PipelineError> {
        let (kafka, topic) = (self.kafka()?, self.dead_letter_topic()?);
        let group = format!("{}.dlq-{}", self.plan.group(), request.name());
        let topics = request.to.clone().map_or_else(|| kafka.topics.clone(), |to| vec![to]);
        let config = KafkaSourceConfig {
            slot: Some(REPLAY_SLOT.to_owned()),
            ..whole_topic(self.connection(kafka)?, topic, group.clone())
        };
        let ledger = KafkaLedger::open(KafkaLedgerConfig {
            connection: self.connection(kafka)?,
            topics: vec![topic.to_owned()],
            state: StateTopic { topic: format!("{group}.state"), replication: self.plan.runtime.state_replication },
            group,
            slot: REPLAY_SLOT.to_owned(),
            sinks: topics.iter().map(|topic| SinkTopic { topic: topic.clone(), create: None }).collect(),
            transactional: true,
            transaction_timeout: TRANSACTION_TIMEOUT,
            forget_remade: true,
        })?;
        let pipeline = self.plan.name.as_str();
        let replay = Replay { request, pipeline, ledger, topics: &topics, summary: ReplaySummary::default(), progress };
        replay.run(&mut KafkaSource::open(config)?)
    }

    fn dead_letter_topic(&self) -> Result<&str, SourceError> {
        let sinks = self.plan.sinks.declared().iter().map(|(_, sink)| sink);
        let mut letters = sinks.filter(|sink| sink.from == Output::DeadLetter).filter_map(|sink| sink.kafka.as_ref());
        let none = || SourceError::Config {
            what: "sinks".to_owned(),
            reason:
                "has no dead-letter topic: `dead_letter: { from: dead_letter, kafka: { topic: ... } }`; what goes to a \
                     folder is in its `epoch-*/SINK.ndjson`, a letter a line"
                    .to_owned(),
        };
        letters.next().map(|kafka| kafka.topic.as_str()).ok_or_else(none)
    }

    fn evaluation_group(&self, of: &str) -> String {
        format!("{}.{of}-{}", self.plan.group(), self.token)
    }

    /// Partitions of each of the source's topics, where its brokers tell within a time.
    ///
    /// # Errors
    /// As [`Source::partition_counts`]; [`SourceError::Config`] where the source is not on Kafka.
    pub fn partition_counts(&self, within: Duration) -> Result<Vec<u32>, SourceError> {
        let kafka = self.kafka()?;
        let [first, ..] = kafka.topics.as_slice() else { return Ok(Vec::new()) };
        let config = whole_topic(self.connection(kafka)?, first, self.evaluation_group("partitions"));
        let config = KafkaSourceConfig { topics: kafka.topics.clone(), ..config };
        KafkaSource::open(config)?.partition_counts_within(within)
    }

    pub(super) fn kafka_source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let kafka = self.kafka()?;
        // An evaluation must not touch the offsets of the pipeline that runs.
        let group = if self.discards { self.evaluation_group("evaluation") } else { self.plan.group() };
        let instance_id = (self.plan.runtime.static_membership && !self.discards).then(|| slot.to_owned());
        // It scores all that the topic holds: from `latest` on a bounded run would read nothing.
        let start_at = if self.discards { StartAt::Earliest } else { start_at(&kafka.start_at) };
        let config = KafkaSourceConfig {
            connection: self.connection(kafka)?,
            topics: kafka.topics.clone(),
            group,
            slot: (!self.discards).then(|| slot.to_owned()),
            instance_id,
            start_at,
            on_gap: match kafka.on_gap {
                crate::spec::model::OnGap::Fail => OnGap::Fail,
                crate::spec::model::OnGap::Skip => OnGap::Skip,
            },
            until,
        };
        Ok(Box::new(KafkaSource::open(config)?))
    }

    /// Whether everything is there that the pipeline needs of its brokers; touches nothing. `now_micros`: microseconds since
    /// 1970 UTC.
    ///
    /// # Errors
    /// [`SourceError::Config`] where there is nothing to connect to.
    pub fn check_up(&self, now_micros: i64) -> Result<Vec<Finding>, SourceError> {
        let Some(kafka) = self.plan.source.kafka.as_ref().filter(|kafka| !kafka.embedded()) else {
            return Ok(vec![Finding::ok("brokers", "none is needed".to_owned())]);
        };
        let config = self.ledger_config(kafka, "doctor", &[])?;
        let ahead = self.plan.source.event_time.future_skew().unwrap_or(AHEAD_MAX);
        Ok(check_up(&config, Present { now_ms: now_micros / 1000, ahead_ms_max: ahead.micros / 1000 }))
    }

    pub(super) fn kafka_ledger(&self, slot: &str, counts: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let topic_error =
            |error: SourceError| LedgerError::Topic { topic: "sources".to_owned(), reason: error.to_string() };
        let config = self.kafka().and_then(|kafka| self.ledger_config(kafka, slot, counts)).map_err(topic_error)?;
        Ok(Box::new(KafkaLedger::open(config)?))
    }

    fn ledger_config(
        &self,
        source: &KafkaSourceSpec,
        slot: &str,
        counts: &[u32],
    ) -> Result<KafkaLedgerConfig, SourceError> {
        let sink = |topic: &String, create: Option<CreateTopic>| SinkTopic { topic: topic.clone(), create };
        let mut sinks = Vec::new();
        for (_, declared) in self.plan.sinks.declared() {
            let Some(kafka) = &declared.kafka else { continue };
            sinks.push(sink(&kafka.topic, kafka.create.as_ref().map(|create| create_topic(create, declared.from))));
        }
        let control = CreateTopic {
            partitions: counts.iter().copied().max().unwrap_or(1),
            replication: self.plan.runtime.state_replication,
            config: [("retention.ms".to_owned(), "-1".to_owned())].into(),
        };
        sinks.push(sink(&self.plan.control_topic(), Some(control)));
        Ok(KafkaLedgerConfig {
            connection: self.connection(source)?,
            topics: source.topics.clone(),
            group: self.plan.group(),
            slot: slot.to_owned(),
            state: StateTopic { topic: self.plan.state_topic(), replication: self.plan.runtime.state_replication },
            sinks,
            transactional: self.plan.delivery == Delivery::ExactlyOnce,
            transaction_timeout: TRANSACTION_TIMEOUT,
            forget_remade: self.plan.resets_all(),
        })
    }

    /// How the plan's source reaches its brokers.
    ///
    /// # Errors
    /// [`SourceError::Config`] where it is not on Kafka, or a secret or property cannot be used.
    pub fn source_connection(&self) -> Result<KafkaConnection, SourceError> {
        self.connection(self.kafka()?)
    }

    fn connection(&self, kafka: &KafkaSourceSpec) -> Result<KafkaConnection, SourceError> {
        let refused = |what: &str, reason: String| SourceError::Config { what: what.to_owned(), reason };
        let mut properties = kafka.properties.0.clone();
        if let Some(security) = &kafka.security {
            let secured = security::properties(security, &self.plan.folder)
                .map_err(|error| refused("security", error.to_string()))?;
            properties.extend(secured.into_iter().map(|(key, value)| (key.to_owned(), value)));
        }
        let properties = Properties::checked(properties).map_err(|errors| {
            let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
            refused("kafka properties", reasons.join("; "))
        })?;
        let brokers = match &self.embedded {
            Some(broker) => Brokers::Embedded(broker.clone()),
            None if kafka.embedded() => {
                return Err(refused("brokers", "an embedded broker starts empty: nothing to evaluate".to_owned()));
            }
            None => Brokers::List(kafka.brokers.clone()),
        };
        let client_id = format!("arterial.{}", self.plan.name);
        Ok(KafkaConnection { brokers, client_id, properties })
    }
}

/// The values of the first records of a topic, as many as there are up to its present end. Nothing is committed.
///
/// # Errors
/// As the source's.
pub fn first_values(
    connection: KafkaConnection,
    topic: &str,
    count: usize,
) -> Result<Vec<(i32, Vec<u8>)>, SourceError> {
    let group = format!("{}-{}", connection.client_id, token());
    let config = whole_topic(connection, topic, group);
    let mut values = Values { values: Vec::new(), count };
    read_to_end(&mut KafkaSource::open(config)?, "reading a topic", &mut values)?;
    Ok(values.values)
}

/// Gathers the values of a topic's first records.
struct Values {
    values: Vec<(i32, Vec<u8>)>,
    count: usize,
}

impl Visit<SourceError> for Values {
    fn batch(&mut self, _: &dyn Source, batch: &SourceBatch) -> Result<bool, SourceError> {
        if let Payload::Raw(rows) = &batch.payload {
            // Of each batch a part, so that one partition does not make up the whole.
            let left = (self.count - self.values.len()).min(SAMPLE_BATCH_ROWS);
            let values = (0..rows.len()).filter_map(|row| rows.value(row)).take(left);
            self.values.extend(values.map(|value| (batch.partition.number, value.to_vec())));
        }
        Ok(self.values.len() < self.count)
    }
}

/// A topic from its oldest record to its present end.
fn whole_topic(connection: KafkaConnection, topic: &str, group: String) -> KafkaSourceConfig {
    KafkaSourceConfig {
        connection,
        topics: vec![topic.to_owned()],
        group,
        slot: None,
        instance_id: None,
        start_at: StartAt::Earliest,
        on_gap: OnGap::Skip,
        until: Until::Latest,
    }
}

/// The broker of `brokers: embedded`, with the topics that the plan reads.
pub(super) fn embedded(plan: &PipelinePlan) -> Result<Option<EmbeddedBroker>, LedgerError> {
    let Some(kafka) = plan.source.kafka.as_ref().filter(|kafka| kafka.embedded()) else { return Ok(None) };
    let broker = EmbeddedBroker::start()?;
    for topic in &kafka.topics {
        broker.create_topic(topic, kafka.partitions.unwrap_or(1))?;
    }
    Ok(Some(broker))
}

/// A name that no other evaluation has, wherever it runs: processes of two containers may have the same id, and members
/// of one group would share the partitions.
pub(super) fn token() -> String {
    // The standard library's hasher is seeded by the operating system.
    format!("{}-{:016x}", std::process::id(), RandomState::new().hash_one(std::process::id()))
}

/// Gathers the decisions of a control topic.
struct Decisions<'a> {
    topic: &'a str,
    records: &'a mut Vec<ControlRecord>,
}

impl Visit<SourceError> for Decisions<'_> {
    fn batch(&mut self, _: &dyn Source, batch: &SourceBatch) -> Result<bool, SourceError> {
        let Payload::Raw(rows) = &batch.payload else { return Ok(true) };
        for index in 0..rows.len() {
            let record = serde_json::from_slice(rows.value(index).unwrap_or_default());
            self.records.push(record.map_err(|error| SourceError::Config {
                what: format!("topic `{}`", self.topic),
                reason: format!("the record at offset {} is no decision: {error}", batch.payload.offset(index)),
            })?);
        }
        Ok(true)
    }
}

fn start_at(text: &str) -> StartAt {
    match text {
        "latest" => StartAt::Latest,
        // The rules have refused whatever is neither a word nor a time.
        text => DateTime::parse_from_rfc3339(text)
            .map_or(StartAt::Earliest, |time| StartAt::Timestamp(time.timestamp_millis())),
    }
}

/// Originals go out with headers added: a topic for them takes records larger than the source's may be.
fn create_topic(create: &CreateSpec, from: Output) -> CreateTopic {
    let mut config = create.config.clone();
    if matches!(from, Output::DeadLetter | Output::Late) {
        config.entry("max.message.bytes".to_owned()).or_insert_with(|| ORIGINAL_BYTES_MAX.to_string());
    }
    CreateTopic { partitions: create.partitions, replication: create.replication, config }
}
