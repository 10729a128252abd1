//! Rows and one compiled `SELECT ... FROM rows [WHERE ...]` -> projected and filtered rows. The statement's shape is
//! read here; its expressions are checked and compiled by `expression`. Nothing is planned as a query: a statement
//! that changes, reads files or looks at several rows has no way to run.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, Select, SelectItem, Spanned, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::clause::{check_shape, only_select};
use super::cleaner::{CleanError, Working};
use super::plan::{Scope, Step, Stepped, is_flag, needed_columns};
use crate::stages::expression::{Expression, SqlError, SqlProblem, SqlText, Wanted, check_column};
use crate::stages::rows::Reason;
use crate::vocab::{IMPUTED, YamlPath};

/// A compiled statement.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) filter: Option<Expression>,
    pub(super) columns: Vec<Expression>,
    pub(super) schema: SchemaRef,
    /// The step's key in the pipeline file.
    pub(super) step: &'static str,
    /// Whether rows can leave here: by the filter, or because an expression fails for them.
    pub(super) removes_rows: bool,
}

/// A column of the projection before it is compiled.
struct Selected {
    name: String,
    expr: Expr,
    place: Location,
}

/// Checks and compiles a statement.
pub(super) fn plan_sql(scope: &mut Scope<'_>, path: &YamlPath, text: &str) -> Stepped {
    match compile(scope, text) {
        Ok(sql) => {
            let schema = Arc::clone(&sql.schema);
            Stepped::Known(Step::Sql(sql), schema)
        }
        Err(error) => {
            scope.refuse_sql(path, error);
            Stepped::Unknown
        }
    }
}

fn compile(scope: &Scope<'_>, text: &str) -> Result<Sql, SqlError> {
    let sql = SqlText::read(text)?;
    check_shape(&sql)?;
    let statements = sql.statements()?;
    let select = only_select(&sql, &statements)?;
    let schema: &Schema = scope.schema;
    let filter = match &select.selection {
        Some(condition) => Some(Expression::from_ast(condition, schema, Wanted::Boolean, scope.sandbox)?),
        None => None,
    };
    let mut columns = Vec::new();
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut names = BTreeSet::new();
    for selected in selected_columns(select, schema)? {
        let expression = Expression::from_ast(&selected.expr, schema, Wanted::Column, scope.sandbox)
            .map_err(|error| error.or_at(selected.place))?;
        if !names.insert(selected.name.clone()) {
            return Err(SqlError::at(selected.place, SqlProblem::Repeated { name: selected.name }));
        }
        let unchanged = [&scope.input.event_time, &scope.input.partitioned_by].contains(&&selected.name)
            || is_flag(schema, &selected.name);
        let passed = expression.passed_column().map(|index| schema.field(index));
        if unchanged && passed.is_none_or(|field| *field.name() != selected.name) {
            let hint = "give the computed value another name";
            return Err(SqlError::at(selected.place, SqlProblem::Changed { name: selected.name }).hint(hint));
        }
        fields.push(Arc::new(match passed {
            Some(field) => field.clone().with_name(&selected.name),
            None => Field::new(&selected.name, expression.data_type().clone(), true),
        }));
        columns.push(expression);
    }
    require_columns(scope, &names)?;
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    Ok(Sql { filter, columns, schema, step: "sql", removes_rows: true })
}

fn require_columns(scope: &Scope<'_>, names: &BTreeSet<String>) -> Result<(), SqlError> {
    let (unchanged, present) = needed_columns(scope.input);
    for name in unchanged.union(&present) {
        let needed = *name != IMPUTED || is_flag(scope.schema, name);
        if needed && scope.schema.index_of(name).is_ok() && !names.contains(*name) {
            let problem = SqlProblem::LeftOut { name: (*name).to_owned() };
            return Err(SqlError::at(Location { line: 1, column: 1 }, problem).hint(format!("select `{name}` too")));
        }
    }
    Ok(())
}

/// The projection with wildcards written out.
fn selected_columns(select: &Select, schema: &Schema) -> Result<Vec<Selected>, SqlError> {
    let mut selected = Vec::new();
    for item in &select.projection {
        let place = item.span().start;
        match item {
            SelectItem::Wildcard(options) => expand_wildcard(options, schema, &mut selected)?,
            SelectItem::ExprWithAlias { expr, alias } => {
                selected.push(Selected { name: alias.value.clone(), expr: expr.clone(), place });
            }
            SelectItem::UnnamedExpr(expr) => {
                let name = match expr {
                    Expr::Identifier(name) => name.value.clone(),
                    Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
                    computed => return Err(unnamed(computed, place)),
                };
                selected.push(Selected { name, expr: expr.clone(), place });
            }
            SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) => {
                return Err(SqlError::at(place, SqlProblem::NotScalar { text: item.to_string() }));
            }
        }
    }
    Ok(selected)
}

fn unnamed(expr: &Expr, place: Location) -> SqlError {
    let text: String = expr.to_string().chars().take(80).collect();
    SqlError::at(place, SqlProblem::Unnamed { text }).hint("name it: `... AS name`")
}

/// `*`, `* EXCLUDE (a, b)`, `* EXCEPT (a, b)`, `* REPLACE (expression AS a)`.
fn expand_wildcard(
    options: &WildcardAdditionalOptions,
    schema: &Schema,
    selected: &mut Vec<Selected>,
) -> Result<(), SqlError> {
    let star = options.wildcard_token.0.span.start;
    if options.opt_ilike.is_some() || options.opt_rename.is_some() || options.opt_alias.is_some() {
        return Err(SqlError::at(star, SqlProblem::NotScalar { text: format!("*{options}") }));
    }
    let mut left_out: BTreeSet<&str> = BTreeSet::new();
    for name in left_out_names(options) {
        check_column(name, schema)?;
        left_out.insert(&name.value);
    }
    let replaced = options.opt_replace.as_ref().map(|replace| replace.items.as_slice()).unwrap_or_default();
    for item in replaced {
        check_column(&item.column_name, schema)?;
    }
    for field in schema.fields().iter().filter(|field| !left_out.contains(field.name().as_str())) {
        let new = replaced.iter().find(|item| item.column_name.value == *field.name());
        let column = || Expr::Identifier(Ident::with_quote('"', field.name()));
        let expr = new.map_or_else(column, |item| item.expr.clone());
        let place = new.map_or(star, |item| item.column_name.span.start);
        selected.push(Selected { name: field.name().clone(), expr, place });
    }
    Ok(())
}

fn left_out_names(options: &WildcardAdditionalOptions) -> Vec<&Ident> {
    let ident = |name: &'_ ObjectName| name.0.len() == 1;
    let mut names = Vec::new();
    match &options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) if ident(name) => names.extend(name.0[0].as_ident()),
        Some(ExcludeSelectItem::Multiple(several)) => {
            names.extend(several.iter().filter(|name| ident(name)).filter_map(|name| name.0[0].as_ident()));
        }
        _ => {}
    }
    if let Some(except) = &options.opt_except {
        names.push(&except.first_element);
        names.extend(&except.additional_elements);
    }
    names
}

impl Sql {
    /// Filters, then projects what is left.
    pub(super) fn apply(&self, work: &mut Working) -> Result<(), CleanError> {
        if let Some(filter) = &self.filter {
            let evaluated = filter.evaluate(&work.rows.batch)?;
            // Failures first: a row that is marked already is not filtered as well.
            for failure in evaluated.failures {
                work.doom(failure.row, Reason::SqlFailed, failure.detail);
            }
            let mask = evaluated.values.as_boolean();
            if mask.true_count() < mask.len() {
                for row in (0..mask.len()).filter(|row| mask.is_null(*row) || !mask.value(*row)) {
                    work.filter(row);
                }
            }
            work.settle()?;
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for expression in &self.columns {
            let evaluated = expression.evaluate(&work.rows.batch)?;
            for failure in evaluated.failures {
                work.doom(failure.row, Reason::SqlFailed, failure.detail);
            }
            columns.push(evaluated.values);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(work.rows.batch.num_rows()));
        work.rows.batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        if self.removes_rows {
            work.settle()?;
        }
        Ok(())
    }
}
