//! `normalise` steps -> their settings; parameters come from the pipeline file or from a file of their own.

use std::collections::BTreeMap;
use std::path::Path;

use super::file::PipelineFile;
use super::model::{CleanStepSpec, NormaliseSpec, Parameters, PipelineSpec};
use crate::stages::clean::{Learning, Normalise};
use crate::vocab::{At, YamlPath};

/// Values of a column before there is a result: the mean of so many is within a fifth of their deviation.
const MIN_COUNT: u64 = 30;

/// Parameters that cannot be read.
#[derive(Debug, thiserror::Error)]
enum ParametersProblem {
    #[error("cannot read `{path}`: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("`{path}` holds no parameters: {reason}")]
    Malformed { path: String, reason: String },
}

/// Parameters by column.
pub(super) type ByColumn = BTreeMap<String, Parameters>;

/// Parameters of files, by the number of their step; `None` after the problems went to the pipeline file.
pub(super) fn read(file: &mut PipelineFile, spec: &PipelineSpec, folder: &Path) -> Option<BTreeMap<usize, ByColumn>> {
    let mut read = BTreeMap::new();
    let mut all = true;
    for (index, step) in spec.clean.iter().enumerate() {
        let CleanStepSpec::Normalise(NormaliseSpec { parameters_file: Some(path), .. }) = step else { continue };
        match parameters(&folder.join(path)) {
            Ok(parameters) => drop(read.insert(index, parameters)),
            Err(error) => {
                all = false;
                let hint = "paths start where the pipeline file stands; it holds what `parameters` would, as JSON";
                let path = YamlPath::default().key("clean").index(index).key("normalise").key("parameters_file");
                file.report(&At { path, error, hint: Some(hint.to_owned()) });
            }
        }
    }
    all.then_some(read)
}

fn parameters(path: &Path) -> Result<ByColumn, ParametersProblem> {
    let shown = || path.display().to_string();
    let text = std::fs::read(path)
        .map_err(|error| ParametersProblem::Unreadable { path: shown(), reason: error.to_string() })?;
    serde_json::from_slice(&text)
        .map_err(|error| ParametersProblem::Malformed { path: shown(), reason: error.to_string() })
}

/// A step's settings, with the parameters of its file where it has one.
pub(super) fn settings(spec: &NormaliseSpec, of_file: Option<&ByColumn>) -> Normalise {
    let learning = match of_file.or(spec.parameters.as_ref()) {
        Some(parameters) => Learning::Frozen(parameters.clone()),
        None => Learning::Streaming {
            min_count: spec.min_count.unwrap_or(MIN_COUNT),
            freeze_after: spec.freeze_after,
            by: spec.by.clone().unwrap_or_default(),
        },
    };
    Normalise {
        columns: spec.columns.clone(),
        method: spec.method,
        learning,
        clip: spec.clip,
        suffix: spec.suffix.clone(),
    }
}
