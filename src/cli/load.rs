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
    let plan = crate::spec::load_plan_to_connect(path)?;
    tell_notes(&plan);
    Ok(plan)
}

/// Writes what there is to know of its networks to the log.
pub(super) fn tell_notes(plan: &PipelinePlan) {
    plan.networks.iter().filter_map(|network| network.note(&plan.name)).for_each(|note| tracing::warn!("{note}"));
}

/// Reads and checks a pipeline file whose own tests are run: its networks begin with nothing.
///
/// # Errors
/// As [`load_plan`].
pub fn load_plan_to_test(path: &Path, tables: &BTreeMap<String, Vec<TestRow>>) -> Result<PipelinePlan> {
    Ok(crate::spec::load_plan_to_test(path, tables)?)
}

/// Reads and checks a pipeline file that will not be connected, with rows for some tables instead of their files.
///
/// # Errors
/// As [`load_plan`].
pub fn load_plan_with_tables(path: &Path, tables: &BTreeMap<String, Vec<TestRow>>) -> Result<PipelinePlan> {
    Ok(crate::spec::load_plan(path, tables)?)
}
