//! Topics: do they exist with the right shape, and may we make them? Input topics are never created here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::Client;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::config::{Brokers, KafkaConnection};
use super::describe;
use super::ledger::StateTopic;
use super::log::{ClientLog, PlainContext};
use super::producer::{RecordProducer, WriterContext};
use super::query;
use super::refusal::{self, Resource};
use crate::access::AccessError;
use crate::ledger::LedgerError;

/// How long the brokers may take to create a topic, and a new topic to become known everywhere.
const CREATE_TIMEOUT: Duration = Duration::from_secs(20);

/// How to create a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateTopic {
    /// Number of partitions.
    pub partitions: u32,
    /// Replication factor; the broker's default unless given.
    pub replication: Option<u32>,
    /// Topic configuration, as `retention.ms` -> `-1`.
    pub config: BTreeMap<String, String>,
}

/// A topic that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicState {
    /// Number of partitions.
    pub partitions: u32,
    /// Whether it was made just now.
    pub created: bool,
}

/// The partitions of a topic; makes the topic first where it is missing and `create` says how.
///
/// # Errors
/// [`LedgerError::Topic`] where it is missing and may not be made or could not be, [`LedgerError::Client`] where
/// the brokers do not answer.
pub fn ensure_topic(
    connection: &KafkaConnection,
    topic: &str,
    create: Option<&CreateTopic>,
) -> Result<TopicState, LedgerError> {
    Administrator::open(connection)?.ensure(topic, "Write", create)
}

/// A client for metadata and topic administration.
pub(super) struct Administrator {
    connection: KafkaConnection,
    /// Asks. A producer, since unlike a client of the administration it can be polled for errors: there alone is said
    /// why a login was refused.
    asker: Arc<BaseProducer<WriterContext>>,
    log: Arc<ClientLog>,
}

/// How long one try of a question may take: between two, errors of the client are looked at.
const TRY_TIMEOUT: Duration = Duration::from_millis(500);

impl Administrator {
    pub(super) fn open(connection: &KafkaConnection) -> Result<Self, LedgerError> {
        let log = connection.log();
        let asker = RecordProducer::open(&connection.admin(), &log)?.shared();
        Ok(Self { connection: connection.clone(), asker, log })
    }

    /// Number of partitions, `None` where the topic does not exist. `operation`: what it is needed for.
    pub(super) fn partitions(&self, topic: &str, operation: &'static str) -> Result<Option<u32>, LedgerError> {
        self.ask("asking for a topic", topic, operation, |timeout| {
            query::partition_count(self.client(), topic, timeout)
        })
    }

    /// The end of a topic's partition.
    pub(super) fn end(&self, topic: &str, partition: i32) -> Result<i64, LedgerError> {
        let ends = self.ask("asking for an end", topic, "Read", |timeout| {
            self.client().fetch_watermarks(topic, partition, timeout)
        });
        ends.map(|(_, end)| end)
    }

    /// Asks about a topic until there is an answer, it is refused, or patience ends. `operation`: what it is needed for.
    fn ask<T>(
        &self,
        asking: &'static str,
        topic: &str,
        operation: &'static str,
        question: impl Fn(Duration) -> Result<T, KafkaError>,
    ) -> Result<T, LedgerError> {
        let started = Instant::now();
        loop {
            let error = match question(TRY_TIMEOUT) {
                Ok(answer) => {
                    self.log.mark_up();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if let Some(denied) = refusal::denied(error.rdkafka_error_code(), operation, Resource::Topic(topic)) {
                return Err(denied.into());
            }
            self.asker.poll(Duration::ZERO);
            if let Some(refusal) = self.log.refused() {
                return Err(refusal::explained(refusal, &self.connection).into());
            }
            let transient = query::passing(&error);
            if !transient || started.elapsed() >= query::ANSWER_TIMEOUT {
                // What the brokers said, where they did: "timed out" alone tells an operator nothing.
                let reason = match self.log.connected() {
                    Err(reason) if transient => format!("{error}: {reason}"),
                    _ => error.to_string(),
                };
                return Err(LedgerError::Client { operation: asking, reason, transient });
            }
            std::thread::sleep(query::TRY_PAUSE);
        }
    }

    /// The first of these operations on topics that the brokers do not allow; `None` where they allow all or do not say.
    pub(super) fn first_denied(&self, needed: &[(&str, &'static str)]) -> Option<AccessError> {
        let topics: BTreeSet<&str> = needed.iter().map(|(topic, _)| *topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let told = describe::topics(self.client(), &topics, describe::Ask::Permissions, query::ANSWER_TIMEOUT).ok()?;
        let lacks = |topic: &str, operation: &str| match told.get(topic).map(|topic| &topic.allowed) {
            Some(Ok(operations)) => !operations.contains(&operation),
            Some(Err(code)) => refusal::is_denial(*code),
            None => false,
        };
        let (topic, operation) = needed.iter().find(|(topic, operation)| lacks(topic, operation))?;
        Some(AccessError::Denied { operation, resource: Resource::Topic(topic).to_string() })
    }

    pub(super) fn client(&self) -> &Client<WriterContext> {
        self.asker.client()
    }

    fn admin(&self) -> Result<AdminClient<PlainContext>, KafkaError> {
        self.connection.admin().create_with_context(PlainContext(Arc::clone(&self.log)))
    }

    /// The topic with its partitions, made where it is missing and `create` says how. `operation`: what it is needed for.
    pub(super) fn ensure(
        &self,
        topic: &str,
        operation: &'static str,
        create: Option<&CreateTopic>,
    ) -> Result<TopicState, LedgerError> {
        if let Some(partitions) = self.partitions(topic, operation)? {
            return Ok(TopicState { partitions, created: false });
        }
        let problem = |reason: String| LedgerError::Topic { topic: topic.to_owned(), reason };
        let create = create.ok_or_else(|| problem("does not exist".to_owned()))?;
        if let Brokers::Embedded(broker) = &self.connection.brokers {
            broker.create_topic(topic, create.partitions)?;
        } else {
            self.create(topic, create, false)?;
        }
        // A new topic takes a moment to become known to every broker.
        let deadline = Instant::now() + CREATE_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(partitions) = self.partitions(topic, operation)? {
                return Ok(TopicState { partitions, created: true });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(problem("was created but does not appear in the brokers' metadata".to_owned()))
    }

    /// Asks for a topic; `only_validate`: whether it could be made, without making it.
    pub(super) fn create(&self, topic: &str, create: &CreateTopic, only_validate: bool) -> Result<(), LedgerError> {
        let problem = |reason: String| LedgerError::Topic { topic: topic.to_owned(), reason };
        let partitions = i32::try_from(create.partitions).map_err(|error| problem(error.to_string()))?;
        // -1 stands for the broker's default.
        let replication =
            create.replication.map_or(Ok(-1), i32::try_from).map_err(|error| problem(error.to_string()))?;
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication));
        for (key, value) in &create.config {
            new = new.set(key, value);
        }
        let options = AdminOptions::new()
            .validate_only(only_validate)
            .operation_timeout(Some(CREATE_TIMEOUT))
            .request_timeout(Some(CREATE_TIMEOUT));
        let client = self.admin().map_err(|error| problem(error.to_string()))?;
        let answers = block_on(client.create_topics([&new], &options)).map_err(|error| problem(error.to_string()))?;
        match answers.into_iter().next() {
            // Another worker may have been faster.
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(refusal::denied(Some(code), "Create", Resource::Topic(topic))
                .map_or_else(|| problem(format!("could not be created: {code}")), LedgerError::Access)),
        }
    }

    /// A setting of a topic; `None` where the broker does not say.
    pub(super) fn topic_setting(&self, topic: &str, setting: &str) -> Option<String> {
        if matches!(self.connection.brokers, Brokers::Embedded(_)) {
            return None;
        }
        let options = AdminOptions::new().request_timeout(Some(query::ANSWER_TIMEOUT));
        let question = [ResourceSpecifier::Topic(topic)];
        let answer = block_on(self.admin().ok()?.describe_configs(&question, &options)).ok()?;
        let resource = answer.into_iter().next()?.ok()?;
        resource.get(setting)?.value.clone()
    }

    /// Refuses a topic of state from which the broker deletes records that no newer one replaces.
    fn check_compacted(&self, topic: &str) -> Result<(), LedgerError> {
        match self.topic_setting(topic, "cleanup.policy") {
            Some(policy) if !keeps_state(&policy) => Err(LedgerError::StateDeleted { topic: topic.to_owned(), policy }),
            // Forbidden, or unknown to this broker: the topic may still be right. The embedded one keeps what it can.
            None if !matches!(self.connection.brokers, Brokers::Embedded(_)) => {
                tracing::warn!(topic, "the broker does not tell `cleanup.policy`: it has to be `compact`");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Creates the state topic, or checks its partitions and that nothing vanishes from it.
    pub(super) fn ensure_state(&self, state: &StateTopic, topics: &[(Arc<str>, u32)]) -> Result<(), LedgerError> {
        let needed = topics.iter().map(|(_, partitions)| *partitions).max().unwrap_or(1);
        let found = self.ensure(&state.topic, "Write", Some(&state_topic_settings(state, needed)))?;
        if found.partitions == needed {
            return if found.created { Ok(()) } else { self.check_compacted(&state.topic) };
        }
        let reason = format!(
            "has {} partitions, but the source has {needed}: the number of partitions of a topic must not change under state",
            found.partitions
        );
        Err(LedgerError::Topic { topic: state.topic.clone(), reason })
    }
}

/// How the state topic is made.
pub(super) fn state_topic_settings(state: &StateTopic, partitions: u32) -> CreateTopic {
    // Small segments, compacted early: a restore reads everything that compaction has not removed. A deletion
    // outlives a slow restore by far.
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "67108864"),
        ("segment.ms", "3600000"),
        ("min.cleanable.dirty.ratio", "0.2"),
        ("delete.retention.ms", "3600000"),
        // A block of the longest keys takes 2 MB.
        ("max.message.bytes", "8388608"),
    ];
    let config = config.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    CreateTopic { partitions, replication: state.replication, config }
}

/// The largest record, bytes, that both our producer and the topic take.
pub(super) fn record_bytes_max(connection: &KafkaConnection, topic: &str, ours: usize) -> usize {
    let theirs =
        Administrator::open(connection).ok().and_then(|client| client.topic_setting(topic, "max.message.bytes"));
    theirs.and_then(|bytes| bytes.parse().ok()).map_or(ours, |theirs: usize| ours.min(theirs))
}

/// Name and number of partitions of each source topic.
pub(super) fn source_topics(
    administrator: &Administrator,
    topics: &[String],
) -> Result<Vec<(Arc<str>, u32)>, LedgerError> {
    let mut found = Vec::with_capacity(topics.len());
    for topic in topics {
        let partitions = administrator
            .partitions(topic, "Read")?
            .ok_or_else(|| LedgerError::Topic { topic: topic.clone(), reason: "does not exist".to_owned() })?;
        found.push((Arc::from(topic.as_str()), partitions));
    }
    Ok(found)
}

/// Whether a topic of this `cleanup.policy` loses only records that a newer one replaces.
pub(super) fn keeps_state(policy: &str) -> bool {
    policy == "compact"
}
