//! Key columns of rows -> dense ids of one partition. Ids of expired keys are given out again, the least first.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::ops::Range;

use arrow::array::Array;
use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use super::key_columns::{KeyColumns, SEPARATOR};
use crate::vocab::{KEY_BYTES_MAX, KeyId};

/// Stands for the id of a key that has to be looked up by itself; no key has it, since ids count keys.
pub(super) const UNKNOWN: KeyId = KeyId::MAX;

/// A key's values, joined; up to 24 bytes of them lie where the name lies, so that reading it is one access to memory.
pub(super) type Name = CompactString;

/// Life of one key, in windows by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    /// The window from which on the key has a row at every closing; that of its first accepted row.
    pub(super) first_window: i64,
    /// The last closed window with accepted rows of the key; `first_window` until that has closed.
    pub(super) last_window: i64,
}

impl Life {
    /// Of an id that is free.
    const FREE: Self = Self { first_window: i64::MAX, last_window: i64::MAX };

    /// Of a key whose first row stands in this window.
    pub(super) fn since(window: i64) -> Self {
        Self { first_window: window, last_window: window }
    }
}

/// Keys of one partition by id and by name.
#[derive(Debug, Default)]
pub struct Keys {
    /// Number of key columns.
    columns: usize,
    /// Values of the key columns, joined, by id; `None` for an id that is free.
    names: Vec<Option<Name>>,
    lives: Vec<Life>,
    /// No key has a later first window: rows of later windows need not look at their key's life.
    first_window_max: i64,
    free: BTreeSet<KeyId>,
    ids: HashTable<KeyId>,
    hasher: DefaultHashBuilder,
    scratch: String,
}

/// What a row's key is called in a partition.
pub(super) enum Interned {
    /// It is known.
    Known(KeyId),
    /// It was given this id.
    New(KeyId),
    /// It is null or holds the separator.
    NoKey,
    /// It is longer than [`KEY_BYTES_MAX`].
    TooLong,
    /// The partition holds as many keys as it may.
    Full,
}

impl Keys {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, first_window_max: i64::MIN, ..Self::default() }
    }

    /// Number of ids given out, free ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no id was ever given out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Number of keys that are not expired.
    #[must_use]
    pub fn live_count(&self) -> usize {
        self.names.len() - self.free.len()
    }

    /// Values of a key's columns in the window's order; none for an id that is free.
    pub fn values(&self, key: KeyId) -> impl Iterator<Item = &str> {
        // A lone column is not joined: whatever it holds is its value.
        self.name(key).into_iter().flat_map(|name| name.splitn(self.columns, SEPARATOR))
    }

    /// A key's name: its values, joined by U+001F, which no value of several columns holds; none for an id that is free.
    #[must_use]
    pub fn name(&self, key: KeyId) -> Option<&str> {
        self.names.get(key as usize).and_then(Option::as_deref)
    }

    pub(super) fn names(&self) -> &[Option<Name>] {
        &self.names
    }

    pub(super) fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// Whether a window comes before the first one of a key.
    pub(super) fn before_first(&self, key: KeyId, window: i64) -> bool {
        window < self.first_window_max && window < self.lives[key as usize].first_window
    }

    /// Gives a key, known or new, another first window.
    pub(super) fn begin(&mut self, key: KeyId, window: i64) {
        self.lives[key as usize] = Life::since(window);
        self.first_window_max = self.first_window_max.max(window);
    }

    /// Notes a closed window with rows of the key.
    pub(super) fn seen(&mut self, key: KeyId, window: i64) {
        self.lives[key as usize].last_window = window;
    }

    /// The ids of rows, [`UNKNOWN`] where [`Keys::intern`] has to look. In two passes of few instructions a row, so that the
    /// processor waits for the memory of many rows at a time: with a hundred thousand keys nothing of it is in a cache.
    pub(super) fn find_many(&self, columns: &KeyColumns<'_>, rows: Range<usize>, found: &mut Vec<KeyId>) {
        found.clear();
        let Some(texts) = columns.lone_text().filter(|texts| texts.null_count() == 0) else {
            found.resize(rows.len(), UNKNOWN);
            return;
        };
        found.extend(rows.clone().map(|row| {
            let mut first = UNKNOWN;
            // The first whose hash looks alike; one in twenty is another key.
            self.ids.find(self.hasher.hash_one(texts.value(row)), |id| {
                first = *id;
                true
            });
            first
        }));
        for (row, id) in rows.zip(found) {
            let name = self.names.get(*id as usize).and_then(Option::as_deref);
            if name != Some(texts.value(row)) {
                *id = UNKNOWN;
            }
        }
    }

    /// The id of a row's key, a new one where it is not known: its first row stands in `window`.
    pub(super) fn intern(&mut self, columns: &KeyColumns<'_>, row: usize, window: i64, keys_max: u32) -> Interned {
        let mut scratch = std::mem::take(&mut self.scratch);
        let interned = match columns.text(row, &mut scratch) {
            Some(name) if name.len() > KEY_BYTES_MAX => Interned::TooLong,
            Some(name) => self.id_of(name, window, keys_max),
            None => Interned::NoKey,
        };
        self.scratch = scratch;
        interned
    }

    fn id_of(&mut self, name: &str, window: i64, keys_max: u32) -> Interned {
        let hash = self.hasher.hash_one(name);
        let same = |id: &KeyId| self.names[*id as usize].as_deref() == Some(name);
        if let Some(id) = self.ids.find(hash, same) {
            return Interned::Known(*id);
        }
        if self.live_count() >= keys_max as usize {
            return Interned::Full;
        }
        let id = self.free.pop_first().unwrap_or_else(|| {
            self.names.push(None);
            self.lives.push(Life::FREE);
            (self.names.len() - 1) as KeyId
        });
        self.names[id as usize] = Some(name.into());
        self.begin(id, window);
        self.index(id, hash);
        Interned::New(id)
    }

    fn index(&mut self, id: KeyId, hash: u64) {
        let (names, hasher) = (&self.names, &self.hasher);
        self.ids.insert_unique(hash, id, |id| hasher.hash_one(names[*id as usize].as_deref().unwrap_or_default()));
    }

    /// Forgets a key; its id is free from now on.
    pub(super) fn expire(&mut self, key: KeyId) {
        let Some(name) = self.names[key as usize].take() else { return };
        if let Ok(entry) = self.ids.find_entry(self.hasher.hash_one(&*name), |id| *id == key) {
            entry.remove();
        }
        self.lives[key as usize] = Life::FREE;
        self.free.insert(key);
    }

    /// Keys as they were saved, by id; `None` where the two do not fit each other.
    pub(super) fn of(columns: usize, names: Vec<Option<Name>>, lives: Vec<Life>) -> Option<Self> {
        if names.len() != lives.len() {
            return None;
        }
        let free = (0..names.len()).filter(|id| names[*id].is_none()).map(|id| id as KeyId).collect();
        let begun = lives.iter().map(|life| life.first_window).filter(|first| *first != Life::FREE.first_window);
        let first_window_max = begun.max().unwrap_or(i64::MIN);
        let mut keys = Self { names, lives, free, first_window_max, ..Self::new(columns) };
        for id in 0..keys.names.len() {
            if let Some(name) = &keys.names[id] {
                let hash = keys.hasher.hash_one(&**name);
                keys.index(id as KeyId, hash);
            }
        }
        Some(keys)
    }
}
