//! Key columns of rows -> dense ids of one partition. Ids of expired keys are given out again.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};
use std::hash::BuildHasher;

use crate::vocab::KeyId;

/// Joins the values of several key columns; a value that holds it is refused.
const SEPARATOR: char = '\u{1f}';

/// Life of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyLife {
    /// Values of the key columns, joined; `None` for an id that is free.
    pub(super) name: Option<String>,
    /// Index of the first window that holds an accepted row.
    pub(super) first_window: i64,
    /// Index of the last window that holds an accepted row.
    pub(super) last_window: i64,
}

/// Keys of one partition by id and by name.
#[derive(Debug, Default)]
pub struct Keys {
    pub(super) lives: Vec<KeyLife>,
    /// Free ids, the one to give out next last.
    pub(super) free: Vec<KeyId>,
    ids: HashTable<KeyId>,
    hasher: DefaultHashBuilder,
    scratch: String,
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
    /// Number of ids given out, free ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lives.len()
    }

    /// Whether no id was ever given out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    /// Number of keys that are not expired.
    #[must_use]
    pub fn live_count(&self) -> usize {
        self.lives.len() - self.free.len()
    }

    /// Values of a key's columns in the window's order; none for an id that is free.
    pub fn values(&self, key: KeyId) -> impl Iterator<Item = &str> {
        let name = self.lives.get(key as usize).and_then(|life| life.name.as_deref());
        name.into_iter().flat_map(|name| name.split(SEPARATOR))
    }

    /// The id of a row's key, a new one where it was never seen; `None` where the row has no key or the partition
    /// already holds `keys_max`.
    pub(super) fn intern(&mut self, columns: &KeyColumns<'_>, row: usize, window: i64, keys_max: u32) -> Option<KeyId> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let id = columns.text(row, &mut scratch).and_then(|name| self.id_of(name, window, keys_max));
        self.scratch = scratch;
        id
    }

    fn id_of(&mut self, name: &str, window: i64, keys_max: u32) -> Option<KeyId> {
        let hash = self.hasher.hash_one(name);
        let same = |id: &KeyId| self.lives[*id as usize].name.as_deref() == Some(name);
        if let Some(id) = self.ids.find(hash, same) {
            return Some(*id);
        }
        if self.live_count() >= keys_max as usize {
            return None;
        }
        let life = KeyLife { name: Some(name.to_owned()), first_window: window, last_window: window };
        let id = if let Some(id) = self.free.pop() {
            self.lives[id as usize] = life;
            id
        } else {
            self.lives.push(life);
            (self.lives.len() - 1) as KeyId
        };
        let (lives, hasher) = (&self.lives, &self.hasher);
        self.ids.insert_unique(hash, id, |id| hasher.hash_one(lives[*id as usize].name.as_deref().unwrap_or_default()));
        Some(id)
    }

    /// Forgets a key; its id is free from now on.
    pub(super) fn expire(&mut self, key: KeyId) {
        let Some(name) = self.lives[key as usize].name.take() else { return };
        let hash = self.hasher.hash_one(name.as_str());
        if let Ok(entry) = self.ids.find_entry(hash, |id| *id == key) {
            entry.remove();
        }
        self.free.push(key);
    }

    /// Keys as they were saved.
    pub(super) fn of(lives: Vec<KeyLife>, free: Vec<KeyId>) -> Self {
        let mut keys = Self { lives, free, ..Self::default() };
        let (lives, hasher) = (&keys.lives, &keys.hasher);
        for (id, life) in lives.iter().enumerate() {
            if let Some(name) = &life.name {
                let rehash = |id: &KeyId| hasher.hash_one(lives[*id as usize].name.as_deref().unwrap_or_default());
                keys.ids.insert_unique(hasher.hash_one(name.as_str()), id as KeyId, rehash);
            }
        }
        keys
    }
}
