//! Access control of a running pipeline: what it may do is what docs/security.md lists; what is taken away in mid-run ends
//! it with the permission named, and a login that is refused in mid-run is waited for.

use std::process::{Child, Command};
use std::time::Instant;

use crate::broker::{self, PATIENCE};
use crate::kafka_bad_days::{POLL, await_readyz, free_address, readyz, terminate};
use crate::kafka_run_support::{ended, finish, pipeline_at, start_with, write_to};
use crate::kafka_security::{PASSWORD, at, filled};
use crate::secured::{Kind, READ, WRITE, allow_all, deny, secure, secured, start};

/// Starts one of Kafka's own tools as the administrator.
fn tool(class: &str, arguments: &[&str]) -> Child {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh");
    let jars = Command::new(script).arg("jars").output().expect("the script runs");
    let jars = String::from_utf8_lossy(&jars.stdout).trim().to_owned();
    Command::new("java")
        .args(["-Xmx128m", "-cp", &format!("{jars}/*"), class, "--bootstrap-server", &secured().plain])
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("java runs")
}

fn done(tool: Child) {
    let (code, out, err) = ended(tool);
    assert_eq!(code, Some(0), "{out} {err}");
}

/// The arguments of the commands that the documentation tells an administrator to run.
fn documented() -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).expect("a document");
    text.lines().filter_map(|line| line.strip_prefix("kafka-acls ").map(str::to_owned)).collect()
}

#[test]
fn a_pipeline_needs_no_more_permissions_than_the_documentation_lists() {
    let secured = secured();
    let (topic, rows) = filled(secured, "ring-road", 2);
    let path = at(secured, "login", "ring-road", &topic, &secured.login("scram_sha_512"));
    let (code, out, _) = ended(start("doctor", &path, PASSWORD, &[]));
    assert_eq!(code, Some(1), "nothing is allowed yet: {out}");
    let commands = documented();
    assert_eq!(commands.len(), 5, "the commands are not found");
    let granting = |command: &String| {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        tool("org.apache.kafka.tools.AclCommand", &arguments)
    };
    let tools: Vec<Child> = commands.iter().map(granting).collect();
    tools.into_iter().for_each(done);
    let check = || {
        let (code, out, err) = ended(start("doctor", &path, PASSWORD, &[]));
        assert_eq!(code, Some(0), "{out} {err}");
        assert!(!out.contains("\"fail\"") && !out.contains("\"warn\""), "{out}");
    };
    check();
    let first = finish(start("run", &path, PASSWORD, &["--until", "latest"]));
    assert_eq!((&first["rows"]["in"], &first["rows"]["balanced"]), (&rows.into(), &true.into()));
    check();
    let more = write_to(&secured.plain, &topic, 2..3);
    let second = finish(start("run", &path, PASSWORD, &["--until", "latest"]));
    assert_eq!(second["rows"]["in"], rows + more, "its state is restored");
}

#[test]
fn a_permission_taken_away_in_mid_run_ends_it_with_its_name_and_nothing_is_lost() {
    let secured = secured();
    let base = broker::unique("taken");
    allow_all(&base);
    let name = |case: &str| format!("{base}-{case}");
    let (read, state) = (format!("{}-readings", name("read")), format!("arterial.{}.state", name("state")));
    let (group, ids) = (format!("arterial.{}", name("group")), format!("arterial.{}", name("txn")));
    let cases = [
        ("read", Kind::Topic, &read, READ, format!("`Read` on topic `{read}`")),
        ("state", Kind::Topic, &state, WRITE, format!("`Write` on topic `{state}`")),
        ("group", Kind::Group, &group, READ, format!("`Read` on group `{group}`")),
        ("txn", Kind::TransactionalId, &ids, WRITE, format!("`Write` on transactional id `{ids}-0-0`")),
    ];
    let runs: Vec<_> = cases
        .into_iter()
        .map(|(case, kind, prefix, operation, wanted)| {
            let (topic, rows) = filled(secured, &name(case), 1);
            let listen = free_address();
            let extra = format!("workers: 1, listen: \"{listen}\"");
            let path = pipeline_at(&secured.listener("login"), &name(case), &topic, &extra);
            secure(&path, &secured.login("scram_sha_512"));
            let child = start("run", &path, PASSWORD, &[]);
            (child, listen, topic, rows, (case, kind, prefix, operation, wanted))
        })
        .collect();
    for (child, listen, topic, rows, (case, kind, prefix, operation, wanted)) in runs {
        let child = ready(child, listen);
        await_rows(listen, rows);
        deny(kind, prefix, operation);
        let more = write_to(&secured.plain, &topic, 1..2);
        let taken = Instant::now();
        let (code, _, said) = ended(child);
        assert_eq!(code, Some(1), "{case}: {said}");
        assert!(said.lines().any(|line| line.starts_with("error: ") && line.contains(&wanted)), "{case}: {said}");
        assert!(taken.elapsed() < PATIENCE / 2, "{case} took {:?}", taken.elapsed());
        // Where everything is allowed the same pipeline goes on.
        let plain = pipeline_at(&secured.plain, &name(case), &topic, "workers: 1");
        let summary = finish(start_with(&plain, &["--until", "latest"]));
        assert_eq!((&summary["rows"]["in"], &summary["rows"]["balanced"]), (&(rows + more).into(), &true.into()));
    }
}

/// Waits until a pipeline that was started is ready; where it ends before, says what it said.
fn ready(mut child: Child, listen: std::net::SocketAddr) -> Child {
    let deadline = Instant::now() + PATIENCE;
    while readyz(listen).is_none_or(|(code, _)| code != 200) {
        if child.try_wait().expect("a child").is_some() || Instant::now() > deadline {
            child.kill().expect("it ends");
            panic!("it was not ready: {:?}", ended(child));
        }
        std::thread::sleep(POLL);
    }
    child
}

/// Waits until a pipeline has committed so many rows.
fn await_rows(listen: std::net::SocketAddr, rows: u64) {
    let deadline = Instant::now() + PATIENCE;
    let counted = |text: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with("arterial_source_read_rows{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    loop {
        let metrics = crate::kafka_bad_days::get(listen, "/metrics").map(|(_, body)| body).unwrap_or_default();
        if counted(&metrics) >= rows {
            return;
        }
        assert!(Instant::now() < deadline, "{rows} rows were not committed, but {}", counted(&metrics));
        std::thread::sleep(POLL);
    }
}

fn set_password(password: &str) {
    let setting = format!("SCRAM-SHA-512=[password={password}]");
    let arguments = ["--alter", "--entity-type", "users", "--entity-name", "commuter", "--add-config", &setting];
    done(tool("kafka.admin.ConfigCommand", &arguments));
}

#[test]
fn a_login_refused_in_mid_run_is_waited_for_with_readiness_red() {
    let secured = secured();
    let name = broker::unique("waits");
    let (topic, rows) = filled(secured, &name, 1);
    let listen = free_address();
    let extra = format!("workers: 1, listen: \"{listen}\"");
    let path = pipeline_at(&secured.listener("bare"), &name, &topic, &extra);
    let user = "protocol: sasl_plaintext, mechanism: scram_sha_512, username: commuter, password: env:SECRET";
    secure(&path, user);
    let child = start("run", &path, PASSWORD, &[]);
    await_readyz(listen, 200);
    await_rows(listen, rows);
    // The listener asks for a new login every few seconds.
    set_password("elderflower");
    let deadline = Instant::now() + PATIENCE;
    while !readyz(listen).is_some_and(|(code, body)| code == 503 && body.contains("uthentication")) {
        assert!(Instant::now() < deadline, "it still is ready");
    }
    set_password(PASSWORD);
    await_readyz(listen, 200);
    let more = write_to(&secured.plain, &topic, 1..2);
    await_rows(listen, rows + more);
    terminate(&child);
    let summary = finish(child);
    assert_eq!((&summary["rows"]["in"], &summary["rows"]["balanced"]), (&(rows + more).into(), &true.into()));
}
