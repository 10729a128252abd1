//! `sinks:`, `delivery:` and `runtime:`.

pub use crate::stages::encode::EncodeFormat;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// One output: what goes there and where.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkSpec {
    /// What goes there.
    pub from: Output,
    /// A Kafka topic on the source's brokers.
    pub kafka: Option<KafkaSinkSpec>,
    /// Made, counted in the run's summary, and dropped: for pipelines without Kafka. `arterial test` looks at it, and so may
    /// a program that embeds the pipeline.
    pub memory: Option<MemorySinkSpec>,
    /// A folder of files, with positions and state beside the outputs: for pipelines over files. All sinks name the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<FolderSinkSpec>,
    /// How it is written.
    #[serde(default)]
    pub encode: EncodeSpec,
}

/// An output of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Alert changes.
    Alerts,
    /// Every forecast.
    Forecasts,
    /// Prequential scores per model, horizon and day.
    Scores,
    /// Keys and horizons whose errors rose, of predictors with `drift`.
    Drift,
    /// Models that took over from others, of predictors with `challengers`.
    Promotions,
    /// Rows that came too late for every window that would hold them.
    Late,
    /// Records and rows that could not be used.
    DeadLetter,
}

impl SinkSpec {
    /// Whether its records are columns of Parquet files.
    #[must_use]
    pub fn columns(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.format == FolderFormat::Parquet)
    }
}

impl Output {
    /// Whether the engine makes it; late rows and dead letters are records as they came.
    #[must_use]
    pub fn is_made(self) -> bool {
        !matches!(self, Self::Late | Self::DeadLetter)
    }
}

/// A Kafka topic to write.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSinkSpec {
    /// Topic.
    pub topic: String,
    /// Create the topic when it is missing.
    pub create: Option<CreateSpec>,
}

/// How to create a topic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSpec {
    /// Number of partitions.
    #[schemars(range(min = 1))]
    pub partitions: u32,
    /// Replication factor; the broker's default unless given.
    #[schemars(range(min = 1))]
    pub replication: Option<u32>,
    /// Topic configuration, as `retention.ms: "-1"`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// An output that stays inside the process.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemorySinkSpec {}

/// An output among the files of a folder.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderSinkSpec {
    /// The folder, relative to the pipeline file; created where it is missing. Every `runtime.commit_rows_max` rows an epoch
    /// is added, a directory with a file `SINK.ndjson` (or `.parquet`) for each sink that has records.
    pub path: String,
    /// How its records are written there.
    #[serde(default)]
    pub format: FolderFormat,
}

/// How records are written in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FolderFormat {
    /// A line of JSON each, with key, value and headers.
    #[default]
    Ndjson,
    /// The columns of the output's schema: of alerts, forecasts, scores, drift and promotions.
    Parquet,
}

/// How an output is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EncodeSpec {
    /// Format.
    #[serde(default)]
    pub format: EncodeFormat,
}

/// What a reader of the outputs may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Each input counts exactly once in outputs, state and models; readers use `read_committed`.
    #[default]
    ExactlyOnce,
    /// After a crash some outputs may come twice.
    AtLeastOnce,
}

/// How the pipeline runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeSpec {
    /// Workers in one process; each owns some partitions.
    #[schemars(range(min = 1, max = 256))]
    pub workers: u32,
    /// Name of this process among those that run the same pipeline; its workers' slots are `<instance>-<n>`.
    pub instance: String,
    /// Whether a worker that comes back within the session time-out (10 s) takes up its partitions at once, as the same
    /// static member of the group (`group.instance.id` is its slot). Without, a killed worker's partitions wait for the
    /// time-out. With it, those of a worker that leaves for good wait instead.
    pub static_membership: bool,
    /// Time between commits at the head of the topic; half of it where outputs wait.
    pub commit_every: Span,
    /// Longest time between commits while catching up.
    pub commit_every_max: Span,
    /// Most rows between two commits, no limit unless given; with `folder` sinks, the rows of an epoch, 5,000,000 unless
    /// given.
    #[schemars(range(min = 1))]
    pub commit_rows_max: Option<u32>,
    /// Replication factor of the state and control topics; the broker's default unless given.
    #[schemars(range(min = 1))]
    pub state_replication: Option<u32>,
    /// Address of `/metrics`, `/healthz` and `/readyz`, as `127.0.0.1:9464`; none unless given.
    pub listen: Option<String>,
}

impl Default for RuntimeSpec {
    fn default() -> Self {
        Self {
            workers: 1,
            instance: "0".to_owned(),
            static_membership: false,
            commit_every: Span::millis(100),
            commit_every_max: Span::seconds(10),
            commit_rows_max: None,
            state_replication: None,
            listen: None,
        }
    }
}
