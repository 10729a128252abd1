//! Records -> one topic, in bulk and outside transactions: what `arterial replay` writes with. Every record is
//! delivered once and in order of its partition, or [`KafkaWriter::flush`] says which was not.

use std::time::Duration;

use super::config::KafkaConnection;
use super::producer::{Failure, Origin, Outgoing, RecordProducer, SendError};
use super::topics::record_bytes_max;
use crate::ledger::LedgerError;
use rdkafka::types::RDKafkaErrorCode;

/// How long a flush waits; records time out on their own after five minutes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);

/// Writes to one topic; keys decide the partition by murmur2, keyless records go round.
pub struct KafkaWriter {
    connection: KafkaConnection,
    topic: String,
    producer: RecordProducer,
    accepted: u64,
}

impl KafkaWriter {
    /// Opens a writer. The topic has to exist: see [`super::ensure_topic`].
    ///
    /// # Errors
    /// [`LedgerError::Client`] where librdkafka does not accept the settings.
    pub fn open(connection: &KafkaConnection, topic: &str) -> Result<Self, LedgerError> {
        let producer = RecordProducer::open(&connection.producer(), &connection.log())?;
        Ok(Self { connection: connection.clone(), topic: topic.to_owned(), producer, accepted: 0 })
    }

    /// Queues one record; waits while the queue is full. `ts_ms`: milliseconds since 1970 UTC, the present unless
    /// given (a topic with retention soon deletes records with old timestamps).
    ///
    /// # Errors
    /// [`LedgerError::TooLarge`], and the failure of an earlier record.
    pub fn send(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, ts_ms: Option<i64>) -> Result<(), LedgerError> {
        self.send_to(None, key, value, ts_ms)
    }

    /// As [`KafkaWriter::send`], to a partition that the key does not decide.
    ///
    /// # Errors
    /// As [`KafkaWriter::send`].
    pub fn send_to(
        &mut self,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        ts_ms: Option<i64>,
    ) -> Result<(), LedgerError> {
        let outgoing =
            Outgoing { origin: Origin::Sink(0), topic: &self.topic, partition, key, value, headers: &[], ts_ms };
        match self.producer.send(&outgoing) {
            Ok(()) => {}
            Err(SendError::TooLarge { bytes }) => return Err(self.too_large(bytes)),
            Err(SendError::Fenced) => return Err(failed("writing", "the producer was fenced".to_owned(), false)),
            Err(SendError::Refused(error)) => return Err(failed("writing", error.to_string(), false)),
        }
        self.accepted += 1;
        self.producer.take_failure().map_or(Ok(()), |failure| Err(self.explain(failure)))
    }

    /// Waits until everything is delivered; the number of records delivered since the writer was opened.
    ///
    /// # Errors
    /// The first record that could not be delivered; [`LedgerError::Client`] where the brokers do not answer.
    pub fn flush(&mut self) -> Result<u64, LedgerError> {
        let flushed = self.producer.flush(FLUSH_TIMEOUT);
        if let Some(failure) = self.producer.take_failure() {
            return Err(self.explain(failure));
        }
        if !flushed {
            let reason = format!("not everything was delivered within {} s", FLUSH_TIMEOUT.as_secs());
            return Err(failed("flushing", reason, true));
        }
        Ok(self.accepted)
    }

    fn too_large(&self, bytes: usize) -> LedgerError {
        let limit = record_bytes_max(&self.connection, &self.topic, self.producer.message_bytes_max());
        LedgerError::TooLarge { topic: self.topic.clone(), bytes, limit }
    }

    fn explain(&self, failure: Failure) -> LedgerError {
        match failure.code {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => self.too_large(failure.bytes),
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                LedgerError::Topic { topic: self.topic.clone(), reason: "does not exist".to_owned() }
            }
            _ => failed("delivering a record", failure.reason, true),
        }
    }
}

fn failed(operation: &'static str, reason: String, transient: bool) -> LedgerError {
    LedgerError::Client { operation, reason, transient }
}
