//! What the user wrote about Kafka -> settings of librdkafka's clients. No network.
//!
//! In every client the engine's defaults come first, then the user's properties, then what the engine depends on.

use std::sync::Arc;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::embedded::EmbeddedBroker;
use super::log::ClientLog;
use super::properties::Properties;
use crate::source::{OnGap, StartAt, Until};

/// Where the brokers are.
#[derive(Debug, Clone)]
pub enum Brokers {
    /// Bootstrap servers, `host:port,host:port`.
    List(String),
    /// An in-process broker.
    Embedded(EmbeddedBroker),
}

impl Brokers {
    /// Bootstrap servers, `host:port,host:port`.
    #[must_use]
    pub fn servers(&self) -> &str {
        match self {
            Self::List(servers) => servers,
            Self::Embedded(broker) => broker.brokers(),
        }
    }
}

/// How to reach the brokers: shared by source, ledger, writer and topic administration.
#[derive(Debug, Clone)]
pub struct KafkaConnection {
    /// Where the brokers are.
    pub brokers: Brokers,
    /// What the brokers' logs and quotas call this client, as `arterial.<pipeline>`; a member of the group adds its slot.
    pub client_id: String,
    /// Further librdkafka properties.
    pub properties: Properties,
}

/// Settings of a [`super::KafkaSource`]. It always reads committed records only.
#[derive(Debug, Clone)]
pub struct KafkaSourceConfig {
    /// How to reach the brokers.
    pub connection: KafkaConnection,
    /// Topics in the user's order; [`crate::position::Partition::topic`] is an index into it. They must exist.
    pub topics: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// The slot of the ledger that commits for this member: while it is in the group, nobody takes that slot for dead.
    pub slot: Option<String>,
    /// `group.instance.id`: a member that comes back under the same name within the session time-out gets its
    /// partitions back without a rebalance.
    pub instance_id: Option<String>,
    /// Where to start a partition without a position.
    pub start_at: StartAt,
    /// What to do about deleted records.
    pub on_gap: OnGap,
    /// How long to read.
    pub until: Until,
}

/// Consumer settings that a user may change.
///
/// librdkafka keeps what it has fetched ahead decompressed, with some 300 bytes around each message, and counts
/// `queued.max.messages.kbytes` per partition; one fetch may overshoot it. Measured with 8 partitions of 134-byte
/// messages: 1 MiB of each keeps the process at 250 MB, 16 MiB and fetches of 8 MiB at 1.2 GB, no faster: what waits
/// long has left the processor's cache when its turn comes. A record larger than a fetch is delivered all the same.
const CONSUMER_DEFAULTS: [(&str, &str); 10] = [
    ("fetch.max.bytes", "67108864"),
    ("max.partition.fetch.bytes", "1048576"),
    ("receive.message.max.bytes", "134217728"),
    ("queued.min.messages", "1000000"),
    ("queued.max.messages.kbytes", "1024"),
    // TCP and TLS have checksums of their own, and the broker checks what it stores.
    ("check.crcs", "false"),
    // A fetch is answered as soon as there is a record. This bounds how long a fetch for quiet partitions holds up
    // a partition whose queue has just been emptied.
    ("fetch.wait.max.ms", "20"),
    // How soon a full queue is looked at again; the default of 1 s would starve a fast reader.
    ("fetch.queue.backoff.ms", "5"),
    ("session.timeout.ms", "10000"),
    // Restoring a large state happens between two polls.
    ("max.poll.interval.ms", "900000"),
];

/// Producer settings that a user may change.
const PRODUCER_DEFAULTS: [(&str, &str); 7] = [
    ("compression.type", "lz4"),
    // Long enough for full batches in bulk; a flush at a commit ends the wait.
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    // What a broker takes in one request at most: how large a record may be is for its topic to say.
    ("message.max.bytes", "104857600"),
    ("batch.num.messages", "50000"),
    ("queue.buffering.max.messages", "1000000"),
    ("queue.buffering.max.kbytes", "262144"),
];

/// The broker answers CONCURRENT_TRANSACTIONS while it still writes the previous markers: at the default of 100 ms
/// each back-to-back commit takes 100 ms, at 5 ms it takes 8 ms (measured).
const TRANSACTION_RETRY_MS: &str = "5";

/// How long an output waits for others where each is seen at once: those of a window come within a millisecond.
const PROMPT_LINGER_MS: &str = "1";

/// How often librdkafka reports its state, ms: how late [`crate::source::Source::connected`] may notice a broker
/// that is back.
const STATISTICS_INTERVAL_MS: &str = "1000";

impl KafkaConnection {
    pub(super) fn log(&self) -> Arc<ClientLog> {
        Arc::new(ClientLog::new(&self.properties))
    }

    fn base(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("socket.nagle.disable", "true");
        config.set("reconnect.backoff.max.ms", "2000");
        for (key, value) in defaults {
            config.set(*key, *value);
        }
        for (key, value) in self.properties.iter() {
            config.set(key, value);
        }
        if self.properties.get("debug").is_some() {
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        config.set("bootstrap.servers", self.brokers.servers());
        config.set("client.id", &self.client_id);
        // Asking for a topic must not make it, whatever the broker's settings.
        config.set("allow.auto.create.topics", "false");
        config
    }

    /// Client id of the group's member that commits by the ledger of this slot.
    pub(super) fn member_id(&self, slot: &str) -> String {
        format!("{}.{slot}", self.client_id)
    }

    /// The slot of a group's member, by its client id; `None` for a member that names none.
    pub(super) fn slot_of_member<'a>(&self, client_id: &'a str) -> Option<&'a str> {
        client_id.strip_prefix(self.client_id.as_str())?.strip_prefix('.')
    }

    /// A consumer that never commits on its own and reads up to `isolation`.
    fn consumer(&self, group: &str, isolation: Isolation) -> ClientConfig {
        let mut config = self.base(&CONSUMER_DEFAULTS);
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error");
        config.set("isolation.level", isolation.name());
        config
    }

    /// A reader outside the group's membership: it asks for committed offsets and reads assigned partitions to
    /// their ends.
    pub(super) fn reader(&self, group: &str, isolation: Isolation) -> ClientConfig {
        let mut config = self.consumer(group, isolation);
        config.set("enable.partition.eof", "true");
        config
    }

    /// A client for metadata and topic administration.
    pub(super) fn admin(&self) -> ClientConfig {
        self.base(&[])
    }

    /// A producer that never reorders and never repeats a record.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.base(&PRODUCER_DEFAULTS);
        config.set("enable.idempotence", "true");
        config.set("partitioner", "murmur2_random");
        config.set("delivery.report.only.error", "true");
        config
    }

    /// A producer whose records are waited for one by one.
    pub(super) fn prompt_producer(&self) -> ClientConfig {
        let mut config = self.producer();
        if self.properties.get("linger.ms").is_none() {
            config.set("linger.ms", PROMPT_LINGER_MS);
        }
        config
    }

    /// A producer whose records become visible together.
    pub(super) fn transactional_producer(&self, id: &str, timeout_ms: u64) -> ClientConfig {
        let mut config = self.producer();
        config.set("transactional.id", id);
        config.set("transaction.timeout.ms", timeout_ms.to_string());
        if self.properties.get("retry.backoff.ms").is_none() {
            config.set("retry.backoff.ms", TRANSACTION_RETRY_MS);
        }
        config
    }
}

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    Committed,
    Uncommitted,
}

impl Isolation {
    fn name(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

impl KafkaSourceConfig {
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = self.connection.consumer(&self.group, Isolation::Committed);
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
        // After an end-of-partition mark librdkafka's batch reader stands one record too far, and a rebalance would
        // make it go on from there. Only a bounded read needs the mark, and the source then seeks back itself.
        config.set("enable.partition.eof", if self.until == Until::Latest { "true" } else { "false" });
        if let Some(slot) = &self.slot {
            config.set("client.id", self.connection.member_id(slot));
        }
        if let Some(id) = &self.instance_id {
            config.set("group.instance.id", id);
        }
        config
    }
}
