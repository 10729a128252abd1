//! One predictor of one partition at work: its model, or the experts that are mixed, its baselines, what waits for labels,
//! and its scores.

use std::sync::Arc;

use super::baselines::Baselines;
use super::custom::GuardedModel;
use super::drift::params::DriftEffect;
use super::drift::{Drift, DriftDetection, Turn};
use super::evaluate::{MeanWeight, Scored, Scores};
use super::experts::ModelPlan;
use super::explain::AdditiveForecast;
use super::feature::FeaturePredictor;
use super::forecast::{Forecasts, ScoreRow};
use super::intervals::Intervals;
use super::labels::{Origin, Pending};
use super::mix::Mix;
use super::names::KeyNames;
use super::observer::Observed;
use super::online::{FtrlPredictor, LinearPredictor};
use super::plan::PredictorPlan;
use super::predictor::OnlinePredictor;
use super::prevalence::Prevalence;
use super::settings::ScoreBy;
use super::stage::score_rows;
use crate::stages::features::FeatureMatrix;
use crate::stages::window::ClosedWindow;
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

pub(super) struct Lane {
    /// One, or those that `mix` mixes.
    experts: Vec<Box<dyn OnlinePredictor>>,
    mix: Option<Mix>,
    intervals: Option<Intervals>,
    drift: Option<Drift>,
    baselines: Beaten,
    pub(super) pending: Pending,
    pub(super) scores: Scores,
    scores_step: String,
    scores_changed: bool,
}

/// What the model has to beat.
enum Beaten {
    /// By a forecast: of each key, the last value and the profile.
    Series(Baselines),
    /// By a class of the same window.
    Classes(Prevalence),
}

impl Lane {
    /// A predictor that has seen nothing yet. State goes to steps named `<step>.<part>`.
    pub(super) fn new(plan: &PredictorPlan, every_micros: i64) -> Self {
        let step = plan.step.clone();
        let horizons = plan.horizons.len();
        let longest = plan.horizons.iter().map(|horizon| horizon.steps).max().unwrap_or(1);
        let series = || Beaten::Series(Baselines::new(&step, plan.profile.clone()));
        let mixed = if plan.mix.is_some() { plan.experts.len() } else { 0 };
        let columns = Arc::clone(&plan.columns);
        let waiting = format!("{step}.pending");
        Self {
            experts: plan.experts.iter().map(|expert| fresh(&expert.model, &expert.step)).collect(),
            mix: plan.mix.map(|params| Mix::new(&step, params, (mixed, horizons), plan.threshold.is_some())),
            intervals: plan.intervals.map(|params| Intervals::new(&step, params, horizons)),
            drift: plan.drift.map(|params| Drift::new(plan.drift_step.clone(), params, horizons)),
            baselines: if plan.same_window() { Beaten::Classes(Prevalence::new(&step)) } else { series() },
            pending: Pending::new(waiting, every_micros, longest, (horizons, mixed, plan.intervals.is_some()), columns),
            scores: Scores::new(horizons, mixed, plan.threshold.is_some()),
            scores_step: format!("{step}.scores"),
            scores_changed: false,
        }
    }

    pub(super) fn grow(&mut self, keys: usize, names: &dyn KeyNames) {
        for expert in &mut self.experts {
            expert.grow(keys);
            expert.meet_keys(names);
        }
        if let Some(mix) = &mut self.mix {
            mix.grow(keys);
        }
        if let Some(intervals) = &mut self.intervals {
            intervals.grow(keys);
        }
        if let Some(drift) = &mut self.drift {
            drift.grow(keys);
        }
    }

    /// Does ahead what the next forecasts need.
    pub(super) fn prepare(&mut self) {
        self.experts.iter_mut().for_each(|expert| expert.prepare());
    }

    pub(super) fn forget(&mut self, keys: &[KeyId]) {
        self.experts.iter_mut().for_each(|expert| expert.forget(keys));
        if let Some(mix) = &mut self.mix {
            mix.forget(keys);
        }
        if let Some(intervals) = &mut self.intervals {
            intervals.forget(keys);
        }
        if let Some(drift) = &mut self.drift {
            drift.forget(keys);
        }
        if let Beaten::Series(baselines) = &mut self.baselines {
            baselines.forget(keys);
        }
        self.pending.forget(keys);
    }

    /// Labels learned so far at a horizon, by all experts and keys together.
    pub(super) fn version(&self, horizon: usize) -> u64 {
        self.experts.iter().map(|expert| expert.version(horizon)).sum()
    }

    /// The weight of each expert at a horizon; nothing where none are mixed.
    pub(super) fn weights(&self, horizon: usize) -> Vec<MeanWeight> {
        let Some(mix) = &self.mix else { return Vec::new() };
        let (sums, keys) = mix.weight_sums(horizon);
        sums[..self.experts.len()].iter().map(|sum| MeanWeight { sum: *sum, keys }).collect()
    }

    /// Labels refused so far at a horizon by each of the experts that are mixed.
    pub(super) fn refused_by_expert(&self, horizon: usize) -> impl Iterator<Item = u64> {
        self.experts.iter().filter(|_| self.mix.is_some()).map(move |expert| expert.refused(horizon))
    }

    /// The same by all of them together.
    pub(super) fn refused(&self, horizon: usize) -> u64 {
        self.scores.unclassed() + self.experts.iter().map(|expert| expert.refused(horizon)).sum::<u64>()
    }

    /// Takes a window whose labels are of forecasts that were made before it: scores those, looks for drift of their errors,
    /// learns their rows, and makes the next forecasts. They are `shown` to an observer where this is the model that serves.
    pub(super) fn step(
        &mut self,
        (plan, shown): (&PredictorPlan, bool),
        (window, features, names): (&ClosedWindow, &FeatureMatrix, &dyn KeyNames),
        labels: &[f64],
        (rows, drifts): (&mut Vec<ScoreRow>, &mut Vec<DriftDetection>),
    ) -> Origin {
        for (index, horizon) in plan.horizons.iter().enumerate() {
            let made_at = window.end.plus(-horizon.micros);
            self.advance(plan, index, made_at, rows);
            let Some(origin) = self.pending.at(made_at) else { continue };
            score((plan, shown), (&mut self.scores, index), origin, window.end, (labels, names));
            if let Some(mix) = &mut self.mix {
                mix.learn(index, &origin.experts[index], labels);
            }
            if let (Some(intervals), Some(bounds)) = (&mut self.intervals, origin.bounds.get(index)) {
                intervals.learn(index, window.end, &origin.model[index], bounds, labels);
            }
            if let Some(drift) = &mut self.drift {
                mind_drift(drift, &mut self.experts, (index, window.end), &origin.model[index], labels, drifts);
            }
            for expert in &mut self.experts {
                expert.learn_many(index, &origin.features, labels);
            }
        }
        if let Beaten::Series(baselines) = &mut self.baselines {
            baselines.observe_many(window.end, &window.columns[plan.target]);
        }
        self.forecast(plan, window, features)
    }

    /// Takes a window whose labels are of itself: learns those of the window before, predicts, and only then looks at the
    /// labels. They are learned with the next window, so that what explains a prediction is the model that made it.
    pub(super) fn step_same_window(
        &mut self,
        (plan, shown): (&PredictorPlan, bool),
        (window, features, names): (&ClosedWindow, &FeatureMatrix, &dyn KeyNames),
        labels: Vec<f64>,
        (rows, drifts): (&mut Vec<ScoreRow>, &mut Vec<DriftDetection>),
    ) -> Origin {
        if let Some(origin) = self.pending.newest() {
            if let Some(mix) = &mut self.mix {
                mix.learn(0, &origin.experts[0], &origin.labels);
            }
            for expert in &mut self.experts {
                expert.learn_many(0, &origin.features, &origin.labels);
            }
        }
        let mut origin = self.forecast(plan, window, features);
        self.advance(plan, 0, window.end, rows);
        score((plan, shown), (&mut self.scores, 0), &origin, window.end, (&labels, names));
        if let Some(drift) = &mut self.drift {
            mind_drift(drift, &mut self.experts, (0, window.end), &origin.model[0], &labels, drifts);
        }
        if let Beaten::Classes(prevalence) = &mut self.baselines {
            prevalence.observe_many(&labels);
        }
        origin.labels = labels;
        origin
    }

    /// Ends the day of a horizon's scores where forecasts made at `made_at` are of the next.
    fn advance(&mut self, plan: &PredictorPlan, horizon: usize, made_at: EventTime, rows: &mut Vec<ScoreRow>) {
        if let Some((day, sums)) = self.scores.advance(horizon, made_at) {
            rows.extend(score_rows(plan, plan.horizons[horizon].micros, day, &sums));
        }
        self.scores_changed = true;
    }

    /// A window's labels: `[key]`, NaN where there is none; of a classifier, none but 0 and 1.
    pub(super) fn labels(&mut self, plan: &PredictorPlan, window: &ClosedWindow, min_count: u32) -> Vec<f64> {
        let mut labels: Vec<f64> =
            (0..window.key_count()).map(|key| window.label(plan.target, key as KeyId, min_count)).collect();
        if plan.threshold.is_some() {
            for label in labels.iter_mut().filter(|label| label.is_finite() && **label != 0.0 && **label != 1.0) {
                *label = f64::NAN;
                self.scores.note_unclassed();
                self.scores_changed = true;
            }
        }
        labels
    }

    /// Makes the forecasts of a window; keys without a row get none.
    fn forecast(&self, plan: &PredictorPlan, window: &ClosedWindow, features: &FeatureMatrix) -> Origin {
        let features = used(plan, features);
        let keys = window.key_count();
        let mut origin = Origin {
            model: Vec::with_capacity(plan.horizons.len()),
            experts: Vec::with_capacity(plan.horizons.len()),
            persistence: match &self.baselines {
                Beaten::Series(baselines) => baselines.persistence().to_vec(),
                Beaten::Classes(prevalence) => vec![prevalence.newest(); keys],
            },
            profile: Vec::with_capacity(plan.horizons.len()),
            bounds: Vec::new(),
            labels: Vec::new(),
            features,
        };
        blank_dead(&window.live, &mut origin.persistence);
        let mut by_expert = self.models(plan, &origin.features, &window.live);
        for (index, horizon) in plan.horizons.iter().enumerate() {
            let made = by_expert.iter_mut().map(|horizons| std::mem::take(&mut horizons[index])).collect();
            let (model, experts) = self.mixed(plan, index, made);
            let target = window.end.plus(horizon.micros);
            let mut profile = match &self.baselines {
                Beaten::Series(baselines) => baselines.profile(target),
                Beaten::Classes(prevalence) => vec![prevalence.share(); keys],
            };
            blank_dead(&window.live, &mut profile);
            if let Some(intervals) = &self.intervals {
                let made = [model.as_slice(), &origin.persistence, &profile];
                origin.bounds.push(intervals.bounds(index, target, made, |bound| plan.limits.hold(bound)));
            }
            origin.model.push(model);
            origin.experts.push(experts);
            origin.profile.push(profile);
        }
        origin
    }

    /// The forecasts of every model, held at the limits: `[expert][horizon][key]`.
    fn models(&self, plan: &PredictorPlan, features: &FeatureMatrix, live: &[bool]) -> Vec<Vec<Vec<f64>>> {
        let made = self.experts.iter().map(|expert| {
            let mut horizons = vec![vec![f64::NAN; live.len()]; plan.horizons.len()];
            expert.predict_many(features, &mut horizons);
            for forecasts in &mut horizons {
                forecasts.iter_mut().for_each(|forecast| *forecast = plan.limits.hold(*forecast));
                blank_dead(live, forecasts);
            }
            horizons
        });
        made.collect()
    }

    /// The forecasts of the one model, or of the mixture and the experts that it mixes: `made[expert][key]`.
    fn mixed(&self, plan: &PredictorPlan, horizon: usize, mut made: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
        let Some(mix) = &self.mix else { return (made.swap_remove(0), Vec::new()) };
        let mut mixed = vec![f64::NAN; made.first().map_or(0, Vec::len)];
        mix.blend(horizon, &made, &mut mixed);
        // Rounding may lead just over a limit.
        mixed.iter_mut().for_each(|forecast| *forecast = plan.limits.hold(*forecast));
        (mixed, made)
    }

    /// Exact additive shares of the newest forecast of a key, before it is held at a limit as a whole.
    pub(super) fn explain(
        &self,
        plan: &PredictorPlan,
        horizon: usize,
        origin: &Origin,
        key: KeyId,
    ) -> Option<AdditiveForecast> {
        let Some(mix) = &self.mix else { return self.experts[0].explain(horizon, &origin.features, key) };
        let experts = &origin.experts[horizon];
        let awake = |expert: usize| experts[expert].get(key as usize).is_some_and(|forecast| forecast.is_finite());
        let weights = mix.weights(horizon, key as usize, awake);
        let mut mixed = AdditiveForecast { baseline: 0.0, forecast: 0.0, contributions: Vec::new() };
        for (index, expert) in self.experts.iter().enumerate().filter(|(index, _)| awake(*index)) {
            let additive = expert.explain(horizon, &origin.features, key)?;
            // As it went into the mixture.
            mixed.add(weights[index], plan.limits.hold_additive(additive));
        }
        Some(mixed)
    }

    /// Labels of its state that its models dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.experts.iter().map(|expert| expert.dropped()).sum()
    }

    /// Writes the state.
    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.experts.iter_mut().for_each(|expert| expert.snapshot(which, writer));
        if let Some(mix) = &mut self.mix {
            mix.snapshot(which, writer);
        }
        if let Some(intervals) = &mut self.intervals {
            intervals.snapshot(which, writer);
        }
        if let Some(drift) = &mut self.drift {
            drift.snapshot(which, writer);
        }
        match &mut self.baselines {
            Beaten::Series(baselines) => baselines.snapshot(which, writer),
            Beaten::Classes(prevalence) => prevalence.snapshot(which, writer),
        }
        self.pending.snapshot(which, writer);
        // Sums that hold nothing yet are no state: a full snapshot has what the changes added up to.
        if !self.scores.is_new() && (which == Snapshot::Full || self.scores_changed) {
            writer.put(&self.scores_step, 0, to_block(&self.scores));
        }
        self.scores_changed &= which == Snapshot::Full;
    }

    /// Reads the state back into a predictor that has seen nothing.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit the plan.
    pub(super) fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for expert in &mut self.experts {
            expert.restore(reader)?;
        }
        if let Some(mix) = &mut self.mix {
            mix.restore(reader)?;
        }
        if let Some(intervals) = &mut self.intervals {
            intervals.restore(reader)?;
        }
        if let Some(drift) = &mut self.drift {
            drift.restore(reader)?;
            let forgetting = Some(drift.params().forgetting);
            drift.hastened().for_each(|(horizon, key)| hasten(&mut self.experts, horizon, key, forgetting));
        }
        match &mut self.baselines {
            Beaten::Series(baselines) => baselines.restore(reader)?,
            Beaten::Classes(prevalence) => prevalence.restore(reader)?,
        }
        self.pending.restore(reader)?;
        for (block, bytes) in reader.blocks(&self.scores_step) {
            let scores: Scores = from_block(&self.scores_step, block, bytes)?;
            if !scores.fits(&self.scores) {
                let reason = "its horizons or models are not this plan's".to_owned();
                return Err(StateError { step: self.scores_step.clone(), block, reason });
            }
            self.scores = scores;
        }
        Ok(())
    }

    /// What leaves of the newest window, with the baselines of `own`; whose it is, the caller knows.
    pub(super) fn emitted(&self, own: &Origin) -> Option<Forecasts> {
        let origin = self.pending.newest()?;
        let horizons = origin.model.len();
        Some(Forecasts {
            end: origin.features.end,
            predictor: 0,
            made_by: 0,
            model: origin.model.clone(),
            persistence: vec![own.persistence.clone(); horizons],
            profile: own.profile.clone(),
            lower: origin.bounds.iter().map(|bounds| bounds.lower.clone()).collect(),
            upper: origin.bounds.iter().map(|bounds| bounds.upper.clone()).collect(),
            version: (0..horizons).map(|horizon| self.version(horizon)).collect(),
        })
    }
}

/// Scores the forecasts of an origin for the window that ended at `target`, and where its model serves shows them to whoever
/// observes.
fn score(
    (plan, shown): (&PredictorPlan, bool),
    (scores, horizon): (&mut Scores, usize),
    origin: &Origin,
    target: EventTime,
    (labels, names): (&[f64], &dyn KeyNames),
) {
    let counted_at = match plan.score_by {
        ScoreBy::Forecast => origin.features.end,
        ScoreBy::Label => target,
    };
    let counted = counted_at >= plan.score_from;
    if let Some(observer) = plan.observer.as_ref().filter(|_| shown) {
        observer.show(&Observed {
            predictor: &plan.name,
            horizon_micros: plan.horizons[horizon].micros,
            target,
            counted,
            forecasts: &origin.model[horizon],
            persistence: &origin.persistence,
            profile: &origin.profile[horizon],
            bounds: origin.bounds.get(horizon),
            limits: plan.limits,
            features: &origin.features,
            labels,
            names,
        });
    }
    if counted {
        let forecasts = Scored {
            model: &origin.model[horizon],
            persistence: &origin.persistence,
            profile: &origin.profile[horizon],
            experts: &origin.experts[horizon],
            bounds: origin.bounds.get(horizon).zip(plan.intervals.map(|params| params.coverage)),
            threshold: plan.threshold,
        };
        scores.score(horizon, forecasts, labels);
    }
}

/// Tells of errors that rose, and lets every model that can take the effect; which predictor it is, the caller knows.
fn mind_drift(
    drift: &mut Drift,
    experts: &mut [Box<dyn OnlinePredictor>],
    (horizon, at): (usize, EventTime),
    forecasts: &[f64],
    labels: &[f64],
    drifts: &mut Vec<DriftDetection>,
) {
    let params = *drift.params();
    drift.watch(horizon, at, forecasts, labels, |key, turn| match (turn, params.effect) {
        (Turn::Recovered, _) => hasten(experts, horizon, key, None),
        (Turn::Drifted(shift), effect) => {
            let version = experts.iter().map(|expert| expert.version(horizon)).sum();
            drifts.push(DriftDetection { predictor: 0, model: 0, horizon, key, at, shift, version });
            match effect {
                DriftEffect::None => {}
                DriftEffect::Forget => hasten(experts, horizon, key, Some(params.forgetting)),
                DriftEffect::Rewarm => {
                    let able = experts.iter_mut().filter(|expert| expert.supports(effect));
                    able.for_each(|expert| expert.rewarm(horizon, key));
                }
            }
        }
    });
}

fn hasten(experts: &mut [Box<dyn OnlinePredictor>], horizon: usize, key: KeyId, forgetting: Option<f64>) {
    let able = experts.iter_mut().filter(|expert| expert.supports(DriftEffect::Forget));
    able.for_each(|expert| expert.hasten(horizon, key, forgetting));
}

/// A model that has learned nothing yet.
pub(super) fn fresh(plan: &ModelPlan, step: &str) -> Box<dyn OnlinePredictor> {
    match plan {
        ModelPlan::OnlineLinear(models) => Box::new(LinearPredictor::new(step, models.clone())),
        #[cfg(feature = "neural")]
        ModelPlan::Mlp(params, columns) => {
            Box::new(super::neural::MlpPredictor::new(step, params.clone(), columns.clone()))
        }
        ModelPlan::Ftrl(params, columns) => Box::new(FtrlPredictor::new(step, *params, columns.clone())),
        #[cfg(feature = "neural")]
        ModelPlan::MlpClassifier(params, columns) => {
            Box::new(super::neural::MlpClassifier::new(step, params.clone(), columns.clone()))
        }
        ModelPlan::Feature(columns) => Box::new(FeaturePredictor::new(step, columns.clone())),
        ModelPlan::Custom { name, fresh } => Box::new(GuardedModel::new(name, step, fresh)),
    }
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
