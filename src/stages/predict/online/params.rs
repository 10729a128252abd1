//! Settings of a linear model -> checked parameters: what it divides by, what it starts with. No data.

use super::recursive_least_squares::{UpdateRule, WIDTH_MAX};
use crate::stages::predict::settings::{OnlineLinearSettings, Start};

/// Why a linear model cannot be built or fitted.
#[derive(Debug, thiserror::Error)]
pub enum OnlineLinearError {
    /// Outside (0, 1].
    #[error("forgetting {0} lies outside 0 (exclusive) to 1")]
    Forgetting(f64),
    /// Not a positive number.
    #[error("{name} {value} is not a positive number")]
    NotPositive {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// Negative or not a number.
    #[error("ridge {0} is not a number from 0 up")]
    Ridge(f64),
    /// No features or too many.
    #[error("a model of {width} features, bias included, is outside the limit of 1 to {WIDTH_MAX}")]
    Width {
        /// Features, bias included.
        width: usize,
    },
    /// A start at persistence needs the newest value among the features.
    #[error("a model that starts at persistence needs the target's own last value among its features")]
    NoPersistence,
    /// A dataset of another shape.
    #[error("a dataset of {columns} columns for a model of {expected}")]
    Columns {
        /// Columns of the dataset.
        columns: usize,
        /// Columns of the model, without bias.
        expected: usize,
    },
    /// Features that are linear combinations of each other, under `ridge: 0`.
    #[error("the features of the {rows} rows of history depend on each other")]
    Singular {
        /// Complete rows.
        rows: usize,
    },
    /// What linfa says.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// A linear model's parameters, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct OnlineLinearParams {
    rule: UpdateRule,
    ridge: f64,
    target_scale: f64,
    feature_scales: Vec<f64>,
    bias: bool,
    persistence: Option<usize>,
    history: usize,
    learn_after: u32,
}

impl OnlineLinearParams {
    /// Checks the settings for a model of the features that `feature_scales` lists (what each is divided by).
    /// `persistence` is the feature that holds the target's newest value; a model without `history` (complete rows)
    /// starts with weight 1 on it. `start` says whether the history is gathered and solved, or passes at persistence.
    ///
    /// # Errors
    /// [`OnlineLinearError`] names the setting; correct it in the pipeline file.
    pub fn new(
        settings: &OnlineLinearSettings,
        feature_scales: Vec<f64>,
        persistence: Option<usize>,
        history: usize,
    ) -> Result<Self, OnlineLinearError> {
        if !(settings.forgetting > 0.0 && settings.forgetting <= 1.0) {
            return Err(OnlineLinearError::Forgetting(settings.forgetting));
        }
        let positive = [
            ("scale", settings.scale),
            ("initial_covariance", settings.initial_covariance),
            ("huber_delta", settings.huber_delta),
            ("trace_max", settings.trace_max.unwrap_or(f64::MAX)),
        ];
        for (name, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(OnlineLinearError::NotPositive { name, value });
            }
        }
        if !(settings.ridge >= 0.0 && settings.ridge.is_finite()) {
            return Err(OnlineLinearError::Ridge(settings.ridge));
        }
        let width = feature_scales.len() + usize::from(settings.bias);
        if width == 0 || width > WIDTH_MAX {
            return Err(OnlineLinearError::Width { width });
        }
        let (history, learn_after) = match settings.start {
            Start::LeastSquares => (history, 0),
            // Histories are far shorter than 2^32 rows.
            Start::Persistence => (0, u32::try_from(history).unwrap_or(u32::MAX)),
        };
        if history == 0 && persistence.is_none() {
            return Err(OnlineLinearError::NoPersistence);
        }
        let rule = UpdateRule {
            forgetting: settings.forgetting,
            loss: settings.loss,
            initial_covariance: settings.initial_covariance,
            huber_delta: settings.huber_delta,
            trace_max: settings.trace_max.unwrap_or(f64::INFINITY),
        };
        let (ridge, target_scale, bias) = (settings.ridge, settings.scale, settings.bias);
        Ok(Self { rule, ridge, target_scale, feature_scales, bias, persistence, history, learn_after })
    }

    /// How models are updated.
    #[must_use]
    pub fn rule(&self) -> &UpdateRule {
        &self.rule
    }

    /// Penalty on the square of the warm start's weights.
    #[must_use]
    pub fn ridge(&self) -> f64 {
        self.ridge
    }

    /// What the target is divided by.
    #[must_use]
    pub fn target_scale(&self) -> f64 {
        self.target_scale
    }

    /// Features without the bias.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.feature_scales.len()
    }

    /// Weights of a model: the features and, last, the bias.
    #[must_use]
    pub fn width(&self) -> usize {
        self.feature_scales.len() + usize::from(self.bias)
    }

    /// Complete rows to gather before the model starts; 0 starts it at persistence at once.
    #[must_use]
    pub fn history(&self) -> usize {
        self.history
    }

    /// Complete rows that a model at persistence lets pass before it learns.
    #[must_use]
    pub fn learn_after(&self) -> u32 {
        self.learn_after
    }

    /// Writes the scaled features and the bias; false where a value is missing or not finite.
    pub fn scale_features(&self, values: impl Iterator<Item = f64>, scaled: &mut [f64]) -> bool {
        let mut complete = true;
        for ((slot, value), scale) in scaled.iter_mut().zip(values).zip(&self.feature_scales) {
            complete &= value.is_finite();
            *slot = value / scale;
        }
        if self.bias {
            scaled[self.feature_scales.len()] = 1.0;
        }
        complete
    }

    /// Weights that repeat the target's newest value; zeros where it is not among the features.
    pub fn start_weights(&self, weights: &mut [f64]) {
        weights.fill(0.0);
        if let Some(feature) = self.persistence {
            // The feature and the target may be scaled differently.
            weights[feature] = self.feature_scales[feature] / self.target_scale;
        }
    }
}
