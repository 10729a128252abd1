//! Text of one immutable scalar SQL expression and a schema -> a compiled [`Expression`]; a batch -> its values and
//! the rows it fails for. No tables, subqueries, aggregates, clocks or randomness: a closed list of functions over the
//! columns of the row, refused by kind with line and column.
//!
//! Differences from plain DataFusion, so that a wrong number never passes silently: integer overflow and division by
//! zero, of floats too, fail the row (in a measure, a division of floats by zero is null); identifiers are
//! case-sensitive as written, like the rest of the pipeline file.

mod checked_division;
mod compile;
mod error;
mod evaluate;
mod refuse;
mod sandbox;
mod suggest;
mod text;

pub use compile::{Expression, Wanted};
pub use error::{SqlError, SqlProblem};
pub use evaluate::{Evaluated, Failure};
pub use sandbox::Sandbox;
pub use suggest::{closest, did_you_mean};
pub use text::{forecast_column, is_column};

pub(in crate::stages) use refuse::{TABLE, check_column};
pub(in crate::stages) use text::{SqlText, keyword_of};
