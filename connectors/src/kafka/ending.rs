//! A commit from its last record to its outcome. Meanwhile it is in flight: exactly once, no record may be sent before it
//! has ended; at least once, those of the next commit follow at once, and delivery is looked at when nothing is on its way,
//! or waited for when the next commit is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::ledger::{KafkaLedger, Writer};
use super::limits::DELIVERY;
use super::producer::Failure;
use super::refusal::{self, Resource};
use super::source::KafkaMember;
use super::transaction::Ended;
use crate::access::AccessError;
use crate::ledger::{Commit, CommitOutcome, LedgerError, misuse};

/// A commit in flight, at least once.
pub(super) struct Ending {
    deadline: Instant,
    offsets: TopicPartitionList,
    member: Option<KafkaMember>,
    /// Whether the brokers' answer about the offsets is waited for.
    waits: bool,
}

impl KafkaLedger {
    /// Sends state and positions and begins to end the transaction; an outcome where that has failed already.
    ///
    /// Without transactions nothing but their order keeps a position from being durable before the outputs that came of the
    /// rows before it, so those are delivered first.
    pub(super) fn end(&mut self, commit: &mut Commit<'_>, waits: bool) -> Result<Option<CommitOutcome>, LedgerError> {
        if matches!(&self.writer, Writer::Plain(producer) if !producer.delivered(DELIVERY) || producer.failed()) {
            return self.give_up().map(Some);
        }
        self.queue_state(commit)?;
        if self.broken.is_some() {
            return self.give_up().map(Some);
        }
        let offsets = self.offsets(commit)?;
        let member = commit.group.and_then(|group| group.get::<KafkaMember>());
        let foreign = self.failed("committing", "the positions come from a source that is not of Kafka", false);
        match &mut self.writer {
            Writer::Transactions(transactions) => {
                transactions.end(match (offsets.count(), member) {
                    (0, _) => None,
                    (_, Some(member)) => Some((offsets, Arc::clone(&member.metadata))),
                    (_, None) => return Err(foreign),
                })?;
            }
            Writer::Plain(_) => {
                let deadline = Instant::now() + DELIVERY;
                self.ending = Some(Ending { deadline, offsets, member: member.cloned(), waits });
            }
        }
        Ok(None)
    }

    /// How the commit in flight has ended; `None` where that is not known within `patience`.
    pub(super) fn ended(&mut self, patience: Duration) -> Result<Option<CommitOutcome>, LedgerError> {
        let ended = match &mut self.writer {
            Writer::Transactions(transactions) => transactions.ended(patience)?,
            Writer::Plain(_) => self.delivered(patience)?,
        };
        match ended {
            None => Ok(None),
            Some(Ended::Outcome(outcome)) => Ok(Some(outcome)),
            Some(Ended::Undelivered) => self.give_up().map(Some),
            Some(Ended::Denied(code)) => Err(self.denied(code).into()),
        }
    }

    /// Says what the worker has to know: whether it is shut out for good, or goes on with a new producer.
    pub(super) fn conclude(
        &mut self,
        ended: Result<Option<CommitOutcome>, LedgerError>,
    ) -> Result<Option<CommitOutcome>, LedgerError> {
        let ended = match ended {
            Ok(Some(CommitOutcome::Fenced)) => Err(self.fenced()),
            ended => ended,
        };
        let shut_out = matches!(ended, Err(LedgerError::Fenced { .. }));
        match ended.map_err(|error| self.judge(error)) {
            Err(LedgerError::Fenced { .. }) => Ok(Some(CommitOutcome::Fenced)),
            Err(error) if shut_out && error.transient() => {
                tracing::warn!(%error, "the outcome of a commit is unknown");
                Ok(Some(CommitOutcome::Unknown))
            }
            outcome => outcome,
        }
    }

    fn delivered(&mut self, patience: Duration) -> Result<Option<Ended>, LedgerError> {
        let none = || misuse("waiting for a commit", "none is in flight");
        let ending = self.ending.take().ok_or_else(none)?;
        let Writer::Plain(producer) = &self.writer else { return Err(none()) };
        let delivered = producer.delivered(patience);
        if producer.failed() || !delivered && Instant::now() >= ending.deadline {
            return Ok(Some(Ended::Undelivered));
        }
        if !delivered {
            self.ending = Some(ending);
            return Ok(None);
        }
        if let (1.., Some(member)) = (ending.offsets.count(), &ending.member) {
            // The position record is what counts; the group's offset is for lag monitors.
            if let Err(error) = member.commit(&ending.offsets, ending.waits) {
                tracing::warn!(%error, "the group's offsets were not committed");
            }
        }
        Ok(Some(Ended::Outcome(CommitOutcome::Committed)))
    }

    /// Drops a commit of which something cannot be delivered.
    fn give_up(&mut self) -> Result<CommitOutcome, LedgerError> {
        let refused = self.broken.is_some();
        let reason = self.deliver(Duration::ZERO)?.unwrap_or_else(|| "a record was not delivered".to_owned());
        tracing::warn!(reason = self.log.redact(&reason), "the commit is aborted");
        self.drop_open()?;
        // A transaction that failed over a missing permission takes no more records, and says nothing else.
        if let Some(denied) = Some(()).filter(|()| refused).and_then(|()| self.denied_topic()) {
            return Err(denied.into());
        }
        Ok(CommitOutcome::Aborted)
    }

    /// Delivers everything queued; `Some(reason)` where the transaction cannot be committed.
    pub(super) fn deliver(&mut self, limit: Duration) -> Result<Option<String>, LedgerError> {
        let producer = self.producer()?;
        let flushed = producer.flush(limit);
        let failure = producer.take_failure();
        if producer.fenced() {
            return Err(self.fenced());
        }
        match failure {
            Some(Failure { origin, bytes, code: Some(RDKafkaErrorCode::MessageSizeTooLarge), .. }) => {
                return Err(self.too_large(origin, bytes));
            }
            Some(Failure { origin, code: Some(code), .. }) if refusal::is_denial(code) => {
                let topic = self.topic_of_origin(origin);
                return Err(
                    AccessError::Denied { operation: "Write", resource: Resource::Topic(&topic).to_string() }.into()
                );
            }
            Some(failure) => return Ok(Some(failure.reason)),
            None => {}
        }
        if !flushed {
            return Ok(Some(format!("not everything was delivered within {} s", DELIVERY.as_secs())));
        }
        Ok(self.broken.take())
    }

    fn offsets(&self, commit: &Commit<'_>) -> Result<TopicPartitionList, LedgerError> {
        let mut list = TopicPartitionList::with_capacity(commit.positions.len());
        for position in commit.positions {
            let (topic, _) = self.topic_of(position.partition)?;
            list.add_partition_offset(&topic, position.partition.number, Offset::Offset(position.next_offset))
                .map_err(|error| self.failed("committing", &error.to_string(), false))?;
        }
        Ok(list)
    }
}
