//! Settings of the Kafka connector -> librdkafka configurations. Properties that the engine depends on are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::source::{OnGap, StartAt, Until};

/// How to reach the brokers.
#[derive(Clone, Default)]
pub struct KafkaConnection {
    /// Bootstrap servers.
    pub brokers: String,
    /// Further librdkafka properties.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        let names: Vec<&String> = self.properties.keys().collect();
        formatter.debug_struct("KafkaConnection").field("brokers", &self.brokers).field("properties", &names).finish()
    }
}

/// Settings of a source.
#[derive(Debug, Clone)]
pub struct KafkaSourceConfig {
    /// How to reach the brokers.
    pub connection: KafkaConnection,
    /// Topics, in the order that numbers them.
    pub topics: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Where to start without a position.
    pub start_at: StartAt,
    /// What to do about records that are gone.
    pub on_gap: OnGap,
    /// How long to read.
    pub until: Until,
}

/// Settings of a ledger.
#[derive(Debug, Clone)]
pub struct KafkaLedgerConfig {
    /// How to reach the brokers.
    pub connection: KafkaConnection,
    /// Topics of the source, in the order that numbers them, with their partition counts.
    pub topics: Vec<(String, u32)>,
    /// Consumer group whose offsets are committed.
    pub group: String,
    /// The worker's stable name: part of its transactional id.
    pub slot: String,
    /// Topic of the state.
    pub state_topic: String,
    /// Replication factor of the state topic.
    pub state_replication: Option<u32>,
    /// Output topics by sink number, each with how to create it where it may be created.
    pub sinks: Vec<(String, Option<TopicSettings>)>,
    /// Transactions, or at least once.
    pub transactions: bool,
}

/// How to create a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicSettings {
    /// Number of partitions.
    pub partitions: u32,
    /// Replication factor; the broker's default unless given.
    pub replication: Option<u32>,
    /// Topic configuration.
    pub config: BTreeMap<String, String>,
}

/// A property that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("property `{name}` is set by the engine: {reason}")]
pub struct RefusedProperty {
    /// The property.
    pub name: String,
    /// Why it cannot be chosen.
    pub reason: &'static str,
}

/// Properties that exactly once or the reading by partition queues depends on.
const REFUSED: [(&str, &str); 17] = [
    ("bootstrap.servers", "it stands under `brokers`"),
    ("metadata.broker.list", "it stands under `brokers`"),
    ("group.id", "it stands under `group`"),
    ("group.protocol", "rebalances are answered by the cooperative protocol"),
    ("group.instance.id", "members are told apart by their slots"),
    ("enable.auto.commit", "offsets are committed with the outputs"),
    ("enable.auto.offset.store", "offsets are committed with the outputs"),
    ("auto.offset.reset", "`start_at` and `on_gap` say it"),
    ("isolation.level", "only committed records may be read"),
    ("partition.assignment.strategy", "rebalances are cooperative"),
    ("enable.partition.eof", "bounded runs find the end by it"),
    ("transactional.id", "it is made of group and slot"),
    ("enable.idempotence", "transactions need it"),
    ("acks", "transactions need all of them"),
    ("partitioner", "outputs are partitioned as Java clients do it"),
    ("statistics.interval.ms", "readiness is told by it"),
    ("enable.gapless.guarantee", "it turns recoverable errors into fatal ones"),
];

/// Every property that the engine refuses.
#[must_use]
pub fn refused_properties(properties: &BTreeMap<String, String>) -> Vec<RefusedProperty> {
    let refused = |name: &String| REFUSED.iter().find(|(known, _)| known == name);
    properties
        .keys()
        .filter_map(|name| refused(name).map(|(_, reason)| RefusedProperty { name: name.clone(), reason }))
        .collect()
}

/// How long the broker keeps an open transaction of a worker that died.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes that librdkafka may hold for a consumer before it stops fetching: what bounds memory when the engine is slower
/// than the topic.
const QUEUED_KBYTES_MAX: &str = "131072";

impl KafkaConnection {
    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("statistics.interval.ms", "1000");
        config
    }

    fn finish(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// A consumer that reads committed records as fast as the broker gives them.
    pub(super) fn consumer(&self, group: &str, committed: bool) -> ClientConfig {
        let mut config = self.base();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", if committed { "read_committed" } else { "read_uncommitted" })
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.partition.eof", "true")
            .set("fetch.max.bytes", "67108864")
            .set("max.partition.fetch.bytes", "8388608")
            .set("fetch.wait.max.ms", "50")
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", QUEUED_KBYTES_MAX)
            // TCP has its own checksum; the broker checks the record's when it is written.
            .set("check.crcs", "false")
            .set("socket.keepalive.enable", "true");
        self.finish(config)
    }

    /// A producer; with `transactional_id`, of transactions.
    pub(super) fn producer(&self, transactional_id: Option<&str>) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", QUEUED_KBYTES_MAX)
            // The broker answers CONCURRENT_TRANSACTIONS while it still writes the last one's markers: ask soon again.
            .set("retry.backoff.ms", "5");
        if let Some(id) = transactional_id {
            config
                .set("transactional.id", id)
                .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string());
        }
        self.finish(config)
    }
}
