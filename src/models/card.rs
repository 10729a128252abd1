//! What a version of a network is: what it reads, what it was trained on, and how good it is on rows it has not seen.

use serde::{Deserialize, Serialize};

use crate::stages::predict::neural::fit::{Evaluation, Training};

/// The card of one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
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
    pub beside: Vec<Compared>,
    /// The mean of a cross-validation over all rows, those held out too; none where none was asked for.
    pub cross_validation: Option<Evaluation>,
}

/// Another model on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// `base_rate`, `logistic_regression`, or the version that served then, as `v3`.
    pub model: String,
    /// How good it was.
    pub hold_out: Evaluation,
}

impl Card {
    /// How good another model was on the same rows.
    #[must_use]
    pub fn beside(&self, model: &str) -> Option<&Evaluation> {
        self.beside.iter().find(|compared| compared.model == model).map(|compared| &compared.hold_out)
    }
}
