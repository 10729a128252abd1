//! A pipeline file -> [`PipelinePlan`], valid by construction: what `runtime` may be built from.

use super::file::PipelineFile;
use super::model::PipelineSpec;
use super::problem::SpecErrors;

/// A pipeline that keeps every rule. It can only be had from a file without problems.
#[derive(Debug, Clone)]
pub struct PipelinePlan {
    spec: PipelineSpec,
}

impl PipelineFile {
    /// Checks everything that can be known without the network.
    ///
    /// # Errors
    /// All problems together, by position; the operator corrects the file.
    pub fn plan(self) -> Result<PipelinePlan, SpecErrors> {
        Ok(PipelinePlan { spec: self.finish()? })
    }
}

impl PipelinePlan {
    /// What the user wrote, variables replaced, defaults filled in.
    #[must_use]
    pub fn spec(&self) -> &PipelineSpec {
        &self.spec
    }
}
