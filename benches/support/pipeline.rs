//! A shipped pipeline -> its plan, over the data sets of this run.

use std::path::Path;

use anyhow::{Context, Result};
use arterial::spec::{PipelineFile, PipelinePlan, Registry};

use crate::data::data_file;

/// A shipped pipeline whose tables lie in the folder of the data sets, too, wherever the command was given.
pub(crate) fn plan_of(pipeline: &Path) -> Result<PipelinePlan> {
    let text = std::fs::read_to_string(pipeline)?;
    let data = std::path::absolute(data_file("")?)?.display().to_string();
    let variable = |name: &str| if name == "ARTERIAL_DATA" { Some(data.clone()) } else { std::env::var(name).ok() };
    let file = PipelineFile::parse(&pipeline.display().to_string(), &text, &variable, &Registry::standard());
    Ok(file.plan(pipeline.parent().context("a folder")?, &[].into())?)
}
