//! A reader of committed records -> which forecast was seen when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arterial::runtime::SystemClock;
use arterial::vocab::Clock;
use chrono::DateTime;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use crate::setting::PARTITIONS;

/// How long after the load forecasts may still come.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// One forecast.
pub(super) struct Seen {
    pub(super) sensor: String,
    pub(super) window_end_ms: i64,
    pub(super) seen_ms: i64,
}

/// A reader at work.
pub(super) struct Probe {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Seen>>>,
}

impl Probe {
    /// Starts at the end of the topic.
    pub(super) fn start(brokers: &str, topic: &str) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "arterial.bench.probe")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "5")
            .create()?;
        let mut places = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            places.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&places)?;
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        Ok(Self { over, thread: std::thread::spawn(move || watch(&consumer, &told)) })
    }

    /// Everything that was seen, up to a few seconds from now.
    pub(super) fn finish(self) -> Result<Vec<Seen>> {
        std::thread::sleep(AFTERWARDS);
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the probe panicked"))?
    }
}

fn watch(consumer: &BaseConsumer, over: &AtomicBool) -> Result<Vec<Seen>> {
    let mut arrived = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        let seen_ms = SystemClock.now_micros() / 1_000;
        // Read afterwards: the probe must not be what is measured.
        arrived.push((message.payload().unwrap_or_default().to_vec(), seen_ms));
    }
    arrived.iter().map(|(payload, seen_ms)| seen(payload, *seen_ms)).collect()
}

/// A forecast of ours, or of a peer, which names the end of the window in milliseconds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Forecast {
    Ours { key: Key, window_end: String },
    Peers { sensor_id: String, window_end: i64 },
}

#[derive(Deserialize)]
struct Key {
    sensor_id: String,
}

fn seen(payload: &[u8], seen_ms: i64) -> Result<Seen> {
    let forecast = serde_json::from_slice(payload)
        .with_context(|| format!("`{}` is no forecast", String::from_utf8_lossy(payload)))?;
    let (sensor, window_end_ms) = match forecast {
        Forecast::Ours { key, window_end } => {
            (key.sensor_id, DateTime::parse_from_rfc3339(&window_end)?.timestamp_millis())
        }
        Forecast::Peers { sensor_id, window_end } => (sensor_id, window_end),
    };
    Ok(Seen { sensor, window_end_ms, seen_ms })
}
