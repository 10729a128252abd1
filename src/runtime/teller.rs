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
    alert: Option<AlertNotice>,
    /// Rows since the last commit.
    rows: u64,
}

impl Teller {
    pub(super) fn new(listener: Listener, shared: Arc<Shared>) -> Self {
        Self { listener, shared, alert: None, rows: 0 }
    }

    /// Notes what a batch or a flush gave; how much it read is told at once, the rest when it is durable.
    pub(super) fn note(&mut self, report: &mut BatchReport) {
        self.rows += report.rows;
        (self.listener)(&RunEvent::Read { rows: report.rows });
        if self.alert.is_none() {
            self.alert = report.first_alert.take();
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
        (self.alert, self.rows) = (None, 0);
    }

    /// A commit has succeeded.
    pub(super) fn committed(&mut self) {
        if let Some(alert) = self.alert.take()
            && !self.shared.alert_told.swap(true, Ordering::Relaxed)
        {
            (self.listener)(&RunEvent::FirstAlert(alert));
        }
        (self.listener)(&RunEvent::Committed { rows: std::mem::take(&mut self.rows) });
    }
}
