//! What `graph` and `schema` print: every node and edge of a pipeline in each notation, every column of a schema.

use std::path::Path;
use std::process::{Command, Output};

use arterial::spec::outline::NodeKind;
use serde_json::Value;

use crate::run_support::{edited, plan};

fn arterial(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new(env!("CARGO_BIN_EXE_arterial")).current_dir(root).args(arguments).output().expect("it runs")
}

fn printed(arguments: &[&str]) -> String {
    let output = arterial(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn stages_stand_in_the_order_of_flow_and_those_that_do_nothing_are_left_out() {
    let dedupe = "clean:\n  - dedupe: { key: [sensor_id, observed_at], within: 20m }\n";
    let stages = |text: &str| {
        let nodes = plan(text).graph().nodes.into_iter();
        nodes.filter(|node| node.kind == NodeKind::Stage).map(|node| node.name).collect::<Vec<String>>()
    };
    assert_eq!(stages(&edited(&[])), ["decode", "clean", "window", "features", "predict", "alert"]);
    assert_eq!(stages(&edited(&[(dedupe, "")])), ["decode", "window", "features", "predict", "alert"]);
}

#[test]
fn outputs_leave_the_stages_that_make_them() {
    let graph = plan(&edited(&[])).graph();
    let node = |name: &str| graph.nodes.iter().position(|node| node.name == name).expect("the node");
    let alerts = node("memory alerts");
    let into: Vec<usize> = graph.edges.iter().filter(|edge| edge.to == alerts).map(|edge| edge.from).collect();
    assert_eq!(into, [node("alert")]);
    assert!(graph.nodes.iter().all(|node| node.kind != NodeKind::State), "no topic holds the state");
}

#[test]
fn every_notation_tells_the_same_nodes_and_edges() {
    let pipeline = "pipelines/congestion-aarhus.yaml";
    let graph: Value = serde_json::from_str(&printed(&["graph", "--format", "json", pipeline])).expect("JSON");
    let (nodes, edges) = (graph["nodes"].as_array().unwrap(), graph["edges"].as_array().unwrap());
    let mermaid = printed(&["graph", "--format", "mermaid", pipeline]);
    let dot = printed(&["graph", "--format", "dot", pipeline]);
    let text = printed(&["graph", pipeline]);
    let svg = printed(&["graph", "--format", "svg", pipeline]);
    assert!(svg.contains("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for node in nodes {
        let name = node["name"].as_str().unwrap();
        for drawn in [&mermaid, &dot, &text, &svg] {
            assert!(drawn.contains(name), "{name} is not in {drawn}");
        }
    }
    assert_eq!(mermaid.matches("->").count(), edges.len());
    assert_eq!(dot.matches(" -> ").count(), edges.len());
    assert!(edges.len() > nodes.len());
}

#[test]
fn conditions_are_escaped_for_mermaid_and_quotes_for_dot() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("graph-quotes.yaml");
    let quoted = edited(&[("  - dedupe", "  - null_if: { speed_kmh: \"\\\"speed_kmh\\\" < 0\" }\n  - dedupe")]);
    std::fs::write(&path, quoted).expect("a file");
    let path = path.to_str().unwrap();
    let mermaid = printed(&["graph", "--format", "mermaid", path]);
    assert!(mermaid.contains("#quot;speed_kmh#quot; #lt; 0"), "{mermaid}");
    let dot = printed(&["graph", "--format", "dot", path]);
    assert!(dot.contains("\\\"speed_kmh\\\" < 0"), "{dot}");
}

#[test]
fn schema_lists_every_shipped_schema_and_shows_types_units_and_limits() {
    let list = printed(&["schema", "ls"]);
    for name in arterial::schema::shipped_names() {
        assert!(list.contains(name), "{name} is not in {list}");
        assert!(!printed(&["schema", "show", name]).is_empty());
    }
    let shown = printed(&["schema", "show", "--format", "json", "traffic-observation.v1"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let columns = shown["columns"].as_array().unwrap();
    let speed = columns.iter().find(|column| column["name"] == "speed_kmh").expect("the column");
    assert_eq!(
        (&speed["type"], &speed["unit"], speed["nullable"].as_bool()),
        (&"float64".into(), &"km/h".into(), Some(true))
    );
    assert_eq!(speed["minimum"].as_f64(), Some(0.0));
    let alert = printed(&["schema", "show", "alert.v1"]);
    assert!(alert.lines().any(|line| line.starts_with("explanation") && line.contains("list")), "{alert}");
}

#[test]
fn schema_of_pipelines_is_the_published_one_and_a_file_is_shown_by_its_path() {
    let published = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/pipeline.schema.json"));
    assert_eq!(printed(&["schema", "pipeline"]), published.expect("the schema"));
    assert!(printed(&["schema", "show", "schemas/loop-speed.v1.avsc"]).contains("speed_mph"));
}

#[test]
fn unknown_schema_exits_with_2_and_names_the_nearest() {
    let output = arterial(&["schema", "show", "traffic-observations.v1"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("did you mean `traffic-observation.v1`?"), "{said}");
}
