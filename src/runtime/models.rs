//! From a closed window on: features, predict, alert; and their state.

use std::sync::Arc;

use super::error::PipelineError;
use super::outputs::Outputs;
use super::trace::Trace;
use super::transaction::Transaction;
use crate::observe::{AlertNotice, BatchReport};
use crate::spec::PipelinePlan;
use crate::stages::alert::{AlertChange, AlertState, Alerts, RuleInput};
use crate::stages::features::Features;
use crate::stages::predict::{Predict, ScoreRow, ScoreTotal};
use crate::stages::window::{ClosedWindow, Keys};
use crate::vocab::{Snapshot, StateError, StateReader, StateWriter};

/// The stages that work on closed windows.
pub(super) struct Models {
    plan: Arc<PipelinePlan>,
    features: Features,
    predict: Predict,
    alerts: Alerts,
}

impl Models {
    /// The stages as their last commit left them; fresh where nothing was saved.
    pub(super) fn restore(plan: &Arc<PipelinePlan>, reader: &dyn StateReader) -> Result<Self, StateError> {
        let mut models = Self {
            plan: Arc::clone(plan),
            features: Features::new(Arc::clone(&plan.features)),
            predict: Predict::new(Arc::clone(&plan.predict)),
            alerts: Alerts::restore(Arc::clone(&plan.alerts), reader)?,
        };
        models.features.restore(reader)?;
        models.predict.restore(reader)?;
        Ok(models)
    }

    /// Models whose state was not gone on with, by step, and the labels that it had learned.
    pub(super) fn dropped(&self) -> impl Iterator<Item = (&str, u64)> {
        self.predict.dropped()
    }

    /// Learns from a closed window, forecasts from it and evaluates the rules. Its records leave in the order: forecasts,
    /// scores, drift, promotions, alerts by key.
    pub(super) fn close(
        &mut self,
        keys: &Keys,
        window: &ClosedWindow,
        (outputs, trace): (&mut Outputs, &mut Option<Trace>),
        report: &mut BatchReport,
        transaction: &mut Transaction,
    ) -> Result<(), PipelineError> {
        report.windows += window.live.iter().filter(|live| **live).count() as u64;
        if let Some(trace) = trace {
            trace.window(&self.plan.window, keys, window);
        }
        self.features.meet_keys(keys.len(), |key| keys.values(key).next());
        let matrix = self.features.update(window);
        let step = self.predict.step_named(window, &matrix, keys);
        outputs.forecasts((keys, &window.live), &step.forecasts, &self.predict, transaction)?;
        outputs.scores(&step.scores, transaction.records());
        outputs.drifts(keys, &step.drifts, report, transaction.records());
        outputs.promotions(&step.promotions, report, transaction.records());
        report.scores.extend(step.scores);
        let input = RuleInput { window, forecasts: &step.forecasts };
        let mut changes = self.alerts.evaluate(&input).map_err(|error| PipelineError::Alert(error.to_string()))?;
        // By name: numbers of keys say which was seen first, and nobody should be able to tell that from alerts.
        changes.sort_by(|one, other| keys.values(one.key).cmp(keys.values(other.key)));
        report.alerts += changes.len() as u64;
        if report.first_alert.is_none() {
            report.first_alert = self.first_opened(keys, &input, &changes);
        }
        outputs.alerts(keys, &input, &changes, &self.predict, transaction.records());
        Ok(transaction.relieve()?)
    }

    /// Does ahead what the next window needs in any case.
    pub(super) fn prepare(&mut self) {
        self.predict.prepare();
    }

    fn first_opened(&self, keys: &Keys, input: &RuleInput<'_>, changes: &[AlertChange]) -> Option<AlertNotice> {
        let change = changes.iter().find(|change| change.state == AlertState::Opened)?;
        let values: Vec<&str> = keys.values(change.key).collect();
        Some(AlertNotice {
            at: change.at,
            key: values.join("/"),
            rule: self.plan.alerts.rules()[change.rule].name().to_owned(),
            severity: change.severity,
            summary: self.plan.alerts.summary(change, &values, input),
        })
    }

    pub(super) fn score_totals(&self) -> Vec<ScoreTotal> {
        self.predict.totals()
    }

    /// Scores of the days that are not over.
    pub(super) fn open_days(&self) -> Vec<ScoreRow> {
        self.predict.open_days()
    }

    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.features.snapshot(which, writer);
        self.predict.snapshot(which, writer);
        self.alerts.snapshot(which, writer);
    }
}
