//! Feature matrices and labels -> forecasts and prequential scores: every forecast is scored before its label is
//! learned, and a label is learned only when its window has closed.
//!
//! | module | what |
//! |---|---|
//! | [`settings`], [`plan`] | what the user wrote, checked: names become indices |
//! | [`labels`] | forecasts and their features wait for the windows that hold their labels |
//! | [`evaluate`], [`classes`] | errors per model, horizon and day; how good probabilities are |
//! | [`online`] | models that learn one label at a time |
//! | `neural` | networks that all keys share (feature `neural`) |
//! | [`mix`] | forecasts of several models in one, by how good each has been |
//! | [`contest`] | which of several models serves |
//! | [`drift`] | keys and horizons whose errors have risen |
//! | [`intervals`] | bounds that a declared share of labels lies between |
//! | [`Observer`] | is shown forecasts and their labels |
//! | [`KeyNames`] | what keys are called, for what is known by name |
//! | `trainable` | networks that can be trained on a history, and plans to measure them (feature `neural`) |
//! | [`baselines`], [`prevalence`] | persistence and the seasonal profile, always on; of classes, the last and the share of ones |
//! | [`explain`] | exact shares of the features in one forecast |
//! | [`Predict`] | the stage: all of the above for one partition |

pub mod baselines;
mod blocks;
pub mod classes;
mod contenders;
pub mod contest;
pub mod custom;
pub mod drift;
mod error;
pub mod evaluate;
mod experts;
pub mod explain;
pub mod feature;
mod forecast;
pub mod intervals;
pub mod labels;
mod lane;
pub mod mix;
mod names;
#[cfg(feature = "neural")]
pub mod neural;
mod observer;
pub mod online;
pub mod plan;
pub mod predictor;
pub mod prevalence;
pub mod settings;
mod stage;
mod task;
#[cfg(feature = "neural")]
pub mod trainable;

pub use super::moments;
pub use classes::ClassSums;
pub use contest::params::{ComparedBy, PromotionSettings};
pub use contest::{Comparison, Promotion};
pub use custom::{ModelFactory, ModelRequest};
pub use drift::DriftDetection;
pub use drift::params::{DetectorSettings, DriftEffect, DriftSettings};
pub use error::PredictError;
pub use evaluate::{Baseline, ErrorSums, IntervalSums, MeanWeight, ScoreTotal, merge_totals};
pub use explain::{AdditiveForecast, Contribution, Explanation};
pub use forecast::{Forecasts, Maker, ScoreRow};
pub use mix::MixParams;
pub use names::{KeyNames, Nameless};
pub use observer::{Observed, Observer};
pub use plan::{Horizon, PredictInput, PredictPlan};
pub use predictor::{OnlinePredictor, Predictor};
pub use settings::{
    ExpertSettings, FtrlSettings, IntervalSettings, Loss, MixSettings, MlpClassifierSettings, MlpSettings,
    ModelSettings, OnlineLinearSettings, PredictorSettings, ProfileSettings, ScoreBy, Start, Task,
};
pub use stage::{Predict, Step};
