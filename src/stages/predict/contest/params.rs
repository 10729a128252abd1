//! Settings of champions and challengers -> checked parameters. No data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stages::features::DAY_MICROS;

/// What the models of a contest are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparedBy {
    /// Mean absolute error.
    #[default]
    Mae,
    /// Root mean squared error.
    Rmse,
    /// Mean log loss of probabilities, natural logarithm.
    LogLoss,
}

impl ComparedBy {
    /// What suits a task.
    #[must_use]
    pub const fn usual(classification: bool) -> Self {
        if classification { Self::LogLoss } else { Self::Mae }
    }

    /// Its word in the file and in outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mae => "mae",
            Self::Rmse => "rmse",
            Self::LogLoss => "log_loss",
        }
    }
}

/// When a challenger takes over by itself; unchecked.
#[derive(Debug, Clone, PartialEq)]
pub struct PromotionSettings {
    /// What the models are compared by; by what suits the task where `None`.
    pub by: Option<ComparedBy>,
    /// Length of what they are compared on, microseconds.
    pub over_micros: i64,
    /// How much better the challenger has to be, as a share of the champion's.
    pub margin: f64,
    /// Fewest labels of each horizon that both had a forecast for.
    pub min_labels: u32,
}

/// Why there can be no such contest.
#[derive(Debug, thiserror::Error)]
pub enum ContestError {
    /// A setting out of its range.
    #[error("{} {value} is not {allowed}", name.rsplit('.').next().unwrap_or(name))]
    Range {
        /// The setting, as a path.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        allowed: &'static str,
    },
    /// A measure of the other task.
    #[error("{by} is no measure of a {task}")]
    Measure {
        /// The measure.
        by: &'static str,
        /// The task.
        task: &'static str,
    },
    /// A name that scores need.
    #[error("a challenger cannot be called `{name}`: scores have another model of that name")]
    Name {
        /// The name.
        name: String,
    },
    /// Too many.
    #[error("{challengers} challengers: a predictor has {CHALLENGERS_MAX} at most")]
    TooMany {
        /// How many there are.
        challengers: usize,
    },
    /// Who is to serve is not there.
    #[error("no model of the predictor is called `{name}`")]
    UnknownChampion {
        /// What was written.
        name: String,
    },
    /// Nobody to promote.
    #[error("`{setting}` without challengers")]
    Alone {
        /// The setting.
        setting: &'static str,
    },
}

impl ContestError {
    /// The setting at fault, as a path below the predictor.
    #[must_use]
    pub fn setting(&self) -> String {
        match self {
            Self::Range { name, .. } => (*name).to_owned(),
            Self::Measure { .. } => "promotion.by".to_owned(),
            Self::Name { name } => format!("challengers.{name}"),
            Self::TooMany { .. } => "challengers".to_owned(),
            Self::UnknownChampion { .. } => "champion".to_owned(),
            Self::Alone { setting } => (*setting).to_owned(),
        }
    }
}

/// Most challengers of a predictor: each takes the time and the state of a model of its own.
pub const CHALLENGERS_MAX: usize = 8;

/// Longest contest, days: sums of so many days are kept.
const OVER_DAYS_MAX: i64 = 366;

/// When a challenger takes over by itself, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PromotionParams {
    /// What the models are compared by.
    pub by: ComparedBy,
    /// Days (UTC) that they are compared on: the newest that count.
    pub days: i64,
    /// How much better the challenger has to be, as a share of the champion's.
    pub margin: f64,
    /// Fewest labels of each horizon that both had a forecast for.
    pub min_labels: u64,
}

impl PromotionParams {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`ContestError`] names the setting; correct it in the pipeline file.
    pub fn new(settings: &PromotionSettings, classification: bool) -> Result<Self, ContestError> {
        let range = |name, value: f64, fine: bool, allowed| {
            if fine { Ok(()) } else { Err(ContestError::Range { name, value, allowed }) }
        };
        let &PromotionSettings { over_micros, margin, min_labels, .. } = settings;
        let days = over_micros / DAY_MICROS;
        let whole = over_micros % DAY_MICROS == 0 && (1..=OVER_DAYS_MAX).contains(&days);
        let over = over_micros as f64 / DAY_MICROS as f64;
        range("promotion.over", over, whole, "a whole number of days, 1 to 366")?;
        range("promotion.margin", margin, (0.0..1.0).contains(&margin), "0 or more and below 1")?;
        range("promotion.min_labels", f64::from(min_labels), min_labels > 0, "1 or more")?;
        let by = settings.by.unwrap_or(ComparedBy::usual(classification));
        if (by == ComparedBy::LogLoss) != classification {
            let task = if classification { "classification" } else { "regression" };
            return Err(ContestError::Measure { by: by.name(), task });
        }
        Ok(Self { by, days, margin, min_labels: u64::from(min_labels) })
    }
}
