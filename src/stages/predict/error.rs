//! Why predictors cannot be planned, with what the user should do.

use super::contest::params::ContestError;
use super::drift::params::DriftError;
use super::online::OnlineLinearError;
use crate::stages::features::SlotError;

/// Why a predictor cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// A model of the embedding program does not take its settings.
    #[error("model `{name}`: {refusal}")]
    Custom {
        /// Its name.
        name: String,
        /// Why.
        refusal: crate::stages::custom::Refusal,
    },
    /// No such window column.
    #[error("unknown target `{target}`: the window has no such column")]
    UnknownTarget {
        /// What was written.
        target: String,
    },
    /// A carried column gives no label.
    #[error("target `{target}` is carried along, not measured: it gives no labels")]
    CarriedTarget {
        /// What was written.
        target: String,
    },
    /// Nothing to forecast.
    #[error("no horizons")]
    NoHorizons,
    /// A quantity of the window itself is known.
    #[error("horizon 0s: the window's own value is known when it closes; only `task: classification` predicts it")]
    HorizonNow,
    /// Labels that come at once and labels that come later.
    #[error("horizon 0s stands alone: its labels come with the window, those of the others later")]
    HorizonsMixed,
    /// No probability that could part two classes.
    #[error("threshold {threshold} is not above 0 and below 1")]
    Threshold {
        /// What was written.
        threshold: f64,
    },
    /// Bounds of a probability.
    #[error("a classification has no intervals")]
    ClassIntervals,
    /// A feature that gives the answer away.
    #[error("feature `{feature}` holds the very `{target}` that is predicted")]
    OwnLabel {
        /// The feature.
        feature: String,
        /// The target.
        target: String,
    },
    /// A model of quantities for classes, or the other way round.
    #[error("`{model}` is no model of a {task}")]
    ModelTask {
        /// The model.
        model: String,
        /// What it cannot do.
        task: &'static str,
    },
    /// A trained network of something else.
    #[error("trained network {version} does not fit: {difference}")]
    Pretrained {
        /// Its version.
        version: String,
        /// What is different.
        difference: String,
    },
    /// Several horizons of one trained network.
    #[error("a trained network tells one horizon, not {horizons}")]
    PretrainedHorizons {
        /// How many there are.
        horizons: usize,
    },
    /// A setting of a classifier.
    #[error("{name} {value} is not {allowed}")]
    Classifier {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        allowed: String,
    },
    /// Not a whole number of windows ahead.
    #[error("horizon {horizon_s} s is not a positive whole multiple of the {every_s} s from window to window")]
    HorizonMultiple {
        /// Horizon, seconds.
        horizon_s: f64,
        /// Time between windows, seconds.
        every_s: f64,
    },
    /// A window that overlaps with the one it is forecast from.
    #[error("horizon {horizon_s} s is shorter than the window, {size_s} s: part of what it forecasts is known already")]
    HorizonShort {
        /// Horizon, seconds.
        horizon_s: f64,
        /// Length of a window, seconds.
        size_s: f64,
    },
    /// Not above the one before.
    #[error("horizon {horizon_s} s does not exceed the one before it")]
    HorizonOrder {
        /// Horizon, seconds.
        horizon_s: f64,
    },
    /// Too many windows ahead.
    #[error("horizon of {steps} windows exceeds the limit of {max}")]
    HorizonTooFar {
        /// Windows ahead.
        steps: i64,
        /// The limit.
        max: u32,
    },
    /// No feature column has such a name.
    #[error("`{pattern}` matches no feature column")]
    UnknownFeature {
        /// What was written.
        pattern: String,
    },
    /// Nothing to forecast from.
    #[error("no feature column serves horizon {horizon_s} s")]
    NoFeatures {
        /// Horizon, seconds.
        horizon_s: f64,
    },
    /// Negative or longer than a model may gather.
    #[error("min_history of {windows} windows is outside 0 to {max}")]
    History {
        /// Windows.
        windows: i64,
        /// The limit.
        max: i64,
    },
    /// The limits leave no room or are not numbers.
    #[error("minimum {minimum} and maximum {maximum} leave no room for a forecast")]
    Limits {
        /// Least forecast.
        minimum: f64,
        /// Greatest forecast.
        maximum: f64,
    },
    /// A share that no interval can have.
    #[error("coverage {coverage} is not above 0 and below 1")]
    Coverage {
        /// What was written.
        coverage: f64,
    },
    /// Too few or too many to mix.
    #[error("{experts} experts: a mixture has 2 to {max}")]
    Experts {
        /// Experts given.
        experts: usize,
        /// The limit.
        max: usize,
    },
    /// A name that scores need.
    #[error("an expert cannot be called `{name}`: scores have another model of that name")]
    ExpertName {
        /// The name.
        name: String,
    },
    /// A setting of a mixture.
    #[error("{name} {value} is not {allowed}")]
    Mix {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        allowed: String,
    },
    /// The model's settings.
    #[error(transparent)]
    Model(#[from] OnlineLinearError),
    /// A network's settings.
    #[cfg(feature = "neural")]
    #[error(transparent)]
    Mlp(#[from] super::neural::MlpError),
    /// A model that was left out when the program was built.
    #[cfg(not(feature = "neural"))]
    #[error("this program was built without `{model}`")]
    NotBuilt {
        /// The model.
        model: &'static str,
    },
    /// Settings of drift detection.
    #[error(transparent)]
    Drift(#[from] DriftError),
    /// Settings of a champion and its challengers.
    #[error(transparent)]
    Contest(#[from] ContestError),
    /// A profile's slots that cannot be.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Two predictors of one name.
    #[error("predictor `{name}` is declared twice")]
    Duplicate {
        /// The name.
        name: String,
    },
}
