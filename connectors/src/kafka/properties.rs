//! librdkafka properties that the user wrote -> checked properties. Refuses what the engine depends on, never
//! shows a secret. Touches no network.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

/// Properties that passed [`check_properties`]. Their secrets do not show in `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Checks and takes the properties.
    ///
    /// # Errors
    /// Every property that cannot be used: remove or correct it.
    pub fn checked(properties: BTreeMap<String, String>) -> Result<Self, Vec<PropertyError>> {
        let errors = check_properties(&properties);
        if errors.is_empty() { Ok(Self(properties)) } else { Err(errors) }
    }

    /// Names and values in order of name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of one property.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_map()
            .entries(self.iter().map(|(key, value)| (key, if is_secret(key) { "[secret]" } else { value })))
            .finish()
    }
}

/// Why a property cannot be used. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// The engine depends on it.
    #[error("property `{key}` cannot be set: {reason}")]
    Denied {
        /// The property.
        key: String,
        /// What to use instead, or why not.
        reason: &'static str,
    },
    /// librdkafka has no such property.
    #[error("property `{key}` is not known to librdkafka")]
    Unknown {
        /// The property.
        key: String,
    },
    /// librdkafka does not accept its value.
    #[error("property `{key}`: {reason}")]
    Invalid {
        /// The property.
        key: String,
        /// What is wrong with the value; without the value where it is a secret.
        reason: String,
    },
}

impl PropertyError {
    /// The property.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Denied { key, .. } | Self::Unknown { key } | Self::Invalid { key, .. } => key,
        }
    }
}

/// Everything that is wrong with these properties; empty where they can be used. Touches no network.
#[must_use]
pub fn check_properties(properties: &BTreeMap<String, String>) -> Vec<PropertyError> {
    properties.iter().filter_map(|(key, value)| check_property(key, value).err()).collect()
}

fn check_property(key: &str, value: &str) -> Result<(), PropertyError> {
    if let Some((_, reason)) = DENIED.iter().find(|(denied, _)| *denied == key) {
        return Err(PropertyError::Denied { key: key.to_owned(), reason });
    }
    match ClientConfig::new().set(key, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err(PropertyError::Unknown { key: key.to_owned() })
        }
        // librdkafka's text quotes the value.
        Err(_) if is_secret(key) => {
            Err(PropertyError::Invalid { key: key.to_owned(), reason: "the value is not accepted".to_owned() })
        }
        Err(KafkaError::ClientConfig(_, reason, ..)) => Err(PropertyError::Invalid { key: key.to_owned(), reason }),
        Err(other) => Err(PropertyError::Invalid { key: key.to_owned(), reason: other.to_string() }),
    }
}

/// Whether the value of this property must never be shown.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    const PARTS: [&str; 5] = ["password", "passphrase", "secret", "private", "token"];
    const KEYS: [&str; 4] = ["ssl.key.pem", "ssl.key", "ssl_key", "sasl.oauthbearer.config"];
    // An end point is no secret, and an operator needs to see it.
    !key.ends_with(".url") && (KEYS.contains(&key) || PARTS.iter().any(|part| key.contains(part)))
}

const BROKERS: &str = "write the addresses under `brokers`";
const COMMITS: &str = "positions are committed together with outputs and state";
const START: &str = "`start_at` and `on_gap` decide where to start";
const GROUP: &str = "workers share partitions by the cooperative-sticky protocol";
const ORDER: &str = "exactly-once writing depends on it";
const KEYS: &str = "output keys are placed by murmur2, as Java clients do";
const CODE: &str = "a pipeline file must not load code or run commands";
const INTERNAL: &str = "the connector uses it itself";

/// What the engine depends on, and what would let a pipeline file run code.
const DENIED: &[(&str, &str)] = &[
    ("bootstrap.servers", BROKERS),
    ("metadata.broker.list", BROKERS),
    ("test.mock.num.brokers", "write `brokers: embedded`"),
    ("client.id", "it is derived from the pipeline and the worker"),
    ("group.id", "write it under `group`"),
    ("group.instance.id", "`runtime.static_membership` sets it to the worker's slot"),
    ("group.protocol", GROUP),
    ("group.protocol.type", GROUP),
    ("group.remote.assignor", GROUP),
    ("partition.assignment.strategy", GROUP),
    ("enable.auto.commit", COMMITS),
    ("auto.commit.enable", COMMITS),
    ("auto.commit.interval.ms", COMMITS),
    ("enable.auto.offset.store", COMMITS),
    ("offset.store.method", COMMITS),
    ("offset.store.path", COMMITS),
    ("offset.store.sync.interval.ms", COMMITS),
    ("auto.offset.reset", START),
    ("isolation.level", "only committed records are read"),
    ("enable.partition.eof", INTERNAL),
    ("allow.auto.create.topics", "input topics are never created; output topics by `create:`"),
    ("transactional.id", "it is derived from the group and the worker's slot"),
    ("transaction.timeout.ms", "it is derived from the longest time between commits"),
    ("enable.idempotence", ORDER),
    ("enable.gapless.guarantee", ORDER),
    ("acks", ORDER),
    ("request.required.acks", ORDER),
    ("max.in.flight", ORDER),
    ("max.in.flight.requests.per.connection", ORDER),
    ("message.send.max.retries", ORDER),
    ("retries", ORDER),
    ("message.timeout.ms", ORDER),
    ("delivery.timeout.ms", ORDER),
    ("delivery.report.only.error", INTERNAL),
    ("queuing.strategy", ORDER),
    ("partitioner", KEYS),
    ("statistics.interval.ms", INTERNAL),
    ("log.queue", INTERNAL),
    ("log.thread.name", INTERNAL),
    ("enabled_events", INTERNAL),
    ("produce.offset.report", INTERNAL),
    ("plugin.library.paths", CODE),
    ("ssl.engine.location", CODE),
    ("ssl.providers", CODE),
    ("sasl.kerberos.kinit.cmd", CODE),
];
