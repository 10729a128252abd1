//! A checked plan -> what it does, stage by stage, as data: for people (`arterial explain`, `arterial graph`) and for
//! programs. Touches no network: what a broker holds is not in here.

mod columns;
mod describe;
mod graph;
mod states;
mod topics;

use serde::Serialize;

pub use graph::{Graph, GraphEdge, GraphNode, NodeKind};

use super::model::Delivery;
use super::plan::PipelinePlan;

/// What a pipeline does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outline {
    /// Its name.
    pub pipeline: String,
    /// Hash of what it computes, as in dead letters.
    pub version: String,
    /// What a reader of its outputs may rely on.
    pub delivery: Delivery,
    /// What its state spans.
    pub scope: Scope,
    /// The column that says which partition a row lies in.
    pub partitioned_by: String,
    /// Its stages, in the order the data flows.
    pub stages: Vec<StageOutline>,
    /// The topics it reads and writes, in that order; none for a pipeline without Kafka.
    pub topics: Vec<TopicOutline>,
}

/// What state spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One partition: any number of workers and processes share the pipeline.
    Partition,
    /// All keys of the pipeline: its source has one partition.
    Pipeline,
}

impl Scope {
    fn of(plan: &PipelinePlan) -> Self {
        if plan.features.cross_keys() { Self::Pipeline } else { Self::Partition }
    }

    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Pipeline => "pipeline",
        }
    }
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageOutline {
    /// Its name, as in the documentation.
    pub stage: &'static str,
    /// What it does, a line each.
    pub does: Vec<String>,
    /// The columns after it; none where it leaves bytes or records.
    pub columns: Vec<ColumnOutline>,
    /// Its steps that keep state.
    pub states: Vec<StateOutline>,
}

/// A column after a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnOutline {
    /// Its name.
    pub name: String,
    /// Its type: `text`, `float64`, `int64`, `boolean`, `timestamp`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its unit, where it is known to have one. It follows the name, as physical limits do.
    pub unit: Option<String>,
}

/// A step that keeps state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateOutline {
    /// Its name, as for `--reset`.
    pub step: String,
    /// What its state spans.
    pub scope: Scope,
    /// The columns that its state is kept by; none where there is one for a partition.
    pub key: Vec<String>,
    /// What it remembers.
    pub holds: String,
    /// When it forgets, in event time.
    pub forgets: String,
    /// The most that it holds in a partition.
    pub limit: String,
    /// The steps whose state it is made from: a reset of them resets it.
    pub made_from: Vec<String>,
}

/// A topic and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicOutline {
    /// Its name.
    pub topic: String,
    /// Whether the pipeline reads it.
    pub reads: bool,
    /// Whether the pipeline writes it.
    pub writes: bool,
    /// Whether a run creates it where it is missing.
    pub creates: bool,
    /// The partitions that it is then given; `None` where that is as many as the input has.
    pub partitions: Option<u32>,
    /// What is in it.
    pub holds: &'static str,
}

impl PipelinePlan {
    /// What the pipeline does, stage by stage.
    #[must_use]
    pub fn outline(&self) -> Outline {
        let mut states = states::of(self);
        let mut stage = |name: &'static str, does: Vec<String>, columns: Vec<ColumnOutline>| {
            let own = states.iter().filter(|(of, _)| *of == name).map(|(_, state)| state.clone()).collect();
            states.retain(|(of, _)| *of != name);
            StageOutline { stage: name, does, columns, states: own }
        };
        let stages = vec![
            stage("source", describe::source(self), Vec::new()),
            stage("decode", describe::decode(self), columns::decoded(self)),
            stage("clean", describe::clean(self), columns::cleaned(self)),
            stage("window", describe::window(self), columns::windows(self)),
            stage("features", describe::features(self), columns::features(self)),
            stage("predict", describe::predict(self), columns::forecasts(self)),
            stage("alert", describe::alerts(self), columns::measures(self)),
            stage("encode", describe::encode(self), Vec::new()),
            stage("sink", describe::sinks(self), Vec::new()),
        ];
        Outline {
            pipeline: self.name.clone(),
            version: self.version.clone(),
            delivery: self.delivery,
            scope: Scope::of(self),
            partitioned_by: self.source.partitioned_by.clone(),
            stages,
            topics: topics::of(self),
        }
    }
}
