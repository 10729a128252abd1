//! Partitions that nobody has committed a position of -> a first position, durable before the first row is read.
//!
//! *Invariant:* a start is resolved once. `start_at: latest` asked again after an aborted commit, a restart or a
//! rebalance would be a later offset, and the rows in between would be nobody's.

use arterial_connectors::ledger::{Commit, CommitOutcome, LedgerError, Restored, StateRecord};
use arterial_connectors::position::{Partition, Position};

use super::error::PipelineError;
use super::worker::Worker;

impl Worker {
    /// Gives every restored partition without a position its start and commits that with its state; false where this did not succeed
    /// and nothing may be read yet.
    pub(super) fn settle_starts(&mut self, restored: &mut [Restored]) -> Result<bool, PipelineError> {
        let (mut positions, mut state) = (Vec::new(), Vec::new());
        for found in restored.iter_mut().filter(|found| found.next_offset.is_none()) {
            found.next_offset = self.start_patiently(found.partition)?;
            let partition = found.partition;
            positions.extend(found.next_offset.map(|next_offset| Position { partition, next_offset }));
            // Nobody has committed any: it was handed over from history.
            let records = found.state.iter().cloned();
            state.extend(records.map(|(key, value)| StateRecord { partition, key, value: Some(value) }));
        }
        if positions.is_empty() {
            return Ok(true);
        }
        match self.commit_starts(&positions, &state) {
            Ok(CommitOutcome::Committed) => {
                self.failures_in_a_row = 0;
                Ok(true)
            }
            Ok(CommitOutcome::Fenced) => Err(PipelineError::Fenced),
            Ok(outcome) => {
                tracing::warn!(?outcome, "the starts of partitions are not durable yet; trying again");
                self.back_off();
                Ok(false)
            }
            Err(error) if error.transient() => {
                self.wait_out(&error, error.hint())?;
                self.abort_open()?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn commit_starts(&mut self, positions: &[Position], state: &[StateRecord]) -> Result<CommitOutcome, LedgerError> {
        self.transaction.begin()?;
        let group = self.source.group_metadata();
        self.transaction.commit_now(Commit { positions, state: &mut state.iter().cloned(), group: group.as_ref() })
    }

    fn start_patiently(&mut self, partition: Partition) -> Result<Option<i64>, PipelineError> {
        loop {
            match self.source.start_of(partition) {
                Err(error) if error.transient() => self.wait_out(&error, error.hint())?,
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Tries again what [`Worker::adopt`] has left. What else was done since is committed first.
    pub(super) fn adopt_again(&mut self) -> Result<(), PipelineError> {
        if self.unstarted.is_empty() {
            return Ok(());
        }
        self.commit()?;
        let partitions: Vec<Partition> = std::mem::take(&mut self.unstarted).into_iter().collect();
        self.adopt(&partitions)
    }
}
