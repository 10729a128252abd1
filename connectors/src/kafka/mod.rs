//! Apache Kafka: a group member as source, transactions as ledger.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | settings, and the properties that are refused |
//! | `source` | [`KafkaSource`]: rebalances answered after the commit, batches from each partition's own queue |
//! | `queue` | the one unsafe module: partition queues of librdkafka |
//! | `ledger` | [`KafkaLedger`]: outputs, state and offsets in one transaction |
//! | `changelog` | the state topic: what was committed of a partition, read back |
//! | `topics` | topics that are created or looked for |
//! | `writer` | [`KafkaWriter`]: a plain producer, for replays |

mod changelog;
pub mod config;
mod context;
mod group;
mod ledger;
mod queue;
mod source;
mod topics;
mod writer;

pub use config::{
    KafkaConnection, KafkaLedgerConfig, KafkaSourceConfig, RefusedProperty, TopicSettings, refused_properties,
};
pub use ledger::KafkaLedger;
pub use source::KafkaSource;
pub use topics::ensure_topic;
pub use writer::KafkaWriter;
