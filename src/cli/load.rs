//! A pipeline file -> its plan, or every problem in it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::spec::PipelinePlan;

/// Reads and checks a pipeline file.
///
/// # Errors
/// The file cannot be read, or has problems: then the error is [`crate::spec::SpecErrors`], which `main` turns into
/// exit code 78.
pub fn load_plan(path: &Path) -> Result<PipelinePlan> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(crate::spec::plan_from_yaml(&text, path)?)
}
