//! What a run tells while it goes on, as values for one listener. The library prints nothing itself.

use std::fmt;
use std::sync::Arc;

use crate::stages::alert::Severity;
use crate::stages::predict::drift::Shift;
use crate::state::StepDecision;
use crate::vocab::{EventTime, duration_text};

/// Something that happened and stands, or was decided.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// The pipeline file changed under a partition's state: what becomes of every step's, before the run goes on with it
    /// or refuses to.
    Changed(Vec<StepDecision>),
    /// The first alert that this run opened and knows to be durable: its commit has succeeded.
    FirstAlert(AlertNotice),
    /// The first dead letter of its stage and reason that this run knows to be durable: its commit has succeeded.
    FirstDeadLetter(DeadLetterNotice),
    /// Errors of forecasts that rose, as found between two commits of a worker, the second of which has succeeded.
    Drift {
        /// How often.
        detections: u64,
        /// The first.
        first: DriftNotice,
    },
    /// Another model makes a predictor's forecasts of a partition; the commit has succeeded.
    Promoted(PromotionNotice),
    /// A worker has dealt with rows that are not durable yet. After a rewind they come again.
    Read {
        /// Rows.
        rows: u64,
    },
    /// A worker's commit has succeeded.
    Committed {
        /// Rows that it made durable.
        rows: u64,
    },
}

/// A dead letter in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterNotice {
    /// Topic, partition and offset it was read from, or file of text and line.
    pub place: String,
    /// The stage that stopped it.
    pub stage: &'static str,
    /// Stable code of the reason.
    pub reason: &'static str,
    /// The value and the place.
    pub detail: String,
}

impl DeadLetterNotice {
    /// The column that is spoken of, where it is one.
    #[must_use]
    pub fn column(&self) -> &str {
        column_of(&self.detail)
    }
}

/// Most kinds of dead letters, by stage, reason and column, of which the first is told.
pub(crate) const KINDS_MAX: usize = 32;

/// The column whose value a dead letter's detail begins with: `` `speed`: `x` is not a number ``.
#[must_use]
pub(crate) fn column_of(detail: &str) -> &str {
    detail.strip_prefix('`').and_then(|rest| rest.split_once("`: ")).map_or("", |(column, _)| column)
}

impl fmt::Display for DeadLetterNotice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, stage, reason, detail } = self;
        write!(formatter, "{stage}, {reason}: {detail} ({place})")
    }
}

/// Errors of a key's forecasts that rose, in one line.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftNotice {
    /// End of the window whose label told.
    pub at: EventTime,
    /// Values of the window's key, joined by `/`.
    pub key: String,
    /// The predictor.
    pub predictor: String,
    /// How far ahead, microseconds.
    pub horizon_micros: i64,
    /// What found it.
    pub detector: &'static str,
    /// What was done to the model.
    pub effect: &'static str,
    /// Mean absolute errors before and since, in the target's unit.
    pub shift: Shift,
}

impl fmt::Display for DriftNotice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, key, predictor, horizon_micros, detector, effect, shift } = self;
        let (horizon, [before, after]) = (duration_text(*horizon_micros), [shift.before, shift.after]);
        write!(formatter, "{at}  {key}  {predictor}.{horizon}: mean absolute error {:.3} before, ", before.mean)?;
        write!(formatter, "{:.3} over the last {} labels ({detector}, effect {effect})", after.mean, after.labels)
    }
}

/// Another model that makes a predictor's forecasts, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotionNotice {
    /// The predictor.
    pub predictor: String,
    /// The partition.
    pub partition: i32,
    /// End of the window from which on it does.
    pub at: EventTime,
    /// Name of the one that did before.
    pub before: String,
    /// Its own.
    pub after: String,
    /// Why, as in the output `promotions`.
    pub reason: &'static str,
}

impl fmt::Display for PromotionNotice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { predictor, partition, at, before, after, reason } = self;
        write!(formatter, "{at}  {predictor}: `{after}` in place of `{before}` ({reason}, partition {partition})")
    }
}

/// An alert in one line.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertNotice {
    /// End of the window at which it opened.
    pub at: EventTime,
    /// Values of the window's key, joined by `/`.
    pub key: String,
    /// The rule's name.
    pub rule: String,
    /// The worst severity whose condition holds; `None` where the rule has none.
    pub severity: Option<Severity>,
    /// The rule's summary.
    pub summary: String,
}

impl fmt::Display for AlertNotice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.severity.map_or("opened", Severity::name);
        write!(formatter, "{}  {}  {severity}  {}", self.at, self.key, self.summary)
    }
}

/// Takes a run's events. Called by workers between two batches: it must be quick and must not fail.
pub type Listener = Arc<dyn Fn(&RunEvent) + Send + Sync>;
