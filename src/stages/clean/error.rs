//! What can be wrong with the cleaning steps of a pipeline.

use super::NormaliseError;
use crate::stages::custom::Refusal;
use crate::stages::expression::SqlError;

/// A cleaning step that cannot be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CleanPlanError {
    /// A step of the embedding program does not take its settings.
    #[error("cleaning step `{name}`: {refusal}")]
    Custom {
        /// Its name.
        name: String,
        /// Why.
        refusal: Refusal,
    },
    /// A step of the embedding program takes away or alters a column that windows and partitions are told apart by.
    #[error("cleaning step `{name}` does not pass column `{column}` on as it came")]
    CustomLoses {
        /// Its name.
        name: String,
        /// The column.
        column: String,
    },
    /// An expression or statement is wrong.
    #[error("{0}")]
    Sql(SqlError),
    /// The rows have no such column at this step.
    #[error("unknown column `{name}`")]
    UnknownColumn {
        /// The name.
        name: String,
    },
    /// A column named twice in one list.
    #[error("column `{name}` is listed twice")]
    RepeatedColumn {
        /// The name.
        name: String,
    },
    /// An empty list where columns are due.
    #[error("no columns")]
    NoColumns,
    /// A step would alter what tells windows and partitions apart.
    #[error("column `{name}` is the source's `{role}` and must stay as it came")]
    Fixed {
        /// The column.
        name: String,
        /// The setting of the source that names it.
        role: &'static str,
    },
    /// Limits of a column that has no order of magnitude.
    #[error("column `{name}` is {found}, not a number")]
    NotNumeric {
        /// The column.
        name: String,
        /// Its type.
        found: String,
    },
    /// A key that is made by a later step, or has a type that no key has.
    #[error("there is no key column `{name}` at this step")]
    NoKey {
        /// The column.
        name: String,
    },
    /// A column has the name of a flag and is none.
    #[error(
        "column `{name}` is {found}: the step says there whether a value was imputed; give yours another name before"
    )]
    NotFlag {
        /// The column.
        name: String,
        /// Its type.
        found: String,
    },
    /// Neither the step nor the schema gives a limit.
    #[error("column `{name}` has neither `minimum` nor `maximum`")]
    NoLimits {
        /// The column.
        name: String,
    },
    /// No value of the column's type lies within the limits.
    #[error("column `{name}`: no {found} lies between {minimum} and {maximum}")]
    EmptyRange {
        /// The column.
        name: String,
        /// Its type.
        found: String,
        /// Least value.
        minimum: f64,
        /// Greatest value.
        maximum: f64,
    },
    /// A dedupe key that does not identify a reading.
    #[error("dedupe key lacks `{name}`")]
    KeyLacks {
        /// The event-time or partition column.
        name: String,
    },
    /// A column whose type cannot identify a reading.
    #[error("column `{name}` is {found}, which cannot identify a reading")]
    KeyType {
        /// The column.
        name: String,
        /// Its type.
        found: String,
    },
    /// Columns that cannot be brought to a common scale.
    #[error(transparent)]
    Normalise(NormaliseError),
    /// No time to remember readings for.
    #[error("{micros} us is no time to remember readings for")]
    Within {
        /// What was asked.
        micros: i64,
    },
    /// A duplicate would be counted as something else.
    #[error("`dedupe` stands after `{remover}`, which removes rows")]
    DedupeTooLate {
        /// The step before.
        remover: &'static str,
    },
    /// No such unit.
    #[error("unknown unit `{name}`")]
    UnknownUnit {
        /// The name.
        name: String,
    },
    /// Units of different things.
    #[error("`{from}` and `{to}` measure different things")]
    DifferentUnits {
        /// The unit there is.
        from: String,
        /// The unit that is asked for.
        to: String,
    },
    /// No such table.
    #[error("unknown table `{name}`")]
    UnknownTable {
        /// The name.
        name: String,
    },
    /// The table has no such column.
    #[error("table `{table}` has no column `{name}`")]
    UnknownTableColumn {
        /// The table.
        table: String,
        /// The column.
        name: String,
    },
    /// A column that is there already.
    #[error("column `{name}` exists already")]
    ColumnExists {
        /// The name.
        name: String,
    },
    /// A column that a table cannot be joined on.
    #[error("column `{name}` is {found}; a lookup needs text or a whole number")]
    LookupType {
        /// The column.
        name: String,
        /// Its type.
        found: String,
    },
    /// A key of the table that cannot equal any value of the row's whole-number column.
    #[error("table `{table}`: key `{key}` is no whole number, as column `{name}` is")]
    LookupKey {
        /// The table.
        table: String,
        /// The key.
        key: String,
        /// The row's column.
        name: String,
    },
    /// Two keys of the table that are one number.
    #[error("table `{table}`: key {key} stands twice")]
    LookupKeyRepeated {
        /// The table.
        table: String,
        /// The key.
        key: i64,
    },
}
