//! The load's topic, read back -> which record closed which window, and when the broker wrote it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use crate::setting::PARTITIONS;

/// A topic that is not read to its end within this time never will be.
const PATIENCE: Duration = Duration::from_secs(120);
/// Size of the job's windows, and how long they wait for late rows.
const WINDOW_MS: i64 = 300_000;
const MAX_DELAY_MS: i64 = 60_000;

/// Broker times of the closing records, milliseconds.
#[derive(Default)]
pub(super) struct Closing {
    partitions: HashMap<String, i32>,
    own: BTreeMap<(i32, i64), i64>,
    last: BTreeMap<i64, i64>,
}

impl Closing {
    /// The record that closed a window of the sensor's partition.
    pub(super) fn own(&self, sensor: &str, window_end_ms: i64) -> Result<i64> {
        let partition = self.partitions.get(sensor).with_context(|| format!("`{sensor}` has no reading"))?;
        let closed = self.own.get(&(*partition, window_end_ms)).copied();
        closed.with_context(|| format!("no record of partition {partition} closes the window {window_end_ms}"))
    }

    /// The last record that closed it, of all partitions.
    pub(super) fn last(&self, window_end_ms: i64) -> Result<i64> {
        self.last.get(&window_end_ms).copied().with_context(|| format!("nothing closes the window {window_end_ms}"))
    }
}

/// What an engine takes for a reading: records that are broken close nothing.
#[derive(Deserialize)]
struct Reading<'a> {
    observed_at: &'a str,
    #[serde(rename = "speed_kmh")]
    _speed_kmh: f64,
}

/// Reads the topic to its end.
pub(super) fn read(brokers: &str, topic: &str) -> Result<Closing> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "arterial.bench.closing")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut places = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        places.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&places)?;
    let (mut closing, mut next, mut ended) = (Closing::default(), BTreeMap::new(), 0);
    let since = Instant::now();
    while ended < PARTITIONS {
        ensure!(since.elapsed() < PATIENCE, "`{topic}` was not read to its end within {PATIENCE:?}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => closing.note(&message, &mut next)?,
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Ok(closing)
}

impl Closing {
    /// `next`: end of the first window of each partition that nothing has closed yet.
    fn note(&mut self, message: &impl Message, next: &mut BTreeMap<i32, i64>) -> Result<()> {
        let Ok(reading) = serde_json::from_slice::<Reading<'_>>(message.payload().unwrap_or_default()) else {
            return Ok(());
        };
        let written_ms = message.timestamp().to_millis().context("the broker gave a record no time")?;
        let partition = message.partition();
        let key = String::from_utf8_lossy(message.key().unwrap_or_default());
        if !self.partitions.contains_key(&*key) {
            self.partitions.insert(key.into_owned(), partition);
        }
        let event_ms = DateTime::parse_from_rfc3339(reading.observed_at)?.timestamp_millis();
        let first = event_ms.div_euclid(WINDOW_MS) * WINDOW_MS + WINDOW_MS;
        let next = next.entry(partition).or_insert(first);
        while event_ms - MAX_DELAY_MS >= *next {
            self.own.insert((partition, *next), written_ms);
            let last = self.last.entry(*next).or_insert(written_ms);
            *last = (*last).max(written_ms);
            *next += WINDOW_MS;
        }
        Ok(())
    }
}
