//! A run to the end of its input that could use none of it fails, with the first reason and what to do before the next try.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A pipeline over a table whose times are written as `timestamp_format` says.
fn pipeline(decode: &str) -> String {
    format!(
        "version: 1
pipeline: city
sources:
  loops:
    file: {{ path: loops.csv }}
    decode: {{ format: csv, schema: traffic-observation.v1{decode} }}
    partitioned_by: sensor_id
    event_time: {{ column: observed_at, max_delay: 60s }}
window: {{ size: 5m, key: [sensor_id], columns: {{ speed_kmh: avg(speed_kmh) }} }}
sinks:
  dead_letter: {{ from: dead_letter, folder: {{ path: out }} }}
delivery: exactly_once
"
    )
}

fn arterial(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
    command.current_dir(folder).env("ARTERIAL_LOG", "error").args(arguments).output().expect("the binary runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn folder_with(rows: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let table = format!("sensor_id,observed_at,speed_kmh\n{rows}");
    std::fs::write(folder.path().join("loops.csv"), table).expect("written");
    std::fs::write(folder.path().join("city.yaml"), pipeline("")).expect("written");
    folder
}

#[test]
fn a_run_whose_rows_are_all_dead_letters_fails_until_the_folder_that_remembers_them_is_removed() {
    let folder = folder_with("L1,02.03.2026 08:15,50\nL1,02.03.2026 08:16,51\n");
    let run = ["run", "--until", "latest", "--format", "json", "city.yaml"];
    let failed = arterial(folder.path(), &run);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    let said = told(&failed);
    assert!(
        said.contains(
            "error: none of 2 rows could be used, all of them are dead letters; the first: decode, bad_timestamp: "
        ),
        "{said}"
    );
    assert!(said.contains("`02.03.2026 08:15` is not an RFC 3339 time (`loops.csv`, line 2)"), "{said}");
    assert!(
        said.contains("hint: say under `decode:`") && said.contains("then remove `out`, which remembers"),
        "{said}"
    );
    let summary: Value = serde_json::from_slice(&failed.stdout).expect("the summary is printed all the same");
    assert_eq!((&summary["rows"]["in"], &summary["rows"]["dead_letter"]), (&2.into(), &2.into()));

    let corrected = pipeline(", timestamp_format: \"%d.%m.%Y %H:%M\", timezone: Europe/Berlin");
    std::fs::write(folder.path().join("city.yaml"), corrected).expect("written");
    let again = arterial(folder.path(), &run);
    assert_eq!(again.status.code(), Some(1), "nothing new was read: {}", told(&again));
    assert!(told(&again).contains("then remove `out`, which remembers"), "{}", told(&again));
    std::fs::remove_dir_all(folder.path().join("out")).expect("removed");
    let done = arterial(folder.path(), &run);
    assert!(done.status.success(), "{}", told(&done));
    let summary: Value = serde_json::from_slice(&done.stdout).expect("a summary");
    assert_eq!(summary["rows"]["accepted"], 2);
}

#[test]
fn a_backfill_of_dead_letters_is_no_history_and_an_evaluation_of_them_no_score() {
    let folder = folder_with("L1,02.03.2026 08:15,50\n");
    let history = ["backfill", "city.yaml", "--from", "loops.csv", "--to", "history", "--partitions", "1"];
    let failed = arterial(folder.path(), &history);
    assert_eq!(failed.status.code(), Some(1));
    assert!(told(&failed).contains("history`, which remembers that these rows were read"), "{}", told(&failed));
    let failed = arterial(folder.path(), &["eval", "city.yaml"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = told(&failed);
    assert!(said.contains("bad_timestamp") && said.contains("nothing of it was kept"), "{said}");
}

#[test]
fn one_row_that_could_be_used_is_enough_and_none_at_all_is_no_mistake() {
    let folder = folder_with("L1,02.03.2026 08:15,50\nL1,2026-03-02T08:15:00Z,50\n");
    let run = ["run", "--until", "latest", "city.yaml"];
    assert!(arterial(folder.path(), &run).status.success());
    let empty = folder_with("");
    assert!(arterial(empty.path(), &run).status.success());
}

#[test]
fn a_run_whose_new_rows_are_all_dead_letters_fails_although_those_before_were_good() {
    let folder = folder_with("L1,2026-03-02T08:15:00Z,50\n");
    let run = ["run", "--until", "latest", "--format", "json", "city.yaml"];
    assert!(arterial(folder.path(), &run).status.success());
    let path = folder.path().join("loops.csv");
    let more = std::fs::read_to_string(&path).unwrap() + "L1,02.03.2026 08:16,51\nL1,02.03.2026 08:17,51\n";
    std::fs::write(&path, more).unwrap();
    let failed = arterial(folder.path(), &run);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    assert!(told(&failed).contains("none of 2 rows could be used"), "{}", told(&failed));
}

#[test]
fn first_dead_letter_of_every_column_is_told_and_that_many_are_some() {
    let folder = folder_with(
        "L1,2026-03-02T08:15:00Z,50\nL1,2026-03-02T08:16:00Z,defekt\nL1,gestern,51\nL1,2026-03-02T08:18:00Z,kaputt\n",
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
    command.current_dir(folder.path()).env("ARTERIAL_LOG", "warn").args(["run", "--until", "latest", "city.yaml"]);
    let ran = command.output().expect("the binary runs");
    let said = told(&ran) + &String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("`defekt`") && said.contains("`gestern`"), "{said}");
    assert!(!said.contains("`kaputt`"), "one of each: {said}");
    assert!(said.contains("75 % of the rows are dead letters"), "{said}");
}
