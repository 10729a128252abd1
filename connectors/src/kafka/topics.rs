//! Topics: do they exist with the right shape, and may we make them? Input topics are never created here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;

use super::config::{Brokers, KafkaConnection};
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
            .map_err(|error| LedgerError::Client {
                operation: "asking for a topic",
                // What the brokers said, where they did: "timed out" alone tells an operator nothing.
                reason: match self.context.0.connected() {
                    Err(reason) if query::passing(&error) => format!("{error}: {reason}"),
                    _ => error.to_string(),
                },
                transient: query::passing(&error),
            })
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
        if matches!(self.connection.brokers, Brokers::Embedded(_)) {
            return None;
        }
        let options = AdminOptions::new().request_timeout(Some(query::ANSWER_TIMEOUT));
        let question = [ResourceSpecifier::Topic(topic)];
        let answer = block_on(self.client.describe_configs(&question, &options)).ok()?;
        let resource = answer.into_iter().next()?.ok()?;
        resource.get("max.message.bytes")?.value.as_ref()?.parse().ok()
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
