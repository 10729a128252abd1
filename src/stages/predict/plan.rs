//! Settings of predictors, window columns and feature columns -> [`PredictPlan`]: everything checked, names turned
//! into indices. All problems at once. No data.

use std::sync::Arc;

use super::contest::ContestPlan;
use super::contest::plan::plan_contest;
use super::drift::params::DriftParams;
use super::drift::plan::plan_drift;
use super::drift::step_of;
use super::error::PredictError;
use super::experts::{ExpertPlan, Scope, plan_experts};
use super::explain::Limits;
use super::forecast::Maker;
use super::intervals::IntervalParams;
use super::labels::HORIZON_STEPS_MAX;
use super::mix::MixParams;
use super::observer::Observer;
use super::settings::{IntervalSettings, PredictorSettings, ProfileSettings, ScoreBy, Task};
use super::task::{plan_threshold, refuse_own_label};
use crate::stages::expression::did_you_mean;
use crate::stages::features::{FeatureColumn, ProfilePlan};
use crate::vocab::{At, EventTime, YamlPath};

/// Most pairs that a model gathers before it starts: nine weeks of five-minute windows.
const HISTORY_MAX: i64 = 20_000;

/// What the stages before offer.
#[derive(Debug, Clone, Copy)]
pub struct PredictInput<'a> {
    /// Names of the closed windows' columns, in order.
    pub window_columns: &'a [String],
    /// How many of them, from the first, are measured; the rest are carried along.
    pub measured: usize,
    /// Length of a window, microseconds.
    pub size_micros: i64,
    /// Time between windows, microseconds.
    pub every_micros: i64,
    /// Fewest rows for a window to give a label.
    pub min_count: u32,
    /// Columns of the feature matrices, in order.
    pub feature_columns: &'a [FeatureColumn],
}

/// Predictors of a pipeline, checked; shared by all partitions.
#[derive(Debug, Clone)]
pub struct PredictPlan {
    pub(super) predictors: Vec<PredictorPlan>,
    pub(super) every_micros: i64,
    pub(super) min_count: u32,
}

/// One predictor, checked.
#[derive(Debug, Clone)]
pub struct PredictorPlan {
    pub(super) name: String,
    /// How the names of its state's steps begin.
    pub(super) step: String,
    /// The step of its drift detectors.
    pub(super) drift_step: String,
    /// Its name where it is a predictor's challenger.
    pub(super) challenger: Option<String>,
    /// Its own challengers.
    pub(super) challengers: Vec<PredictorPlan>,
    /// What becomes of them; `None` without challengers.
    pub(super) contest: Option<ContestPlan>,
    pub(super) target: usize,
    pub(super) horizons: Vec<Horizon>,
    /// Columns of the feature matrix that any horizon uses, ascending.
    pub(super) used: Vec<usize>,
    /// The same as columns of the matrices that wait for labels.
    pub(super) columns: Arc<[FeatureColumn]>,
    /// One model, or those that `mix` mixes.
    pub(super) experts: Vec<ExpertPlan>,
    pub(super) mix: Option<MixParams>,
    pub(super) limits: Limits,
    /// Of a classifier, the least probability that means 1.
    pub(super) threshold: Option<f64>,
    pub(super) intervals: Option<IntervalParams>,
    pub(super) drift: Option<DriftParams>,
    pub(super) observer: Option<Observer>,
    /// Whether every forecast says why it is what it is.
    pub(super) explain: bool,
    pub(super) score_from: EventTime,
    pub(super) score_by: ScoreBy,
    pub(super) profile: ProfilePlan,
}

/// Names of the baselines in scores.
pub(super) const PERSISTENCE: &str = "persistence";
pub(super) const PROFILE: &str = "profile";
/// Name of a mixture in scores.
pub(super) const MIX: &str = "mix";

impl PredictorPlan {
    /// Whether the windows themselves are predicted, not later ones.
    pub(super) fn same_window(&self) -> bool {
        self.horizons.iter().any(|horizon| horizon.steps == 0)
    }

    /// Itself, then its challengers, as they are numbered.
    pub(super) fn models(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.challengers)
    }

    /// The same, to be changed.
    fn models_mut(&mut self, mut change: impl FnMut(&mut Self)) {
        self.challengers.iter_mut().for_each(&mut change);
        change(self);
    }

    /// The name of what makes the forecasts, in scores.
    pub(super) fn model_name(&self) -> &str {
        if let Some(challenger) = &self.challenger {
            return challenger;
        }
        match self.experts.as_slice() {
            [model] if self.mix.is_none() => &model.name,
            _ => MIX,
        }
    }
}

/// One horizon of a predictor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Microseconds.
    pub micros: i64,
    /// Window steps.
    pub steps: u32,
}

pub(super) type Problem = At<PredictError>;

impl PredictPlan {
    /// Checks all predictors.
    ///
    /// # Errors
    /// Every problem with its place; correct them in the pipeline file.
    pub fn new(settings: &[PredictorSettings], input: &PredictInput<'_>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut predictors: Vec<PredictorPlan> = Vec::new();
        for predictor in settings {
            if predictors.iter().any(|other| other.name == predictor.name) {
                let error = PredictError::Duplicate { name: predictor.name.clone() };
                problems.push(At { path: predictor.path.clone(), error, hint: None });
            }
            predictors.extend(plan_predictor(predictor, input, &mut problems));
        }
        let (every_micros, min_count) = (input.every_micros, input.min_count);
        if problems.is_empty() { Ok(Self { predictors, every_micros, min_count }) } else { Err(problems) }
    }

    /// The plan with scores that count from another time on.
    #[must_use]
    pub fn with_score_from(&self, from: EventTime) -> Self {
        let mut plan = self.clone();
        plan.predictors.iter_mut().for_each(|predictor| predictor.models_mut(|model| model.score_from = from));
        plan
    }

    /// The plan with forecasts that say nothing of why they are what they are.
    #[must_use]
    pub fn unexplained(&self) -> Self {
        let mut plan = self.clone();
        plan.predictors.iter_mut().for_each(|predictor| predictor.models_mut(|model| model.explain = false));
        plan
    }

    /// The plan with someone who is shown all forecasts and their labels.
    #[must_use]
    pub fn with_observer(&self, observer: &Observer) -> Self {
        let mut plan = self.clone();
        let shown = |model: &mut PredictorPlan| model.observer = Some(observer.clone());
        plan.predictors.iter_mut().for_each(|predictor| predictor.models_mut(shown));
        plan
    }

    /// Number of predictors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.predictors.len()
    }

    /// Whether there are no predictors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.predictors.is_empty()
    }

    /// Index of the predictor of this name, as in [`super::Forecasts::predictor`].
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.predictors.iter().position(|predictor| predictor.name == name)
    }

    /// Who makes a predictor's forecasts where this one of its models serves, as in [`super::Forecasts::made_by`].
    #[must_use]
    pub fn maker(&self, predictor: usize, made_by: usize) -> Maker<'_> {
        let own = &self.predictors[predictor];
        let model = made_by.checked_sub(1).map_or(own, |challenger| &own.challengers[challenger]);
        Maker {
            predictor: &own.name,
            challenger: model.challenger.as_deref(),
            trained: model.experts.iter().filter_map(|expert| expert.model.trained_version()).collect(),
        }
    }

    /// What a predictor's models are compared by, and over how many days a challenger has to be better to take over; `None`
    /// without challengers.
    #[must_use]
    pub fn contest(&self, predictor: usize) -> Option<&ContestPlan> {
        self.predictors[predictor].contest.as_ref()
    }

    /// Whether every forecast of a predictor is to say why it is what it is.
    #[must_use]
    pub fn explains(&self, predictor: usize) -> bool {
        self.predictors[predictor].explain
    }

    /// A predictor's name.
    #[must_use]
    pub fn name(&self, predictor: usize) -> &str {
        &self.predictors[predictor].name
    }

    /// The window column that a predictor forecasts, as an index.
    #[must_use]
    pub fn target(&self, predictor: usize) -> usize {
        self.predictors[predictor].target
    }

    /// How a predictor's drift is looked for; `None` where it is not.
    #[must_use]
    pub fn drift(&self, predictor: usize) -> Option<&DriftParams> {
        self.predictors[predictor].drift.as_ref()
    }

    /// A predictor's horizons, in the order of [`super::Forecasts::model`].
    #[must_use]
    pub fn horizons(&self, predictor: usize) -> &[Horizon] {
        &self.predictors[predictor].horizons
    }
}

fn plan_predictor(
    settings: &PredictorSettings,
    input: &PredictInput<'_>,
    problems: &mut Vec<Problem>,
) -> Option<PredictorPlan> {
    let before = problems.len();
    let target = plan_target(settings, input, problems);
    let horizons = plan_horizons(settings, input, problems);
    let selected = select_features(settings, input, problems);
    let history = plan_history(settings, input, problems);
    let limits = plan_limits(settings, problems);
    let threshold = plan_threshold(settings, problems);
    let profile = plan_profile(settings, problems);
    let intervals = plan_intervals(settings, problems);
    if problems.len() > before {
        return None;
    }
    let used = used_columns(&selected, &horizons, input);
    if horizons.iter().any(|horizon| horizon.steps == 0) {
        refuse_own_label(settings, &used, input, problems);
    }
    let columns: Arc<[FeatureColumn]> = used.iter().map(|&column| input.feature_columns[column].clone()).collect();
    let every_micros = input.every_micros;
    let scope = Scope { settings, horizons: &horizons, columns: &columns, every_micros, history };
    let step = format!("predict.{}", settings.name);
    let (experts, mix) = plan_experts(&scope, (&settings.model, &step), &settings.path.key("model"), problems)?;
    let drift = plan_drift(settings, &experts, problems);
    if problems.len() > before {
        return None;
    }
    let mut own = PredictorPlan {
        name: settings.name.clone(),
        step,
        drift_step: step_of(&settings.name),
        challenger: None,
        challengers: Vec::new(),
        contest: None,
        target: target?,
        columns: Arc::clone(&columns),
        horizons: horizons.clone(),
        used,
        experts,
        mix,
        limits,
        threshold,
        intervals,
        drift,
        observer: None,
        explain: settings.explain,
        score_from: settings.score_from.unwrap_or(EventTime::MIN),
        score_by: settings.score_by,
        profile,
    };
    plan_contest(&scope, &mut own, problems);
    (problems.len() == before).then_some(own)
}

fn plan_target(settings: &PredictorSettings, input: &PredictInput<'_>, problems: &mut Vec<Problem>) -> Option<usize> {
    let target = settings.target.clone();
    let path = settings.path.key("target");
    let measured = &input.window_columns[..input.measured];
    match input.window_columns.iter().position(|column| *column == target) {
        Some(column) if column < input.measured => Some(column),
        Some(_) => {
            let hint = Some("name a column under `window.columns`".to_owned());
            problems.push(At { path, error: PredictError::CarriedTarget { target }, hint });
            None
        }
        None => {
            let hint = did_you_mean(&target, measured.iter().map(String::as_str));
            problems.push(At { path, error: PredictError::UnknownTarget { target }, hint });
            None
        }
    }
}

fn plan_horizons(settings: &PredictorSettings, input: &PredictInput<'_>, problems: &mut Vec<Problem>) -> Vec<Horizon> {
    let path = settings.path.key("horizons");
    let every = input.every_micros;
    let mut horizons: Vec<Horizon> = Vec::new();
    if settings.horizons_micros.is_empty() {
        problems.push(At { path: path.clone(), error: PredictError::NoHorizons, hint: None });
    }
    for (index, &micros) in settings.horizons_micros.iter().enumerate() {
        let horizon_s = seconds(micros);
        let mut report = |error| problems.push(At { path: path.index(index), error, hint: None });
        let steps = micros / every;
        if micros == 0 && settings.task == Task::Classification {
            horizons.push(Horizon { micros, steps: 0 });
        } else if micros == 0 {
            report(PredictError::HorizonNow);
        } else if horizons.iter().any(|horizon| horizon.steps == 0) {
            report(PredictError::HorizonsMixed);
        } else if micros < 0 || micros % every != 0 {
            report(PredictError::HorizonMultiple { horizon_s, every_s: seconds(every) });
        } else if micros < input.size_micros {
            report(PredictError::HorizonShort { horizon_s, size_s: seconds(input.size_micros) });
        } else if steps > i64::from(HORIZON_STEPS_MAX) {
            report(PredictError::HorizonTooFar { steps, max: HORIZON_STEPS_MAX });
        } else if horizons.last().is_some_and(|last| last.micros >= micros) {
            report(PredictError::HorizonOrder { horizon_s });
        } else {
            // Between 1 and HORIZON_STEPS_MAX.
            horizons.push(Horizon { micros, steps: steps as u32 });
        }
    }
    horizons
}

/// Which feature columns the patterns name.
fn select_features(settings: &PredictorSettings, input: &PredictInput<'_>, problems: &mut Vec<Problem>) -> Vec<bool> {
    let Some(patterns) = &settings.features else {
        return vec![true; input.feature_columns.len()];
    };
    matching(patterns, input.feature_columns, &settings.path.key("features"), problems)
}

/// Which columns a list of names and prefixes names; names of none are problems.
pub(super) fn matching(
    patterns: &[String],
    columns: &[FeatureColumn],
    path: &YamlPath,
    problems: &mut Vec<Problem>,
) -> Vec<bool> {
    let mut selected = vec![false; columns.len()];
    for (index, pattern) in patterns.iter().enumerate() {
        let mut found = false;
        for (column, chosen) in columns.iter().zip(&mut selected) {
            let matches = match pattern.strip_suffix('*') {
                Some(prefix) => column.name.starts_with(prefix),
                None => column.name == *pattern,
            };
            *chosen |= matches;
            found |= matches;
        }
        if !found {
            let hint = did_you_mean(pattern, columns.iter().map(|column| column.name.as_str()));
            let path = path.index(index);
            problems.push(At { path, error: PredictError::UnknownFeature { pattern: pattern.clone() }, hint });
        }
    }
    selected
}

fn plan_history(settings: &PredictorSettings, input: &PredictInput<'_>, problems: &mut Vec<Problem>) -> usize {
    let (history, every) = (settings.min_history_micros, input.every_micros);
    let windows = history.div_euclid(every) + i64::from(history.rem_euclid(every) > 0);
    if (0..=HISTORY_MAX).contains(&windows) {
        return windows as usize;
    }
    let error = PredictError::History { windows, max: HISTORY_MAX };
    problems.push(At { path: settings.path.key("min_history"), error, hint: None });
    0
}

fn plan_limits(settings: &PredictorSettings, problems: &mut Vec<Problem>) -> Limits {
    let (least, greatest) = match settings.task {
        Task::Regression => (f64::NEG_INFINITY, f64::INFINITY),
        Task::Classification => (0.0, 1.0),
    };
    let minimum = settings.minimum.unwrap_or(least).max(least);
    let maximum = settings.maximum.unwrap_or(greatest).min(greatest);
    if minimum.is_nan() || maximum.is_nan() || minimum >= maximum {
        let path = settings.path.key(if settings.minimum.is_some() { "minimum" } else { "maximum" });
        problems.push(At { path, error: PredictError::Limits { minimum, maximum }, hint: None });
    }
    Limits { minimum, maximum }
}

fn plan_intervals(settings: &PredictorSettings, problems: &mut Vec<Problem>) -> Option<IntervalParams> {
    let IntervalSettings { coverage, zone } = settings.intervals.clone()?;
    if !(coverage > 0.0 && coverage < 1.0) {
        let path = settings.path.key("intervals").key("coverage");
        problems.push(At { path, error: PredictError::Coverage { coverage }, hint: None });
    }
    Some(IntervalParams { coverage, zone })
}

fn plan_profile(settings: &PredictorSettings, problems: &mut Vec<Problem>) -> ProfilePlan {
    let ProfileSettings { period, slot_micros, zone, smooth, memory, min_values } = settings.profile;
    let step = format!("predict.{}.profile", settings.name);
    let plan = ProfilePlan { step, period, slot_micros, min_values, smooth, memory, zone };
    if let Err(error) = plan.check() {
        let path = settings.path.key("baselines").key("slot");
        problems.push(At { path, error: error.into(), hint: None });
    }
    plan
}

/// Selected columns that serve at least one horizon, ascending.
fn used_columns(selected: &[bool], horizons: &[Horizon], input: &PredictInput<'_>) -> Vec<usize> {
    let serves = |column: &FeatureColumn| horizons.iter().any(|horizon| column.serves(horizon.steps));
    (0..selected.len()).filter(|&column| selected[column] && serves(&input.feature_columns[column])).collect()
}

pub(super) fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}
