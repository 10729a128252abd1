//! What can be wrong with a pipeline file before anybody asks what it means.

use super::build::{ALIASED_NODES_MAX, BYTES_MAX, DEPTH_MAX, NODES_MAX};

/// Why a text is not one plain YAML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The file cannot be read at all.
    #[error("the file cannot be read: {reason}")]
    Unreadable {
        /// The system's words.
        reason: String,
    },
    /// Bytes that are not UTF-8.
    #[error("byte 0x{byte:02x} is not valid UTF-8")]
    NotUtf8 {
        /// The first such byte.
        byte: u8,
    },
    /// The parser refused the text.
    #[error("not valid YAML: {reason}")]
    Syntax {
        /// The parser's words.
        reason: String,
        /// What to do about it, where the surroundings tell.
        advice: Option<&'static str>,
    },
    /// A character that YAML does not allow.
    #[error("character U+{:04X} is not allowed in YAML", u32::from(*.character))]
    Character {
        /// The character.
        character: char,
    },
    /// The text is too long.
    #[error("the file has {bytes} bytes, more than the {BYTES_MAX} a pipeline file may have")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Mappings and lists are nested too deeply.
    #[error("nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// There are too many values.
    #[error("more than {NODES_MAX} keys and values")]
    TooMany,
    /// Aliases stand for too much.
    #[error("aliases stand for more than {ALIASED_NODES_MAX} values in all")]
    AliasBomb,
    /// An alias inside the value that it stands for.
    #[error("the alias stands inside its own anchor")]
    AliasInItself,
    /// A second document.
    #[error("a second YAML document starts here; a pipeline file holds one")]
    SecondDocument,
    /// No document, or one that is not a mapping.
    #[error("a pipeline file is a mapping of keys to values, found {found}")]
    NotAMapping {
        /// What it is instead.
        found: String,
    },
    /// A tag.
    #[error("tag `{tag}` is not used in a pipeline file")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// A mapping, list or alias as a key.
    #[error("a key must be plain text, found {found}")]
    Key {
        /// What it is instead.
        found: &'static str,
    },
    /// The same key twice in one mapping.
    #[error("key `{key}` stands twice in this mapping: first in line {line}, column {column}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Line of the first, from 1.
        line: usize,
        /// Column of the first, from 1.
        column: usize,
    },
}

impl TreeError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable { .. } => Some("check the path and its permissions"),
            Self::NotUtf8 { .. } => Some("save the file as UTF-8"),
            Self::Syntax { advice, .. } => *advice,
            Self::Character { .. } => Some("remove it, or write it as an escape in double quotes: \"\\u0007\""),
            Self::TooLong { .. } => {
                Some("keep long tables in CSV files: `tables: { sites: { file: sites.csv, ... } }`")
            }
            Self::TooDeep | Self::TooMany => Some("a pipeline file needs far less: check how it was generated"),
            Self::AliasBomb | Self::AliasInItself => Some("write the values out, or use `vars:`"),
            Self::SecondDocument => Some("remove the `---`, or keep each pipeline in its own file"),
            Self::NotAMapping { .. } => Some("start with `version: 1` and `pipeline: <name>`"),
            Self::Tag { .. } => Some("remove the tag; quotes make a value text"),
            Self::Key { .. } => Some("put the key in quotes if the brackets belong to it"),
            Self::DuplicateKey { .. } => Some("remove one of the two"),
        }
    }
}
