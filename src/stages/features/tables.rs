//! A table of days, or of values at times -> what it says of a closed window. Causal: of values only those that are not
//! newer than the window's end are seen.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;

use crate::stages::clean::Table;
use crate::stages::decode::TimeReader;
use crate::vocab::EventTime;

/// A table that says nothing of times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeTableError {
    /// A key that is no date.
    #[error("table `{table}`: key `{key}` is no date, as 2026-12-25")]
    Date {
        /// The table.
        table: String,
        /// The key.
        key: String,
    },
    /// A key that is no time.
    #[error("table `{table}`: key `{key}` {problem}")]
    Time {
        /// The table.
        table: String,
        /// The key.
        key: String,
        /// Why not.
        problem: String,
    },
    /// Two keys that are the same time.
    #[error("table `{table}`: key `{key}` is the time of another row, too")]
    Repeated {
        /// The table.
        table: String,
        /// The key.
        key: String,
    },
    /// No such column.
    #[error("table `{table}` has no column `{name}`")]
    NoColumn {
        /// The table.
        table: String,
        /// The name.
        name: String,
    },
    /// A column of words.
    #[error("column `{name}` of table `{table}` holds no numbers")]
    NoNumbers {
        /// The table.
        table: String,
        /// The name.
        name: String,
    },
}

/// Days that are marked, since 0001-01-01.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Days(BTreeSet<i32>);

impl Days {
    pub(super) fn of(table: &Table) -> Result<Self, TimeTableError> {
        let day = |key: &String| {
            let date = NaiveDate::parse_from_str(key, "%Y-%m-%d")
                .map_err(|_| TimeTableError::Date { table: table.name().to_owned(), key: key.clone() })?;
            Ok(date.num_days_from_ce())
        };
        Ok(Self(table.keys().iter().map(day).collect::<Result<_, _>>()?))
    }

    /// Whether the day itself, the one after it and the one before it are marked: 1 or 0 each.
    pub(super) fn around(&self, day: i32) -> [f64; 3] {
        [day, day + 1, day - 1].map(|day| f64::from(u8::from(self.0.contains(&day))))
    }
}

/// Values at times.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timeline {
    /// Ascending, microseconds since 1970 UTC.
    times: Vec<i64>,
    /// By column, then in the order of `times`; NaN for null.
    values: Vec<Vec<f64>>,
    max_age: i64,
}

impl Timeline {
    /// `zone`: of keys that name none. `max_age`: microseconds after which a value is too old.
    pub(super) fn of(
        table: &Table,
        columns: &[String],
        zone: Option<Tz>,
        max_age: i64,
    ) -> Result<Self, TimeTableError> {
        let mut reader = TimeReader::new(zone);
        let mut rows = Vec::with_capacity(table.keys().len());
        for (row, key) in table.keys().iter().enumerate() {
            let Some(time) = reader.read(key.as_bytes()) else {
                let problem = reader.problem(Some(key), crate::stages::decode::TimestampFormat::Rfc3339);
                return Err(TimeTableError::Time { table: table.name().to_owned(), key: key.clone(), problem });
            };
            rows.push((time, row));
        }
        rows.sort_unstable();
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let key = table.keys()[pair[1].1].clone();
            return Err(TimeTableError::Repeated { table: table.name().to_owned(), key });
        }
        let values = columns.iter().map(|name| {
            let numbers = numbers(table, name)?;
            Ok(rows.iter().map(|(_, row)| numbers[*row]).collect())
        });
        let values = values.collect::<Result<_, TimeTableError>>()?;
        Ok(Self { times: rows.into_iter().map(|(time, _)| time).collect(), values, max_age })
    }

    /// The latest values at or before a time, and their age as a share of the oldest that counts; NaN where there are
    /// none of that age.
    pub(super) fn at(&self, time: EventTime) -> (Vec<f64>, f64) {
        let next = self.times.partition_point(|known| *known <= time.0);
        let found = next.checked_sub(1).filter(|row| time.0 - self.times[*row] <= self.max_age);
        match found {
            Some(row) => {
                let age = (time.0 - self.times[row]) as f64 / self.max_age.max(1) as f64;
                (self.values.iter().map(|column| column[row]).collect(), age)
            }
            None => (vec![f64::NAN; self.values.len()], f64::NAN),
        }
    }
}

/// A column's numbers by row, NaN for null.
fn numbers(table: &Table, name: &str) -> Result<Vec<f64>, TimeTableError> {
    let of = || (table.name().to_owned(), name.to_owned());
    let no_column = || {
        let (table, name) = of();
        TimeTableError::NoColumn { table, name }
    };
    let column = table.column(name).ok_or_else(no_column)?;
    let no_numbers = || {
        let (table, name) = of();
        TimeTableError::NoNumbers { table, name }
    };
    if column.data_type() == &DataType::Utf8 {
        return Err(no_numbers());
    }
    let column = cast(column, &DataType::Float64).map_err(|_| no_numbers())?;
    let column = column.as_primitive::<Float64Type>();
    Ok((0..column.len()).map(|row| if column.is_valid(row) { column.value(row) } else { f64::NAN }).collect())
}
