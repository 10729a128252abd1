//! From a closed window on: features, predict, alert; and their state.

use std::sync::Arc;

use arterial_connectors::ledger::Records;

use super::error::PipelineError;
use super::outputs::Outputs;
use crate::observe::BatchReport;
use crate::spec::PipelinePlan;
use crate::stages::alert::{Alerts, RuleInput};
use crate::stages::features::Features;
use crate::stages::predict::{Predict, ScoreRow};
use crate::stages::window::{ClosedWindow, Keys};
use crate::vocab::{Snapshot, StateError, StateReader, StateWriter};

/// The stages that work on closed windows.
pub(super) struct Models {
    features: Features,
    predict: Predict,
    alerts: Alerts,
}

impl Models {
    pub(super) fn new(plan: &PipelinePlan) -> Self {
        Self {
            features: Features::new(Arc::clone(&plan.features)),
            predict: Predict::new(Arc::clone(&plan.predict)),
            alerts: Alerts::new(Arc::clone(&plan.alerts)),
        }
    }

    /// Learns from a closed window, forecasts from it and evaluates the rules.
    pub(super) fn close(
        &mut self,
        keys: &Keys,
        window: &ClosedWindow,
        outputs: &mut Outputs,
        report: &mut BatchReport,
        records: &mut Records,
    ) -> Result<(), PipelineError> {
        report.windows += window.live.iter().filter(|live| **live).count() as u64;
        let matrix = self.features.update(window);
        let step = self.predict.step(window, &matrix);
        outputs.forecasts(keys, window, &step.forecasts, records);
        outputs.scores(&step.scores, records);
        let input = RuleInput { window, forecasts: &step.forecasts, keys };
        let changes = self.alerts.evaluate(&input).map_err(|error| PipelineError::Alert(error.to_string()))?;
        report.alerts += changes.len() as u64;
        outputs.alerts(keys, window, &changes, &self.predict, records);
        Ok(())
    }

    pub(super) fn score_totals(&self) -> Vec<ScoreRow> {
        self.predict.score_totals()
    }

    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.features.snapshot(which, writer);
        self.predict.snapshot(which, writer);
        self.alerts.snapshot(which, writer);
    }

    pub(super) fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.features.restore(reader)?;
        self.predict.restore(reader)?;
        self.alerts.restore(reader)
    }
}
