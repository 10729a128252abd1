//! The ceiling: what librdkafka hands over when nothing is done with it. Batches from each partition's own queue, every
//! message looked at once and freed.
#![allow(unsafe_code, reason = "batch reads of partition queues exist in librdkafka's C interface only")]

use std::ffi::CString;
use std::ptr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::measure::{Cost, Meter};

/// Messages asked for at once.
const BATCH_MAX: usize = 8_192;

/// Reads `rows` messages of a topic from its beginning.
pub(crate) fn consume(brokers: &str, topic: &str, partitions: i32, rows: u64) -> Result<Cost> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "arterial.bench.raw")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.max.bytes", "67108864")
        .set("max.partition.fetch.bytes", "8388608")
        .set("queued.min.messages", "1000000")
        .set("check.crcs", "false")
        .set("fetch.wait.max.ms", "5")
        .create()?;
    let mut places = TopicPartitionList::new();
    for partition in 0..partitions {
        places.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&places)?;
    let queues = Queues::split(&consumer, topic, partitions)?;
    let mut buffer = vec![ptr::null_mut(); BATCH_MAX];
    let (mut meter, mut seen, mut bytes) = (Meter::default(), 0, 0);
    while seen < rows {
        if let Some(Err(error)) = consumer.poll(Duration::ZERO) {
            return Err(error.into());
        }
        for queue in &queues.0 {
            // SAFETY: the queue lives as long as `queues`, the buffer has room for `BATCH_MAX` pointers.
            let count = unsafe { sys::rd_kafka_consume_batch_queue(*queue, 1, buffer.as_mut_ptr(), BATCH_MAX) };
            let messages = &buffer[..usize::try_from(count).unwrap_or(0)];
            meter.rows(messages.len());
            for message in messages {
                // SAFETY: the first `count` pointers are messages that are ours until they are freed here.
                unsafe {
                    seen += u64::from((**message).err as i32 == 0);
                    bytes += (**message).len;
                    sys::rd_kafka_message_destroy(*message);
                }
            }
        }
    }
    meter.stop();
    ensure!(bytes > 0 && seen == rows, "raw consume saw {seen} rows of {rows}");
    meter.cost().context("the topic is empty")
}

/// Queues of partitions, given back before their consumer goes.
struct Queues(Vec<*mut sys::rd_kafka_queue_t>);

impl Queues {
    fn split(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Result<Self> {
        let name = CString::new(topic)?;
        let client = consumer.client().native_ptr();
        let mut queues = Self(Vec::new());
        for partition in 0..partitions {
            // SAFETY: the client is alive, the name is a C string; the queue is freed in `drop`.
            let queue = unsafe { sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) };
            ensure!(!queue.is_null(), "partition {partition} of `{topic}` has no queue");
            // SAFETY: the queue was just got.
            unsafe { sys::rd_kafka_queue_forward(queue, ptr::null_mut()) };
            queues.0.push(queue);
        }
        Ok(queues)
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        for queue in &self.0 {
            // SAFETY: each was got once and is freed once; the consumer is declared before and dropped after.
            unsafe { sys::rd_kafka_queue_destroy(*queue) };
        }
    }
}
