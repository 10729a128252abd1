//! A plan -> what flows from where to where, as nodes and edges. How that is drawn is for its readers to say.

use serde::Serialize;

use super::topics::content;
use crate::spec::model::Output;
use crate::spec::plan::PipelinePlan;

/// What flows from where to where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The pipeline's name.
    pub pipeline: String,
    /// Inputs, stages in the order of flow, outputs, state.
    pub nodes: Vec<GraphNode>,
    /// What flows.
    pub edges: Vec<GraphEdge>,
}

/// A place that data flows through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphNode {
    /// What it is.
    pub kind: NodeKind,
    /// A topic's name, a file's path, a stage's name.
    pub name: String,
    /// What it does, a line each.
    pub does: Vec<String>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Where readings come from.
    Input,
    /// A stage.
    Stage,
    /// Where an output goes.
    Output,
    /// Where state is kept.
    State,
}

/// What flows from one node to another, both by index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphEdge {
    /// The node it leaves.
    pub from: usize,
    /// The node it enters.
    pub to: usize,
    /// What flows; empty between neighbouring stages.
    pub what: &'static str,
}

impl PipelinePlan {
    /// What flows from where to where.
    #[must_use]
    pub fn graph(&self) -> Graph {
        let mut graph = Graph { pipeline: self.name.clone(), nodes: Vec::new(), edges: Vec::new() };
        let inputs: Vec<usize> = inputs(self).into_iter().map(|name| graph.add(NodeKind::Input, name)).collect();
        let outline = self.outline();
        let between = |stage: &str| !["source", "encode", "sink"].contains(&stage);
        let mut before = inputs;
        for stage in outline.stages.iter().filter(|stage| between(stage.stage) && !stage.does.is_empty()) {
            let index = graph.add(NodeKind::Stage, stage.stage.to_owned());
            graph.nodes[index].does = stage.does.clone();
            graph.edges.extend(before.iter().map(|from| GraphEdge { from: *from, to: index, what: "" }));
            before = vec![index];
        }
        for (name, sink) in self.sinks.declared() {
            let place = match (&sink.kafka, &sink.folder) {
                (Some(kafka), _) => kafka.topic.clone(),
                (None, Some(folder)) => format!("{}/{name}", folder.path),
                (None, None) => format!("memory {name}"),
            };
            let to = graph.add(NodeKind::Output, place);
            for stage in made_by(sink.from) {
                graph.connect(stage, to, content(sink.from));
            }
        }
        if self.source.kafka.is_some() {
            let to = graph.add(NodeKind::State, self.state_topic());
            for stage in outline.stages.iter().filter(|stage| !stage.states.is_empty()) {
                graph.connect(stage.stage, to, "state");
            }
        }
        graph
    }
}

impl Graph {
    fn add(&mut self, kind: NodeKind, name: String) -> usize {
        self.nodes.push(GraphNode { kind, name, does: Vec::new() });
        self.nodes.len() - 1
    }

    /// An edge from a stage, where the pipeline has it.
    fn connect(&mut self, stage: &str, to: usize, what: &'static str) {
        let from = self.nodes.iter().position(|node| node.kind == NodeKind::Stage && node.name == stage);
        self.edges.extend(from.map(|from| GraphEdge { from, to, what }));
    }
}

fn inputs(plan: &PipelinePlan) -> Vec<String> {
    let count = plan.source.kafka.as_ref().map_or(1, |kafka| kafka.topics.len());
    (0..count as u16).map(|index| plan.topic(index).to_owned()).collect()
}

/// The stages that an output comes from. Late rows are told apart before cleaning.
const fn made_by(output: Output) -> &'static [&'static str] {
    match output {
        Output::Alerts => &["alert"],
        Output::Forecasts | Output::Scores | Output::Drift | Output::Promotions => &["predict"],
        Output::Late => &["decode"],
        Output::DeadLetter => &["decode", "clean", "window"],
    }
}
