//! `arterial dlq ls`: letters by stage and reason.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{Letters, written};
use crate::cli::report::{Format, print_rows};
use crate::runtime::Letter;

/// Longest example in the table, characters.
const EXAMPLE_MAX: usize = 100;

/// Count dead letters by stage and reason, with an example of each.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial dlq ls ring-road.yaml\n  \
    arterial dlq ls --since 2026-11-23T00:00:00Z --format json ring-road.yaml")]
pub(super) struct LsArgs {
    #[command(flatten)]
    letters: Letters,
    /// How the table is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Letters of one stage and reason.
#[derive(Default)]
struct Group {
    count: u64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    example: String,
}

impl Group {
    fn add(&mut self, letter: &Letter<'_>) {
        let at = letter.row.broker_ts_ms;
        if self.count == 0 {
            self.example = letter.says().map_or_else(String::new, |says| says.detail.to_owned());
        }
        self.count += 1;
        self.first_ms = [self.first_ms, at].into_iter().flatten().min();
        self.last_ms = self.last_ms.max(at);
    }
}

pub(super) fn ls(args: &LsArgs) -> Result<()> {
    let filter = args.letters.filter();
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    args.letters.wiring()?.dead_letters(&mut |letter| {
        if filter.takes(&letter) {
            let says = letter.says();
            let of = says.map_or(("-", "not a dead letter"), |says| (says.stage, says.reason));
            groups.entry((of.0.to_owned(), of.1.to_owned())).or_default().add(&letter);
        }
        true
    })?;
    match args.format {
        Format::Json => {
            let row = |((stage, reason), group): (&(String, String), &Group)| {
                json!({
                    "stage": stage, "reason": reason, "count": group.count, "first": written(group.first_ms),
                    "last": written(group.last_ms), "example": group.example,
                })
            };
            say!("{}", serde_json::to_string_pretty(&groups.iter().map(row).collect::<Vec<_>>())?);
        }
        Format::Text if groups.is_empty() => say!("no dead letters"),
        Format::Text => {
            let rows = groups.iter().map(|((stage, reason), group)| {
                let example = group.example.chars().take(EXAMPLE_MAX).collect();
                let (first, last) = (written(group.first_ms), written(group.last_ms));
                vec![stage.clone(), reason.clone(), group.count.to_string(), first, last, example]
            });
            print_rows("", &["stage", "reason", "count", "first", "last", "example"], rows);
        }
    }
    Ok(())
}
