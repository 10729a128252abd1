//! What a worker has to tell -> a run's listener, once it is durable.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::changes::Changes;
use super::pipeline::Shared;
use crate::observe::{
    AlertNotice, BatchReport, DeadLetterNotice, DriftNotice, KINDS_MAX, Listener, PromotionNotice, RunEvent,
};

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
    drift: Option<DriftNotice>,
    drifts: u64,
    promotions: Vec<PromotionNotice>,
    /// By stage, reason and column.
    dead_letters: BTreeMap<(&'static str, &'static str, String), DeadLetterNotice>,
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
        self.new.drifts += report.drifts.values().sum::<u64>();
        if self.new.drift.is_none() {
            self.new.drift = report.first_drift.take();
        }
        self.new.promotions.append(&mut report.promotions);
        for notice in report.first_rejected.drain(..) {
            let of = (notice.stage, notice.reason, notice.column().to_owned());
            self.new.dead_letters.entry(of).or_insert(notice);
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
        let Notes { alert, drift, drifts, promotions, dead_letters, rows } = std::mem::take(&mut self.sealed);
        if let Some(alert) = alert
            && !self.shared.alert_told.swap(true, Ordering::Relaxed)
        {
            (self.listener)(&RunEvent::FirstAlert(alert));
        }
        for (of, notice) in dead_letters {
            let mut told = self.shared.dead_letters_told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < KINDS_MAX && told.insert(of) {
                drop(told);
                (self.listener)(&RunEvent::FirstDeadLetter(notice));
            }
        }
        if let Some(first) = drift {
            (self.listener)(&RunEvent::Drift { detections: drifts, first });
        }
        for promotion in promotions {
            (self.listener)(&RunEvent::Promoted(promotion));
        }
        (self.listener)(&RunEvent::Committed { rows });
    }
}
