//! What can be wrong with a `normalise` step.

/// Settings that say nothing that could be done.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NormaliseError {
    /// A column without parameters where others have some.
    #[error("column `{name}` has no parameters")]
    NoParameters {
        /// The column.
        name: String,
    },
    /// Parameters of a column that is not scaled.
    #[error("parameters of `{name}`, which is not among `columns`")]
    NotListed {
        /// The column.
        name: String,
    },
    /// Parameters of another method, too few or too many.
    #[error("column `{name}`: `{method}` takes {takes} and nothing else")]
    OtherParameters {
        /// The column.
        name: String,
        /// The method.
        method: &'static str,
        /// Its parameters.
        takes: &'static str,
    },
    /// Parameters that nothing can be divided by.
    #[error("column `{name}`: {what} is {spread}, which nothing can be divided by")]
    Spread {
        /// The column.
        name: String,
        /// What the spread is made of.
        what: &'static str,
        /// The spread.
        spread: f64,
    },
    /// Parameters that stay before there is a result.
    #[error("`freeze_after` {freeze_after} is less than `min_count` {min_count}")]
    FrozenEarly {
        /// When they stay.
        freeze_after: u64,
        /// When there is a result.
        min_count: u64,
    },
    /// Too few values to have a spread.
    #[error("`min_count` {min_count}: the spread of fewer than 2 values is unknown")]
    MinCount {
        /// Values that were asked for.
        min_count: u64,
    },
    /// No limit.
    #[error("`clip` {clip} limits nothing")]
    Clip {
        /// What was asked.
        clip: f64,
    },
    /// More columns than a record of the state has room for.
    #[error("{count} columns by `robust`: a step takes up to {most}")]
    ManyColumns {
        /// Columns of the step.
        count: usize,
        /// Most columns.
        most: usize,
    },
}
