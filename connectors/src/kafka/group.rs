//! The source's part in its group: what librdkafka reports becomes events, and its questions are answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message, TopicPartitionList};

use super::native::has_events;
use super::query;
use super::reader::Reader;
use super::rebalance::{Rebalance, unassign_started};
use super::refusal::{self, Resource};
use super::source::{KafkaSource, SourceConsumer, TOPIC_CHECK_EVERY, TOPIC_GRACE, TopicsCheck};
use crate::position::Partition;
use crate::source::{SourceError, SourceEvent, Until};

/// How long one question for an end may hold up the worker; it is asked again at the next poll.
const END_TIMEOUT: Duration = Duration::from_secs(2);

impl KafkaSource {
    /// Works off librdkafka's events; rows are not among them.
    pub(super) fn serve(&mut self) -> Result<(), SourceError> {
        let consumer = Arc::clone(self.consumer()?);
        loop {
            match consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    // Every partition's queue is split off before it is started.
                    return Err(SourceError::Client {
                        operation: "reading",
                        reason: format!(
                            "a record of partition {} of `{}` came by the main queue",
                            message.partition(),
                            message.topic()
                        ),
                        transient: false,
                    });
                }
                Some(Err(error)) => self.judge(&consumer, &error)?,
                None => {}
            }
            while let Some(decision) = consumer.context().next() {
                self.follow(&consumer, decision)?;
            }
            if !has_events(&consumer) {
                return Ok(());
            }
        }
    }

    fn judge(&mut self, consumer: &SourceConsumer, error: &KafkaError) -> Result<(), SourceError> {
        if let Some((code, reason)) = consumer.client().fatal_error() {
            if refusal::is_denial(code) {
                return Err(self.denied(code, error));
            }
            let reason = format!("{code}: {}", self.log.redact(&reason));
            return Err(SourceError::Client { operation: "reading", reason, transient: false });
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                if self.topics_check.is_none() {
                    self.topics_check = Some(TopicsCheck { next: Instant::now(), missing_since: None });
                }
                Ok(())
            }
            Some(code) if refusal::is_denial(code) => Err(self.denied(code, error)),
            // The context has logged it and knows whether the brokers are away; librdkafka tries again.
            _ => Ok(()),
        }
    }

    /// Which of the group and its topics the brokers refuse.
    fn denied(&self, code: RDKafkaErrorCode, error: &KafkaError) -> SourceError {
        let group = Resource::Group(&self.config.group);
        let topics = self.config.topics.iter().map(|topic| Resource::Topic(topic));
        let mut candidates = std::iter::once(group).chain(topics);
        candidates
            .find_map(|resource| refusal::denied(Some(code), "Read", resource))
            .map_or_else(|| self.client_error("reading", error), SourceError::Access)
    }

    /// Turns a decision of the group into events.
    fn follow(&mut self, consumer: &Arc<SourceConsumer>, decision: Rebalance) -> Result<(), SourceError> {
        match decision {
            Rebalance::Assign(named) => {
                let none = TopicPartitionList::new();
                consumer.incremental_assign(&none).map_err(|error| self.client_error("joining the group", &error))?;
                let mut partitions = self.known(&named);
                partitions.retain(|partition| !self.readers.contains_key(partition));
                self.topics_check = None;
                self.arriving.extend(partitions);
            }
            Rebalance::Revoke { partitions: named, lost } => {
                let partitions = self.known(&named);
                self.arriving.retain(|partition| !partitions.contains(partition));
                if lost {
                    self.give_up(consumer, &partitions)?;
                    self.events.push_back(SourceEvent::Lost(partitions));
                    return Ok(());
                }
                for partition in &partitions {
                    if let Some(reader) = self.readers.get_mut(partition) {
                        reader.revoked = true;
                    }
                }
                // Partitions that the worker was never told of need no farewell.
                let told: Vec<_> =
                    partitions.iter().copied().filter(|partition| self.readers.contains_key(partition)).collect();
                if told.is_empty() {
                    self.give_up(consumer, &partitions)?;
                } else {
                    self.revoked = Some(partitions);
                    self.events.push_back(SourceEvent::Revoked(told));
                }
            }
        }
        Ok(())
    }

    fn known(&self, named: &[(String, i32)]) -> Vec<Partition> {
        let mut partitions: Vec<_> =
            named.iter().filter_map(|(topic, number)| self.partition_of(topic, *number)).collect();
        partitions.sort_unstable();
        partitions
    }

    /// Hands partitions back to the group; this is also the answer to a revocation.
    pub(super) fn give_up(&mut self, consumer: &SourceConsumer, partitions: &[Partition]) -> Result<(), SourceError> {
        for partition in partitions {
            self.readers.remove(partition);
        }
        let named = partitions.iter().filter_map(|partition| {
            self.topics.get(usize::from(partition.topic)).map(|topic| (&**topic, partition.number))
        });
        unassign_started(consumer, named).map_err(|error| self.client_error("leaving partitions", &error))
    }

    /// Captures the ends of newly assigned partitions and announces them. Tried again later where brokers are away.
    pub(super) fn announce(&mut self) -> Result<(), SourceError> {
        if self.arriving.is_empty() {
            return Ok(());
        }
        if self.config.until == Until::Latest {
            let consumer = Arc::clone(self.consumer()?);
            for partition in &self.arriving {
                if self.ends.contains_key(partition) {
                    continue;
                }
                let topic = &self.topics[usize::from(partition.topic)];
                match consumer.fetch_watermarks(topic, partition.number, END_TIMEOUT) {
                    Ok((_, end)) => self.ends.insert(*partition, end),
                    Err(error) if query::passing(&error) => return Ok(()),
                    Err(error) => return Err(self.client_error("asking for the end", &error)),
                };
            }
        }
        let partitions = std::mem::take(&mut self.arriving);
        for partition in &partitions {
            let topic = Arc::clone(&self.topics[usize::from(partition.topic)]);
            self.readers.insert(*partition, Reader::new(*partition, topic, self.ends.get(partition).copied()));
        }
        self.events.push_back(SourceEvent::Assigned(partitions));
        Ok(())
    }

    /// Asks whether the topics exist, until the answer is yes.
    pub(super) fn check_topics(&mut self, timeout: Duration) -> Result<(), SourceError> {
        let Some(check) = self.topics_check.as_mut().filter(|check| check.next <= Instant::now()) else {
            return Ok(());
        };
        check.next = Instant::now() + TOPIC_CHECK_EVERY;
        let consumer = Arc::clone(self.consumer()?);
        let patience = timeout.clamp(Duration::from_millis(50), TOPIC_CHECK_EVERY);
        for topic in &self.config.topics {
            match query::partition_count(consumer.client(), topic, patience) {
                Ok(Some(_)) => {}
                Ok(None) => return self.miss(topic.clone()),
                // No answer says nothing about the topic.
                Err(_) => return Ok(()),
            }
        }
        self.log.mark_up();
        self.topics_check = None;
        Ok(())
    }

    fn miss(&mut self, topic: String) -> Result<(), SourceError> {
        self.log.mark_up();
        let Some(check) = self.topics_check.as_mut() else { return Ok(()) };
        if check.missing_since.get_or_insert_with(Instant::now).elapsed() < TOPIC_GRACE {
            return Ok(());
        }
        let brokers = self.config.connection.brokers.servers().to_owned();
        Err(SourceError::TopicMissing { topic, brokers })
    }
}
