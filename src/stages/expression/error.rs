//! What can be wrong with SQL text, and where in the text.

use datafusion::sql::sqlparser::tokenizer::Location;

use super::text::{DEPTH_MAX, SQL_BYTES_MAX, TOKENS_MAX};

/// A problem with its place in the SQL text, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct SqlError {
    /// Line within the text, from 1.
    pub line: u64,
    /// Column within the line, in characters from 1.
    pub column: u64,
    /// What is wrong.
    pub problem: SqlProblem,
    /// What the user should do, where that can be said.
    pub hint: Option<String>,
}

impl SqlError {
    /// A problem at a location; an unknown location is the text's start.
    #[must_use]
    pub fn at(location: Location, problem: SqlProblem) -> Self {
        Self { line: location.line.max(1), column: location.column.max(1), problem, hint: None }
    }

    /// The same at another location, where its own is unknown: literals have none, and no expression inside a statement
    /// stands at the statement's start.
    #[must_use]
    pub fn or_at(self, location: Location) -> Self {
        if (self.line, self.column) == (1, 1) {
            return Self { line: location.line.max(1), column: location.column.max(1), ..self };
        }
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What is wrong with SQL text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlProblem {
    /// Longer than the limit.
    #[error("{bytes} bytes of SQL exceed the limit of {SQL_BYTES_MAX}")]
    TooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// More tokens than the limit.
    #[error("{tokens} words and signs exceed the limit of {TOKENS_MAX}")]
    TooManyTokens {
        /// Tokens without whitespace.
        tokens: usize,
    },
    /// Nested deeper than the limit.
    #[error("expression nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// Not SQL.
    #[error("{message}")]
    Syntax {
        /// The parser's words.
        message: String,
    },
    /// Not a query, or more than one.
    #[error("`{found}` is not one SELECT")]
    NotOneSelect {
        /// What stands there.
        found: String,
    },
    /// A clause that a row by itself cannot answer.
    #[error("{clause} is not allowed")]
    Clause {
        /// The clause.
        clause: &'static str,
    },
    /// A query inside an expression.
    #[error("a subquery is not allowed")]
    Subquery,
    /// An expression of a kind that is not supported.
    #[error("`{text}` is not a scalar expression")]
    NotScalar {
        /// The expression.
        text: String,
    },
    /// A table other than `rows`.
    #[error("unknown table `{name}`")]
    UnknownTable {
        /// What stands after FROM.
        name: String,
    },
    /// No such column.
    #[error("unknown column `{name}`")]
    UnknownColumn {
        /// The name.
        name: String,
    },
    /// No such function.
    #[error("unknown function `{name}`")]
    UnknownFunction {
        /// The name.
        name: String,
    },
    /// A function over several rows.
    #[error("`{name}` is a function over several rows")]
    NotPerRow {
        /// The function.
        name: String,
    },
    /// A function whose result depends on more than its arguments.
    #[error("`{name}` does not give the same result on every replay")]
    NotImmutable {
        /// The function.
        name: String,
    },
    /// A function whose result has a size taken from a number, which could exhaust the memory.
    #[error("`{name}` may give results of any size")]
    Unbounded {
        /// The function.
        name: String,
    },
    /// Types that do not fit, or arguments that a function does not take.
    #[error("{message}")]
    Types {
        /// The planner's words.
        message: String,
    },
    /// The result has another type than what is due here.
    #[error("the result is {found}, not {wanted}")]
    WrongType {
        /// Its type.
        found: String,
        /// What is due.
        wanted: &'static str,
    },
    /// A computed column without `AS`.
    #[error("computed column `{text}` has no name")]
    Unnamed {
        /// The expression.
        text: String,
    },
    /// A column name given twice.
    #[error("column `{name}` is selected twice")]
    Repeated {
        /// The name.
        name: String,
    },
    /// A column that later stages cannot do without.
    #[error("column `{name}` is not selected, but a later stage reads it")]
    LeftOut {
        /// The name.
        name: String,
    },
    /// The event time or partition column with another value than the row came with.
    #[error("column `{name}` must be selected unchanged")]
    Changed {
        /// The name.
        name: String,
    },
}
