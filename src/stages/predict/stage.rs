//! Closed windows with their features, in order -> forecasts, scores and learned models of one partition. Never
//! reads a clock; a window's own label is the last thing it may be used for before the next forecast is made.
//!
//! *Invariant.* At window `t`: forecasts made for `t` are scored, then their rows are learned with `t`'s values, then
//! the forecasts of `t` are made. A row waits for each horizon's label exactly once, and windows come in ascending
//! order, so no row is learned twice and no value is seen before its time.

use std::sync::Arc;

use super::baselines::Baselines;
use super::custom::GuardedModel;
use super::evaluate::{ErrorSums, SCORED, ScoreTotal, Scored, Scores, score_row};
use super::explain::Explanation;
use super::forecast::{Forecasts, ScoreRow};
use super::labels::{Origin, Pending};
use super::online::LinearPredictor;
use super::plan::{ModelPlan, PredictPlan, PredictorPlan};
use super::predictor::OnlinePredictor;
use super::settings::ScoreBy;
use crate::stages::features::FeatureMatrix;
use crate::stages::window::ClosedWindow;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Names of a predictor's model and of the baselines in scores, in the order they are summed.
fn models(plan: &PredictorPlan) -> [&str; SCORED] {
    [plan.model.name(), "persistence", "profile"]
}

/// What one closed window gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Forecasts made at the window, one entry per predictor.
    pub forecasts: Vec<Forecasts>,
    /// Sums of the days that ended.
    pub scores: Vec<ScoreRow>,
}

/// All predictors of one partition.
pub struct Predict {
    plan: Arc<PredictPlan>,
    lanes: Vec<Lane>,
}

/// One predictor at work.
struct Lane {
    model: Box<dyn OnlinePredictor>,
    baselines: Baselines,
    pending: Pending,
    scores: Scores,
    scores_step: String,
    scores_changed: bool,
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
            let labels = labels(window, plan.target, self.plan.min_count);
            lane.model.grow(window.key_count());
            lane.score_and_learn(plan, window, &labels, &mut step.scores);
            lane.baselines.observe_many(window.end, &window.columns[plan.target]);
            let origin = lane.forecast(plan, window, features);
            step.forecasts.push(lane.emitted(index, &origin));
            lane.pending.push(origin);
            if !window.expired.is_empty() {
                lane.model.forget(&window.expired);
                lane.baselines.forget(&window.expired);
                lane.pending.forget(&window.expired);
            }
        }
        step
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
        let additive = lane.model.explain(horizon, &origin.features, key)?;
        Some(plan.limits.explain(origin.features.end, lane.model.version(horizon), additive))
    }

    /// Sums of errors since the start, the open days included, in the order predictor, horizon, model.
    #[must_use]
    pub fn totals(&self) -> Vec<ScoreTotal> {
        let mut totals = Vec::new();
        for (lane, plan) in self.lanes.iter().zip(&self.plan.predictors) {
            for (index, horizon) in plan.horizons.iter().enumerate() {
                // Baselines take every label.
                let refused = [lane.model.refused(index), 0, 0];
                let sums = lane.scores.total(index).iter().zip(refused);
                totals.extend(models(plan).iter().zip(sums).map(|(model, (&sums, refused))| ScoreTotal {
                    predictor: plan.name.clone(),
                    model: (*model).to_owned(),
                    horizon_micros: horizon.micros,
                    sums,
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
            lane.model.snapshot(which, writer);
            lane.baselines.snapshot(which, writer);
            lane.pending.snapshot(which, writer);
            // Sums that hold nothing yet are no state: a full snapshot has what the changes added up to.
            if !lane.scores.is_new() && (which == Snapshot::Full || lane.scores_changed) {
                writer.put(&lane.scores_step, 0, to_block(&lane.scores));
            }
            lane.scores_changed &= which == Snapshot::Full;
        }
    }

    /// Reads the state back into a stage that has seen nothing.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit the plan.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for lane in &mut self.lanes {
            lane.model.restore(reader)?;
            lane.baselines.restore(reader)?;
            lane.pending.restore(reader)?;
            for (block, bytes) in reader.blocks(&lane.scores_step) {
                let scores: Scores = from_block(&lane.scores_step, block, bytes)?;
                if scores.horizons() != lane.scores.horizons() {
                    let reason = format!("{} horizons, not this plan's", scores.horizons());
                    return Err(StateError { step: lane.scores_step.clone(), block, reason });
                }
                lane.scores = scores;
            }
        }
        Ok(())
    }
}

impl Lane {
    fn new(plan: &PredictorPlan, every_micros: i64) -> Self {
        let step = format!("predict.{}", plan.name);
        let horizons = plan.horizons.len();
        let longest = plan.horizons.iter().map(|horizon| horizon.steps).max().unwrap_or(1);
        let columns = Arc::clone(&plan.columns);
        Self {
            model: match &plan.model {
                ModelPlan::OnlineLinear(models) => Box::new(LinearPredictor::new(&step, models.clone())),
                ModelPlan::Custom { name, fresh } => Box::new(GuardedModel::new(name, &step, fresh)),
            },
            baselines: Baselines::new(&step, plan.profile.clone()),
            pending: Pending::new(format!("{step}.pending"), every_micros, longest, horizons, columns),
            scores: Scores::new(horizons),
            scores_step: format!("{step}.scores"),
            scores_changed: false,
        }
    }

    /// Scores the forecasts that were made for this window, then lets the model learn their rows.
    fn score_and_learn(
        &mut self,
        plan: &PredictorPlan,
        window: &ClosedWindow,
        labels: &[f64],
        rows: &mut Vec<ScoreRow>,
    ) {
        for (index, horizon) in plan.horizons.iter().enumerate() {
            let made_at = window.end.plus(-horizon.micros);
            if let Some((day, sums)) = self.scores.advance(index, made_at) {
                rows.extend(score_rows(plan, horizon.micros, day, &sums));
            }
            self.scores_changed = true;
            let Some(origin) = self.pending.at(made_at) else { continue };
            let counted_at = match plan.score_by {
                ScoreBy::Forecast => made_at,
                ScoreBy::Label => window.end,
            };
            if counted_at >= plan.score_from {
                let forecasts = Scored {
                    model: &origin.model[index],
                    persistence: &origin.persistence,
                    profile: &origin.profile[index],
                };
                self.scores.score(index, forecasts, labels);
            }
            self.model.learn_many(index, &origin.features, labels);
        }
    }

    /// Makes the forecasts of a window; keys without a row get none.
    fn forecast(&self, plan: &PredictorPlan, window: &ClosedWindow, features: &FeatureMatrix) -> Origin {
        let features = used(plan, features);
        let mut origin = Origin {
            model: Vec::with_capacity(plan.horizons.len()),
            persistence: self.baselines.persistence().to_vec(),
            profile: Vec::with_capacity(plan.horizons.len()),
            features,
        };
        blank_dead(&window.live, &mut origin.persistence);
        for (index, horizon) in plan.horizons.iter().enumerate() {
            let mut model = vec![f64::NAN; window.key_count()];
            self.model.predict_many(index, &origin.features, &mut model);
            for forecast in &mut model {
                *forecast = plan.limits.hold(*forecast);
            }
            let mut profile = self.baselines.profile(window.end.plus(horizon.micros));
            blank_dead(&window.live, &mut model);
            blank_dead(&window.live, &mut profile);
            origin.model.push(model);
            origin.profile.push(profile);
        }
        origin
    }

    fn emitted(&self, predictor: usize, origin: &Origin) -> Forecasts {
        let horizons = origin.model.len();
        Forecasts {
            end: origin.features.end,
            predictor,
            model: origin.model.clone(),
            persistence: vec![origin.persistence.clone(); horizons],
            profile: origin.profile.clone(),
            version: (0..horizons).map(|horizon| self.model.version(horizon)).collect(),
        }
    }
}

/// A day's sums at one horizon, a row per model.
fn score_rows(
    plan: &PredictorPlan,
    horizon: i64,
    day: i32,
    sums: &[ErrorSums; SCORED],
) -> impl Iterator<Item = ScoreRow> {
    models(plan).into_iter().zip(sums).map(move |(model, sums)| score_row(&plan.name, model, horizon, day, sums))
}

/// The target's values that count as measured: `[key]`, NaN elsewhere.
fn labels(window: &ClosedWindow, target: usize, min_count: u32) -> Vec<f64> {
    (0..window.key_count()).map(|key| window.label(target, key as KeyId, min_count)).collect()
}

/// The columns that a predictor uses, of every key.
fn used(plan: &PredictorPlan, features: &FeatureMatrix) -> FeatureMatrix {
    let mut values = Vec::with_capacity(features.rows * plan.used.len());
    for key in 0..features.rows {
        let row = features.row(key as KeyId);
        values.extend(plan.used.iter().map(|&column| row[column]));
    }
    FeatureMatrix { end: features.end, columns: Arc::clone(&plan.columns), rows: features.rows, values }
}

fn blank_dead(live: &[bool], forecasts: &mut [f64]) {
    for (forecast, _) in forecasts.iter_mut().zip(live).filter(|(_, live)| !**live) {
        *forecast = f64::NAN;
    }
}
