//! A pipeline file -> its plan, or every problem in it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::spec::PipelinePlan;
use crate::spec::model::TestRow;

/// Reads and checks a pipeline file that will be connected: its secrets must be there.
///
/// # Errors
/// [`crate::spec::SpecErrors`], which `main` turns into exit code 78.
pub fn load_plan(path: &Path) -> Result<PipelinePlan> {
    Ok(crate::spec::load_plan_to_connect(path)?)
}

/// Reads and checks a pipeline file that will not be connected, with rows for some tables instead of their files.
///
/// # Errors
/// As [`load_plan`].
pub fn load_plan_with_tables(path: &Path, tables: &BTreeMap<String, Vec<TestRow>>) -> Result<PipelinePlan> {
    Ok(crate::spec::load_plan(path, tables)?)
}
