//! The models of one predictor in one partition: its own and, where the file has them, challengers. Each is a lane of its own
//! that takes every window; what leaves is of the one that serves.

use super::contest::{Contest, Promotion};
use super::drift::DriftDetection;
use super::evaluate::ScoreTotal;
use super::explain::Explanation;
use super::forecast::{Forecasts, ScoreRow};
use super::labels::Origin;
use super::lane::Lane;
use super::names::KeyNames;
use super::plan::{PredictPlan, PredictorPlan};
use super::stage::{Step, score_rows, scored};
use crate::stages::features::FeatureMatrix;
use crate::stages::window::ClosedWindow;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter};

pub(super) struct Contenders {
    /// The predictor's own model, then its challengers.
    lanes: Vec<Lane>,
    contest: Option<Contest>,
}

impl Contenders {
    pub(super) fn new(plan: &PredictorPlan, every_micros: i64) -> Self {
        let lanes = plan.models().map(|plan| Lane::new(plan, every_micros)).collect();
        Self { lanes, contest: plan.contest.clone().map(Contest::new) }
    }

    fn serving(&self) -> usize {
        self.contest.as_ref().map_or(0, Contest::serving)
    }

    /// Takes the next closed window; `predictor` is the index of this one in the plan.
    pub(super) fn step(
        &mut self,
        (predictor, plan): (usize, &PredictorPlan),
        every: &PredictPlan,
        (window, features, names): (&ClosedWindow, &FeatureMatrix, &dyn KeyNames),
        step: &mut Step,
    ) {
        // A window that closed before is nothing new: its labels have been learned.
        if self.lanes[0].pending.newest().is_some_and(|newest| newest.features.end >= window.end) {
            return;
        }
        let promotion = self.contest.as_mut().and_then(|contest| contest.turn(window.end));
        step.promotions.extend(promotion.map(|promotion| Promotion { predictor, ..promotion }));
        let serving = self.serving();
        let labels = self.lanes[0].labels(plan, window, every.min_count);
        if !plan.same_window() {
            self.compare_earlier(plan, window, &labels);
        }
        for (model, (lane, plan)) in self.lanes.iter_mut().zip(plan.models()).enumerate() {
            lane.grow(window.key_count(), names);
            let mut drifts = Vec::new();
            let found = (&mut step.scores, &mut drifts);
            let shown = model == serving;
            let origin = if plan.same_window() {
                lane.step_same_window((plan, shown), (window, features, names), labels.clone(), found)
            } else {
                lane.step((plan, shown), (window, features, names), &labels, found)
            };
            if shown {
                step.drifts.extend(drifts.into_iter().map(|drift| DriftDetection { predictor, model, ..drift }));
            }
            lane.pending.push(origin);
        }
        // The baselines are the predictor's, which knows the keys for longer than a challenger may.
        let own = self.lanes[0].pending.newest();
        let made = own.and_then(|own| self.lanes[serving].emitted(own));
        step.forecasts.extend(made.map(|made| Forecasts { predictor, made_by: serving, ..made }));
        if !window.expired.is_empty() {
            self.lanes.iter_mut().for_each(|lane| lane.forget(&window.expired));
            if let Some(contest) = &mut self.contest {
                contest.forget(&window.expired);
            }
        }
        if plan.same_window() {
            self.compare_newest(&labels);
        }
    }

    /// Compares what was forecast before for this window.
    fn compare_earlier(&mut self, plan: &PredictorPlan, window: &ClosedWindow, labels: &[f64]) {
        let Some(contest) = &mut self.contest else { return };
        for (index, horizon) in plan.horizons.iter().enumerate() {
            let made_at = window.end.plus(-horizon.micros);
            let made = self.lanes.iter().map(|lane| lane.pending.at(made_at));
            let baseline = baseline(self.lanes[0].pending.at(made_at), index, contest);
            contest.take(index, (&forecasts(made, index), baseline), labels);
        }
    }

    /// Compares what was predicted of the window itself.
    fn compare_newest(&mut self, labels: &[f64]) {
        let Some(contest) = &mut self.contest else { return };
        let made = forecasts(self.lanes.iter().map(|lane| lane.pending.newest()), 0);
        let baseline = baseline(self.lanes[0].pending.newest(), 0, contest);
        contest.take(0, (&made, baseline), labels);
    }

    pub(super) fn prepare(&mut self) {
        self.lanes.iter_mut().for_each(Lane::prepare);
    }

    /// Why the newest forecast of a key is what it is, as the one that serves tells.
    pub(super) fn explain(&self, plan: &PredictorPlan, horizon: usize, key: KeyId) -> Option<Explanation> {
        let serving = self.serving();
        let (lane, plan) = (self.lanes.get(serving)?, plan.models().nth(serving)?);
        let origin = lane.pending.newest()?;
        if horizon >= plan.horizons.len() || origin.model[horizon].get(key as usize)?.is_nan() {
            return None;
        }
        let additive = lane.explain(plan, horizon, origin, key)?;
        let made = (serving, lane.version(horizon));
        Some(plan.limits.explain(origin.features.end, made, additive))
    }

    /// Sums of errors since the start, in the order horizon, model; those of challengers follow.
    pub(super) fn totals(&self, plan: &PredictorPlan) -> Vec<ScoreTotal> {
        let mut totals = Vec::new();
        for (lane, plan) in self.lanes.iter().zip(plan.models()) {
            for (index, horizon) in plan.horizons.iter().enumerate() {
                // Baselines take every label.
                let refused = [lane.refused(index), 0, 0].into_iter().chain(lane.refused_by_expert(index));
                let weights = [None; 3].into_iter().chain(lane.weights(index).into_iter().map(Some));
                let sums = lane.scores.total(index).iter().zip(refused).zip(weights);
                totals.extend(scored(plan).iter().zip(sums).map(|(model, ((sums, refused), weight))| ScoreTotal {
                    predictor: plan.name.clone(),
                    model: (*model).to_owned(),
                    horizon_micros: horizon.micros,
                    sums: sums.clone(),
                    refused,
                    weight,
                }));
            }
        }
        totals
    }

    /// Sums of errors of the days that are not over, in the same order.
    pub(super) fn open_days(&self, plan: &PredictorPlan) -> Vec<ScoreRow> {
        let mut rows = Vec::new();
        for (lane, plan) in self.lanes.iter().zip(plan.models()) {
            for (index, horizon) in plan.horizons.iter().enumerate() {
                if let Some((day, sums)) = lane.scores.open_day(index) {
                    rows.extend(score_rows(plan, horizon.micros, day, sums));
                }
            }
        }
        rows
    }

    /// Labels of their states that models dropped, with the steps that they are of.
    pub(super) fn dropped<'a>(&'a self, plan: &'a PredictorPlan) -> impl Iterator<Item = (&'a str, u64)> {
        let all = plan.models().zip(&self.lanes).map(|(plan, lane)| (plan.step.as_str(), lane.dropped()));
        all.filter(|(_, labels)| *labels > 0)
    }

    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.lanes.iter_mut().for_each(|lane| lane.snapshot(which, writer));
        if let Some(contest) = &mut self.contest {
            contest.snapshot(which, writer);
        }
    }

    /// Reads the state back into models that have seen nothing.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit the plan.
    pub(super) fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.lanes.iter_mut().try_for_each(|lane| lane.restore(reader))?;
        self.contest.as_mut().map_or(Ok(()), |contest| contest.restore(reader))
    }
}

/// What a challenger has to beat where the champion is silent: the last value; of classes the share of positive ones, for the
/// class that came last is no probability.
fn baseline<'a>(made: Option<&'a Origin>, horizon: usize, contest: &Contest) -> &'a [f64] {
    made.map_or(&[], |origin| if contest.of_classes() { &origin.profile[horizon] } else { &origin.persistence })
}

/// What each model forecast at a horizon, nothing where it had not begun.
fn forecasts<'a>(made: impl Iterator<Item = Option<&'a Origin>>, horizon: usize) -> Vec<&'a [f64]> {
    made.map(|origin| origin.map_or(&[][..], |origin| &origin.model[horizon])).collect()
}
