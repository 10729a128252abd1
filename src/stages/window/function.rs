//! An aggregate as the pipeline file writes it.

use serde::{Deserialize, Serialize};

use crate::stages::expression::is_column;

/// How rows of one key become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// Number of rows, or of values that are not null.
    Count,
    /// Sum.
    Sum,
    /// Mean.
    Avg,
    /// Standard deviation of a sample.
    StdDev,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// The value of the earliest row by event time, then offset.
    First,
    /// The value of the latest row by event time, then offset.
    Last,
    /// The value below which a share of the values lies.
    Quantile(Level),
}

/// A share of values, in ten-thousandths: more than 0, less than 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level(u16);

impl Level {
    /// Reads `0.95`; `None` where that is not between 0 and 1, or has more than four digits.
    fn parse(text: &str) -> Option<Self> {
        let scaled = text.parse::<f64>().ok()? * 10_000.0;
        let rounded = scaled.round();
        let known = (1.0..10_000.0).contains(&rounded) && (scaled - rounded).abs() < 1e-6;
        known.then_some(Self(rounded as u16))
    }

    /// Between 0 and 1.
    pub(super) fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl Function {
    /// All that take a column and nothing else, by name; there is `quantile(column, level)`, too.
    pub const ALL: [(&'static str, Self); 9] = [
        ("count", Self::Count),
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("stddev", Self::StdDev),
        ("min", Self::Min),
        ("max", Self::Max),
        ("first", Self::First),
        ("last", Self::Last),
        ("median", Self::Quantile(Level(5000))),
    ];

    /// Whether values are added up, so that their magnitude is limited.
    #[must_use]
    pub fn sums(self) -> bool {
        matches!(self, Self::Sum | Self::Avg | Self::StdDev)
    }
}

/// `avg(speed_kmh)` as function and column, no column for `count(*)`; `None` where the text is no aggregate.
#[must_use]
pub fn aggregate(text: &str) -> Option<(Function, Option<&str>)> {
    let (name, arguments) = text.trim().strip_suffix(')')?.split_once('(')?;
    let (function, column) = match (name.trim(), arguments.split_once(',')) {
        ("quantile", Some((column, level))) => (Function::Quantile(Level::parse(level.trim())?), column),
        ("count", None) if arguments.trim() == "*" => return Some((Function::Count, None)),
        (name, None) => (Function::ALL.iter().find(|(known, _)| *known == name)?.1, arguments),
        _ => return None,
    };
    let column = column.trim();
    is_column(column).then_some((function, Some(column)))
}
