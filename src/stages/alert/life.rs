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
    /// End of the window that its last change was told at.
    told_at: EventTime,
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
        if end >= since.plus(rule.expire_after_micros) {
            return self.expire(rule);
        }
        let Phase::Open(episode) = self.phase else { return None };
        self.renew(rule, end, None, episode)
    }

    /// The key's alert comes to its end without a value: its measure is null for too long, or the key is forgotten.
    pub(super) fn expire(&mut self, rule: &AlertRule) -> Option<Step> {
        let Phase::Open(episode) = std::mem::take(self).phase else { return None };
        let limit = rule.when.limit();
        let ended = Episode { seq: episode.seq + 1, ..episode };
        Some(Step { state: AlertState::Expired, episode: ended, value: None, threshold: limit })
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
        let severity = rule.levels.severity(value, None).map(|(severity, _)| severity);
        let episode = Episode { opened_at: end, told_at: end, seq: 0, severity };
        self.phase = Phase::Open(episode);
        Some(Step { state: AlertState::Opened, episode, value: Some(value), threshold: rule.when.limit() })
    }

    fn step_open(&mut self, rule: &AlertRule, end: EventTime, value: f64, episode: Episode) -> Option<Step> {
        if rule.clear.holds(value) && end >= episode.opened_at.plus(rule.hold_micros) {
            self.phase = Phase::Idle;
            let threshold = rule.clear.limit();
            return Some(Step {
                state: AlertState::Cleared,
                episode: episode.next(end),
                value: Some(value),
                threshold,
            });
        }
        match rule.levels.severity(value, episode.severity) {
            Some((severity, threshold)) if episode.severity != Some(severity) => {
                let changed = Episode { severity: Some(severity), ..episode.next(end) };
                Some(self.update(changed, Some(value), threshold))
            }
            // Between `when` and `clear` no severity need hold: without `severity_clear` the alert keeps the one it had.
            _ => self.renew(rule, end, Some(value), episode),
        }
    }

    /// Tells an alert that stays as it is once more when half of the time that its last record vouches for is over: who
    /// drops it at its `expires_at` is given the next one before, unless it is further behind than the other half.
    fn renew(&mut self, rule: &AlertRule, end: EventTime, value: Option<f64>, episode: Episode) -> Option<Step> {
        if end < episode.told_at.plus(rule.expire_after_micros / 2) {
            return None;
        }
        let threshold = rule.levels.limit(episode.severity).unwrap_or_else(|| rule.when.limit());
        Some(self.update(episode.next(end), value, threshold))
    }

    fn update(&mut self, episode: Episode, value: Option<f64>, threshold: f64) -> Step {
        self.phase = Phase::Open(episode);
        Step { state: AlertState::Updated, episode, value, threshold }
    }
}

impl Episode {
    fn next(self, told_at: EventTime) -> Self {
        Self { seq: self.seq + 1, told_at, ..self }
    }
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
