//! The one place where outputs, positions and state become durable together.
//!
//! A worker calls, in this order and for ever: [`Ledger::begin`], any number of [`Ledger::append`],
//! [`Ledger::commit`]; or [`Ledger::abort`] instead of the commit. [`Ledger::restore`] comes first and after every
//! outcome that is not [`CommitOutcome::Committed`]. A ledger sees bytes only, never the engine's types.

use std::time::Duration;

use crate::access::AccessError;
use crate::folder::FolderError;
use crate::payload::Header;
use crate::position::{Partition, Position};
use crate::source::GroupMetadata;

/// What is durable of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The partition.
    pub partition: Partition,
    /// The committed offset; `None` where nothing was ever committed.
    pub next_offset: Option<i64>,
    /// State records, the newest of each key, in ascending key order; deleted keys are absent.
    pub state: Vec<(Vec<u8>, Vec<u8>)>,
}

/// One change to a partition's durable state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRecord {
    /// The partition whose state it is.
    pub partition: Partition,
    /// Compaction key.
    pub key: Vec<u8>,
    /// New value; `None` deletes the key.
    pub value: Option<Vec<u8>>,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Durable: everything or, after [`Ledger::restore`], visibly everything.
    Committed,
    /// Nothing of it is durable. Throw the working state away, restore, rewind.
    Aborted,
    /// Nobody knows. The ledger has already shut the old transaction out (new producer epoch): restore and see.
    Unknown,
    /// Another instance has taken this worker's place. Leave without touching anything.
    Fenced,
}

/// What a commit makes durable beside the appended records.
pub struct Commit<'a> {
    /// Next offset of every partition that moved.
    pub positions: &'a [Position],
    /// State changes since the last commit, made as they are taken: all of them at once may be more than fits the memory twice.
    /// What a ledger leaves is made and dropped behind it.
    pub state: &'a mut dyn Iterator<Item = StateRecord>,
    /// Group membership of the reader the positions belong to, where it has one.
    pub group: Option<&'a GroupMetadata>,
}

/// Output records of one or more batches, in one buffer.
#[derive(Debug, Clone, Default)]
pub struct Records {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Bytes of all headers, names and values.
    header_bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    sink: u16,
    start: usize,
    key_end: usize,
    value_end: usize,
    has_key: bool,
    has_value: bool,
    headers: Vec<Header>,
    partition: Option<i32>,
}

/// One output record, borrowed from [`Records`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Index of the sink in the order that the ledger was opened with.
    pub sink: u16,
    /// Key; decides the output partition by murmur2, so that Java consumers agree.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in order.
    pub headers: &'a [Header],
    /// The output partition, where the key does not decide it.
    pub partition: Option<i32>,
}

impl Records {
    /// Appends one record.
    pub fn push(&mut self, sink: u16, key: Option<&[u8]>, value: Option<&[u8]>, headers: Vec<Header>) {
        self.header_bytes +=
            headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.unwrap_or_default());
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let value_end = self.bytes.len();
        self.entries.push(Entry {
            sink,
            start,
            key_end,
            value_end,
            has_key: key.is_some(),
            has_value: value.is_some(),
            headers,
            partition: None,
        });
    }

    /// Gives the record pushed last a partition, whatever its key.
    pub fn set_partition(&mut self, partition: i32) {
        if let Some(last) = self.entries.last_mut() {
            last.partition = Some(partition);
        }
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the records: keys, values, headers, and what keeps them apart.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.header_bytes + self.entries.len() * size_of::<Entry>()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The records in the order they were pushed.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| Record {
            sink: entry.sink,
            key: entry.has_key.then(|| &self.bytes[entry.start..entry.key_end]),
            value: entry.has_value.then(|| &self.bytes[entry.key_end..entry.value_end]),
            headers: &entry.headers,
            partition: entry.partition,
        })
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.header_bytes = 0;
    }
}

/// Outputs, positions and state, durable together.
pub trait Ledger: Send {
    /// Everything durable of these partitions, and the right to write for them: an earlier writer is shut out.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] where state exists that cannot be understood, [`LedgerError::Mismatch`] where
    /// state and offsets disagree under exactly once; transient failures are retried inside.
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError>;

    /// Opens the next transaction.
    ///
    /// # Errors
    /// [`LedgerError::Fenced`], or what the client reports.
    fn begin(&mut self) -> Result<(), LedgerError>;

    /// Adds records to the open transaction. Returns before they are durable.
    ///
    /// # Errors
    /// [`LedgerError::TooLarge`] names the record; others as [`Ledger::begin`].
    fn append(&mut self, records: &Records) -> Result<(), LedgerError>;

    /// Ends the open transaction.
    ///
    /// # Errors
    /// Only what leaves the ledger unusable; every ordinary ending is a [`CommitOutcome`].
    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError>;

    /// As [`Ledger::commit`], but may come back before the ending is known: `None`. Until [`Ledger::outcome`] has told it,
    /// no other call is allowed but, where the ledger [`Ledger::overlaps`], those of the next transaction up to its commit.
    /// A ledger whose commits leave nothing to wait for need not know of this.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    fn commit_soon(&mut self, commit: Commit<'_>) -> Result<Option<CommitOutcome>, LedgerError> {
        self.commit(commit).map(Some)
    }

    /// How the commit in flight has ended; `None` where that is not known within `patience`.
    ///
    /// # Errors
    /// As [`Ledger::commit`], and where no commit is in flight.
    fn outcome(&mut self, _patience: Duration) -> Result<Option<CommitOutcome>, LedgerError> {
        Err(misuse("waiting for a commit", "none is in flight"))
    }

    /// Whether what was appended has gone so far that a commit need not wait for it; false where `patience` has passed first. A
    /// commit waits for it in any case, and in one piece: this is for who has to look up meanwhile.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    fn flushed(&mut self, _patience: Duration) -> Result<bool, LedgerError> {
        Ok(true)
    }

    /// Whether the next transaction may begin while a commit is in flight.
    fn overlaps(&self) -> bool {
        false
    }

    /// Drops the open transaction. Nothing of it is ever visible to a reader of committed records.
    ///
    /// # Errors
    /// [`LedgerError::Fenced`], or what the client reports.
    fn abort(&mut self) -> Result<(), LedgerError>;
}

/// Why a ledger could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another instance with the same slot has started.
    #[error("worker slot `{slot}` was taken over by another instance")]
    Fenced {
        /// The slot.
        slot: String,
    },
    /// A record is larger than the broker accepts.
    #[error("a record of {bytes} bytes exceeds the limit of {limit} bytes of topic `{topic}`")]
    TooLarge {
        /// Name of the sink's topic.
        topic: String,
        /// Size of the record.
        bytes: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// State exists but cannot be read.
    #[error("state of partition {} in `{place}` is unreadable: {reason}", .partition.number)]
    Unreadable {
        /// The partition.
        partition: Partition,
        /// Topic or folder.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// State and committed offset disagree.
    #[error("partition {}: state in `{place}` ends at offset {state:?} but the group committed {committed:?}", .partition.number)]
    Mismatch {
        /// The partition.
        partition: Partition,
        /// Topic or folder of the state.
        place: String,
        /// Next offset in the state.
        state: Option<i64>,
        /// Committed next offset.
        committed: Option<i64>,
    },
    /// A transaction that its writer has ended, or will never end, is open all the same: committed records after it
    /// cannot be read. Brokers that were killed have been seen to forget one.
    #[error("a transaction in partition {partition} of `{topic}` stays open at offset {offset}")]
    OpenTransaction {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Its first offset.
        offset: i64,
    },
    /// An output or state topic is missing or has the wrong shape.
    #[error("topic `{topic}`: {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong.
        reason: String,
    },
    /// The broker deletes records of the state topic that no newer one replaces.
    #[error(
        "state topic `{topic}` has `cleanup.policy={policy}`: blocks of state vanish from it while they are needed"
    )]
    StateDeleted {
        /// The topic.
        topic: String,
        /// Its policy.
        policy: String,
    },
    /// An input topic was deleted and made again: the offsets in the state mean other records now.
    #[error(
        "topic `{topic}` was deleted and made again: its id is {found}, but the state of partition {} in `{place}` was made from {stored}",
        .partition.number
    )]
    Remade {
        /// The topic.
        topic: String,
        /// The partition.
        partition: Partition,
        /// Topic of the state.
        place: String,
        /// Id of the topic that the state was made from.
        stored: String,
        /// Id of the topic that has this name now.
        found: String,
    },
    /// The brokers do not let us in, or not do what we ask.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The folder of a folder ledger cannot be used, or the disk refuses.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What was committed could not be handed over: its reader takes nothing.
    #[error("output `{output}` is full and was not read for {} s: what it still was to get of the last commit is lost to it", .waited.as_secs())]
    Unread {
        /// Name of the sink.
        output: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The client library reported an error.
    #[error("{operation} failed: {reason}")]
    Client {
        /// What was being done.
        operation: &'static str,
        /// The library's words.
        reason: String,
        /// Whether aborting and trying again may help.
        transient: bool,
    },
}

impl LedgerError {
    /// Whether aborting, restoring and trying again may help.
    #[must_use]
    pub fn transient(&self) -> bool {
        matches!(self, Self::Client { transient: true, .. } | Self::OpenTransaction { .. })
    }

    /// What the operator should do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "two processes use the same `instance`: give each its own",
            Self::TooLarge { .. } => "raise `max.message.bytes` of the topic and start again: nothing is lost",
            Self::Unreadable { .. } => {
                "run the version that wrote it, or delete it and the group's offsets to learn anew from the input"
            }
            Self::Mismatch { .. } => {
                "the group's offsets have expired or were changed by hand: set them to where the state ends, or delete the state topic and the offsets to learn anew"
            }
            Self::OpenTransaction { .. } => {
                "brokers end it after `transaction.timeout.ms`; if not, find it with `kafka-transactions.sh find-hanging` and end it with `abort`"
            }
            Self::Topic { .. } => {
                "create or correct the topic, or let Arterial create it: `create:` under the sink, `--create` of `replay`"
            }
            Self::StateDeleted { .. } => {
                "set `cleanup.policy=compact` on it; where records are gone already, delete it and the group's offsets to learn anew"
            }
            Self::Remade { .. } => {
                "start with `--reset all` to forget that state and to read the new topic from where `start_at` says"
            }
            Self::Access(error) => error.hint(),
            Self::Folder(error) => error.hint(),
            Self::Unread { .. } => {
                "read each output that was taken until it ends, on a task or thread of its own, before the end of the run is waited for; or drop it"
            }
            Self::Client { .. } => {
                "check that `brokers` names the right address and that a broker answers there; its log says more"
            }
        }
    }
}

/// A call out of turn: a defect of the caller.
pub(crate) fn misuse(operation: &'static str, reason: &str) -> LedgerError {
    LedgerError::Client { operation, reason: reason.to_owned(), transient: false }
}
