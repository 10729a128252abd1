//! Outputs, state and offsets -> one Kafka transaction.
//!
//! *Invariant:* one transactional producer per worker, its id made of group and slot. Whatever a commit's outcome was,
//! the next `begin` comes after the broker has settled it: an unknown outcome replaces the producer first, whose
//! initialisation waits for or aborts what the old one left.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::message::Header as KafkaHeader;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::changelog::{Changelog, PositionRecord, ReadEnd, SLOT_HEADER, position_key, state_key};
use super::config::{KafkaLedgerConfig, TRANSACTION_TIMEOUT, TopicSettings};
use super::context::Context;
use super::group::GroupMember;
use super::topics::{Topics, client};
use crate::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Record, Records, Restored};
use crate::payload::Header;
use crate::position::Partition;

/// How long the state may be held back by an open transaction before its writer counts as dead.
const GRACE: Duration = Duration::from_secs(2);
/// Longest wait for one step of a transaction; beyond it the outcome is unknown.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// A call that does not come back even then is a hang of the client (confluentinc/librdkafka 5456, 5511).
const HANG_TIMEOUT: Duration = Duration::from_secs(90);

/// The ledger of one worker.
pub struct KafkaLedger {
    config: KafkaLedgerConfig,
    producer: Arc<BaseProducer<Context>>,
    initialised: bool,
}

/// How one step of a transaction failed.
enum StepError {
    Abort(String),
    Fenced,
    Unknown(String),
    Fatal(LedgerError),
}

impl KafkaLedger {
    /// Connects; creates the state topic and those outputs that may be created.
    ///
    /// # Errors
    /// [`LedgerError::Topic`] where a topic is missing or the state topic has another number of partitions.
    pub fn open(config: KafkaLedgerConfig) -> Result<Self, LedgerError> {
        let topics = Topics::connect(&config.connection)?;
        for (topic, create) in &config.sinks {
            topics.ensure(topic, create.as_ref())?;
        }
        let wanted = config.topics.iter().map(|(_, partitions)| *partitions).max().unwrap_or(1);
        let settings = state_topic_settings(wanted, config.state_replication);
        let found = topics.ensure(&config.state_topic, Some(&settings))?;
        if found != wanted {
            let reason = format!("holds state of {found} partitions, but the source has {wanted}: keys would move");
            return Err(LedgerError::Topic { topic: config.state_topic.clone(), reason });
        }
        let producer = create_producer(&config, &config.slot)?;
        Ok(Self { config, producer, initialised: false })
    }

    fn initialise(&mut self) -> Result<(), LedgerError> {
        if self.initialised || !self.config.transactions {
            return Ok(());
        }
        init_transactions(&self.producer, &self.config.slot)?;
        self.initialised = true;
        Ok(())
    }

    fn changelog(&self) -> Changelog<'_> {
        Changelog {
            connection: &self.config.connection,
            topic: &self.config.state_topic,
            group: &self.config.group,
            sources: &self.config.topics,
        }
    }

    fn restore_one(&self, partition: Partition) -> Result<Restored, LedgerError> {
        let durable = self.read_settled(partition)?;
        let committed = self.changelog().committed_offset(partition)?;
        let state_offset = durable.position.as_ref().map(|position| position.next_offset);
        if let Some(position) = &durable.position {
            let now = self.config.topics[partition.topic as usize].1;
            if position.partitions != now {
                let topic = self.config.topics[partition.topic as usize].0.clone();
                let reason = format!("had {} partitions when its state was made, now {now}", position.partitions);
                return Err(LedgerError::Topic { topic, reason });
            }
        }
        if self.config.transactions && state_offset != committed {
            return Err(LedgerError::Mismatch {
                partition,
                place: self.config.state_topic.clone(),
                state: state_offset,
                committed,
            });
        }
        Ok(Restored { partition, next_offset: state_offset, state: durable.state.into_iter().collect() })
    }

    /// Reads a partition's state, shutting out a dead worker whose open transaction holds it back.
    fn read_settled(&self, partition: Partition) -> Result<super::changelog::Durable, LedgerError> {
        let deadline = Instant::now() + TRANSACTION_TIMEOUT * 2;
        loop {
            let (durable, end) = self.changelog().read(partition, GRACE)?;
            let ReadEnd::HeldBack(slots) = end else { return Ok(durable) };
            for slot in slots.iter().filter(|slot| **slot != self.config.slot) {
                tracing::warn!(slot, ?partition, "shutting out a worker whose transaction was left open");
                init_transactions(&create_producer(&self.config, slot)?, slot)?;
            }
            if Instant::now() > deadline {
                let reason = "an open transaction holds the state back".to_owned();
                return Err(client("read state", &reason, true));
            }
        }
    }

    fn produce(&self, topic: &str, partition: Option<i32>, record: Record<'_>) -> Result<(), LedgerError> {
        loop {
            let mut base: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
            base.key = record.key;
            base.payload = record.value;
            base.partition = partition;
            base.headers = (!record.headers.is_empty()).then(|| owned_headers(record.headers));
            match self.producer.send(base) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(Duration::from_millis(5));
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                    return Err(LedgerError::TooLarge { sink: record.sink, bytes, limit: MESSAGE_MAX });
                }
                Err((error, _)) => return Err(client("send", &error.to_string(), is_abortable(&error))),
            }
        }
    }

    fn produce_state(&self, commit: &Commit<'_>) -> Result<(), LedgerError> {
        let slot = [(SLOT_HEADER.to_owned(), self.config.slot.clone().into_bytes())];
        let topic_of = |partition: Partition| &self.config.topics[partition.topic as usize];
        for record in commit.state {
            let key = state_key(&topic_of(record.partition).0, &record.key);
            let record_out = Record { sink: u16::MAX, key: Some(&key), value: record.value.as_deref(), headers: &slot };
            self.produce(&self.config.state_topic, Some(record.partition.number), record_out)?;
        }
        for position in commit.positions {
            let (topic, partitions) = topic_of(position.partition);
            let (key, value) = (position_key(topic), PositionRecord::new(position.next_offset, *partitions).encode());
            let record = Record { sink: u16::MAX, key: Some(&key), value: Some(&value), headers: &slot };
            self.produce(&self.config.state_topic, Some(position.partition.number), record)?;
        }
        Ok(())
    }

    fn offsets(&self, commit: &Commit<'_>) -> Result<TopicPartitionList, LedgerError> {
        let mut list = TopicPartitionList::with_capacity(commit.positions.len());
        for position in commit.positions {
            let (topic, _) = &self.config.topics[position.partition.topic as usize];
            list.add_partition_offset(topic, position.partition.number, Offset::Offset(position.next_offset))
                .map_err(|error| client("commit offsets", &error.to_string(), false))?;
        }
        Ok(list)
    }

    fn try_commit(&self, commit: &Commit<'_>) -> Result<(), StepError> {
        self.produce_state(commit).map_err(|error| match error.transient() {
            true => StepError::Abort(error.to_string()),
            false => StepError::Fatal(error),
        })?;
        let offsets = self.offsets(commit).map_err(StepError::Fatal)?;
        let member = commit.group.and_then(super::super::source::GroupMetadata::get::<GroupMember>).cloned();
        // Flushed first: otherwise sending the offsets waits for the batches' linger.
        self.producer.flush(STEP_TIMEOUT).map_err(|error| step_error(&error))?;
        if let Some(reason) = self.producer.context().take_failed_delivery() {
            return Err(StepError::Abort(reason));
        }
        if !self.config.transactions {
            return match member.map(|member| member.commit(&offsets)) {
                Some(Err(error)) => Err(StepError::Abort(error.to_string())),
                _ => Ok(()),
            };
        }
        let Some(member) = member else {
            let error = client("commit", "the source is no member of a Kafka group", false);
            return Err(StepError::Fatal(error));
        };
        let producer = Arc::clone(&self.producer);
        guarded(move || {
            producer.send_offsets_to_transaction(&offsets, &member.metadata, STEP_TIMEOUT)?;
            producer.commit_transaction(STEP_TIMEOUT)
        })
    }

    /// Replaces the producer: its initialisation ends or aborts whatever the old one left open.
    fn replace_producer(&mut self) -> Result<(), LedgerError> {
        self.producer = create_producer(&self.config, &self.config.slot)?;
        self.initialised = false;
        self.initialise()
    }
}

/// Largest record that librdkafka sends with its default `message.max.bytes`.
const MESSAGE_MAX: usize = 1_000_000;

fn state_topic_settings(partitions: u32, replication: Option<u32>) -> TopicSettings {
    let config = [
        ("cleanup.policy", "compact"),
        // Blocks are rewritten again and again: let the cleaner run early, and segments roll often enough for it.
        ("min.cleanable.dirty.ratio", "0.1"),
        ("segment.ms", "600000"),
        ("segment.bytes", "104857600"),
    ];
    let config = config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    TopicSettings { partitions, replication, config }
}

fn create_producer(config: &KafkaLedgerConfig, slot: &str) -> Result<Arc<BaseProducer<Context>>, LedgerError> {
    let id = format!("{}-{slot}", config.group);
    let id = config.transactions.then_some(id.as_str());
    config
        .connection
        .producer(id)
        .create_with_context(Context::default())
        .map(Arc::new)
        .map_err(|error| client("connect", &error.to_string(), false))
}

fn init_transactions(producer: &Arc<BaseProducer<Context>>, slot: &str) -> Result<(), LedgerError> {
    producer.init_transactions(STEP_TIMEOUT).map_err(|error| match step_error(&error) {
        StepError::Fenced => LedgerError::Fenced { slot: slot.to_owned() },
        StepError::Fatal(error) => error,
        StepError::Abort(reason) | StepError::Unknown(reason) => {
            let said = producer.context().last_error().unwrap_or(reason);
            client("initialise transactions", &said, true)
        }
    })
}

/// Runs calls that may hang on a thread of their own.
fn guarded(work: impl FnOnce() -> Result<(), KafkaError> + Send + 'static) -> Result<(), StepError> {
    let (sender, result) = mpsc::sync_channel(1);
    let run = move || drop(sender.send(work()));
    std::thread::Builder::new()
        .name("arterial-commit".to_owned())
        .spawn(run)
        .map_err(|error| StepError::Fatal(client("start the commit", &error.to_string(), false)))?;
    match result.recv_timeout(HANG_TIMEOUT) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(step_error(&error)),
        Err(_) => Err(StepError::Fatal(client("commit", "the client library hangs", false))),
    }
}

fn step_error(error: &KafkaError) -> StepError {
    let fenced = matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch)
    );
    let text = error.to_string();
    match error {
        _ if fenced => StepError::Fenced,
        KafkaError::Transaction(inner) if inner.txn_requires_abort() => StepError::Abort(text),
        KafkaError::Transaction(inner) if inner.is_fatal() => StepError::Fatal(client("transaction", &text, false)),
        _ => StepError::Unknown(text),
    }
}

fn is_abortable(error: &KafkaError) -> bool {
    !matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::Fatal))
}

fn owned_headers(headers: &[Header]) -> OwnedHeaders {
    let add = |all: OwnedHeaders, (name, value): &Header| all.insert(KafkaHeader { key: name, value: Some(value) });
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), add)
}

impl Ledger for KafkaLedger {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        self.initialise()?;
        partitions.iter().map(|partition| self.restore_one(*partition)).collect()
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        self.initialise()?;
        if !self.config.transactions {
            return Ok(());
        }
        self.producer.begin_transaction().map_err(|error| match step_error(&error) {
            StepError::Fenced => LedgerError::Fenced { slot: self.config.slot.clone() },
            StepError::Fatal(error) => error,
            StepError::Abort(reason) | StepError::Unknown(reason) => client("begin transaction", &reason, true),
        })
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        for record in records.iter() {
            let (topic, _) = &self.config.sinks[record.sink as usize];
            self.produce(topic, None, record)?;
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        match self.try_commit(&commit) {
            Ok(()) => Ok(CommitOutcome::Committed),
            Err(StepError::Fenced) => Ok(CommitOutcome::Fenced),
            Err(StepError::Fatal(error)) => Err(error),
            Err(StepError::Abort(reason)) => {
                tracing::warn!(reason, "transaction refused; aborting it");
                self.abort()?;
                Ok(CommitOutcome::Aborted)
            }
            Err(StepError::Unknown(reason)) => {
                tracing::warn!(reason, "the transaction's outcome is unknown; replacing the producer");
                match self.replace_producer() {
                    Err(LedgerError::Fenced { .. }) => Ok(CommitOutcome::Fenced),
                    Err(error) if !error.transient() => Err(error),
                    // What could not be initialised yet is tried again before the next restore.
                    _ => Ok(CommitOutcome::Unknown),
                }
            }
        }
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        if !self.config.transactions {
            return Ok(());
        }
        // What was not sent yet need not be: it would only be aborted.
        self.producer.purge(rdkafka::producer::PurgeConfig::default().queue());
        match self.producer.abort_transaction(STEP_TIMEOUT).map_err(|error| step_error(&error)) {
            Ok(()) => {
                let _ = self.producer.context().take_failed_delivery();
                Ok(())
            }
            Err(StepError::Fenced) => Err(LedgerError::Fenced { slot: self.config.slot.clone() }),
            Err(_) => self.replace_producer(),
        }
    }
}
