//! A broker inside the process, with the semantics of Kafka that matter: topics with partitions, transactions that
//! become visible whole or never, read-committed readers, groups with cooperative rebalances, slots that fence.
//!
//! For tests, fault injection, `arterial test` and embedding. Deliberately absent: disks, threads, clocks. What is
//! in it is gone with the last handle, so it can promise exactly once only for as long as the process lives.
//!
//! | module | what |
//! |---|---|
//! | [`broker`] | the handle: create topics, write, look at what was committed, steer groups |
//! | [`source`] | [`MemorySource`]: a reader, alone or as a member of a group |
//! | [`ledger`] | [`MemoryLedger`]: outputs, positions and state in one transaction |
//! | [`faults`] | which commit, begin or append goes wrong, and how |
//! | [`batching`] | how rows are cut into batches, seeded for property tests |
//! | [`feed`] | [`MemoryFeed`]: a bounded live input for embedders; a full one makes its sender wait |

pub mod batching;
pub mod broker;
pub mod faults;
pub mod feed;
mod group;
pub mod ledger;
mod log;
pub mod source;

pub use batching::Batching;
pub use broker::{MemoryBroker, MemoryError, MemoryRecord};
pub use faults::{CommitFault, Faults, Operation};
pub use feed::{FeedConfig, FeedError, MemoryFeed};
pub use ledger::{MemoryLedger, MemoryLedgerConfig};
pub use source::{Membership, MemorySource, MemorySourceConfig};
