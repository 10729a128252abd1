//! Kafka as source, as ledger and as a place to write to (feature `kafka`, librdkafka 2.12).
//!
//! | file | what |
//! |---|---|
//! | `config` | brokers, groups, topics -> settings of librdkafka's clients |
//! | `properties` | the user's own librdkafka properties, checked without network |
//! | `log` | librdkafka's log and errors without secrets; are the brokers there? |
//! | `refusal` | what brokers say when they refuse us, as [`crate::access::AccessError`]; `describe` what they tell of topics and allow |
//! | `source` | [`KafkaSource`]: a member of a consumer group; `group` its rebalances, `start` where it reads from |
//! | `reader` | one partition of it; `native` its queue |
//! | `ledger` | [`KafkaLedger`]: outputs, positions and state, durable together |
//! | `ending` | a commit from its last record to its outcome, while the worker goes on |
//! | `transaction` | how a transaction ends; `producer` the producer under it; `limits` how long each wait may be |
//! | `takeover` | whose slots and partitions are; `slots` which workers live, and how dead ones are shut out |
//! | `changelog` | the records of the state topic; `restore` how they are read back |
//! | `topics` | [`ensure_topic`] |
//! | `checkup` | [`check_up`]: is everything there that a pipeline needs? |
//! | `writer` | [`KafkaWriter`]: one topic in bulk, for `arterial replay` |
//! | `embedded` | [`EmbeddedBroker`]: `brokers: embedded` |
//!
//! # Reading
//!
//! ```no_run
//! # use std::time::Duration;
//! # use arterial_connectors::kafka::*;
//! # use arterial_connectors::source::*;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let connection = KafkaConnection {
//!     brokers: Brokers::List("127.0.0.1:9092".to_owned()),
//!     client_id: "arterial.ring-road".to_owned(),
//!     properties: Properties::default(),
//! };
//! let mut source = KafkaSource::open(KafkaSourceConfig {
//!     connection,
//!     topics: vec!["aarhus.traffic.observations.v1".to_owned()],
//!     group: "arterial.ring-road".to_owned(),
//!     slot: Some("0-0".to_owned()),
//!     instance_id: None,
//!     start_at: StartAt::Earliest,
//!     on_gap: OnGap::Fail,
//!     until: Until::Forever,
//! })?;
//! loop {
//!     match source.poll(Duration::from_millis(100))? {
//!         // Restore first; a position that was committed takes the place of `Start`.
//!         Some(SourceEvent::Assigned(partitions)) => {
//!             for partition in partitions {
//!                 source.seek(partition, SeekTo::Start)?;
//!             }
//!         }
//!         Some(SourceEvent::Batch(batch)) => println!("{} rows", batch.payload.len()),
//!         Some(SourceEvent::Revoked(partitions)) => source.release(&partitions)?, // after a commit
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! A batch may hold no rows: then only the position moved, past the markers of other people's transactions. With
//! [`crate::source::Until::Latest`] the end of a partition is told once after every `seek`.
//!
//! # Limits
//!
//! * Queued records: `queued.max.messages.kbytes`, 1 MiB per partition unless the user says otherwise, plus one
//!   fetch. A partition that is paused or waits for its first `seek` holds no more than that.
//! * Records on their way out: `queue.buffering.max.kbytes`, 256 MiB; [`crate::ledger::Ledger::append`] waits.
//! * A batch: 10,000 rows, about 4 MB.
//! * The committed offset of a restore is asked for by a short-lived client of the ledger, which names the group but
//!   is not a member of it; commits carry the membership of the source ([`crate::source::Source::group_metadata`]).

mod changelog;
mod checkup;
mod config;
mod describe;
mod embedded;
mod ending;
mod group;
mod ledger;
mod limits;
mod log;
mod native;
mod producer;
mod properties;
mod query;
mod reader;
mod rebalance;
mod refusal;
mod restore;
mod slots;
mod source;
mod start;
mod takeover;
mod topics;
mod transaction;
mod writer;

pub use checkup::{Finding, Present, Verdict, check_up};
pub use config::{Brokers, KafkaConnection, KafkaSourceConfig};
pub use embedded::EmbeddedBroker;
pub use ledger::{KafkaLedger, KafkaLedgerConfig, SinkTopic, StateTopic};
pub use limits::TRANSACTION_TIMEOUT;
pub use log::Redactor;
pub use properties::{Properties, PropertyError, check_properties, is_secret};
pub use source::KafkaSource;
pub use topics::{CreateTopic, TopicState, ensure_topic};
pub use writer::KafkaWriter;
