//! Pipelines whose sinks are a folder, run as a user runs them: killed and started again, without room on the disk, twice
//! at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use arterial_connectors::folder::Manifest;

use crate::folder_support::{epochs, lines};
use crate::kafka_backfill::{messages, write_parquet};
use crate::kafka_run_support::{ended, finish};
use crate::run_support::edited;

/// Sinks whose records are the same in every run; the control log tells the time.
const SINKS: [&str; 5] = ["alerts", "forecasts", "scores", "late", "dead_letter"];

/// A pipeline file in a folder of its own, whose outputs go to `out` beside it.
struct Job {
    root: TempDir,
}

impl Job {
    fn new(days: u32, rows: u32) -> Self {
        let sinks: String =
            SINKS.iter().map(|sink| format!("\n  {sink}: {{ from: {sink}, folder: {{ path: out }} }}")).collect();
        let text = edited(&[
            ("length: 10h", &format!("length: {days}d")),
            ("\n  alerts: { from: alerts, memory: {} }", &sinks),
            ("at_least_once\n", &format!("exactly_once\nruntime: {{ commit_rows_max: {rows} }}\n")),
        ]);
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("pipeline.yaml"), text).unwrap();
        Self { root }
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
        self.arguments(&mut command);
        command
    }

    fn arguments(&self, command: &mut Command) {
        command.args(["run", "--until", "latest", "--format", "json"]).arg(self.root.path().join("pipeline.yaml"));
        command.env("ARTERIAL_LOG", "warn").stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    fn start(&self) -> Child {
        self.command().spawn().expect("the binary runs")
    }
}

/// Records of each sink and key, in order.
fn by_key(folder: &Path) -> BTreeMap<(&'static str, String), Vec<Value>> {
    let mut found = BTreeMap::<_, Vec<Value>>::new();
    for sink in SINKS {
        for line in lines(folder, sink) {
            found.entry((sink, line["key"].to_string())).or_default().push(line);
        }
    }
    found
}

/// Kills the run once so many epochs are complete; false where it ended before.
fn kill_after(epochs_wanted: usize, folder: &Path, mut child: Child) -> bool {
    if !await_epochs(epochs_wanted, folder, &mut child) {
        return false;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

/// Waits until so many epochs are complete; false where the run ended before.
fn await_epochs(epochs_wanted: usize, folder: &Path, child: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !folder.exists() || epochs(folder).len() < epochs_wanted {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "{epochs_wanted} epochs do not come");
        std::thread::yield_now();
    }
    true
}

#[test]
fn run_into_a_folder_that_is_killed_again_and_again_ends_as_an_undisturbed_one() {
    let (calm, shaken) = (Job::new(4, 3000), Job::new(4, 3000));
    let undisturbed = finish(calm.start());
    for epochs_wanted in [1, 4, 9, 17] {
        assert!(kill_after(epochs_wanted, &shaken.out(), shaken.start()), "it ended before {epochs_wanted} epochs");
    }
    let survived = finish(shaken.start());
    assert_eq!(survived["state_digest"], undisturbed["state_digest"]);
    assert_eq!(survived["rows"], undisturbed["rows"]);
    assert!(survived["commits"].as_u64() < undisturbed["commits"].as_u64(), "it began anew");
    let expected = by_key(&calm.out());
    assert!(expected.keys().any(|(sink, _)| *sink == "alerts") && expected.len() > 16, "{:?}", expected.keys());
    assert_eq!(by_key(&shaken.out()), expected);
    // What is complete already stays as it is.
    let before = epochs(&shaken.out()).len();
    assert_eq!(finish(shaken.start())["state_digest"], undisturbed["state_digest"]);
    assert_eq!(epochs(&shaken.out()).len(), before);
}

#[test]
fn backfill_by_two_workers_that_is_killed_again_and_again_ends_as_an_undisturbed_one() {
    let job = Job::new(1, 1500);
    let rows = job.root.path().join("rows.parquet");
    write_parquet(&rows, &messages(0..72));
    let start = |to: &Path, workers: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
        command.args(["backfill", "--format", "json", "--partitions", "4", "--workers", workers, "--from"]).arg(&rows);
        command.arg("--to").arg(to).arg(job.root.path().join("pipeline.yaml"));
        command.env("ARTERIAL_LOG", "warn").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (calm, shaken) = (job.root.path().join("calm"), job.root.path().join("shaken"));
    let undisturbed = finish(start(&calm, "1"));
    for epochs_wanted in [2, 6, 10] {
        assert!(kill_after(epochs_wanted, &shaken, start(&shaken, "2")), "it ended before {epochs_wanted} epochs");
    }
    let survived = finish(start(&shaken, "2"));
    assert_eq!(survived["state_digest"], undisturbed["state_digest"]);
    assert_eq!(survived["rows"], undisturbed["rows"]);
    assert!(survived["commits"].as_u64() < undisturbed["commits"].as_u64(), "it began anew");
    assert_eq!(by_key(&shaken), by_key(&calm));
}

#[test]
fn backfill_of_text_that_is_interrupted_says_so_and_only_one_that_read_everything_is_history() {
    let job = Job::new(1, 500);
    let (rows, out) = (job.root.path().join("rows.ndjson"), job.out());
    let lines: Vec<String> = messages(0..72).iter().map(|message| format!("{message}\n")).collect();
    std::fs::write(&rows, lines.concat()).unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
        command.args(["backfill", "--format", "json", "--partitions", "2", "--workers", "2", "--from"]).arg(&rows);
        command.arg("--to").arg(&out).arg(job.root.path().join("pipeline.yaml"));
        command.env("ARTERIAL_LOG", "warn").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let finished = || Manifest::newest(&out).unwrap().unwrap().is_finished(&out).unwrap();
    let mut interrupted = start();
    assert!(await_epochs(2, &out, &mut interrupted), "it ended before two epochs");
    Command::new("kill").args(["-INT", &interrupted.id().to_string()]).status().unwrap();
    let (code, summary, said) = ended(interrupted);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stopped after ") && said.contains("the same command goes on from there"), "{said}");
    assert!(summary.contains("state_digest"), "what it did is told all the same: {summary}");
    assert!(!finished());
    let ran = finish(start());
    assert_eq!(ran["rows"]["in"].as_u64(), Some(lines.len() as u64));
    assert!(finished());
    // More history begins: it is unfinished again until that is read, too.
    std::fs::write(&rows, [lines.concat(), lines.concat()].concat()).unwrap();
    let known = epochs(&out).len();
    assert!(kill_after(known + 1, &out, start()), "it ended before another epoch");
    assert!(!finished());
}

#[test]
fn full_disk_ends_the_run_with_the_reason_and_the_next_run_goes_on_from_the_last_epoch() {
    let (calm, cramped) = (Job::new(1, 3000), Job::new(1, 3000));
    let undisturbed = finish(calm.start());
    // The shell's limit of a file's size stands for a full disk: a write is refused in the middle of a file.
    let sizes = epochs(&calm.out())
        .into_iter()
        .flat_map(|epoch| SINKS.map(|sink| size(&epoch.join(sink).with_extension("ndjson"))));
    let largest = sizes.max().unwrap();
    let mut limited = Command::new("sh");
    let blocks = largest / 512 - 1;
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    limited.arg(env!("CARGO_BIN_EXE_arterial"));
    cramped.arguments(&mut limited);
    let (code, _, said) = ended(limited.spawn().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error: cannot write `") && said.contains(".ndjson`: File too large"), "{said}");
    assert!(said.contains("hint: make room, or raise the limit, and start again: nothing is lost"), "{said}");
    // The same between two names of the mark that the last epoch gets, which is too small for the limit above.
    std::fs::write(cramped.out().join("finished.unfinished"), "").unwrap();
    assert_eq!(finish(cramped.start())["state_digest"], undisturbed["state_digest"]);
    assert_eq!(by_key(&cramped.out()), by_key(&calm.out()));
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

#[test]
fn folder_that_another_process_works_in_is_refused_by_name() {
    let job = Job::new(4, 3000);
    let mut first = job.start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !job.out().exists() || epochs(&job.out()).is_empty() {
        assert!(Instant::now() < deadline, "no epoch comes");
        std::thread::yield_now();
    }
    let (code, _, said) = ended(job.start());
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("out` is in use by another process"), "{said}");
    assert!(said.contains("hint: give each run a folder of its own"), "{said}");
}
