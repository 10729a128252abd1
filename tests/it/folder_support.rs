//! A foreign reader of what a folder ledger published: JSON lines, in the order of the epochs.

use std::path::{Path, PathBuf};

use arterial_connectors::conformance::CommittedRecord;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Directories of the complete epochs, oldest first.
pub(crate) fn epochs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let complete = |path: &PathBuf| path.is_dir() && path.extension().is_none();
    let mut found: Vec<PathBuf> = entries.filter(complete).collect();
    found.sort();
    found
}

/// Lines of a sink over all epochs.
pub(crate) fn lines(folder: &Path, sink: &str) -> Vec<Value> {
    let files = epochs(folder).into_iter().map(|epoch| epoch.join(format!("{sink}.ndjson")));
    let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
    texts.flat_map(|text| text.lines().map(parse).collect::<Vec<_>>()).collect()
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).expect("a line of JSON")
}

/// The record that a line stands for. Values that are JSON come back as their compact text.
pub(crate) fn record(line: &Value) -> CommittedRecord {
    let inline = line["value"].as_object().map(|_| line["value"].to_string().into_bytes());
    let headers = line["headers"].as_array().map_or(&[][..], Vec::as_slice);
    CommittedRecord {
        key: bytes(line, "key", "key_base64"),
        value: inline.or_else(|| bytes(line, "value_text", "value_base64")),
        headers: headers
            .iter()
            .map(|header| {
                let name = header["name"].as_str().expect("a name").to_owned();
                (name, bytes(header, "value", "value_base64"))
            })
            .collect(),
    }
}

fn bytes(of: &Value, text: &str, base64: &str) -> Option<Vec<u8>> {
    let plain = of[text].as_str().map(|text| text.as_bytes().to_vec());
    plain.or_else(|| of[base64].as_str().map(|text| STANDARD.decode(text).expect("base64")))
}
