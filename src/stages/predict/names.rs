//! Names of a partition's keys, for what is known of keys by name: every partition numbers them by itself.

use std::fmt;

use crate::stages::window::Keys;
use crate::vocab::KeyId;

/// Tells what keys are called.
pub trait KeyNames: fmt::Debug {
    /// The name of a key: the values of its columns, joined by U+001F. `None` of an id that is free, or that nobody knows.
    fn name(&self, key: KeyId) -> Option<&str>;
}

impl KeyNames for Keys {
    fn name(&self, key: KeyId) -> Option<&str> {
        Self::name(self, key)
    }
}

/// Nobody knows any name.
#[derive(Debug, Clone, Copy)]
pub struct Nameless;

impl KeyNames for Nameless {
    fn name(&self, _key: KeyId) -> Option<&str> {
        None
    }
}
