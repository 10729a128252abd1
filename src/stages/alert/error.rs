//! What can be wrong with alert rules.

use super::{Comparison, ComparisonError, Severity};
use crate::stages::expression::SqlError;

/// An alert rule that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AlertPlanError {
    /// A rule of the embedding program does not take its settings.
    #[error("alert rule `{name}`: {refusal}")]
    Custom {
        /// Its name.
        name: String,
        /// Why.
        refusal: crate::stages::custom::Refusal,
    },
    /// The measure is no expression over window columns, carried columns and forecasts.
    #[error("{0}")]
    Measure(SqlError),
    /// A condition is not one.
    #[error(transparent)]
    Comparison(#[from] ComparisonError),
    /// An alert would open and clear by the same value.
    #[error("clear `{clear}` and when `{when}` hold for the same values")]
    ClearOverlaps {
        /// The clearing condition.
        clear: Comparison,
        /// The opening condition.
        when: Comparison,
    },
    /// A worse severity that holds where a lesser one does not.
    #[error("severity {worse:?} `{condition}` does not imply {lesser:?} `{wider}`")]
    SeverityOrder {
        /// The worse severity.
        worse: Severity,
        /// Its condition.
        condition: Comparison,
        /// The lesser severity.
        lesser: Severity,
        /// Its condition.
        wider: Comparison,
    },
    /// A clearing condition of a severity that the rule does not have.
    #[error("severity {severity:?} has no condition to clear from")]
    NoSuchSeverity {
        /// The severity.
        severity: Severity,
    },
    /// A clearing condition of the severity that lasts as long as the alert.
    #[error("severity {severity:?} is the least one and lasts as long as its alert")]
    LeastSeverity {
        /// The severity.
        severity: Severity,
    },
    /// A severity would outlast what it is worse than.
    #[error("severity {severity:?} lasts until `{clear}`, but {earlier} is over by `{by}`")]
    ClearOrder {
        /// The severity.
        severity: Severity,
        /// What ends it.
        clear: Comparison,
        /// The lesser severity, or the alert.
        earlier: String,
        /// What ends that.
        by: Comparison,
    },
    /// A time below zero.
    #[error("{micros} us is below zero")]
    NegativeTime {
        /// What was written.
        micros: i64,
    },
    /// A time that must be above zero.
    #[error("{micros} us is not above zero")]
    NoTime {
        /// What was written.
        micros: i64,
    },
    /// A mean over no whole number of windows, or too many.
    #[error("{over_micros} us is no number of windows of {every_micros} us that a mean is made of")]
    MeanOver {
        /// What was written.
        over_micros: i64,
        /// Time between windows.
        every_micros: i64,
    },
    /// An alert key other than the window's.
    #[error("alert key ({found}) differs from the window's key ({expected})")]
    Key {
        /// What was written.
        found: String,
        /// The window's key.
        expected: String,
    },
    /// A placeholder that names nothing.
    #[error("unknown placeholder `{{{name}}}`")]
    UnknownPlaceholder {
        /// The name.
        name: String,
    },
    /// A brace without its other half.
    #[error("brace at character {position} has no other half")]
    Brace {
        /// Character of the template, from 1.
        position: usize,
    },
}
