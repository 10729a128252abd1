//! Topics: do they exist with the right shape, and may we make them? Input topics are never created here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::config::{Brokers, KafkaConnection};
use super::ledger::StateTopic;
use super::log::PlainContext;
use super::query;
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
    Administrator::open(connection)?.ensure(topic, create)
}

/// A client for metadata and topic administration.
pub(super) struct Administrator {
    connection: KafkaConnection,
    client: AdminClient<PlainContext>,
    context: PlainContext,
}

impl Administrator {
    pub(super) fn open(connection: &KafkaConnection) -> Result<Self, LedgerError> {
        let context = PlainContext(connection.log());
        let client = connection.admin().create_with_context(context.clone()).map_err(|error| LedgerError::Client {
            operation: "opening a client",
            reason: context.0.redact(&error.to_string()),
            transient: false,
        })?;
        Ok(Self { connection: connection.clone(), client, context })
    }

    /// Number of partitions, `None` where the topic does not exist.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<u32>, LedgerError> {
        query::insist(query::ANSWER_TIMEOUT, |timeout| query::partition_count(self.client.inner(), topic, timeout))
            .map_err(|error| self.failed("asking for a topic", &error))
    }

    fn failed(&self, operation: &'static str, error: &KafkaError) -> LedgerError {
        // What the brokers said, where they did: "timed out" alone tells an operator nothing.
        let reason = match self.context.0.connected() {
            Err(reason) if query::passing(error) => format!("{error}: {reason}"),
            _ => error.to_string(),
        };
        LedgerError::Client { operation, reason, transient: query::passing(error) }
    }

    pub(super) fn ensure(&self, topic: &str, create: Option<&CreateTopic>) -> Result<TopicState, LedgerError> {
        if let Some(partitions) = self.partitions(topic)? {
            return Ok(TopicState { partitions, created: false });
        }
        let problem = |reason: String| LedgerError::Topic { topic: topic.to_owned(), reason };
        let create = create.ok_or_else(|| problem("does not exist".to_owned()))?;
        if let Brokers::Embedded(broker) = &self.connection.brokers {
            broker.create_topic(topic, create.partitions)?;
        } else {
            self.create(topic, create).map_err(problem)?;
        }
        // A new topic takes a moment to become known to every broker.
        let deadline = std::time::Instant::now() + CREATE_TIMEOUT;
        while std::time::Instant::now() < deadline {
            if let Some(partitions) = self.partitions(topic)? {
                return Ok(TopicState { partitions, created: true });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(problem("was created but does not appear in the brokers' metadata".to_owned()))
    }

    fn create(&self, topic: &str, create: &CreateTopic) -> Result<(), String> {
        let partitions = i32::try_from(create.partitions).map_err(|error| error.to_string())?;
        // -1 stands for the broker's default.
        let replication = create.replication.map_or(Ok(-1), i32::try_from).map_err(|error| error.to_string())?;
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication));
        for (key, value) in &create.config {
            new = new.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(CREATE_TIMEOUT)).request_timeout(Some(CREATE_TIMEOUT));
        let answers = block_on(self.client.create_topics([&new], &options)).map_err(|error| error.to_string())?;
        match answers.into_iter().next() {
            // Another worker may have been faster.
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(format!("could not be created: {code}")),
        }
    }

    /// The largest batch, bytes, that a topic accepts; `None` where the broker does not say.
    pub(super) fn message_bytes_max(&self, topic: &str) -> Option<usize> {
        self.setting(topic, "max.message.bytes")?.parse().ok()
    }

    /// The value of a topic's setting; `None` where the broker does not say.
    fn setting(&self, topic: &str, name: &'static str) -> Option<String> {
        if matches!(self.connection.brokers, Brokers::Embedded(_)) {
            return None;
        }
        let options = AdminOptions::new().request_timeout(Some(query::ANSWER_TIMEOUT));
        let question = [ResourceSpecifier::Topic(topic)];
        let answer = block_on(self.client.describe_configs(&question, &options)).ok()?;
        let resource = answer.into_iter().next()?.ok()?;
        resource.get(name)?.value.clone()
    }

    /// Refuses a topic of state from which the broker deletes records that no newer one replaces.
    fn check_compacted(&self, topic: &str) -> Result<(), LedgerError> {
        match self.setting(topic, "cleanup.policy") {
            Some(policy) if policy != "compact" => Err(LedgerError::StateDeleted { topic: topic.to_owned(), policy }),
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
        let create = CreateTopic { partitions: needed, replication: state.replication, config };
        let found = self.ensure(&state.topic, Some(&create))?;
        if found.partitions == needed {
            return if found.created { Ok(()) } else { self.check_compacted(&state.topic) };
        }
        let reason = format!(
            "has {} partitions, but the source has {needed}: the number of partitions of a topic must not change under state",
            found.partitions
        );
        Err(LedgerError::Topic { topic: state.topic.clone(), reason })
    }

    /// The end of a topic's partition.
    pub(super) fn end(&self, topic: &str, partition: i32) -> Result<i64, LedgerError> {
        let client = self.client.inner();
        query::insist(query::ANSWER_TIMEOUT, |timeout| client.fetch_watermarks(topic, partition, timeout))
            .map(|(_, end)| end)
            .map_err(|error| self.failed("asking for an end", &error))
    }
}

/// The largest record, bytes, that both our producer and the topic take.
pub(super) fn record_bytes_max(connection: &KafkaConnection, topic: &str, ours: usize) -> usize {
    let theirs = Administrator::open(connection).ok().and_then(|client| client.message_bytes_max(topic));
    ours.min(theirs.unwrap_or(usize::MAX))
}

/// Name and number of partitions of each source topic.
pub(super) fn source_topics(
    administrator: &Administrator,
    topics: &[String],
) -> Result<Vec<(Arc<str>, u32)>, LedgerError> {
    let mut found = Vec::with_capacity(topics.len());
    for topic in topics {
        let partitions = administrator
            .partitions(topic)?
            .ok_or_else(|| LedgerError::Topic { topic: topic.clone(), reason: "does not exist".to_owned() })?;
        found.push((Arc::from(topic.as_str()), partitions));
    }
    Ok(found)
}
