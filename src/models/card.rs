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
                    "it was trained on rows to {data_to}: of those held out only {rows} are later, too few or all of one class"
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

    /// Its own on the rows of what was measured beside it, and that one's; `None` of what was not.
    pub(super) fn losses_beside(&self, model: &str) -> Option<(f64, f64)> {
        fn both<M>(beside: &[Compared<M>], model: &str, own: &M, loss: impl Fn(&M) -> f64) -> Option<(f64, f64)> {
            let compared = beside.iter().find(|compared| compared.model == model)?;
            Some((loss(compared.own.as_ref().unwrap_or(own)), loss(&compared.hold_out)))
        }
        match self {
            Self::Classes(card) => both(&card.beside, model, &card.hold_out, |evaluation| evaluation.log_loss),
            Self::Forecasts(card) => both(&card.beside, model, &card.hold_out, |errors| mean_mae(errors)),
        }
    }

    /// What is compared.
    pub(super) fn loss_name(&self) -> &'static str {
        match self {
            Self::Classes(_) => "log loss",
            Self::Forecasts(_) => "MAE",
        }
    }

    /// By how much it may be worse than what was measured beside it: one standard error of the difference. A network is as good
    /// as the regression where what it learns is linear, and on few rows either comes out ahead by chance.
    pub(super) fn slack(&self, model: &str) -> f64 {
        let Self::Classes(card) = self else { return 0.0 };
        let compared = card.beside.iter().find(|compared| compared.model == model);
        compared.and_then(|compared| compared.standard_error).unwrap_or(0.0)
    }

    /// What a version has to be no worse than before it may serve: the one that serves, or, without one, the baselines. Of those,
    /// the regression can be waived: `uncompared`.
    pub(super) fn to_beat(&self, champion: Option<Version>, uncompared: bool) -> Vec<String> {
        match (champion, self) {
            (Some(champion), _) => vec![champion.to_string()],
            (None, Self::Classes(card)) => {
                let measured = |name: &&str| card.beside.iter().any(|compared| compared.model == *name);
                let regression = Some(REGRESSION).filter(measured).filter(|_| !uncompared);
                [BASE_RATE].into_iter().chain(regression).map(str::to_owned).collect()
            }
            (None, Self::Forecasts(_)) => ["persistence", "profile"].map(str::to_owned).to_vec(),
        }
    }

    /// Why it was not measured beside a version that served when it was trained.
    pub(super) fn not_compared(&self, champion: Version) -> Option<&Incomparable> {
        let not_compared = match self {
            Self::Classes(card) => &card.not_compared,
            Self::Forecasts(card) => &card.not_compared,
        };
        not_compared.as_ref().filter(|one| one.version == champion).map(|one| &one.why)
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
