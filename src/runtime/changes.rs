//! A partition's saved state and the plan -> what becomes of every step's state, before anything is restored.

use crate::spec::PipelinePlan;
use crate::state::{Blocks, Decision, StepDecision, decide, owner};
use crate::vocab::StateError;

use super::error::PipelineError;
use super::shard::saved_identities;

/// What becomes of the state of one partition.
#[derive(Debug, Default)]
pub(super) struct Changes {
    decisions: Vec<StepDecision>,
    /// Nobody can say what the state was made with, and the user asked to forget all of it.
    unreadable: bool,
}

impl Changes {
    /// Compares. `may_reset`: whether what the user asked to reset is still to be reset here.
    ///
    /// # Errors
    /// [`StateError`] where the partition's own block cannot be read; `--reset all` forgets such state.
    pub(super) fn of(plan: &PipelinePlan, blocks: &Blocks, may_reset: bool) -> Result<Self, StateError> {
        match saved_identities(blocks) {
            Ok(Some((saved, of_nothing))) => {
                let mut decisions = decide(&saved, plan.stateful_steps(), |step| may_reset && plan.resets(step));
                // Where no row could be read yet, there is nothing to lose: the file was corrected.
                decisions.iter_mut().for_each(|decided| decided.refused &= !of_nothing);
                Ok(Self { decisions, unreadable: false })
            }
            // A partition without state has nothing to lose.
            Ok(None) => Ok(Self::default()),
            Err(error) if may_reset && plan.resets_all() => {
                tracing::warn!(%error, "forgetting state that cannot be read");
                Ok(Self { decisions: Vec::new(), unreadable: true })
            }
            Err(error) => Err(error),
        }
    }

    /// The decisions, where any is other than to keep.
    pub(super) fn decisions(&self) -> Option<&[StepDecision]> {
        let changed = self.decisions.iter().any(|decided| decided.decision != Decision::Keep);
        changed.then_some(self.decisions.as_slice())
    }

    /// Refuses to forget what nobody asked to forget.
    pub(super) fn check(&self) -> Result<(), PipelineError> {
        let refused = self.decisions.iter().filter(|decided| decided.refused);
        let changed: Vec<String> = refused.map(|decided| decided.step.clone()).collect();
        if changed.is_empty() { Ok(()) } else { Err(PipelineError::Changed { changed }) }
    }

    /// Takes the blocks of the steps that are reset out and returns their keys.
    pub(super) fn reset(&self, blocks: &mut Blocks) -> Vec<(String, u32)> {
        blocks.remove_steps(|block| {
            if self.unreadable {
                return true;
            }
            let step = owner(block, self.decisions.iter().map(|decided| decided.step.as_str()));
            self.decisions
                .iter()
                .any(|decided| Some(decided.step.as_str()) == step && decided.decision == Decision::Reset)
        })
    }
}
