//! Settings of a predictor's model, or of the experts that it mixes -> [`ExpertPlan`]s: columns by index, everything checked.

use super::custom::ModelRequest;
use super::error::PredictError;
use super::mix::{EXPERTS_MAX, MixParams};
use super::online::linear_predictor::HorizonModel;
use super::online::{FtrlParams, OnlineLinearError, OnlineLinearParams};
use super::plan::{Horizon, MIX, PERSISTENCE, PROFILE, Problem, matching, seconds};
use super::predictor::OnlinePredictor;
use super::settings::{ExpertSettings, MixSettings, ModelSettings, OnlineLinearSettings, PredictorSettings, Task};
use crate::stages::custom::{CustomSettings, Fresh};
use crate::stages::expression::did_you_mean;
use crate::stages::features::FeatureColumn;
use crate::vocab::{At, YamlPath};

/// A model, checked.
#[derive(Debug, Clone)]
pub(super) struct ExpertPlan {
    /// Its name in scores.
    pub(super) name: String,
    /// How the names of its state's steps begin.
    pub(super) step: String,
    pub(super) model: ModelPlan,
}

/// What kind of model, with what it needs.
#[derive(Debug, Clone)]
pub(super) enum ModelPlan {
    /// Per horizon; columns are indices into those used.
    OnlineLinear(Vec<HorizonModel>),
    /// A network, and what the columns are that it reads.
    #[cfg(feature = "neural")]
    Mlp(super::neural::MlpParams, Vec<FeatureColumn>),
    /// Columns of each horizon, likewise.
    Ftrl(FtrlParams, Vec<Vec<usize>>),
    /// The same, and what they are.
    #[cfg(feature = "neural")]
    MlpClassifier(super::neural::MlpClassifierParams, Vec<Vec<(usize, FeatureColumn)>>),
    /// A column per horizon, likewise.
    Feature(Vec<usize>),
    /// A model of the embedding program.
    Custom { name: String, fresh: Fresh<dyn OnlinePredictor> },
}

impl ModelPlan {
    /// The trained version that it starts from.
    pub(super) fn trained_version(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "neural")]
            Self::MlpClassifier(params, _) => params.pretrained.as_ref().map(|pretrained| pretrained.version.as_str()),
            #[cfg(feature = "neural")]
            Self::Mlp(params, _) => params.start.pretrained.as_ref().map(|pretrained| pretrained.version.as_str()),
            _ => None,
        }
    }
}

/// What models are planned for.
pub(super) struct Scope<'a> {
    pub(super) settings: &'a PredictorSettings,
    pub(super) horizons: &'a [Horizon],
    /// Columns of the feature matrix that the predictor uses, and what they are.
    pub(super) columns: &'a [FeatureColumn],
    /// Time between windows, microseconds.
    #[cfg_attr(not(feature = "neural"), expect(dead_code, reason = "networks alone need it"))]
    pub(super) every_micros: i64,
    /// Complete rows before a model starts.
    pub(super) history: usize,
}

/// The models of a predictor, or of its challenger, from the settings at `place`; names of their state's steps begin with
/// `step`. And how they are mixed where there are several; `None` after problems were noted.
pub(super) fn plan_experts(
    scope: &Scope<'_>,
    (model, step): (&ModelSettings, &str),
    place: &YamlPath,
    problems: &mut Vec<Problem>,
) -> Option<(Vec<ExpertPlan>, Option<MixParams>)> {
    match model {
        ModelSettings::One(model) => {
            let name = model.name();
            let model = plan_model(scope, model, place, problems)?;
            Some((vec![ExpertPlan { name: name.to_owned(), step: step.to_owned(), model }], None))
        }
        ModelSettings::Mix(mix) => {
            let before = problems.len();
            let place = place.key("mix");
            check_mix(mix, &place, problems);
            let mut experts = Vec::new();
            for (name, expert) in &mix.experts {
                let place = place.key("experts").key(name);
                if [PERSISTENCE, PROFILE, MIX].contains(&name.as_str()) {
                    let error = PredictError::ExpertName { name: name.clone() };
                    problems.push(At { path: place.clone(), error, hint: None });
                }
                let model = plan_model(scope, expert, &place, problems);
                let step = format!("{step}.experts.{name}");
                experts.extend(model.map(|model| ExpertPlan { name: name.clone(), step, model }));
            }
            (problems.len() == before).then_some((experts, Some(mix.params)))
        }
    }
}

fn check_mix(mix: &MixSettings, place: &YamlPath, problems: &mut Vec<Problem>) {
    let experts = mix.experts.len();
    if !(2..=EXPERTS_MAX).contains(&experts) {
        let error = PredictError::Experts { experts, max: EXPERTS_MAX };
        problems.push(At { path: place.key("experts"), error, hint: None });
    }
    let MixParams { rate, forgetting, floor, shared } = mix.params;
    let floor_max = 1.0 / experts.max(1) as f64;
    let bounds = [
        ("rate", rate, rate > 0.0 && rate <= 10.0, "a number above 0, at most 10".to_owned()),
        ("forgetting", forgetting, forgetting > 0.0 && forgetting <= 1.0, "a number above 0, at most 1".to_owned()),
        ("floor", floor, (0.0..=floor_max).contains(&floor), format!("0 to 1 / {experts} experts")),
        ("shared", shared, (0.0..=1.0).contains(&shared), "0 to 1".to_owned()),
    ];
    for (name, value, fine, allowed) in bounds {
        if !fine {
            problems.push(At { path: place.key(name), error: PredictError::Mix { name, value, allowed }, hint: None });
        }
    }
}

fn plan_model(
    scope: &Scope<'_>,
    model: &ExpertSettings,
    place: &YamlPath,
    problems: &mut Vec<Problem>,
) -> Option<ModelPlan> {
    if let Some(error) = refuse_task(scope.settings.task, model) {
        let hint = Some(match scope.settings.task {
            Task::Classification => "classes have `ftrl` and `mlp_classifier`".to_owned(),
            Task::Regression => "`task: classification` has probabilities of a target that is 0 or 1".to_owned(),
        });
        problems.push(At { path: place.clone(), error, hint });
        return None;
    }
    match model {
        ExpertSettings::OnlineLinear(linear) => {
            plan_linear(scope, linear, &place.key("online_linear"), problems).map(ModelPlan::OnlineLinear)
        }
        #[cfg(feature = "neural")]
        ExpertSettings::Mlp(mlp) => plan_mlp(scope, mlp, &place.key("mlp"), problems),
        #[cfg(not(feature = "neural"))]
        ExpertSettings::Mlp(_) => not_built("mlp", place, problems),
        ExpertSettings::Ftrl(ftrl) => {
            let place = place.key("ftrl");
            let columns = serving_each(scope, ftrl.features.as_ref(), &place, problems)?;
            let params = FtrlParams::new(ftrl).map_err(|error| note(error, &place, problems)).ok()?;
            Some(ModelPlan::Ftrl(params, columns))
        }
        #[cfg(feature = "neural")]
        ExpertSettings::MlpClassifier(network) => {
            let place = place.key("mlp_classifier");
            let columns = serving_each(scope, network.features.as_ref(), &place, problems)?;
            let params = super::neural::MlpClassifierParams::new(network);
            let params = params.map_err(|error| note(error, &place, problems)).ok()?;
            check_pretrained(scope, (network, &params), &columns)
                .map_err(|error| note(error, &place, problems))
                .ok()?;
            let named = |column: &usize| (*column, scope.columns[*column].clone());
            let columns = columns.iter().map(|columns| columns.iter().map(named).collect()).collect();
            Some(ModelPlan::MlpClassifier(params, columns))
        }
        #[cfg(not(feature = "neural"))]
        ExpertSettings::MlpClassifier(_) => not_built("mlp_classifier", place, problems),
        ExpertSettings::Feature(column) => {
            plan_feature(scope, column, &place.key("feature"), problems).map(ModelPlan::Feature)
        }
        ExpertSettings::Custom { name, settings, factory } => {
            let request = ModelRequest {
                predictor: &scope.settings.name,
                target: &scope.settings.target,
                horizons: scope.horizons,
                columns: scope.columns,
                settings: CustomSettings(settings),
            };
            let fresh = factory.prepare(&request).map_err(|refusal| {
                let place = place.key("custom").key("settings");
                let path = refusal.key.as_ref().map_or_else(|| place.clone(), |key| place.key(key));
                let hint = refusal.hint.clone();
                problems.push(At { path, error: PredictError::Custom { name: name.clone(), refusal }, hint });
            });
            Some(ModelPlan::Custom { name: name.clone(), fresh: fresh.ok()? })
        }
    }
}

/// Why a model of this kind cannot do this task.
fn refuse_task(task: Task, model: &ExpertSettings) -> Option<PredictError> {
    let (classes, quantities) = match model {
        ExpertSettings::Ftrl(_) | ExpertSettings::MlpClassifier(_) => (true, false),
        ExpertSettings::OnlineLinear(_) | ExpertSettings::Mlp(_) => (false, true),
        ExpertSettings::Feature(_) | ExpertSettings::Custom { .. } => (true, true),
    };
    let (able, task) = match task {
        Task::Regression => (quantities, "regression"),
        Task::Classification => (classes, "classification"),
    };
    (!able).then(|| PredictError::ModelTask { model: model.name().to_owned(), task })
}

/// Whether a network of classes has, or will have, learned what it is asked.
#[cfg(feature = "neural")]
fn check_pretrained(
    scope: &Scope<'_>,
    (settings, params): (&super::settings::MlpClassifierSettings, &super::neural::MlpClassifierParams),
    columns: &[Vec<usize>],
) -> Result<(), PredictError> {
    match (&settings.pretrained, columns) {
        (None, _) => Ok(()),
        (Some(_), [columns]) => {
            let names: Vec<String> = columns.iter().map(|&column| scope.columns[column].name.clone()).collect();
            params.check_columns(&names)
        }
        (Some(_), _) => Err(PredictError::PretrainedHorizons { horizons: columns.len() }),
    }
}

#[cfg(not(feature = "neural"))]
fn not_built(model: &'static str, place: &YamlPath, problems: &mut Vec<Problem>) -> Option<ModelPlan> {
    let hint = Some("build it with the feature `neural`, which is on unless switched off".to_owned());
    problems.push(At { path: place.key(model), error: PredictError::NotBuilt { model }, hint });
    None
}

/// Notes a problem with a setting of a classifier or with a trained network, at its own place.
fn note(error: PredictError, place: &YamlPath, problems: &mut Vec<Problem>) {
    let path = match &error {
        PredictError::Classifier { name, .. } => name.split('.').fold(place.clone(), |path, key| path.key(key)),
        _ => place.clone(),
    };
    let hint = match &error {
        PredictError::Pretrained { .. } => {
            Some("train it again with `arterial train`, or give the predictor what it was trained with".to_owned())
        }
        _ => None,
    };
    problems.push(At { path, error, hint });
}

/// The columns that a model with a list of `features` reads for each horizon; `None` after problems were noted.
fn serving_each(
    scope: &Scope<'_>,
    features: Option<&Vec<String>>,
    place: &YamlPath,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Vec<usize>>> {
    let before = problems.len();
    let selected = features.map(|patterns| matching(patterns, scope.columns, &place.key("features"), problems));
    if problems.len() > before {
        return None;
    }
    let mut all = Vec::new();
    for horizon in scope.horizons {
        let chosen = |&column: &usize| selected.as_ref().is_none_or(|selected| selected[column]);
        let serving = |&column: &usize| scope.columns[column].serves(horizon.steps);
        let columns: Vec<usize> = (0..scope.columns.len()).filter(chosen).filter(serving).collect();
        if columns.is_empty() {
            let error = PredictError::NoFeatures { horizon_s: seconds(horizon.micros) };
            let path = if features.is_some() { place.key("features") } else { scope.settings.path.key("features") };
            problems.push(At { path, error, hint: None });
        }
        all.push(columns);
    }
    (problems.len() == before).then_some(all)
}

/// The column of this name that serves each horizon.
fn serving(scope: &Scope<'_>, name: &str) -> Option<Vec<usize>> {
    let of = |horizon: &Horizon| {
        let wanted = |column: &FeatureColumn| column.name == name && column.serves(horizon.steps);
        scope.columns.iter().position(wanted)
    };
    scope.horizons.iter().map(of).collect()
}

fn plan_feature(scope: &Scope<'_>, name: &str, path: &YamlPath, problems: &mut Vec<Problem>) -> Option<Vec<usize>> {
    let columns = serving(scope, name);
    if columns.is_none() {
        let hint = did_you_mean(name, scope.columns.iter().map(|column| column.name.as_str()));
        let error = PredictError::UnknownFeature { pattern: name.to_owned() };
        problems.push(At { path: path.clone(), error, hint });
    }
    columns
}

#[cfg(feature = "neural")]
fn plan_mlp(
    scope: &Scope<'_>,
    mlp: &super::settings::MlpSettings,
    place: &YamlPath,
    problems: &mut Vec<Problem>,
) -> Option<ModelPlan> {
    use super::neural::params::{MlpParams, MlpScope};
    let before = problems.len();
    let every = || vec![true; scope.columns.len()];
    let path = place.key("features");
    let read = mlp.features.as_ref().map_or_else(every, |patterns| matching(patterns, scope.columns, &path, problems));
    let usual = ["lag0", "profile"].map(|kind| format!("{}.{kind}", scope.settings.target));
    let mut anchors = vec![Vec::new(); scope.horizons.len()];
    for (index, name) in mlp.anchors.as_deref().unwrap_or(&usual).iter().enumerate() {
        let found = serving(scope, name).filter(|columns| columns.iter().all(|&column| read[column]));
        match found {
            Some(columns) => anchors.iter_mut().zip(columns).for_each(|(anchors, column)| anchors.push(column)),
            None if mlp.anchors.is_none() => {}
            None => {
                let error = PredictError::UnknownFeature { pattern: name.clone() };
                let hint = Some("an anchor is a column that the network reads, for every horizon".to_owned());
                problems.push(At { path: place.key("anchors").index(index), error, hint });
            }
        }
    }
    let columns: Vec<usize> = (0..scope.columns.len()).filter(|&column| read[column]).collect();
    let position = |column: usize| columns.iter().position(|&read| read == column);
    let anchors =
        anchors.iter().map(|anchors| anchors.iter().filter_map(|&column| position(column)).collect()).collect();
    let read: Vec<FeatureColumn> = columns.iter().map(|&column| scope.columns[column].clone()).collect();
    let horizons_micros = scope.horizons.iter().map(|horizon| horizon.micros).collect();
    let own = MlpScope { columns, anchors, horizons_micros, every_micros: scope.every_micros, history: scope.history };
    match MlpParams::new(mlp, own) {
        Ok(params) => {
            let different = params.start.pretrained.as_ref().filter(|_| problems.len() == before);
            if let Some((one, difference)) = different.and_then(|one| Some((one, one.difference(&params, &read)?))) {
                note(PredictError::Pretrained { version: one.version.clone(), difference }, place, problems);
            }
            (problems.len() == before).then_some(ModelPlan::Mlp(params, read))
        }
        Err(error) => {
            let path = error.setting().split('.').fold(place.clone(), |path, key| path.key(key));
            problems.push(At { path, error: error.into(), hint: None });
            None
        }
    }
}

/// A model per horizon, or `None` after the problems were noted.
fn plan_linear(
    scope: &Scope<'_>,
    linear: &OnlineLinearSettings,
    place: &YamlPath,
    problems: &mut Vec<Problem>,
) -> Option<Vec<HorizonModel>> {
    let before = problems.len();
    let mut models = Vec::new();
    for columns in serving_each(scope, linear.features.as_ref(), place, problems)? {
        match horizon_model(scope, linear, columns) {
            Ok(model) => models.push(model),
            Err(error) => {
                // The horizons differ in their columns alone: one report says it.
                problems.push(model_problem(scope, place, error));
                break;
            }
        }
    }
    (problems.len() == before).then_some(models)
}

fn horizon_model(
    scope: &Scope<'_>,
    settings: &OnlineLinearSettings,
    columns: Vec<usize>,
) -> Result<HorizonModel, OnlineLinearError> {
    let scale = |&column: &usize| if scope.columns[column].unitless() { 1.0 } else { settings.scale };
    let scales = columns.iter().map(scale).collect();
    let newest = format!("{}.lag0", scope.settings.target);
    let persistence = columns.iter().position(|&column| scope.columns[column].name == newest);
    let params = OnlineLinearParams::new(settings, scales, persistence, scope.history)?;
    Ok(HorizonModel { params, columns })
}

fn model_problem(scope: &Scope<'_>, model: &YamlPath, error: OnlineLinearError) -> Problem {
    let predictor = &scope.settings.path;
    let (path, hint) = match &error {
        OnlineLinearError::Forgetting(_) => (model.key("forgetting"), None),
        OnlineLinearError::NotPositive { name, .. } => (model.key(*name), None),
        OnlineLinearError::Ridge(_) => (model.key("ridge"), None),
        OnlineLinearError::NoPersistence => {
            let hint = "add `lags` of the target to `features`, or give `min_history` and `start: least_squares`";
            (predictor.key("min_history"), Some(hint.to_owned()))
        }
        _ => (predictor.key("features"), None),
    };
    At { path, error: error.into(), hint }
}
