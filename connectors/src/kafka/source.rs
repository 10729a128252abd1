//! Topics of a consumer group -> batches of rows, partitions that come and go. See [`crate::source`] for the
//! contract. Never commits an offset: the ledger does, together with outputs and state.
//!
//! How it goes: librdkafka reports a rebalance through [`super::rebalance`]. An assignment is answered at once with
//! nothing (so that the group goes on), and each partition is started where [`Source::seek`] says. A revocation is
//! answered when the worker has released every partition of it, and by then it has committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;

use super::config::KafkaSourceConfig;
use super::log::ClientLog;
use super::native::{MessageBuffer, Wakeup};
use super::query;
use super::reader::Reader;
use super::rebalance::SourceContext;
use crate::position::Partition;
use crate::source::{GroupMetadata, SeekTo, Source, SourceError, SourceEvent};

pub(super) type SourceConsumer = BaseConsumer<SourceContext>;

/// How long a topic may be unknown to brokers that answer: one that was just created takes a moment to spread.
pub(super) const TOPIC_GRACE: Duration = Duration::from_secs(3);

/// Pause between looks at whether the topics exist.
pub(super) const TOPIC_CHECK_EVERY: Duration = Duration::from_millis(300);

/// Longest sleep without looking at the queues: librdkafka rings for every arrival, this only bounds a mistake.
const NAP_MAX: Duration = Duration::from_secs(1);

/// How long closing may take before the client is left to itself (librdkafka can hang there when brokers are away).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A member of a consumer group as a [`Source`].
pub struct KafkaSource {
    pub(super) config: KafkaSourceConfig,
    pub(super) topics: Vec<Arc<str>>,
    // Before the consumer: its queues go first.
    pub(super) readers: BTreeMap<Partition, Reader>,
    pub(super) consumer: Option<Arc<SourceConsumer>>,
    pub(super) wakeup: Arc<Wakeup>,
    pub(super) log: Arc<ClientLog>,
    pub(super) buffer: MessageBuffer,
    /// What happened and was not told yet.
    pub(super) events: VecDeque<SourceEvent>,
    /// Assigned partitions whose ends are still to be captured.
    pub(super) arriving: Vec<Partition>,
    /// Ends captured when a partition was first assigned.
    pub(super) ends: BTreeMap<Partition, i64>,
    /// Partitions of a revocation that is not answered yet.
    pub(super) revoked: Option<Vec<Partition>>,
    /// The partition to look at first, so that all get their turn.
    pub(super) turn: usize,
    pub(super) topics_check: Option<TopicsCheck>,
    /// Partitions that cannot be read on until a broker answers.
    pub(super) unsettled: Vec<Partition>,
}

/// Do the topics exist? Asked until the brokers say yes, and again when they say no later.
pub(super) struct TopicsCheck {
    pub(super) next: Instant,
    pub(super) missing_since: Option<Instant>,
}

/// What a [`super::KafkaLedger`] needs to commit offsets for this member.
#[derive(Clone)]
pub(super) struct KafkaMember {
    pub(super) metadata: Arc<ConsumerGroupMetadata>,
    consumer: Weak<SourceConsumer>,
}

impl KafkaMember {
    /// Commits offsets outside a transaction; `waits`: for the brokers' answer.
    pub(super) fn commit(&self, offsets: &TopicPartitionList, waits: bool) -> Result<(), KafkaError> {
        let mode = if waits { CommitMode::Sync } else { CommitMode::Async };
        match self.consumer.upgrade() {
            Some(consumer) => consumer.commit(offsets, mode),
            None => Err(KafkaError::Canceled),
        }
    }
}

impl KafkaSource {
    /// Joins the group. Returns at once: brokers that are away are waited for in [`Source::poll`].
    ///
    /// # Errors
    /// [`SourceError::Config`] where librdkafka does not accept the settings.
    pub fn open(config: KafkaSourceConfig) -> Result<Self, SourceError> {
        let log = config.connection.log();
        let wakeup = Arc::new(Wakeup::default());
        let invalid = |error: &KafkaError| SourceError::Config {
            what: "kafka".to_owned(),
            reason: log.redact(&error.to_string()),
        };
        if config.topics.is_empty() {
            return Err(SourceError::Config { what: "topics".to_owned(), reason: "no topic is given".to_owned() });
        }
        let context = SourceContext::new(Arc::clone(&log));
        let mut consumer: SourceConsumer =
            config.client().create_with_context(context).map_err(|error| invalid(&error))?;
        let bell = Arc::clone(&wakeup);
        consumer.set_nonempty_callback(move || bell.ring());
        let names: Vec<&str> = config.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| invalid(&error))?;
        Ok(Self {
            topics: config.topics.iter().map(|topic| Arc::from(topic.as_str())).collect(),
            config,
            readers: BTreeMap::new(),
            consumer: Some(Arc::new(consumer)),
            wakeup,
            log,
            buffer: MessageBuffer::new(),
            events: VecDeque::new(),
            arriving: Vec::new(),
            ends: BTreeMap::new(),
            revoked: None,
            turn: 0,
            topics_check: Some(TopicsCheck { next: Instant::now(), missing_since: None }),
            unsettled: Vec::new(),
        })
    }

    pub(super) fn consumer(&self) -> Result<&Arc<SourceConsumer>, SourceError> {
        self.consumer.as_ref().ok_or(SourceError::Client {
            operation: "reading",
            reason: "the source is closed".to_owned(),
            transient: false,
        })
    }

    pub(super) fn client_error(&self, operation: &'static str, error: &KafkaError) -> SourceError {
        let brokers = self.config.connection.brokers.servers();
        let reason = self.log.redact(&format!("{error}, of brokers `{brokers}`"));
        SourceError::Client { operation, reason, transient: query::passing(error) }
    }

    pub(super) fn partition_of(&self, topic: &str, number: i32) -> Option<Partition> {
        let index = self.topics.iter().position(|known| &**known == topic)?;
        Some(Partition { topic: u16::try_from(index).ok()?, number })
    }

    /// Looks at every partition once, from the one whose turn it is, until one has rows.
    fn read(&mut self) -> Result<(), SourceError> {
        let partitions: Vec<Partition> = self.readers.keys().copied().collect();
        for step in 0..partitions.len() {
            let index = (self.turn + step) % partitions.len();
            let Some(reader) = self.readers.get_mut(&partitions[index]) else { continue };
            let look = reader.look(&mut self.buffer);
            let ended = reader.ended && reader.queue.is_some() && look.batch.is_some();
            if look.batch.is_none() && look.trouble.is_none() {
                continue;
            }
            self.turn = index + 1;
            self.events.extend(look.batch.map(SourceEvent::Batch));
            if ended {
                self.events.push_back(SourceEvent::End(partitions[index]));
            }
            if let Some(trouble) = look.trouble {
                self.settle(partitions[index], trouble)?;
            }
            if !self.events.is_empty() {
                return Ok(());
            }
        }
        for (partition, reader) in &mut self.readers {
            if let Some(batch) = reader.look_past_markers() {
                self.events.push_back(SourceEvent::Batch(batch));
                if reader.ended {
                    self.events.push_back(SourceEvent::End(*partition));
                }
            }
        }
        Ok(())
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            self.wakeup.reset();
            self.serve()?;
            self.announce()?;
            self.settle_again()?;
            if self.events.is_empty() {
                self.read()?;
            }
            if !self.events.is_empty() {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let nap = if self.topics_check.is_some() { TOPIC_CHECK_EVERY } else { NAP_MAX };
            self.check_topics(left)?;
            self.wakeup.wait(left.min(nap));
        }
    }

    fn start_of(&mut self, partition: Partition) -> Result<Option<i64>, SourceError> {
        let offset = self.start_offset(partition)?;
        offset.map_or_else(|| self.oldest(partition), Ok).map(Some)
    }

    fn seek(&mut self, partition: Partition, to: SeekTo) -> Result<(), SourceError> {
        let reader = self.readers.get_mut(&partition).ok_or(SourceError::NotAssigned(partition))?;
        if reader.revoked {
            // It will not be delivered again; what it stands at no longer matters.
            return Ok(());
        }
        // What was stepped over and not delivered yet is stepped over again.
        reader.skipped = 0;
        self.events.retain(|event| !concerns(event, partition));
        let from = match to {
            SeekTo::Offset(offset) => Some(offset),
            SeekTo::Start => self.start_offset(partition)?,
        };
        self.start(partition, from)
    }

    fn release(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        for partition in partitions {
            self.readers.remove(partition);
        }
        let Some(revoked) = &self.revoked else { return Ok(()) };
        if revoked.iter().any(|partition| self.readers.contains_key(partition)) {
            return Ok(());
        }
        let revoked = self.revoked.take().unwrap_or_default();
        let consumer = Arc::clone(self.consumer()?);
        self.give_up(&consumer, &revoked)
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        // Its queue is left alone and fills up to its bound: nothing is fetched twice.
        self.set_paused(partitions, true)
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.set_paused(partitions, false)
    }

    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        self.readers.values().filter_map(|reader| Some((reader.partition, reader.lag_rows()?))).collect()
    }

    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError> {
        self.partition_counts_within(query::ANSWER_TIMEOUT)
    }

    fn others_finished(&mut self) -> Result<bool, SourceError> {
        self.others_committed()
    }

    fn group_metadata(&self) -> Option<GroupMetadata> {
        let consumer = self.consumer.as_ref()?;
        let metadata = Arc::new(consumer.group_metadata()?);
        let member = KafkaMember { metadata, consumer: Arc::downgrade(consumer) };
        Some(GroupMetadata::new(member))
    }

    fn connected(&self) -> Result<(), String> {
        self.log.connected()
    }
}

/// Whether an event that was not told yet is about rows of this partition.
fn concerns(event: &SourceEvent, partition: Partition) -> bool {
    match event {
        SourceEvent::Batch(batch) => batch.partition == partition,
        SourceEvent::End(ended) => *ended == partition,
        _ => false,
    }
}

impl KafkaSource {
    fn set_paused(&mut self, partitions: &[Partition], paused: bool) -> Result<(), SourceError> {
        for partition in partitions {
            let reader = self.readers.get_mut(partition).ok_or(SourceError::NotAssigned(*partition))?;
            reader.paused = paused;
        }
        Ok(())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        consumer.context().close();
        self.readers.clear();
        if let Some(revoked) = self.revoked.take() {
            let _ = self.give_up(&consumer, &revoked);
        }
        // Closing waits for the group's coordinator; librdkafka can hang there for ever.
        let (done, closed) = std::sync::mpsc::channel();
        let closing = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
            drop(consumer);
            let _ = done.send(());
        });
        if closing.is_ok() && closed.recv_timeout(CLOSE_TIMEOUT).is_err() {
            tracing::warn!("the consumer did not close within {} s and is left behind", CLOSE_TIMEOUT.as_secs());
        }
    }
}
