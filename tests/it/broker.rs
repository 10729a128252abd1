//! The real Kafka that tests talk to: `ARTERIAL_TEST_KAFKA=host:port`, or one started for this test process from its
//! jars, which ends with it.

use std::process::Command;
use std::sync::OnceLock;

/// Address of the broker.
pub fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| std::env::var("ARTERIAL_TEST_KAFKA").unwrap_or_else(|_| start()))
}

fn start() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh");
    let output = Command::new(script)
        .arg("start")
        // The broker watches this process and goes with it, however it ends.
        .env("ARTERIAL_KAFKA_PARENT", std::process::id().to_string())
        .output()
        .expect("scripts/kafka.sh can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no Kafka for the tests: {}", said.lines().last().unwrap_or_default());
    String::from_utf8_lossy(&output.stdout).trim().lines().last().unwrap_or_default().to_owned()
}

/// A name that no other test uses.
pub fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
