//! What every source offers: events in, positions out. A worker drives exactly one source from one thread.
//!
//! Contract, checked by the conformance suite for every source:
//! * rows of a partition come in offset order, each exactly once between two `seek`s;
//! * after `Assigned` nothing of a partition is delivered before the worker has called [`Source::seek`] for it;
//! * after `Revoked` nothing more of those partitions is delivered, and the source does not give them up until
//!   [`Source::release`] is called: the worker commits first;
//! * after `Lost` the partitions are somebody else's already: the worker aborts;
//! * `End` comes once per partition and `seek`, after the last row below the captured end, and only when the source
//!   was opened with [`Until::Latest`] or has an end by itself (a file, a simulation of given length). A worker that
//!   rewinds has to hear again when it is through.

use std::any::Any;
use std::time::Duration;

use crate::access::AccessError;
use crate::payload::Payload;
use crate::position::Partition;

/// One thing that happened at a source.
#[derive(Debug)]
pub enum SourceEvent {
    /// Partitions this reader now owns. It reads none of them until told where from.
    Assigned(Vec<Partition>),
    /// Rows of one partition.
    Batch(SourceBatch),
    /// Partitions that are to be handed over: commit, then [`Source::release`].
    Revoked(Vec<Partition>),
    /// Partitions that were taken away without notice: abort, no commit.
    Lost(Vec<Partition>),
    /// The partition was read up to the end captured when the source was opened.
    End(Partition),
}

/// Rows of one partition, in offset order.
#[derive(Debug)]
pub struct SourceBatch {
    /// The partition.
    pub partition: Partition,
    /// The rows.
    pub payload: Payload,
    /// The offset to commit once every row of this batch is disposed of. It may lie beyond the last row's offset
    /// plus one: transaction markers and compacted-away offsets have no row.
    pub next_offset: i64,
    /// Rows that `on_gap: skip` stepped over just before this batch (retention had deleted them).
    pub skipped: u64,
}

impl SourceBatch {
    /// The rows below an offset, and the others.
    #[must_use]
    pub fn split_at(self, offset: i64) -> (Self, Self) {
        let (partition, next_offset, skipped) = (self.partition, self.next_offset, self.skipped);
        let (before, after) = self.payload.split_at(offset);
        let before = Self { partition, payload: before, next_offset: offset.min(next_offset), skipped };
        (before, Self { partition, payload: after, next_offset, skipped: 0 })
    }
}

/// Where to start a partition that has no committed position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// The oldest record that the topic still holds.
    Earliest,
    /// Whatever arrives from now on.
    Latest,
    /// The first record whose broker timestamp is at or after this, milliseconds since 1970 UTC.
    Timestamp(i64),
}

/// What to do about records that retention deleted before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// Report [`SourceError::Gap`].
    #[default]
    Fail,
    /// Go on from the oldest record left, and tell how many were stepped over.
    Skip,
}

/// Where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekTo {
    /// This offset exactly; an offset the topic no longer holds is treated as `on_gap` says.
    Offset(i64),
    /// No position is known: start where the source's `start_at` says.
    Start,
}

/// How long to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// For ever.
    Forever,
    /// Up to the ends that the partitions have when they are first assigned.
    Latest,
}

/// What a reader tells its ledger at a commit: of a consumer group's, the proof of membership that a transaction needs; of
/// files, which of them the positions are in. Opaque outside its connector.
pub struct GroupMetadata(pub(crate) Box<dyn Any + Send>);

impl GroupMetadata {
    /// Wraps what the matching ledger will unwrap.
    #[must_use]
    pub fn new(inner: impl Any + Send) -> Self {
        Self(Box::new(inner))
    }

    /// What the connector put in, where the type is the one it expects.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl std::fmt::Debug for GroupMetadata {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("GroupMetadata")
    }
}

/// A reader of partitions. See the module's contract.
pub trait Source: Send {
    /// The next event, or `None` when `timeout` passed without one.
    ///
    /// # Errors
    /// A transient failure (a broker that is away) is retried inside and shows in [`Source::connected`]; what comes
    /// out here ends the run unless [`SourceError::transient`] says otherwise.
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError>;

    /// Where `start_at` puts the start of an owned partition that nobody has committed a position of. Asked later it may
    /// be another offset, so whoever owns the partition makes the answer durable before the first row is delivered.
    /// `None` where it is always the same, as in files.
    ///
    /// # Errors
    /// As [`Source::poll`].
    fn start_of(&mut self, _partition: Partition) -> Result<Option<i64>, SourceError> {
        Ok(None)
    }

    /// Starts or restarts reading of a partition that this reader owns.
    ///
    /// # Errors
    /// [`SourceError::NotAssigned`], [`SourceError::Gap`] with `on_gap: fail`.
    fn seek(&mut self, partition: Partition, to: SeekTo) -> Result<(), SourceError>;

    /// Gives up partitions after `Revoked`. A source that is never revoked accepts and ignores it.
    ///
    /// # Errors
    /// As [`Source::poll`].
    fn release(&mut self, partitions: &[Partition]) -> Result<(), SourceError>;

    /// Stops delivery of these partitions until [`Source::resume`]; nothing is lost or read twice.
    ///
    /// # Errors
    /// As [`Source::poll`].
    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError>;

    /// Goes on with paused partitions.
    ///
    /// # Errors
    /// As [`Source::poll`].
    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError>;

    /// Rows between what was delivered and the end of each owned partition, as far as the source knows.
    fn lag_rows(&self) -> Vec<(Partition, u64)>;

    /// Partitions of each topic, in the order of `topics`: what a plan's state is keyed to.
    ///
    /// # Errors
    /// [`SourceError::TopicMissing`], or as [`Source::poll`].
    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError>;

    /// Whether every partition that this reader does not own was read by others up to the end it had when first looked
    /// at, and committed. A bounded run is over only then: a member that died holds its partitions until the group
    /// notices, and its rows are still to be read. A source without groups owns everything.
    ///
    /// # Errors
    /// As [`Source::poll`].
    fn others_finished(&mut self) -> Result<bool, SourceError> {
        Ok(true)
    }

    /// What the ledger has to know of this reader to commit its offsets; `None` where that is nothing. Ask afresh before
    /// every commit.
    fn group_metadata(&self) -> Option<GroupMetadata>;

    /// Whether the far side answers at the moment.
    ///
    /// # Errors
    /// What it said last, where it does not answer; reading goes on by itself when it is back.
    fn connected(&self) -> Result<(), String>;
}

/// Why a source could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A topic does not exist. Input topics are never created by Arterial.
    #[error("topic `{topic}` does not exist on {brokers}")]
    TopicMissing {
        /// The topic.
        topic: String,
        /// The brokers asked.
        brokers: String,
    },
    /// Records between the committed offset and the oldest one kept are gone.
    #[error("partition {partition} of `{topic}`: offset {wanted} is gone, the topic now starts at {earliest}")]
    Gap {
        /// The topic.
        topic: String,
        /// The partition's number.
        partition: i32,
        /// The offset that was asked for.
        wanted: i64,
        /// The oldest offset that is left.
        earliest: i64,
    },
    /// A call named a partition that this reader does not own.
    #[error("partition {} of topic {} is not assigned to this reader", .0.number, .0.topic)]
    NotAssigned(Partition),
    /// The source's settings cannot work.
    #[error("{what}: {reason}")]
    Config {
        /// The setting.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The client library reported an error it cannot recover from.
    #[error("{operation} failed: {reason}")]
    Client {
        /// What was being done.
        operation: &'static str,
        /// The library's words.
        reason: String,
        /// Whether another try may succeed.
        transient: bool,
    },
    /// The brokers do not let us in, or not do what we ask.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A file lacks a column.
    #[error("`{path}`: has no column `{name}`, only: {}", .others.join(", "))]
    NoColumn {
        /// The file.
        path: String,
        /// The column that was asked for.
        name: String,
        /// The columns that it has.
        others: Vec<String>,
    },
    /// Files have fewer rows than were read of them before.
    #[error(
        "`{path}` got shorter: partition {partition} was read up to row {position}, and has {rows} rows now; what was made \
         of the rows that are gone stays"
    )]
    Shorter {
        /// The file, or the pattern.
        path: String,
        /// The partition's number.
        partition: i32,
        /// Rows of it that were read.
        position: i64,
        /// Rows that it has.
        rows: i64,
    },
    /// A file could not be read.
    #[error("`{path}`: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl SourceError {
    /// Whether another try may succeed without anybody's doing.
    #[must_use]
    pub fn transient(&self) -> bool {
        matches!(self, Self::Client { transient: true, .. })
    }

    /// What the operator should do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TopicMissing { .. } => "create the topic, or correct `topics:`; input topics are never created",
            Self::Gap { .. } => {
                "set `on_gap: skip` to go on from the oldest record left, or lengthen the topic's retention"
            }
            Self::NotAssigned(_) => "this is a defect of the engine: please report it",
            Self::Config { .. } => "correct the source's settings",
            Self::Client { .. } => {
                "check that `brokers` names the right address and that a broker answers there; its log says more"
            }
            Self::Access(error) => error.hint(),
            Self::NoColumn { .. } => {
                "correct the name where the pipeline names the file's columns, as under `paths:` or `csv:`; where several columns \
                 are read as one, correct `delimiter:`; where other files of the pattern have the column, give it its name in the \
                 header of this one too"
            }
            Self::Shorter { .. } => {
                "put the rows back; or read what is there from its start, with the outputs and the state of before moved \
                 away (`--reset all` forgets what was learned, not how far was read)"
            }
            Self::File { .. } => "check that the path exists, is readable and is a complete file of its format",
        }
    }
}
