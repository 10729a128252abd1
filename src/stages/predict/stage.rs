//! Closed windows with their features, in order -> forecasts, scores and learned models of one partition. Never
//! reads a clock; a window's own label is the last thing it may be used for before the next forecast is made.
//!
//! *Invariant.* At window `t`: forecasts made for `t` are scored, then their rows are learned with `t`'s values, then
//! the forecasts of `t` are made. A row waits for each horizon's label exactly once, and windows come in ascending
//! order, so no row is learned twice and no value is seen before its time. Where `t` itself is predicted, as by a classifier
//! of records, the labels of the window before are learned, `t` is predicted, and then its labels are looked at.

use std::sync::Arc;

use super::contenders::Contenders;
use super::contest::Promotion;
use super::drift::DriftDetection;
use super::evaluate::{ErrorSums, ScoreTotal, score_row};
use super::explain::Explanation;
use super::forecast::{Forecasts, ScoreRow};
use super::names::{KeyNames, Nameless};
use super::plan::{PERSISTENCE, PROFILE, PredictPlan, PredictorPlan};
use crate::stages::features::FeatureMatrix;
use crate::stages::window::ClosedWindow;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter};

/// Names of what is scored of a predictor, in the order it is summed. Of a challenger that is its own alone: the baselines
/// are the predictor's.
pub(super) fn scored(plan: &PredictorPlan) -> Vec<&str> {
    if let Some(challenger) = &plan.challenger {
        return vec![challenger];
    }
    let basics = [plan.model_name(), PERSISTENCE, PROFILE];
    let experts = plan.experts.iter().filter(|_| plan.mix.is_some()).map(|expert| expert.name.as_str());
    basics.into_iter().chain(experts).collect()
}

/// What one closed window gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Forecasts made at the window, one entry per predictor.
    pub forecasts: Vec<Forecasts>,
    /// Sums of the days that ended.
    pub scores: Vec<ScoreRow>,
    /// Errors that rose, in the order predictor, horizon, key.
    pub drifts: Vec<DriftDetection>,
    /// Predictors whom another model serves from this window on.
    pub promotions: Vec<Promotion>,
}

/// All predictors of one partition.
pub struct Predict {
    plan: Arc<PredictPlan>,
    contenders: Vec<Contenders>,
}

impl Predict {
    /// Models that have learned nothing yet. State goes to steps named `predict.<predictor>.<part>`.
    #[must_use]
    pub fn new(plan: Arc<PredictPlan>) -> Self {
        let contenders =
            plan.predictors.iter().map(|predictor| Contenders::new(predictor, plan.every_micros)).collect();
        Self { plan, contenders }
    }

    /// Takes the next closed window: scores the forecasts made for it, learns from it, makes new forecasts, and
    /// forgets the keys that expired with it. `features` are those known at the window's end. Nothing is known of keys by
    /// name.
    pub fn step(&mut self, window: &ClosedWindow, features: &FeatureMatrix) -> Step {
        self.step_named(window, features, &Nameless)
    }

    /// Likewise where keys have names.
    pub fn step_named(&mut self, window: &ClosedWindow, features: &FeatureMatrix, names: &dyn KeyNames) -> Step {
        let mut step = Step::default();
        for (index, (contenders, plan)) in self.contenders.iter_mut().zip(&self.plan.predictors).enumerate() {
            contenders.step((index, plan), &self.plan, (window, features, names), &mut step);
        }
        step
    }

    /// Does ahead what the next window's forecasts need in any case. The state stays as it is.
    pub fn prepare(&mut self) {
        self.contenders.iter_mut().for_each(Contenders::prepare);
    }

    /// Why the newest forecast of a key is what it is; `None` where there is no forecast.
    #[must_use]
    pub fn explain(&self, predictor: usize, horizon: usize, key: KeyId) -> Option<Explanation> {
        self.contenders.get(predictor)?.explain(self.plan.predictors.get(predictor)?, horizon, key)
    }

    /// Sums of errors since the start, the open days included, in the order predictor, horizon, model; those of a predictor's
    /// challengers follow its own.
    #[must_use]
    pub fn totals(&self) -> Vec<ScoreTotal> {
        let all = self.contenders.iter().zip(&self.plan.predictors);
        all.flat_map(|(contenders, plan)| contenders.totals(plan)).collect()
    }

    /// Sums of errors of the days that are not over, in the same order.
    #[must_use]
    pub fn open_days(&self) -> Vec<ScoreRow> {
        let all = self.contenders.iter().zip(&self.plan.predictors);
        all.flat_map(|(contenders, plan)| contenders.open_days(plan)).collect()
    }

    /// Models whose state was not gone on with, by step, and the labels that it had learned: networks that are to stay as they
    /// were trained.
    pub fn dropped(&self) -> impl Iterator<Item = (&str, u64)> {
        self.contenders.iter().zip(&self.plan.predictors).flat_map(|(contenders, plan)| contenders.dropped(plan))
    }

    /// Writes the state of every predictor.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.contenders.iter_mut().for_each(|contenders| contenders.snapshot(which, writer));
    }

    /// Reads the state back into a stage that has seen nothing.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit the plan.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.contenders.iter_mut().try_for_each(|contenders| contenders.restore(reader))
    }
}

/// A day's sums at one horizon, a row per model.
pub(super) fn score_rows(
    plan: &PredictorPlan,
    horizon: i64,
    day: i32,
    sums: &[ErrorSums],
) -> impl Iterator<Item = ScoreRow> {
    scored(plan).into_iter().zip(sums).map(move |(model, sums)| score_row(&plan.name, model, horizon, day, sums))
}
