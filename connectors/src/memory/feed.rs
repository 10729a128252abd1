//! Rows of a program that embeds the engine -> a topic of the memory broker, bounded: a full feed makes its sender
//! wait until the pipeline has committed what came before. Threads block, futures pend; nothing is dropped.

use std::future::poll_fn;
use std::sync::MutexGuard;
use std::task::Poll;
use std::time::Duration;

use arrow::record_batch::RecordBatch;

use super::broker::{FeedState, Inner, MemoryBroker, MemoryError, MemoryRecord};
use crate::position::partition_of_key;

/// A feed's topic and limit.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// The topic to create.
    pub topic: String,
    /// Its partitions, at least 1.
    pub partitions: u32,
    /// The group whose commits make room.
    pub group: String,
    /// Most rows that are sent and not yet committed, over all partitions. A batch of more rows than this goes into
    /// an empty feed only.
    pub rows_max: u64,
}

/// Why a feed did not take a row.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// No room within the time given; the rows were not taken.
    #[error("feed `{topic}` still holds {rows} uncommitted rows of at most {rows_max}")]
    Full {
        /// The topic.
        topic: String,
        /// Uncommitted rows.
        rows: u64,
        /// The limit.
        rows_max: u64,
    },
    /// The broker was shut down: nobody reads any more.
    #[error("feed `{0}` has no reader any more")]
    Closed(String),
    /// The broker refused the rows.
    #[error(transparent)]
    Broker(#[from] MemoryError),
}

/// What a feed takes: records for the partition of their key, or typed rows for a partition.
enum Item {
    Record(MemoryRecord),
    Rows(i32, RecordBatch),
}

impl Item {
    fn rows(&self) -> u64 {
        match self {
            Self::Record(_) => 1,
            Self::Rows(_, rows) => rows.num_rows() as u64,
        }
    }
}

/// The sending side. Clones share the limit; when the last one is dropped, a reader with
/// [`crate::source::Until::Latest`] comes to its end.
#[derive(Debug)]
pub struct MemoryFeed {
    broker: MemoryBroker,
    topic: String,
}

impl MemoryFeed {
    /// Creates the topic and its feed.
    ///
    /// # Errors
    /// [`MemoryError::TopicExists`] where the topic exists with another number of partitions.
    pub fn create(broker: &MemoryBroker, config: FeedConfig) -> Result<Self, MemoryError> {
        broker.create_topic(&config.topic, config.partitions)?;
        let mut inner = broker.lock();
        if let Some(topic) = inner.topics.get_mut(&config.topic) {
            topic.feed = Some(FeedState { group: config.group, rows_max: config.rows_max.max(1), senders: 1 });
        }
        drop(inner);
        Ok(Self { broker: broker.clone(), topic: config.topic })
    }

    /// Sends a record, waiting for room for at most `timeout`.
    ///
    /// # Errors
    /// [`FeedError::Full`] after the time-out, [`FeedError::Closed`].
    pub fn send(&self, record: MemoryRecord, timeout: Duration) -> Result<(), FeedError> {
        self.send_item(Item::Record(record), timeout)
    }

    /// Sends typed rows to a partition, waiting for room for at most `timeout`. The embedder answers for the
    /// partition: all rows of one key belong into one, [`partition_of_key`] says which.
    ///
    /// # Errors
    /// As [`MemoryFeed::send`].
    pub fn send_rows(&self, number: i32, rows: RecordBatch, timeout: Duration) -> Result<(), FeedError> {
        self.send_item(Item::Rows(number, rows), timeout)
    }

    /// Sends a record when there is room. Dropping the future before it is ready sends nothing.
    ///
    /// # Errors
    /// [`FeedError::Closed`].
    pub async fn send_async(&self, record: MemoryRecord) -> Result<(), FeedError> {
        self.send_item_async(Item::Record(record)).await
    }

    /// Sends typed rows to a partition when there is room. Dropping the future before it is ready sends nothing.
    ///
    /// # Errors
    /// [`FeedError::Closed`].
    pub async fn send_rows_async(&self, number: i32, rows: RecordBatch) -> Result<(), FeedError> {
        self.send_item_async(Item::Rows(number, rows)).await
    }

    /// Rows sent and not yet committed.
    #[must_use]
    pub fn uncommitted_rows(&self) -> u64 {
        uncommitted_rows(&self.broker.lock(), &self.topic)
    }

    fn send_item(&self, item: Item, timeout: Duration) -> Result<(), FeedError> {
        let rows = item.rows();
        let inner = self
            .broker
            .wait_while(self.broker.lock(), timeout, |inner| !inner.shut_down && !has_room(inner, &self.topic, rows));
        if !inner.shut_down && !has_room(&inner, &self.topic, rows) {
            let (rows, rows_max) = (uncommitted_rows(&inner, &self.topic), rows_max(&inner, &self.topic));
            return Err(FeedError::Full { topic: self.topic.clone(), rows, rows_max });
        }
        self.put(inner, item)
    }

    async fn send_item_async(&self, item: Item) -> Result<(), FeedError> {
        let mut item = Some(item);
        poll_fn(|context| {
            let mut inner = self.broker.lock();
            let rows = item.as_ref().map_or(0, Item::rows);
            if !inner.shut_down && !has_room(&inner, &self.topic, rows) {
                inner.wakers.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(item.take().map_or(Ok(()), |taken| self.put(inner, taken)))
        })
        .await
    }

    fn put(&self, mut inner: MutexGuard<'_, Inner>, item: Item) -> Result<(), FeedError> {
        if inner.shut_down {
            return Err(FeedError::Closed(self.topic.clone()));
        }
        match item {
            Item::Record(record) => {
                let partitions = inner.topic(&self.topic)?.logs.len() as u32;
                let number = record.key.as_deref().map_or(0, |key| partition_of_key(key, partitions));
                inner.log_mut(&self.topic, number)?.append(record, None);
            }
            Item::Rows(_, rows) if rows.num_rows() == 0 => {}
            Item::Rows(number, rows) => {
                inner.log_mut(&self.topic, number)?.append_rows(rows);
            }
        }
        self.broker.notify(&mut inner);
        Ok(())
    }
}

impl Clone for MemoryFeed {
    fn clone(&self) -> Self {
        count_senders(&mut self.broker.lock(), &self.topic, |senders| senders + 1);
        Self { broker: self.broker.clone(), topic: self.topic.clone() }
    }
}

impl Drop for MemoryFeed {
    fn drop(&mut self) {
        let mut inner = self.broker.lock();
        count_senders(&mut inner, &self.topic, |senders| senders.saturating_sub(1));
        self.broker.notify(&mut inner);
    }
}

fn count_senders(inner: &mut Inner, topic: &str, change: impl FnOnce(usize) -> usize) {
    if let Some(feed) = inner.topics.get_mut(topic).and_then(|found| found.feed.as_mut()) {
        feed.senders = change(feed.senders);
    }
}

/// Committed rows were deleted, so what is left is what is not committed.
fn uncommitted_rows(inner: &Inner, topic: &str) -> u64 {
    let logs = inner.topics.get(topic).map_or(&[][..], |found| &found.logs);
    logs.iter().map(|log| (log.end() - log.start()) as u64).sum()
}

fn rows_max(inner: &Inner, topic: &str) -> u64 {
    inner.topics.get(topic).and_then(|found| found.feed.as_ref()).map_or(0, |feed| feed.rows_max)
}

fn has_room(inner: &Inner, topic: &str, rows: u64) -> bool {
    let held = uncommitted_rows(inner, topic);
    held == 0 || held + rows <= rows_max(inner, topic)
}
