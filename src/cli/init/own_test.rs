//! A sample and what was found in it -> the test of the pipeline that is written.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::column::Kind;
use super::guess::{KeyOf, TimeOf};
use super::sample::{Cell, Sample, Written};
use super::time::{TimeText, micros};
use super::write::{Fields, quoted};

/// The worst reading of the sample, which has to come through cleaning as it was and to be told of.
pub(super) fn test(text: &mut String, sample: &Sample, fields: &Fields<'_>) {
    let findings = fields.findings;
    let (target, column) = fields.target();
    let (mut key, mut at) = (quoted("1"), quoted("2026-01-01T00:00:00Z"));
    // Rows of a test have the names that those of the source have.
    let (mut key_name, mut time_name) = (fields.key.as_str(), fields.time.as_str());
    if let KeyOf::Column(name, kind) = &findings.key {
        let number = *kind == Kind::Whole && !matches!(sample.written, Written::Csv { .. });
        (key, key_name) = (first(sample, name, |cell| as_yaml(cell, number)), name);
    }
    if let TimeOf::Column(name, time) = &findings.time {
        (at, time_name) = (
            first(sample, name, |cell| {
                // What a format reads is text, also where it looks like a number.
                micros(cell, time).and(as_yaml(cell, !matches!(time, TimeText::Dates(_))))
            }),
            name,
        );
    }
    let target_name = if findings.key == KeyOf::Header { target } else { column.name.as_str() };
    let limit = column.limit(findings.low_is_bad());
    let value = limit.map_or(column.quantile(0.5), |(worst, _)| worst);
    let given = [(key_name, key.as_str()), (time_name, &at), (target_name, &value.to_string())];
    let given = if sample.written == Written::Json && given.iter().any(|(name, _)| name.contains('.')) {
        format!("payloads:\n        - {}", quoted(&payload(&given)))
    } else {
        // A key is no place for a variable: its `$` stays single.
        let cells = given.map(|(name, value)| format!("{}: {value}", quoted(name).replace("$$", "$")));
        format!("rows:\n        - {{ {} }}", cells.join(", "))
    };
    let key_field = &fields.key;
    let _ = write!(
        text,
        "tests:\n  - name: the worst reading of the sample comes through as it is\n    given:\n      {given}\n    expect:\n      \
         clean:\n        - {{ {key_field}: {key}, {target}: {value} }}\n"
    );
    if limit.is_some() {
        text.push_str("      alerts:\n        - { rule: unusual, state: opened }\n");
    }
}

/// The first cell of a column that can be written.
fn first(sample: &Sample, name: &str, written: impl Fn(&Cell) -> Option<String>) -> String {
    let place = sample.columns.iter().position(|one| one == name);
    let cells = place.into_iter().flat_map(|index| sample.rows.iter().map(move |row| &row[index]));
    cells.filter_map(written).next().unwrap_or_else(|| quoted("1"))
}

fn as_yaml(cell: &Cell, numbers: bool) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(quoted(text)),
        Cell::Number(number, _) if numbers => Some(number.to_string()),
        Cell::Number(_, text) => Some(quoted(text)),
        Cell::Null | Cell::Bool => None,
    }
}

/// A message with values at the ends of paths.
fn payload(values: &[(&str, &str)]) -> String {
    let mut message = Value::Object(Map::new());
    for (path, value) in values {
        let mut place = &mut message;
        for name in path.split('.') {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[name];
        }
        // What is written as YAML here is JSON, with each `$` doubled.
        *place = serde_json::from_str(&value.replace("$$", "$")).unwrap_or_default();
    }
    message.to_string()
}
