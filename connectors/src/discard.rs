//! Outputs, positions and state in, nothing out: a ledger for runs whose outputs nobody reads and whose state nobody
//! goes on from. Every commit succeeds and is forgotten, so memory does not grow with what a run makes.

use crate::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use crate::position::Partition;

/// Keeps nothing: [`Ledger::restore`] always answers that nothing was committed, and a partition that is lost and comes
/// back is read again from its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiscardLedger;

impl Ledger for DiscardLedger {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        let fresh = |partition: &Partition| Restored { partition: *partition, next_offset: None, state: Vec::new() };
        Ok(partitions.iter().map(fresh).collect())
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn append(&mut self, _: &Records) -> Result<(), LedgerError> {
        Ok(())
    }

    fn commit(&mut self, _: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        Ok(CommitOutcome::Committed)
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }
}
