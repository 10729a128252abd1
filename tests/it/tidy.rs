//! House rules that no compiler checks: who may import whom, file heads and lengths, files that nobody uses.

use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom up: a layer may use itself and those before it.
const LAYERS: [&str; 9] = ["vocab", "schema", "stages", "state", "spec", "observe", "runtime", "serve", "cli"];
/// Stages in the order the data flows: a stage may use those before it. `rows` is what they all pass on, `expression`
/// is how clean and alert evaluate SQL.
const STAGES: [&str; 9] = ["rows", "expression", "decode", "clean", "window", "features", "predict", "alert", "encode"];
const FILE_LINES_MAX: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<PathBuf> {
    ["src", "connectors/src", "tests", "benches", "docs"]
        .iter()
        .map(|folder| root().join(folder))
        .filter(|folder| folder.exists())
        .flat_map(|folder| files_below(&folder, "rs"))
        .collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The first path segment after `crate::` in every line that has one.
fn crate_imports(text: &str) -> Vec<(usize, Vec<String>)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .flat_map(|(number, line)| {
            line.match_indices("crate::").map(move |(at, matched)| {
                let path = &line[at + matched.len()..];
                let segments = path
                    .split("::")
                    .map(|s| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>());
                (number + 1, segments.collect())
            })
        })
        .collect()
}

#[test]
fn every_rust_file_opens_with_what_it_is_for() {
    let bare: Vec<String> = rust_files()
        .iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .map(|path| shown(path))
        .collect();
    assert!(bare.is_empty(), "these files lack a `//!` head: {bare:?}");
}

#[test]
fn no_file_is_longer_than_a_reader_bears() {
    let long: Vec<String> = rust_files()
        .iter()
        .map(|path| (shown(path), fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines}"))
        .collect();
    assert!(long.is_empty(), "over {FILE_LINES_MAX} lines: {long:?}");
}

#[test]
fn layers_import_only_downwards() {
    let mut wrong = Vec::new();
    for path in files_below(&root().join("src"), "rs") {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let layer = inside.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        let Some(own) = LAYERS.iter().position(|known| *known == layer) else { continue };
        for (line, segments) in crate_imports(&fs::read_to_string(&path).unwrap()) {
            let other = LAYERS.iter().position(|known| *known == segments[0]);
            if other.is_some_and(|other| other > own) {
                wrong.push(format!("{}:{line} uses {}", shown(&path), segments[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "layers may only use those below: {wrong:#?}");
}

#[test]
fn stages_import_only_earlier_stages() {
    let mut wrong = Vec::new();
    for path in files_below(&root().join("src/stages"), "rs") {
        let inside = path.strip_prefix(root().join("src/stages")).unwrap();
        let stage = inside.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        let Some(own) = STAGES.iter().position(|known| *known == stage) else { continue };
        for (line, segments) in crate_imports(&fs::read_to_string(&path).unwrap()) {
            if segments[0] != "stages" {
                continue;
            }
            let other = segments.get(1).and_then(|s| STAGES.iter().position(|known| known == s));
            if other.is_some_and(|other| other > own) {
                wrong.push(format!("{}:{line} uses stages::{}", shown(&path), segments[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "a stage may only use those before it: {wrong:#?}");
}

#[test]
fn connectors_know_nothing_of_the_engine() {
    let manifest = fs::read_to_string(root().join("connectors/Cargo.toml")).unwrap();
    for forbidden in ["datafusion", "linfa", "arterial ="] {
        assert!(!manifest.contains(forbidden), "connectors/Cargo.toml depends on {forbidden}");
    }
}

#[test]
fn only_the_runtime_spawns_threads_and_tasks() {
    let allowed = ["src/runtime/", "src/cli/", "src/serve/", "connectors/src/"];
    let spawning: Vec<String> = rust_files()
        .iter()
        .filter(|path| !allowed.iter().any(|folder| shown(path).starts_with(folder)))
        .filter(|path| shown(path).starts_with("src/"))
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            text.contains("thread::spawn") || text.contains("tokio::spawn") || text.contains("Builder::new().spawn")
        })
        .map(|path| shown(path))
        .collect();
    assert!(spawning.is_empty(), "these spawn: {spawning:?}");
}

#[test]
fn every_pipeline_and_schema_is_used_somewhere() {
    let mut texts = String::new();
    for folder in ["src", "tests", "docs", "benches", "scripts"] {
        for extension in ["rs", "md", "sh"] {
            let folder = root().join(folder);
            if folder.exists() {
                for path in files_below(&folder, extension) {
                    texts.push_str(&fs::read_to_string(path).unwrap());
                }
            }
        }
    }
    texts.push_str(&fs::read_to_string(root().join("README.md")).unwrap());
    let unused: Vec<String> = files_below(&root().join("pipelines"), "yaml")
        .into_iter()
        .chain(files_below(&root().join("schemas"), "avsc"))
        .filter(|path| !texts.contains(path.file_name().unwrap().to_str().unwrap()))
        .map(|path| shown(&path))
        .collect();
    assert!(unused.is_empty(), "nothing mentions {unused:?}");
}
