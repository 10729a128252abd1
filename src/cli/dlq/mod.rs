//! `arterial dlq`: what a pipeline could not use, and its way back.

mod ls;
mod replay;
mod show;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use chrono::DateTime;
use clap::{Args, Subcommand};

use super::load::load_plan;
use super::usage::UsageError;
use crate::runtime::{LetterFilter, Wiring};
use crate::spec::model::Output;
use crate::vocab::EventTime;

/// Look at dead letters, and send them back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial dlq ls ring-road.yaml\n  \
    arterial dlq show --reason bad_timestamp --limit 3 ring-road.yaml\n  \
    arterial dlq replay --reason bad_timestamp ring-road.yaml\n\n\
    Letters are read from the topic of the pipeline's `dead_letter` sink, up to the end that it has now.")]
pub struct DlqArgs {
    #[command(subcommand)]
    verb: DlqVerb,
}

#[derive(Debug, Subcommand)]
enum DlqVerb {
    Ls(ls::LsArgs),
    Show(show::ShowArgs),
    Replay(replay::ReplayArgs),
}

/// Runs the verb.
///
/// # Errors
/// A file that does not check, a pipeline without a dead-letter topic, or brokers that do not answer.
pub fn dlq(args: &DlqArgs) -> Result<()> {
    match &args.verb {
        DlqVerb::Ls(args) => ls::ls(args),
        DlqVerb::Show(args) => show::show(args),
        DlqVerb::Replay(args) => replay::replay(args),
    }
}

/// Which pipeline, and which of its letters.
#[derive(Debug, Args)]
struct Letters {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Only letters with this reason, as `bad_timestamp`. May be given several times.
    #[arg(long, value_name = "CODE")]
    reason: Vec<String>,
    /// Only letters that this stage stopped: `decode` or `clean`.
    #[arg(long, value_parser = ["decode", "clean"])]
    stage: Vec<String>,
    /// Only letters of this partition of the dead-letter topic.
    #[arg(long)]
    partition: Vec<i32>,
    /// Only letters that were written at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    since: Option<i64>,
    /// Only letters that were written before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    until: Option<i64>,
}

impl Letters {
    fn filter(&self) -> LetterFilter {
        LetterFilter {
            reasons: self.reason.iter().cloned().collect(),
            stages: self.stage.iter().cloned().collect(),
            partitions: self.partition.iter().copied().collect(),
            since_ms: self.since,
            until_ms: self.until,
        }
    }

    fn wiring(&self) -> Result<Wiring> {
        let plan = load_plan(&self.pipeline)?;
        let letters = plan.sinks.declared().iter().filter(|(_, sink)| sink.from == Output::DeadLetter);
        if let Some((sink, folder)) = letters.filter_map(|(name, sink)| Some((name, sink.folder.as_ref()?))).next() {
            let (sink, folder) = (sink.clone(), folder.path.clone());
            return Err(UsageError::LettersInFolder { sink, folder }.into());
        }
        Ok(Wiring::detached(&Arc::new(plan)))
    }
}

fn time_ms(text: &str) -> Result<i64, String> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp_millis()).map_err(|_| "not RFC 3339, as 2026-11-23T08:00:00Z".to_owned())
}

/// When a letter was written.
fn written(ts_ms: Option<i64>) -> String {
    ts_ms.map_or_else(|| "-".to_owned(), |ms| EventTime(ms.saturating_mul(1000)).to_string())
}
