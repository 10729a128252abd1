//! `arterial init`: a file or a topic -> a pipeline that reads it, with comments that say what was seen there.

mod column;
mod dates;
mod guess;
mod numbers;
mod order;
mod own_test;
mod sample;
mod time;
mod words;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use chrono_tz::Tz;
use clap::Args;

use self::guess::{Findings, TimeOf};
use self::sample::Sample;
use super::usage::UsageError;
use crate::spec::model::Span;

/// Rows that are looked at.
const ROWS: usize = 20_000;

/// Write a pipeline file, and the schema of its rows, from a sample of a file or a topic.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial init --from loops.csv\n  \
    arterial init --from 'history/*.parquet' --name ring-road --interval 5m\n  \
    arterial init --topic ring.readings --brokers kafka:9092 -o pipelines/ring.yaml\n  \
    arterial init --topic ring.noise --like pipelines/ring.yaml\n  \
    arterial init --from lussen.csv --sensor meetpunt --value snelheid --timezone Europe/Amsterdam\n\n\
    It looks at the first 20,000 rows and guesses: how the file is written, which column is the time, which names the \
    sensor, what a usual value is. What it guessed stands in the file, with the reason; look through it before you trust it. A \
    topic is read without joining a group that others are in; nothing is committed.")]
pub struct InitArgs {
    /// File or pattern to look at: CSV, lines of JSON (both also .gz, .zst) or Parquet.
    #[arg(long, value_name = "FILES", required_unless_present = "topic", conflicts_with = "topic")]
    pub from: Option<PathBuf>,
    /// Topic of JSON messages to look at.
    #[arg(long)]
    pub topic: Option<String>,
    /// Bootstrap servers of the topic.
    #[arg(long, default_value = "127.0.0.1:9092", env = "KAFKA_BROKERS")]
    pub brokers: String,
    /// Connect as this pipeline does: its brokers, and its `security`, which the new pipeline gets too.
    #[arg(long, value_name = "PIPELINE", requires = "topic")]
    pub like: Option<PathBuf>,
    /// Name of the pipeline; that of the output file, else that of what is looked at, unless given.
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    said: Said,
    /// The pipeline file to write; NAME.yaml unless given. The schema goes beside it, as NAME.avsc.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace files that are there.
    #[arg(long)]
    pub force: bool,
}

/// What the user says instead of having it guessed.
#[derive(Debug, Default, Args)]
struct Said {
    /// Column that names the sensor.
    #[arg(long, value_name = "COLUMN")]
    sensor: Option<String>,
    /// Column of the time of a reading.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// Column of numbers to forecast and to warn of.
    #[arg(long, value_name = "COLUMN")]
    value: Option<String>,
    /// Where times are local that name no zone, as `Europe/Amsterdam`.
    #[arg(long, value_name = "ZONE", value_parser = crate::spec::syntax::zone)]
    timezone: Option<Tz>,
    /// Time between two readings of a sensor, as `5m`; the usual gap in the sample unless given.
    #[arg(long, value_parser = span)]
    interval: Option<Span>,
}

fn span(text: &str) -> Result<Span, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// Runs the verb.
///
/// # Errors
/// A file or topic that cannot be read or holds nothing to make a pipeline of, or a file that is there already.
pub fn init(args: &InitArgs) -> Result<()> {
    let like = args.like.as_deref().map(super::load::load_plan).transpose()?.map(Arc::new);
    let mut sample = match (&args.from, &args.topic) {
        (Some(files), _) => Sample::of_file(files, ROWS)?,
        (None, Some(topic)) => Sample::of_topic(like.as_ref(), &args.brokers, topic, ROWS)?,
        (None, None) => return Err(UsageError::NothingToSample.into()),
    };
    let findings = Findings::of(&mut sample, &args.said)?;
    let origin = args.output.as_ref().or(args.from.as_ref());
    let origin = origin.map_or_else(|| args.topic.clone().unwrap_or_default(), |path| stem(path));
    let name = write::pipeline_name(args.name.as_deref().unwrap_or(&origin));
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.yaml")));
    let schema = output.with_extension("avsc");
    let (output_folder, place) = (folder(&output), write::Place::of(args, like.as_deref(), &output)?);
    let text = write::pipeline(&name, &file_name(&schema), &place, &sample, &findings);
    let schema_text = write::schema(&name, &sample, &findings);
    let written = [(&schema, schema_text), (&output, text)];
    if !args.force {
        written.iter().try_for_each(|(path, _)| refuse_present(path))?;
    }
    let before = written.each_ref().map(|(path, _)| std::fs::read(path).ok());
    written.iter().try_for_each(|(path, text)| put(path, text))?;
    let unsaid = findings.time == TimeOf::Row;
    if !unsaid {
        // What it wrote is read as any file is: a mistake in it is ours.
        let checked = crate::spec::load_plan(&output, &BTreeMap::new());
        if checked.is_err() {
            for ((path, _), before) in written.iter().zip(before) {
                before.map_or_else(|| std::fs::remove_file(path), |bytes| std::fs::write(path, bytes))?;
            }
        }
        checked.context(
            "the pipeline that was made has mistakes, and was taken away again; please report it with a sample",
        )?;
    }
    say!(
        "{} and {} written, from {} rows of {} sensors",
        output.display(),
        schema.display(),
        findings.rows,
        findings.keys
    );
    say!("guessed, and to be looked through there:");
    findings.told().iter().for_each(|line| say!("  {line}"));
    let shown = output.display();
    let out = output_folder.join(format!("{name}-out"));
    if unsaid {
        say!("the table has no times: say in it, under `csv.event_time`, when its first row was");
    }
    say!("next:\n  arterial explain {shown}\n  arterial test {shown}");
    match args.topic {
        Some(_) => say!("  arterial doctor {shown}\n  arterial run {shown}"),
        None => say!("  arterial run --until latest {shown}       # outputs go into {}", out.display()),
    }
    Ok(())
}

fn folder(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A file's name up to its first dot.
fn stem(path: &Path) -> String {
    let name = file_name(path);
    name.split('.').next().unwrap_or_default().to_owned()
}

fn refuse_present(path: &Path) -> Result<()> {
    if path.exists() {
        return Err(UsageError::Exists { path: path.display().to_string() }.into());
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("writing `{}`", path.display()))
}
