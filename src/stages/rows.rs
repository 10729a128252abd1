//! Rows of one batch on their way through the stages, and what becomes of those that leave early.

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// Rows with a type, each knowing which row of the source's batch it came from.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The columns; their schema is the one the stage before declared.
    pub batch: RecordBatch,
    /// Index in the source's batch of each row, ascending: the hidden row id that keeps the accounting exact.
    pub origin: Vec<u32>,
    /// Event time of each row, microseconds since 1970 UTC.
    pub times: Vec<i64>,
}

impl Rows {
    /// The rows that stay, and the origins of the others. `stays`: one per row.
    ///
    /// # Errors
    /// Only where Arrow refuses to filter, which a mask of the right length never causes.
    pub fn split(self, stays: &[bool]) -> Result<(Self, Vec<u32>), ArrowError> {
        if !stays.contains(&false) {
            return Ok((self, Vec::new()));
        }
        let pick = |wanted: bool| (0..stays.len()).filter(move |row| stays[*row] == wanted);
        let gone = pick(false).map(|row| self.origin[row]).collect();
        let kept = Self {
            batch: filter_record_batch(&self.batch, &BooleanArray::from(stays.to_vec()))?,
            origin: pick(true).map(|row| self.origin[row]).collect(),
            times: pick(true).map(|row| self.times[row]).collect(),
        };
        Ok((kept, gone))
    }
}

/// A row that cannot go on, and why. A value, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Index in the source's batch.
    pub origin: u32,
    /// Where it was stopped.
    pub stage: RejectStage,
    /// Stable code for machines.
    pub reason: Reason,
    /// The value and the place, for people.
    pub detail: String,
}

/// The stage that rejected a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectStage {
    /// Bytes to rows.
    Decode,
    /// Cleaning.
    Clean,
}

impl RejectStage {
    /// The stage's name, as in YAML, metrics and headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Clean => "clean",
        }
    }
}

/// Why a row was rejected: the reason code of dead letters and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Not valid JSON, or a record of delimited text with another number of cells than it has columns.
    Malformed,
    /// Bytes after the end of the object or record.
    TrailingData,
    /// The same key twice in one object.
    DuplicateKey,
    /// A value of another type than the schema's.
    WrongType,
    /// A required column is absent or null.
    MissingColumn,
    /// `NaN` or `Infinity` where a number is due.
    NotFinite,
    /// A number that its type cannot hold.
    Overflow,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// Nested deeper than the limit.
    TooDeep,
    /// Longer than the limit.
    TooLarge,
    /// A time that cannot be read in the declared format.
    BadTimestamp,
    /// A time further ahead of its arrival than `future_skew`.
    FutureTimestamp,
    /// A value outside `range`, under `otherwise: dead_letter`.
    OutOfRange,
    /// No match in a lookup table, under `missing: dead_letter`.
    LookupMissing,
    /// An expression of a `sql` step failed for this row.
    SqlFailed,
    /// The row's key is null, too long or cannot be told from others.
    BadKey,
    /// A limit of the state is reached: keys of a partition, readings that `dedupe` remembers.
    LimitReached,
    /// A number beyond 2^62 in magnitude in a column that windows add up.
    Unrepresentable,
    /// Refused by a cleaning step of the embedding program.
    Custom,
}

impl Reason {
    /// The code, as in headers and metric labels.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TrailingData => "trailing_data",
            Self::DuplicateKey => "duplicate_key",
            Self::WrongType => "wrong_type",
            Self::MissingColumn => "missing_column",
            Self::NotFinite => "not_finite",
            Self::Overflow => "overflow",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::BadTimestamp => "bad_timestamp",
            Self::FutureTimestamp => "future_timestamp",
            Self::OutOfRange => "out_of_range",
            Self::LookupMissing => "lookup_missing",
            Self::SqlFailed => "sql_failed",
            Self::BadKey => "bad_key",
            Self::LimitReached => "limit_reached",
            Self::Unrepresentable => "unrepresentable",
            Self::Custom => "custom",
        }
    }
}
