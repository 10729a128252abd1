//! What a version of a network is: what it reads, what it was trained on, and how good it is on rows it has not seen.

use serde::{Deserialize, Serialize};

use super::store::Version;
use crate::stages::predict::neural::MlpShape;
use crate::stages::predict::neural::fit::{Evaluation, Training};

/// What networks of classes are measured beside, in cards.
pub const BASE_RATE: &str = "base_rate";
/// Likewise.
pub const REGRESSION: &str = "logistic_regression";

/// The card of one version.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Card {
    /// Of a network of classes.
    Classes(ClassCard),
    /// Of a network of forecasts.
    Forecasts(ForecastCard),
}

/// What kind of network a folder holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A network of classes; cards of these need not say it.
    #[default]
    MlpClassifier,
    /// A network of forecasts.
    Mlp,
}

impl Kind {
    /// The model's key in the pipeline file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MlpClassifier => "mlp_classifier",
            Self::Mlp => "mlp",
        }
    }
}

/// The card of a network of classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassCard {
    /// The pipeline that it was trained for.
    pub pipeline: String,
    /// Its predictor.
    pub predictor: String,
    /// The column whose class it tells.
    pub target: String,
    /// Columns that it reads, in order.
    pub features: Vec<String>,
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// How it was trained.
    pub training: Training,
    /// When it was trained, RFC 3339, UTC.
    pub trained_at: String,
    /// The version of the program.
    pub arterial_version: String,
    /// Times of the first and the last row that it was trained on, RFC 3339.
    pub data_from: String,
    /// Likewise.
    pub data_to: String,
    /// Rows that it was trained on.
    pub rows: u64,
    /// Those of the class 1.
    pub positives: u64,
    /// blake3 of those rows: the same data, the same hash.
    pub data_hash: String,
    /// blake3 of `model.safetensors`.
    pub model_hash: String,
    /// Least probability that means 1.
    pub threshold: f64,
    /// On the newest rows, which it was not trained on.
    pub hold_out: Evaluation,
    /// What else was measured on those rows.
    pub beside: Vec<Compared<Evaluation>>,
    /// Why it was not measured beside the version that served then; none where it was, or where none served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<NotCompared>,
    /// Where the regression could not be fitted, and so is not beside it; none where it could everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_fitted: Option<NotFitted>,
    /// The mean of a cross-validation over all rows, those held out too; none where none was asked for.
    pub cross_validation: Option<Evaluation>,
}

/// The card of a network of forecasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecastCard {
    /// What kind of network it is.
    pub model: Kind,
    /// The pipeline that it was trained for.
    pub pipeline: String,
    /// Its predictor.
    pub predictor: String,
    /// The column that it forecasts.
    pub target: String,
    /// Columns that keys are made of.
    pub key: Vec<String>,
    /// Keys that it knows.
    pub keys: u64,
    /// What it reads and says.
    pub network: MlpShape,
    /// How it was trained.
    pub training: Training,
    /// When it was trained, RFC 3339, UTC.
    pub trained_at: String,
    /// The version of the program.
    pub arterial_version: String,
    /// Ends of the first and the last window that it was trained on, RFC 3339.
    pub data_from: String,
    /// Likewise.
    pub data_to: String,
    /// Rows that it was trained on.
    pub rows: u64,
    /// blake3 of those rows: the same data, the same hash.
    pub data_hash: String,
    /// blake3 of `model.safetensors`.
    pub model_hash: String,
    /// The time from which on forecasts were held out; no label of that time or later was learned.
    pub hold_out_from: String,
    /// How long after that the newest label of those is, seconds; none of cards that did not say it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_out_s: Option<i64>,
    /// On those, which it was not trained on, by horizon.
    pub hold_out: Vec<HorizonErrors>,
    /// What else was measured on the same labels.
    pub beside: Vec<Compared<Vec<HorizonErrors>>>,
    /// Why it was not measured beside the version that served then; none where it was, or where none served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<NotCompared>,
}

/// A version that served when another was trained and could not be measured beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotCompared {
    /// The one that served.
    pub version: Version,
    /// Why.
    pub why: Incomparable,
}

/// Where the regression could not be fitted, as to labels of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotFitted {
    /// To the rows that the version was trained on.
    pub known: bool,
    /// In these folds of the cross-validation, numbered from 1 on through all repeats.
    pub folds: Vec<u32>,
}

impl NotFitted {
    /// Where that was; `None` where it was nowhere.
    #[must_use]
    pub fn of(known: bool, folds: Vec<u32>) -> Option<Self> {
        (known || !folds.is_empty()).then_some(Self { known, folds })
    }
}

impl std::fmt::Display for NotFitted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = self.known.then(|| "the rows that were learned".to_owned());
        let folds: Vec<String> = self.folds.iter().map(u32::to_string).collect();
        let folds = (!folds.is_empty()).then(|| format!("folds {}", folds.join(", ")));
        let places: Vec<String> = rows.into_iter().chain(folds).collect();
        write!(formatter, "the regression could not be fitted to {}", places.join(" and "))
    }
}

/// Why two versions cannot be measured on the same rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Incomparable {
    /// It reads, or says, something else.
    Different {
        /// What is not the same.
        difference: String,
    },
    /// It was trained on most of the rows that were held out.
    TooFewRows {
        /// Those held out that neither had seen.
        rows: u64,
        /// The end of its own rows.
        data_to: String,
    },
}

impl std::fmt::Display for Incomparable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Different { difference } => formatter.write_str(difference),
            Self::TooFewRows { rows, data_to } => {
                write!(
                    formatter,
                    "it was trained on rows to {data_to}: of those held out only {rows} are later, too few, of less than a day or all of one class"
                )
            }
        }
    }
}

/// Another model on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared<M> {
    /// A baseline, as `persistence`, or the version that served then, as `v3`.
    pub model: String,
    /// How good it was.
    pub hold_out: M,
    /// How good the card's own version was on the same rows, where those are fewer than all that were held out: of a version
    /// that served, those that it was not trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<M>,
    /// One standard error of the difference of both mean losses on those rows; none of what is compared without any slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// Of forecasts: both on the same labels with every key alike, by horizon. What is compared before one may serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_key: Vec<KeyErrors>,
}

/// Errors of two models at one horizon, every key alike: each key's mean absolute errors count as shares of the larger of both,
/// and as often as it has labels. No key, whatever its unit or its sensor's faults, counts more than one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyErrors {
    /// How far ahead.
    pub horizon: String,
    /// Keys with labels at which one of both was wrong.
    pub keys: u64,
    /// The card's own version's, 0 to 1.
    pub own: f64,
    /// The other's, likewise.
    pub other: f64,
}

/// Errors of the forecasts of one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HorizonErrors {
    /// How far ahead.
    pub horizon: String,
    /// Labels that were scored.
    pub count: u64,
    /// Mean absolute error, in the target's unit.
    pub mae: f64,
    /// Root of the mean square error, likewise.
    pub rmse: f64,
}

impl Card {
    /// Reads a card.
    ///
    /// # Errors
    /// Text that is none.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Which {
            #[serde(default)]
            model: Kind,
        }
        Ok(match serde_json::from_slice::<Which>(text)?.model {
            Kind::MlpClassifier => Self::Classes(serde_json::from_slice(text)?),
            Kind::Mlp => Self::Forecasts(serde_json::from_slice(text)?),
        })
    }

    /// What kind of network it is of.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Classes(_) => Kind::MlpClassifier,
            Self::Forecasts(_) => Kind::Mlp,
        }
    }

    /// blake3 of the version's weights.
    #[must_use]
    pub fn model_hash(&self) -> &str {
        match self {
            Self::Classes(card) => &card.model_hash,
            Self::Forecasts(card) => &card.model_hash,
        }
    }

    pub(super) fn set_model_hash(&mut self, hash: String) {
        match self {
            Self::Classes(card) => card.model_hash = hash,
            Self::Forecasts(card) => card.model_hash = hash,
        }
    }

    /// When it was trained, and on how many rows.
    #[must_use]
    pub fn trained(&self) -> (&str, u64) {
        match self {
            Self::Classes(card) => (&card.trained_at, card.rows),
            Self::Forecasts(card) => (&card.trained_at, card.rows),
        }
    }

    /// The pipeline and the predictor that it was trained for, and the column that it tells of.
    #[must_use]
    pub fn trained_for(&self) -> (&str, &str, &str) {
        match self {
            Self::Classes(card) => (&card.pipeline, &card.predictor, &card.target),
            Self::Forecasts(card) => (&card.pipeline, &card.predictor, &card.target),
        }
    }

    /// The time that no label of it, or later, was learned from on; of classes, which are of their rows, none.
    #[must_use]
    pub fn hold_out_from(&self) -> Option<&str> {
        match self {
            Self::Classes(_) => None,
            Self::Forecasts(card) => Some(&card.hold_out_from),
        }
    }

    /// Times of the first and the last row that it was trained on.
    #[must_use]
    pub fn data(&self) -> (&str, &str) {
        match self {
            Self::Classes(card) => (&card.data_from, &card.data_to),
            Self::Forecasts(card) => (&card.data_from, &card.data_to),
        }
    }
}

/// The mean over all horizons; not a number without any.
#[must_use]
pub fn mean_mae(errors: &[HorizonErrors]) -> f64 {
    errors.iter().map(|one| one.mae).sum::<f64>() / errors.len() as f64
}
