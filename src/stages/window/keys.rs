//! Key columns of rows -> dense ids of one partition. Ids of expired keys are given out again, the least first.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use crate::vocab::{KEY_BYTES_MAX, KeyId};

/// Joins the values of several key columns; a value that holds it is refused, so that no two keys look alike.
const SEPARATOR: char = '\u{1f}';

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
    names: Vec<Option<Box<str>>>,
    lives: Vec<Life>,
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

/// The key columns of a batch, ready to be read row by row.
pub(super) struct KeyColumns<'a> {
    columns: Vec<KeyColumn<'a>>,
}

enum KeyColumn<'a> {
    Text(&'a arrow::array::StringArray),
    Number(&'a arrow::array::Int64Array),
}

impl<'a> KeyColumns<'a> {
    /// Views of the columns, whose types the plan has checked: text or whole numbers.
    pub(super) fn new(columns: impl Iterator<Item = &'a ArrayRef>) -> Self {
        let view = |column: &'a ArrayRef| match column.data_type() {
            DataType::Int64 => KeyColumn::Number(column.as_primitive::<Int64Type>()),
            _ => KeyColumn::Text(column.as_string::<i32>()),
        };
        Self { columns: columns.map(view).collect() }
    }

    /// The text of a row's key: borrowed where one column holds it, else in `scratch`. `None` where it cannot be one.
    fn text<'s>(&self, row: usize, scratch: &'s mut String) -> Option<&'s str>
    where
        'a: 's,
    {
        if let [KeyColumn::Text(values)] = self.columns.as_slice() {
            return values.is_valid(row).then(|| values.value(row));
        }
        scratch.clear();
        for (position, column) in self.columns.iter().enumerate() {
            if position > 0 {
                scratch.push(SEPARATOR);
            }
            match column {
                KeyColumn::Text(values) if values.is_valid(row) && !values.value(row).contains(SEPARATOR) => {
                    scratch.push_str(values.value(row));
                }
                KeyColumn::Number(values) if values.is_valid(row) => {
                    use std::fmt::Write as _;
                    // Writing to a string cannot fail.
                    let _ = write!(scratch, "{}", values.value(row));
                }
                _ => return None,
            }
        }
        Some(scratch.as_str())
    }
}

impl Keys {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
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
        let name = self.names.get(key as usize).and_then(Option::as_deref);
        // A lone column is not joined: whatever it holds is its value.
        name.into_iter().flat_map(|name| name.splitn(self.columns, SEPARATOR))
    }

    pub(super) fn names(&self) -> &[Option<Box<str>>] {
        &self.names
    }

    pub(super) fn lives(&self) -> &[Life] {
        &self.lives
    }

    pub(super) fn life_mut(&mut self, key: KeyId) -> &mut Life {
        &mut self.lives[key as usize]
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
        self.lives[id as usize] = Life::since(window);
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
    pub(super) fn of(columns: usize, names: Vec<Option<Box<str>>>, lives: Vec<Life>) -> Option<Self> {
        if names.len() != lives.len() {
            return None;
        }
        let free = (0..names.len()).filter(|id| names[*id].is_none()).map(|id| id as KeyId).collect();
        let mut keys = Self { columns, names, lives, free, ..Self::default() };
        for id in 0..keys.names.len() {
            if let Some(name) = &keys.names[id] {
                let hash = keys.hasher.hash_one(&**name);
                keys.index(id as KeyId, hash);
            }
        }
        Some(keys)
    }
}
