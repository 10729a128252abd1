//! `arterial validate`: every problem of pipeline files, without network.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::report::Format;
use crate::spec::{SpecErrors, load_plan};

/// Check pipeline files and report all their problems at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial validate pipelines/congestion-aarhus.yaml\n  \
    arterial validate --format json pipelines/*.yaml\n\n\
    Exit code 78 where a file has problems. No network is touched.")]
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
        let checked = load_plan(path, &BTreeMap::new());
        match (&checked, args.format) {
            (Ok(plan), Format::Text) => say!("{}: pipeline `{}` is valid", path.display(), plan.name),
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
