//! Where a partition is read from: first starts, rewinds, and ways out of a gap.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::native::PartitionQueue;
use super::query;
use super::reader::Trouble;
use super::refusal::{self, Resource};
use super::source::{KafkaSource, SourceConsumer, TOPIC_CHECK_EVERY, TOPIC_GRACE};
use crate::position::Partition;
use crate::source::OnGap;
use crate::source::{Source, SourceError, SourceEvent, StartAt};

/// How long one try of the first question may take: between two, errors of the client are looked at.
const FIRST_TRY: Duration = Duration::from_millis(500);

impl KafkaSource {
    /// Number of partitions of a topic. Brokers that are away or do not know the topic yet are asked again for a while;
    /// brokers that have never let us in and say why are not. `within`: how long they may take to answer.
    pub(super) fn partition_count(&mut self, topic: &str, within: Duration) -> Result<u32, SourceError> {
        let consumer = Arc::clone(self.consumer()?);
        let (started, mut missing_since) = (Instant::now(), None);
        loop {
            match query::partition_count(consumer.client(), topic, FIRST_TRY) {
                Ok(Some(count)) => {
                    self.log.mark_up();
                    return Ok(count);
                }
                Ok(None) if missing_since.get_or_insert_with(Instant::now).elapsed() >= TOPIC_GRACE => {
                    let brokers = self.config.connection.brokers.servers().to_owned();
                    return Err(SourceError::TopicMissing { topic: topic.to_owned(), brokers });
                }
                Ok(None) => std::thread::sleep(TOPIC_CHECK_EVERY),
                Err(error) if query::passing(&error) && started.elapsed() < within => {
                    // The reason of a refused login is among the events.
                    self.serve()?;
                    if let Some(refusal) = self.log.refused() {
                        return Err(refusal::explained(refusal, &self.config.connection).into());
                    }
                    std::thread::sleep(query::TRY_PAUSE);
                }
                Err(error) => return Err(self.topic_error("asking for partitions", topic, &error)),
            }
        }
    }

    /// Partitions of each topic, in their order, where the brokers tell within a time.
    ///
    /// # Errors
    /// As [`Source::partition_counts`].
    pub fn partition_counts_within(&mut self, within: Duration) -> Result<Vec<u32>, SourceError> {
        self.topics.clone().iter().map(|topic| self.partition_count(topic, within)).collect()
    }

    /// An answer about a topic that the source reads.
    pub(super) fn topic_error(&self, operation: &'static str, topic: &str, error: &KafkaError) -> SourceError {
        refusal::denied(error.rdkafka_error_code(), "Read", Resource::Topic(topic))
            .map_or_else(|| self.client_error(operation, error), SourceError::Access)
    }

    /// Deals with what keeps a partition from being read on.
    pub(super) fn settle(&mut self, partition: Partition, trouble: Trouble) -> Result<(), SourceError> {
        match trouble {
            Trouble::Restart | Trouble::OutOfRange => self.restart(partition),
            Trouble::Failed(code, text) => {
                let error = KafkaError::MessageConsumption(code);
                tracing::warn!(%code, partition = partition.number, "{}", self.log.redact(&text));
                if query::passing(&error) {
                    return Ok(());
                }
                let topic = self.topics.get(usize::from(partition.topic)).map_or("", |topic| topic);
                Err(self.topic_error("reading", topic, &error))
            }
        }
    }

    /// Tries again what could not be settled because no broker answered.
    pub(super) fn settle_again(&mut self) -> Result<(), SourceError> {
        for partition in std::mem::take(&mut self.unsettled) {
            self.restart(partition)?;
        }
        Ok(())
    }

    /// Goes on from the position. Brokers that are away are asked again at the next poll.
    fn restart(&mut self, partition: Partition) -> Result<(), SourceError> {
        // The group may have asked for the partition back: starting it again would answer that.
        self.serve()?;
        let Some(reader) = self.readers.get(&partition).filter(|reader| !reader.revoked) else { return Ok(()) };
        match self.start(partition, reader.position) {
            Err(error) if error.transient() => {
                tracing::warn!(%error, partition = partition.number, "the partition is started again later");
                self.unsettled.push(partition);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Starts a partition at an offset, or at the oldest record.
    pub(super) fn start(&mut self, partition: Partition, from: Option<i64>) -> Result<(), SourceError> {
        let consumer = Arc::clone(self.consumer()?);
        let reader = self.readers.get(&partition).ok_or(SourceError::NotAssigned(partition))?;
        let topic = Arc::clone(&reader.topic);
        let found = query::watermarks(&consumer, &topic, partition.number);
        let (low, high) = found.map_err(|error| self.topic_error("asking for the offsets kept", &topic, &error))?;
        let offset = from.unwrap_or(low);
        let skipped = if offset >= low { 0 } else { self.step_over(&topic, partition, offset, low)? };
        let offset = offset.max(low);
        if offset > high && self.ends.get(&partition).is_none_or(|end| offset > *end) {
            return Err(SourceError::Client {
                operation: "seeking",
                reason: format!(
                    "offset {offset} lies beyond the end {high} of partition {} of `{topic}`: was the topic made anew?",
                    partition.number
                ),
                transient: false,
            });
        }
        self.place(&consumer, partition, &topic, offset)?;
        if let Some(reader) = self.readers.get_mut(&partition) {
            reader.place_at(from.map(|_| offset), offset, skipped);
            if reader.ended {
                self.events.push_back(SourceEvent::End(partition));
            }
        }
        Ok(())
    }

    fn step_over(&self, topic: &str, partition: Partition, wanted: i64, low: i64) -> Result<u64, SourceError> {
        match self.config.on_gap {
            OnGap::Fail => {
                Err(SourceError::Gap { topic: topic.to_owned(), partition: partition.number, wanted, earliest: low })
            }
            OnGap::Skip => {
                tracing::warn!(topic, partition = partition.number, wanted, earliest = low, "records are gone");
                Ok(u64::try_from(low - wanted).unwrap_or(0))
            }
        }
    }

    /// Makes librdkafka fetch from an offset.
    fn place(
        &mut self,
        consumer: &Arc<SourceConsumer>,
        partition: Partition,
        topic: &str,
        offset: i64,
    ) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::with_capacity(1);
        let added = list.add_partition_offset(topic, partition.number, Offset::Offset(offset));
        added.map_err(|error| self.client_error("seeking", &error))?;
        let started = self.readers.get(&partition).is_some_and(|reader| reader.queue.is_some());
        if started {
            let sought = consumer.seek_partitions(list.clone(), query::ANSWER_TIMEOUT);
            let sought = sought.map_err(|error| self.client_error("seeking", &error))?;
            if sought.elements().iter().all(|element| element.error().is_ok()) {
                return Ok(());
            }
            // A partition that stopped over an error cannot be sought: it is given up and taken again.
            let restart = consumer.incremental_unassign(&list);
            restart.map_err(|error| self.client_error("seeking", &error))?;
            // Both handles are of one queue: dropped after the new one was made, the old one would take its wake-up away.
            if let Some(reader) = self.readers.get_mut(&partition) {
                reader.queue = None;
            }
        }
        let queue = PartitionQueue::split(consumer, topic, partition.number, &self.wakeup).ok_or_else(|| {
            let error = KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownPartition);
            self.client_error("starting a partition", &error)
        })?;
        if let Some(reader) = self.readers.get_mut(&partition) {
            reader.queue = Some(queue);
        }
        consumer.incremental_assign(&list).map_err(|error| self.client_error("starting a partition", &error))
    }

    /// Where the oldest record of a partition stands.
    pub(super) fn oldest(&self, partition: Partition) -> Result<i64, SourceError> {
        let topic = self.topics.get(usize::from(partition.topic)).ok_or(SourceError::NotAssigned(partition))?;
        let found = query::watermarks(self.consumer()?, topic, partition.number);
        found.map(|(low, _)| low).map_err(|error| self.client_error("asking where to start", &error))
    }

    /// Where `start_at` says to start; `None` is the oldest record.
    pub(super) fn start_offset(&self, partition: Partition) -> Result<Option<i64>, SourceError> {
        let consumer = self.consumer()?;
        let topic = self.topics.get(usize::from(partition.topic)).ok_or(SourceError::NotAssigned(partition))?;
        let failed = |error: KafkaError| self.client_error("asking where to start", &error);
        let end = || query::watermarks(consumer, topic, partition.number).map(|(_, high)| high).map_err(failed);
        match self.config.start_at {
            StartAt::Earliest => Ok(None),
            StartAt::Latest => end().map(Some),
            StartAt::Timestamp(ts_ms) => {
                match query::offset_of_time(consumer, topic, partition.number, ts_ms).map_err(failed)? {
                    Some(offset) => Ok(Some(offset)),
                    None => end().map(Some),
                }
            }
        }
    }

    /// Whether the group has committed every partition that others own up to its end.
    pub(super) fn others_committed(&mut self) -> Result<bool, SourceError> {
        let counts = self.partition_counts()?;
        let consumer = Arc::clone(self.consumer()?);
        for (index, (topic, count)) in self.topics.clone().iter().zip(counts).enumerate() {
            // Topics are few and partitions fewer than 2^31: librdkafka counts them so.
            let partitions = (0..count as i32).map(|number| Partition { topic: index as u16, number });
            let others: Vec<Partition> = partitions.filter(|one| !self.readers.contains_key(one)).collect();
            let committed = query::committed(&consumer, topic, others.iter().map(|one| one.number))
                .map_err(|error| self.client_error("asking for committed offsets", &error))?;
            for (partition, committed) in others.into_iter().zip(committed) {
                let (low, high) = query::watermarks(&consumer, topic, partition.number)
                    .map_err(|error| self.client_error("asking for the offsets kept", &error))?;
                let end = *self.ends.entry(partition).or_insert(high);
                // Whoever starts at the end has nothing to commit before the first row arrives.
                let start = if self.config.start_at == StartAt::Earliest { low } else { end };
                if committed.unwrap_or(start) < end {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
