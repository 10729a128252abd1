//! One measure of one key after another -> the life of its alert. A pure state machine over window ends.

use serde::{Deserialize, Serialize};

use super::plan::AlertRule;
use super::{AlertChange, AlertState, Severity};
use crate::vocab::{EventTime, KeyId};

/// Where a key's alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Life {
    phase: Phase,
    /// End of the window since which the measure is null; none while idle.
    null_since: Option<EventTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
enum Phase {
    /// `when` did not hold last.
    #[default]
    Idle,
    /// `when` holds, not yet long enough: first at the window that ended then.
    Pending(EventTime),
    /// The alert is open.
    Open(Episode),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Episode {
    opened_at: EventTime,
    seq: u32,
    severity: Option<Severity>,
}

impl Life {
    /// Whether nothing is pending or open: then it equals the default.
    fn idle(self) -> bool {
        self.phase == Phase::Idle
    }

    /// The next window with this measure; at most one change comes of it.
    pub(super) fn step(&mut self, rule: &AlertRule, end: EventTime, measure: Option<f64>) -> Option<Step> {
        let Some(value) = measure else { return self.step_null(rule, end) };
        self.null_since = None;
        match self.phase {
            Phase::Idle => self.step_closed(rule, end, value, end),
            Phase::Pending(first_true) => self.step_closed(rule, end, value, first_true),
            Phase::Open(episode) => self.step_open(rule, end, value, episode),
        }
    }

    /// Null neither holds nor clears; only expiry counts it. What is pending is forgotten where an alert expires.
    fn step_null(&mut self, rule: &AlertRule, end: EventTime) -> Option<Step> {
        if self.idle() {
            return None;
        }
        let since = *self.null_since.get_or_insert(end);
        if end < since.plus(rule.expire_after_micros) {
            return None;
        }
        self.expire(rule)
    }

    /// The key's alert comes to its end without a value: its measure is null for too long, or the key is forgotten.
    pub(super) fn expire(&mut self, rule: &AlertRule) -> Option<Step> {
        let Phase::Open(episode) = std::mem::take(self).phase else { return None };
        let limit = rule.when.limit();
        Some(Step { state: AlertState::Expired, episode: episode.next(), value: None, threshold: limit })
    }

    fn step_closed(&mut self, rule: &AlertRule, end: EventTime, value: f64, first_true: EventTime) -> Option<Step> {
        if !rule.when.holds(value) {
            self.phase = Phase::Idle;
            return None;
        }
        if end < first_true.plus(rule.for_micros) {
            self.phase = Phase::Pending(first_true);
            return None;
        }
        let severity = worst(rule, value).map(|(severity, _)| severity);
        let episode = Episode { opened_at: end, seq: 0, severity };
        self.phase = Phase::Open(episode);
        Some(Step { state: AlertState::Opened, episode, value: Some(value), threshold: rule.when.limit() })
    }

    fn step_open(&mut self, rule: &AlertRule, end: EventTime, value: f64, episode: Episode) -> Option<Step> {
        if rule.clear.holds(value) && end >= episode.opened_at.plus(rule.hold_micros) {
            self.phase = Phase::Idle;
            let threshold = rule.clear.limit();
            return Some(Step { state: AlertState::Cleared, episode: episode.next(), value: Some(value), threshold });
        }
        // Between `when` and `clear` no severity need hold: the alert keeps the one it had.
        let (severity, threshold) = worst(rule, value)?;
        if episode.severity == Some(severity) {
            return None;
        }
        let changed = Episode { severity: Some(severity), ..episode.next() };
        self.phase = Phase::Open(changed);
        Some(Step { state: AlertState::Updated, episode: changed, value: Some(value), threshold })
    }
}

impl Episode {
    fn next(self) -> Self {
        Self { seq: self.seq + 1, ..self }
    }
}

fn worst(rule: &AlertRule, value: f64) -> Option<(Severity, f64)> {
    let holding = rule.severities.iter().find(|(_, condition)| condition.holds(value));
    holding.map(|(severity, condition)| (*severity, condition.limit()))
}

/// What happened to an alert at one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    state: AlertState,
    episode: Episode,
    value: Option<f64>,
    threshold: f64,
}

impl Step {
    /// The change that the stage emits.
    pub(super) fn change(self, rule: usize, key: KeyId, at: EventTime) -> AlertChange {
        AlertChange {
            rule,
            key,
            state: self.state,
            severity: self.episode.severity,
            at,
            opened_at: self.episode.opened_at,
            seq: self.episode.seq,
            value: self.value,
            threshold: self.threshold,
        }
    }
}
