//! A plan -> a run that tells how good its forecasts are: all that its source holds is read once, nothing is written.

use std::sync::Arc;

use arterial_connectors::source::{SourceError, Until};

use super::pipeline::{Pipeline, RunOptions};
use super::wiring::Wiring;
use crate::observe::Listener;
use crate::spec::PipelinePlan;

impl Pipeline {
    /// A run that scores a plan's forecasts, each before its label is learned. Models start from nothing, networks with an
    /// `artefact` from the version that serves; the pipeline's own state, offsets and outputs are not touched. From a topic, windows that the pipeline's runs closed by the clock
    /// are closed at the same rows: their decisions are read here, before it returns.
    ///
    /// # Errors
    /// A control topic that cannot be read.
    pub fn evaluation(plan: &PipelinePlan) -> Result<Self, SourceError> {
        Self::evaluation_told(plan, RunOptions::default().listener)
    }

    /// Likewise; the listener is told how it gets on.
    ///
    /// # Errors
    /// As [`Pipeline::evaluation`].
    pub fn evaluation_told(plan: &PipelinePlan, listener: Listener) -> Result<Self, SourceError> {
        let mut plan = plan.clone();
        // An evaluation commits nowhere that a second worker could see.
        plan.runtime.workers = 1;
        // Nobody reads what it writes.
        plan.predict = Arc::new(plan.predict.unexplained());
        let plan = Arc::new(plan);
        let connection = Wiring::detached(&plan);
        let decisions = Some(Arc::new(connection.control_log()?));
        let options = RunOptions { until: Until::Latest, decisions, listener, ..RunOptions::default() };
        Ok(Self::new(plan, Arc::new(connection), options))
    }
}
