//! What the user wrote: the pipeline file as plain data, unknown keys refused. Its doc comments are the text that
//! editors show, since the published JSON Schema is generated from here. Nothing is checked here.

mod alerts;
mod classify;
mod clean;
mod custom;
mod predict;
mod scalars;
mod security;
mod sinks;
mod sources;
mod tests;
mod window;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use alerts::*;
pub use classify::*;
pub use clean::*;
pub use custom::*;
pub use predict::*;
pub use scalars::*;
pub use security::*;
pub use sinks::*;
pub use sources::*;
pub use tests::*;
pub use window::*;

/// A pipeline: from sensor topics to alert topics. Keys stand in the order the data flows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineSpec {
    /// Version of this file's format: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// Name of the pipeline: lower-case letters, digits, `_` and `-`. Names its consumer group `arterial.<pipeline>`
    /// and its state topic `arterial.<pipeline>.state`.
    pub pipeline: String,
    /// Values used elsewhere as `${name}`. Only here may environment variables appear: `${CITY:-aarhus}`,
    /// `${PASSWORD:?set it}`. `$$` is a dollar sign.
    #[serde(default)]
    #[schemars(schema_with = "vars_schema")]
    pub vars: Settings,
    /// Where readings come from: one named source.
    pub sources: BTreeMap<String, SourceSpec>,
    /// Small tables that `lookup` joins with.
    #[serde(default)]
    pub tables: BTreeMap<String, TableSpec>,
    /// Cleaning steps, in order.
    #[serde(default)]
    pub clean: Vec<CleanStepSpec>,
    /// Limits and life of window keys.
    #[serde(default)]
    pub keys: KeysSpec,
    /// The event-time window that turns rows into one value per key and step.
    pub window: WindowSpec,
    /// Columns for the models, computed from closed windows.
    #[serde(default)]
    pub features: Vec<FeatureSpec>,
    /// Predictors by name: `speed` with horizon `15m` is `speed.15m` in `measure:`.
    #[serde(default)]
    pub predict: BTreeMap<String, PredictSpec>,
    /// Alert rules by name.
    #[serde(default)]
    pub alerts: BTreeMap<String, AlertSpec>,
    /// Where outputs go, by name.
    #[serde(default)]
    pub sinks: BTreeMap<String, SinkSpec>,
    /// Where a pipeline that is not on Kafka keeps its outputs, positions and state: nowhere unless given, or in the memory
    /// of the program that embeds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerSpec>,
    /// What a reader of the outputs may rely on.
    #[serde(default)]
    pub delivery: Delivery,
    /// How the pipeline runs.
    #[serde(default)]
    pub runtime: RuntimeSpec,
    /// Inputs and the outputs they must give: `arterial test` runs them.
    #[serde(default)]
    pub tests: Vec<TestSpec>,
}

/// Numbers and booleans may stand without quotes: they are taken as they are written.
fn vars_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
}
