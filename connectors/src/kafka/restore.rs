//! Committed offsets and the state topic -> what is durable of a partition. Dead workers are shut out on the way, live
//! ones waited for ([`super::slots`]). Writes nothing.
//!
//! The order matters. First the committed offset: the broker does not tell it while a transaction that moves it is
//! undecided. Then the end of the state topic's partition: every state record of that transaction lies below it.
//! Then a read of committed records up to that end, which is complete only once no transaction below it is open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::changelog::PartitionState;
use super::config::{Brokers, Isolation, KafkaConnection};
use super::log::{ClientLog, PlainContext};
use super::refusal::{self, Resource};
use super::{describe, query};
use crate::ledger::LedgerError;
use crate::position::Partition;

/// How long an open transaction may end by itself before it is looked at whether its writer lives, and again. A worker
/// that lives and was asked to hand over has committed before.
const OPEN_TRANSACTION_GRACE: Duration = Duration::from_secs(2);

/// Pause between looks at an open transaction.
const OPEN_TRANSACTION_PAUSE: Duration = Duration::from_millis(50);

/// Longest wait for one record of the state topic before the read counts as failed.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What is durable of one partition, before it is judged.
#[derive(Debug, Default)]
pub(super) struct Durable {
    pub(super) committed: Option<i64>,
    pub(super) state: PartitionState,
    /// The source topic's id; `None` where the brokers give none.
    pub(super) topic_id: Option<String>,
}

/// Reads what is durable. Lives for one restore.
pub(super) struct Restorer<'a> {
    pub(super) connection: &'a KafkaConnection,
    pub(super) log: &'a Arc<ClientLog>,
    pub(super) group: &'a str,
    pub(super) state_topic: &'a str,
    /// Names of the source's topics.
    pub(super) topics: &'a [(Arc<str>, u32)],
    /// The slot of this worker, whose own earlier transaction is shut out already.
    pub(super) slot: &'a str,
    pub(super) transaction_timeout: Duration,
}

pub(super) type Reader = BaseConsumer<PlainContext>;

/// First offset, end of decided records, end of all records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) low: i64,
    pub(super) stable: i64,
    pub(super) high: i64,
}

impl Restorer<'_> {
    pub(super) fn restore(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, Durable>, LedgerError> {
        let committed_reader = self.reader(Isolation::Committed)?;
        let uncommitted_reader = self.reader(Isolation::Uncommitted)?;
        let numbers: BTreeSet<i32> = partitions.iter().map(|partition| partition.number).collect();
        let deadline = Instant::now() + self.transaction_timeout + query::ANSWER_TIMEOUT;

        let committed = self.committed(&committed_reader, &uncommitted_reader, partitions, &numbers, deadline)?;
        let mut extents = BTreeMap::new();
        for number in numbers {
            extents.insert(number, self.settled_extent(&committed_reader, &uncommitted_reader, number, deadline)?);
        }

        let mut durable: BTreeMap<Partition, Durable> = committed
            .into_iter()
            .map(|(partition, committed)| (partition, Durable { committed, ..Durable::default() }))
            .collect();
        self.refuse_cut_state(&extents, partitions)?;
        self.read_state(&committed_reader, &extents, &mut durable)?;
        self.identify(&committed_reader, &mut durable)?;
        // Whoever owned these partitions may have left a transaction open that holds outputs alone: their readers wait.
        let owners = durable.values().filter_map(|found| found.state.owner.clone()).collect();
        self.shut_out(&committed_reader, owners)?;
        // Closing a consumer takes 100 ms; nobody has to wait for it.
        close_apart(vec![committed_reader, uncommitted_reader]);
        Ok(durable)
    }

    pub(super) fn reader(&self, isolation: Isolation) -> Result<Reader, LedgerError> {
        let config = self.connection.reader(self.group, isolation);
        config
            .create_with_context(PlainContext(Arc::clone(self.log)))
            .map_err(|error| self.failed("opening a reader", &error))
    }

    pub(super) fn failed(&self, operation: &'static str, error: &KafkaError) -> LedgerError {
        let code = error.rdkafka_error_code();
        let about = [Resource::Group(self.group), Resource::Topic(self.state_topic)];
        if let Some(denied) = about.into_iter().find_map(|resource| refusal::denied(code, "Read", resource)) {
            return denied.into();
        }
        let reason = self.log.redact(&error.to_string());
        LedgerError::Client { operation, reason, transient: query::passing(error) }
    }

    fn topic(&self, partition: Partition) -> &str {
        self.topics.get(usize::from(partition.topic)).map_or("", |(topic, _)| topic)
    }

    /// Notes which topic, of all that ever had its name, each partition belongs to.
    fn identify(&self, reader: &Reader, durable: &mut BTreeMap<Partition, Durable>) -> Result<(), LedgerError> {
        if matches!(self.connection.brokers, Brokers::Embedded(_)) {
            return Ok(());
        }
        let topics: BTreeSet<&str> = durable.keys().map(|partition| self.topic(*partition)).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let ids = match query::insist(query::ANSWER_TIMEOUT, |timeout| topic_ids(reader, &topics, timeout)) {
            Err(error) if query::passing(&error) => return Err(self.failed("asking for topic ids", &error)),
            answer => answer.unwrap_or_default(),
        };
        if let Some(topic) = topics.into_iter().find(|topic| !ids.contains_key(*topic)) {
            tracing::warn!(
                topic,
                "the broker gives no topic ids: a topic that is made anew under state goes unnoticed"
            );
        }
        for (partition, found) in durable {
            found.topic_id = ids.get(self.topic(*partition)).cloned();
        }
        Ok(())
    }

    /// The group's committed offsets. A pending offset of an undecided transaction makes the broker refuse: after the
    /// grace its writer is looked for in the state topic, and shut out where it is dead.
    fn committed(
        &self,
        reader: &Reader,
        uncommitted: &Reader,
        partitions: &[Partition],
        numbers: &BTreeSet<i32>,
        deadline: Instant,
    ) -> Result<BTreeMap<Partition, Option<i64>>, LedgerError> {
        let mut question = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            question.add_partition(self.topic(*partition), partition.number);
        }
        loop {
            let error = match reader.committed_offsets(question.clone(), OPEN_TRANSACTION_GRACE) {
                Ok(answer) => return self.committed_of(&answer, partitions),
                Err(error) => error,
            };
            if !query::passing(&error) || Instant::now() >= deadline {
                return Err(self.failed("reading committed offsets", &error));
            }
            for number in numbers {
                let extent = self.extent(reader, uncommitted, *number)?;
                if extent.stable < extent.high {
                    self.shut_out_writers(uncommitted, *number, extent)?;
                }
            }
        }
    }

    fn committed_of(
        &self,
        answer: &TopicPartitionList,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Option<i64>>, LedgerError> {
        let mut committed = BTreeMap::new();
        for partition in partitions {
            let topic = self.topic(*partition);
            // Without an answer a partition would look as if nobody had ever read it.
            let element = answer.find_partition(topic, partition.number).ok_or_else(|| LedgerError::Client {
                operation: "reading committed offsets",
                reason: format!("the brokers leave out partition {} of `{topic}`", partition.number),
                transient: true,
            })?;
            element.error().map_err(|error| self.failed("reading committed offsets", &error))?;
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            committed.insert(*partition, offset);
        }
        Ok(committed)
    }

    fn extent(&self, reader: &Reader, uncommitted: &Reader, number: i32) -> Result<Extent, LedgerError> {
        let of = |reader| {
            query::watermarks(reader, self.state_topic, number)
                .map_err(|error| self.failed("measuring the state", &error))
        };
        // In this order: what is decided never passes an end that was taken before.
        let (low, high) = of(uncommitted)?;
        let (_, stable) = of(reader)?;
        Ok(Extent { low, stable, high })
    }

    /// The extent of a partition of the state topic once nothing below its captured end is undecided.
    fn settled_extent(
        &self,
        reader: &Reader,
        uncommitted: &Reader,
        number: i32,
        deadline: Instant,
    ) -> Result<Extent, LedgerError> {
        let captured = self.extent(reader, uncommitted, number)?;
        let mut patience = Instant::now();
        let mut stable = captured.stable;
        while stable < captured.high {
            if Instant::now() >= deadline {
                let topic = self.state_topic.to_owned();
                return Err(LedgerError::OpenTransaction { topic, partition: number, offset: stable });
            }
            if Instant::now() >= patience {
                self.shut_out_writers(uncommitted, number, Extent { stable, ..captured })?;
                patience = Instant::now() + OPEN_TRANSACTION_GRACE;
            }
            std::thread::sleep(OPEN_TRANSACTION_PAUSE);
            stable = self.extent(reader, uncommitted, number)?.stable;
        }
        Ok(Extent { stable, ..captured })
    }

    /// The embedded broker drops the oldest records without compacting: state that began to go is no state.
    fn refuse_cut_state(&self, extents: &BTreeMap<i32, Extent>, partitions: &[Partition]) -> Result<(), LedgerError> {
        let cut = |partition: &&Partition| extents.get(&partition.number).is_some_and(|extent| extent.low > 0);
        match partitions.iter().find(cut) {
            Some(partition) if matches!(self.connection.brokers, Brokers::Embedded(_)) => {
                Err(LedgerError::Unreadable {
                    partition: *partition,
                    place: self.state_topic.to_owned(),
                    reason: "the embedded broker has dropped its oldest records".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn read_state(
        &self,
        reader: &Reader,
        extents: &BTreeMap<i32, Extent>,
        durable: &mut BTreeMap<Partition, Durable>,
    ) -> Result<(), LedgerError> {
        let from =
            extents.iter().filter(|(_, extent)| extent.low < extent.high).map(|(number, extent)| (*number, extent.low));
        let until = extents.iter().map(|(number, extent)| (*number, extent.high)).collect();
        self.scan(reader, &from.collect(), &until, READ_TIMEOUT, |message| {
            for (partition, found) in
                durable.iter_mut().filter(|(partition, _)| partition.number == message.partition())
            {
                let key = message.key().unwrap_or_default();
                let taken = found.state.take(self.topic(*partition), partition.number, key, message.payload());
                taken.map_err(|reason| LedgerError::Unreadable {
                    partition: *partition,
                    place: self.state_topic.to_owned(),
                    reason,
                })?;
            }
            Ok(())
        })
    }

    /// Hands every visible record of the state topic's partitions between `from` and `until` to `take`.
    pub(super) fn scan(
        &self,
        reader: &Reader,
        from: &BTreeMap<i32, i64>,
        until: &BTreeMap<i32, i64>,
        patience: Duration,
        mut take: impl FnMut(&rdkafka::message::BorrowedMessage<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut list = TopicPartitionList::with_capacity(from.len());
        for (number, offset) in from {
            let added = list.add_partition_offset(self.state_topic, *number, Offset::Offset(*offset));
            added.map_err(|error| self.failed("reading the state", &error))?;
        }
        reader.assign(&list).map_err(|error| self.failed("reading the state", &error))?;
        let mut unread: BTreeSet<i32> = from.keys().copied().collect();
        let mut deadline = Instant::now() + patience;
        while !unread.is_empty() {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    deadline = Instant::now() + patience;
                    let end = until.get(&message.partition()).copied().unwrap_or(0);
                    if message.offset() < end {
                        take(&message)?;
                    }
                    if message.offset() + 1 >= end {
                        unread.remove(&message.partition());
                    }
                }
                // Nothing below the end was undecided when the read began, so the mark stands at or after it.
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    unread.remove(&number);
                }
                Some(Err(error)) if !query::passing(&error) => return Err(self.failed("reading the state", &error)),
                Some(Err(_)) | None => {}
            }
            if Instant::now() >= deadline {
                let error = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                return Err(self.failed("reading the state", &error));
            }
        }
        reader.unassign().map_err(|error| self.failed("reading the state", &error))
    }
}

/// The ids of topics by name; one that the brokers tell no id of is left out.
fn topic_ids(reader: &Reader, topics: &[&str], timeout: Duration) -> KafkaResult<BTreeMap<String, String>> {
    let mut ids = BTreeMap::new();
    for (name, topic) in describe::topics(reader.client(), topics, describe::Ask::Ids, timeout)? {
        topic.allowed.map_err(KafkaError::MetadataFetch)?;
        ids.extend(topic.id.map(|id| (name, id)));
    }
    Ok(ids)
}

pub(super) fn close_apart(readers: Vec<Reader>) {
    let closing = std::thread::Builder::new().name("kafka-close".to_owned());
    if let Err(error) = closing.spawn(move || drop(readers)) {
        tracing::debug!(%error, "closing readers");
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
