//! Outputs as Parquet: the same records as the lines of JSON, field by field, over all epochs.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::folder_support::{epochs, lines};
use crate::run_support::edited;

/// Runs the simulated corridor with outputs in this format; the folder they are in.
fn run(root: &Path, format: &str) -> std::path::PathBuf {
    let sink = |name: &str, format: &str| {
        format!("\n  {name}: {{ from: {name}, folder: {{ path: {format}, format: {format} }} }}")
    };
    let sinks: String = ["alerts", "drift", "forecasts", "scores"].iter().map(|name| sink(name, format)).collect();
    let text = edited(&[
        ("length: 10h", "length: 2d"),
        (
            "    min_history: 1h\n",
            "    min_history: 1h\n    drift: { detector: { page_hinkley: { delta: 0, threshold: 5 } }, min_labels: 30 }\n",
        ),
        ("\n  alerts: { from: alerts, memory: {} }", &sinks),
        ("at_least_once\n", "exactly_once\nruntime: { commit_rows_max: 20000 }\n"),
    ]);
    let file = root.join(format!("{format}.yaml"));
    std::fs::write(&file, text).expect("a pipeline");
    let ran = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["run", "--until", "latest"])
        .arg(&file)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains(&format!("alerts.{format} (")), "{said}");
    root.join(format)
}

/// Rows of a sink's files, in the order of the epochs, as JSON.
fn rows(folder: &Path, sink: &str) -> Vec<Value> {
    let mut text = Vec::new();
    for epoch in epochs(folder) {
        let Ok(file) = File::open(epoch.join(format!("{sink}.parquet"))) else { continue };
        let mut writer = WriterBuilder::new().build::<_, LineDelimited>(&mut text);
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader") {
            writer.write(&batch.expect("a batch")).expect("JSON");
        }
        writer.finish().expect("written");
    }
    String::from_utf8(text).expect("text").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Without nulls, which one of the two writes and the other leaves out, and with every number as a float.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Number(number) => Value::from(number.as_f64()),
        other => other.clone(),
    }
}

#[test]
fn parquet_files_hold_what_the_lines_of_json_hold() {
    let root = tempfile::tempdir().expect("a folder");
    let (json, parquet) = (run(root.path(), "ndjson"), run(root.path(), "parquet"));
    assert!(epochs(&parquet).len() > 2, "several epochs");
    for (sink, least) in [("alerts", 2), ("drift", 2), ("forecasts", 1000), ("scores", 2)] {
        let mut expected: Vec<String> =
            lines(&json, sink).iter().map(|line| plain(&line["value"]).to_string()).collect();
        let mut found: Vec<String> = rows(&parquet, sink).iter().map(|row| plain(row).to_string()).collect();
        assert!(expected.len() >= least, "{sink}: {}", expected.len());
        // Which partition comes first within an epoch is up to the threads.
        expected.sort();
        found.sort();
        assert_eq!(expected, found, "{sink}");
    }
}
