//! The name of a file -> how it is written and compressed.

use std::path::{Path, PathBuf};

use super::rows::unreadable;
use crate::source::SourceError;

/// How rows are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Apache Parquet; also whatever has no ending of another format.
    Parquet,
    /// One JSON object a line: `.ndjson`, `.jsonl`, `.json`.
    Json,
    /// Delimited text (RFC 4180) with a header: `.csv`, `.tsv`, `.txt`.
    Csv,
}

/// How a file of text is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl FileFormat {
    /// The format by the end of a file's name, before `.gz` and `.zst`.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match ending(&name_inside(path).0).as_str() {
            "ndjson" | "jsonl" | "json" => Self::Json,
            "csv" | "tsv" | "txt" => Self::Csv,
            _ => Self::Parquet,
        }
    }

    /// The format of all these files.
    ///
    /// # Errors
    /// [`SourceError::File`] names the first file that has another format than those before it.
    pub(super) fn of_all(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let first = paths.first().map_or(Self::Parquet, |path| Self::of(path));
        if let Some(other) = paths.iter().find(|path| Self::of(path) != first) {
            let reason = format!(
                "is {} by its name where `{}` is {}; files of one source must have the same format: narrow the pattern",
                Self::of(other).name(),
                paths[0].display(),
                first.name()
            );
            return Err(unreadable(other, reason));
        }
        Ok(first)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Json => "JSON lines",
            Self::Csv => "CSV",
        }
    }
}

impl Compression {
    pub(super) fn of(path: &Path) -> Self {
        name_inside(path).1
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "text",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The name without the ending that says how it is compressed, and that.
fn name_inside(path: &Path) -> (PathBuf, Compression) {
    match ending(path).as_str() {
        "gz" => (path.with_extension(""), Compression::Gzip),
        "zst" => (path.with_extension(""), Compression::Zstd),
        _ => (path.to_owned(), Compression::None),
    }
}

fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}
