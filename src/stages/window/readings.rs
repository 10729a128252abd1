//! Cleaned rows of one batch -> what windows read of them: keys, and values as numbers, a column at a time.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::key_columns::KeyColumns;
use super::total::MAGNITUDE_MAX;
use super::{Aggregate, WindowPlan};
use crate::stages::rows::Rows;

/// One batch as windows see it.
pub(super) struct Readings<'a> {
    pub(super) rows: &'a Rows,
    pub(super) keys: KeyColumns<'a>,
    /// Values of the plan's columns by row, NaN for null.
    pub(super) values: Vec<Cow<'a, [f64]>>,
    /// Rows, ascending, with a number too large to be added up, and the aggregate that it was for.
    too_large: Vec<(usize, usize)>,
}

impl<'a> Readings<'a> {
    pub(super) fn new(plan: &WindowPlan, rows: &'a Rows) -> Self {
        let read = |(place, column): (usize, &usize)| {
            let array = rows.batch.column(*column);
            match plan.flag() {
                Some(flag) if place == flag => flags(array),
                Some(flag) if place > flag => unflagged(array, rows.batch.column(plan.columns()[flag])),
                _ => numbers(array),
            }
        };
        let values: Vec<_> = plan.columns().iter().enumerate().map(read).collect();
        let mut too_large = Vec::new();
        for (place, aggregate) in plan.aggregates().iter().enumerate() {
            let Some(column) = aggregate.column.filter(|_| aggregate.function.sums()) else { continue };
            let large = values[column].iter().enumerate().filter(|(_, value)| value.abs() > MAGNITUDE_MAX);
            too_large.extend(large.map(|(row, _)| (row, place)));
        }
        too_large.sort_unstable();
        let keys = KeyColumns::new(plan.key_indices().iter().map(|column| rows.batch.column(*column)));
        Self { rows, keys, values, too_large }
    }

    /// The number of this row that cannot be added up, with its aggregate.
    pub(super) fn too_large<'p>(&self, row: usize, plan: &'p WindowPlan) -> Option<(&'p Aggregate, f64)> {
        if self.too_large.is_empty() {
            return None;
        }
        let first = self.too_large.partition_point(|(large, _)| *large < row);
        let (_, place) = self.too_large.get(first).filter(|(large, _)| *large == row)?;
        let aggregate = &plan.aggregates()[*place];
        Some((aggregate, self.values[aggregate.column?][row]))
    }
}

/// A column of conditions as values to count: 1 where it is true, else none.
fn flags(column: &ArrayRef) -> Cow<'_, [f64]> {
    column.as_boolean().iter().map(|flag| if flag == Some(true) { 1.0 } else { f64::NAN }).collect()
}

/// A column as numbers, NaN for null and where the flag is true.
fn unflagged<'a>(column: &'a ArrayRef, flag: &ArrayRef) -> Cow<'a, [f64]> {
    let flagged = flag.as_boolean().iter().map(|flag| flag == Some(true));
    let values = numbers(column);
    values.iter().zip(flagged).map(|(value, flagged)| if flagged { f64::NAN } else { *value }).collect()
}

/// A column as numbers, NaN for null. Of columns without numbers only the count of values is asked: 1 stands for each.
fn numbers(column: &ArrayRef) -> Cow<'_, [f64]> {
    let valid = |row: usize| column.is_valid(row);
    match column.data_type() {
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            if column.null_count() == 0 {
                return Cow::Borrowed(values);
            }
            values.iter().enumerate().map(|(row, value)| if valid(row) { *value } else { f64::NAN }).collect()
        }
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>().values();
            values.iter().enumerate().map(|(row, value)| if valid(row) { *value as f64 } else { f64::NAN }).collect()
        }
        _ => (0..column.len()).map(|row| if valid(row) { 1.0 } else { f64::NAN }).collect(),
    }
}
