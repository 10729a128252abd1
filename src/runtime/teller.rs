//! What a worker has to tell -> a run's listener, once it is durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::changes::Changes;
use super::pipeline::Shared;
use crate::observe::{AlertNotice, BatchReport, Listener, RunEvent};

/// Holds back what is not durable yet.
pub(super) struct Teller {
    listener: Listener,
    shared: Arc<Shared>,
    /// What happened since the last commit began.
    new: Notes,
    /// What the commit in flight makes durable.
    sealed: Notes,
}

#[derive(Default)]
struct Notes {
    alert: Option<AlertNotice>,
    rows: u64,
}

impl Teller {
    pub(super) fn new(listener: Listener, shared: Arc<Shared>) -> Self {
        Self { listener, shared, new: Notes::default(), sealed: Notes::default() }
    }

    /// Notes what a batch or a flush gave; how much it read is told at once, the rest when it is durable.
    pub(super) fn note(&mut self, report: &mut BatchReport) {
        self.new.rows += report.rows;
        (self.listener)(&RunEvent::Read { rows: report.rows });
        if self.new.alert.is_none() {
            self.new.alert = report.first_alert.take();
        }
    }

    /// Before a partition is restored: what becomes of its state, where the plan changed under it.
    pub(super) fn decided(&self, changes: &Changes) {
        if let Some(decisions) = changes.decisions() {
            (self.listener)(&RunEvent::Changed(decisions.to_vec()));
        }
    }

    /// Forgets what will be done again.
    pub(super) fn rewind(&mut self) {
        (self.new, self.sealed) = Default::default();
    }

    /// A commit begins: it makes durable what was noted up to now.
    pub(super) fn seal(&mut self) {
        self.sealed = std::mem::take(&mut self.new);
    }

    /// The commit has succeeded.
    pub(super) fn committed(&mut self) {
        let Notes { alert, rows } = std::mem::take(&mut self.sealed);
        if let Some(alert) = alert
            && !self.shared.alert_told.swap(true, Ordering::Relaxed)
        {
            (self.listener)(&RunEvent::FirstAlert(alert));
        }
        (self.listener)(&RunEvent::Committed { rows });
    }
}
