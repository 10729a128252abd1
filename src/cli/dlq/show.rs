//! `arterial dlq show`: letters one by one, with everything that is in them.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{Letters, written};
use crate::cli::report::Format;
use crate::runtime::Letter;
use crate::stages::encode::DeadLetter;

/// Longest value shown without --full, characters.
const VALUE_MAX: usize = 1000;

/// Print dead letters: where they came from, why they were stopped, and their key, headers and value.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial dlq show --reason bad_timestamp --limit 3 ring-road.yaml\n  \
    arterial dlq show --format json ring-road.yaml | jq -r .value\n\n\
    Bytes that are no UTF-8 are printed in base64. As JSON: a letter a line, nothing cut.")]
pub(super) struct ShowArgs {
    #[command(flatten)]
    letters: Letters,
    /// Stop after this many letters.
    #[arg(long, default_value_t = 10)]
    limit: u64,
    /// Show long values to their end.
    #[arg(long)]
    full: bool,
    /// How letters are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn show(args: &ShowArgs) -> Result<()> {
    let filter = args.letters.filter();
    let mut left = args.limit;
    args.letters.wiring()?.dead_letters(&mut |letter| {
        if left > 0 && filter.takes(&letter) {
            left -= 1;
            match args.format {
                Format::Json => say!("{}", line(&letter)),
                Format::Text => print(&letter, args.full),
            }
        }
        left > 0
    })?;
    if left == args.limit && args.format == Format::Text {
        say!("no dead letters");
    }
    Ok(())
}

fn print(letter: &Letter<'_>, full: bool) {
    let row = &letter.row;
    let says = letter.says();
    let head = says.as_ref().map_or("not a dead letter".to_owned(), |says| format!("{}, {}", says.stage, says.reason));
    say!("partition {}, offset {}, {}: {head}", letter.partition, row.offset, written(row.broker_ts_ms));
    if let Some(says) = &says {
        let DeadLetter { topic, partition, offset, pipeline, version, .. } = says;
        say!("  from     `{topic}`, partition {partition}, offset or line {offset}, by `{pipeline}` {version}");
        say!("  detail   {}", says.detail);
        if says.replays > 0 {
            say!("  replays  {}", says.replays);
        }
    }
    say!("  key      {}", row.key.map_or("none".to_owned(), |key| text(key, full)));
    for (name, value) in says.as_ref().map_or(row.headers, |says| says.original) {
        say!("  header   {name}: {}", value.as_deref().map_or("null".to_owned(), |value| text(value, full)));
    }
    say!("  value    {}", row.value.map_or("null, a tombstone".to_owned(), |value| text(value, full)));
}

/// Bytes as text, or in base64 where they are none; cut unless all of them are wanted.
fn text(bytes: &[u8], full: bool) -> String {
    let all = std::str::from_utf8(bytes).map_or_else(|_| format!("base64: {}", STANDARD.encode(bytes)), str::to_owned);
    match all.char_indices().nth(VALUE_MAX).filter(|_| !full) {
        Some((end, _)) => format!("{}... {} bytes in all: --full shows them", &all[..end], bytes.len()),
        None => all,
    }
}

/// A letter as one line of JSON.
fn line(letter: &Letter<'_>) -> Value {
    let row = &letter.row;
    let mut fields = Map::new();
    fields.insert("partition".to_owned(), letter.partition.into());
    fields.insert("offset".to_owned(), row.offset.into());
    fields.insert("written".to_owned(), written(row.broker_ts_ms).into());
    let says = letter.says();
    if let Some(says) = &says {
        let DeadLetter { topic, partition, offset, stage, reason, detail, pipeline, version, replays, .. } = says;
        let from = json!({ "topic": topic, "partition": partition, "offset": offset });
        fields.insert("from".to_owned(), from);
        for (name, value) in [("stage", stage), ("reason", reason), ("detail", detail)] {
            fields.insert(name.to_owned(), (*value).into());
        }
        fields.insert("pipeline".to_owned(), (*pipeline).into());
        fields.insert("version".to_owned(), (*version).into());
        fields.insert("replays".to_owned(), (*replays).into());
    }
    field(&mut fields, "key", row.key);
    let headers = says.as_ref().map_or(row.headers, |says| says.original).iter().map(|(name, value)| {
        let mut header = Map::new();
        header.insert("name".to_owned(), name.as_str().into());
        field(&mut header, "value", value.as_deref());
        Value::Object(header)
    });
    fields.insert("headers".to_owned(), headers.collect());
    field(&mut fields, "value", row.value);
    Value::Object(fields)
}

/// Bytes under a name where they are text or missing, else in base64 under `<name>_base64`, as in folders.
fn field(fields: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => fields.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => fields.insert(name.to_owned(), text.into()),
        Some(Err(bytes)) => fields.insert(format!("{name}_base64"), STANDARD.encode(bytes).into()),
    };
}
