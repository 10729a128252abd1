//! `arterial explain`: what a pipeline does, from its checked plan alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::load::load_plan_with_tables;
use super::report::{Format, print_rows};
use crate::spec::outline::{ColumnOutline, Outline, Scope, StageOutline, StateOutline, TopicOutline};

/// Show what a pipeline does: stages, columns with types and units, state with its limits, topics.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial explain pipelines/congestion-aarhus.yaml\n  \
    arterial explain --format json pipelines/city-job.yaml\n\n\
    Everything is read from the file and its schema: no network is touched. Exit code 78 where the file has problems.")]
pub struct ExplainArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// A file that cannot be read or does not check.
pub fn explain(args: &ExplainArgs) -> Result<()> {
    let outline = load_plan_with_tables(&args.pipeline, &BTreeMap::new())?.outline();
    match args.format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&outline)?),
        Format::Text => print(&outline),
    }
    Ok(())
}

fn print(outline: &Outline) {
    say!("pipeline {}, version {}", outline.pipeline, outline.version);
    match outline.scope {
        Scope::Partition => say!(
            "partition scope: every key holds `{}`; any number of workers and processes share the partitions",
            outline.partitioned_by
        ),
        Scope::Pipeline => say!(
            "pipeline scope: `neighbours` tell of other keys, so the source has one partition and one worker reads it"
        ),
    }
    outline.stages.iter().for_each(print_stage);
    if !outline.topics.is_empty() {
        say!("\ntopics");
        print_rows("  ", &["topic", "access", "holds", "created"], outline.topics.iter().map(topic_row));
    }
}

fn print_stage(stage: &StageOutline) {
    if stage.does.is_empty() && stage.columns.is_empty() {
        return;
    }
    say!("\n{}", stage.stage);
    stage.does.iter().for_each(|line| say!("  {line}"));
    if !stage.columns.is_empty() {
        say!();
        print_rows("  ", &["column", "type", "unit"], stage.columns.iter().map(column_row));
    }
    if !stage.states.is_empty() {
        say!();
        let head = ["state", "scope", "key", "holds", "forgets", "limit per partition"];
        print_rows("  ", &head, stage.states.iter().map(state_row));
    }
}

fn column_row(column: &ColumnOutline) -> Vec<String> {
    vec![column.name.clone(), column.kind.clone(), column.unit.clone().unwrap_or_default()]
}

fn state_row(state: &StateOutline) -> Vec<String> {
    let key = if state.key.is_empty() { "-".to_owned() } else { state.key.join(", ") };
    let texts = [&state.holds, &state.forgets, &state.limit].map(Clone::clone);
    [state.step.clone(), state.scope.name().to_owned(), key].into_iter().chain(texts).collect()
}

fn topic_row(topic: &TopicOutline) -> Vec<String> {
    let access = match (topic.reads, topic.writes) {
        (true, true) => "reads, writes",
        (true, false) => "reads",
        (false, _) => "writes",
    };
    let created = match (topic.creates, topic.partitions) {
        (false, _) => "must exist".to_owned(),
        (true, Some(partitions)) => format!("if missing, {partitions} partitions"),
        (true, None) => "if missing, partitions as the input".to_owned(),
    };
    vec![topic.topic.clone(), access.to_owned(), topic.holds.to_owned(), created]
}
