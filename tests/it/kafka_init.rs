//! `arterial init` over a topic of a real broker.

use std::process::Command;

use crate::broker;
use crate::kafka_backfill::{messages, write_parquet};
use crate::kafka_run_support::{fill, finish, start};
use crate::kafka_security::{PASSWORD, at, filled};
use crate::secured::{allow_all, secured};

#[test]
fn topic_becomes_a_pipeline_that_reads_it_and_nobody_notices_the_sample() {
    let topic = broker::unique("sampled");
    let rows = fill(&topic, 2);
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .current_dir(folder.path())
        .args(["init", "--topic", &topic, "--brokers", broker::address(), "-o", "pipelines/ring.yaml"])
        .output()
        .expect("the binary runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = folder.path().join("pipelines/ring.yaml");
    let text = std::fs::read_to_string(&path).expect("a pipeline");
    assert!(text.contains("partitioned_by: sensor_id") && text.contains("target: speed_kmh"), "{text}");
    let ran = finish(start(&path));
    assert_eq!(ran["rows"]["in"], rows, "{ran:#}");
    let accepted = ran["rows"]["accepted"].as_u64().expect("a count");
    assert!(accepted * 10 > rows * 9, "{ran:#}");

    let missing = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .current_dir(folder.path())
        .args(["init", "--topic", "no-such-topic", "--brokers", broker::address()])
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && said.contains("topic `no-such-topic` does not exist"), "{said}");
}

#[test]
fn topic_of_a_secured_cluster_is_sampled_and_filled_as_another_pipeline_connects() {
    let secured = secured();
    let base = broker::unique("alike");
    allow_all(&base);
    let (topic, rows) = filled(secured, &base, 2);
    let like = at(secured, "login", &base, &topic, &secured.login("scram_sha_256"));
    let folder = tempfile::tempdir().expect("a folder");
    let arterial = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
        command
            .current_dir(folder.path())
            .env("SECRET", PASSWORD)
            .args(arguments)
            .args(["--like", like.to_str().unwrap()]);
        let output = command.output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    arterial(&["init", "--topic", &topic, "--name", &base, "-o", "made.yaml"]);
    let made = folder.path().join("made.yaml");
    let text = std::fs::read_to_string(&made).expect("a pipeline");
    assert!(text.contains("\"env:SECRET\"") && !text.contains(PASSWORD), "{text}");
    write_parquet(&folder.path().join("more.parquet"), &messages(2..3));
    arterial(&["replay", "more.parquet", "--topic", &topic, "--key", "sensor_id"]);
    let ran = finish(crate::secured::start("run", &made, PASSWORD, &["--until", "latest"]));
    assert!(ran["rows"]["in"].as_u64() > Some(rows), "{ran:#}");
}
