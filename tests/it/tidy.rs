//! House rules that no compiler checks: who may import whom, file heads and lengths, files that nobody uses.

use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom up: a layer may use itself and those before it.
const LAYERS: [&str; 10] =
    ["vocab", "schema", "stages", "models", "state", "spec", "observe", "runtime", "serve", "cli"];
/// Stages in the order the data flows: a stage may use those before it. `rows` is what they all pass on, `custom`
/// what parts of the embedding program have in common, `expression` how clean and alert evaluate SQL, `quantiles` how
/// clean and windows find medians.
const STAGES: [&str; 11] = [
    "rows",
    "custom",
    "expression",
    "quantiles",
    "decode",
    "clean",
    "window",
    "features",
    "predict",
    "alert",
    "encode",
];
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

/// Line and segments of every path that begins with `crate::`, those in braces one by one.
fn crate_imports(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for (at, matched) in text.match_indices("crate::") {
        let (before, after) = (&text[..at], &text[at + matched.len()..]);
        if before.lines().next_back().is_some_and(|line| line.trim_start().starts_with("//")) {
            continue;
        }
        let mut paths = Vec::new();
        use_tree(&mut after.trim_start(), &[], &mut paths);
        found.extend(paths.into_iter().map(|path| (before.matches('\n').count() + 1, path)));
    }
    found
}

/// Reads a path, or several in braces, from the front of `text`: all of them go on from `before`.
fn use_tree(text: &mut &str, before: &[String], paths: &mut Vec<Vec<String>>) {
    if let Some(inside) = text.strip_prefix('{') {
        *text = inside.trim_start();
        while !text.starts_with('}') {
            use_tree(text, before, paths);
            // Over `as name` and the comma.
            *text = text.trim_start_matches(|c| c != ',' && c != '}');
            *text = text.strip_prefix(',').unwrap_or(text).trim_start();
            assert!(!text.is_empty(), "a brace that never closes");
        }
        *text = &text[1..];
        return;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let path = [before, &[text[..end].to_owned()]].concat();
    *text = &text[end..];
    match text.strip_prefix("::") {
        Some(rest) => {
            *text = rest.trim_start();
            use_tree(text, &path, paths);
        }
        None => paths.push(path),
    }
}

/// Whether a text starts threads, tasks or processes, however the call is broken over lines.
fn spawns(text: &str) -> bool {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code: String = code.split_whitespace().collect();
    ["thread::spawn", "tokio::spawn", "thread::scope", "thread::Builder", ".spawn(", "spawn_blocking", "spawn_local"]
        .iter()
        .any(|call| code.contains(call))
}

#[test]
fn imports_are_seen_in_every_shape() {
    let text = "use crate::{\n    stages::{alert::{self, Alerts as A}, window},\n    vocab::*,\n};\n\
                // crate::cli\nfn f() -> crate::spec::Plan<crate::state::Digest> {}\n";
    let seen: Vec<String> =
        crate_imports(text).iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect();
    let braced = ["1 stages::alert::self", "1 stages::alert::Alerts", "1 stages::window", "1 vocab::"];
    assert_eq!(seen, [&braced[..], &["6 spec::Plan", "6 state::Digest"]].concat());
}

#[test]
fn spawning_is_seen_in_every_shape() {
    let built = "let work = thread::Builder::new()\n    .name(name)\n    .spawn(work)?;";
    for text in [built, "builder\n    .spawn(work)", "std::thread::spawn(|| 1)", "let run = tokio::spawn;"] {
        assert!(spawns(text), "{text}");
    }
    assert!(!spawns("// thread::spawn is for others\nfn respawned() {}"));
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
        .filter(|path| spawns(&fs::read_to_string(path).unwrap()))
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
