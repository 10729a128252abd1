//! `tables:` -> their rows, read from their files or from the pipeline file, and of those with `graph` who is next to
//! whom; tests bring rows of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::file::PipelineFile;
use super::model::{GraphSpec, PipelineSpec, Scalar, TableSpec, TestRow};
use crate::stages::clean::{Cell, Table, TableError};
use crate::stages::features::{Graph, GraphError, GraphSettings};
use crate::vocab::{At, YamlPath};

/// A table that cannot be read or used.
#[derive(Debug, thiserror::Error)]
enum TableProblem {
    #[error("cannot read `{path}`: {reason}")]
    Unreadable { path: String, reason: String },
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// All tables by name.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) rows: BTreeMap<String, Arc<Table>>,
    /// Of those that are tables of links.
    pub(super) graphs: BTreeMap<String, Arc<Graph>>,
}

/// Every table, read; `None` after the problems went to the file.
pub(super) fn read(
    file: &mut PipelineFile,
    spec: &PipelineSpec,
    folder: &Path,
    test_tables: &BTreeMap<String, Vec<TestRow>>,
) -> Option<Tables> {
    let mut read = Tables::default();
    let mut all = true;
    for (name, table) in &spec.tables {
        let place = YamlPath::default().key("tables").key(name);
        let Some(made) = one(name, table, folder, test_tables.get(name)) else { continue };
        let graph = match (&made, &table.graph) {
            (Ok(table), Some(graph)) => Graph::of(table, &graph_settings(graph)).map(Some),
            _ => Ok(None),
        };
        match (made, graph) {
            (Ok(table), Ok(graph)) => {
                read.rows.insert(name.clone(), Arc::new(table));
                read.graphs.extend(graph.map(|graph| (name.clone(), Arc::new(graph))));
            }
            (made, graph) => {
                all = false;
                let path = if made.is_ok() { place.key("graph") } else { place };
                let error = made.err().or(graph.err().map(TableProblem::from));
                let hint = matches!(error, Some(TableProblem::Unreadable { .. })).then(|| {
                    "paths start where the pipeline file stands; a test brings rows under `tables`".to_owned()
                });
                error.into_iter().for_each(|error| file.report(&At { path: path.clone(), error, hint: hint.clone() }));
            }
        }
    }
    all.then_some(read)
}

/// `None` for a table without origin or key, which the rules have refused.
fn one(
    name: &str,
    table: &TableSpec,
    folder: &Path,
    of_test: Option<&Vec<TestRow>>,
) -> Option<Result<Table, TableProblem>> {
    let key: Vec<&str> = match (&table.graph, &table.key) {
        (Some(graph), _) => [Some(&graph.from), graph.to.as_ref()].into_iter().flatten().map(String::as_str).collect(),
        (None, Some(key)) => vec![key],
        (None, None) => return None,
    };
    match (of_test.or(table.rows.as_ref()), &table.file) {
        (Some(rows), _) => Some(Table::from_rows_by(name, &cells(rows), &key).map_err(TableProblem::from)),
        (None, Some(csv)) => Some(csv_table(name, &folder.join(csv), &key)),
        (None, None) => None,
    }
}

fn graph_settings(graph: &GraphSpec) -> GraphSettings {
    let GraphSpec { from, to, weight, distance } = graph.clone();
    GraphSettings { from, to, weight, distance }
}

fn csv_table(name: &str, csv: &Path, key: &[&str]) -> Result<Table, TableProblem> {
    let text = std::fs::read(csv)
        .map_err(|error| TableProblem::Unreadable { path: csv.display().to_string(), reason: error.to_string() })?;
    Ok(Table::from_csv_by(name, &text, key)?)
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
