//! A parsed expression -> nothing, or the first thing in it that a row by itself cannot answer. A list of what is
//! allowed, not of what is not: syntax that the parser learns later is refused until somebody thought about it.

use std::ops::ControlFlow;

use datafusion::arrow::datatypes::Schema;
use datafusion::sql::sqlparser::ast::{Expr, Function, Ident, Query, Spanned, Value, Visit, Visitor};

use super::sandbox::Lookup;
use super::{Sandbox, SqlError, SqlProblem, did_you_mean};

/// The table that a cleaning statement reads; column names may be qualified with it.
pub(in crate::stages) const TABLE: &str = "rows";

/// Refuses everything but immutable scalar expressions over the schema's columns.
///
/// # Errors
/// [`SqlError`] with the place of the first problem.
pub(super) fn check_expression(expr: &Expr, schema: &Schema, sandbox: &Sandbox) -> Result<(), SqlError> {
    let mut checker = Checker { schema, sandbox };
    match expr.visit(&mut checker) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Checker<'a> {
    schema: &'a Schema,
    sandbox: &'a Sandbox,
}

impl Visitor for Checker<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        ControlFlow::Break(SqlError::at(query.span().start, SqlProblem::Subquery).hint("join with a `lookup` step"))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        match self.check(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Checker<'_> {
    fn check(&self, expr: &Expr) -> Result<(), SqlError> {
        match expr {
            Expr::Identifier(name) => check_column(name, self.schema),
            Expr::CompoundIdentifier(parts) => self.check_qualified(parts),
            Expr::Function(function) => self.check_function(function),
            Expr::Value(value) => match value.value {
                Value::Placeholder(_) => Err(not_scalar(expr)),
                _ => Ok(()),
            },
            // The visitor descends and refuses the query itself, with the query's own place.
            Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::Subquery(_) => Ok(()),
            Expr::IsFalse(_) | Expr::IsNotFalse(_) | Expr::IsTrue(_) | Expr::IsNotTrue(_) => Ok(()),
            Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsUnknown(_) | Expr::IsNotUnknown(_) => Ok(()),
            Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => Ok(()),
            Expr::InList { .. } | Expr::Between { .. } | Expr::BinaryOp { .. } | Expr::UnaryOp { .. } => Ok(()),
            Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => Ok(()),
            Expr::Cast { .. } | Expr::AtTimeZone { .. } | Expr::Extract { .. } => Ok(()),
            Expr::Ceil { .. } | Expr::Floor { .. } | Expr::Position { .. } => Ok(()),
            Expr::Substring { .. } | Expr::Trim { .. } | Expr::Overlay { .. } => Ok(()),
            Expr::Nested(_) | Expr::Case { .. } | Expr::TypedString(_) | Expr::Interval(_) => Ok(()),
            other => Err(not_scalar(other)),
        }
    }

    fn check_qualified(&self, parts: &[Ident]) -> Result<(), SqlError> {
        match parts {
            [table, column] if table.value == TABLE => check_column(column, self.schema),
            [first, ..] => {
                let name = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
                let candidates = self.schema.fields().iter().map(|field| field.name().as_str());
                let error = SqlError::at(first.span.start, SqlProblem::UnknownColumn { name: name.clone() });
                Err(SqlError { hint: did_you_mean(&name, candidates), ..error })
            }
            [] => Ok(()),
        }
    }

    fn check_function(&self, function: &Function) -> Result<(), SqlError> {
        let name = function.name.to_string().to_lowercase();
        let error = |problem| SqlError::at(function.name.span().start, problem);
        if function.over.is_some() || function.filter.is_some() || !function.within_group.is_empty() {
            return Err(error(SqlProblem::NotPerRow { name }).hint("aggregates belong into `window.columns`"));
        }
        match self.sandbox.function(&name) {
            Lookup::Found(_) => Ok(()),
            Lookup::NotPerRow => {
                Err(error(SqlProblem::NotPerRow { name }).hint("aggregates belong into `window.columns`"))
            }
            Lookup::NotImmutable => {
                Err(error(SqlProblem::NotImmutable { name }).hint("use the row's own columns, as its event time"))
            }
            Lookup::Unbounded => Err(error(SqlProblem::Unbounded { name })),
            Lookup::Unknown => {
                let hint = did_you_mean(&name, self.sandbox.names());
                Err(SqlError { hint, ..error(SqlProblem::UnknownFunction { name }) })
            }
        }
    }
}

/// Refuses a column that the schema does not have.
///
/// # Errors
/// [`SqlError`] with a suggestion where a name is near.
pub(in crate::stages) fn check_column(name: &Ident, schema: &Schema) -> Result<(), SqlError> {
    if schema.index_of(&name.value).is_ok() {
        return Ok(());
    }
    let error = SqlError::at(name.span.start, SqlProblem::UnknownColumn { name: name.value.clone() });
    let candidates = schema.fields().iter().map(|field| field.name().as_str());
    let hint = did_you_mean(&name.value, candidates.clone());
    Err(error.hint(hint.unwrap_or_else(|| format!("columns here: {}", candidates.collect::<Vec<_>>().join(", ")))))
}

fn not_scalar(expr: &Expr) -> SqlError {
    let text: String = expr.to_string().chars().take(80).collect();
    SqlError::at(expr.span().start, SqlProblem::NotScalar { text })
}
