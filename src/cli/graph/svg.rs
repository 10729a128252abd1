//! A graph -> a picture, laid out here: nothing else has to be installed.

use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;

use super::label;
use crate::spec::outline::{Graph, NodeKind};

const FONT_PIXELS: usize = 13;
/// Of a letter of that size, and of a line.
const LETTER: f64 = 8.0;
const LINE: f64 = 18.0;
const PADDING: f64 = 24.0;

/// Draws the graph from top to bottom.
pub(super) fn svg(graph: &Graph) -> String {
    let mut picture = VisualGraph::new(Orientation::TopToBottom);
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let lines = label(node);
        let text = lines.join("\n");
        let (shape, fill) = match node.kind {
            NodeKind::Stage => (ShapeKind::new_box(&text), "white"),
            NodeKind::Input | NodeKind::Output => (ShapeKind::new_box(&text), "lightyellow"),
            NodeKind::State => (ShapeKind::new_box(&text), "lightgray"),
        };
        let rounded = if node.kind == NodeKind::Stage { 0 } else { 12 };
        let style = StyleAttr::new(Color::fast("black"), 1, Some(Color::fast(fill)), rounded, FONT_PIXELS);
        let letters = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let size = Point::new(letters as f64 * LETTER + PADDING, lines.len() as f64 * LINE + PADDING);
        nodes.push(picture.add_node(Element::create(shape, style, Orientation::TopToBottom, size)));
    }
    for edge in &graph.edges {
        let line = match graph.nodes[edge.to].kind {
            NodeKind::State => LineStyleKind::Dotted,
            _ => LineStyleKind::Normal,
        };
        let style = StyleAttr::new(Color::fast("black"), 1, None, 0, FONT_PIXELS);
        let arrow = Arrow::new(LineEndKind::None, LineEndKind::Arrow, line, edge.what, &style, &None, &None);
        picture.add_edge(arrow, nodes[edge.from], nodes[edge.to]);
    }
    let mut writer = SVGWriter::new();
    picture.do_it(false, false, false, &mut writer);
    writer.finalize()
}
