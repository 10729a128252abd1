//! Figures that were measured -> a file under `target/`, for machines: a list of name, value and unit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: String,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.to_owned() }
    }
}

/// Writes figures to `target/FILE` of the checkout, wherever builds go. Figures of other names that are there already
/// stay: a benchmark may run in parts. What was not measured, NaN, is not written.
#[allow(
    dead_code,
    reason = "the benchmarks that include this file write all their figures, or those of a data set anew"
)]
pub(crate) fn write_figures(file: &str, figures: &[Figure]) -> Result<PathBuf> {
    write_figures_anew(file, &[], figures)
}

/// The same, in place of all figures whose names begin so: those that are no longer measured go.
pub(crate) fn write_figures_anew(file: &str, beginnings: &[String], figures: &[Figure]) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(file);
    let mut all: Vec<Figure> = match std::fs::read(&path) {
        Ok(known) => serde_json::from_slice(&known)
            .with_context(|| format!("`{}` is no list of figures: delete it", path.display()))?,
        Err(_) => Vec::new(),
    };
    all.retain(|known| {
        let begins = |beginning: &String| known.name.starts_with(beginning.as_str());
        !beginnings.iter().any(begins) && figures.iter().all(|figure| figure.name != known.name)
    });
    all.extend(figures.iter().filter(|figure| figure.value.is_finite()).cloned());
    std::fs::create_dir_all(path.with_file_name(""))?;
    std::fs::write(&path, serde_json::to_string_pretty(&all)?)?;
    Ok(path)
}
