//! Feature matrices and labels -> forecasts and prequential scores: every forecast is scored before its label is
//! learned, and a label is learned only when its window has closed.
//!
//! | module | what |
//! |---|---|
//! | [`settings`], [`plan`] | what the user wrote, checked: names become indices |
//! | [`labels`] | forecasts and their features wait for the windows that hold their labels |
//! | [`evaluate`] | errors per model, horizon and day |
//! | [`online`] | models that learn one label at a time |
//! | `neural` | networks that all keys share (feature `neural`) |
//! | [`mix`] | forecasts of several models in one, by how good each has been |
//! | [`intervals`] | bounds that a declared share of labels lies between |
//! | [`Observer`] | is shown forecasts and their labels |
//! | [`baselines`] | persistence and the seasonal profile, always on |
//! | [`explain`] | exact shares of the features in one forecast |
//! | [`Predict`] | the stage: all of the above for one partition |

pub mod baselines;
mod blocks;
mod custom;
mod error;
pub mod evaluate;
mod experts;
pub mod explain;
mod feature;
mod forecast;
pub mod intervals;
pub mod labels;
mod lane;
pub mod mix;
#[cfg(feature = "neural")]
pub mod neural;
mod observer;
pub mod online;
pub mod plan;
pub mod predictor;
pub mod settings;
mod stage;

pub use custom::{ModelFactory, ModelRequest};
pub use error::PredictError;
pub use evaluate::{Baseline, ErrorSums, IntervalSums, ScoreTotal, merge_totals};
pub use explain::{AdditiveForecast, Contribution, Explanation};
pub use forecast::{Forecasts, ScoreRow};
pub use mix::MixParams;
pub use observer::{Observed, Observer};
pub use plan::{Horizon, PredictInput, PredictPlan};
pub use predictor::{OnlinePredictor, Predictor};
pub use settings::{
    ExpertSettings, IntervalSettings, Loss, MixSettings, MlpSettings, ModelSettings, OnlineLinearSettings,
    PredictorSettings, ProfileSettings, ScoreBy, Start,
};
pub use stage::{Predict, Step};
