//! Whose slots and partitions are, by records in the state topic: a process takes its slot when it opens the ledger and
//! a partition when it restores it, before it writes anything else. So the next owner knows whom to shut out, and a
//! producer that the broker shut out knows whether another process has its slot.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use super::changelog::{SLOTS_PARTITION, owner_key, slot_key};
use super::ledger::{KafkaLedger, Writer, state_record};
use super::limits::DELIVERY;
use super::restore::Durable;
use super::topics::Administrator;
use super::transaction::Ended;
use crate::ledger::{CommitOutcome, LedgerError};
use crate::position::Partition;

/// How often a slot is tried to be taken while an earlier process takes the takeover for a time-out and starts over:
/// it cannot see who has the slot until the record is there, which takes milliseconds.
const TAKE_TRIES: usize = 5;

/// A name that no other process has: 64 random bits.
pub(super) fn process_name() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// A record that says whose something is: partition of the state topic, key, value.
type Claim = (i32, Vec<u8>, String);

impl KafkaLedger {
    /// Takes the slot: shuts an earlier process out and writes down that it is this one's now.
    pub(super) fn take_slot(&mut self, administrator: &Administrator) -> Result<(), LedgerError> {
        for _ in 0..TAKE_TRIES {
            if let Writer::Transactions(transactions) = &mut self.writer {
                transactions.ready()?;
            }
            self.taken_at = administrator.end(&self.config.state.topic, SLOTS_PARTITION)?;
            let claim = (SLOTS_PARTITION, slot_key(&self.config.slot), self.process.clone());
            match self.write_claims(&[claim]) {
                Err(LedgerError::Fenced { .. }) => self.start_over()?,
                outcome => return outcome,
            }
        }
        Err(self.fenced())
    }

    /// Writes down that partitions are this slot's now, where they were another's or nobody's.
    pub(super) fn take_partitions(&mut self, durable: &BTreeMap<Partition, Durable>) -> Result<(), LedgerError> {
        let mut claims = Vec::new();
        for (partition, found) in durable {
            if found.state.owner.as_ref() != Some(&self.config.slot) {
                let (topic, _) = self.topic_of(*partition)?;
                claims.push((partition.number, owner_key(&topic, *partition), self.config.slot.clone()));
            }
        }
        self.write_claims(&claims)
    }

    /// Writes claims in a transaction of their own. Without transactions nobody can be shut out: nothing is claimed.
    fn write_claims(&mut self, claims: &[Claim]) -> Result<(), LedgerError> {
        let Writer::Transactions(transactions) = &mut self.writer else { return Ok(()) };
        if claims.is_empty() {
            return Ok(());
        }
        transactions.begin()?;
        let (topic, headers) = (self.config.state.topic.clone(), self.slot_headers.clone());
        for (number, key, value) in claims {
            self.queue(&state_record(&topic, *number, key, Some(value.as_bytes()), &headers))?;
        }
        let refused = self.deliver(DELIVERY)?;
        let Writer::Transactions(transactions) = &mut self.writer else { return Ok(()) };
        let reason = match refused {
            Some(reason) => {
                transactions.abort()?;
                // Without the permission to write no other try would help.
                if let Some(denied) = self.denied_topic() {
                    return Err(denied.into());
                }
                reason
            }
            None => match transactions.commit(None)? {
                Ended::Outcome(CommitOutcome::Committed) => return Ok(()),
                Ended::Outcome(CommitOutcome::Fenced) => return Err(self.fenced()),
                Ended::Outcome(outcome) => format!("the transaction ended as {outcome:?}"),
                // Everything was delivered before.
                Ended::Undelivered => {
                    transactions.abort()?;
                    "a record was not delivered".to_owned()
                }
                Ended::Denied(code) => return Err(self.denied(code).into()),
            },
        };
        Err(self.failed("taking over", &reason, true))
    }

    fn start_over(&mut self) -> Result<(), LedgerError> {
        match &mut self.writer {
            Writer::Transactions(transactions) => transactions.start_over(),
            Writer::Plain(_) => Ok(()),
        }
    }

    /// What a shut-out producer means. Where the slot is still this process's, the broker has ended a transaction that
    /// stayed open for too long (a suspended machine), or another worker took this one for dead: a new producer goes on
    /// from the last commit. Other errors stay what they are.
    pub(super) fn judge(&mut self, error: LedgerError) -> LedgerError {
        if !matches!(error, LedgerError::Fenced { .. }) {
            return error;
        }
        match self.restorer().holder(self.taken_at) {
            Ok(Some(process)) if process != self.process => return error,
            Ok(_) => {}
            Err(unanswered) => return unanswered,
        }
        match self.start_over() {
            Ok(()) | Err(LedgerError::Fenced { .. }) => {}
            Err(failed) => return failed,
        }
        let limit = self.config.transaction_timeout.as_secs();
        let reason = format!(
            "the broker has aborted it: it was open for more than {limit} s (was the machine suspended?), or the group took this worker for dead"
        );
        self.failed("the transaction", &reason, true)
    }
}
