//! Rows and a table -> rows with the table's columns. A key of the table is unique, so a row has one match or none.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;

use super::cleaner::{CleanError, Working};
use super::key::{KeyColumn, KeyKind, key_kind};
use super::plan::{Scope, Step, Stepped};
use super::{CleanPlanError, Missing, Table};
use crate::stages::expression::did_you_mean;
use crate::stages::rows::Reason;
use crate::vocab::YamlPath;

/// A checked lookup step.
#[derive(Debug)]
pub(super) struct Lookup {
    table: String,
    on: usize,
    kind: KeyKind,
    index: Index,
    columns: Vec<ArrayRef>,
    missing: Missing,
    schema: SchemaRef,
}

/// Row of the table by key. Only asked, never iterated.
#[derive(Debug)]
enum Index {
    Text(HashMap<String, u32>),
    Int(HashMap<i64, u32>),
}

/// A lookup as the user wrote it.
pub(super) struct LookupRequest<'a> {
    pub(super) table: &'a str,
    pub(super) on: &'a str,
    pub(super) columns: &'a [String],
    pub(super) missing: Missing,
}

/// Checks a lookup step.
pub(super) fn plan_lookup(scope: &mut Scope<'_>, path: &YamlPath, request: &LookupRequest<'_>) -> Stepped {
    let on = scope.column(&path.key("on"), request.on);
    let Some(table) = scope.tables.get(request.table).map(Arc::clone) else {
        let hint = did_you_mean(request.table, scope.tables.keys().map(String::as_str));
        scope.refuse_with(&path.key("table"), CleanPlanError::UnknownTable { name: request.table.to_owned() }, hint);
        return Stepped::Unknown;
    };
    let added = added_columns(scope, path, request, &table);
    let index = on.and_then(|on| index_rows(scope, path, request, (on, &table)));
    let Some(added) = added else { return Stepped::Unknown };
    let mut fields = scope.schema.fields().to_vec();
    for (name, values) in request.columns.iter().zip(&added) {
        fields.push(Arc::new(Field::new(name, values.data_type().clone(), true)));
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, scope.schema.metadata().clone()));
    let Some((on, kind, index)) = index else { return Stepped::OnlySchema(schema) };
    let lookup = Lookup {
        table: request.table.to_owned(),
        on,
        kind,
        index,
        columns: added,
        missing: request.missing,
        schema: Arc::clone(&schema),
    };
    Stepped::Known(Step::Lookup(lookup), schema)
}

fn added_columns(
    scope: &mut Scope<'_>,
    path: &YamlPath,
    request: &LookupRequest<'_>,
    table: &Table,
) -> Option<Vec<ArrayRef>> {
    let mut added = Vec::new();
    let mut seen = BTreeSet::new();
    if request.columns.is_empty() {
        scope.refuse(&path.key("columns"), CleanPlanError::NoColumns);
    }
    for (position, name) in request.columns.iter().enumerate() {
        let place = path.key("columns").index(position);
        if !seen.insert(name) {
            scope.refuse(&place, CleanPlanError::RepeatedColumn { name: name.clone() });
        } else if scope.schema.index_of(name).is_ok() {
            scope.refuse(&place, CleanPlanError::ColumnExists { name: name.clone() });
        } else if let Some(values) = table.column(name) {
            added.push(Arc::clone(values));
        } else {
            let hint = did_you_mean(name, table.column_names());
            let error = CleanPlanError::UnknownTableColumn { table: table.name().to_owned(), name: name.clone() };
            scope.refuse_with(&place, error, hint);
        }
    }
    (added.len() == request.columns.len()).then_some(added)
}

fn index_rows(
    scope: &mut Scope<'_>,
    path: &YamlPath,
    request: &LookupRequest<'_>,
    (on, table): (usize, &Table),
) -> Option<(usize, KeyKind, Index)> {
    let data_type = scope.schema.field(on).data_type();
    let kind = key_kind(data_type).filter(|kind| *kind == KeyKind::Text || data_type.is_integer());
    let rows = table.keys().iter().zip(0_u32..);
    let index = match kind {
        Some(KeyKind::Text) => Ok(Index::Text(rows.map(|(key, row)| (key.clone(), row)).collect())),
        Some(KeyKind::Int) => int_index(request, table).map(Index::Int),
        None => Err(CleanPlanError::LookupType { name: request.on.to_owned(), found: data_type.to_string() }),
    };
    match index {
        Ok(index) => Some((on, kind?, index)),
        Err(error) => {
            scope.refuse(&path.key("on"), error);
            None
        }
    }
}

fn int_index(request: &LookupRequest<'_>, table: &Table) -> Result<HashMap<i64, u32>, CleanPlanError> {
    let mut index = HashMap::new();
    for (text, row) in table.keys().iter().zip(0_u32..) {
        let Ok(key) = text.parse::<i64>() else {
            let (table, key) = (table.name().to_owned(), text.clone());
            return Err(CleanPlanError::LookupKey { table, key, name: request.on.to_owned() });
        };
        if index.insert(key, row).is_some() {
            return Err(CleanPlanError::LookupKeyRepeated { table: table.name().to_owned(), key });
        }
    }
    Ok(index)
}

impl Lookup {
    /// Whether it removes rows.
    pub(super) fn removes_rows(&self) -> bool {
        self.missing != Missing::Null
    }

    /// Adds the columns.
    pub(super) fn apply(&self, work: &mut Working) -> Result<(), CleanError> {
        let on = KeyColumn::read(work.rows.batch.column(self.on), self.kind)?;
        let matches: UInt32Array = (0..work.rows.times.len()).map(|row| self.row_of(&on, row)).collect();
        let mut columns = work.rows.batch.columns().to_vec();
        for values in &self.columns {
            columns.push(take(values.as_ref(), &matches, None)?);
        }
        work.rows.batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        if matches.null_count() == 0 || self.missing == Missing::Null {
            return Ok(());
        }
        for row in (0..matches.len()).filter(|row| matches.is_null(*row)) {
            if self.missing == Missing::Drop {
                work.filter(row);
            } else {
                let detail = self.detail(&on, row);
                work.doom(row, Reason::LookupMissing, detail);
            }
        }
        Ok(())
    }

    fn row_of(&self, on: &KeyColumn, row: usize) -> Option<u32> {
        if on.is_null(row) {
            return None;
        }
        match (on, &self.index) {
            (KeyColumn::Text(texts), Index::Text(index)) => index.get(texts.value(row)).copied(),
            (KeyColumn::Int(numbers), Index::Int(index)) => index.get(&numbers.value(row)).copied(),
            _ => None,
        }
    }

    fn detail(&self, on: &KeyColumn, row: usize) -> String {
        let name = self.schema.field(self.on).name();
        let value = match on {
            _ if on.is_null(row) => "null".to_owned(),
            KeyColumn::Text(texts) => format!("`{}`", texts.value(row).chars().take(120).collect::<String>()),
            KeyColumn::Int(numbers) => numbers.value(row).to_string(),
        };
        format!("{name} = {value} is not in table `{}`", self.table)
    }
}
