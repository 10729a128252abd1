//! Topics of a broker -> batches of one partition's records, as a member of a consumer group.
//!
//! A rebalance is answered when the worker is done with it: partitions that come are assigned once the worker has said
//! where each starts ([`Source::seek`]), partitions that go are given up once it has committed ([`Source::release`]).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::config::KafkaSourceConfig;
use super::context::{Context, Rebalance};
use super::group::GroupMember;
use super::queue::{Notice, PartitionQueue, known_end};
use crate::payload::{Payload, RawRows};
use crate::position::Partition;
use crate::source::{GroupMetadata, OnGap, SeekTo, Source, SourceBatch, SourceError, SourceEvent, StartAt, Until};

/// How long a question to the broker may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to sleep on the event queue while every partition's queue is empty: the latency this adds.
const IDLE_WAIT: Duration = Duration::from_millis(1);

/// A reader of Kafka topics.
pub struct KafkaSource {
    config: KafkaSourceConfig,
    consumer: std::sync::Arc<BaseConsumer<Context>>,
    owned: BTreeMap<Partition, Reading>,
    /// Partitions of the rebalance at hand that have no start yet, and those that have.
    unassigned: Vec<Partition>,
    starts: Vec<(Partition, i64)>,
    events: VecDeque<SourceEvent>,
    /// The partition that is looked at first next time.
    turn: usize,
}

/// One owned partition.
struct Reading {
    queue: PartitionQueue,
    next_offset: i64,
    /// Where a bounded run ends.
    end: Option<i64>,
    ended: bool,
    paused: bool,
    skipped: u64,
    /// Given to librdkafka; before that it is only owned.
    assigned: bool,
    /// Asked back by the group: nothing more is delivered.
    revoked: bool,
}

impl KafkaSource {
    /// Joins the group. Topics are looked for when partitions are asked about.
    ///
    /// # Errors
    /// [`SourceError::Config`] where librdkafka refuses a setting.
    pub fn open(config: KafkaSourceConfig) -> Result<Self, SourceError> {
        let client = config.connection.consumer(&config.group, true);
        let consumer: BaseConsumer<Context> = client
            .create_with_context(Context::default())
            .map_err(|error| SourceError::Config { what: "kafka properties".to_owned(), reason: error.to_string() })?;
        let topics: Vec<&str> = config.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| failed("subscribe", &error))?;
        Ok(Self {
            config,
            consumer: std::sync::Arc::new(consumer),
            owned: BTreeMap::new(),
            unassigned: Vec::new(),
            starts: Vec::new(),
            events: VecDeque::new(),
            turn: 0,
        })
    }

    fn topic(&self, partition: Partition) -> &str {
        &self.config.topics[partition.topic as usize]
    }

    fn named(&self, topic: &str, number: i32) -> Option<Partition> {
        let index = self.config.topics.iter().position(|known| known == topic)?;
        Some(Partition { topic: index as u16, number })
    }

    fn list(&self, partitions: &[Partition]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(self.topic(*partition), partition.number);
        }
        list
    }

    /// Serves librdkafka's events and turns rebalances into ours.
    fn serve(&mut self, wait: Duration) -> Result<(), SourceError> {
        if let Some(Err(error)) = self.consumer.poll(wait) {
            self.mind(&error)?;
        }
        while let Some(rebalance) = self.consumer.context().next_rebalance() {
            match rebalance {
                Rebalance::Assign(list) => self.assigned(&list)?,
                Rebalance::Revoke(list) => self.revoked(&list)?,
            }
        }
        Ok(())
    }

    /// Errors of the event queue: most mend themselves and show in `connected`.
    fn mind(&self, error: &KafkaError) -> Result<(), SourceError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Err(SourceError::TopicMissing {
                    topic: self.config.topics.join(", "),
                    brokers: self.config.connection.brokers.clone(),
                })
            }
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::TopicAuthorizationFailed) => Err(failed("poll", error)),
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => Err(failed("join group", error)),
            _ => {
                tracing::debug!(%error, "consumer event");
                Ok(())
            }
        }
    }

    fn assigned(&mut self, list: &[(String, i32)]) -> Result<(), SourceError> {
        let mut partitions = Vec::new();
        for (topic, number) in list {
            let Some(partition) = self.named(topic, *number) else { continue };
            let queue = PartitionQueue::cut_off(&self.consumer, topic, *number)
                .ok_or_else(|| client_error("open partition queue", "out of memory", false))?;
            let end = match self.config.until {
                Until::Forever => None,
                Until::Latest => Some(self.watermarks(topic, *number)?.1),
            };
            let reading = Reading {
                queue,
                next_offset: 0,
                end,
                ended: false,
                paused: false,
                skipped: 0,
                assigned: false,
                revoked: false,
            };
            self.owned.insert(partition, reading);
            partitions.push(partition);
        }
        if partitions.is_empty() {
            let none = TopicPartitionList::new();
            return self.consumer.incremental_assign(&none).map_err(|error| failed("assign", &error));
        }
        self.unassigned.extend(&partitions);
        self.events.push_back(SourceEvent::Assigned(partitions));
        Ok(())
    }

    fn revoked(&mut self, list: &[(String, i32)]) -> Result<(), SourceError> {
        let partitions: Vec<Partition> = list.iter().filter_map(|(topic, number)| self.named(topic, *number)).collect();
        for partition in &partitions {
            if let Some(reading) = self.owned.get_mut(partition) {
                reading.revoked = true;
            }
        }
        if self.consumer.assignment_lost() {
            self.release(&partitions)?;
            self.events.push_back(SourceEvent::Lost(partitions));
        } else {
            self.events.push_back(SourceEvent::Revoked(partitions));
        }
        Ok(())
    }

    fn watermarks(&self, topic: &str, number: i32) -> Result<(i64, i64), SourceError> {
        self.consumer.fetch_watermarks(topic, number, ASK_TIMEOUT).map_err(|error| failed("ask for offsets", &error))
    }

    /// The next batch of any partition that has one.
    fn read(&mut self) -> Result<Option<SourceEvent>, SourceError> {
        let partitions: Vec<Partition> = self.owned.keys().copied().collect();
        for step in 0..partitions.len() {
            let partition = partitions[(self.turn + step) % partitions.len()];
            if let Some(event) = self.read_partition(partition)? {
                self.turn = (self.turn + step + 1) % partitions.len();
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn read_partition(&mut self, partition: Partition) -> Result<Option<SourceEvent>, SourceError> {
        let Some(reading) = self.owned.get_mut(&partition) else { return Ok(None) };
        if !reading.assigned || reading.paused || reading.revoked || reading.ended {
            return Ok(None);
        }
        let mut rows = RawRows::default();
        let (notices, beyond) = reading.queue.read(&mut rows, reading.end);
        let mut reached = beyond.then_some(reading.end).flatten();
        let mut gone = false;
        for notice in notices {
            match notice {
                Notice::End(offset) => reached = reached.or(Some(offset)),
                Notice::OffsetGone => gone = true,
                Notice::Failed(reason) => tracing::warn!(?partition, reason, "reading failed; the client tries again"),
            }
        }
        if let Some(last) = rows.len().checked_sub(1) {
            reading.next_offset = rows.row(last).offset + 1;
        }
        if reading.end.is_some_and(|end| reading.next_offset.max(reached.unwrap_or(0)) >= end) {
            reading.ended = true;
            self.events.push_back(SourceEvent::End(partition));
        }
        let (next_offset, skipped) = (reading.next_offset, std::mem::take(&mut reading.skipped));
        if gone {
            self.step_over_gap(partition, next_offset)?;
        }
        if rows.is_empty() {
            if let Some(reading) = self.owned.get_mut(&partition) {
                reading.skipped += skipped;
            }
            return Ok(self.events.pop_front());
        }
        Ok(Some(SourceEvent::Batch(SourceBatch { partition, payload: Payload::Raw(rows), next_offset, skipped })))
    }

    /// The offset to read is gone: fail, or go on from the oldest record left.
    fn step_over_gap(&mut self, partition: Partition, wanted: i64) -> Result<(), SourceError> {
        let earliest = self.check_gap(partition, wanted)?;
        if let Some(reading) = self.owned.get_mut(&partition) {
            reading.skipped += u64::try_from(earliest - wanted).unwrap_or(0);
            reading.next_offset = earliest;
        }
        self.seek_assigned(partition, earliest)
    }

    /// Where reading can begin at or after `wanted`.
    fn check_gap(&self, partition: Partition, wanted: i64) -> Result<i64, SourceError> {
        let topic = self.topic(partition);
        let (earliest, _) = self.watermarks(topic, partition.number)?;
        match self.config.on_gap {
            OnGap::Fail if wanted < earliest => {
                Err(SourceError::Gap { topic: topic.to_owned(), partition: partition.number, wanted, earliest })
            }
            _ => Ok(wanted.max(earliest)),
        }
    }

    fn seek_assigned(&self, partition: Partition, offset: i64) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic(partition), partition.number, Offset::Offset(offset))
            .map_err(|error| failed("seek", &error))?;
        self.consumer.seek_partitions(list, ASK_TIMEOUT).map(drop).map_err(|error| failed("seek", &error))
    }

    fn start_offset(&self, partition: Partition) -> Result<i64, SourceError> {
        let topic = self.topic(partition);
        let (low, high) = self.watermarks(topic, partition.number)?;
        let StartAt::Timestamp(millis) = self.config.start_at else {
            return Ok(if self.config.start_at == StartAt::Earliest { low } else { high });
        };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition.number, Offset::Offset(millis))
            .map_err(|error| failed("ask for offsets", &error))?;
        let found =
            self.consumer.offsets_for_times(list, ASK_TIMEOUT).map_err(|error| failed("ask for offsets", &error))?;
        match found.find_partition(topic, partition.number).map(|one| one.offset()) {
            Some(Offset::Offset(offset)) if offset >= 0 => Ok(offset),
            // No record is that young: whatever comes from now on.
            _ => Ok(high),
        }
    }

    /// Answers the rebalance once every partition of it has a start.
    fn assign_started(&mut self) -> Result<(), SourceError> {
        if !self.unassigned.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(self.starts.len());
        for (partition, offset) in self.starts.drain(..) {
            let topic = &self.config.topics[partition.topic as usize];
            list.add_partition_offset(topic, partition.number, Offset::Offset(offset))
                .map_err(|error| failed("assign", &error))?;
            if let Some(reading) = self.owned.get_mut(&partition) {
                reading.assigned = true;
            }
        }
        self.consumer.incremental_assign(&list).map_err(|error| failed("assign", &error))
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // Queues go before the client that they belong to, and closing must not wait for an answer of ours.
        self.owned.clear();
        self.consumer.context().close();
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        let deadline = Instant::now() + timeout;
        self.serve(Duration::ZERO)?;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if let Some(event) = self.read()? {
                return Ok(Some(event));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.serve(left.min(IDLE_WAIT))?;
        }
    }

    fn seek(&mut self, partition: Partition, to: SeekTo) -> Result<(), SourceError> {
        if !self.owned.contains_key(&partition) {
            return Err(SourceError::NotAssigned(partition));
        }
        let (offset, skipped) = match to {
            SeekTo::Start => (self.start_offset(partition)?, 0),
            SeekTo::Offset(wanted) => {
                let offset = self.check_gap(partition, wanted)?;
                (offset, u64::try_from(offset - wanted).unwrap_or(0))
            }
        };
        let Some(reading) = self.owned.get_mut(&partition) else { return Ok(()) };
        reading.next_offset = offset;
        reading.skipped = skipped;
        reading.ended = false;
        if reading.end.is_some_and(|end| offset >= end) {
            reading.ended = true;
            self.events.push_back(SourceEvent::End(partition));
        }
        if self.owned.get(&partition).is_some_and(|reading| reading.assigned) {
            return self.seek_assigned(partition, offset);
        }
        self.unassigned.retain(|other| *other != partition);
        self.starts.retain(|(other, _)| *other != partition);
        self.starts.push((partition, offset));
        self.assign_started()
    }

    fn release(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        let list = self.list(partitions);
        for partition in partitions {
            self.owned.remove(partition);
        }
        self.unassigned.retain(|other| !partitions.contains(other));
        self.starts.retain(|(other, _)| !partitions.contains(other));
        self.events.retain(|event| !matches!(event, SourceEvent::End(partition) if partitions.contains(partition)));
        self.consumer.incremental_unassign(&list).map_err(|error| failed("give partitions up", &error))
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        for partition in partitions {
            if let Some(reading) = self.owned.get_mut(partition) {
                reading.paused = true;
            }
        }
        self.consumer.pause(&self.list(partitions)).map_err(|error| failed("pause", &error))
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        for partition in partitions {
            if let Some(reading) = self.owned.get_mut(partition) {
                reading.paused = false;
            }
        }
        self.consumer.resume(&self.list(partitions)).map_err(|error| failed("resume", &error))
    }

    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        let lag = |(partition, reading): (&Partition, &Reading)| {
            let end = known_end(self.consumer.as_ref(), self.topic(*partition), partition.number)?;
            let end = reading.end.map_or(end, |bounded| end.min(bounded));
            Some((*partition, u64::try_from(end - reading.next_offset).unwrap_or(0)))
        };
        self.owned.iter().filter_map(lag).collect()
    }

    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError> {
        self.serve(Duration::ZERO)?;
        let mut counts = Vec::new();
        for topic in &self.config.topics {
            let metadata = self.consumer.fetch_metadata(Some(topic), ASK_TIMEOUT).map_err(|error| {
                let reason = self.consumer.context().last_error().unwrap_or_else(|| error.to_string());
                client_error("ask for the topic", &reason, true)
            })?;
            let found = metadata.topics().iter().find(|one| one.name() == topic);
            match found.map(|one| (one.error(), one.partitions().len())) {
                Some((None, count)) if count > 0 => counts.push(count as u32),
                _ => {
                    return Err(SourceError::TopicMissing {
                        topic: topic.clone(),
                        brokers: self.config.connection.brokers.clone(),
                    });
                }
            }
        }
        Ok(counts)
    }

    fn group_metadata(&self) -> Option<GroupMetadata> {
        GroupMember::of(&self.consumer).map(GroupMetadata::new)
    }

    fn connected(&self) -> Result<(), String> {
        self.consumer.context().connected()
    }
}

fn client_error(operation: &'static str, reason: &str, transient: bool) -> SourceError {
    SourceError::Client { operation, reason: reason.to_owned(), transient }
}

/// A librdkafka error; those of the network may pass.
fn failed(operation: &'static str, error: &KafkaError) -> SourceError {
    let passing = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
        )
    );
    client_error(operation, &error.to_string(), passing)
}
