//! SQL text or a parsed expression -> [`Expression`]: checked, typed, simplified and compiled once.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{self, ExprSchemable, cast};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, Spanned};

use super::checked_division::{ZeroDivisor, check_divisions};
use super::evaluate::message_of;
use super::refuse::{TABLE, check_expression};
use super::text::SqlText;
use super::{Sandbox, SqlError, SqlProblem};

/// The type that is due where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A condition.
    Boolean,
    /// A number, given as `Float64`; a division of floats by zero gives null.
    Number,
    /// A column of rows: every integer type becomes `Int64`, every other number `Float64`, every text `Utf8`.
    Column,
}

/// A compiled expression over batches of one schema.
#[derive(Debug, Clone)]
pub struct Expression {
    /// As the user wrote it, without surrounding space.
    pub(super) text: String,
    pub(super) physical: Arc<dyn PhysicalExpr>,
    pub(super) columns: Vec<usize>,
    data_type: DataType,
}

impl Expression {
    /// Compiles the text of one expression.
    ///
    /// # Errors
    /// [`SqlError`] with the place in the text.
    pub fn compile(text: &str, schema: &Schema, wanted: Wanted, sandbox: &Sandbox) -> Result<Self, SqlError> {
        let parsed = SqlText::read(text)?.expression()?;
        Self::from_ast(&parsed, schema, wanted, sandbox)
    }

    /// Compiles a parsed expression.
    ///
    /// # Errors
    /// [`SqlError`] with the place in the text it was parsed from.
    pub(in crate::stages) fn from_ast(
        parsed: &ast::Expr,
        schema: &Schema,
        wanted: Wanted,
        sandbox: &Sandbox,
    ) -> Result<Self, SqlError> {
        check_expression(parsed, schema, sandbox)?;
        let start = parsed.span().start;
        let types = |error: DataFusionError| SqlError::at(start, SqlProblem::Types { message: message_of(&error) });
        let qualified = DFSchema::try_from_qualified_schema(TABLE, schema).map_err(types)?;
        let logical = plan(parsed, &qualified, sandbox).map_err(types)?;
        let found = logical.get_type(&qualified).map_err(types)?;
        let Some(target) = target_type(&found, wanted) else {
            let wanted = match wanted {
                Wanted::Boolean => "a condition",
                Wanted::Number => "a number",
                Wanted::Column => "a number, text, condition or time",
            };
            return Err(SqlError::at(start, SqlProblem::WrongType { found: found.to_string(), wanted }));
        };
        let is_column = matches!(logical, logical_expr::Expr::Column(_));
        let keep = target == found || (wanted == Wanted::Column && is_column);
        let typed = if keep { logical } else { cast(logical, target) };
        let zero = if wanted == Wanted::Number { ZeroDivisor::GivesNull } else { ZeroDivisor::Fails };
        let simple = simplify(typed, &qualified, zero, sandbox).map_err(types)?;
        Self::finish(parsed.to_string(), &simple, &qualified).map_err(types)
    }

    fn finish(text: String, logical: &logical_expr::Expr, schema: &DFSchema) -> Result<Self, DataFusionError> {
        let context = PhysicalPlanningContext::default();
        let physical = create_physical_expr(logical, schema, &ExecutionProps::new(), &context)?;
        let physical = physical.transform_up(refuse_overflow)?.data;
        let mut columns: Vec<usize> = collect_columns(&physical).iter().map(Column::index).collect();
        columns.sort_unstable();
        let data_type = physical.data_type(schema.as_arrow())?;
        Ok(Self { text, physical, columns, data_type })
    }

    /// The type of its values.
    #[must_use]
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The text, as SQL.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Indices of the columns it reads, ascending.
    #[must_use]
    pub fn columns_read(&self) -> &[usize] {
        &self.columns
    }

    /// The column it passes on unchanged, if that is all it does.
    #[must_use]
    pub fn passed_column(&self) -> Option<usize> {
        self.physical.downcast_ref::<Column>().map(Column::index)
    }
}

fn plan(parsed: &ast::Expr, schema: &DFSchema, sandbox: &Sandbox) -> Result<logical_expr::Expr, DataFusionError> {
    let planner = SqlToRel::new_with_options(sandbox, Sandbox::parser_options());
    planner.sql_to_expr(parsed.clone(), schema, &mut PlannerContext::new())
}

fn simplify(
    expr: logical_expr::Expr,
    schema: &DFSchema,
    zero: ZeroDivisor,
    sandbox: &Sandbox,
) -> Result<logical_expr::Expr, DataFusionError> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(&sandbox.options))
        .build();
    let simplifier = ExprSimplifier::new(context);
    let coerced = simplifier.coerce(expr, schema)?;
    simplifier.simplify(check_divisions(coerced, schema, zero)?)
}

/// Sums and products that do not fit fail the row; DataFusion's default is to wrap around.
fn refuse_overflow(expr: Arc<dyn PhysicalExpr>) -> Result<Transformed<Arc<dyn PhysicalExpr>>, DataFusionError> {
    match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) => Ok(Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)))),
        None => Ok(Transformed::no(expr)),
    }
}

/// The type that values are cast to; `None` where they cannot stand here.
fn target_type(found: &DataType, wanted: Wanted) -> Option<DataType> {
    match (wanted, found) {
        (Wanted::Boolean, DataType::Boolean | DataType::Null) => Some(DataType::Boolean),
        (Wanted::Number, number) if number.is_numeric() || *number == DataType::Null => Some(DataType::Float64),
        (Wanted::Column, integer) if integer.is_integer() => Some(DataType::Int64),
        (Wanted::Column, number) if number.is_numeric() => Some(DataType::Float64),
        (Wanted::Column, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => Some(DataType::Utf8),
        (Wanted::Column, DataType::Dictionary(_, value)) if value.is_string() => Some(DataType::Utf8),
        (Wanted::Column, DataType::Boolean | DataType::Timestamp(..) | DataType::Date32) => Some(found.clone()),
        _ => None,
    }
}
