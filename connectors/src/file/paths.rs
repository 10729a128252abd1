//! A path or a pattern -> the files it names, in the order in which they make up one topic.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, glob_with};

use super::rows::unreadable;
use crate::source::SourceError;

/// The files of a pattern (`*`, `?`, `[a-z]`, `**` for folders at any depth) sorted by path, without folders and
/// hidden files. A path that exists as it is written, or has nothing of a pattern, names itself alone.
///
/// # Errors
/// [`SourceError::File`] where the pattern is malformed, a folder cannot be listed or no file matches.
pub(super) fn paths_of(pattern: &Path) -> Result<Vec<PathBuf>, SourceError> {
    // A path that is no UTF-8 cannot be a pattern: patterns come from the pipeline file or a command line's text.
    let Some(text) = pattern.to_str().filter(|text| Pattern::escape(text) != *text && !pattern.exists()) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
    let found = glob_with(text, options).map_err(|error| unreadable(pattern, format!("is no pattern: {error}")))?;
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| unreadable(error.path(), error.error().to_string()))?;
        if !path.is_dir() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(unreadable(pattern, "matches no file; check the folder and the pattern"));
    }
    paths.sort_unstable();
    Ok(paths)
}
