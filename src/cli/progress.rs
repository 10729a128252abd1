//! A run's events -> lines for people: what becomes of existing state, the first alert and the first dead letter of
//! each reason as soon as they are durable, then how the run gets on: lines in the log, or a bar on a terminal where
//! what is read has an end of its own ([`super::bar`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arterial_connectors::source::Until;
use comfy_table::{Table, presets};

use super::bar::{Bar, Extent};
use super::report::Format;
use crate::observe::{Listener, RunEvent};
use crate::state::StepDecision;

/// Time between lines of a bounded run, which somebody waits for, and until the first one of any run.
const EVERY: Duration = Duration::from_secs(1);
/// Longest time between lines of a run without end, whose log is kept: from line to line it doubles.
const EVERY_ENDLESS: Duration = Duration::from_secs(60);

/// Rows since the last line.
struct Progress {
    every: Duration,
    every_max: Duration,
    told: Instant,
    rows: u64,
    rows_total: u64,
    /// How far it goes, where that is known beforehand.
    extent: Option<Extent>,
}

/// A listener that writes the first alert to stdout, or to the log where stdout holds JSON, and progress to the log.
pub(super) fn listener(until: Until, format: Format) -> Listener {
    let every_max = if until == Until::Latest { EVERY } else { EVERY_ENDLESS };
    lines(Progress::new(every_max, None), format)
}

/// Likewise, over what has an end of its own: progress is a bar where stderr is a terminal. The bar is there until its
/// last owner has cleared it.
pub(super) fn listener_over(extent: Extent, format: Format) -> (Listener, Bar) {
    let bar = Bar::new(extent);
    let told = lines(Progress::new(EVERY, Some(extent)), format);
    if !bar.shown() {
        return (told, bar);
    }
    let moved = bar.clone();
    let listener: Listener = Arc::new(move |event| match event {
        RunEvent::Read { rows } => moved.add(*rows),
        RunEvent::Committed { .. } => {}
        event => moved.aside(|| told(event)),
    });
    (listener, bar)
}

/// Everything as lines.
fn lines(progress: Progress, format: Format) -> Listener {
    // A folder commits by rows, not by time: where the end is known, what was read tells more than what is durable.
    let counts_read = progress.extent.is_some();
    let progress = Mutex::new(progress);
    let add = move |rows| progress.lock().unwrap_or_else(PoisonError::into_inner).add(rows, Instant::now());
    let shown = Mutex::new(Shown::default());
    Arc::new(move |event| match event {
        RunEvent::Changed(decisions) => shown.lock().unwrap_or_else(PoisonError::into_inner).show(decisions),
        RunEvent::FirstAlert(alert) if format == Format::Text => say!("first alert: {alert}"),
        RunEvent::FirstAlert(alert) => tracing::info!("first alert: {alert}"),
        RunEvent::FirstDeadLetter(letter) => tracing::warn!("first dead letter of its kind: {letter}"),
        RunEvent::Drift { detections, first } => tracing::info!(detections, "errors of forecasts rose: {first}"),
        RunEvent::Promoted(promotion) => tracing::info!("another model serves: {promotion}"),
        RunEvent::Read { rows } if counts_read => add(*rows),
        RunEvent::Committed { rows } if !counts_read => add(*rows),
        RunEvent::Read { .. } | RunEvent::Committed { .. } => {}
    })
}

impl Progress {
    fn new(every_max: Duration, extent: Option<Extent>) -> Self {
        let rows_total = extent.map_or(0, |extent| extent.done);
        Self { every: EVERY, every_max, told: Instant::now(), rows: 0, rows_total, extent }
    }

    /// Counts rows; writes a line where one is due.
    fn add(&mut self, rows: u64, now: Instant) {
        self.rows += rows;
        self.rows_total += rows;
        let passed = now.duration_since(self.told);
        if passed < self.every {
            return;
        }
        let rate = self.rows as f64 / passed.as_secs_f64();
        match self.extent {
            Some(extent) => tracing::info!("{} rows read{}, {rate:.0} rows/s", self.rows_total, extent.of_total()),
            None => tracing::info!("{} rows committed, {rate:.0} rows/s", self.rows_total),
        }
        (self.told, self.rows) = (now, 0);
        self.every = (self.every * 2).min(self.every_max);
    }
}

/// The table of decisions that was shown last: partitions mostly agree, and one table is enough.
#[derive(Default)]
struct Shown(Vec<StepDecision>);

impl Shown {
    fn show(&mut self, decisions: &[StepDecision]) {
        if self.0 == decisions {
            return;
        }
        self.0 = decisions.to_vec();
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["step", "state", "why"]);
        for decided in decisions {
            table.add_row([decided.step.clone(), decided.decision.name().to_owned(), decided.why.to_string()]);
        }
        complain!("the pipeline file changed under existing state:\n{table}\n");
    }
}
