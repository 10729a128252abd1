//! What the user says at a start about state that another pipeline file made: options that `run` and `backfill` share.

use clap::Args;

use super::usage::UsageError;
use crate::spec::PipelinePlan;

/// What becomes of existing state where the pipeline file changed.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Forget the state of this step, and of the steps whose state is made from it, and learn it anew: a step's name, or
    /// `all`. What was read is not read again. May be given several times. Of several processes give it to the first only, and start
    /// it alone; not to one that something starts again by itself, which would forget again.
    #[arg(long, value_name = "STEP")]
    pub reset: Vec<String>,
    /// Go on with existing state although `decode`, `clean` or a table (`table.NAME`) changed, where values mean what they meant:
    /// a field was renamed upstream, say. May be given several times. Of several processes give it to each.
    #[arg(long, value_name = "STEP")]
    pub keep: Vec<String>,
}

impl ChangeArgs {
    /// The plan that does so.
    ///
    /// # Errors
    /// The name of no step that this can be said of.
    pub(super) fn apply(&self, plan: PipelinePlan) -> Result<PipelinePlan, UsageError> {
        let plan = plan.with_reset(&self.reset)?.with_keep(&self.keep)?;
        for (step, near) in plan.unknown_resets() {
            let near = near.map(|near| format!("; {near}")).unwrap_or_default();
            tracing::warn!(
                "--reset {step}: the file has no such step{near}; what an earlier file kept under that name is forgotten"
            );
        }
        Ok(plan)
    }
}
