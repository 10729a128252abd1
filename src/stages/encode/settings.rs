//! How outputs are written, as in the pipeline file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Format of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncodeFormat {
    /// The record's own schema as a JSON object.
    #[default]
    Json,
    /// CloudEvents 1.0, Kafka binary mode: the same JSON in the value, `ce_*` headers.
    Cloudevents,
}
