//! How a run over something with an end of its own gets on, as a user sees it: lines in a log, a bar on a terminal.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::run_support::edited;

/// Two seconds of the simulated corridor: 16 detectors, a reading a minute, four hours, 7,200 times as fast as it is.
const ROWS_MAX: &str = "3840";

fn pipeline(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("progress-{name}.yaml"));
    std::fs::write(&path, edited(&[("length: 10h", "length: 4h, speed: 7200")])).expect("a file");
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
    command.args(["run", "--until", "latest"]).arg(file);
    command
}

/// In a terminal of its own; what it shows comes as stdout.
fn in_terminal(command: &Command) -> Output {
    let words = command.get_args().map(|word| format!("'{}'", word.display()));
    let line: Vec<String> = std::iter::once(format!("'{}'", command.get_program().display())).chain(words).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    script.env("TERM", "xterm").output().expect("`script` of util-linux runs it")
}

#[test]
fn without_a_terminal_lines_in_the_log_tell_how_many_rows_of_how_many_are_read() {
    let output = run(&pipeline("lines")).output().expect("it runs");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(err.contains(&format!(" rows read of at most {ROWS_MAX}, ")), "{err}");
    assert!(!err.contains('\r') && !out.contains('\r'), "no bar: {err}");
}

#[test]
fn on_a_terminal_a_bar_moves_and_is_gone_before_the_summary() {
    let output = in_terminal(&run(&pipeline("bar")));
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}");
    let bar = shown.rfind("/at most 3,840 rows, ").unwrap_or_else(|| panic!("no bar: {shown}"));
    let summary = shown.find("corridor: ").unwrap_or_else(|| panic!("no summary: {shown}"));
    assert!(bar < summary, "{shown}");
    assert!(!shown.contains(" rows read of "), "the bar tells it: {shown}");
    // What is said meanwhile has a line of its own: the bar is taken away before.
    let alert = shown.find("first alert: ").unwrap_or_else(|| panic!("no alert: {shown}"));
    let before = &shown[..alert];
    assert!(
        before.ends_with('\n') || before.rsplit(" left").next().is_some_and(|after| after.contains("\u{1b}[2K")),
        "{shown:?}"
    );
}
