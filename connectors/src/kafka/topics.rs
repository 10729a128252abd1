//! Topics that outputs and state need: looked for, and created where that is allowed.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use super::config::{KafkaConnection, TopicSettings};
use crate::ledger::LedgerError;

const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the broker about topics and creates them.
pub(super) struct Topics {
    admin: AdminClient<DefaultClientContext>,
}

impl Topics {
    pub(super) fn connect(connection: &KafkaConnection) -> Result<Self, LedgerError> {
        let admin = connection.producer(None).create().map_err(|error| client("connect", &error.to_string(), false))?;
        Ok(Self { admin })
    }

    /// Number of partitions of a topic; `None` where there is no such topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<u32>, LedgerError> {
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(Some(topic), ASK_TIMEOUT)
            .map_err(|error| client("ask for topics", &error.to_string(), true))?;
        let found = metadata.topics().iter().find(|one| one.name() == topic && one.error().is_none());
        Ok(found.map(|one| one.partitions().len() as u32).filter(|count| *count > 0))
    }

    /// A topic that exists, created where `settings` say how. Returns its number of partitions.
    pub(super) fn ensure(&self, topic: &str, settings: Option<&TopicSettings>) -> Result<u32, LedgerError> {
        if let Some(partitions) = self.partitions(topic)? {
            return Ok(partitions);
        }
        let missing = |reason: String| LedgerError::Topic { topic: topic.to_owned(), reason };
        let settings = settings.ok_or_else(|| missing("does not exist, and the sink has no `create:`".to_owned()))?;
        self.create(topic, settings)?;
        // The controller has it; the metadata of every broker follows.
        for _ in 0..100 {
            if let Some(partitions) = self.partitions(topic)? {
                return Ok(partitions);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(missing("was created but does not appear".to_owned()))
    }

    fn create(&self, topic: &str, settings: &TopicSettings) -> Result<(), LedgerError> {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let replication =
            settings.replication.map_or(TopicReplication::Fixed(-1), |r| TopicReplication::Fixed(count(r)));
        let mut new = NewTopic::new(topic, count(settings.partitions), replication);
        for (name, value) in &settings.config {
            new = new.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(ASK_TIMEOUT)).request_timeout(Some(ASK_TIMEOUT));
        let created = futures_executor::block_on(self.admin.create_topics([&new], &options))
            .map_err(|error| client("create topic", &error.to_string(), true))?;
        match created.into_iter().next() {
            Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                Err(LedgerError::Topic { topic: topic.to_owned(), reason: format!("cannot be created: {code}") })
            }
            _ => Ok(()),
        }
    }
}

/// Makes sure that a topic exists; returns its number of partitions.
///
/// # Errors
/// [`LedgerError::Topic`] where it does not exist and may not be created; transient ones where no broker answers.
pub fn ensure_topic(
    connection: &KafkaConnection,
    topic: &str,
    settings: Option<&TopicSettings>,
) -> Result<u32, LedgerError> {
    Topics::connect(connection)?.ensure(topic, settings)
}

pub(super) fn client(operation: &'static str, reason: &str, transient: bool) -> LedgerError {
    LedgerError::Client { operation, reason: reason.to_owned(), transient }
}
