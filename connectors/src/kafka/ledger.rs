//! Outputs, positions and state -> one transaction per commit (exactly once), or plain records in that order and
//! then the group's offsets (at least once). See [`crate::ledger`] for the contract.
//!
//! Every commit writes, for each partition that moved, its state changes and one position record to the state topic,
//! in the partition of the same number. Exactly once, the consumed offsets ride in the same transaction, and a
//! restore requires both to agree. At least once, a crash between state and position leaves newer state under an
//! older position: rows count again, nothing is lost. Whose slots and partitions are: see [`super::takeover`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use super::changelog::{self, StoredPosition};
use super::config::{Brokers, KafkaConnection};
use super::ending::Ending;
use super::limits::COMMIT;
use super::log::ClientLog;
use super::producer::{Origin, Outgoing, RecordProducer, SendError};
use super::refusal::{self, Resource};
use super::restore::{Durable, Restorer};
use super::slots::transactional_id;
use super::takeover::process_name;
use super::topics::{Administrator, CreateTopic, record_bytes_max, source_topics};
use super::transaction::TransactionProducer;
use crate::access::AccessError;
use crate::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use crate::payload::Header;
use crate::position::Partition;

/// A topic that the ledger writes outputs to.
#[derive(Debug, Clone)]
pub struct SinkTopic {
    /// Name.
    pub topic: String,
    /// How to create it where it is missing; an error without.
    pub create: Option<CreateTopic>,
}

/// The topic that holds state. Created where it is missing: compacted, as many partitions as the source.
#[derive(Debug, Clone)]
pub struct StateTopic {
    /// Name, as `arterial.<pipeline>.state`.
    pub topic: String,
    /// Replication factor; the broker's default unless given.
    pub replication: Option<u32>,
}

/// Settings of a [`KafkaLedger`].
#[derive(Debug, Clone)]
pub struct KafkaLedgerConfig {
    /// How to reach the brokers; the same as the source's.
    pub connection: KafkaConnection,
    /// The source's consumer group.
    pub group: String,
    /// Stable name of this worker among all that run the pipeline, as `0-1`.
    pub slot: String,
    /// The source's topics in its order.
    pub topics: Vec<String>,
    /// Where state goes.
    pub state: StateTopic,
    /// Where outputs go, in the order of [`crate::ledger::Record::sink`].
    pub sinks: Vec<SinkTopic>,
    /// Whether commits are transactions (exactly once) or not (at least once).
    pub transactional: bool,
    /// After how long the broker aborts a transaction: [`super::TRANSACTION_TIMEOUT`], or less in tests.
    pub transaction_timeout: Duration,
    /// Whether the state of a topic that was deleted and made again is forgotten, instead of refused.
    pub forget_remade: bool,
}

/// The ledger of one worker.
pub struct KafkaLedger {
    pub(super) config: KafkaLedgerConfig,
    pub(super) log: Arc<ClientLog>,
    /// Names and partitions of the source's topics.
    topics: Vec<(Arc<str>, u32)>,
    /// Names of the sinks' topics.
    sinks: Arc<[String]>,
    pub(super) writer: Writer,
    pub(super) slot_headers: Vec<Header>,
    /// Tells this process from any other that takes the slot.
    pub(super) process: String,
    /// Where in the state topic the record stands, or later, by which this process took the slot.
    pub(super) taken_at: i64,
    /// Ids of the topics that restored partitions belong to.
    topic_ids: BTreeMap<Partition, String>,
    /// State keys that the next commit of a partition deletes: its topic was made anew.
    forgotten: BTreeMap<Partition, Vec<Vec<u8>>>,
    /// Why the open transaction can no longer be committed.
    pub(super) broken: Option<String>,
    /// The commit that is in flight.
    pub(super) ending: Option<Ending>,
}

pub(super) enum Writer {
    Transactions(Box<TransactionProducer>),
    Plain(RecordProducer),
}

impl KafkaLedger {
    /// Checks the topics, creates those it may, and takes the slot: what an earlier process left open in it is aborted.
    ///
    /// # Errors
    /// [`LedgerError::Topic`] names a topic that is missing or has another number of partitions than the source;
    /// [`LedgerError::Client`] (transient) where the brokers do not answer: try again.
    pub fn open(config: KafkaLedgerConfig) -> Result<Self, LedgerError> {
        let log = config.connection.log();
        let embedded = matches!(config.connection.brokers, Brokers::Embedded(_));
        if config.transactional && embedded {
            return Err(LedgerError::Client {
                operation: "opening the ledger",
                reason: "the embedded broker keeps no transactions: use at-least-once delivery".to_owned(),
                transient: false,
            });
        }
        let administrator = Administrator::open(&config.connection)?;
        let topics = source_topics(&administrator, &config.topics)?;
        administrator.ensure_state(&config.state, &topics)?;
        for sink in &config.sinks {
            administrator.ensure(&sink.topic, "Write", sink.create.as_ref())?;
        }
        let writer = if config.transactional {
            let id = transactional_id(&config.group, &config.slot);
            let timeout = config.transaction_timeout;
            Writer::Transactions(Box::new(TransactionProducer::new(
                &config.connection,
                &log,
                id,
                &config.slot,
                timeout,
            )))
        } else {
            Writer::Plain(RecordProducer::open(&config.connection.prompt_producer(), &log)?)
        };
        let slot_headers = changelog::slot_headers(&config.slot);
        let sinks = config.sinks.iter().map(|sink| sink.topic.clone()).collect();
        let mut ledger = Self {
            process: process_name(),
            taken_at: 0,
            topic_ids: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            broken: None,
            ending: None,
            config,
            log,
            topics,
            sinks,
            writer,
            slot_headers,
        };
        ledger.take_slot(&administrator)?;
        Ok(ledger)
    }

    pub(super) fn topic_of(&self, partition: Partition) -> Result<(Arc<str>, u32), LedgerError> {
        self.topics.get(usize::from(partition.topic)).cloned().ok_or_else(|| LedgerError::Client {
            operation: "writing state",
            reason: format!("topic {} is not among the source's {}", partition.topic, self.topics.len()),
            transient: false,
        })
    }

    /// Refuses a partition that the topic did not have when the ledger was opened: keys have moved.
    fn known(&self, partition: Partition) -> Result<(), LedgerError> {
        let (topic, partitions) = self.topic_of(partition)?;
        if u32::try_from(partition.number).is_ok_and(|number| number < partitions) {
            return Ok(());
        }
        let reason = format!("now has partition {}, but had {partitions} when the run began", partition.number);
        Err(LedgerError::Topic { topic: topic.to_string(), reason })
    }

    pub(super) fn restorer(&self) -> Restorer<'_> {
        Restorer {
            connection: &self.config.connection,
            log: &self.log,
            group: &self.config.group,
            state_topic: &self.config.state.topic,
            topics: &self.topics,
            slot: &self.config.slot,
            transaction_timeout: self.config.transaction_timeout,
        }
    }

    /// Judges what was found of one partition.
    fn accept(&mut self, partition: Partition, durable: Durable) -> Result<Restored, LedgerError> {
        let place = self.config.state.topic.clone();
        let (topic, partitions) = self.topic_of(partition)?;
        self.forgotten.remove(&partition);
        let Durable { committed, state, topic_id } = durable;
        let stored = state.position.as_ref();
        if let Some(position) = stored.filter(|position| position.partitions != partitions) {
            return Err(LedgerError::Topic {
                topic: topic.to_string(),
                reason: format!(
                    "has {partitions} partitions, but its state in `{place}` was written when it had {}: keys have moved",
                    position.partitions
                ),
            });
        }
        let made_from = stored.and_then(|position| position.topic_id.clone());
        if let Some(id) = topic_id.clone().or(made_from.clone()) {
            self.topic_ids.insert(partition, id);
        }
        if let (Some(stored), Some(found)) = (made_from, topic_id)
            && stored != found
        {
            if !self.config.forget_remade {
                return Err(LedgerError::Remade { topic: topic.to_string(), partition, place, stored, found });
            }
            tracing::warn!(%topic, partition = partition.number, "forgetting the state of a topic that was made again");
            self.forgotten.insert(partition, state.into_keys());
            return Ok(Restored { partition, next_offset: None, state: Vec::new() });
        }
        let offset = stored.map(|position| position.next_offset);
        let next_offset = match &self.writer {
            Writer::Transactions(_) if offset != committed || (offset.is_none() && !state.is_empty()) => {
                return Err(LedgerError::Mismatch { partition, place, state: offset, committed });
            }
            Writer::Transactions(_) => committed,
            // State is written before offsets: those alone mean that it is gone.
            Writer::Plain(_) if offset.is_none() && committed.is_some() => {
                return Err(LedgerError::Mismatch { partition, place, state: offset, committed });
            }
            Writer::Plain(_) => offset,
        };
        Ok(Restored { partition, next_offset, state: state.into_records() })
    }

    pub(super) fn producer(&mut self) -> Result<&mut RecordProducer, LedgerError> {
        match &mut self.writer {
            Writer::Transactions(transactions) => transactions.writing(),
            Writer::Plain(producer) => Ok(producer),
        }
    }

    /// Queues one record. A refusal that only this transaction suffers from is kept for the commit to report.
    pub(super) fn queue(&mut self, outgoing: &Outgoing<'_>) -> Result<(), LedgerError> {
        match self.producer()?.send(outgoing) {
            Ok(()) => Ok(()),
            Err(SendError::TooLarge { bytes }) => Err(self.too_large(outgoing.origin, bytes)),
            Err(SendError::Fenced) => Err(self.fenced()),
            Err(SendError::Refused(error)) => {
                self.broken.get_or_insert_with(|| error.to_string());
                Ok(())
            }
        }
    }

    pub(super) fn topic_of_origin(&self, origin: Origin) -> String {
        match origin {
            Origin::Sink(index) => self.sinks.get(usize::from(index)).cloned().unwrap_or_default(),
            Origin::State => self.config.state.topic.clone(),
        }
    }

    /// The permission over whose lack a commit failed.
    pub(super) fn denied(&self, code: RDKafkaErrorCode) -> AccessError {
        refusal::denied(Some(code), "Read", Resource::Group(&self.config.group))
            .or_else(|| self.denied_topic())
            .unwrap_or_else(|| AccessError::Denied {
                operation: "Write",
                resource: "a topic of the pipeline".to_owned(),
            })
    }

    /// The first permission that the ledger lacks on a topic, as the brokers tell it.
    pub(super) fn denied_topic(&self) -> Option<AccessError> {
        let state = self.config.state.topic.as_str();
        let read = self.topics.iter().map(|(topic, _)| &**topic).chain([state]).map(|topic| (topic, "Read"));
        let written = self.sinks.iter().map(String::as_str).chain([state]).map(|topic| (topic, "Write"));
        let needed: Vec<_> = read.chain(written).collect();
        Administrator::open(&self.config.connection).ok()?.first_denied(&needed)
    }

    pub(super) fn too_large(&mut self, origin: Origin, bytes: usize) -> LedgerError {
        let topic = self.topic_of_origin(origin);
        let ours = self.producer().map_or(usize::MAX, |producer| producer.message_bytes_max());
        let limit = record_bytes_max(&self.config.connection, &topic, ours);
        match origin {
            Origin::Sink(_) => LedgerError::TooLarge { topic, bytes, limit },
            Origin::State => LedgerError::Topic {
                topic,
                reason: format!("a state record of {bytes} bytes exceeds the limit of {limit} bytes"),
            },
        }
    }

    pub(super) fn queue_state(&mut self, commit: &mut Commit<'_>) -> Result<(), LedgerError> {
        let topic = self.config.state.topic.clone();
        let headers = std::mem::take(&mut self.slot_headers);
        let mut queued = Ok(());
        for position in commit.positions {
            let (source, _) = self.topic_of(position.partition)?;
            for key in self.forgotten.remove(&position.partition).unwrap_or_default() {
                let key = changelog::state_key(&source, position.partition, &key);
                queued = queued
                    .and_then(|()| self.queue(&state_record(&topic, position.partition.number, &key, None, &headers)));
            }
        }
        for record in &mut *commit.state {
            let (source, _) = self.topic_of(record.partition)?;
            let key = changelog::state_key(&source, record.partition, &record.key);
            queued = queued.and_then(|()| {
                self.queue(&state_record(&topic, record.partition.number, &key, record.value.as_deref(), &headers))
            });
        }
        // The position last: at least once, newer state under an older position repeats rows, the other way round
        // would lose their effect.
        for position in commit.positions {
            let (source, partitions) = self.topic_of(position.partition)?;
            let key = changelog::position_key(&source, *position);
            let topic_id = self.topic_ids.get(&position.partition).cloned();
            let value = StoredPosition { next_offset: position.next_offset, partitions, topic_id }.encode();
            queued = queued.and_then(|()| {
                self.queue(&state_record(&topic, position.partition.number, &key, Some(&value), &headers))
            });
        }
        self.slot_headers = headers;
        queued
    }

    pub(super) fn fenced(&self) -> LedgerError {
        LedgerError::Fenced { slot: self.config.slot.clone() }
    }

    pub(super) fn failed(&self, operation: &'static str, reason: &str, transient: bool) -> LedgerError {
        LedgerError::Client { operation, reason: self.log.redact(reason), transient }
    }

    /// Drops the open transaction, or what waits to be delivered.
    pub(super) fn drop_open(&mut self) -> Result<(), LedgerError> {
        self.broken = None;
        match &mut self.writer {
            Writer::Transactions(transactions) => transactions.abort(),
            Writer::Plain(producer) => {
                self.ending = None;
                producer.purge();
                Ok(())
            }
        }
    }

    fn restore_all(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        self.broken = None;
        if let Writer::Transactions(transactions) = &mut self.writer {
            transactions.ready()?;
        }
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        for partition in partitions {
            self.known(*partition)?;
        }
        let mut durable = self.restorer().restore(partitions)?;
        self.take_partitions(&durable)?;
        let found = |partition: &Partition| (*partition, durable.remove(partition).unwrap_or_default());
        let found: Vec<_> = partitions.iter().map(found).collect();
        found.into_iter().map(|(partition, durable)| self.accept(partition, durable)).collect()
    }
}

impl Ledger for KafkaLedger {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        let restored = self.restore_all(partitions);
        restored.map_err(|error| self.judge(error))
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        self.broken = None;
        let begun = match &mut self.writer {
            Writer::Transactions(transactions) => transactions.begin(),
            Writer::Plain(_) => Ok(()),
        };
        begun.map_err(|error| self.judge(error))
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        let sinks = Arc::clone(&self.sinks);
        for record in records.iter() {
            let topic = sinks
                .get(usize::from(record.sink))
                .ok_or_else(|| self.failed("writing", &format!("there is no sink {}", record.sink), false))?;
            let queued = self.queue(&Outgoing {
                origin: Origin::Sink(record.sink),
                topic,
                partition: record.partition,
                key: record.key,
                value: record.value,
                headers: record.headers,
                ts_ms: None,
            });
            queued.map_err(|error| self.judge(error))?;
        }
        Ok(())
    }

    fn commit(&mut self, mut commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        let begun = self.end(&mut commit, true);
        let mut ending = self.conclude(begun)?;
        loop {
            match ending {
                Some(outcome) => return Ok(outcome),
                None => ending = self.outcome(COMMIT)?,
            }
        }
    }

    fn commit_soon(&mut self, mut commit: Commit<'_>) -> Result<Option<CommitOutcome>, LedgerError> {
        let begun = self.end(&mut commit, false);
        self.conclude(begun)
    }

    fn outcome(&mut self, patience: Duration) -> Result<Option<CommitOutcome>, LedgerError> {
        let ended = self.ended(patience);
        self.conclude(ended)
    }

    fn flushed(&mut self, patience: Duration) -> Result<bool, LedgerError> {
        match &self.writer {
            Writer::Transactions(_) => Ok(true),
            // What has failed the commit tells.
            Writer::Plain(producer) => Ok(producer.delivered(patience) || producer.failed()),
        }
    }

    fn overlaps(&self) -> bool {
        matches!(self.writer, Writer::Plain(_))
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        let aborted = self.drop_open();
        aborted.map_err(|error| self.judge(error))
    }
}

pub(super) fn state_record<'a>(
    topic: &'a str,
    number: i32,
    key: &'a [u8],
    value: Option<&'a [u8]>,
    headers: &'a [Header],
) -> Outgoing<'a> {
    Outgoing { origin: Origin::State, topic, partition: Some(number), key: Some(key), value, headers, ts_ms: None }
}
