//! `arterial doctor`: whether everything that a pipeline needs is there. It leaves nothing behind: what it writes to see
//! whether a folder can be written is removed at once.

mod disk;
mod files;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use arterial_connectors::kafka::{Finding, Verdict};
use clap::Args;

use super::load::load_plan;
use super::report::Format;
use crate::runtime::{SystemClock, Wiring};
use crate::vocab::Clock;

/// Check brokers, login, topics, permissions, clock, files and disk for a pipeline, and leave nothing changed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial doctor ring-road.yaml\n  \
    arterial doctor --format json ring-road.yaml\n\n\
    One line per check: ok, warn or fail, with what to do. Exit code 0 where nothing failed, 1 where something did, 78 \
    where the file itself has problems.")]
pub struct DoctorArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// How the checks are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// A file that does not check, or checks that failed, after all were printed.
pub fn doctor(args: &DoctorArgs) -> Result<()> {
    let plan = Arc::new(load_plan(&args.pipeline)?);
    let mut findings = vec![Finding::ok("versions", format!("arterial {}", env!("CARGO_PKG_VERSION")))];
    let wiring = Wiring::detached(&plan);
    findings.extend(wiring.check_up(SystemClock.now_micros())?);
    findings.extend(files::check(&plan, &wiring));
    match args.format {
        Format::Json => {
            let report = serde_json::json!({ "pipeline": plan.name, "checks": findings });
            say!("{}", serde_json::to_string_pretty(&report)?);
        }
        Format::Text => findings.iter().for_each(print),
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks failed", findings.len()),
    }
}

fn print(finding: &Finding) {
    let word = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    };
    let remedy = finding.remedy.as_ref().map(|remedy| format!("; help: {remedy}")).unwrap_or_default();
    say!("{word:<5} {:<11} {}{remedy}", finding.check, finding.message);
}
