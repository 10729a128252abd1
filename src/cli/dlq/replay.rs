//! `arterial dlq replay`: letters back to where they came from.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::Letters;
use crate::cli::report::Format;
use crate::runtime::{ReplayRequest, ReplaySummary};

/// Send dead letters back to the topic that they came from, as they were: once each.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial dlq replay --reason bad_timestamp ring-road.yaml\n  \
    arterial dlq replay --to ring.quarantine.v1 ring-road.yaml\n\n\
    Correct the pipeline first and let it run: what still cannot be used comes back as a dead letter. A row's own key, value and \
    headers are sent, and `arterial.dlq.replays`, which counts how often. Letters and position are one transaction: the \
    same command goes on where it ended, also after a kill, and sends nothing twice. A command with other filters goes through \
    the topic by itself. `dlq ls` with the same filters shows what is meant.")]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    letters: Letters,
    /// Send them to this topic instead; it has to exist.
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Leave rows that have been sent back so often already.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    max_replays: u32,
    /// Begin at the oldest letter, also where an earlier replay with these filters has gone on from there: letters that it
    /// sent are sent again, those that it left are looked at again.
    #[arg(long)]
    from_start: bool,
    /// How the summary is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn replay(args: &ReplayArgs) -> Result<()> {
    let request = ReplayRequest {
        filter: args.letters.filter(),
        to: args.to.clone(),
        replays_max: args.max_replays,
        from_start: args.from_start,
    };
    let mut progress = |done: &ReplaySummary| tracing::info!("{} dead letters sent back", done.sent);
    let summary = args.letters.wiring()?.replay_dead_letters(&request, &mut progress)?;
    let ReplaySummary { sent, filtered, exhausted, foreign } = summary;
    match args.format {
        Format::Json => {
            say!("{}", json!({ "sent": sent, "filtered": filtered, "exhausted": exhausted, "foreign": foreign }));
        }
        Format::Text => {
            say!("{sent} dead letters sent back");
            for (count, why) in [
                (filtered, "that the filters do not take"),
                (exhausted, "that have been sent back as often as --max-replays allows"),
                (foreign, "that are of another pipeline, or came from no topic that it reads: --to names one"),
            ] {
                if count > 0 {
                    say!("{count} left {why}");
                }
            }
        }
    }
    Ok(())
}
