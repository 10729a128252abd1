//! Parser events -> [`Node`]s, with every limit checked while they come, so that no input costs more than it should.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::super::lines::Lines;
use super::super::problem::{Place, Problem};
use super::{Entry, Node, TreeError, Value, scalar};
use crate::vocab::{PathStep, YamlPath};

/// Longest file. The largest shipped pipeline has 5 kB; a megabyte leaves room for tables written in place.
pub(super) const BYTES_MAX: usize = 1_048_576;
/// Deepest nesting. The format itself needs 9 levels.
pub(super) const DEPTH_MAX: usize = 64;
/// Most keys and values, those that aliases stand for included: a table of thousands of rows written in place.
pub(super) const NODES_MAX: usize = 50_000;
/// Most values that aliases may stand for, all together: generous for reuse, nothing for an alias bomb.
pub(super) const ALIASED_NODES_MAX: usize = 2_000;

/// What came of a text: problems may come with a tree (duplicate keys) or without one (broken syntax).
#[derive(Debug)]
pub struct Parsed {
    /// The document, where the text could be read to its end.
    pub root: Option<Node>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// Reads one YAML document.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    let mut builder = Builder::new(text);
    let root = match builder.run() {
        Ok(root) => Some(root),
        Err((error, at)) => {
            builder.report(&error, at);
            None
        }
    };
    Parsed { root, problems: builder.problems }
}

/// A mapping or list whose end has not come yet.
struct Open {
    at: Place,
    anchor: usize,
    content: OpenContent,
}

enum OpenContent {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// Where each key stands first.
        seen: HashMap<String, Place>,
        /// The key whose value comes next.
        key: Option<(String, Place)>,
    },
}

/// What ends the reading at once.
type Fatal = (TreeError, Place);

struct Builder<'a> {
    text: &'a str,
    lines: Lines<'a>,
    /// Byte offset of every character, and the length: the parser counts characters.
    offsets: Vec<usize>,
    open: Vec<Open>,
    /// Complete anchored values and how many nodes they hold.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    aliased_nodes: usize,
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            lines: Lines::of(text),
            offsets: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            aliased_nodes: 0,
            problems: Vec::new(),
        }
    }

    /// Reads everything; the document's root node.
    fn run(&mut self) -> Result<Node, Fatal> {
        if self.text.len() > BYTES_MAX {
            return Err((TreeError::TooLong { bytes: self.text.len() }, Place::START));
        }
        self.offsets = self.text.char_indices().map(|(offset, _)| offset).chain([self.text.len()]).collect();
        self.check_characters()?;
        let mut root = None;
        for event in Parser::new_from_str(self.text) {
            let (event, span) = event.map_err(|error| self.syntax_error(&error))?;
            if let (Event::DocumentStart(_), Some(_)) = (&event, &root) {
                return Err((TreeError::SecondDocument, self.place(span)));
            }
            if let Some(node) = self.take(event, span)? {
                root = Some(node);
            }
        }
        let root = root.ok_or((TreeError::NotAMapping { found: "nothing".to_owned() }, Place::START))?;
        match root.value {
            Value::Map(_) => Ok(root),
            _ => Err((TreeError::NotAMapping { found: root.described() }, root.at)),
        }
    }

    /// Takes one event; the root where it completes it.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, Fatal> {
        let at = self.place(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                let value = match style {
                    ScalarStyle::Plain => scalar::resolve(&text),
                    _ => Value::Text(text.to_string()),
                };
                self.accept_scalar(value, &text, anchor, at)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                self.open("a list", OpenContent::List(Vec::new()), anchor, at)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                let content = OpenContent::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.open("a mapping", content, anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => Ok(self.close()),
            Event::Alias(anchor) => self.accept_alias(anchor, at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(None)
            }
        }
    }

    fn accept_scalar(&mut self, value: Value, text: &str, anchor: usize, at: Place) -> Result<Option<Node>, Fatal> {
        self.count(1, at)?;
        if let Some(OpenContent::Map { key: key @ None, .. }) = self.open.last_mut().map(|open| &mut open.content) {
            *key = Some((text.to_owned(), at));
            return Ok(None);
        }
        Ok(self.attach(Node { value, at, substituted: false }, anchor))
    }

    fn accept_alias(&mut self, anchor: usize, at: Place) -> Result<Option<Node>, Fatal> {
        self.refuse_as_key("an alias", at)?;
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err((TreeError::AliasInItself, at));
        };
        let (node, size) = (node.clone(), *size);
        self.aliased_nodes += size;
        if self.aliased_nodes > ALIASED_NODES_MAX {
            return Err((TreeError::AliasBomb, at));
        }
        self.count(size, at)?;
        let deepest = self.open.len() + depth(&node);
        if deepest > DEPTH_MAX {
            return Err((TreeError::TooDeep, at));
        }
        Ok(self.attach(node, 0))
    }

    fn open(
        &mut self,
        what: &'static str,
        content: OpenContent,
        anchor: usize,
        at: Place,
    ) -> Result<Option<Node>, Fatal> {
        self.refuse_as_key(what, at)?;
        self.count(1, at)?;
        if self.open.len() >= DEPTH_MAX {
            return Err((TreeError::TooDeep, at));
        }
        self.open.push(Open { at, anchor, content });
        Ok(None)
    }

    /// Ends the innermost mapping or list; the root where that was it.
    fn close(&mut self) -> Option<Node> {
        let open = self.open.pop()?;
        let value = match open.content {
            OpenContent::List(items) => Value::List(items),
            OpenContent::Map { entries, .. } => Value::Map(entries),
        };
        self.attach(Node { value, at: open.at, substituted: false }, open.anchor)
    }

    /// Puts a complete node where it belongs; gives it back where it belongs nowhere: it is the root.
    fn attach(&mut self, node: Node, anchor: usize) -> Option<Node> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size(&node)));
        }
        if self.refuse_duplicate() {
            return None;
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => return Some(node),
            Some(OpenContent::List(items)) => items.push(node),
            Some(OpenContent::Map { entries, seen, key }) => {
                let (key, key_at) = key.take()?;
                seen.insert(key.clone(), key_at);
                entries.push(Entry { key, key_at, value: node });
            }
        }
        None
    }

    /// Reports the waiting key where its mapping has it already, and drops it: the first value counts.
    fn refuse_duplicate(&mut self) -> bool {
        let Some(OpenContent::Map { seen, key: waiting, .. }) = self.open.last_mut().map(|open| &mut open.content)
        else {
            return false;
        };
        let Some(first) = waiting.as_ref().and_then(|(key, _)| seen.get(key)).copied() else { return false };
        let Some((key, key_at)) = waiting.take() else { return false };
        let path = self.path().key(key.clone());
        let error = TreeError::DuplicateKey { key, line: first.line, column: first.column };
        self.problems.push(problem(&error, path, key_at));
        true
    }

    fn refuse_as_key(&self, found: &'static str, at: Place) -> Result<(), Fatal> {
        match self.open.last().map(|open| &open.content) {
            Some(OpenContent::Map { key: None, .. }) => Err((TreeError::Key { found }, at)),
            _ => Ok(()),
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, at: Place) {
        if let Some(tag) = tag {
            let tag = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
            self.report(&TreeError::Tag { tag }, at);
        }
    }

    fn count(&mut self, nodes: usize, at: Place) -> Result<(), Fatal> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX { Err((TreeError::TooMany, at)) } else { Ok(()) }
    }

    fn report(&mut self, error: &TreeError, at: Place) {
        let path = self.path();
        self.problems.push(problem(error, path, at));
    }

    /// The mapping or list that is being filled, without the key that waits for its value.
    fn path(&self) -> YamlPath {
        let enclosing = self.open.len().saturating_sub(1);
        let steps = self.open[..enclosing].iter().filter_map(|open| match &open.content {
            OpenContent::List(items) => Some(PathStep::Index(items.len())),
            OpenContent::Map { key, .. } => key.as_ref().map(|(key, _)| PathStep::Key(key.clone())),
        });
        YamlPath(steps.collect())
    }

    fn place(&self, span: Span) -> Place {
        let byte = |index: usize| self.offsets.get(index).copied().unwrap_or(self.text.len());
        self.lines.place(byte(span.start.index()), byte(span.end.index()))
    }

    /// YAML's printable characters; the parser takes some of the others for the end of the text.
    fn check_characters(&self) -> Result<(), Fatal> {
        let printable = |character: char| match character {
            '\t' | '\n' | '\r' | '\u{85}' => true,
            '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
            other => !other.is_control(),
        };
        match self.text.char_indices().find(|(_, character)| !printable(*character)) {
            Some((start, character)) => {
                let at = self.lines.place(start, start + character.len_utf8());
                Err((TreeError::Character { character }, at))
            }
            None => Ok(()),
        }
    }

    fn syntax_error(&self, error: &ScanError) -> Fatal {
        let at = self.place(Span::empty(*error.marker()));
        // The parser's own limit on brackets: it looks further ahead than we count.
        if error.info().contains("recursion limit") {
            return (TreeError::TooDeep, at);
        }
        // A tab stops the parser at the tab, or where the token before it began.
        let near = self.text.get(at.start..).unwrap_or_default();
        let tab = self.text[..at.start].ends_with('\t')
            || near.lines().take(2).any(|line| line.trim_start_matches(' ').starts_with('\t'));
        let advice = match error.info() {
            info if tab && info.contains("tab") => Some("YAML indents with spaces: replace the tabs"),
            info if info.contains("mapping values are not allowed") => {
                Some("put quotes around a value that contains `: `, and check the indentation of this line")
            }
            info if info.contains("unexpected character") => {
                Some("put quotes around a value that starts with this character")
            }
            info if info.contains("block scalar") => Some(
                "put quotes around a condition: `\"> 35\"`; a value that begins with `>` or `|` is a block of text in YAML",
            ),
            info if info.contains("quoted scalar") => Some("close the quotes"),
            info if info.contains("unknown anchor") => Some("put quotes around a value that starts with `*`"),
            _ => Some("check the indentation, brackets and quotes of this line and the one before it"),
        };
        (TreeError::Syntax { reason: error.info().to_owned(), advice }, at)
    }
}

fn problem(error: &TreeError, path: YamlPath, at: Place) -> Problem {
    Problem { path, at, message: error.to_string(), hint: error.hint().map(str::to_owned) }
}

/// Nodes in a value, itself included.
fn size(node: &Node) -> usize {
    let below: usize = match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| 1 + size(&entry.value)).sum(),
        _ => 0,
    };
    1 + below
}

/// Levels of mappings and lists in a value.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
        _ => 0,
    }
}
