//! What happened to one batch: the one event per batch that metrics are made of.

use std::collections::BTreeMap;

use super::{AlertNotice, DeadLetterNotice, DriftNotice, PromotionNotice};
use crate::stages::clean::Replaced;
use crate::stages::predict::ScoreRow;

/// Counts of one batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchReport {
    /// Rows read.
    pub rows: u64,
    /// Closed windows, counted per live key.
    pub windows: u64,
    /// Alert changes.
    pub alerts: u64,
    /// The first alert that it opened.
    pub first_alert: Option<AlertNotice>,
    /// Scores of the days that it ended.
    pub scores: Vec<ScoreRow>,
    /// Errors that rose, by predictor and horizon (microseconds).
    pub drifts: BTreeMap<(String, i64), u64>,
    /// The first of them.
    pub first_drift: Option<DriftNotice>,
    /// Models that serve from now on in place of others.
    pub promotions: Vec<PromotionNotice>,
    /// Dead letters by (stage, reason code).
    pub rejected: BTreeMap<(&'static str, &'static str), u64>,
    /// Values that cleaning replaced.
    pub replaced: Replaced,
    /// The first dead letter of each stage and reason.
    pub first_rejected: Vec<DeadLetterNotice>,
}
