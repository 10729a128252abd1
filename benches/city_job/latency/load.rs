//! The city's readings at a steady rate, in an open loop: a reader that is slow does not slow the writer. Windows close
//! once a second; so that they close at every moment between two commits, and not always at the same, seconds are a
//! little shorter and longer in turn.

use std::time::{Duration, Instant};

use anyhow::Result;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::generator::{DETECTORS, make_readings};

/// Readings per second.
pub(super) const RATE: usize = 50_000;
/// Readings between two looks at the clock: a millisecond's worth.
const SLICE: usize = 50;
/// Longest wait for the last records to be written.
const FLUSH_MAX: Duration = Duration::from_secs(30);
/// How late a slice may be: beyond this the machine cannot keep the load up, and nothing is measured.
const SLIP_MAX: Duration = Duration::from_secs(1);

/// How far apart the moments lie at which windows close: the interval of commits, seconds.
const SPREAD: f64 = 0.1;

/// When what is due after so many seconds at the steady rate is due. Multiples of the golden ratio spread evenly.
fn due(seconds: f64) -> Duration {
    let shift = |second: f64| (second * 0.618_033_988_749_895).fract() * SPREAD;
    let (second, part) = (seconds.floor(), seconds.fract());
    let shift = shift(second) * (1.0 - part) + shift(second + 1.0) * part;
    Duration::from_secs_f64(seconds + shift)
}

/// Writes `rounds` readings of every detector.
pub(super) fn produce(brokers: &str, topic: &str, rounds: usize) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "2")
        .set("batch.size", "131072")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .create()?;
    let (started, mut sent, mut slip) = (Instant::now(), 0_usize, Duration::ZERO);
    make_readings(DETECTORS, rounds, |key, value| {
        if sent.is_multiple_of(SLICE) {
            let due = due(sent as f64 / RATE as f64);
            while started.elapsed() < due {
                producer.poll(Duration::ZERO);
                std::thread::sleep(due.saturating_sub(started.elapsed()).min(Duration::from_micros(300)));
            }
            slip = slip.max(started.elapsed() - due);
        }
        while producer.send(BaseRecord::to(topic).key(key).payload(value)).is_err() {
            producer.poll(Duration::from_millis(1));
        }
        sent += 1;
        Ok(())
    })?;
    producer.flush(FLUSH_MAX)?;
    anyhow::ensure!(slip < SLIP_MAX, "the load fell {} ms behind its schedule", slip.as_millis());
    Ok(())
}
