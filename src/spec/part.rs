//! A part of the file as the rules see it: a path, and the node there if there is one. A rule reads what it needs, and
//! keeps quiet where that is missing or malformed: the schema check has said so already. This is how rules still run on
//! the healthy parts of a broken file.

use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::tree::{Node, Value};
use crate::vocab::YamlPath;

/// A place in the file that may hold something.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    root: &'a Node,
    node: Option<&'a Node>,
    /// Where it is, or would be.
    pub(super) path: YamlPath,
}

impl<'a> Part<'a> {
    /// The whole file.
    pub(super) fn root(root: &'a Node) -> Self {
        Self { root, node: Some(root), path: YamlPath::default() }
    }

    /// The value of a key, present or not.
    pub(super) fn get(&self, key: &str) -> Self {
        let node = self.node.and_then(|node| node.entry(key)).map(|entry| &entry.value);
        Self { root: self.root, node, path: self.path.key(key) }
    }

    /// Whether something stands here, well-formed or not.
    pub(super) fn given(&self) -> bool {
        self.node.is_some()
    }

    /// Whether nothing, or nothing but brackets, stands here.
    pub(super) fn is_empty(&self) -> bool {
        self.node.is_none_or(|node| node.entries().is_empty() && node.items().is_empty())
    }

    /// The value as a type of the model; `None` where it is missing or is no such thing.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_value(self.node?.to_json()).ok()
    }

    /// The value; the type's default where it is missing, `None` where it is malformed.
    pub(super) fn read_or_default<T: DeserializeOwned + Default>(&self) -> Option<T> {
        if self.given() { self.read() } else { Some(T::default()) }
    }

    /// The text here.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.node.map(|node| &node.value) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The texts of a list, each with its part; other items are left out.
    pub(super) fn texts(&self) -> Vec<(&'a str, Self)> {
        self.items().into_iter().filter_map(|item| item.text().map(|text| (text, item))).collect()
    }

    /// The entries of a mapping.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let entries = self.node.map_or(&[][..], Node::entries);
        entries.iter().map(|entry| (entry.key.as_str(), self.get(&entry.key))).collect()
    }

    /// The keys of a mapping.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        self.node.map_or(&[][..], Node::entries).iter().map(|entry| entry.key.as_str()).collect()
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Vec<Self> {
        let items = self.node.map_or(&[][..], Node::items);
        let part = |(index, node)| Self { root: self.root, node: Some(node), path: self.path.index(index) };
        items.iter().enumerate().map(part).collect()
    }

    /// The one key of a step (`- dedupe: {...}`) and its value.
    pub(super) fn variant(&self) -> Option<(&'a str, Self)> {
        match self.node?.entries() {
            [entry] => Some((entry.key.as_str(), self.get(&entry.key))),
            _ => None,
        }
    }

    /// A problem with the value here; with what encloses it where nothing stands here.
    pub(super) fn problem(&self, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        self.problem_at(self.root.place(&self.path), message.into(), hint.into())
    }

    /// A problem with the key here.
    pub(super) fn key_problem(&self, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        self.problem_at(self.root.key_place(&self.path), message.into(), hint.into())
    }

    fn problem_at(&self, at: super::problem::Place, message: String, hint: String) -> Problem {
        Problem { path: self.path.clone(), at, message, hint: Some(hint).filter(|hint| !hint.is_empty()) }
    }
}
