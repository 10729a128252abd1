//! Whole predictors, of one model or a mixture, and windows for them that are a function of their number alone.

use std::sync::Arc;

use arterial::stages::custom::Fresh;
use arterial::stages::features::FeatureMatrix;
use arterial::stages::predict::online::LinearPredictor;
use arterial::stages::predict::online::linear_predictor::HorizonModel;
use arterial::stages::predict::{
    ExpertSettings, Forecasts, IntervalSettings, Loss, MixParams, MixSettings, ModelFactory, ModelSettings,
    OnlineLinearSettings, Predict, PredictPlan, PredictorSettings, Task,
};
use arterial::stages::window::ClosedWindow;
use arterial::vocab::EventTime;

use super::{
    FEATURES, Labels, class_columns, class_sample, classifier_settings, feature_columns, ftrl, linear, params,
    small_network,
};
use crate::predict_support::{Numbers, SIZE, bits, city_model, settings, try_plan};

/// A predictor and what it may miss.
pub(crate) struct PlanCase {
    pub(crate) name: &'static str,
    pub(crate) labels: Labels,
    pub(crate) settings: PredictorSettings,
    /// Greatest error once a value is always the same.
    pub(crate) constant_within: f64,
}

/// A window, its features and its labels.
pub(crate) struct Input {
    pub(crate) window: ClosedWindow,
    pub(crate) features: FeatureMatrix,
}

impl PlanCase {
    pub(crate) fn plan(&self) -> Arc<PredictPlan> {
        let columns = if self.labels == Labels::Classes { class_columns() } else { feature_columns() };
        Arc::new(try_plan(std::slice::from_ref(&self.settings), &columns).unwrap())
    }

    pub(crate) fn fresh(&self) -> Predict {
        Predict::new(self.plan())
    }

    /// How many windows ahead the first horizon lies.
    pub(crate) fn ahead(&self) -> i64 {
        self.settings.horizons_micros[0] / SIZE
    }

    pub(crate) fn horizons(&self) -> usize {
        self.settings.horizons_micros.len()
    }

    /// A window of some keys. The value of a window ahead follows from the features of this one, with noise.
    pub(crate) fn input(&self, step: i64, keys: usize) -> Input {
        let (features, values) = match self.labels {
            Labels::Quantities => {
                let at = |step: i64| move |key: usize| speed(step, key);
                let row = |key: usize| (0..FEATURES as i64).map(move |lag| at(step - lag)(key));
                let values = (0..keys).flat_map(row).collect();
                let columns = feature_columns();
                let features = FeatureMatrix { end: EventTime(step * SIZE), columns, rows: keys, values };
                (features, (0..keys).map(at(step)).collect())
            }
            Labels::Classes => {
                // From 10 on, for a window before the first is asked for.
                let (features, _) = class_sample(keys, step + 10);
                let labels = class_sample(keys, step + 10 - self.ahead()).1;
                (FeatureMatrix { end: EventTime(step * SIZE), ..features }, labels)
            }
        };
        Input { window: window(step, values), features }
    }
}

/// Numbers of a window and a key; streams have nothing to do with each other.
pub(crate) fn drawn(step: i64, key: usize, stream: u64) -> Numbers {
    let mixed = (step.cast_unsigned() ^ (key as u64) << 32 ^ stream << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Numbers((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
}

/// A road's speed: a wave, and what is left of the last window's noise.
fn speed(step: i64, key: usize) -> f64 {
    let noise = |step: i64| drawn(step, key, 1).normal();
    50.0 + 8.0 * ((step as f64 + 3.0 * key as f64) / 9.0).sin() + noise(step) + 0.5 * noise(step - 1)
}

/// A window of these values.
pub(crate) fn window(step: i64, values: Vec<f64>) -> ClosedWindow {
    let (end, keys) = (EventTime(step * SIZE), values.len());
    ClosedWindow {
        start: end.plus(-SIZE),
        end,
        live: vec![true; keys],
        rows: vec![10; keys],
        imputed: Vec::new(),
        measured_columns: Vec::new(),
        columns: vec![values, vec![100.0; keys]],
        expired: Vec::new(),
    }
}

/// Everything that was forecast, of the model, its bounds and both baselines.
pub(crate) fn all_bits(forecasts: &Forecasts) -> Vec<Vec<u64>> {
    let Forecasts { model, persistence, profile, lower, upper, .. } = forecasts;
    [model, persistence, profile, lower, upper].into_iter().flat_map(|one| bits(one)).collect()
}

fn one(horizon_steps: &[i64], task: Task, model: ModelSettings) -> PredictorSettings {
    let min_history_micros = if task == Task::Regression { 24 * SIZE } else { 0 };
    PredictorSettings { task, model, min_history_micros, ..settings(horizon_steps, city_model()) }
}

fn mixed<const N: usize>(experts: [(&str, ExpertSettings); N]) -> ModelSettings {
    let params = MixParams { rate: 0.03, forgetting: 0.999, floor: 0.02, shared: 0.8 };
    let experts = experts.into_iter().map(|(name, expert)| (name.to_owned(), expert)).collect();
    ModelSettings::Mix(MixSettings { experts, params })
}

/// Least squares as a program would bring them along.
fn custom() -> ExpertSettings {
    let factory = ModelFactory::new(|request| {
        let horizons = request.horizons.len();
        Ok(Fresh::new(move |step: &str| {
            let model = HorizonModel { params: params(&linear(Loss::Squared), 24), columns: (0..FEATURES).collect() };
            Box::new(LinearPredictor::new(step, vec![model; horizons])) as Box<_>
        }))
    });
    ExpertSettings::Custom { name: "squares".to_owned(), settings: serde_json::Map::new(), factory }
}

/// Every kind of model by itself, and mixtures of them.
pub(crate) fn plans() -> Vec<PlanCase> {
    let quantities = |name, model: ModelSettings, constant_within| PlanCase {
        name,
        labels: Labels::Quantities,
        settings: one(&[1, 3], Task::Regression, model),
        constant_within,
    };
    let classes = |name, horizon_steps: &[i64], model: ModelSettings| PlanCase {
        name,
        labels: Labels::Classes,
        settings: one(horizon_steps, Task::Classification, model),
        constant_within: 0.05,
    };
    let last = || ExpertSettings::Feature("speed.lag0".to_owned());
    let least = |loss| ExpertSettings::OnlineLinear(OnlineLinearSettings { loss, ..city_model() });
    let mlp = || ExpertSettings::Mlp(small_network(Loss::Absolute));
    let (logistic, dense) = (|| ExpertSettings::Ftrl(ftrl()), || ExpertSettings::MlpClassifier(classifier_settings()));
    let mix = mixed([("last", last()), ("robust", least(Loss::Huber)), ("network", mlp()), ("ours", custom())]);
    let mut mix = quantities("mixture of quantities", mix, 0.1);
    // Limits that bite now and then, and bounds around what is mixed.
    (mix.settings.minimum, mix.settings.maximum) = (Some(0.0), Some(58.0));
    mix.settings.intervals = Some(IntervalSettings { coverage: 0.9, zone: chrono_tz::UTC });
    let both = || mixed([("network", dense()), ("regression", logistic())]);
    vec![
        quantities("least squares", ModelSettings::One(least(Loss::Squared)), 0.05),
        quantities("network", ModelSettings::One(mlp()), 0.1),
        quantities("the last value", ModelSettings::One(last()), 1e-9),
        quantities("custom", ModelSettings::One(custom()), 0.05),
        mix,
        classes("logistic regression", &[0], ModelSettings::One(logistic())),
        classes("network of classes, a window ahead", &[1], ModelSettings::One(dense())),
        classes("mixture of classes", &[0], both()),
        classes("mixture of classes, a window ahead", &[1], both()),
    ]
}

/// The kinds of models, so that a new one does not compile until it is counted here.
fn kind(expert: &ExpertSettings) -> usize {
    match expert {
        ExpertSettings::OnlineLinear(_) => 0,
        ExpertSettings::Mlp(_) => 1,
        ExpertSettings::Ftrl(_) => 2,
        ExpertSettings::MlpClassifier(_) => 3,
        ExpertSettings::Feature(_) => 4,
        ExpertSettings::Custom { .. } => 5,
    }
}

#[test]
fn every_kind_of_model_is_checked_alone_and_in_a_mixture() {
    let (mut alone, mut in_mixtures) = (vec![], vec![]);
    for case in plans() {
        match &case.settings.model {
            ModelSettings::One(expert) => alone.push(kind(expert)),
            ModelSettings::Mix(mix) => in_mixtures.extend(mix.experts.iter().map(|(_, expert)| kind(expert))),
        }
    }
    for mut kinds in [alone, in_mixtures] {
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, [0, 1, 2, 3, 4, 5]);
    }
}
