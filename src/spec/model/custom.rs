//! `custom:` parts: what a program that embeds the pipeline has registered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A part that the program registered under a name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomSpec {
    /// The name.
    pub name: String,
    /// What the part is given; it says itself what it takes.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// Where positions and state are kept, with the outputs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerSpec {
    /// A ledger that the program registered.
    pub custom: CustomSpec,
}
