//! Models of classes in `predict:` entries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logistic regression that all keys of a partition share: follow the regularised leader, proximal (McMahan et al. 2013).
/// Features are read in spreads around their running means; a row with a missing one is neither predicted nor learned.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FtrlSpec {
    /// Feature columns that this model reads, of those of the predictor; all of them unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// Step size of the first labels; it falls for each weight with what the weight has learned.
    #[schemars(range(max = 100), extend("exclusiveMinimum" = 0))]
    pub alpha: f64,
    /// What holds the first steps back.
    #[schemars(range(min = 0, max = 100))]
    pub beta: f64,
    /// Penalty on the size of weights: with it useless ones are 0.
    #[schemars(range(min = 0, max = 1))]
    pub l1: f64,
    /// Penalty on their square.
    #[schemars(range(min = 0, max = 1))]
    pub l2: f64,
}

impl Default for FtrlSpec {
    fn default() -> Self {
        Self { features: None, alpha: 0.3, beta: 1.0, l1: 0.0, l2: 0.0 }
    }
}

/// A dense network of classes that all keys of a partition share: rectified hidden layers, one sigmoid output, binary
/// cross-entropy, Adam. It learns online from a memory of labelled rows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MlpClassifierSpec {
    /// Feature columns that this model reads, of those of the predictor; all of them unless given. A missing value is no
    /// hindrance: the network is told that it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// Units of each hidden layer.
    #[schemars(length(min = 1, max = 8))]
    pub hidden: Vec<u32>,
    /// Part of the hidden units that an optimiser step leaves out.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout: f64,
    /// Labels whose features scale the inputs; until they have come, the share of positive ones is predicted, and a network that was
    /// trained before does not learn on.
    #[schemars(range(min = 1))]
    pub min_labels: u32,
    /// Optimiser steps per closed window with labels.
    #[schemars(range(min = 1, max = 1000))]
    pub steps: u32,
    /// Rows of a step.
    #[schemars(range(min = 1, max = 16384))]
    pub batch: u32,
    /// Step size of Adam.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Part of a weight that a step takes away, in step sizes.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub weight_decay: f64,
    /// Weight that the mean of the weights, which predicts, keeps when it follows them: after the steps of a window, and after
    /// every step of `arterial train`.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub average: f64,
    /// The memory that it learns from.
    pub replay: ReplayRowsSpec,
    /// Seed of the weights, of the rows drawn and of the units left out.
    pub seed: u64,
    /// Folder of trained versions, where `arterial train` puts them; the one that serves is what the network starts from.
    /// Relative to the pipeline file. While none serves, a network that learns online starts from nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artefact: Option<String>,
    /// Whether it learns from labels as they come; without that it stays as it was trained.
    pub online: bool,
}

impl Default for MlpClassifierSpec {
    fn default() -> Self {
        Self {
            features: None,
            hidden: vec![64, 32],
            dropout: 0.0,
            min_labels: 20,
            steps: 2,
            batch: 64,
            learning_rate: 0.001,
            weight_decay: 0.0,
            average: 0.9,
            replay: ReplayRowsSpec::default(),
            seed: 1,
            artefact: None,
            online: true,
        }
    }
}

/// Labelled rows that a network learns from again and again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayRowsSpec {
    /// The newest so many.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rows: u32,
}

impl Default for ReplayRowsSpec {
    fn default() -> Self {
        Self { rows: 4096 }
    }
}
