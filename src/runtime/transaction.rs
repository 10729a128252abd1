//! Records of the stages -> the ledger's open transaction, in pieces of bounded size.
//!
//! One row after a gap can close weeks of windows, each with forecasts of every key: what they give is handed over
//! while they close, not when the last of them has.

use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use arterial_connectors::position::Partition;

/// Most bytes of records that are gathered before the ledger gets them; the records of one more window come on top.
/// Large enough for thousands of records a call, and less than a ledger's own queue holds.
pub(super) const RECORDS_BYTES_MAX: usize = 4 << 20;

/// A worker's ledger, with what is to be handed to it.
pub(super) struct Transaction {
    ledger: Box<dyn Ledger>,
    records: Records,
    bytes_max: usize,
    open: bool,
}

impl Transaction {
    /// No transaction is open yet. `bytes_max`: size of the records at which [`Self::relieve`] hands them over.
    pub(super) fn new(ledger: Box<dyn Ledger>, bytes_max: usize) -> Self {
        Self { ledger, records: Records::default(), bytes_max, open: false }
    }

    /// What was gathered and not handed over yet.
    pub(super) fn records(&mut self) -> &mut Records {
        &mut self.records
    }

    /// Hands the records over where they are more than should be kept. Called between two windows: a failure throws
    /// the working state away, wherever in its batch that stands.
    pub(super) fn relieve(&mut self) -> Result<(), LedgerError> {
        if self.records.bytes() < self.bytes_max { Ok(()) } else { self.append() }
    }

    /// Hands the records over, if there are any.
    pub(super) fn append(&mut self) -> Result<(), LedgerError> {
        if self.records.is_empty() {
            return Ok(());
        }
        let appended = self.begin().and_then(|()| self.ledger.append(&self.records));
        self.records.clear();
        appended
    }

    /// Opens a transaction where none is open.
    pub(super) fn begin(&mut self) -> Result<(), LedgerError> {
        if !self.open {
            self.ledger.begin()?;
            self.open = true;
        }
        Ok(())
    }

    /// Ends the open transaction. After an error it counts as open, and is to be aborted.
    pub(super) fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        let outcome = self.ledger.commit(commit)?;
        self.open = false;
        Ok(outcome)
    }

    /// Forgets what was gathered and drops the open transaction, if there is one.
    pub(super) fn abort(&mut self) -> Result<(), LedgerError> {
        self.records.clear();
        if std::mem::take(&mut self.open) { self.ledger.abort() } else { Ok(()) }
    }

    /// What is durable of these partitions.
    pub(super) fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        self.ledger.restore(partitions)
    }
}
