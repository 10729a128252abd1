//! Files by a pattern, read into a folder by one run after another: what may become of them in between.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::kafka_backfill::messages;
use crate::kafka_run_support::{finish, refused};
use crate::run_support::edited;

/// Days of history in files of their own, and a pipeline to read them.
struct History {
    root: TempDir,
}

impl History {
    fn new(days: &[&str]) -> Self {
        let history = Self { root: tempfile::tempdir().unwrap() };
        let text = edited(&[("at_least_once\n", "exactly_once\nruntime: { commit_rows_max: 100 }\n")]);
        std::fs::write(history.root.path().join("pipeline.yaml"), text).unwrap();
        for (day, name) in (0..).zip(days) {
            history.write(name, day..day + 1);
        }
        history
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// What the corridor says in these hours.
    fn write(&self, name: &str, hours: std::ops::Range<i64>) {
        let lines: Vec<String> = messages(hours).iter().map(|message| format!("{message}\n")).collect();
        std::fs::write(self.path(name), lines.concat()).unwrap();
    }

    fn backfill(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
        command.args(["backfill", "--format", "json", "--partitions", "2", "--from", "day-*", "--to", "out"]);
        command.arg("pipeline.yaml").current_dir(self.root.path()).env("ARTERIAL_LOG", "warn");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
    }

    fn rows_in(&self) -> Option<u64> {
        finish(self.backfill())["rows"]["in"].as_u64()
    }

    fn refusal(&self) -> String {
        refused(self.backfill())
    }
}

fn lines_of(path: &Path) -> u64 {
    std::fs::read_to_string(path).unwrap().lines().count() as u64
}

#[test]
fn files_that_come_last_and_the_growth_of_the_last_are_read_on() {
    let history = History::new(&["day-1.ndjson", "day-2.ndjson"]);
    let rows = |names: &[&str]| Some(names.iter().map(|name| lines_of(&history.path(name))).sum::<u64>());
    assert_eq!(history.rows_in(), rows(&["day-1.ndjson", "day-2.ndjson"]));
    history.write("day-2.ndjson", 1..3);
    history.write("day-3.ndjson", 3..4);
    assert_eq!(history.rows_in(), rows(&["day-1.ndjson", "day-2.ndjson", "day-3.ndjson"]));
}

#[test]
fn files_that_go_come_in_between_or_change_in_length_are_refused_by_name() {
    let history = History::new(&["day-1.ndjson", "day-2.ndjson", "day-4.ndjson"]);
    history.rows_in();
    history.write("day-3.ndjson", 7..8);
    let inserted = history.refusal();
    assert!(
        inserted.contains("`day-3.ndjson` was not there and comes before `day-4.ndjson`, which was read"),
        "{inserted}"
    );
    assert!(inserted.contains("give new ones names that come last, or fill a new folder"), "{inserted}");
    std::fs::remove_file(history.path("day-3.ndjson")).unwrap();
    let first = std::fs::read(history.path("day-1.ndjson")).unwrap();
    std::fs::remove_file(history.path("day-1.ndjson")).unwrap();
    let gone = history.refusal();
    assert!(gone.contains("day-*`, whose files have changed: `day-1.ndjson` was read and is gone"), "{gone}");
    let bytes = first.len();
    std::fs::write(history.path("day-1.ndjson"), &first[..bytes - 1]).unwrap();
    let resized = history.refusal();
    let told = format!("`day-1.ndjson` had {bytes} bytes when it was read and has {}", bytes - 1);
    assert!(resized.contains(&told), "{resized}");
    let mut other = first.clone();
    other[20] ^= 1;
    std::fs::write(history.path("day-1.ndjson"), &other).unwrap();
    let replaced = history.refusal();
    assert!(replaced.contains("`day-1.ndjson` does not begin as it did when it was read"), "{replaced}");
    // As it was, the folder is good again.
    std::fs::write(history.path("day-1.ndjson"), first).unwrap();
    assert!(history.rows_in().is_some());
}

#[test]
fn file_that_ended_a_run_may_be_put_right_and_those_behind_it_may_change() {
    let history = History::new(&["day-1.ndjson", "day-3.ndjson"]);
    let good = std::fs::read(history.path("day-3.ndjson")).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&good).unwrap();
    let whole = encoder.finish().unwrap();
    std::fs::write(history.path("day-2.ndjson.gz"), &whole[..whole.len() / 2]).unwrap();
    let broken = history.refusal();
    assert!(broken.contains("day-2.ndjson.gz`: is cut short"), "{broken}");
    assert!(history.path("out/epoch-0000000001").exists(), "the first file's rows are durable");
    std::fs::remove_file(history.path("day-2.ndjson.gz")).unwrap();
    std::fs::rename(history.path("day-3.ndjson"), history.path("day-2.ndjson")).unwrap();
    history.write("day-4.ndjson", 5..6);
    let lines = ["day-1.ndjson", "day-2.ndjson", "day-4.ndjson"].map(|name| lines_of(&history.path(name)));
    assert_eq!(history.rows_in(), Some(lines.iter().sum()));
    assert_eq!(std::fs::read(history.path("day-2.ndjson")).unwrap(), good);
}

#[test]
fn a_short_last_file_that_another_one_took_the_place_of_is_refused_and_one_that_grew_is_read_on() {
    let history = History::new(&["day-1.ndjson"]);
    let lines = std::fs::read_to_string(history.path("day-1.ndjson")).unwrap();
    let some =
        |from: usize, to: usize| lines.lines().take(to).skip(from).map(|line| format!("{line}\n")).collect::<String>();
    let put = |text: &str| std::fs::write(history.path("day-1.ndjson"), text).unwrap();
    put(&some(0, 6));
    assert!(some(0, 6).len() < 4096, "it is shorter than what is compared of others");
    assert_eq!(history.rows_in(), Some(6));
    put(&some(0, 400));
    assert_eq!(history.rows_in(), Some(400));
    put(&some(0, 6));
    assert!(history.refusal().contains("`day-1.ndjson` does not begin as it did"), "it is shorter than what was read");
    let history = History::new(&["day-1.ndjson"]);
    let put = |text: &str| std::fs::write(history.path("day-1.ndjson"), text).unwrap();
    put(&some(0, 6));
    history.rows_in();
    put(&some(200, 300));
    assert!(history.refusal().contains("`day-1.ndjson` does not begin as it did"));
}

#[test]
fn rows_that_lie_in_other_partitions_are_refused() {
    let history = History::new(&["day-1.ndjson"]);
    history.rows_in();
    let path = history.path("pipeline.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("traffic-observation.v1 }", "traffic-observation.v1, paths: { sensor_id: loop } }"),
    )
    .unwrap();
    let refused = history.refusal();
    assert!(
        refused.contains("\"partitioned_by\":\"sensor_id\"")
            && refused.contains("\"partitioned_by\":\"loop\"")
            && refused.contains("fill a new folder"),
        "{refused}"
    );
}

#[test]
fn pattern_that_begins_with_the_file_that_was_read_goes_on_behind_it() {
    let history = History::new(&["day-1.ndjson"]);
    let backfill = |from: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
        command.args(["backfill", "--format", "json", "--partitions", "2", "--from", from, "--to", "out"]);
        command.arg("pipeline.yaml").current_dir(history.root.path()).env("ARTERIAL_LOG", "warn");
        finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs"))
    };
    let one = backfill("day-1.ndjson")["rows"]["in"].as_u64();
    assert_eq!(one, Some(lines_of(&history.path("day-1.ndjson"))));
    history.write("day-2.ndjson", 1..2);
    let both = backfill("day-*")["rows"]["in"].as_u64();
    assert_eq!(both, one.map(|one| one + lines_of(&history.path("day-2.ndjson"))));
}
