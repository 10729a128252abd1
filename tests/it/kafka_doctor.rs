//! `arterial doctor` on the plain and on the secured broker: one line per check, a remedy where something is wrong, and
//! nothing is touched.

use std::path::Path;
use std::time::Instant;

use arterial::runtime::SystemClock;
use arterial::vocab::Clock;
use arterial_connectors::kafka::{CreateTopic, KafkaWriter, ensure_topic};
use serde_json::Value;

use crate::broker::{self, PATIENCE};
use crate::kafka_bad_days::free_address;
use crate::kafka_run_support::{ended, fill, finish, make_topic, pipeline, pipeline_at, start as start_run};
use crate::kafka_security::at;
use crate::secured::{secured, start};

/// Exit code and checks, each as (check, verdict, message with remedy).
fn doctor(path: &Path, secret: &str) -> (Option<i32>, Vec<(String, String, String)>) {
    let (code, out, err) = ended(start("doctor", path, secret, &[]));
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {err}"));
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let checks = report["checks"].as_array().expect("checks").iter();
    let line = |check: &Value| {
        (text(check, "check"), text(check, "verdict"), format!("{} {}", text(check, "message"), text(check, "remedy")))
    };
    (code, checks.map(line).collect())
}

/// The one check that did not come out well.
fn only_bad(checks: &[(String, String, String)]) -> &(String, String, String) {
    let bad: Vec<_> = checks.iter().filter(|(_, verdict, _)| verdict != "ok").collect();
    let [one] = bad[..] else { panic!("{checks:#?}") };
    one
}

#[test]
fn everything_is_well_before_and_after_the_first_run_and_nothing_is_made() {
    let (topic, name) = (broker::unique("readings"), broker::unique("well"));
    fill(&topic, 1);
    let path = pipeline(&name, &topic, "workers: 1");
    let (code, checks) = doctor(&path, "");
    assert_eq!(code, Some(0), "{checks:#?}");
    assert!(checks.iter().all(|(_, verdict, _)| verdict == "ok"), "{checks:#?}");
    let says = |part: &str| checks.iter().any(|(_, _, said)| said.contains(part));
    assert!(says("the run creates it") && says("has 4 partitions") && says("librdkafka"), "{checks:#?}");
    for made in [format!("arterial.{name}.state"), format!("arterial.{name}.control"), format!("{name}-alerts")] {
        ensure_topic(&broker::connection(), &made, None).expect_err("it must not exist");
    }
    let summary = finish(start_run(&path));
    let (code, checks) = doctor(&path, "");
    assert_eq!(code, Some(0), "{checks:#?}");
    assert!(checks.iter().any(|(_, _, said)| said.contains("is compacted")), "{checks:#?}");
    assert_eq!(finish(start_run(&path))["state_digest"], summary["state_digest"]);
    let (code, out, _) = ended(
        std::process::Command::new(env!("CARGO_BIN_EXE_arterial"))
            .arg("doctor")
            .arg(&path)
            .env("ARTERIAL_LOG", "warn")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it runs"),
    );
    assert_eq!(code, Some(0));
    assert_eq!(out.lines().count(), checks.len(), "one line per check: {out}");
    assert!(out.lines().all(|line| line.starts_with("ok ")), "{out}");
}

#[test]
fn a_missing_topic_a_moved_key_and_a_clock_that_is_off_are_told_with_a_remedy() {
    let (topic, name) = (broker::unique("readings"), broker::unique("ill"));
    let (code, checks) = doctor(&pipeline(&name, &topic, "workers: 1"), "");
    let (check, verdict, said) = only_bad(&checks);
    assert_eq!((code, check.as_str(), verdict.as_str()), (Some(1), "topic", "fail"));
    assert!(said.contains(&topic) && said.contains("create it"), "{said}");

    make_topic(broker::address(), &topic);
    let state = broker::topic_with(&format!("arterial.{name}"), 3, &[]);
    let moved = state.strip_prefix("arterial.").expect("a prefix");
    ensure_topic(
        &broker::connection(),
        &format!("{state}.state"),
        Some(&CreateTopic { partitions: 3, ..Default::default() }),
    )
    .expect("a state topic");
    let (code, checks) = doctor(&pipeline(moved, &topic, "workers: 1"), "");
    let (check, verdict, said) = only_bad(&checks);
    assert_eq!((code, check.as_str(), verdict.as_str()), (Some(1), "topic", "fail"));
    assert!(said.contains("has 3 partitions, but the source has 4"), "{said}");

    let ahead = SystemClock.now_micros() / 1000 + 30 * 60 * 1000;
    let mut writer = KafkaWriter::open(&broker::connection(), &topic).expect("a writer");
    writer.send(Some(b"k"), Some(b"{}"), Some(ahead)).expect("queued");
    writer.flush().expect("delivered");
    let (code, checks) = doctor(&pipeline(&broker::unique("ahead"), &topic, "workers: 1"), "");
    let (check, verdict, said) = only_bad(&checks);
    assert_eq!((code, check.as_str(), verdict.as_str()), (Some(0), "clock", "warn"));
    assert!(said.contains("ahead of this machine's clock") && said.contains("NTP"), "{said}");
}

#[test]
fn brokers_that_are_away_or_refuse_the_login_and_a_bad_file_are_told_with_their_exit_codes() {
    let nobody = pipeline_at(&free_address().to_string(), &broker::unique("nobody"), "readings", "workers: 1");
    let (code, checks) = doctor(&nobody, "");
    let (check, verdict, _) = only_bad(&checks);
    assert_eq!((code, check.as_str(), verdict.as_str()), (Some(1), "brokers", "fail"));

    let secured = secured();
    let asked = Instant::now();
    let wrong = at(secured, "login", &broker::unique("wrong"), "readings", &secured.login("plain"));
    let (code, checks) = doctor(&wrong, "elderflower");
    let (check, _, said) = only_bad(&checks);
    assert_eq!((code, check.as_str()), (Some(1), "brokers"));
    assert!(said.contains("refuse the login") && said.contains("`password`"), "{said}");
    assert!(asked.elapsed() < PATIENCE / 2, "took {:?}", asked.elapsed());

    let (code, _, err) = ended(start("doctor", &wrong, "", &[]));
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains("`password`: environment variable `SECRET` is not set"), "{err}");
}

#[test]
fn files_and_the_folder_that_is_written_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let text = |pipeline: &str, out: &str| {
        format!(
            "version: 1\npipeline: {pipeline}\nsources:\n  loops:\n    file: {{ path: loops.ndjson }}\n    decode: {{ \
             schema: traffic-observation.v1 }}\n    partitioned_by: sensor_id\n    event_time: {{ column: observed_at, \
             max_delay: 1m }}\nwindow: {{ size: 1m, key: [sensor_id], columns: {{ n: count(*) }} }}\nsinks:\n  \
             late: {{ from: late, folder: {{ path: {out} }} }}\ndelivery: exactly_once\n"
        )
    };
    let path = write("first.yaml", &text("first", "out"));
    let (code, checks) = doctor(&path, "");
    assert_eq!(code, Some(1), "{checks:#?}");
    let (check, verdict, said) = only_bad(&checks);
    assert_eq!((check.as_str(), verdict.as_str()), ("input", "fail"));
    assert!(said.contains("loops.ndjson"), "{said}");
    write("loops.ndjson", "{\"sensor_id\":\"a\",\"observed_at\":\"2026-03-02T08:00:00Z\"}\n");
    let (code, checks) = doctor(&path, "");
    assert_eq!(code, Some(0), "{checks:#?}");
    let says = |checks: &[(String, String, String)], part: &str| checks.iter().any(|(_, _, said)| said.contains(part));
    assert!(says(&checks, "holds nothing yet") && says(&checks, "GB are free"), "{checks:#?}");
    finish(start_run(&path));
    assert!(says(&doctor(&path, "").1, "goes on after epoch 1"));
    let (code, checks) = doctor(&write("second.yaml", &text("second", "out")), "");
    assert_eq!(code, Some(1));
    assert!(only_bad(&checks).2.contains("belongs to pipeline `first`, not to `second`"), "{checks:#?}");
    // A place where nobody can make a directory, root neither.
    let (code, checks) = doctor(&write("third.yaml", &text("third", "/proc/out")), "");
    let (check, verdict, said) = only_bad(&checks);
    assert_eq!((code, check.as_str(), verdict.as_str()), (Some(1), "disk", "fail"), "{checks:#?}");
    assert!(said.contains("cannot create a directory in `/proc`"), "{said}");
    // What was written to find that out is gone, and what an earlier run has left is looked at, too.
    let names = |folder: &str| std::fs::read_dir(folder_of(&path, folder)).unwrap().count();
    let before = names("out");
    doctor(&path, "");
    assert_eq!(names("out"), before);
    std::fs::remove_file(folder.path().join("out/lock")).unwrap();
    std::fs::create_dir(folder.path().join("out/lock")).unwrap();
    let (_, checks) = doctor(&path, "");
    assert!(only_bad(&checks).2.contains("out/lock`: Is a directory"), "{checks:#?}");
}

fn folder_of(pipeline: &Path, name: &str) -> std::path::PathBuf {
    pipeline.parent().unwrap().join(name)
}

/// A user that owns nothing: `nobody` where root runs the tests, which may write everywhere; else whoever runs them.
fn as_other_user(script: &str) -> (std::process::Command, bool) {
    let root = std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = std::process::Command::new(if root { "setpriv" } else { "sh" });
    if root {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh"]);
    }
    command.args(["-c", script]);
    (command, root)
}

#[test]
fn folder_that_this_user_cannot_write_or_that_is_full_is_told_with_the_user_and_the_remedy() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let open = |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    let readings = "{\"sensor_id\":\"a\",\"observed_at\":\"2026-03-02T08:00:00Z\"}\n";
    std::fs::write(folder.path().join("loops.ndjson"), readings).unwrap();
    std::fs::write(
        folder.path().join("pipeline.yaml"),
        "version: 1\npipeline: closed\nsources:\n  loops:\n    file: { path: loops.ndjson }\n    decode: { schema: \
         traffic-observation.v1 }\n    partitioned_by: sensor_id\n    event_time: { column: observed_at, max_delay: 1m \
         }\nwindow: { size: 1m, key: [sensor_id], columns: { n: count(*) } }\nsinks:\n  late: { from: late, folder: { \
         path: out } }\ndelivery: exactly_once\n",
    )
    .unwrap();
    // The binary lies where another user may not go: a copy does not.
    let binary = folder.path().join("arterial");
    std::fs::hard_link(env!("CARGO_BIN_EXE_arterial"), &binary)
        .or_else(|_| std::fs::copy(env!("CARGO_BIN_EXE_arterial"), &binary).map(drop))
        .unwrap();
    let told = |script: &str| {
        let (mut command, root) = as_other_user(script);
        let output = command.current_dir(folder.path()).output().expect("it runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code(), root)
    };
    open(0o555);
    let (out, code, root) = told("./arterial doctor pipeline.yaml");
    open(0o777);
    assert_eq!(code, Some(1), "{out}");
    let line = out.lines().find(|line| line.starts_with("fail")).unwrap_or_else(|| panic!("{out}"));
    let place = folder.path().display();
    assert!(line.contains(&format!("cannot create a directory in `{place}`: Permission denied")), "{line}");
    assert!(line.contains("help: it belongs to user ") && line.contains("chown -R "), "{line}");
    assert!(!root || line.contains("disk        user nobody (65534) cannot"), "{line}");
    // The shell's limit of a file's size stands for a full disk.
    let (out, code, _) = told("trap '' XFSZ; ulimit -f 8; exec ./arterial doctor pipeline.yaml");
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("cannot write a file in `") && out.contains("raise the limit"), "{out}");
    let (out, code, _) = told("./arterial doctor pipeline.yaml");
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("can write in `"), "{out}");
}
