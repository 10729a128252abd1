//! What the user gets to read: all problems together, in order, as text and as JSON; and no text that brings us down.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arterial::spec::{PipelineFile, Registry};
use proptest::prelude::*;

use super::spec_support::{GOOD, parse, problems, rendered, spoilt};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/spec").join(name)
}

/// The text must be what the golden file holds; `ARTERIAL_BLESS=1` writes it anew.
fn assert_golden(name: &str, text: &str) {
    let path = golden(name);
    if std::env::var_os("ARTERIAL_BLESS").is_some() {
        fs::write(&path, text).expect("written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let command = "ARTERIAL_BLESS=1 cargo test --test it spec_reports";
    assert!(
        text == expected,
        "{name} differs; if that is right, run {command}\n--- now\n{text}\n--- golden\n{expected}"
    );
}

fn validate(arguments: &[&str]) -> Output {
    let folder = golden("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
    command.current_dir(folder).arg("validate").args(arguments).env_remove("ARTERIAL_LOG").output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn five_mistakes_read_as_in_the_golden_file_and_exit_with_78() {
    let output = validate(&["five-mistakes.yaml"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stdout), "");
    assert_golden("five-mistakes.txt", &text(&output.stderr));
}

#[test]
fn five_mistakes_are_data_with_format_json() {
    let output = validate(&["--format", "json", "five-mistakes.yaml"]);
    assert_eq!(output.status.code(), Some(78));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
    assert_eq!(report[0]["file"], "five-mistakes.yaml");
    let places: Vec<(u64, u64, &str)> = report[0]["problems"]
        .as_array()
        .expect("problems")
        .iter()
        .map(|p| (p["line"].as_u64().unwrap(), p["column"].as_u64().unwrap(), p["path"].as_str().unwrap()))
        .collect();
    let expected = [
        (5, 46, "sources.loops.kafka.topics[0]"),
        (8, 66, "sources.loops.event_time.max_delay"),
        (11, 3, "window.sise"),
        (15, 56, "predict.speed.horizons[1]"),
        (18, 48, "sinks.alerts.from"),
    ];
    assert_eq!(places, expected);
    assert!(report[0]["problems"].as_array().unwrap().iter().all(|problem| problem["hint"].is_string()), "{report}");
}

#[test]
fn several_files_are_all_checked() {
    let output = validate(&["--format", "json", "five-mistakes.yaml", "no-such-file.yaml"]);
    assert_eq!(output.status.code(), Some(78));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
    assert_eq!(report[1]["file"], "no-such-file.yaml");
    let message = report[1]["problems"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("the file cannot be read: "), "{message}");
}

#[test]
fn wrong_usage_exits_with_2() {
    assert_eq!(validate(&[]).status.code(), Some(2));
    assert_eq!(validate(&["--format", "xml", "a.yaml"]).status.code(), Some(2));
}

#[test]
fn bytes_that_are_no_utf_8_are_placed() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("spec-latin-1.yaml");
    fs::write(&path, b"version: 1\npipeline: \xe6rlig\n").expect("a file");
    let output = validate(&[path.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(78));
    let said = text(&output.stderr);
    assert!(said.contains("spec-latin-1.yaml:2:11: byte 0xe6 is not valid UTF-8"), "{said}");
}

#[test]
fn snippets_point_below_what_is_wrong() {
    let spoilt = spoilt(&[
        ("pipeline: ring-road", "pipeline: Ærø"),
        ("measure: speed.15m / free_flow_kmh", "measure: \"${measure}\""),
        ("  size: 5m\n", "  size: 5m\n  size: 6m\n"),
        ("listen: \"127.0.0.1:9464\"", "listen: \"nowhere\""),
    ]);
    assert_golden("snippets.txt", &rendered(&spoilt));
}

#[test]
fn syntax_errors_read_as_in_the_golden_file() {
    let texts = [
        "a: 1\nb:\n\tc: 2\n",
        "a: b: c\n",
        "a: \"open\n",
        "",
        "- a\n",
        "a: 1\n---\nb: 2\n",
        "a: @b\n",
        "a: [1, 2\nb: 3\n",
    ];
    let said: Vec<String> = texts.iter().map(|text| rendered(text)).collect();
    assert_golden("syntax.txt", &(said.join("\n\n") + "\n"));
}

#[test]
fn problems_come_in_the_order_of_the_file_whoever_found_them() {
    let text = spoilt(&[
        ("workers: 2", "workers: none"),
        ("[15m, 30m]", "[30m, 15m]"),
        ("topic: late.v1", "topic: \"${late}\""),
        ("version: 1\n", "version: 1\nversion: 1\n"),
    ]);
    let found = problems(&text);
    let lines: Vec<usize> = found.iter().map(|problem| problem.at.line).collect();
    assert_eq!(lines, [2, 26, 37, 40], "{found:#?}");
}

#[test]
fn a_flood_of_problems_is_cut_short_in_text_and_whole_as_data() {
    let keys: Vec<String> = (0..500).map(|index| format!("x{index}: 1\n")).collect();
    let text = format!("{GOOD}{}", keys.concat());
    assert_eq!(problems(&text).len(), 500);
    let said = rendered(&text);
    assert_eq!(said.matches(": unknown key `x").count(), 100);
    assert!(said.ends_with("and 400 more problems"), "{}", &said[said.len() - 100..]);
}

#[test]
fn a_line_of_any_length_is_shown_in_part() {
    let text = spoilt(&[("sites.csv", &"s".repeat(100_000)), ("key: sensor_id }", "key: sensor_id, kez: 1 }")]);
    let said = rendered(&text);
    assert!(said.contains("unknown key `kez`"), "{}", &said[..200]);
    assert!(said.len() < 2_000, "{} characters", said.len());
}

/// Pieces that YAML is made of, and pieces that break it.
fn yamlish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("version: 1\n".to_owned()),
        Just("window: { size: 5m, key: [a], columns: { n: count(*) } }\n".to_owned()),
        Just("clean:\n  - ".to_owned()),
        Just("sinks: ".to_owned()),
        "[\\-?:,\\[\\]{}#&*!|>'\"%@` \n\t$]{1,6}",
        "\\$\\{[a-z:?-]{0,4}\\}?",
        "[a-z]{1,5}: ",
        "[0-9.eE+-]{1,8}",
        "\\PC{0,4}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Reads a text and renders what is wrong with it; the problems must lie inside the text.
fn survives(text: &str) -> Result<(), TestCaseError> {
    let found = problems(text);
    for problem in &found {
        prop_assert!(problem.at.start <= problem.at.end && problem.at.end <= text.len(), "{problem:?}");
        prop_assert!(problem.at.line >= 1 && problem.at.line <= text.split(['\n', '\r']).count(), "{problem:?}");
        prop_assert!(!problem.message.contains("defect"), "{problem:?}");
    }
    prop_assert_eq!(found.is_empty(), parse(text).finish().is_ok());
    prop_assert_eq!(found.is_empty(), rendered(text).is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_brings_the_reader_down(text in yamlish()) {
        survives(&text)?;
    }

    #[test]
    fn no_damage_to_a_good_file_brings_the_reader_down(
        at in 0..GOOD.len(), length in 0..40_usize, piece in yamlish(),
    ) {
        let end = (at + length).min(GOOD.len());
        survives(&format!("{}{piece}{}", &GOOD[..at], &GOOD[end..]))?;
    }

    #[test]
    fn no_value_of_the_wrong_kind_brings_the_reader_down(line in 0..GOOD.lines().count(), value in yamlish()) {
        let lines: Vec<String> = GOOD
            .lines()
            .enumerate()
            .map(|(index, text)| match text.split_once(": ") {
                Some((key, _)) if index == line => format!("{key}: {value}"),
                _ => text.to_owned(),
            })
            .collect();
        survives(&lines.join("\n"))?;
    }
}

/// Everything that is said of a text by rules, connectors and stages.
fn planned(text: &str) -> String {
    let file = PipelineFile::parse("pipeline.yaml", text, &|_| None, &Registry::standard());
    file.plan(Path::new(""), &BTreeMap::new()).err().map(|errors| errors.to_string()).unwrap_or_default()
}

#[test]
fn line_of_client_properties_is_never_shown_nor_what_stands_there() {
    let property = |line: &str| GOOD.replacen("brokers:", &format!("properties: {{ {line} }}, brokers:"), 1);
    for line in [
        "sasl.passwrd: hunter2",
        "sasl.password: hunter2, bogus.key: x",
        "sasl.password: [hunter2]",
        "sasl.password: hunter2, sasl.password: hunter2",
        "sasl.password: 'hunter2",
        "sasl.password: 7402318, group.id: mine",
    ] {
        let said = planned(&property(line));
        assert!(said.contains("pipeline.yaml:6:"), "{line}: {said}");
        assert!(!said.contains("hunter2") && !said.contains("7402318"), "{line}: {said}");
    }
    let more = "    more:\n      properties:\n        sasl.passwrd: hunter2\n    decode:";
    let said = planned(&GOOD.replacen("    decode:", more, 1));
    assert!(said.contains("`more`") && !said.contains("hunter2"), "{said}");
}

#[test]
fn misspelt_key_of_a_tests_row_is_told_as_it_would_count_as_null() {
    let given = "given: { rows: [{ sensor_id: L1, speed_kmj: 0, lane: 2 }], tables: { sites: [] } }";
    let text = GOOD.replacen("given: { tables: { sites: [] } }", given, 1);
    let rows = BTreeMap::from([("sites".to_owned(), Vec::new())]);
    let file = PipelineFile::parse("pipeline.yaml", &text, &|_| None, &Registry::standard());
    let said = file.plan(Path::new(""), &rows).expect_err("a misspelt key").to_string();
    assert!(said.contains("no column is read from `speed_kmj`") && said.contains("`speed_kmh`"), "{said}");
    assert!(!said.contains("`lane`"), "a key like no other is left alone: {said}");
}

#[test]
fn mistakes_in_every_stage_are_told_at_once() {
    let text = r#"
version: 1
pipeline: wrong-throughout
sources:
  loops:
    kafka: { brokers: "127.0.0.1:9092", topics: [in] }
    decode: { schema: traffic-observation.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
clean:
  - sql: SELECT *, nosuch + 1 AS more FROM rows
  - null_if: { speed_kmh: "speed_kmh < 0" }
window: { size: 5m, key: [sensor_id], columns: { speed_kmh: avg(sped_kmh) } }
features:
  - lags: { column: flow, count: 3 }
predict:
  speed: { target: speed_kmh, horizons: [7m], model: { online_linear: {} } }
alerts:
  congestion: { measure: "speeed.15m", when: "< 60", clear: "> 70", summary: "slow" }
sinks:
  alerts: { from: alerts, kafka: { topic: out } }
delivery: exactly_once
"#;
    let said = planned(text);
    for part in ["nosuch", "`flow`", "speeed"] {
        assert!(said.contains(part), "{part} is not told of:\n{said}");
    }
}
