//! Choices of the pipeline file about models.

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::contest::params::PromotionSettings;
use super::custom::ModelFactory;
use super::drift::params::DriftSettings;
use super::mix::MixParams;
use crate::stages::features::Period;
use crate::vocab::{EventTime, YamlPath};

/// Loss of a residual.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Squared error: the mean.
    #[default]
    Squared,
    /// Huber's: squared near zero, absolute beyond `huber_delta` running mean absolute residuals.
    Huber,
    /// Absolute error: the median.
    Absolute,
}

/// What a model is until it has seen its `min_history`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Silent; then least squares on what it has seen.
    #[default]
    LeastSquares,
    /// Persistence, which goes on learning from there; what came before is not learned.
    Persistence,
}

/// Which time of a forecast decides whether `score_from` lets it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScoreBy {
    /// When it was made: longer horizons begin to count later.
    #[default]
    Forecast,
    /// When its label came: every horizon counts the same labels.
    Label,
}

/// What a predictor's target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A quantity.
    #[default]
    Regression,
    /// A class, 1 or 0: what is predicted is the probability of 1.
    Classification,
}

/// One predictor as the pipeline file describes it; unchecked, durations in microseconds.
#[derive(Debug, Clone)]
pub struct PredictorSettings {
    /// Where it stands in the pipeline file: `predict.<name>`.
    pub path: YamlPath,
    /// Its name.
    pub name: String,
    /// Window column to forecast.
    pub target: String,
    /// What it is.
    pub task: Task,
    /// Least probability that means 1.
    pub threshold: f64,
    /// How far ahead, ascending.
    pub horizons_micros: Vec<i64>,
    /// Names of feature columns, or prefixes that end in `*`; all columns where `None`.
    pub features: Option<Vec<String>>,
    /// Complete history before the model starts or, from persistence, learns; 0 starts it at persistence at once.
    pub min_history_micros: i64,
    /// The model.
    pub model: ModelSettings,
    /// Models that forecast beside it, by name.
    pub challengers: Vec<(String, ModelSettings)>,
    /// Name of the one that serves; the predictor's own where `None`.
    pub champion: Option<String>,
    /// When a challenger takes over by itself; never where `None`.
    pub promotion: Option<PromotionSettings>,
    /// The seasonal profile that is scored beside it.
    pub profile: ProfileSettings,
    /// Least forecast.
    pub minimum: Option<f64>,
    /// Greatest forecast.
    pub maximum: Option<f64>,
    /// Bounds that a share of the labels lies between; none where `None`.
    pub intervals: Option<IntervalSettings>,
    /// How drift is looked for and what it does; not at all where `None`.
    pub drift: Option<DriftSettings>,
    /// Whether every forecast says why it is what it is.
    pub explain: bool,
    /// Scores count from this time on.
    pub score_from: Option<EventTime>,
    /// Which time of a forecast that is.
    pub score_by: ScoreBy,
}

/// Bounds of forecasts.
#[derive(Debug, Clone, PartialEq)]
pub struct IntervalSettings {
    /// Share of the labels that lie between them.
    pub coverage: f64,
    /// Zone of the time of day.
    pub zone: Tz,
}

/// What forecasts come from.
#[derive(Debug, Clone)]
pub enum ModelSettings {
    /// One model.
    One(ExpertSettings),
    /// Several, mixed.
    Mix(MixSettings),
}

/// Several models whose forecasts are mixed.
#[derive(Debug, Clone)]
pub struct MixSettings {
    /// The models by name.
    pub experts: Vec<(String, ExpertSettings)>,
    /// How weights follow evidence.
    pub params: MixParams,
}

/// One model.
#[derive(Debug, Clone)]
pub enum ExpertSettings {
    /// Recursive least squares per key and horizon.
    OnlineLinear(OnlineLinearSettings),
    /// One network that all keys of a partition share.
    Mlp(MlpSettings),
    /// Logistic regression, one for all keys of a partition.
    Ftrl(FtrlSettings),
    /// A dense network of classes, one for all keys of a partition.
    MlpClassifier(MlpClassifierSettings),
    /// A feature column, as it is.
    Feature(String),
    /// A model of the embedding program.
    Custom {
        /// Its registered name.
        name: String,
        /// Its settings.
        settings: Map<String, Value>,
        /// What makes it.
        factory: ModelFactory,
    },
}

impl ExpertSettings {
    /// The model's key in the pipeline file; of one that the embedding program registered, its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::OnlineLinear(_) => "online_linear",
            Self::Mlp(_) => "mlp",
            Self::Ftrl(_) => "ftrl",
            Self::MlpClassifier(_) => "mlp_classifier",
            Self::Feature(_) => "feature",
            Self::Custom { name, .. } => name,
        }
    }
}

/// Recursive least squares with exponential forgetting, one model per key and horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct OnlineLinearSettings {
    /// Names of feature columns of the predictor, or prefixes that end in `*`; all of them where `None`.
    pub features: Option<Vec<String>>,
    /// Weight that remains of an observation after one more, in (0, 1].
    pub forgetting: f64,
    /// Loss on the residual.
    pub loss: Loss,
    /// The target, and the features in units of a window column, are divided by this.
    pub scale: f64,
    /// Diagonal of `P` at the start, for scaled features.
    pub initial_covariance: f64,
    /// Penalty on the square of the warm start's weights, for scaled features.
    pub ridge: f64,
    /// Whether the model adds a constant feature, as its last weight.
    pub bias: bool,
    /// What the model is until it has seen its history.
    pub start: Start,
    /// Where Huber's loss turns absolute, in running mean absolute residuals.
    pub huber_delta: f64,
    /// Sum of the diagonal of `P`, for scaled features, above which nothing is forgotten.
    pub trace_max: Option<f64>,
}

/// Logistic regression by follow the regularised leader, proximal.
#[derive(Debug, Clone, PartialEq)]
pub struct FtrlSettings {
    /// Names of feature columns of the predictor, or prefixes that end in `*`; all of them where `None`.
    pub features: Option<Vec<String>>,
    /// Step size of the first labels.
    pub alpha: f64,
    /// What holds the first steps back.
    pub beta: f64,
    /// Penalty on the size of weights.
    pub l1: f64,
    /// Penalty on their square.
    pub l2: f64,
}

/// A dense network of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpClassifierSettings {
    /// Names of feature columns of the predictor, or prefixes that end in `*`; all of them where `None`.
    pub features: Option<Vec<String>>,
    /// Units of each hidden layer.
    pub hidden: Vec<u32>,
    /// Part of the hidden units that a step leaves out.
    pub dropout: f64,
    /// Labels whose features scale the inputs; until they have come, the share of positive ones is predicted.
    pub min_labels: u32,
    /// Optimiser steps per closed window with labels.
    pub steps: u32,
    /// Rows of a step.
    pub batch: u32,
    /// Step size.
    pub learning_rate: f64,
    /// Part of a weight that a step takes away, in step sizes.
    pub weight_decay: f64,
    /// Weight that the mean of the weights keeps when a window is taken in.
    pub average: f64,
    /// Labelled rows remembered.
    pub replay_rows: u32,
    /// Seed.
    pub seed: u64,
    /// Whether it learns from labels.
    pub online: bool,
    /// A trained network that it starts from.
    #[cfg(feature = "neural")]
    pub pretrained: Option<std::sync::Arc<super::neural::fit::Pretrained>>,
}

/// A multilayer perceptron that learns online from a memory of recent windows.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpSettings {
    /// Names of feature columns of the predictor, or prefixes that end in `*`; all of them where `None`.
    pub features: Option<Vec<String>>,
    /// Names of feature columns that a forecast lies between; the target's `lag0` and `profile` where `None`.
    pub anchors: Option<Vec<String>>,
    /// Hidden units.
    pub width: u32,
    /// Residual blocks.
    pub blocks: u32,
    /// Part of a block's units that a step leaves out.
    pub dropout: f64,
    /// Loss on the error in spreads of the target.
    pub loss: Loss,
    /// Zone of the time of day and the day of the week.
    pub zone: Tz,
    /// Width of a slot of the day; that of a window, but 5 minutes at least, where `None`.
    pub slot_micros: Option<i64>,
    /// Optimiser steps per closed window.
    pub steps: u32,
    /// Rows of a step.
    pub batch: u32,
    /// Step size.
    pub learning_rate: f64,
    /// Part of a weight that a step takes away, in step sizes.
    pub weight_decay: f64,
    /// Weight that the mean of the weights keeps when a window is taken in.
    pub average: f64,
    /// Windows remembered.
    pub replay_windows: u32,
    /// Rows remembered of each.
    pub replay_rows: u32,
    /// Mean age of the windows that a step draws.
    pub replay_age_micros: i64,
    /// Seed.
    pub seed: u64,
    /// What it starts from, and whether it learns.
    #[cfg(feature = "neural")]
    pub start: super::neural::MlpStart,
}

/// The seasonal profile baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileSettings {
    /// Season.
    pub period: Period,
    /// Width of a slot.
    pub slot_micros: i64,
    /// Zone whose day and week it is.
    pub zone: Tz,
    /// Neighbouring slots on either side that a value enters.
    pub smooth: u32,
    /// Largest weight of what a slot has seen.
    pub memory: Option<u32>,
    /// Fewest values for a slot to be believed.
    pub min_values: u32,
}
