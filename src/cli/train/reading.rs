//! A plan whose forecasts are observed or scored -> a run over all that its source holds. A history that was not read to its end
//! is no history: what is trained on a part of it by accident looks like any other version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use arterial_connectors::source::Until;
use tokio::sync::Notify;

use crate::cli::bar::Extent;
use crate::cli::progress::{listener, listener_over};
use crate::cli::report::Format;
use crate::observe::{Listener, RunEvent};
use crate::runtime::{Pipeline, RunSummary};
use crate::spec::PipelinePlan;

/// Most bytes of rows that are held at once: 2 GB. Counted, not measured; what the program needs besides is not in it.
const BYTES_MAX: usize = 2_000_000_000;

/// How many rows there is room for, and whether there were more. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Room {
    rows_max: usize,
    exceeded: Arc<(AtomicBool, Notify)>,
}

impl Room {
    /// For rows that are of so many bytes, with all copies that are held at one time.
    pub(super) fn for_rows(row_bytes: usize) -> Self {
        Self { rows_max: BYTES_MAX / row_bytes.max(1), exceeded: Arc::default() }
    }

    /// Whether one more row fits; if not, the reading ends.
    pub(super) fn fits(&self, rows: usize) -> bool {
        let fits = rows < self.rows_max;
        if !fits {
            self.exceeded.0.store(true, Ordering::Relaxed);
            self.exceeded.1.notify_one();
        }
        fits
    }
}

/// Reads all that the plan's source holds. `what` it is read for is told before; then how it gets on.
///
/// # Errors
/// A source that cannot be read, or not to its end, or more rows than there is room for.
pub(super) fn read(plan: &PipelinePlan, what: &str, room: Option<&Room>) -> Result<RunSummary> {
    tracing::info!("reading the history: {what}");
    // No line of JSON on stdout may come from here; what a run tells beside progress is of no use.
    let (told, bar) = match extent(plan)? {
        Some(extent) => {
            let (told, bar) = listener_over(extent, Format::Json);
            (told, Some(bar))
        }
        None => (listener(Until::Latest, Format::Json), None),
    };
    let progress: Listener = Arc::new(move |event| {
        if matches!(event, RunEvent::Read { .. } | RunEvent::Committed { .. }) {
            told(event);
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let exceeded = async {
        match room {
            Some(room) => room.exceeded.1.notified().await,
            None => std::future::pending().await,
        }
    };
    let ended = runtime.block_on(Pipeline::evaluation_told(plan, progress)?.run(exceeded));
    if let Some(bar) = bar {
        bar.clear();
    }
    let summary = ended?;
    if let Some(room) = room.filter(|room| room.exceeded.0.load(Ordering::Relaxed)) {
        bail!(
            "more than {} labelled rows, and their copies would not fit {BYTES_MAX} bytes: give a shorter history, as `--file`, or, of \
             forecasts, a lower `replay.rows`",
            room.rows_max
        );
    }
    if !summary.reached_end {
        bail!("the history was not read to its end: nothing is trained on a part of it");
    }
    Ok(summary)
}

/// How much there is to read: all of it, whatever an earlier run has read.
fn extent(plan: &PipelinePlan) -> Result<Option<Extent>> {
    match &plan.source.file {
        Some(file) => Extent::of_files(&plan.folder.join(&file.path), None).map(Some),
        None => Extent::of(plan),
    }
}
