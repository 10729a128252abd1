//! What the user says at a start about existing state: which steps to forget, which changes to accept.

use super::plan::PipelinePlan;
use crate::stages::expression::did_you_mean;

/// How the names of stateful steps begin that files name themselves.
const STEP_KINDS: [&str; 7] = ["table.", "clean.", "predict.", "challenger.", "contest.", "drift.", "alert."];

/// `--reset` of a step that the pipeline does not have, or `--keep` of one that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum UnknownStep {
    /// `--reset` of a step that the pipeline does not have.
    #[error("--reset: `{step}` keeps no state; `all` or one of: {known}")]
    Reset {
        /// What was named.
        step: String,
        /// The steps there are.
        known: String,
    },
    /// `--keep` of a step with state of its own, or of none.
    #[error("--keep: `{step}` has state of its own, or is no step; what may change under the state of others: {known}")]
    Keep {
        /// What was named.
        step: String,
        /// The steps there are.
        known: String,
    },
}

impl PipelinePlan {
    /// The plan with steps whose state is to be forgotten at the next start, with those made from it; `all` names every
    /// one. A step of a kind that a file may no longer have (`predict.old`) may be named too.
    ///
    /// # Errors
    /// The name of no stateful step, and those there are.
    pub fn with_reset(mut self, steps: &[String]) -> Result<Self, UnknownStep> {
        let known: Vec<&str> = self.stateful_steps.iter().map(|step| step.identity.step.as_str()).collect();
        let named = |step: &str| STEP_KINDS.iter().any(|kind| step.starts_with(kind));
        if let Some(step) = steps.iter().find(|step| *step != "all" && !known.contains(&step.as_str()) && !named(step))
        {
            return Err(UnknownStep::Reset { step: step.clone(), known: known.join(", ") });
        }
        self.reset = steps.iter().cloned().collect();
        Ok(self)
    }

    /// The plan under whose `decode`, `clean` or tables, as named, existing state goes on although they changed.
    ///
    /// # Errors
    /// The name of a step whose own state would mean something else, or of none.
    pub fn with_keep(mut self, steps: &[String]) -> Result<Self, UnknownStep> {
        for name in steps {
            let kept = self.stateful_steps.iter_mut().find(|step| step.stateless && step.identity.step == *name);
            let Some(kept) = kept else {
                let stateless = self.stateful_steps.iter().filter(|step| step.stateless);
                let known: Vec<&str> = stateless.map(|step| step.identity.step.as_str()).collect();
                return Err(UnknownStep::Keep { step: name.clone(), known: known.join(", ") });
            };
            kept.accepted = true;
        }
        Ok(self)
    }

    /// What the user asked to forget of steps that the file no longer has.
    pub fn unknown_resets(&self) -> impl Iterator<Item = (&str, Option<String>)> {
        let known = || self.stateful_steps.iter().map(|step| step.identity.step.as_str());
        let unknown = self
            .reset
            .iter()
            .map(String::as_str)
            .filter(move |name| *name != "all" && !{ known() }.any(|one| one == *name));
        unknown.map(move |name| (name, did_you_mean(name, known())))
    }

    /// Whether the user asked to forget the state of a step.
    #[must_use]
    pub fn resets(&self, step: &str) -> bool {
        self.resets_all() || self.reset.contains(step)
    }

    /// Whether the user asked to forget all state.
    #[must_use]
    pub fn resets_all(&self) -> bool {
        self.reset.contains("all")
    }

    /// Whether the user asked to forget anything.
    #[must_use]
    pub fn resets_any(&self) -> bool {
        !self.reset.is_empty()
    }
}
