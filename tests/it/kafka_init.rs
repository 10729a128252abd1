//! `arterial init` over a topic of a real broker.

use std::process::Command;

use crate::broker;
use crate::kafka_run_support::{fill, finish, start};

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
