//! What the alert stage emits: one change in the life of an alert.

use crate::vocab::{EventTime, KeyId};

/// A step in the life of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertState {
    /// The condition held long enough.
    Opened,
    /// The severity changed, or it stays open and is told again before what was told last runs out.
    Updated,
    /// The clearing condition holds.
    Cleared,
    /// The measure was null for too long.
    Expired,
    /// Late data contradicts it.
    Retracted,
}

impl AlertState {
    /// The word in the alert's `state`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Cleared => "cleared",
            Self::Expired => "expired",
            Self::Retracted => "retracted",
        }
    }
}

/// One change of one alert.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertChange {
    /// Index of the rule in the plan.
    pub rule: usize,
    /// The key it is about.
    pub key: KeyId,
    /// What happened.
    pub state: AlertState,
    /// The worst severity whose condition holds; `None` where the rule has none.
    pub severity: Option<super::Severity>,
    /// End of the window at which it happened.
    pub at: EventTime,
    /// End of the window at which this episode opened.
    pub opened_at: EventTime,
    /// 0 for `opened`, then ascending within the episode.
    pub seq: u32,
    /// The measure; `None` where it is null.
    pub value: Option<f64>,
    /// The limit that was crossed; for [`AlertState::Updated`] that of its severity.
    pub threshold: f64,
}
