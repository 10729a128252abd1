//! `rename`, `filter`, `cast` and `unit`: short forms of a `sql` step, checked against the columns and compiled to one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use super::plan::{Scope, Step, Stepped};
use super::settings::CastType;
use super::sql::Sql;
use super::units::{UnitProblem, conversion};
use super::{CleanPlanError, UnitChange};
use crate::stages::expression::{Expression, Wanted};
use crate::vocab::YamlPath;

/// In a field's metadata: its numbers are no longer in the unit of the schema, whose limits do not hold for them.
pub(super) const UNIT_CHANGED: &str = "unit_changed";

const FIXED_HINT: &str = "select it under another name with a `sql` step";

/// Every column as it is, to be changed by a step.
struct Columns {
    /// SQL text and field of each.
    columns: Vec<(String, FieldRef)>,
    step: &'static str,
    /// Whether a row can leave because it does not fit.
    fails: bool,
}

impl Columns {
    fn of(schema: &Schema, step: &'static str) -> Self {
        let column = |field: &FieldRef| (quoted(field.name()), Arc::clone(field));
        Self { columns: schema.fields().iter().map(column).collect(), step, fails: false }
    }

    /// Computes a column anew, under its name or another.
    fn set(&mut self, index: usize, sql: String, field: Field) {
        self.columns[index] = (sql, Arc::new(field));
    }

    fn compile(self, scope: &mut Scope<'_>, path: &YamlPath, filter: Option<&str>) -> Stepped {
        let fields: Vec<FieldRef> = self.columns.iter().map(|(_, field)| Arc::clone(field)).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, scope.schema.metadata().clone()));
        let compiled = self
            .columns
            .iter()
            .map(|(sql, _)| Expression::compile(sql, scope.schema, Wanted::Column, scope.sandbox))
            .collect::<Result<Vec<_>, _>>();
        let filter =
            filter.map(|sql| Expression::compile(sql, scope.schema, Wanted::Boolean, scope.sandbox)).transpose();
        match (compiled, filter) {
            (Ok(columns), Ok(filter)) => {
                let removes_rows = filter.is_some() || self.fails;
                let sql = Sql { filter, columns, schema: Arc::clone(&schema), step: self.step, removes_rows };
                Stepped::Known(Step::Sql(sql), schema)
            }
            (Err(error), _) | (_, Err(error)) => {
                scope.refuse_sql(path, error);
                Stepped::OnlySchema(schema)
            }
        }
    }
}

/// Old name -> new name.
pub(super) fn plan_rename(scope: &mut Scope<'_>, path: &YamlPath, names: &BTreeMap<String, String>) -> Stepped {
    let mut columns = Columns::of(scope.schema, "rename");
    for (old, new) in names {
        let place = path.key(old);
        let Some(index) = changeable(scope, &place, old) else { continue };
        let stays = scope.schema.fields().iter().any(|field| field.name() == new && !names.contains_key(new));
        if stays || names.values().filter(|other| *other == new).count() > 1 {
            scope.refuse(&place, CleanPlanError::ColumnExists { name: new.clone() });
            continue;
        }
        let field = scope.schema.field(index).clone().with_name(new);
        columns.set(index, quoted(old), field);
    }
    columns.compile(scope, path, None)
}

/// Rows for which the condition is not true are filtered.
pub(super) fn plan_filter(scope: &mut Scope<'_>, path: &YamlPath, condition: &str) -> Stepped {
    Columns::of(scope.schema, "filter").compile(scope, path, Some(condition))
}

/// Column -> type. A value that does not fit sends its row to the dead letters.
pub(super) fn plan_cast(scope: &mut Scope<'_>, path: &YamlPath, types: &BTreeMap<String, CastType>) -> Stepped {
    let mut columns = Columns { fails: true, ..Columns::of(scope.schema, "cast") };
    for (name, to) in types {
        let place = path.key(name);
        let Some(index) = changeable(scope, &place, name) else { continue };
        let (sql, kind) = to.types();
        let field = scope.schema.field(index).clone().with_data_type(kind).with_nullable(true);
        columns.set(index, format!("CAST({} AS {sql})", quoted(name)), field);
    }
    columns.compile(scope, path, None)
}

/// Column -> from which unit to which, and what it is called then.
pub(super) fn plan_unit(scope: &mut Scope<'_>, path: &YamlPath, changes: &BTreeMap<String, UnitChange>) -> Stepped {
    let mut columns = Columns::of(scope.schema, "unit");
    for (name, change) in changes {
        let place = path.key(name);
        let Some(index) = changeable(scope, &place, name) else { continue };
        let field = scope.schema.field(index);
        if !field.data_type().is_numeric() {
            let found = field.data_type().to_string();
            scope.refuse(&place, CleanPlanError::NotNumeric { name: name.clone(), found });
            continue;
        }
        let line = match conversion(&change.from, &change.to) {
            Ok(line) => line,
            Err(UnitProblem::Unknown { name, hint }) => {
                scope.refuse_with(&place, CleanPlanError::UnknownUnit { name }, hint);
                continue;
            }
            Err(UnitProblem::Different) => {
                let (from, to) = (change.from.clone(), change.to.clone());
                scope.refuse(&place, CleanPlanError::DifferentUnits { from, to });
                continue;
            }
        };
        let new = change.name.as_deref().unwrap_or(name);
        if new != name && scope.schema.index_of(new).is_ok() {
            scope.refuse(&place, CleanPlanError::ColumnExists { name: new.to_owned() });
            continue;
        }
        let sql = format!("CAST({} AS DOUBLE) * {:?} + {:?}", quoted(name), line.factor, line.offset);
        let changed = HashMap::from([(UNIT_CHANGED.to_owned(), change.to.clone())]);
        columns.set(index, sql, Field::new(new, DataType::Float64, true).with_metadata(changed));
    }
    columns.compile(scope, path, None)
}

/// Index of a column that a step may alter, or a problem noted.
fn changeable(scope: &mut Scope<'_>, path: &YamlPath, name: &str) -> Option<usize> {
    let index = scope.column(path, name);
    index.filter(|_| !scope.is_fixed(path, name, FIXED_HINT))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
