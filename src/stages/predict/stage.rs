//! Closed windows with their features, in order -> forecasts, scores and learned models of one partition. Never
//! reads a clock; a window's own label is the last thing it may be used for before the next forecast is made.
//!
//! *Invariant.* At window `t`: forecasts made for `t` are scored, then their rows are learned with `t`'s values, then
//! the forecasts of `t` are made. A row waits for each horizon's label exactly once, and windows come in ascending
//! order, so no row is learned twice and no value is seen before its time. Where `t` itself is predicted, as by a classifier
//! of records, the labels of the window before are learned, `t` is predicted, and then its labels are looked at.

use std::sync::Arc;

use super::drift::DriftDetection;
use super::evaluate::{ErrorSums, ScoreTotal, score_row};
use super::explain::Explanation;
use super::forecast::{Forecasts, ScoreRow};
use super::lane::Lane;
use super::plan::{PERSISTENCE, PROFILE, PredictPlan, PredictorPlan};
use crate::stages::features::FeatureMatrix;
use crate::stages::window::ClosedWindow;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter};

/// Names of what is scored of a predictor, in the order it is summed.
fn scored(plan: &PredictorPlan) -> Vec<&str> {
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
}

/// All predictors of one partition.
pub struct Predict {
    plan: Arc<PredictPlan>,
    lanes: Vec<Lane>,
}

impl Predict {
    /// Models that have learned nothing yet. State goes to steps named `predict.<predictor>.<part>`.
    #[must_use]
    pub fn new(plan: Arc<PredictPlan>) -> Self {
        let lanes = plan.predictors.iter().map(|predictor| Lane::new(predictor, plan.every_micros)).collect();
        Self { plan, lanes }
    }

    /// Takes the next closed window: scores the forecasts made for it, learns from it, makes new forecasts, and
    /// forgets the keys that expired with it. `features` are those known at the window's end.
    pub fn step(&mut self, window: &ClosedWindow, features: &FeatureMatrix) -> Step {
        let mut step = Step::default();
        for (index, (lane, plan)) in self.lanes.iter_mut().zip(&self.plan.predictors).enumerate() {
            // A window that closed before is nothing new: its labels have been learned.
            if lane.pending.newest().is_some_and(|newest| newest.features.end >= window.end) {
                continue;
            }
            let labels = lane.labels(plan, window, self.plan.min_count);
            lane.grow(window.key_count());
            let told = step.drifts.len();
            let found = (&mut step.scores, &mut step.drifts);
            let origin = if plan.same_window() {
                lane.step_same_window(plan, (window, features), labels, found)
            } else {
                lane.step(plan, (window, features), &labels, found)
            };
            step.drifts[told..].iter_mut().for_each(|drift| drift.predictor = index);
            step.forecasts.push(lane.emitted(index, &origin));
            lane.pending.push(origin);
            if !window.expired.is_empty() {
                lane.forget(&window.expired);
            }
        }
        step
    }

    /// Does ahead what the next window's forecasts need in any case. The state stays as it is.
    pub fn prepare(&mut self) {
        self.lanes.iter_mut().for_each(Lane::prepare);
    }

    /// Why the newest forecast of a key is what it is; `None` where there is no forecast.
    #[must_use]
    pub fn explain(&self, predictor: usize, horizon: usize, key: KeyId) -> Option<Explanation> {
        let lane = self.lanes.get(predictor)?;
        let plan = self.plan.predictors.get(predictor)?;
        let origin = lane.pending.newest()?;
        if horizon >= plan.horizons.len() || origin.model[horizon].get(key as usize)?.is_nan() {
            return None;
        }
        let additive = lane.explain(plan, horizon, origin, key)?;
        Some(plan.limits.explain(origin.features.end, lane.version(horizon), additive))
    }

    /// Sums of errors since the start, the open days included, in the order predictor, horizon, model.
    #[must_use]
    pub fn totals(&self) -> Vec<ScoreTotal> {
        let mut totals = Vec::new();
        for (lane, plan) in self.lanes.iter().zip(&self.plan.predictors) {
            for (index, horizon) in plan.horizons.iter().enumerate() {
                // Baselines take every label.
                let refused = [lane.refused(index), 0, 0].into_iter().chain(lane.refused_by_expert(index));
                let sums = lane.scores.total(index).iter().zip(refused);
                totals.extend(scored(plan).iter().zip(sums).map(|(model, (sums, refused))| ScoreTotal {
                    predictor: plan.name.clone(),
                    model: (*model).to_owned(),
                    horizon_micros: horizon.micros,
                    sums: sums.clone(),
                    refused,
                }));
            }
        }
        totals
    }

    /// Sums of errors of the days that are not over, in the same order.
    #[must_use]
    pub fn open_days(&self) -> Vec<ScoreRow> {
        let mut rows = Vec::new();
        for (lane, plan) in self.lanes.iter().zip(&self.plan.predictors) {
            for (index, horizon) in plan.horizons.iter().enumerate() {
                if let Some((day, sums)) = lane.scores.open_day(index) {
                    rows.extend(score_rows(plan, horizon.micros, day, sums));
                }
            }
        }
        rows
    }

    /// Writes the state of every predictor.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for lane in &mut self.lanes {
            lane.snapshot(which, writer);
        }
    }

    /// Reads the state back into a stage that has seen nothing.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit the plan.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.lanes.iter_mut().try_for_each(|lane| lane.restore(reader))
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
