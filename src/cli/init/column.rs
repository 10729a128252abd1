//! Cells of one column of a sample -> its kind, and what its values are.

use super::sample::{Cell, Sample, Written};

/// Share of the cells that make a column one of numbers: the others are for dead letters.
const NUMBERS: f64 = 0.8;

/// The kind of a column in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Whole,
    Text,
    Bool,
    /// Of several kinds: no schema holds it.
    Mixed,
}

/// A column that a pipeline may use.
#[derive(Debug)]
pub(super) struct Column {
    /// In the sample.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) nulls: usize,
    /// Values of numbers, ascending.
    pub(super) values: Vec<f64>,
}

impl Column {
    /// The column of the sample at this place.
    pub(super) fn of(sample: &Sample, index: usize) -> Self {
        let cells = || sample.rows.iter().map(|row| &row[index]);
        let mut values: Vec<f64> =
            cells().filter_map(|cell| if let Cell::Number(number, _) = cell { Some(*number) } else { None }).collect();
        values.sort_by(f64::total_cmp);
        let nulls = cells().filter(|cell| **cell == Cell::Null).count();
        let given = sample.rows.len() - nulls;
        let bools = cells().filter(|cell| **cell == Cell::Bool).count();
        let csv = matches!(sample.written, Written::Csv { .. });
        let kind = if !csv && given > 0 && ![0, given].contains(&values.len()) || ![0, given].contains(&bools) {
            Kind::Mixed
        } else if given > 0 && bools == given {
            Kind::Bool
        } else if given == 0 || (values.len() as f64) < NUMBERS * given as f64 {
            Kind::Text
        } else if values.iter().all(|value| value.fract() == 0.0 && value.abs() < 9e15) {
            Kind::Whole
        } else {
            Kind::Number
        };
        Self { name: sample.columns[index].clone(), kind, nulls, values }
    }

    /// Whether its least value is one that instruments write where they have none.
    pub(super) fn has_sentinel(&self) -> bool {
        self.values.first().is_some_and(|least| SENTINELS.contains(least))
    }

    /// Least and greatest value, whatever they mean.
    pub(super) fn ends(&self) -> (f64, f64) {
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        (end(self.values.first()), end(self.values.last()))
    }

    /// Values, ascending, without what stands for none and what nothing measures.
    fn measured(&self) -> &[f64] {
        let negative = if self.has_sentinel() { self.values.partition_point(|value| *value < 0.0) } else { 0 };
        let first = negative.max(self.values.partition_point(|value| *value < -MEASURED_MAX));
        let end = self.values.partition_point(|value| *value <= MEASURED_MAX);
        if first < end { &self.values[first..end] } else { &self.values }
    }

    /// The value below which this share of the values lies.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let values = self.measured();
        let last = values.len().saturating_sub(1);
        values.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
    }

    /// The worst value, and a limit between the worst 5 in 100 and the others; `None` where all values are alike.
    pub(super) fn limit(&self, low_is_bad: bool) -> Option<(f64, f64)> {
        let values = self.measured();
        let (worst, inside, next) = if low_is_bad {
            let inside = self.quantile(0.05);
            (values.first()?, inside, values.iter().find(|value| **value > inside)?)
        } else {
            let inside = self.quantile(0.95);
            (values.last()?, inside, values.iter().rfind(|value| **value < inside)?)
        };
        Some((*worst, between(inside, *next)))
    }
}

/// No value of any unit of a city is so large.
const MEASURED_MAX: f64 = 1e15;
/// What instruments write where they have no value.
const SENTINELS: [f64; 6] = [-1.0, -9.0, -99.0, -200.0, -999.0, -9999.0];

/// A number between two others that has few digits.
fn between(one: f64, other: f64) -> f64 {
    let middle = one + (other - one) / 2.0;
    let apart = |value: &f64| *value != one && *value != other && (*value > one) == (*value < other);
    let shorter = (1..16).filter_map(|digits| format!("{middle:.digits$e}").parse().ok());
    shorter.into_iter().find(apart).unwrap_or(middle)
}

/// The values of all sensors of a wide table.
pub(super) fn pooled(columns: impl Iterator<Item = Column>) -> Column {
    let (mut values, mut nulls) = (Vec::new(), 0);
    for column in columns {
        values.extend(column.values);
        nulls += column.nulls;
    }
    values.sort_by(f64::total_cmp);
    Column { name: "reading".to_owned(), kind: Kind::Number, nulls, values }
}
