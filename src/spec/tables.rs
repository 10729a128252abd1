//! `tables:` -> their rows, read from their files or from the pipeline file; tests bring rows of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::file::PipelineFile;
use super::model::{PipelineSpec, Scalar, TestRow};
use crate::stages::clean::{Cell, Table, TableError};
use crate::vocab::{At, YamlPath};

/// A table that cannot be read or used.
#[derive(Debug, thiserror::Error)]
enum TableProblem {
    #[error("cannot read `{path}`: {reason}")]
    Unreadable { path: String, reason: String },
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Every table, read; `None` after the problems went to the file.
pub(super) fn read(
    file: &mut PipelineFile,
    spec: &PipelineSpec,
    folder: &Path,
    test_tables: &BTreeMap<String, Vec<TestRow>>,
) -> Option<BTreeMap<String, Arc<Table>>> {
    let mut read = BTreeMap::new();
    let mut all = true;
    for (name, table) in &spec.tables {
        let rows = test_tables.get(name).or(table.rows.as_ref());
        let made = match (rows, &table.file) {
            (Some(rows), _) => Table::from_rows(name, &cells(rows), &table.key).map_err(TableProblem::from),
            (None, Some(csv)) => csv_table(name, &folder.join(csv), &table.key),
            // The rules have refused a table with neither.
            (None, None) => continue,
        };
        match made {
            Ok(table) => drop(read.insert(name.clone(), Arc::new(table))),
            Err(error) => {
                all = false;
                let hint = matches!(error, TableProblem::Unreadable { .. }).then(|| {
                    "paths start where the pipeline file stands; a test brings rows under `tables`".to_owned()
                });
                file.report(&At { path: YamlPath::default().key("tables").key(name), error, hint });
            }
        }
    }
    all.then_some(read)
}

fn csv_table(name: &str, csv: &Path, key: &str) -> Result<Table, TableProblem> {
    let text = std::fs::read(csv)
        .map_err(|error| TableProblem::Unreadable { path: csv.display().to_string(), reason: error.to_string() })?;
    Ok(Table::from_csv(name, &text, key)?)
}

fn cells(rows: &[TestRow]) -> Vec<BTreeMap<String, Cell>> {
    let cell = |scalar: &Scalar| match scalar {
        Scalar::Null => Cell::Null,
        Scalar::Bool(value) => Cell::Bool(*value),
        Scalar::Int(value) => Cell::Int(*value),
        Scalar::Float(value) => Cell::Float(*value),
        Scalar::Text(value) => Cell::Text(value.clone()),
    };
    rows.iter().map(|row| row.iter().map(|(column, scalar)| (column.clone(), cell(scalar))).collect()).collect()
}
