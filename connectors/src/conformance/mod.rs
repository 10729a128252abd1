//! What every source and every ledger has to keep, as checks that any author of one can run: give a harness, get
//! the names of the checks that passed, or the first that failed and why. Nothing here panics.
//!
//! A check that a connector cannot be put through (a file is never revoked) is left out, and its name is absent from
//! the answer: a test that expects all names notices.

mod ledger;
mod reader;
mod source;

use std::time::Duration;

use crate::ledger::Ledger;
use crate::payload::Header;
use crate::position::Partition;
use crate::source::{GroupMetadata, Source, Until};

pub use ledger::{LEDGER_CHECKS, check_ledger};
pub use source::{SOURCE_CHECKS, check_source};

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{check}: {reason}")]
pub struct Failure {
    /// The check's name: what should hold, as a sentence.
    pub check: &'static str,
    /// What happened instead.
    pub reason: String,
}

/// How long to wait for what has to come, and how long to look whether something comes that must not.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Time-out of one poll.
    pub poll: Duration,
    /// Polls without any event before a check gives up.
    pub polls_max: u32,
    /// Polls that have to stay without a row where nothing may come.
    pub quiet_polls: u32,
}

impl Default for Patience {
    /// For something at the other end of a network: 15 s, and 0.5 s of quiet.
    fn default() -> Self {
        Self { poll: Duration::from_millis(100), polls_max: 150, quiet_polls: 5 }
    }
}

/// Gives the suite a topic with rows, and readers of it. Errors are the harness's own and end the check.
pub trait SourceHarness {
    /// Provides a topic, fresh for each check, of `partitions()` partitions and at least 30 rows in each.
    ///
    /// # Errors
    /// In words.
    fn fill(&mut self) -> Result<(), String>;

    /// Partitions of the topic, at least 2.
    fn partitions(&self) -> Vec<Partition>;

    /// Rows of the whole topic.
    fn rows_total(&self) -> usize;

    /// A new reader of the topic that is to be assigned all its partitions. Readers opened before are dropped already.
    ///
    /// # Errors
    /// In words.
    fn open(&mut self, until: Until) -> Result<Box<dyn Source>, String>;

    /// Appends some rows to every partition while readers are open; `false` where the source cannot grow.
    ///
    /// # Errors
    /// In words.
    fn grow(&mut self) -> Result<bool, String> {
        Ok(false)
    }

    /// Asks the open reader to hand some of its partitions over, not all of them; `false` where that never happens to
    /// the source.
    ///
    /// # Errors
    /// In words.
    fn revoke(&mut self) -> Result<bool, String> {
        Ok(false)
    }

    /// How long to wait.
    fn patience(&self) -> Patience {
        Patience::default()
    }
}

/// An output record as a foreign reader of committed records sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommittedRecord {
    /// Key, `None` where it has none.
    pub key: Option<Vec<u8>>,
    /// Value, `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<Header>,
}

/// Gives the suite ledgers of one group, and a foreign reader's view of what they wrote.
pub trait LedgerHarness {
    /// Provides, fresh for each check, a group without offsets and state, and two empty sinks.
    ///
    /// # Errors
    /// In words.
    fn reset(&mut self) -> Result<(), String>;

    /// Input partitions whose positions and state are committed, at least 2.
    fn partitions(&self) -> Vec<Partition>;

    /// A new ledger for a worker slot; one opened before for the same slot may still be there.
    ///
    /// # Errors
    /// In words.
    fn open(&mut self, slot: &str) -> Result<Box<dyn Ledger>, String>;

    /// A ledger whose next commit ends in `Unknown`, applied or not; `None` where that cannot be brought about.
    ///
    /// # Errors
    /// In words.
    fn open_unknown(&mut self, slot: &str, applied: bool) -> Result<Option<Box<dyn Ledger>>, String> {
        let _ = (slot, applied);
        Ok(None)
    }

    /// Whether what is committed can be looked at afterwards. A ledger that keeps nothing is put through the checks that
    /// look for nothing, and through no others.
    fn keeps(&self) -> bool {
        true
    }

    /// Committed records of a sink; those of one key in the order they were written.
    ///
    /// # Errors
    /// In words.
    fn committed(&mut self, sink: u16) -> Result<Vec<CommittedRecord>, String>;

    /// The group's committed offset.
    ///
    /// # Errors
    /// In words.
    fn committed_offset(&mut self, partition: Partition) -> Result<Option<i64>, String>;

    /// Moves the group's committed offset behind the ledger's back; `false` where that cannot be done.
    ///
    /// # Errors
    /// In words.
    fn set_committed_offset(&mut self, partition: Partition, offset: i64) -> Result<bool, String> {
        let _ = (partition, offset);
        Ok(false)
    }

    /// Membership to commit offsets with, where the ledger needs one.
    fn group_metadata(&mut self) -> Option<GroupMetadata> {
        None
    }
}
