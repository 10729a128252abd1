//! Output records, positions and state -> one transaction of the memory broker. The same slot opened again shuts the
//! older ledger out; a commit for a partition that the member no longer owns is aborted, as Kafka does.

use std::time::Duration;

use super::broker::{Inner, MemoryBroker, MemoryError, MemoryRecord};
use super::faults::{CommitFault, Faults, Operation};
use super::source::MemberTerms;
use crate::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored, misuse};
use crate::payload::header_bytes;
use crate::position::{Partition, partition_of_key};

/// Who a [`MemoryLedger`] is, and where its records go.
#[derive(Debug, Clone)]
pub struct MemoryLedgerConfig {
    /// The group whose offsets it commits and whose state it keeps.
    pub group: String,
    /// The worker's stable name (Kafka: `transactional.id`). A newer ledger of the same group and slot fences this one.
    pub slot: String,
    /// Output topics by index of sink. They must exist.
    pub sinks: Vec<String>,
    /// Largest record (key, value and headers), bytes; `None` is no limit.
    pub record_bytes_max: Option<usize>,
    /// What goes wrong.
    pub faults: Faults,
    /// How many looks at a commit that was begun with [`Ledger::commit_soon`] find it in flight.
    pub looks_in_flight: u32,
}

impl MemoryLedgerConfig {
    /// A ledger without limit and faults, whose commits end at once.
    #[must_use]
    pub fn new(group: &str, slot: &str, sinks: &[&str]) -> Self {
        Self {
            group: group.to_owned(),
            slot: slot.to_owned(),
            sinks: sinks.iter().map(|sink| (*sink).to_owned()).collect(),
            record_bytes_max: None,
            faults: Faults::none(),
            looks_in_flight: 0,
        }
    }
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing but `restore`.
    Unsettled,
    /// `begin`, or `restore` of further partitions.
    Ready,
    /// `append`, `commit`, `abort`.
    Open(u64),
    /// `outcome`.
    InFlight,
    /// Nothing any more.
    Fenced,
}

/// The ledger of one worker slot. Dropping it leaves its transaction open, as a crash does: readers of committed
/// records wait before it until the slot is opened again.
#[derive(Debug)]
pub struct MemoryLedger {
    broker: MemoryBroker,
    config: MemoryLedgerConfig,
    epoch: u64,
    phase: Phase,
    in_flight: Option<InFlight>,
}

/// A commit that has ended, but is not told of yet.
#[derive(Debug)]
struct InFlight {
    outcome: CommitOutcome,
    looks: u32,
    /// What comes after it.
    phase: Phase,
}

impl MemoryLedger {
    /// Takes the slot: an older ledger of it is fenced, its open transaction aborted.
    ///
    /// # Errors
    /// [`LedgerError::Topic`] where an output topic is missing.
    pub fn open(broker: &MemoryBroker, config: MemoryLedgerConfig) -> Result<Self, LedgerError> {
        let mut ledger = Self { broker: broker.clone(), config, epoch: 0, phase: Phase::Unsettled, in_flight: None };
        let mut inner = broker.lock();
        for topic in &ledger.config.sinks {
            inner.topic(topic).map_err(|error| topic_error(topic, &error))?;
        }
        ledger.epoch = ledger.take_slot(&mut inner);
        drop(inner);
        Ok(ledger)
    }

    fn slot_key(&self) -> (String, String) {
        (self.config.group.clone(), self.config.slot.clone())
    }

    /// Starts the slot's next epoch and aborts what the last one left open.
    fn take_slot(&self, inner: &mut Inner) -> u64 {
        let slot = inner.slots.entry(self.slot_key()).or_default();
        slot.epoch += 1;
        let (epoch, open) = (slot.epoch, slot.open.take());
        if let Some(txn) = open {
            inner.finish(txn, false);
        }
        self.broker.notify(inner);
        epoch
    }

    /// Whether this ledger still holds its slot; where not, it never does again.
    fn check_slot(&mut self, inner: &Inner) -> Result<(), LedgerError> {
        let current = inner.slots.get(&self.slot_key()).is_some_and(|slot| slot.epoch == self.epoch);
        if !current {
            self.phase = Phase::Fenced;
        }
        if self.phase == Phase::Fenced {
            return Err(LedgerError::Fenced { slot: self.config.slot.clone() });
        }
        Ok(())
    }

    /// The transaction that `operation` needs.
    fn open_txn(&self, operation: &'static str) -> Result<u64, LedgerError> {
        match self.phase {
            Phase::Open(txn) => Ok(txn),
            _ => Err(misuse(operation, "no transaction is open")),
        }
    }

    /// Ends the transaction and takes its slot's mark away.
    fn end_txn(&self, inner: &mut Inner, txn: u64, committed: bool) {
        inner.finish(txn, committed);
        if let Some(slot) = inner.slots.get_mut(&self.slot_key()) {
            slot.open = None;
        }
        self.broker.notify(inner);
    }

    /// Makes everything of the transaction visible in one step.
    fn apply(&self, inner: &mut Inner, txn: u64, commit: Commit<'_>) {
        let group = inner.group(&self.config.group);
        for record in commit.state {
            let records = &mut group.state.entry(record.partition).or_default().records;
            match record.value {
                Some(value) => records.insert(record.key, value),
                None => records.remove(&record.key),
            };
        }
        group.commit(commit.positions);
        inner.trim_feeds(&self.config.group, commit.positions);
        self.end_txn(inner, txn, true);
    }

    fn restore_one(&self, inner: &mut Inner, partition: Partition) -> Result<Restored, LedgerError> {
        let group = inner.group(&self.config.group);
        let committed = group.committed.get(&partition).copied();
        let durable = group.state.get(&partition).cloned().unwrap_or_default();
        if durable.next_offset != committed {
            let place = format!("memory group {}", self.config.group);
            return Err(LedgerError::Mismatch { partition, place, state: durable.next_offset, committed });
        }
        Ok(Restored { partition, next_offset: committed, state: durable.records.into_iter().collect() })
    }

    /// The first record over the limit, as an error.
    fn check_sizes(&self, records: &Records) -> Result<(), LedgerError> {
        let Some(limit) = self.config.record_bytes_max else { return Ok(()) };
        for record in records.iter() {
            let bytes =
                record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + header_bytes(record.headers);
            if bytes > limit {
                let topic = self.config.sinks.get(usize::from(record.sink)).cloned().unwrap_or_default();
                return Err(LedgerError::TooLarge { topic, bytes, limit });
            }
        }
        Ok(())
    }

    fn fail_where_planned(&self, operation: Operation, name: &'static str) -> Result<(), LedgerError> {
        if self.config.faults.next_fails(operation) {
            let reason = "planned fault".to_owned();
            return Err(LedgerError::Client { operation: name, reason, transient: true });
        }
        Ok(())
    }
}

impl Ledger for MemoryLedger {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        self.fail_where_planned(Operation::Restore, "restore")?;
        let broker = self.broker.clone();
        let mut inner = broker.lock();
        self.check_slot(&inner)?;
        match self.phase {
            // Refused rather than aborted: what was appended would be lost without a word.
            Phase::Open(_) => return Err(misuse("restore", "a transaction is open")),
            Phase::InFlight => return Err(misuse("restore", "a commit is in flight")),
            Phase::Unsettled => self.epoch = self.take_slot(&mut inner),
            Phase::Ready | Phase::Fenced => {}
        }
        let restored: Result<_, _> = partitions.iter().map(|one| self.restore_one(&mut inner, *one)).collect();
        if restored.is_ok() {
            self.phase = Phase::Ready;
        }
        restored
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        let broker = self.broker.clone();
        let mut inner = broker.lock();
        self.check_slot(&inner)?;
        if self.phase != Phase::Ready {
            return Err(misuse("begin", "restore or the end of the open transaction comes first"));
        }
        self.fail_where_planned(Operation::Begin, "begin")?;
        inner.last_txn += 1;
        let txn = inner.last_txn;
        if let Some(slot) = inner.slots.get_mut(&self.slot_key()) {
            slot.open = Some(txn);
        }
        self.phase = Phase::Open(txn);
        Ok(())
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        let broker = self.broker.clone();
        let mut inner = broker.lock();
        self.check_slot(&inner)?;
        let txn = self.open_txn("append")?;
        self.fail_where_planned(Operation::Append, "append")?;
        self.check_sizes(records)?;
        for record in records.iter() {
            let Some(topic) = self.config.sinks.get(usize::from(record.sink)) else {
                return Err(misuse("append", "there is no sink of that index"));
            };
            let partitions = inner.topic(topic).map_err(|error| topic_error(topic, &error))?.logs.len() as u32;
            let by_key = || record.key.map_or(0, |key| partition_of_key(key, partitions));
            let number = record.partition.unwrap_or_else(by_key);
            let copy = MemoryRecord {
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.headers.to_vec(),
                timestamp_ms: None,
            };
            let log = inner.log_mut(topic, number).map_err(|error| topic_error(topic, &error))?;
            log.append(copy, Some(txn));
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        let broker = self.broker.clone();
        let mut inner = broker.lock();
        if self.check_slot(&inner).is_err() {
            return Ok(CommitOutcome::Fenced);
        }
        let txn = self.open_txn("commit")?;
        let fault = self.config.faults.next_commit();
        self.phase = Phase::Unsettled;
        if !owns_all(&mut inner, &self.config.group, &commit) || fault == Some(CommitFault::Aborted) {
            self.end_txn(&mut inner, txn, false);
            return Ok(CommitOutcome::Aborted);
        }
        match fault {
            None => {
                self.apply(&mut inner, txn, commit);
                self.phase = Phase::Ready;
                Ok(CommitOutcome::Committed)
            }
            Some(CommitFault::UnknownApplied) => {
                self.apply(&mut inner, txn, commit);
                Ok(CommitOutcome::Unknown)
            }
            // The transaction stays open: the restore that has to follow aborts it.
            Some(CommitFault::UnknownDropped | CommitFault::Aborted) => Ok(CommitOutcome::Unknown),
            Some(CommitFault::Fenced) => {
                self.take_slot(&mut inner);
                self.phase = Phase::Fenced;
                Ok(CommitOutcome::Fenced)
            }
            Some(CommitFault::Failed) => {
                self.end_txn(&mut inner, txn, false);
                let reason = "planned fault".to_owned();
                Err(LedgerError::Client { operation: "commit", reason, transient: false })
            }
        }
    }

    fn commit_soon(&mut self, commit: Commit<'_>) -> Result<Option<CommitOutcome>, LedgerError> {
        let outcome = self.commit(commit)?;
        let looks = self.config.looks_in_flight;
        if looks == 0 {
            return Ok(Some(outcome));
        }
        let phase = std::mem::replace(&mut self.phase, Phase::InFlight);
        self.in_flight = Some(InFlight { outcome, looks, phase });
        Ok(None)
    }

    fn outcome(&mut self, patience: Duration) -> Result<Option<CommitOutcome>, LedgerError> {
        let none = || misuse("waiting for a commit", "none is in flight");
        let mut in_flight = self.in_flight.take().ok_or_else(none)?;
        if in_flight.looks == 0 || !patience.is_zero() {
            self.phase = in_flight.phase;
            return Ok(Some(in_flight.outcome));
        }
        in_flight.looks -= 1;
        self.in_flight = Some(in_flight);
        Ok(None)
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        let broker = self.broker.clone();
        let mut inner = broker.lock();
        self.check_slot(&inner)?;
        let txn = self.open_txn("abort")?;
        self.phase = Phase::Unsettled;
        self.fail_where_planned(Operation::Abort, "abort")?;
        self.end_txn(&mut inner, txn, false);
        self.phase = Phase::Ready;
        Ok(())
    }
}

/// Whether the member, where it is one, still owns every partition whose offset it commits.
fn owns_all(inner: &mut Inner, group: &str, commit: &Commit<'_>) -> bool {
    let Some(proof) = commit.group.and_then(|metadata| metadata.get::<MemberTerms>()) else { return true };
    let group = inner.group(group);
    commit.positions.iter().all(|position| {
        let term = proof.terms.get(&position.partition);
        term.is_some_and(|term| group.owned(&proof.member, position.partition, *term))
    })
}

fn topic_error(topic: &str, error: &MemoryError) -> LedgerError {
    LedgerError::Topic { topic: topic.to_owned(), reason: error.to_string() }
}
