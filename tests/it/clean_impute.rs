//! Imputed values: whose they are, how old they may be, what says so, and that no model learns from them.

use arrow::array::AsArray;
use arterial::stages::clean::{CleanInput, CleanPlan, CleanStep, Cleaned, Cleaner, Missing};
use serde_json::Value;

use crate::clean_support::*;
use crate::file_support::write;

/// A row with a speed or none.
fn reading(sensor: &str, seconds: i64, speed: Option<f64>) -> Row {
    Row { speed, ..row(sensor, seconds, 0.0) }
}

/// An `impute` step by sensor, and what makes the other column of the key.
fn imputing(columns: &[&str], seconds: i64) -> [CleanStep; 2] {
    [lookup(&["segment_id"], Missing::Null), impute(columns, seconds)]
}

fn flags(cleaned: &Cleaned) -> Vec<bool> {
    let column = cleaned.rows.batch.column_by_name("imputed").expect("the flag");
    column.as_boolean().iter().map(|flag| flag.expect("always one")).collect()
}

#[test]
fn last_value_of_the_same_key_stands_in_while_it_is_young_enough_and_the_row_says_so() {
    let rows = [
        reading("A", 0, Some(50.0)),
        reading("B", 0, None),
        reading("A", 30, None),
        reading("A", 60, None),
        reading("A", 61, None),
        reading("A", 70, Some(f64::NAN)),
        reading("A", 80, Some(40.0)),
        reading("A", 90, None),
    ];
    let cleaned = clean(&imputing(&["speed_kmh"], 60), &rows);
    let expected = [Some(50.0), None, Some(50.0), Some(50.0), None, None, Some(40.0), Some(40.0)];
    assert_eq!(floats(&cleaned, "speed_kmh"), expected);
    assert_eq!(flags(&cleaned), [false, false, true, true, false, false, false, true]);
    assert!(cleaned.rejected.is_empty() && cleaned.filtered.is_empty());
}

#[test]
fn value_that_is_newer_than_the_row_never_stands_in() {
    let rows =
        [reading("A", 100, Some(50.0)), reading("A", 40, None), reading("A", 90, Some(20.0)), reading("A", 110, None)];
    let cleaned = clean(&imputing(&["speed_kmh"], 60), &rows);
    assert_eq!(floats(&cleaned, "speed_kmh"), [Some(50.0), None, Some(20.0), Some(50.0)], "also where it comes first");
}

#[test]
fn whole_numbers_stay_whole_and_a_second_step_adds_to_the_flags_of_the_first() {
    let big = (1 << 53) + 1;
    let rows = [
        Row { count: Some(big), ..reading("A", 0, Some(1.0)) },
        Row { count: None, ..reading("A", 10, Some(2.0)) },
        reading("A", 20, None),
    ];
    let cleaned = clean(&[imputing(&["count"], 60).to_vec(), vec![impute(&["speed_kmh"], 60)]].concat(), &rows);
    assert_eq!(ints(&cleaned, "count"), [Some(big), Some(big), Some(1)]);
    assert_eq!(floats(&cleaned, "speed_kmh"), [Some(1.0), Some(2.0), Some(2.0)]);
    assert_eq!(flags(&cleaned), [false, true, true]);
}

#[test]
fn row_without_a_key_passes_as_it_is() {
    let none = Row { sensor: None, ..reading("", 10, None) };
    let cleaned = clean(&imputing(&["speed_kmh"], 60), &[reading("A", 0, Some(1.0)), none]);
    assert_eq!(floats(&cleaned, "speed_kmh"), [Some(1.0), None]);
    assert_eq!(flags(&cleaned), [false, false]);
}

#[test]
fn steps_that_cannot_impute_are_refused_with_the_place() {
    let problem = |step: CleanStep| problems(&[lookup(&["segment_id"], Missing::Null), step]).join("\n");
    assert!(problem(impute(&["note"], 60)).contains("columns[0]: column `note` is Utf8, not a number"));
    assert!(problem(impute(&["sped_kmh"], 60)).contains("did you mean `speed_kmh`?"));
    assert!(problem(impute(&["speed_kmh"], 0)).contains("within"));
    let renamed = CleanStep::Rename([("note".to_owned(), "imputed".to_owned())].into());
    let taken = problems(&[renamed, impute(&["speed_kmh"], 60)]).join("\n");
    assert!(taken.contains("column `imputed` is Utf8: the step says there"), "{taken}");
    let late = problems(&[imputing(&["speed_kmh"], 60).to_vec(), vec![dedupe(60)]].concat()).join("\n");
    assert!(late.contains("impute"), "{late}");
    let early = problems(&[impute(&["speed_kmh"], 60), lookup(&["segment_id"], Missing::Null)]).join("\n");
    assert!(early.contains("no key column `segment_id` at this step; it remembers by the window's key"), "{early}");
}

#[test]
fn what_says_which_rows_are_imputed_is_not_to_be_changed_afterwards() {
    let then = |step: CleanStep| problems(&[imputing(&["speed_kmh"], 60).to_vec(), vec![step]].concat()).join("\n");
    let renamed = then(CleanStep::Rename([("imputed".to_owned(), "made_up".to_owned())].into()));
    assert!(renamed.contains("`imputed` is the source's `flag of imputed rows`"), "{renamed}");
    let nulled = then(null_if("imputed", "speed_kmh > 5"));
    assert!(nulled.contains("flag of imputed rows"), "{nulled}");
    let computed = then(sql("SELECT sensor_id, observed_at, segment_id, speed_kmh, false AS imputed FROM rows"));
    assert!(computed.contains("imputed"), "{computed}");
    let lost = then(sql("SELECT sensor_id, observed_at, segment_id, speed_kmh FROM rows"));
    assert!(lost.contains("select `imputed` too"), "{lost}");
    let passed =
        [imputing(&["speed_kmh"], 60).to_vec(), vec![sql("SELECT *, speed_kmh / 2 AS half FROM rows")]].concat();
    assert!(plan(&passed).is_ok());
}

#[test]
fn whether_a_value_stands_in_does_not_depend_on_other_sensors() {
    let mine = [reading("A", 0, Some(100.0)), reading("A", 59, None)];
    let others = [reading("B", 61, Some(20.0)), reading("B", 119, Some(20.0))];
    let [first, late] = mine;
    let rows = [vec![first], others.to_vec(), vec![late]].concat();
    let cleaned = clean(&imputing(&["speed_kmh"], 60), &rows);
    assert_eq!(floats(&cleaned, "speed_kmh")[3], Some(100.0), "a minute late, as rows may be here");
}

#[test]
fn keys_beyond_the_limit_are_dead_letters_and_those_without_a_value_take_no_room() {
    let mut rows: Vec<Row> = (0..1500).map(|sensor| reading(&format!("N{sensor}"), 0, None)).collect();
    rows.extend((0..1001).map(|sensor| reading(&format!("S{sensor}"), 1, Some(1.0))));
    let keyed = CleanInput { keys: names(&["sensor_id"]), ..input() };
    let plan = CleanPlan::new(&[impute(&["speed_kmh"], 60)], &keyed, &sites()).expect("a plan");
    let cleaned = Cleaner::new(std::sync::Arc::new(plan)).clean(crate::clean_support::rows(&rows)).expect("cleaned");
    let refused = rejects(&cleaned);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((refused[0].0, refused[0].2.as_str()), (2500, "one key more than `keys.max`: impute remembers 1000"));
}

/// Three sensors, a reading each minute for eight hours; every fourth five minutes all of their speeds are missing.
fn table() -> String {
    let mut text = "sensor_id,observed_at,speed_kmh\n".to_owned();
    for minute in 0..480 {
        let time = format!("2026-03-02T{:02}:{:02}:00Z", minute / 60, minute % 60);
        for sensor in 1..4 {
            let speed = if minute / 5 % 4 == 3 { String::new() } else { (40 + minute % 7 + sensor).to_string() };
            text.push_str(&format!("L{sensor},{time},{speed}\n"));
        }
    }
    text
}

/// Runs a pipeline with these steps over the table and gives its summary.
fn run(clean: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("t.csv"), table());
    let text = format!(
        "version: 1\npipeline: imputed\nsources:\n  loops:\n    file: {{ path: t.csv }}\n    \
         decode: {{ format: csv, schema: traffic-observation.v1 }}\n    partitioned_by: sensor_id\n    \
         event_time: {{ column: observed_at, max_delay: 1m }}\n{clean}\
         window: {{ size: 5m, key: [sensor_id], columns: {{ speed_kmh: avg(speed_kmh) }} }}\n\
         features:\n  - lags: {{ column: speed_kmh, count: 3 }}\n\
         predict:\n  speed: {{ target: speed_kmh, horizons: [5m], model: {{ online_linear: {{ start: persistence }} }} }}\n\
         delivery: at_least_once\n"
    );
    let file = folder.path().join("p.yaml");
    write(&file, text);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_arterial"));
    let ran = command.args(["eval", "--format", "json"]).arg(&file).output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("a summary")
}

#[test]
fn windows_of_imputed_rows_give_forecasts_and_no_labels() {
    let scored = |summary: &Value| {
        let scores = summary["scores"].as_array().expect("scores").iter();
        scores
            .clone()
            .find(|score| score["model"] == "online_linear")
            .and_then(|score| score["count"].as_u64())
            .expect("a score")
    };
    let (without, with) = (run(""), run("clean:\n  - impute: { columns: [speed_kmh], method: last, within: 10m }\n"));
    // Windows 0..96 of each of three sensors, three of four with a label. Without imputing, a forecast needs three lags.
    let labels = (1..96).filter(|window| window % 4 != 3).count() as u64;
    let seen = |window: &u64| (window.saturating_sub(3)..*window).all(|lag| lag % 4 != 3);
    let blind = (3..96).filter(|window| window % 4 != 3).filter(seen).count() as u64;
    assert_eq!(scored(&without), 3 * blind);
    assert!(scored(&with) > scored(&without) && scored(&with) <= 3 * labels, "{} of {labels}", scored(&with));
    assert_eq!(with["rows"]["accepted"], without["rows"]["accepted"]);
}
