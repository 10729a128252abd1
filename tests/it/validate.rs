//! `arterial validate` as a user meets it: all problems at once, each with its place and a way out, exit code 78.

use std::path::PathBuf;
use std::process::{Command, Output};

const GOOD: &str = r#"version: 1
pipeline: ring-road
sources:
  loops:
    simulate: { length: 1d }
    decode: { schema: traffic-observation.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_kmh: avg(speed_kmh) } }
features:
  - lags: { column: speed_kmh, count: 6 }
predict:
  speed: { target: speed_kmh, horizons: [15m], model: { online_linear: { forgetting: 0.999 } } }
alerts:
  congestion: { measure: "speed.15m", when: "< 45", clear: "> 60", summary: "slow at {sensor_id}" }
sinks:
  alerts: { from: alerts, memory: {} }
delivery: at_least_once
"#;

fn validate(name: &str, text: &str) -> (Option<i32>, String) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("validate-{name}.yaml"));
    std::fs::write(&path, text).expect("a file");
    let Output { status, stderr, .. } =
        Command::new(env!("CARGO_BIN_EXE_arterial")).arg("validate").arg(&path).output().expect("it runs");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// The file with one line replaced, and the problems it gives.
fn with(name: &str, from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let (code, said) = validate(name, &GOOD.replace(from, to));
    assert_eq!(code, Some(78), "{said}");
    said
}

#[test]
fn a_good_file_is_valid() {
    let (code, said) = validate("good", GOOD);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn five_mistakes_are_reported_together_with_places_and_hints() {
    let text = GOOD
        .replace("max_delay: 60s", "max_delay: sixty")
        .replace("size: 5m", "sise: 5m")
        .replace("horizons: [15m]", "horizons: 15m")
        .replace("when: \"< 45\"", "when: \"under 45\"")
        .replace("from: alerts", "from: alarms");
    let (code, said) = validate("five", &text);
    assert_eq!(code, Some(78));
    for (line, what) in [(8, "sixty"), (9, "sise"), (13, "found text `15m`"), (15, "under 45"), (17, "alarms")] {
        let place = format!("validate-five.yaml:{line}:");
        let reported = said.lines().any(|said| said.contains(&place) && said.contains(what));
        assert!(reported, "line {line} ({what}) is not reported:\n{said}");
    }
    assert!(said.matches("help: ").count() >= 5, "{said}");
}

#[test]
fn an_unknown_column_in_sql_is_placed_and_the_right_one_suggested() {
    let said = with("sql", "window:", "clean:\n  - sql: SELECT sensor_id, observed_at, sped_kmh FROM rows\nwindow:");
    assert!(said.contains("sped_kmh") && said.contains("speed_kmh"), "{said}");
}

#[test]
fn a_window_over_an_unknown_column_is_refused() {
    let said = with("column", "avg(speed_kmh)", "avg(velocity)");
    assert!(said.contains("velocity"), "{said}");
}

#[test]
fn a_measure_of_an_unknown_forecast_is_refused() {
    let said = with("measure", "speed.15m\"", "speed.45m\"");
    assert!(said.contains("speed.45m"), "{said}");
    let said = with("horizon", "speed.15m\"", "speed.15min\"");
    assert!(said.contains("found `.15`") && said.contains("horizon is a number and `s`, `m`, `h` or `d`"), "{said}");
}

#[test]
fn a_key_without_the_partition_key_is_refused_with_the_reason() {
    let said = with("scope", "key: [sensor_id]", "key: [occupancy]");
    assert!(said.contains("sensor_id"), "{said}");
}

#[test]
fn duplicate_keys_are_refused() {
    let said = with("twice", "pipeline: ring-road", "pipeline: ring-road\npipeline: ring");
    assert!(said.contains(":3:"), "{said}");
}

#[test]
fn a_missing_variable_is_named() {
    let said = with("variable", "speed.15m\"", "${measure}\"");
    assert!(said.contains("measure"), "{said}");
}

#[test]
fn an_alias_bomb_is_refused_at_once() {
    let mut text = String::from("version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", ")));
    }
    let (code, said) = validate("bomb", &text);
    assert_eq!(code, Some(78), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_arterial")).args(["validate", "no-such.yaml"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such.yaml"));
}

#[test]
fn units_that_contradict_the_schema_are_refused_where_they_stand() {
    let unit = "window: { size";
    let step = |change: &str| format!("clean: [unit: {{ speed_kmh: {{ {change} }} }}]\nwindow: {{ size");
    let both_wrong = with("unit-step", unit, &step("from: mph, to: m/s"));
    assert!(
        both_wrong.contains("`speed_kmh` is in km/h by the schema: a change from mph to m/s leaves neither right"),
        "{both_wrong}"
    );
    for (name, change) in [("brought", "from: mph, to: km/h"), ("taken", "from: km/h, to: mph, name: speed_mph")] {
        let text = GOOD.replace(unit, &step(change));
        let text = if name == "taken" { text.replace("avg(speed_kmh)", "avg(speed_mph)") } else { text };
        let (code, said) = validate(name, &text);
        assert_eq!(code, Some(0), "{said}");
    }
    let alert = "summary: \"slow at {sensor_id}\"";
    let other = with("unit-alert", alert, "unit: mph, summary: \"slow at {sensor_id}\"");
    assert!(other.contains("`speed.15m` is in km/h, not in mph") && other.contains("write `unit: km/h`"), "{other}");
    let none = with("unit-none", alert, "unit: bananas, summary: \"slow at {sensor_id}\"");
    assert!(none.contains("`speed.15m` is in km/h, and `bananas` is no known name of that unit"), "{none}");
    assert!(none.contains("write `unit: km/h`"), "{none}");
    let (code, said) = validate("unit-alias", &GOOD.replace(alert, "unit: kph, summary: \"slow at {sensor_id}\""));
    assert_eq!(code, Some(0), "another name of the same unit: {said}");
}

#[test]
fn names_of_columns_schemas_and_zones_that_are_none_are_told_with_those_that_may_be_meant() {
    let said = with("keyed", "partitioned_by: sensor_id", "partitioned_by: sensor");
    assert!(
        said.contains("`partitioned_by` names column `sensor`, which schema `traffic-observation.v1` lacks"),
        "{said}"
    );
    let said = with("schema", "schema: traffic-observation.v1", "schema: trafic-observation.v1");
    assert!(said.contains("did you mean `traffic-observation.v1`?"), "{said}");
}

/// A pipeline over a table that a test writes.
fn over_table(name: &str, header: Option<&str>) -> (Option<i32>, String) {
    let table = format!("validate-{name}.csv");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&table);
    let _ = std::fs::remove_file(&path);
    if let Some(header) = header {
        std::fs::write(&path, format!("{header}\nN7,2026-03-02T07:00:00Z,50\n")).expect("a table");
    }
    let paths = "paths: { sensor_id: station, speed_kmh: mph }";
    let source =
        format!("file: {{ path: {table} }}\n    decode: {{ format: csv, schema: traffic-observation.v1, {paths} }}");
    let text = GOOD.replace("simulate: { length: 1d }\n    decode: { schema: traffic-observation.v1 }", &source);
    validate(name, &text.replace("delivery: at_least_once", "delivery: at_least_once\n"))
}

#[test]
fn header_that_lacks_a_named_column_is_a_problem_of_the_name_and_a_table_that_is_not_there_is_none() {
    let (code, said) = over_table("whole", Some("station,observed_at,mph"));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = over_table("misspelt", Some("station,observed_at,mhp"));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("validate-misspelt.yaml:6:") && said.contains("did you mean `mhp`?"), "{said}");
    let (code, said) = over_table("elsewhere", None);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn column_that_csv_names_and_the_table_lacks_is_a_problem_of_that_name() {
    let table = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("validate-halves.csv");
    std::fs::write(&table, "sensor_id,date,time,speed_kmh\nN7,2026-03-02,07:00,50\n").expect("a table");
    let source = "file: { path: validate-halves.csv, csv: { join: { observed_at: [day, time] } } }
    decode: { format: csv, schema: traffic-observation.v1, timezone: Europe/Copenhagen }";
    let text = GOOD.replace("simulate: { length: 1d }\n    decode: { schema: traffic-observation.v1 }", source);
    let (code, said) = validate("halves", &text);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("has no column `day`, only: sensor_id, date, time, speed_kmh"), "{said}");
    let place = said.lines().skip_while(|line| !line.contains("observed_at: [day, time]")).nth(1).expect("a mark");
    assert_eq!(place.trim_start_matches(['|', ' ']), "^^^", "{said}");
    assert!(!said.contains("under `paths:`"), "{said}");
}

/// What `validate` prints, also where nothing is wrong.
fn told(file: &std::path::Path) -> (Option<i32>, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_arterial")).arg("validate").arg(file).output().expect("it runs");
    (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

#[test]
fn misspelt_column_is_told_beside_the_tests_that_have_it_right() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("t.csv"),
        "id,time,speed\n1,2026-03-02T07:00:00Z,50\n1,2026-03-02T07:05:00Z,51\n",
    )
    .expect("a table");
    let mut init = Command::new(env!("CARGO_BIN_EXE_arterial"));
    let made = init.current_dir(folder.path()).args(["init", "--from", "t.csv"]).output().expect("it runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = folder.path().join("t.yaml");
    let text = std::fs::read_to_string(&file).expect("a pipeline");
    assert!(text.contains("observed_at: \"time\""), "{text}");
    std::fs::write(&file, text.replace("observed_at: \"time\"", "observed_at: \"tyme\"")).expect("written");
    let (code, said) = told(&file);
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("has no column `tyme`, only: id, time, speed") && said.contains("did you mean `time`?"),
        "{said}"
    );
    assert!(said.contains("Or correct `paths:`"), "{said}");
}

#[test]
fn input_that_cannot_be_read_is_not_called_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = "paths: { sensor_id: station, speed_kmh: mph }";
    let source =
        format!("file: {{ path: \"in/*\" }}\n    decode: {{ format: csv, schema: traffic-observation.v1, {paths} }}");
    let text = GOOD.replace("simulate: { length: 1d }\n    decode: { schema: traffic-observation.v1 }", &source);
    let file = folder.path().join("p.yaml");
    std::fs::write(&file, text).expect("a pipeline");
    let (code, said) = told(&file);
    assert!(code == Some(0) && said.contains("its input `in/*` is not there yet"), "{said}");
    std::fs::create_dir(folder.path().join("in")).expect("a folder");
    std::fs::write(folder.path().join("in/a.csv"), "").expect("a table");
    let (code, said) = told(&file);
    assert!(code == Some(78) && said.contains("is empty; its first line has to name the columns"), "{said}");
}
