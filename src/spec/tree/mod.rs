//! YAML text -> a tree in which every key and value knows its place. Scalars are YAML 1.2's core schema (`no` is text);
//! duplicate keys, tags, several documents and alias bombs are refused. Nothing here knows what a pipeline is.

mod build;
mod error;
mod scalar;

use serde_json::Value as Json;

pub use build::{Parsed, parse};
pub use error::TreeError;
pub(super) use scalar::number;

use super::problem::Place;
use crate::vocab::{PathStep, YamlPath};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands: the whole scalar, the first character of a mapping or list.
    pub at: Place,
    /// Whether a variable was put into this text: only then may it become a number or boolean.
    pub substituted: bool,
}

/// What a YAML node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, and how it was written.
    Number(serde_json::Number, String),
    /// Text, quoted or not.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order it was written; no key stands twice.
    Map(Vec<Entry>),
}

/// A key of a mapping and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key as text.
    pub key: String,
    /// Where the key stands.
    pub key_at: Place,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The entries, where this is a mapping; else none.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items, where this is a list; else none.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of a key, where this is a mapping that has it.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The same entry, to be changed.
    pub fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        match &mut self.value {
            Value::Map(entries) => entries.iter_mut().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The node at a path below this one.
    #[must_use]
    pub fn find(&self, path: &YamlPath) -> Option<&Self> {
        path.0.iter().try_fold(self, |node, step| match step {
            PathStep::Key(key) => node.entry(key).map(|entry| &entry.value),
            PathStep::Index(index) => node.items().get(*index),
        })
    }

    /// The same node, to be changed.
    pub fn find_mut(&mut self, path: &YamlPath) -> Option<&mut Self> {
        path.0.iter().try_fold(self, |node, step| match step {
            PathStep::Key(key) => node.entry_mut(key).map(|entry| &mut entry.value),
            PathStep::Index(index) => match &mut node.value {
                Value::List(items) => items.get_mut(*index),
                _ => None,
            },
        })
    }

    /// Where to point for a problem with the value at `path`: at a scalar itself, at the key of a mapping or list. A
    /// path that leads out of the tree ends at its last part that is there.
    #[must_use]
    pub fn place(&self, path: &YamlPath) -> Place {
        let mut at = Place { end: self.at.start, ..self.at };
        let mut node = self;
        for step in &path.0 {
            let (key_at, next) = match step {
                PathStep::Key(key) => match node.entry(key) {
                    Some(entry) => (entry.key_at, &entry.value),
                    None => return at,
                },
                PathStep::Index(index) => match node.items().get(*index) {
                    Some(item) => (item.at, item),
                    None => return at,
                },
            };
            at = if next.is_scalar() { next.at } else { key_at };
            node = next;
        }
        at
    }

    /// Where the last key of `path` stands; the item itself for a list index.
    #[must_use]
    pub fn key_place(&self, path: &YamlPath) -> Place {
        let parent = path.0.split_last().map(|(last, rest)| (last, YamlPath(rest.to_vec())));
        let entry = match &parent {
            Some((PathStep::Key(key), rest)) => self.find(rest).and_then(|node| node.entry(key)),
            _ => None,
        };
        entry.map_or_else(|| self.place(path), |entry| entry.key_at)
    }

    /// Whether this is neither a mapping nor a list, and takes up some characters to point at.
    fn is_scalar(&self) -> bool {
        self.at.end > self.at.start && !matches!(self.value, Value::Map(_) | Value::List(_))
    }

    /// The value without places.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number, _) => Json::Number(number.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
        }
    }

    /// The value in words, for sentences: text `fast`, number 3, a list.
    #[must_use]
    pub fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(_, written) => format!("number {written}"),
            Value::Text(text) => format!("text `{}`", shortened(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// Most characters of a value that a sentence repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// The first characters of a text, in one line.
#[must_use]
pub fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        short.push_str("...");
    }
    short
}
