//! The broker's handle: topics are created and filled, groups steered, committed records looked at. Every change
//! happens under one lock, so a commit is atomic for every reader. Never reads a clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use arrow::record_batch::RecordBatch;

use super::group::Group;
use super::log::Log;
use crate::payload::Header;
use crate::position::{Partition, Position, partition_of_key};

/// One record of a topic of bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Key, `None` where it has none.
    pub key: Option<Vec<u8>>,
    /// Value, `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<Header>,
    /// Timestamp, milliseconds since 1970 UTC; `None` where the writer gave none.
    pub timestamp_ms: Option<i64>,
}

impl MemoryRecord {
    /// A record with key and value, without headers and timestamp.
    #[must_use]
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }
}

/// What the broker refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// No such topic.
    #[error("topic `{0}` does not exist in the memory broker")]
    TopicMissing(String),
    /// The topic has fewer partitions.
    #[error("topic `{topic}` has {partitions} partitions, there is no partition {number}")]
    PartitionMissing {
        /// The topic.
        topic: String,
        /// How many it has.
        partitions: usize,
        /// The one asked for.
        number: i32,
    },
    /// A topic of that name exists with another number of partitions.
    #[error("topic `{topic}` exists with {partitions} partitions")]
    TopicExists {
        /// The topic.
        topic: String,
        /// How many it has.
        partitions: usize,
    },
}

/// A handle to the broker; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryBroker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

/// All there is, behind the lock.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) groups: BTreeMap<String, Group>,
    /// Newest epoch of every slot of every group, and its open transaction.
    pub(super) slots: BTreeMap<(String, String), Slot>,
    pub(super) last_txn: u64,
    pub(super) unreachable: Option<String>,
    pub(super) shut_down: bool,
    pub(super) wakers: Vec<Waker>,
}

#[derive(Debug, Default)]
pub(super) struct Topic {
    pub(super) logs: Vec<Log>,
    /// What bounds the topic, where it is a feed.
    pub(super) feed: Option<FeedState>,
}

/// A feed's side of a topic.
#[derive(Debug)]
pub(super) struct FeedState {
    pub(super) group: String,
    pub(super) rows_max: u64,
    pub(super) senders: usize,
    /// Counts how often the feed was opened: the senders of an earlier opening are refused.
    pub(super) opening: u64,
    /// Whether its reader has left.
    pub(super) closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) epoch: u64,
    pub(super) open: Option<u64>,
}

impl Inner {
    pub(super) fn topic(&self, topic: &str) -> Result<&Topic, MemoryError> {
        self.topics.get(topic).ok_or_else(|| MemoryError::TopicMissing(topic.to_owned()))
    }

    pub(super) fn log(&self, topic: &str, number: i32) -> Result<&Log, MemoryError> {
        let logs = &self.topic(topic)?.logs;
        let found = usize::try_from(number).ok().and_then(|index| logs.get(index));
        found.ok_or_else(|| missing(topic, logs.len(), number))
    }

    pub(super) fn log_mut(&mut self, topic: &str, number: i32) -> Result<&mut Log, MemoryError> {
        let found = self.topics.get_mut(topic).ok_or_else(|| MemoryError::TopicMissing(topic.to_owned()))?;
        let partitions = found.logs.len();
        let log = usize::try_from(number).ok().and_then(|index| found.logs.get_mut(index));
        log.ok_or_else(|| missing(topic, partitions, number))
    }

    pub(super) fn group(&mut self, group: &str) -> &mut Group {
        self.groups.entry(group.to_owned()).or_default()
    }

    /// Every partition of these topics, in order.
    pub(super) fn partitions(&self, topics: &[String]) -> Vec<Partition> {
        let counts = topics.iter().map(|topic| self.topics.get(topic).map_or(0, |found| found.logs.len()));
        let numbered = (0u16..).zip(counts);
        numbered.flat_map(|(topic, count)| (0..count as i32).map(move |number| Partition { topic, number })).collect()
    }

    /// Deletes what a group has committed of its feeds, which makes room in them.
    pub(super) fn trim_feeds(&mut self, group: &str, positions: &[Position]) {
        let Some(found) = self.groups.get(group) else { return };
        for position in positions {
            let topic = found.topics.get(usize::from(position.partition.topic));
            let Some(topic) = topic.and_then(|name| self.topics.get_mut(name)) else { continue };
            let fed = topic.feed.as_ref().is_some_and(|feed| feed.group == group);
            let log = usize::try_from(position.partition.number).ok().and_then(|index| topic.logs.get_mut(index));
            if let (true, Some(log)) = (fed, log) {
                log.delete_before(position.next_offset);
            }
        }
    }

    /// Ends a transaction in every partition that it wrote to.
    pub(super) fn finish(&mut self, txn: u64, committed: bool) {
        for log in self.topics.values_mut().flat_map(|topic| &mut topic.logs) {
            log.finish(txn, committed);
        }
    }
}

fn missing(topic: &str, partitions: usize, number: i32) -> MemoryError {
    MemoryError::PartitionMissing { topic: topic.to_owned(), partitions, number }
}

impl MemoryBroker {
    /// A broker without topics.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a topic of `partitions` (at least 1) partitions; one that exists with as many is left as it is.
    ///
    /// # Errors
    /// [`MemoryError::TopicExists`] where it has another number of partitions.
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<(), MemoryError> {
        let wanted = partitions.max(1) as usize;
        let mut inner = self.lock();
        let created = inner.topics.entry(topic.to_owned()).or_default();
        if created.logs.is_empty() {
            created.logs = vec![Log::default(); wanted];
        }
        if created.logs.len() != wanted {
            return Err(MemoryError::TopicExists { topic: topic.to_owned(), partitions: created.logs.len() });
        }
        Ok(())
    }

    /// Writes a record to the partition of its key (0 without one) and gives partition and offset.
    ///
    /// # Errors
    /// [`MemoryError::TopicMissing`].
    pub fn send(&self, topic: &str, record: MemoryRecord) -> Result<(i32, i64), MemoryError> {
        let mut inner = self.lock();
        let partitions = inner.topic(topic)?.logs.len() as u32;
        let number = record.key.as_deref().map_or(0, |key| partition_of_key(key, partitions));
        let offset = inner.log_mut(topic, number)?.append(record, None);
        self.notify(&mut inner);
        Ok((number, offset))
    }

    /// Writes a record to a partition and gives its offset.
    ///
    /// # Errors
    /// [`MemoryError::TopicMissing`], [`MemoryError::PartitionMissing`].
    pub fn send_to(&self, topic: &str, number: i32, record: MemoryRecord) -> Result<i64, MemoryError> {
        let mut inner = self.lock();
        let offset = inner.log_mut(topic, number)?.append(record, None);
        self.notify(&mut inner);
        Ok(offset)
    }

    /// Writes typed rows to a partition, one offset each, and gives the first one's offset.
    ///
    /// # Errors
    /// As [`MemoryBroker::send_to`].
    pub fn send_rows(&self, topic: &str, number: i32, rows: RecordBatch) -> Result<i64, MemoryError> {
        let mut inner = self.lock();
        let log = inner.log_mut(topic, number)?;
        let first = if rows.num_rows() == 0 { log.end() } else { log.append_rows(rows) };
        self.notify(&mut inner);
        Ok(first)
    }

    /// Committed records of one partition with their offsets: what a foreign reader of committed records sees.
    ///
    /// # Errors
    /// As [`MemoryBroker::send_to`].
    pub fn committed(&self, topic: &str, number: i32) -> Result<Vec<(i64, MemoryRecord)>, MemoryError> {
        let inner = self.lock();
        Ok(inner.log(topic, number)?.committed().map(|(offset, record)| (offset, record.clone())).collect())
    }

    /// Committed records of all partitions of a topic, by partition, then offset.
    ///
    /// # Errors
    /// [`MemoryError::TopicMissing`].
    pub fn committed_records(&self, topic: &str) -> Result<Vec<MemoryRecord>, MemoryError> {
        let inner = self.lock();
        let logs = &inner.topic(topic)?.logs;
        Ok(logs.iter().flat_map(|log| log.committed().map(|(_, record)| record.clone())).collect())
    }

    /// The offset after the last record of every partition of a topic, transaction markers included.
    ///
    /// # Errors
    /// [`MemoryError::TopicMissing`].
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, MemoryError> {
        Ok(self.lock().topic(topic)?.logs.iter().map(Log::end).collect())
    }

    /// Deletes the records of a partition below `offset`, as retention does.
    ///
    /// # Errors
    /// As [`MemoryBroker::send_to`].
    pub fn delete_before(&self, topic: &str, number: i32, offset: i64) -> Result<(), MemoryError> {
        self.lock().log_mut(topic, number)?.delete_before(offset);
        Ok(())
    }

    /// What a group has committed of a partition.
    #[must_use]
    pub fn committed_offset(&self, group: &str, partition: Partition) -> Option<i64> {
        self.lock().groups.get(group)?.committed.get(&partition).copied()
    }

    /// Sets or deletes a group's committed offset by hand, as an operator's tool can: state then disagrees with it.
    pub fn set_committed_offset(&self, group: &str, partition: Partition, offset: Option<i64>) {
        let mut inner = self.lock();
        let committed = &mut inner.group(group).committed;
        match offset {
            Some(offset) => committed.insert(partition, offset),
            None => committed.remove(&partition),
        };
    }

    /// Durable state records of a partition, by key.
    #[must_use]
    pub fn state(&self, group: &str, partition: Partition) -> Vec<(Vec<u8>, Vec<u8>)> {
        let inner = self.lock();
        let state = inner.groups.get(group).and_then(|found| found.state.get(&partition));
        state.map(|durable| durable.records.clone().into_iter().collect()).unwrap_or_default()
    }

    /// Says which partitions a member of a group owns from now on. Those it has beyond that are revoked from it,
    /// those that others have are revoked from them and arrive when they are released. Deterministic.
    pub fn assign(&self, group: &str, member: &str, partitions: &[Partition]) {
        let mut inner = self.lock();
        inner.group(group).assign(member, partitions);
        self.notify(&mut inner);
    }

    /// Takes partitions from a member without asking, as a session time-out does: it hears `Lost` at its next poll,
    /// and commits of their offsets are refused from now on. They belong to nobody until they are assigned.
    pub fn lose(&self, group: &str, member: &str, partitions: &[Partition]) {
        let mut inner = self.lock();
        inner.group(group).lose(member, partitions);
        self.notify(&mut inner);
    }

    /// Every owned partition of a group and its owner.
    #[must_use]
    pub fn owners(&self, group: &str) -> Vec<(Partition, String)> {
        let inner = self.lock();
        let Some(found) = inner.groups.get(group) else { return Vec::new() };
        found.owners().map(|(partition, owner)| (partition, owner.member.clone())).collect()
    }

    /// Lets sources find the broker unreachable, for the given reason, or reachable again.
    pub fn set_unreachable(&self, reason: Option<&str>) {
        let mut inner = self.lock();
        inner.unreachable = reason.map(str::to_owned);
        self.notify(&mut inner);
    }

    /// Refuses feeds from now on and wakes their waiting senders: there will be no reader any more.
    pub fn shut_down(&self) {
        let mut inner = self.lock();
        inner.shut_down = true;
        self.notify(&mut inner);
    }

    /// Refuses rows for one feed from now on and wakes its waiting senders: its reader has left. What it holds stays, and
    /// the next opening of the feed goes on from there.
    pub fn close_feed(&self, topic: &str) {
        let mut inner = self.lock();
        if let Some(feed) = inner.topics.get_mut(topic).and_then(|found| found.feed.as_mut()) {
            feed.closed = true;
        }
        self.notify(&mut inner);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked in between leaves the values whole: every change is made of infallible steps.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everybody who waits for rows, partitions or room.
    pub(super) fn notify(&self, inner: &mut Inner) {
        self.0.changed.notify_all();
        inner.wakers.drain(..).for_each(Waker::wake);
    }

    /// Lets go of the lock until `blocked` turns false or `timeout` is over.
    pub(super) fn wait_while<'a>(
        &self,
        inner: MutexGuard<'a, Inner>,
        timeout: Duration,
        blocked: impl FnMut(&mut Inner) -> bool,
    ) -> MutexGuard<'a, Inner> {
        self.0.changed.wait_timeout_while(inner, timeout, blocked).unwrap_or_else(PoisonError::into_inner).0
    }
}
