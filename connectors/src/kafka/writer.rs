//! A plain producer for replays: as many records as it is given, in order per key, each acknowledged by `flush`.

use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::config::{KafkaConnection, TopicSettings};
use super::context::Context;
use super::topics::{client, ensure_topic};
use crate::ledger::LedgerError;

/// Longest wait for the broker to acknowledge what was sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);

/// Writes records to one topic.
pub struct KafkaWriter {
    producer: BaseProducer<Context>,
    topic: String,
    sent: u64,
}

impl KafkaWriter {
    /// Connects, and creates the topic where `create` says how and it is missing.
    ///
    /// # Errors
    /// As [`ensure_topic`].
    pub fn open(
        connection: &KafkaConnection,
        topic: &str,
        create: Option<&TopicSettings>,
    ) -> Result<Self, LedgerError> {
        ensure_topic(connection, topic, create)?;
        let producer = connection
            .producer(None)
            .create_with_context(Context::default())
            .map_err(|error| client("connect", &error.to_string(), false))?;
        Ok(Self { producer, topic: topic.to_owned(), sent: 0 })
    }

    /// Sends one record; waits where the client's buffer is full. `timestamp_ms`: the present unless given.
    ///
    /// # Errors
    /// [`LedgerError::Client`] where the record cannot be sent or an earlier one was refused.
    pub fn send(&mut self, key: Option<&[u8]>, value: &[u8], timestamp_ms: Option<i64>) -> Result<(), LedgerError> {
        self.sent += 1;
        if self.sent.is_multiple_of(4096) {
            self.producer.poll(Duration::ZERO);
            self.check()?;
        }
        loop {
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic).payload(value);
            record.key = key;
            record.timestamp = timestamp_ms;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(Duration::from_millis(5));
                    self.check()?;
                }
                Err((error, _)) => return Err(client("send", &error.to_string(), false)),
            }
        }
    }

    /// Waits until every record is acknowledged.
    ///
    /// # Errors
    /// [`LedgerError::Client`] where one was refused or the broker does not answer.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        self.producer.flush(FLUSH_TIMEOUT).map_err(|error| client("flush", &error.to_string(), true))?;
        self.check()
    }

    fn check(&self) -> Result<(), LedgerError> {
        self.producer.context().take_failed_delivery().map_or(Ok(()), |reason| Err(client("send", &reason, false)))
    }
}
