//! A CSV text with a header line, or rows written in place -> a typed [`Table`] with unique keys. Reads no files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};

/// Stands between the values of a key of several columns.
pub const KEY_SEPARATOR: char = '\u{1f}';

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
}

impl Cell {
    /// The cell as text; `None` for null.
    fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(value.to_string()),
            Self::Int(value) => Some(value.to_string()),
            Self::Float(value) => Some(value.to_string()),
            Self::Text(value) => Some(value.clone()),
        }
    }
}

/// A table that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not CSV.
    #[error("line {line}: {message}")]
    Csv {
        /// Line of the text, from 1; 0 where it cannot be told.
        line: u64,
        /// The reader's words.
        message: String,
    },
    /// No column of the key's name.
    #[error("no key column `{key}`; the columns are {columns}")]
    NoKeyColumn {
        /// The key.
        key: String,
        /// What there is.
        columns: String,
    },
    /// Two columns of one name.
    #[error("column `{name}` stands twice in the header")]
    RepeatedColumn {
        /// The name.
        name: String,
    },
    /// A row without a key.
    #[error("row {row} has no `{key}`")]
    NullKey {
        /// Row, from 1, without the header.
        row: usize,
        /// The key column.
        key: String,
    },
    /// Two rows with one key.
    #[error("row {row} repeats the key `{key}`")]
    RepeatedKey {
        /// Row, from 1, without the header.
        row: usize,
        /// The key.
        key: String,
    },
}

/// A small table in memory, one row per key.
#[derive(Debug, Clone)]
pub struct Table {
    name: String,
    keys: Vec<String>,
    columns: BTreeMap<String, ArrayRef>,
    hash: String,
}

/// Tables of one name and the same keys and cells are the same.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.hash) == (&other.name, &other.hash)
    }
}

impl Table {
    /// Reads CSV text with a header line. A column is `Int64` where every cell is a whole number without leading
    /// zeros, else `Float64` where every cell is a finite number, else `Boolean` where every cell is `true` or
    /// `false`, else `Utf8`. Empty cells are null.
    ///
    /// # Errors
    /// [`TableError`] with the line or row.
    pub fn from_csv(name: &str, text: &[u8], key: &str) -> Result<Self, TableError> {
        Self::from_csv_by(name, text, &[key])
    }

    /// Likewise with a key of several columns, whose values [`KEY_SEPARATOR`] joins.
    ///
    /// # Errors
    /// [`TableError`] with the line or row.
    pub fn from_csv_by(name: &str, text: &[u8], key: &[&str]) -> Result<Self, TableError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
        let header = reader.headers().map_err(|error| csv_error(&error))?.clone();
        let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); header.len()];
        for record in reader.records() {
            let cells = record.map_err(|error| csv_error(&error))?;
            for (column, cell) in columns.iter_mut().zip(&cells) {
                column.push(if cell.is_empty() { Cell::Null } else { Cell::Text(cell.to_owned()) });
            }
        }
        let mut named = BTreeMap::new();
        for (title, cells) in header.iter().zip(columns) {
            if named.insert(title.to_owned(), cells).is_some() {
                return Err(TableError::RepeatedColumn { name: title.to_owned() });
            }
        }
        let keys = unique_keys(&named, key)?;
        let typed = named.into_iter().map(|(title, cells)| (title, parsed_cells(cells))).collect();
        Ok(Self::build(name, keys, &typed))
    }

    /// Takes rows written in place; a column left out of a row is null there.
    ///
    /// # Errors
    /// [`TableError`] with the row.
    pub fn from_rows(name: &str, rows: &[BTreeMap<String, Cell>], key: &str) -> Result<Self, TableError> {
        Self::from_rows_by(name, rows, &[key])
    }

    /// Likewise with a key of several columns, whose values [`KEY_SEPARATOR`] joins.
    ///
    /// # Errors
    /// [`TableError`] with the row.
    pub fn from_rows_by(name: &str, rows: &[BTreeMap<String, Cell>], key: &[&str]) -> Result<Self, TableError> {
        let titles: BTreeSet<&String> = rows.iter().flat_map(BTreeMap::keys).collect();
        let mut named = BTreeMap::new();
        for title in titles {
            let cells: Vec<Cell> = rows.iter().map(|row| row.get(title).cloned().unwrap_or(Cell::Null)).collect();
            named.insert(title.clone(), cells);
        }
        let keys = unique_keys(&named, key)?;
        Ok(Self::build(name, keys, &named))
    }

    fn build(name: &str, keys: Vec<String>, cells: &BTreeMap<String, Vec<Cell>>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for text in &keys {
            hash_text(&mut hasher, Some(text));
        }
        for (title, column) in cells {
            hash_text(&mut hasher, Some(title));
            for cell in column {
                hash_text(&mut hasher, cell.text().as_deref());
            }
        }
        let columns = cells.iter().map(|(title, column)| (title.clone(), typed_array(column))).collect();
        Self { name: name.to_owned(), keys, columns, hash: hasher.finalize().to_hex().to_string() }
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key of each row, as text.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// A column's values, one per row.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.columns.get(name)
    }

    /// Names of the columns, sorted.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }

    /// Digest of keys and cells (blake3, hexadecimal): state that depends on the table is kept only under the same.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Length first, so that no two lists of texts are fed alike; null is no text of any length.
fn hash_text(hasher: &mut blake3::Hasher, text: Option<&str>) {
    let length = text.map_or(u64::MAX, |text| text.len() as u64);
    hasher.update(&length.to_le_bytes());
    hasher.update(text.unwrap_or_default().as_bytes());
}

fn csv_error(error: &csv::Error) -> TableError {
    let line = error.position().map_or(0, csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => {
            "it is not UTF-8; convert the file: `iconv -f WINDOWS-1252 -t UTF-8`, where it is an Excel `CSV` of Western Europe"
                .to_owned()
        }
        _ => error.to_string(),
    };
    TableError::Csv { line, message }
}

fn unique_keys(columns: &BTreeMap<String, Vec<Cell>>, key: &[&str]) -> Result<Vec<String>, TableError> {
    let mut of_key = Vec::with_capacity(key.len());
    for name in key {
        let Some(cells) = columns.get(*name) else {
            let columns = columns.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(TableError::NoKeyColumn { key: (*name).to_owned(), columns });
        };
        of_key.push((*name, cells));
    }
    let rows = of_key.first().map_or(0, |(_, cells)| cells.len());
    let mut seen = BTreeSet::new();
    let mut keys = Vec::with_capacity(rows);
    for index in 0..rows {
        let row = index + 1;
        let mut joined = String::new();
        for (place, (name, cells)) in of_key.iter().enumerate() {
            let text = cells[index].text().ok_or_else(|| TableError::NullKey { row, key: (*name).to_owned() })?;
            if place > 0 {
                joined.push(KEY_SEPARATOR);
            }
            joined.push_str(&text);
        }
        if !seen.insert(joined.clone()) {
            return Err(TableError::RepeatedKey { row, key: joined.replace(KEY_SEPARATOR, ", ") });
        }
        keys.push(joined);
    }
    Ok(keys)
}

/// Reads text cells as the narrowest kind that holds all of them.
fn parsed_cells(cells: Vec<Cell>) -> Vec<Cell> {
    let kinds: [fn(&str) -> Option<Cell>; 3] = [int_cell, float_cell, bool_cell];
    for parse in kinds {
        let parsed: Option<Vec<Cell>> = cells
            .iter()
            .map(|cell| match cell {
                Cell::Text(text) => parse(text),
                other => Some(other.clone()),
            })
            .collect();
        if let Some(parsed) = parsed {
            return parsed;
        }
    }
    cells
}

fn int_cell(text: &str) -> Option<Cell> {
    // `0042` identifies something; as a number it would lose its zeros.
    let digits = text.trim_start_matches('-');
    if text.starts_with('+') || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    text.parse().ok().map(Cell::Int)
}

fn float_cell(text: &str) -> Option<Cell> {
    let digits = text.trim_start_matches('-');
    if digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.") {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(Cell::Float)
}

fn bool_cell(text: &str) -> Option<Cell> {
    text.parse().ok().map(Cell::Bool)
}

/// The narrowest type that holds all cells; nulls fit everywhere, nothing but nulls is text.
fn typed_array(cells: &[Cell]) -> ArrayRef {
    let ints = cells.iter().all(|cell| matches!(cell, Cell::Null | Cell::Int(_)));
    let numbers = cells.iter().all(|cell| matches!(cell, Cell::Null | Cell::Int(_) | Cell::Float(_)));
    let bools = cells.iter().all(|cell| matches!(cell, Cell::Null | Cell::Bool(_)));
    if cells.iter().all(|cell| *cell == Cell::Null) {
        return Arc::new(StringArray::new_null(cells.len()));
    }
    if ints {
        let values = cells.iter().map(|cell| if let Cell::Int(value) = cell { Some(*value) } else { None });
        return Arc::new(Int64Array::from_iter(values));
    }
    if numbers {
        let values = cells.iter().map(|cell| match cell {
            Cell::Int(value) => Some(*value as f64),
            Cell::Float(value) => Some(*value),
            _ => None,
        });
        return Arc::new(Float64Array::from_iter(values));
    }
    if bools {
        let values = cells.iter().map(|cell| if let Cell::Bool(value) = cell { Some(*value) } else { None });
        return Arc::new(BooleanArray::from_iter(values));
    }
    Arc::new(StringArray::from_iter(cells.iter().map(Cell::text)))
}
