//! The transactional producer of one slot: begin, end, and what to do when an ending fails. It decides whether a
//! failed ending was an abort, the broker shutting it out, or unknown; it never repeats a commit blindly.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::config::KafkaConnection;
use super::limits::{COMMIT, DELIVERY, HUNG_CALLS_MAX, STEP, TAKEOVER};
use super::log::ClientLog;
use super::producer::{RecordProducer, StepError, Steps, Watched, WriterContext, is_fencing, watched};
use super::query;
use super::refusal::{self, Resource};
use super::restore::millis;
use crate::access::AccessError;
use crate::ledger::{CommitOutcome, LedgerError};

/// Offsets that a transaction moves, with the proof of membership.
pub(super) type GroupOffsets = (TopicPartitionList, Arc<ConsumerGroupMetadata>);

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Outcome(CommitOutcome),
    /// It is still open: one of its records was not delivered.
    Undelivered,
    /// Aborted over a permission that is missing; the brokers do not say on what.
    Denied(RDKafkaErrorCode),
}

/// A producer that owns its slot.
pub(super) struct TransactionProducer {
    connection: KafkaConnection,
    log: Arc<ClientLog>,
    id: String,
    slot: String,
    timeout: Duration,
    producer: Option<RecordProducer>,
    open: bool,
    /// The commit that is in flight.
    ending: Option<Watched<()>>,
    /// Calls that never came back.
    hung: u32,
}

impl TransactionProducer {
    pub(super) fn new(
        connection: &KafkaConnection,
        log: &Arc<ClientLog>,
        id: String,
        slot: &str,
        timeout: Duration,
    ) -> Self {
        Self {
            connection: connection.clone(),
            log: Arc::clone(log),
            id,
            slot: slot.to_owned(),
            timeout,
            producer: None,
            open: false,
            ending: None,
            hung: 0,
        }
    }

    /// Takes over the slot, where this has not been done: an earlier owner is shut out, what it left open aborted.
    pub(super) fn ready(&mut self) -> Result<&mut RecordProducer, LedgerError> {
        if self.producer.is_none() {
            let config = self.connection.transactional_producer(&self.id, millis(self.timeout));
            let producer = RecordProducer::open(&config, &self.log)?;
            let client = producer.shared();
            match query::insist(TAKEOVER, |timeout| client.init_transactions(timeout)) {
                Ok(()) => {}
                Err(error) if is_fenced(&error) => return Err(self.fenced()),
                Err(error) => {
                    if let Some(denied) = self.denied(error.rdkafka_error_code()) {
                        return Err(denied.into());
                    }
                    let transient = query::passing(&error);
                    return Err(self.failed("taking over the slot", &error.to_string(), transient));
                }
            }
            self.producer = Some(producer);
            self.open = false;
        }
        self.producer.as_mut().ok_or_else(|| LedgerError::Fenced { slot: self.id.clone() })
    }

    pub(super) fn begin(&mut self) -> Result<(), LedgerError> {
        let begun = self.ready()?.shared().begin_transaction();
        match begun {
            Ok(()) => {
                self.open = true;
                Ok(())
            }
            Err(error) if is_fenced(&error) => Err(self.fenced()),
            Err(error) => {
                // A producer that cannot begin is of no more use; the next one can.
                self.producer = None;
                Err(self.failed("beginning a transaction", &error.to_string(), query::passing(&error)))
            }
        }
    }

    /// The producer of the open transaction.
    pub(super) fn writing(&mut self) -> Result<&mut RecordProducer, LedgerError> {
        let missing = self.failed("writing", "no transaction is open", false);
        self.producer.as_mut().filter(|_| self.open).ok_or(missing)
    }

    /// Begins to end the open transaction so that everything in it becomes visible: its records are delivered, then the
    /// offsets, then the end is asked for. [`TransactionProducer::ended`] tells how that went.
    pub(super) fn end(&mut self, offsets: Option<GroupOffsets>) -> Result<(), LedgerError> {
        let producer = self.writing()?.clone();
        let client = producer.shared();
        self.open = false;
        let end = move |client: &BaseProducer<WriterContext>, steps: &Steps<()>| {
            if !producer.flush(DELIVERY) || producer.failed() {
                return Err(StepError::Undelivered);
            }
            end_transaction(client, offsets, steps)
        };
        match Watched::start(&client, "delivering records", DELIVERY, end) {
            Ok(ending) => {
                self.ending = Some(ending);
                Ok(())
            }
            Err(error) => {
                self.open = true;
                Err(self.failed("committing", &format!("{error:?}"), true))
            }
        }
    }

    /// As [`TransactionProducer::end`], and waits.
    pub(super) fn commit(&mut self, offsets: Option<GroupOffsets>) -> Result<Ended, LedgerError> {
        self.end(offsets)?;
        loop {
            if let Some(ended) = self.ended(COMMIT)? {
                return Ok(ended);
            }
        }
    }

    /// How the commit in flight has ended; `None` where that is not known within `patience`.
    pub(super) fn ended(&mut self, patience: Duration) -> Result<Option<Ended>, LedgerError> {
        let Some(mut ending) = self.ending.take() else {
            return Err(self.failed("waiting for a commit", "none is in flight", false));
        };
        match ending.outcome(patience) {
            Some(outcome) => self.judge_ending(outcome).map(Some),
            None => {
                self.ending = Some(ending);
                Ok(None)
            }
        }
    }

    fn judge_ending(&mut self, outcome: Result<(), StepError>) -> Result<Ended, LedgerError> {
        match outcome {
            Ok(()) => Ok(Ended::Outcome(CommitOutcome::Committed)),
            Err(StepError::Fenced) => Ok(Ended::Outcome(CommitOutcome::Fenced)),
            Err(StepError::Undelivered) => {
                self.open = true;
                Ok(Ended::Undelivered)
            }
            Err(StepError::Denied(code)) => {
                self.open = true;
                self.abort()?;
                Ok(Ended::Denied(code))
            }
            Err(StepError::Abort(reason)) => {
                tracing::warn!(reason = self.log.redact(&reason), "the transaction is aborted");
                self.open = true;
                self.abort_to_outcome().map(Ended::Outcome)
            }
            Err(StepError::Unknown(reason)) => {
                tracing::warn!(reason = self.log.redact(&reason), "the outcome of a commit is unknown");
                self.replace()?;
                Ok(Ended::Outcome(CommitOutcome::Unknown))
            }
            Err(StepError::Hung { step, limit }) => {
                self.leave_hung(step, limit)?;
                Ok(Ended::Outcome(CommitOutcome::Unknown))
            }
        }
    }

    /// Aborts and says how that ended.
    pub(super) fn abort_to_outcome(&mut self) -> Result<CommitOutcome, LedgerError> {
        match self.abort() {
            Ok(()) => Ok(CommitOutcome::Aborted),
            Err(LedgerError::Fenced { .. }) => Ok(CommitOutcome::Fenced),
            Err(error) => Err(error),
        }
    }

    /// Drops the open transaction. Where that fails, a new producer of the same slot makes the broker do it.
    pub(super) fn abort(&mut self) -> Result<(), LedgerError> {
        let Some(producer) = self.producer.as_ref().filter(|_| self.open) else { return Ok(()) };
        self.open = false;
        let client = producer.shared();
        // It throws out what is queued itself; a purge before it would leave a gap in the sequence numbers.
        let ended = watched(&client, "aborting", STEP, |client| {
            client.abort_transaction(STEP).map_err(|error| StepError::of(&error))
        });
        producer.take_failure();
        match ended {
            Ok(()) => Ok(()),
            Err(StepError::Fenced) => Err(self.fenced()),
            Err(StepError::Hung { step, limit }) => self.leave_hung(step, limit),
            Err(StepError::Abort(reason) | StepError::Unknown(reason)) => {
                tracing::warn!(reason = self.log.redact(&reason), "an abort failed; the producer is replaced");
                self.replace()
            }
            Err(StepError::Denied(_) | StepError::Undelivered) => self.replace(),
        }
    }

    /// Leaves a client behind that does not come back from a call. A new one takes the slot over before anything else is
    /// done: should the call come back later, the brokers refuse whatever it still asks for.
    fn leave_hung(&mut self, step: &'static str, limit: Duration) -> Result<(), LedgerError> {
        self.hung += 1;
        let reason = format!("librdkafka did not come back within {} s", limit.as_secs());
        if self.hung > HUNG_CALLS_MAX {
            return Err(self.failed(step, &reason, false));
        }
        tracing::error!(step, hung = self.hung, "{reason}; its client is left behind, a new one takes over");
        self.replace()
    }

    /// A new producer with the same id: the broker ends whatever the old one left open. Where the brokers are away,
    /// [`TransactionProducer::ready`] goes on trying.
    fn replace(&mut self) -> Result<(), LedgerError> {
        if self.producer.as_ref().is_some_and(RecordProducer::fenced) {
            return Err(self.fenced());
        }
        self.start_over()
    }

    /// As [`TransactionProducer::replace`], for a producer that was shut out although the slot is still its own.
    pub(super) fn start_over(&mut self) -> Result<(), LedgerError> {
        self.producer = None;
        self.open = false;
        match self.ready() {
            Ok(_) => Ok(()),
            Err(error) if error.transient() => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn fenced(&self) -> LedgerError {
        LedgerError::Fenced { slot: self.slot.clone() }
    }

    fn denied(&self, code: Option<RDKafkaErrorCode>) -> Option<AccessError> {
        refusal::denied(code, "Write", Resource::TransactionalId(&self.id))
    }

    fn failed(&self, operation: &'static str, reason: &str, transient: bool) -> LedgerError {
        LedgerError::Client { operation, reason: self.log.redact(reason), transient }
    }
}

/// Offsets first, then the end: the broker takes offsets only from a current member of the group.
fn end_transaction(
    client: &BaseProducer<WriterContext>,
    offsets: Option<GroupOffsets>,
    steps: &Steps<()>,
) -> Result<(), StepError> {
    if let Some((offsets, member)) = offsets {
        steps.enter("sending offsets", STEP);
        let sent = query::insist(STEP, |timeout| {
            match client.send_offsets_to_transaction(&offsets, &member, timeout) {
                // Only what may be repeated without ending the transaction is repeated.
                Err(KafkaError::Transaction(error)) if !error.is_retriable() => Ok(Err(KafkaError::Transaction(error))),
                outcome => outcome.map(Ok),
            }
        });
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(StepError::of(&error).or_abort()),
            // Nothing was committed yet: a transaction without its offsets is aborted.
            Err(error) => return Err(StepError::Abort(error.to_string())),
        }
    }
    steps.enter("ending the transaction", STEP);
    client.commit_transaction(STEP).map_err(|error| StepError::of(&error))
}

impl StepError {
    /// Before the end was asked for nothing can have been committed.
    fn or_abort(self) -> Self {
        match self {
            Self::Unknown(reason) => Self::Abort(reason),
            other => other,
        }
    }
}

fn is_fenced(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(is_fencing)
}
