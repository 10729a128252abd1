//! `arterial graph`: a pipeline as a picture, in text or SVG, or for Mermaid or Graphviz to draw.

mod svg;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::load::load_plan_with_tables;
use crate::spec::outline::{Graph, GraphNode, NodeKind};

/// Draw a pipeline: what flows from which topic through which stages to which topic.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial graph pipelines/congestion-aarhus.yaml\n  \
    arterial graph --format mermaid pipelines/city-job.yaml\n  \
    arterial graph --format svg pipelines/city-job.yaml > city-job.svg\n  \
    arterial graph --format dot pipelines/city-job.yaml | dot -Tpdf > city-job.pdf\n\n\
    Mermaid is what GitHub, GitLab and mdBook draw; dot is Graphviz. No network is touched.")]
pub struct GraphArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// How it is drawn.
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    pub format: GraphFormat,
}

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Lines from top to bottom.
    Text,
    /// A picture for any browser.
    Svg,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
    /// Nodes and edges as one JSON object.
    Json,
}

/// Runs the verb.
///
/// # Errors
/// A file that cannot be read or does not check.
pub fn graph(args: &GraphArgs) -> Result<()> {
    let graph = load_plan_with_tables(&args.pipeline, &BTreeMap::new())?.graph();
    match args.format {
        GraphFormat::Text => say!("{}", text(&graph)),
        GraphFormat::Svg => say!("{}", svg::svg(&graph)),
        GraphFormat::Mermaid => say!("{}", mermaid(&graph)),
        GraphFormat::Dot => say!("{}", dot(&graph)),
        GraphFormat::Json => say!("{}", serde_json::to_string_pretty(&graph)?),
    }
    Ok(())
}

/// The chain of stages from top to bottom; what leaves it stands beside the stage it leaves.
fn text(graph: &Graph) -> String {
    let inputs: Vec<&str> = of_kind(graph, NodeKind::Input).map(|(_, node)| node.name.as_str()).collect();
    let mut lines = vec![inputs.join(", ")];
    for (index, node) in of_kind(graph, NodeKind::Stage) {
        lines.push("  │".to_owned());
        lines.push(node.name.clone());
        lines.extend(node.does.iter().map(|line| format!("  │   {line}")));
        for edge in graph.edges.iter().filter(|edge| edge.from == index) {
            let to = &graph.nodes[edge.to];
            match to.kind {
                NodeKind::Output => lines.push(format!("  ├─▶ {} ({})", to.name, edge.what)),
                NodeKind::State => lines.push(format!("  ├┄▶ {} ({})", to.name, edge.what)),
                NodeKind::Input | NodeKind::Stage => {}
            }
        }
    }
    lines.join("\n")
}

fn of_kind(graph: &Graph, kind: NodeKind) -> impl Iterator<Item = (usize, &GraphNode)> {
    graph.nodes.iter().enumerate().filter(move |(_, node)| node.kind == kind)
}

fn mermaid(graph: &Graph) -> String {
    let mut lines = vec!["flowchart TD".to_owned()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let label = mermaid_text(&label(node).join("\n"));
        lines.push(match node.kind {
            NodeKind::Stage => format!("  n{index}[\"{label}\"]"),
            NodeKind::Input | NodeKind::Output => format!("  n{index}([\"{label}\"])"),
            NodeKind::State => format!("  n{index}[(\"{label}\")]"),
        });
    }
    for edge in &graph.edges {
        let arrow = if graph.nodes[edge.to].kind == NodeKind::State { "-.->" } else { "-->" };
        let what = if edge.what.is_empty() { String::new() } else { format!("|{}|", edge.what) };
        lines.push(format!("  n{} {arrow}{what} n{}", edge.from, edge.to));
    }
    lines.join("\n")
}

fn dot(graph: &Graph) -> String {
    let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut lines =
        vec![format!("digraph \"{}\" {{", quote(&graph.pipeline)), "  node [fontname=monospace]".to_owned()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let shape = match node.kind {
            NodeKind::Stage => "box",
            NodeKind::Input | NodeKind::Output => "ellipse",
            NodeKind::State => "cylinder",
        };
        // `\l` ends a line that is set flush left.
        let label: String = label(node).iter().map(|line| format!("{}\\l", quote(line))).collect();
        lines.push(format!("  n{index} [shape={shape} label=\"{label}\"]"));
    }
    for edge in &graph.edges {
        let style = if graph.nodes[edge.to].kind == NodeKind::State { " style=dotted" } else { "" };
        lines.push(format!("  n{} -> n{} [label=\"{}\"{style}]", edge.from, edge.to, edge.what));
    }
    lines.push("}".to_owned());
    lines.join("\n")
}

fn label(node: &GraphNode) -> Vec<&str> {
    std::iter::once(&node.name).chain(&node.does).map(String::as_str).collect()
}

/// Mermaid reads HTML and its own entities inside quotes.
fn mermaid_text(text: &str) -> String {
    let mut written = String::new();
    for letter in text.chars() {
        match letter {
            '"' => written.push_str("#quot;"),
            '#' => written.push_str("#35;"),
            '<' => written.push_str("#lt;"),
            '>' => written.push_str("#gt;"),
            '&' => written.push_str("#amp;"),
            '\n' => written.push_str("<br/>"),
            letter => written.push(letter),
        }
    }
    written
}
