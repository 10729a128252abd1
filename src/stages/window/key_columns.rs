//! Key columns of a batch -> the text of each row's key. Which id a key has is not known here.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};

/// Joins the values of several key columns; a value that holds it is refused, so that no two keys look alike.
pub(super) const SEPARATOR: char = '\u{1f}';

/// The key columns of a batch, ready to be read row by row.
pub(super) struct KeyColumns<'a> {
    columns: Vec<KeyColumn<'a>>,
}

enum KeyColumn<'a> {
    Text(&'a StringArray),
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

    /// The key's text, where one column of text is the whole key.
    pub(super) fn lone_text(&self) -> Option<&'a StringArray> {
        if let [KeyColumn::Text(values)] = self.columns.as_slice() { Some(values) } else { None }
    }

    /// The text of a row's key: borrowed where one column holds it, else in `scratch`. `None` where it cannot be one.
    pub(super) fn text<'s>(&self, row: usize, scratch: &'s mut String) -> Option<&'s str>
    where
        'a: 's,
    {
        if let Some(values) = self.lone_text() {
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
