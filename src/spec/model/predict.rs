//! `predict:` entries.

use std::collections::BTreeMap;

pub use crate::stages::predict::{ComparedBy, DriftEffect, Loss, ScoreBy, Start, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CustomSpec, FtrlSpec, MlpClassifierSpec, Period, Span};

/// One quantity to forecast. Persistence and the seasonal profile are always scored beside the model.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictSpec {
    /// Window column to forecast.
    pub target: String,
    /// What it is: a quantity, or a class, 1 or 0, of which the probability of 1 is predicted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub task: Task,
    /// Of a classification, the least probability that means 1; 0.5 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub threshold: Option<f64>,
    /// How far ahead: whole multiples of the window's size, ascending. `[0s]`: a classification of the window itself, by
    /// what else is known of it.
    #[schemars(length(min = 1))]
    pub horizons: Vec<Span>,
    /// Feature columns to use; all unless given. `speed_kmh.*` stands for every column made from `speed_kmh`.
    pub features: Option<Vec<String>>,
    /// Complete history before the model starts or, with `start: persistence`, before it learns; in event time. `0s`
    /// starts it at persistence and learns at once.
    #[serde(default)]
    pub min_history: Span,
    /// The model.
    pub model: ModelSpec,
    /// Models that learn, forecast and are scored beside it, each under a name of its own; none of their forecasts leaves
    /// unless it serves. Each takes the time and the state of a model of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub challengers: BTreeMap<String, ModelSpec>,
    /// Whose forecasts leave: the name of a challenger, or of the predictor's own model, which it is unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub champion: Option<String>,
    /// When a challenger takes over by itself; never unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion: Option<PromotionSpec>,
    /// Baselines.
    #[serde(default)]
    pub baselines: BaselinesSpec,
    /// Least forecast; lower ones are held at it.
    pub minimum: Option<f64>,
    /// Greatest forecast; higher ones are held at it.
    pub maximum: Option<f64>,
    /// A lower and an upper bound for each forecast; none unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervals: Option<IntervalsSpec>,
    /// Looks for keys whose errors have risen, tells of them, and lets their models do something about it; not unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftSpec>,
    /// Whether every forecast that leaves says why it is what it is, as alerts do: the share of each feature. It takes time for
    /// each forecast: little for `online_linear`, milliseconds for a network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub explain: bool,
    /// Scores count from this time on (RFC 3339); all unless given.
    pub score_from: Option<String>,
    /// Which time of a forecast `score_from` looks at.
    #[serde(default)]
    pub score_by: ScoreBy,
}

fn is_default(task: &Task) -> bool {
    *task == Task::default()
}

/// Bounds that a declared share of the labels lies between: adaptive conformal, each side for itself, as wide as errors are
/// large just now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IntervalsSpec {
    /// Share of labels inside; half of the others lie on either side.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub coverage: f64,
    /// IANA zone of the time of day, by which errors differ; that of `baselines` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

impl Default for IntervalsSpec {
    fn default() -> Self {
        Self { coverage: 0.9, timezone: None }
    }
}

/// A challenger takes over at the end of a day (UTC) if it was better than the champion over some days, on the labels that both
/// had a forecast for: by the margin in the mean of all horizons, and worse at none. Each partition decides for itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PromotionSpec {
    /// What they are compared by; `mae`, or of a classification `log_loss`, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<ComparedBy>,
    /// The days that they are compared on: the newest that count, four times as far back at most; 366 at most.
    pub over: Span,
    /// How much better it has to be, as a share of the champion's measure.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub margin: f64,
    /// Fewest labels of each horizon. A day counts that has its part of them.
    #[schemars(range(min = 1))]
    pub min_labels: u32,
}

impl Default for PromotionSpec {
    fn default() -> Self {
        Self { by: None, over: Span { micros: 7 * 86_400_000_000 }, margin: 0.02, min_labels: 1000 }
    }
}

/// Drift of the absolute errors of each key at each horizon, measured in those that are usual at that time of the day.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DriftSpec {
    /// What finds it.
    pub detector: DetectorSpec,
    /// What a detection does to the model of its key and horizon. In a mixture the experts that can take it.
    pub effect: DriftEffect,
    /// With `effect: forget`, the forgetting factor for a while, where it is lower than the model's own; 0.98 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub forgetting: Option<f64>,
    /// Labels that it lasts; 300 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub forgetting_labels: Option<u32>,
    /// Labels of a key and horizon from which it is learned what is usual, before its detector begins: some days' worth where
    /// errors differ by the time of the day.
    #[schemars(range(min = 30))]
    pub min_labels: u32,
    /// IANA zone of the time of day; that of `baselines` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

impl Default for DriftSpec {
    fn default() -> Self {
        Self {
            detector: DetectorSpec::Adwin(AdwinSpec::default()),
            effect: DriftEffect::None,
            forgetting: None,
            forgetting_labels: None,
            min_labels: 1000,
            timezone: None,
        }
    }
}

/// What finds that errors have risen.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DetectorSpec {
    /// A window over the newest errors that is cut where their mean changed.
    Adwin(AdwinSpec),
    /// A sum of what errors are above their mean.
    PageHinkley(PageHinkleySpec),
}

/// Adaptive windowing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdwinSpec {
    /// Probability of finding a change where there is none, for errors that do not depend on each other: less finds less, and
    /// later.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub delta: f64,
}

impl Default for AdwinSpec {
    fn default() -> Self {
        Self { delta: 0.002 }
    }
}

/// The Page-Hinkley test, for rises.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PageHinkleySpec {
    /// How far the mean error may rise without being told, in usual errors.
    #[schemars(range(min = 0))]
    pub delta: f64,
    /// How much above that has to add up before a rise is told, in usual errors.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub threshold: f64,
}

impl Default for PageHinkleySpec {
    fn default() -> Self {
        Self { delta: 0.5, threshold: 100.0 }
    }
}

/// The model of a predictor.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelSpec {
    /// Recursive least squares per key and horizon.
    OnlineLinear(OnlineLinearSpec),
    /// One network that all keys of a partition share.
    Mlp(MlpSpec),
    /// Of classes: logistic regression that all keys of a partition share.
    Ftrl(FtrlSpec),
    /// Of classes: a dense network that all keys of a partition share.
    MlpClassifier(MlpClassifierSpec),
    /// Several models, mixed.
    Mix(MixSpec),
    /// A model that the embedding program registered.
    Custom(CustomSpec),
}

/// Several models whose forecasts are mixed: each key and horizon trusts those that have been good.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixSpec {
    /// The models, each with a name of its own, under which it is scored.
    #[schemars(length(min = 2, max = 16))]
    pub experts: BTreeMap<String, ExpertSpec>,
    /// How far weights move by what a label says of the experts.
    #[serde(default = "mix_rate")]
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub rate: f64,
    /// Weight that remains of what a label said after one more: 1 forgets nothing.
    #[serde(default = "mix_forgetting")]
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub forgetting: f64,
    /// Least weight of an expert that has a forecast, so that one which was bad can come back; at most 1 / experts.
    #[serde(default = "mix_floor")]
    #[schemars(range(min = 0, max = 0.5))]
    pub floor: f64,
    /// Part of the evidence that is the mean of all keys of the partition; the rest is the key's own.
    #[serde(default = "mix_shared")]
    #[schemars(range(min = 0, max = 1))]
    pub shared: f64,
}

fn mix_rate() -> f64 {
    0.03
}

fn mix_forgetting() -> f64 {
    0.999
}

fn mix_floor() -> f64 {
    0.02
}

fn mix_shared() -> f64 {
    0.8
}

/// One of the models of a mixture.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpertSpec {
    /// Recursive least squares per key and horizon.
    OnlineLinear(OnlineLinearSpec),
    /// One network that all keys of a partition share.
    Mlp(MlpSpec),
    /// Of classes: logistic regression that all keys of a partition share.
    Ftrl(FtrlSpec),
    /// Of classes: a dense network that all keys of a partition share.
    MlpClassifier(MlpClassifierSpec),
    /// The value of a feature column as it is, as `speed_kmh.lag0` or `speed_kmh.profile`.
    Feature(String),
    /// A model that the embedding program registered.
    Custom(CustomSpec),
}

/// Recursive least squares with exponential forgetting, one model per key and horizon.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnlineLinearSpec {
    /// Feature columns that this model reads, of those of the predictor; all of them unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// Weight that remains of an observation after one more: 1 forgets nothing.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub forgetting: f64,
    /// Loss on the residual.
    pub loss: Loss,
    /// With `loss: huber`, where it turns from squared to absolute: in running mean absolute residuals, of which normal
    /// residuals have 1.25 per standard deviation.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub huber_delta: f64,
    /// What the model is until it has seen `min_history`.
    pub start: Start,
    /// The target, and the features made of values of window columns (`lag`, `difference`, `profile`), are divided by
    /// this, so that the start below is of their size.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale: f64,
    /// Diagonal of the recursion's matrix `P` at the start, for scaled features: how far the first labels move the
    /// weights.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub initial_covariance: f64,
    /// While the sum of the diagonal of `P` is above this, for scaled features, nothing is forgotten; no such bound
    /// unless given. A bound per feature holds in any case.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub trace_max: Option<f64>,
    /// Penalty on the square of the warm start's weights, for scaled features.
    #[schemars(range(min = 0))]
    pub ridge: f64,
    /// Whether the model adds a constant feature.
    pub bias: bool,
}

impl Default for OnlineLinearSpec {
    fn default() -> Self {
        Self {
            features: None,
            forgetting: 0.9995,
            loss: Loss::Squared,
            huber_delta: 3.0,
            start: Start::LeastSquares,
            scale: 1.0,
            initial_covariance: 1.0,
            trace_max: None,
            ridge: 1.0,
            bias: true,
        }
    }
}

/// A multilayer perceptron: one network for all keys of a partition, which learns online from a memory of recent windows.
/// The first `min_history` scales its inputs; it speaks, and learns, after that.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MlpSpec {
    /// Feature columns that this model reads, of those of the predictor; all of them unless given. A missing value is no
    /// hindrance: the network is told that it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// Feature columns in the target's unit that a forecast lies between, but for a learned correction: the target's `lag0`
    /// and `profile` unless given, where they are. Without the first there is no forecast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchors: Option<Vec<String>>,
    /// Hidden units.
    #[schemars(range(min = 1, max = 512))]
    pub width: u32,
    /// Residual blocks.
    #[schemars(range(min = 1, max = 8))]
    pub blocks: u32,
    /// Part of a block's units that an optimiser step leaves out.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout: f64,
    /// Loss on the error in spreads of the target; `huber` turns absolute beyond one spread.
    #[serde(default = "absolute")]
    pub loss: Loss,
    /// IANA zone of the time of day and the day of the week; that of `baselines` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Width of a slot of the day, each with a learned vector; from window to window unless given, but 5 minutes at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<Span>,
    /// Optimiser steps per closed window.
    #[schemars(range(min = 1, max = 1000))]
    pub steps: u32,
    /// Rows of a step.
    #[schemars(range(min = 1, max = 16384))]
    pub batch: u32,
    /// Step size of AdamW.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Part of a weight that a step takes away, in step sizes.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub weight_decay: f64,
    /// Weight that the mean of the weights, which forecasts, keeps when a window is taken in.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub average: f64,
    /// The memory that it learns from.
    pub replay: ReplaySpec,
    /// Seed of the weights, of the rows drawn and of the units left out.
    pub seed: u64,
    /// Folder of trained versions, where `arterial train` puts them; the one that serves is what the network of every partition
    /// starts from. Relative to the pipeline file. While none serves, a network that learns online starts from nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artefact: Option<String>,
    /// Whether it learns from labels as they come; without that it stays as it was trained.
    #[serde(skip_serializing_if = "is_true")]
    pub online: bool,
}

fn is_true(online: &bool) -> bool {
    *online
}

fn absolute() -> Loss {
    Loss::Absolute
}

impl Default for MlpSpec {
    fn default() -> Self {
        Self {
            features: None,
            anchors: None,
            width: 64,
            blocks: 3,
            dropout: 0.1,
            loss: Loss::Absolute,
            timezone: None,
            slot: None,
            steps: 2,
            batch: 512,
            learning_rate: 0.002,
            weight_decay: 0.0001,
            average: 0.995,
            replay: ReplaySpec::default(),
            seed: 1,
            artefact: None,
            online: true,
        }
    }
}

/// Rows of past windows that a network learns from again and again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplaySpec {
    /// Windows that are remembered.
    #[schemars(range(min = 1))]
    pub windows: u32,
    /// Rows of each, drawn at random.
    #[schemars(range(min = 1))]
    pub rows: u32,
    /// Mean age of the windows that a step draws; older ones are drawn less often.
    pub mean_age: Span,
}

impl Default for ReplaySpec {
    fn default() -> Self {
        Self { windows: 4032, rows: 64, mean_age: Span::seconds(7 * 86_400) }
    }
}

/// Baselines of a predictor.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaselinesSpec {
    /// Season of the profile baseline.
    pub period: Period,
    /// Width of a slot of the profile baseline.
    pub slot: Span,
    /// IANA zone whose day and week it is; UTC unless given.
    pub timezone: Option<String>,
    /// Neighbouring slots on either side that a value enters too, with falling weight.
    pub smooth: u32,
    /// Largest weight, in values, of what a slot has seen: with it old values fade. Nothing fades unless given.
    #[schemars(range(min = 1))]
    pub memory: Option<u32>,
    /// A slot with fewer values than this falls back to the time of day, then to the overall mean.
    pub min_values: u32,
}

impl Default for BaselinesSpec {
    fn default() -> Self {
        Self { period: Period::Day, slot: Span::seconds(1800), timezone: None, smooth: 0, memory: None, min_values: 1 }
    }
}
