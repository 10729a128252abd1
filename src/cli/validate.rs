//! `arterial validate`: every problem of pipeline files, without network. Files that a pipeline reads are looked at where
//! they are there: data may be elsewhere, but a name that its header lacks is a mistake of the pipeline file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use arterial_connectors::source::{SourceError, Until};
use clap::Args;

use super::report::Format;
use crate::runtime::{Connect, Wiring};
use crate::spec::{PipelineFile, PipelinePlan, Registry, SpecErrors, load_plan, suggest};
use crate::vocab::{At, YamlPath};

/// Check pipeline files and report all their problems at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial validate pipelines/congestion-aarhus.yaml\n  \
    arterial validate --format json pipelines/*.yaml\n\n\
    Exit code 78 where a file has problems. No network is touched; files of input are opened where they are there.")]
pub struct ValidateArgs {
    /// The pipeline files.
    #[arg(required = true)]
    pub pipelines: Vec<PathBuf>,
    /// How problems are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// The problems of the last file that has any, after those of the others were printed.
pub fn validate(args: &ValidateArgs) -> Result<()> {
    let mut refused: Option<SpecErrors> = None;
    let mut reports = Vec::new();
    for path in &args.pipelines {
        let checked = load_plan(path, &BTreeMap::new()).and_then(|plan| check_input(path, plan));
        match (&checked, args.format) {
            (Ok((plan, note)), Format::Text) => {
                say!("{}: pipeline `{}` is valid{note}", path.display(), plan.name);
            }
            (Ok(_), Format::Json) => reports.push(serde_json::json!({ "file": path, "problems": [] })),
            (Err(errors), Format::Json) => {
                reports.push(serde_json::json!({ "file": path, "problems": errors.report() }));
            }
            (Err(_), Format::Text) => {}
        }
        if let Err(errors) = checked
            && let Some(before) = refused.replace(errors).filter(|_| args.format == Format::Text)
        {
            eprintln!("{before}");
        }
    }
    if args.format == Format::Json {
        say!("{}", serde_json::to_string_pretty(&reports)?);
    }
    refused.map_or(Ok(()), |errors| Err(errors.into()))
}

/// Opens the files that a pipeline reads, if they are there. The plan, and what is to be told of them.
fn check_input(path: &Path, plan: PipelinePlan) -> Result<(PipelinePlan, String), SpecErrors> {
    let Some(input) = plan.source.file.as_ref().map(|file| file.path.clone()) else { return Ok((plan, String::new())) };
    let plan = Arc::new(plan);
    let opened = Wiring::detached(&plan).source("validate", Until::Latest);
    match opened.err() {
        None => Ok((Arc::unwrap_or_clone(plan), String::new())),
        Some(SourceError::File { .. }) if !plan.folder.join(&input).exists() => {
            Ok((Arc::unwrap_or_clone(plan), format!("; its input `{input}` is not there yet")))
        }
        Some(error) => Err(input_problem(path, error)),
    }
}

fn input_problem(path: &Path, error: SourceError) -> SpecErrors {
    let mut file = PipelineFile::load(path, &Registry::standard());
    let source = file.spec().and_then(|spec| spec.sources.iter().next());
    let place = source.map(|(name, _)| YamlPath::default().key("sources").key(name)).unwrap_or_default();
    let (mut at, mut hint) = (place.clone().key("file").key("path"), error.hint().to_owned());
    if let SourceError::NoColumn { name, others, .. } = &error {
        let paths = source.and_then(|(_, source)| source.decode.paths.iter().find(|(_, path)| *path == name));
        at = paths.map_or(at, |(column, _)| place.key("decode").key("paths").key(column));
        hint = suggest::hint(name, others.iter().map(String::as_str), "it has").unwrap_or(hint);
    }
    file.report(&At { path: at, error, hint: Some(hint) });
    file.into_errors()
}
