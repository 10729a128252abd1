//! Rows of a program that embeds the engine -> a topic of the memory broker, bounded: a full feed makes its sender
//! wait until the pipeline has committed what came before. Threads block, futures pend; nothing is dropped.

use std::future::poll_fn;
use std::sync::MutexGuard;
use std::task::Poll;
use std::time::Duration;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::broker::{FeedState, Inner, MemoryBroker, MemoryError, MemoryRecord};
use crate::file::{key_texts, split_rows};
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
    /// The feed was closed or opened anew, or the broker shut down: nobody reads what this sender sends.
    #[error("feed `{0}` has no reader any more")]
    Closed(String),
    /// The broker refused the rows.
    #[error(transparent)]
    Broker(#[from] MemoryError),
    /// Rows that cannot be spread over the partitions: the key column is missing, or neither text nor a whole number.
    #[error(transparent)]
    Key(#[from] ArrowError),
}

/// What a feed takes as a whole or not at all: a record for the partition of its key, or typed rows by partition.
enum Item {
    Record(MemoryRecord),
    Rows(Vec<(i32, RecordBatch)>),
}

impl Item {
    fn rows(&self) -> u64 {
        match self {
            Self::Record(_) => 1,
            Self::Rows(parts) => parts.iter().map(|(_, rows)| rows.num_rows() as u64).sum(),
        }
    }
}

/// The sending side. Clones share the limit; when the last one is dropped, a reader with
/// [`crate::source::Until::Latest`] comes to its end.
#[derive(Debug)]
pub struct MemoryFeed {
    broker: MemoryBroker,
    topic: String,
    opening: u64,
}

impl MemoryFeed {
    /// Creates the topic and its feed. A feed that is there already is opened anew: what it holds stays, its earlier
    /// senders are refused.
    ///
    /// # Errors
    /// [`MemoryError::TopicExists`] where the topic exists with another number of partitions.
    pub fn create(broker: &MemoryBroker, config: FeedConfig) -> Result<Self, MemoryError> {
        broker.create_topic(&config.topic, config.partitions)?;
        let mut inner = broker.lock();
        let mut opening = 0;
        if let Some(topic) = inner.topics.get_mut(&config.topic) {
            opening = topic.feed.as_ref().map_or(0, |earlier| earlier.opening + 1);
            let (group, rows_max) = (config.group, config.rows_max.max(1));
            topic.feed = Some(FeedState { group, rows_max, senders: 1, opening, closed: false });
        }
        broker.notify(&mut inner);
        drop(inner);
        Ok(Self { broker: broker.clone(), topic: config.topic, opening })
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
        self.send_item(Item::Rows(vec![(number, rows)]), timeout)
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
        self.send_item_async(Item::Rows(vec![(number, rows)])).await
    }

    /// Sends typed rows, each to the partition of its key, when there is room for all of them. Dropping the future before
    /// it is ready sends nothing. Rows without a key go to partition 0.
    ///
    /// # Errors
    /// [`FeedError::Key`] where `column` is missing or neither text nor a whole number; [`FeedError::Closed`].
    pub async fn send_keyed_async(&self, column: &str, rows: RecordBatch) -> Result<(), FeedError> {
        let item = Item::Rows(self.split(column, &rows)?);
        self.send_item_async(item).await
    }

    /// As [`MemoryFeed::send_keyed_async`], waiting for room for at most `timeout`.
    ///
    /// # Errors
    /// Likewise; [`FeedError::Full`] after the time-out.
    pub fn send_keyed(&self, column: &str, rows: &RecordBatch, timeout: Duration) -> Result<(), FeedError> {
        self.send_item(Item::Rows(self.split(column, rows)?), timeout)
    }

    fn split(&self, column: &str, rows: &RecordBatch) -> Result<Vec<(i32, RecordBatch)>, FeedError> {
        let partitions = self.broker.lock().topic(&self.topic)?.logs.len() as u32;
        let keys = rows.column_by_name(column).ok_or_else(|| {
            ArrowError::InvalidArgumentError(format!("the rows have no column `{column}`, which they are keyed by"))
        })?;
        Ok(split_rows(rows, &key_texts(keys)?, partitions)?)
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
            .wait_while(self.broker.lock(), timeout, |inner| self.open(inner) && !has_room(inner, &self.topic, rows));
        if self.open(&inner) && !has_room(&inner, &self.topic, rows) {
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
            if self.open(&inner) && !has_room(&inner, &self.topic, rows) {
                inner.wakers.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(item.take().map_or(Ok(()), |taken| self.put(inner, taken)))
        })
        .await
    }

    /// Whether somebody reads what this sender sends.
    fn open(&self, inner: &Inner) -> bool {
        let feed = inner.topics.get(&self.topic).and_then(|found| found.feed.as_ref());
        !inner.shut_down && feed.is_some_and(|feed| feed.opening == self.opening && !feed.closed)
    }

    fn put(&self, mut inner: MutexGuard<'_, Inner>, item: Item) -> Result<(), FeedError> {
        if !self.open(&inner) {
            return Err(FeedError::Closed(self.topic.clone()));
        }
        match item {
            Item::Record(record) => {
                let partitions = inner.topic(&self.topic)?.logs.len() as u32;
                let number = record.key.as_deref().map_or(0, |key| partition_of_key(key, partitions));
                inner.log_mut(&self.topic, number)?.append(record, None);
            }
            Item::Rows(parts) => {
                // All of them or none: a partition that is not there is found before the first row is taken.
                parts.iter().try_for_each(|(number, _)| inner.log(&self.topic, *number).map(drop))?;
                for (number, rows) in parts.into_iter().filter(|(_, rows)| rows.num_rows() > 0) {
                    inner.log_mut(&self.topic, number)?.append_rows(rows);
                }
            }
        }
        self.broker.notify(&mut inner);
        Ok(())
    }
}

impl Clone for MemoryFeed {
    fn clone(&self) -> Self {
        count_senders(&mut self.broker.lock(), self, |senders| senders + 1);
        Self { broker: self.broker.clone(), topic: self.topic.clone(), opening: self.opening }
    }
}

impl Drop for MemoryFeed {
    fn drop(&mut self) {
        let mut inner = self.broker.lock();
        count_senders(&mut inner, self, |senders| senders.saturating_sub(1));
        self.broker.notify(&mut inner);
    }
}

fn count_senders(inner: &mut Inner, sender: &MemoryFeed, change: impl FnOnce(usize) -> usize) {
    let feed = inner.topics.get_mut(&sender.topic).and_then(|found| found.feed.as_mut());
    if let Some(feed) = feed.filter(|feed| feed.opening == sender.opening) {
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
