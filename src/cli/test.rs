//! `arterial test`: the `tests:` of a pipeline file, run through its own stages, without network.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use arterial_connectors::payload::RawRows;
use clap::Args;
use serde_json::{Map, Value};

use super::load::load_plan_with_tables;
use crate::runtime::{DryRun, dry_run};
use crate::spec::PipelinePlan;
use crate::spec::model::{ExpectSpec, Scalar, TestRow, TestSpec};

/// Run the tests that pipeline files carry.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial test pipelines/congestion-aarhus.yaml\n  \
    arterial test pipelines/*.yaml")]
pub struct TestArgs {
    /// The pipeline files.
    #[arg(required = true)]
    pub pipelines: Vec<PathBuf>,
}

/// Runs the verb; prints a line per test.
///
/// # Errors
/// A file has problems, or at least one test failed.
pub fn test(args: &TestArgs) -> Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for path in &args.pipelines {
        let plan = load_plan_with_tables(path, &BTreeMap::new())?;
        for case in &plan.tests {
            let plan = Arc::new(load_plan_with_tables(path, &case.given.tables)?);
            let differences = run_case(&plan, case)?;
            let verdict = if differences.is_empty() { "ok" } else { "FAILED" };
            println!("{}: {} ... {verdict}", path.display(), case.name);
            for difference in &differences {
                println!("    {difference}");
            }
            if differences.is_empty() {
                passed += 1;
            } else {
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} of {} pipeline tests failed", passed + failed);
    }
    Ok(())
}

/// Feeds one test and compares; returns a line per difference.
fn run_case(plan: &Arc<PipelinePlan>, case: &TestSpec) -> Result<Vec<String>> {
    let mut rows = RawRows::default();
    let payloads = case.given.rows.iter().map(|row| serde_json::to_string(&given_row(row)));
    for (offset, payload) in payloads.chain(case.given.payloads.iter().cloned().map(Ok)).enumerate() {
        rows.push(offset as i64, None, None, Some(payload?.as_bytes()));
    }
    Ok(compare(&case.expect, &dry_run(plan, rows)?))
}

fn given_row(row: &TestRow) -> Map<String, Value> {
    row.iter().map(|(column, scalar)| (column.clone(), scalar_json(scalar))).collect()
}

fn scalar_json(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::from(*value),
        Scalar::Int(value) => Value::from(*value),
        Scalar::Float(value) => Value::from(*value),
        Scalar::Text(value) => Value::from(value.as_str()),
    }
}

fn compare(expect: &ExpectSpec, got: &DryRun) -> Vec<String> {
    let outputs = [
        ("clean", &expect.clean, &got.clean),
        ("windows", &expect.windows, &got.windows),
        ("forecasts", &expect.forecasts, &got.forecasts),
        ("alerts", &expect.alerts, &got.alerts),
        ("dead_letter", &expect.dead_letter, &got.dead_letter),
        ("late", &expect.late, &got.late),
    ];
    outputs
        .into_iter()
        .filter_map(|(name, expected, rows)| expected.as_ref().map(|expected| differences(name, expected, rows)))
        .flatten()
        .collect()
}

fn differences(output: &str, expected: &[TestRow], rows: &[Map<String, Value>]) -> Vec<String> {
    let mut found = Vec::new();
    if expected.len() != rows.len() {
        found.push(format!("{output}: expected {} rows, got {}", expected.len(), rows.len()));
    }
    for (index, (expected, row)) in expected.iter().zip(rows).enumerate() {
        for (column, scalar) in expected {
            let wanted = scalar_json(scalar);
            let got = row.get(column).unwrap_or(&Value::Null);
            if !same(&wanted, got) {
                found.push(format!("{output}[{index}].{column}: expected {wanted}, got {got}"));
            }
        }
    }
    for row in rows.iter().skip(expected.len()) {
        found.push(format!("{output}: unexpected {}", Value::Object(row.clone())));
    }
    found
}

/// Equal, numbers to within 1e-9 of their size: a test is written in decimals.
fn same(wanted: &Value, got: &Value) -> bool {
    match (wanted.as_f64(), got.as_f64()) {
        (Some(wanted), Some(got)) => (wanted - got).abs() <= 1e-9 * wanted.abs().max(1.0),
        _ => wanted == got,
    }
}
