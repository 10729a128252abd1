//! Rows of `tests:` -> keys that no column is read from, though they nearly are: misspelt, they would count as null, and
//! a test of nulls would pass.

use super::file::PipelineFile;
use super::model::PipelineSpec;
use crate::stages::decode::DecodePlan;
use crate::stages::expression::did_you_mean;
use crate::vocab::{At, YamlPath};

/// A key that is nearly one that is read.
#[derive(Debug, thiserror::Error)]
#[error("no column is read from `{key}`")]
struct UnreadKey {
    key: String,
}

/// Reports such keys. Messages may hold keys that nobody reads, so one that is like no other is left alone.
pub(super) fn check(file: &mut PipelineFile, spec: &PipelineSpec, decode: &DecodePlan) {
    let read: Vec<&str> = decode.paths().collect();
    for (test, given) in spec.tests.iter().map(|test| &test.given).enumerate() {
        for (row, cells) in given.rows.iter().enumerate() {
            for key in cells.keys().filter(|key| !read.contains(&key.as_str())) {
                let Some(near) = did_you_mean(key, read.iter().copied()) else { continue };
                let hint = format!("{near} Or correct `paths:`, where the source's name for it is `{key}`");
                let rows = YamlPath::default().key("tests").index(test).key("given").key("rows");
                let path = rows.index(row).key(key);
                file.report(&At { path, error: UnreadKey { key: key.clone() }, hint: Some(hint) });
            }
        }
    }
}
