//! The alert topic as a foreign reader of committed records sees it -> lines that any engine's alerts can be brought
//! into, to be compared one by one and as a hash.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use arterial::spec::PipelinePlan;
use arterial::spec::model::Output;
use chrono::DateTime;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::setting::PARTITIONS;

/// A topic that is not read to its end within this time never will be.
const PATIENCE: Duration = Duration::from_secs(60);
/// Alerts that differ are named up to this number.
const NAMED_MAX: usize = 10;
/// Digits of the hash that are compared.
const HASH_DIGITS: usize = 12;

#[derive(Deserialize)]
struct Alert {
    key: Key,
    observed_at: String,
    state: String,
}

#[derive(Deserialize)]
struct Key {
    sensor_id: String,
}

impl Alert {
    /// Detector, end of the window in milliseconds, `open` or `clear`.
    fn line(&self) -> Result<String> {
        let state = match self.state.as_str() {
            "opened" => "open",
            "cleared" => "clear",
            other => bail!("the city job has no alert that is `{other}`"),
        };
        let window_end_ms = DateTime::parse_from_rfc3339(&self.observed_at)?.timestamp_millis();
        Ok(format!("{} {window_end_ms} {state}", self.key.sensor_id))
    }
}

/// Our alert as a line.
pub(crate) fn ours(payload: &[u8]) -> Result<String> {
    serde_json::from_slice::<Alert>(payload)?.line()
}

/// A peer's alert as a line: its fields are those already.
pub(crate) fn of_peers(payload: &[u8]) -> Result<String> {
    #[derive(Deserialize)]
    struct PeerAlert {
        sensor_id: String,
        window_end: i64,
        alert: String,
    }
    let alert: PeerAlert = serde_json::from_slice(payload)?;
    Ok(format!("{} {} {}", alert.sensor_id, alert.window_end, alert.alert))
}

/// Where a plan's run writes its alerts.
pub(crate) fn topic(plan: &PipelinePlan) -> Result<String> {
    let sink = plan.sinks.declared().iter().find(|(_, sink)| sink.from == Output::Alerts);
    let topic = sink.and_then(|(_, sink)| sink.kafka.as_ref()).map(|kafka| kafka.topic.clone());
    topic.context("the pipeline writes no alerts to Kafka")
}

/// Every committed alert of a topic, as sorted lines.
pub(crate) fn committed(brokers: &str, topic: &str, line: fn(&[u8]) -> Result<String>) -> Result<Vec<String>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "arterial.bench.alerts")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut places = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        places.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&places)?;
    let (mut lines, mut ended, since) = (Vec::new(), 0, Instant::now());
    while ended < PARTITIONS {
        ensure!(since.elapsed() < PATIENCE, "`{topic}` was not read to its end within {PATIENCE:?}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                lines.push(line(message.payload().unwrap_or_default())?);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    lines.sort_unstable();
    Ok(lines)
}

/// The start of SHA-256 over sorted lines with line feeds between them.
pub(crate) fn hash(lines: &[String]) -> String {
    let digest = Sha256::digest(lines.join("\n").as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..HASH_DIGITS].to_owned()
}

/// Names the alerts that were written and are not due, or due and were not written.
pub(crate) fn compare(written: &[String], due: &[String]) -> Result<()> {
    let mut balance: BTreeMap<&str, i64> = BTreeMap::new();
    for (lines, sign) in [(written, 1), (due, -1)] {
        for line in lines {
            *balance.entry(line).or_default() += sign;
        }
    }
    balance.retain(|_, count| *count != 0);
    let named: Vec<String> = balance
        .iter()
        .take(NAMED_MAX)
        .map(|(line, count)| format!("  {line}: {}", if *count > 0 { "written, not due" } else { "due, not written" }))
        .collect();
    ensure!(balance.is_empty(), "{} alerts differ, among them\n{}", balance.len(), named.join("\n"));
    Ok(())
}
