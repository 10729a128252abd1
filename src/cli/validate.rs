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
use crate::spec::model::CsvFileSpec;
use crate::spec::{PipelineFile, PipelinePlan, Registry, SpecErrors, folder_of, suggest};
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
        let checked = check(path);
        match (&checked, args.format) {
            (Ok(Valid { pipeline, note }), Format::Text) => {
                let note = note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
                say!("{}: pipeline `{pipeline}` is valid{note}", path.display());
            }
            (Ok(Valid { note, .. }), Format::Json) => {
                reports.push(serde_json::json!({ "file": path, "problems": [], "note": note }));
            }
            (Err(errors), Format::Json) => {
                reports.push(serde_json::json!({ "file": path, "problems": errors.report() }));
            }
            (Err(_), Format::Text) => {}
        }
        if let Err(errors) = checked
            && let Some(before) = refused.replace(errors).filter(|_| args.format == Format::Text)
        {
            complain!("{before}");
        }
    }
    if args.format == Format::Json {
        say!("{}", serde_json::to_string_pretty(&reports)?);
    }
    refused.map_or(Ok(()), |errors| Err(errors.into()))
}

/// A file without problems.
struct Valid {
    pipeline: String,
    /// What there is to tell all the same.
    note: Option<String>,
}

fn check(path: &Path) -> Result<Valid, SpecErrors> {
    let mut file = PipelineFile::load(path, &Registry::standard());
    let plan = file.plan_anyway(folder_of(path), &BTreeMap::new());
    let input = plan.as_ref().and_then(|plan| check_input(&mut file, plan));
    let networks = plan.iter().flat_map(|plan| plan.networks.iter().filter_map(|network| network.note(&plan.name)));
    let notes: Vec<String> = input.into_iter().chain(networks).collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    match plan {
        Some(plan) if file.problems().is_empty() => Ok(Valid { pipeline: plan.name, note }),
        _ => Err(file.into_errors()),
    }
}

/// Opens the files that a pipeline reads, if they are there; tells where they are not.
fn check_input(file: &mut PipelineFile, plan: &PipelinePlan) -> Option<String> {
    let input = plan.source.file.as_ref().map(|file| file.path.clone())?;
    if !arterial_connectors::file::exists(&plan.folder.join(&input)) {
        return Some(format!("its input `{input}` is not there yet"));
    }
    let opened = Wiring::detached(&Arc::new(plan.clone())).source("validate", Until::Latest);
    if let Err(error) = opened {
        input_problem(file, error);
    }
    None
}

fn input_problem(file: &mut PipelineFile, error: SourceError) {
    let Some((name, source)) = file.spec().and_then(|spec| spec.sources.iter().next()) else { return };
    let place = YamlPath::default().key("sources").key(name);
    let (mut path, mut hint) = (place.key("file").key("path"), error.hint().to_owned());
    if let SourceError::NoColumn { name, others, .. } = &error {
        let csv = source.file.as_ref().and_then(|file| file.csv.as_ref());
        let of_csv = csv.and_then(|csv| csv_place(csv, name, &place.key("file").key("csv")));
        let of_paths = source.decode.paths.iter().find(|(_, path)| *path == name);
        let of_paths = of_paths.map(|(column, _)| place.key("decode").key("paths").key(column));
        let named = of_csv.or(of_paths);
        hint = suggest::hint(name, others.iter().map(String::as_str), "it has").unwrap_or(hint);
        if let Some(named) = named {
            path = named;
        } else {
            hint = format!("write under `paths:` what the file calls it, as `{name}: ...`; {hint}");
        }
    }
    file.report(&At { path, error, hint: Some(hint) });
}

/// Where `csv` names this column of the table.
fn csv_place(csv: &CsvFileSpec, name: &str, at: &YamlPath) -> Option<YamlPath> {
    for (column, parts) in &csv.join {
        if let Some(part) = parts.iter().position(|part| part == name) {
            return Some(at.key("join").key(column).index(part));
        }
    }
    let keep = csv.unpivot.as_ref().and_then(|unpivot| unpivot.keep.as_ref());
    let kept = keep.and_then(|keep| keep.iter().position(|kept| kept == name));
    kept.map(|index| at.key("unpivot").key("keep").index(index))
}
