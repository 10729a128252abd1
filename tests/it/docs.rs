//! What the documentation shows must work: its pipelines are valid, the shipped pipelines pass their own tests, and the
//! published schema is the one that the code has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn arterial(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arterial")).current_dir(root()).args(arguments).output().expect("it runs")
}

fn shipped() -> Vec<String> {
    let mut files: Vec<String> = fs::read_dir(root().join("pipelines"))
        .expect("pipelines")
        .map(|entry| format!("pipelines/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .collect();
    files.sort();
    files
}

/// The fenced blocks of a language in a Markdown file.
fn blocks(file: &Path, language: &str) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a document");
    let opening = format!("```{language}\n");
    text.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("```").next().map(str::to_owned)).collect()
}

#[test]
fn shipped_pipelines_are_valid() {
    for file in shipped() {
        let output = arterial(&["validate", &file]);
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn shipped_pipelines_pass_their_own_tests() {
    let files = shipped();
    let mut arguments = vec!["test"];
    arguments.extend(files.iter().map(String::as_str));
    let output = arterial(&arguments);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{out}");
    assert!(!out.contains("0 passed"), "no pipeline carries a test: {out}");
}

#[test]
fn the_demo_shows_an_alert_and_a_model_that_beats_both_baselines() {
    let output = arterial(&["run", "--until", "latest", "--format", "json", "pipelines/congestion-simulated.yaml"]);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("first alert: 2026-03-"), "{log}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a summary");
    assert_eq!(summary["rows"]["balanced"], true);
    for horizon_s in [900.0, 1800.0] {
        let error = |model: &str, measure: &str| {
            let scores = summary["scores"].as_array().expect("scores");
            let of = |score: &&serde_json::Value| score["model"] == model && score["horizon_s"] == horizon_s;
            scores.iter().find(of).and_then(|score| score[measure].as_f64()).expect("a score")
        };
        for baseline in ["persistence", "profile"] {
            let (own, other) = (error("online_linear", "mae"), error(baseline, "mae"));
            assert!(own < 0.92 * other, "{horizon_s} s: MAE {own} beside {baseline}'s {other}");
            let (own, other) = (error("online_linear", "rmse"), error(baseline, "rmse"));
            assert!(own < other, "{horizon_s} s: RMSE {own} beside {baseline}'s {other}");
        }
    }
}

#[test]
fn the_readmes_pipeline_is_valid() {
    let yaml = blocks(&root().join("README.md"), "yaml");
    assert!(!yaml.is_empty(), "the README shows a pipeline");
    for (index, block) in yaml.iter().enumerate() {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("readme-{index}.yaml"));
        fs::write(&path, block).expect("a file");
        let output = arterial(&["validate", path.to_str().expect("text")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_security_blocks_of_the_documentation_are_valid_in_the_readmes_pipeline() {
    let pipeline = blocks(&root().join("README.md"), "yaml").remove(0);
    let shown = blocks(&root().join("docs/security.md"), "yaml");
    assert_eq!(shown.len(), 2);
    let place = "kafka: { brokers: \"127.0.0.1:9092\", topics: [ring.traffic.observations.v1] }";
    for (index, security) in shown.iter().enumerate() {
        let below: String = security.lines().map(|line| format!("\n      {line}")).collect();
        let kafka = format!("kafka:\n      brokers: broker:9093\n      topics: [ring.traffic.observations.v1]{below}");
        let text = pipeline.replace(place, &kafka);
        assert_ne!(text, pipeline);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("security-{index}.yaml"));
        fs::write(&path, text).expect("a file");
        let output = arterial(&["validate", path.to_str().expect("text")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_verb_of_the_readme_exists() {
    let help = String::from_utf8_lossy(&arterial(&["--help"]).stdout).into_owned();
    let shell = blocks(&root().join("README.md"), "sh").join("\n");
    let verbs: Vec<&str> = shell
        .lines()
        .filter_map(|line| line.strip_prefix("arterial "))
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    assert!(verbs.len() >= 5, "the README shows the verbs: {verbs:?}");
    for verb in verbs {
        assert!(help.lines().any(|line| line.trim_start().starts_with(verb)), "`{verb}` is not in --help:\n{help}");
    }
}

#[test]
fn the_published_schema_is_current() {
    let path = root().join(arterial::spec::json_schema::SCHEMA_PATH);
    let current = arterial::spec::json_schema::pipeline_schema_text();
    if std::env::var_os("ARTERIAL_BLESS").is_some() {
        fs::write(&path, &current).expect("written");
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == current,
        "{} is not current: run ARTERIAL_BLESS=1 cargo test --test it the_published_schema_is_current",
        path.display()
    );
}
