//! `arterial test`: the `tests:` of a pipeline file, run through its own stages, without network. No trained versions: models
//! begin with nothing, so that a test says the same wherever it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use arterial_connectors::payload::RawRows;
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::load::load_plan_to_test;
use super::report::Format;
use crate::runtime::{DryRow, DryRun, dry_run};
use crate::spec::model::{ExpectSpec, Scalar, TestRow, TestSpec};
use crate::spec::{PipelinePlan, suggest};

/// Run the tests that pipeline files carry.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial test pipelines/congestion-aarhus.yaml\n  \
    arterial test --format json pipelines/*.yaml\n\n\
    Networks with an `artefact` begin with nothing here, so that tests say the same wherever they run.")]
pub struct TestArgs {
    /// The pipeline files.
    #[arg(required = true)]
    pub pipelines: Vec<PathBuf>,
    /// How verdicts are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// What came of one test.
#[derive(Serialize)]
struct Verdict<'a> {
    file: &'a Path,
    name: String,
    passed: bool,
    /// A line per difference.
    differences: Vec<String>,
}

/// Runs the verb; prints a verdict per test.
///
/// # Errors
/// A file has problems, or at least one test failed.
pub fn test(args: &TestArgs) -> Result<()> {
    let mut verdicts = Vec::new();
    for file in &args.pipelines {
        let cases = load_plan_to_test(file, &BTreeMap::new())?.tests;
        if cases.is_empty() && args.format == Format::Text {
            say!("{}: has no `tests:`; docs/testing.md shows how to write some", file.display());
        }
        for case in &cases {
            let plan = Arc::new(load_plan_to_test(file, &case.given.tables)?);
            let differences = run_case(&plan, case)?;
            let verdict = Verdict { file, name: case.name.clone(), passed: differences.is_empty(), differences };
            if args.format == Format::Text {
                print_verdict(&verdict);
            }
            verdicts.push(verdict);
        }
    }
    let passed = verdicts.iter().filter(|verdict| verdict.passed).count();
    let failed = verdicts.len() - passed;
    match args.format {
        Format::Text => say!("{passed} passed, {failed} failed"),
        Format::Json => {
            let report = json!({ "passed": passed, "failed": failed, "tests": verdicts });
            say!("{}", serde_json::to_string_pretty(&report)?);
        }
    }
    if failed > 0 {
        bail!("{failed} of {} pipeline tests failed", verdicts.len());
    }
    Ok(())
}

fn print_verdict(verdict: &Verdict<'_>) {
    let word = if verdict.passed { "ok" } else { "FAILED" };
    say!("{}: {} ... {word}", verdict.file.display(), verdict.name);
    for difference in &verdict.differences {
        say!("    {difference}");
    }
}

/// Feeds one test and compares; returns a line per difference.
fn run_case(plan: &Arc<PipelinePlan>, case: &TestSpec) -> Result<Vec<String>> {
    let (mut rows, mut payloads) = (RawRows::default(), RawRows::default());
    for (offset, row) in case.given.rows.iter().enumerate() {
        rows.push(offset as i64, None, None, Some(&serde_json::to_vec(&given_row(row))?));
    }
    for (payload, offset) in case.given.payloads.iter().zip(rows.len()..) {
        payloads.push(offset as i64, None, None, Some(payload.as_bytes()));
    }
    Ok(compare(plan, &case.expect, &dry_run(plan, rows, payloads)?))
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

fn compare(plan: &PipelinePlan, expect: &ExpectSpec, got: &DryRun) -> Vec<String> {
    let decoded: Vec<&str> = plan.decode.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let outputs: [(&str, _, _, &[&str]); 7] = [
        ("clean", &expect.clean, &got.clean, &[]),
        ("windows", &expect.windows, &got.windows, &[]),
        ("forecasts", &expect.forecasts, &got.forecasts, &[]),
        ("alerts", &expect.alerts, &got.alerts, &[]),
        ("drift", &expect.drift, &got.drift, &[]),
        ("dead_letter", &expect.dead_letter, &got.dead_letter, &[]),
        // As they came: with what their sensor left out.
        ("late", &expect.late, &got.late, &decoded),
    ];
    outputs
        .into_iter()
        .filter_map(|(name, expected, rows, more)| {
            expected.as_ref().map(|expected| differences(name, expected, rows, more))
        })
        .flatten()
        .collect()
}

/// `more`: columns that exist although no row may have them.
fn differences(output: &str, expected: &[TestRow], rows: &[DryRow], more: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    if expected.len() != rows.len() {
        found.push(format!("{output}: expected {} rows, got {}", expected.len(), rows.len()));
    }
    let known: BTreeSet<&str> =
        rows.iter().flat_map(columns).map(|(name, _)| name).chain(more.iter().copied()).collect();
    for (index, (expected, row)) in expected.iter().zip(rows).enumerate() {
        for (column, scalar) in expected {
            if !known.contains(column.as_str()) {
                let hint = suggest::hint(column, known.iter().copied(), "columns").unwrap_or_default();
                found.push(format!("{output}[{index}].{column}: there is no such column; {hint}"));
                continue;
            }
            let wanted = scalar_json(scalar);
            let got = columns(row).find(|(name, _)| name == column).map_or(&Value::Null, |(_, value)| value);
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

/// A row's columns, then those of the key that stands in it as a whole.
fn columns(row: &DryRow) -> impl Iterator<Item = (&str, &Value)> {
    let key = row.get("key").and_then(Value::as_object);
    row.iter().chain(key.into_iter().flatten()).map(|(name, value)| (name.as_str(), value))
}

/// Equal, numbers to within 1e-9 of their size: a test is written in decimals.
fn same(wanted: &Value, got: &Value) -> bool {
    match (wanted.as_f64(), got.as_f64()) {
        (Some(wanted), Some(got)) => (wanted - got).abs() <= 1e-9 * wanted.abs().max(1.0),
        _ => wanted == got,
    }
}
