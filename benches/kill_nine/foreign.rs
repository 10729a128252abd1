//! A topic as Kafka's own console consumer sees it, committed records only.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::support::script;

/// Headers and value of every record, by key, in order.
pub(crate) fn committed(brokers: &str, topic: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let jars = script().arg("jars").output()?;
    let jars = String::from_utf8(jars.stdout)?;
    let read = Command::new("java")
        .args(["-cp", &format!("{}/*", jars.trim()), "org.apache.kafka.tools.consumer.ConsoleConsumer"])
        .args(["--bootstrap-server", brokers, "--topic", topic, "--from-beginning", "--timeout-ms", "10000"])
        .args(["--command-property", "isolation.level=read_committed"])
        .args(["--formatter-property", "print.key=true", "--formatter-property", "print.headers=true"])
        .output()
        .context("cannot run Kafka's console consumer")?;
    let said = String::from_utf8_lossy(&read.stderr);
    let count: usize = said
        .lines()
        .find_map(|line| line.strip_prefix("Processed a total of ")?.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("the console consumer failed: {said}"))?;
    let mut records: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // Headers, key and value stand between tabs; what the consumer itself has to say has none.
    for line in String::from_utf8(read.stdout)?.lines() {
        let mut parts = line.splitn(3, '\t');
        let (Some(headers), Some(key), Some(value)) = (parts.next(), parts.next(), parts.next()) else { continue };
        records.entry(key.to_owned()).or_default().push(format!("{headers} {value}"));
    }
    let found: usize = records.values().map(Vec::len).sum();
    ensure!(found == count, "the console consumer counted {count} records, {found} were understood");
    Ok(records)
}
