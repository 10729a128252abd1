//! Words that every layer shares: event time, keys, problems with a place, and how state is written and read.
//! No logic beyond conversions, no I/O, no clock of its own.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;

/// Units of durations in the pipeline file and their microseconds, longest first.
pub const DURATION_UNITS: [(&str, i64); 5] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", MICROS_PER_SECOND), ("ms", 1_000)];

/// A duration in the longest unit that it is a whole number of: `90s`, `15m`, `0s`.
#[must_use]
pub fn duration_text(micros: i64) -> String {
    let fits = |(unit, size): &(&str, i64)| micros % size == 0 && (micros != 0 || *unit == "s");
    let (unit, size) = DURATION_UNITS.into_iter().find(fits).unwrap_or(("us", 1));
    format!("{}{unit}", micros / size)
}

/// The years that RFC 3339 can write, 0000 to 9999 in UTC, as microseconds since 1970.
pub const RFC3339_MICROS: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

/// A point in event time: microseconds since 1970-01-01T00:00:00Z. Never arrival time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Earlier than every reading.
    pub const MIN: Self = Self(i64::MIN);

    /// This time moved later by `micros` (earlier where negative), held inside the representable range.
    #[must_use]
    pub const fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_micros(self.0) {
            Some(time) => write!(formatter, "{}", time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
            None => write!(formatter, "{} us", self.0),
        }
    }
}

/// Index of a window key within its partition, dense from 0; given out by the window stage and saved in the state.
pub type KeyId = u32;

/// Longest key of a row, its columns together, bytes; a row with a longer one is a dead letter. Names of sensors have
/// some tens. A block of state holds up to 4096 keys and has to fit into a record.
pub const KEY_BYTES_MAX: usize = 512;

/// The column that says of a row whether something stands in for a value that was missing.
pub const IMPUTED: &str = "imputed";

/// The wall clock, asked only by `runtime`: tests pass their own.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970 UTC.
    fn now_micros(&self) -> i64;
}

/// A place in the pipeline file: keys and list indices from the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct YamlPath(pub Vec<PathStep>);

/// One step down in the pipeline file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathStep {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl YamlPath {
    /// This place and one key further down.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        let mut path = self.clone();
        path.0.push(PathStep::Key(key.into()));
        path
    }

    /// This place and one list index further down.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(PathStep::Index(index));
        path
    }
}

impl fmt::Display for YamlPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Key(key) if position == 0 => write!(formatter, "{key}")?,
                PathStep::Key(key) => write!(formatter, ".{key}")?,
                PathStep::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// An error of a stage's plan with the place in the pipeline file that causes it.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct At<E: std::error::Error> {
    /// The place.
    pub path: YamlPath,
    /// What is wrong there.
    pub error: E,
    /// What the user should do about it, where that can be said.
    pub hint: Option<String>,
}

/// What a stateful step's state was made with, as texts to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeWith {
    /// The name that the state is written under.
    pub step: String,
    /// What gives the state its meaning: with another, the state is of no use.
    pub meaning: String,
    /// Settings under which the state may go on although they changed.
    pub settings: String,
}

/// Takes the blocks of a stateful step. A block is the unit of change: tens of kB, keyed by (step, block).
pub trait StateWriter {
    /// Writes one block, replacing what it held.
    fn put(&mut self, step: &str, block: u32, value: Vec<u8>);
    /// Deletes one block.
    fn delete(&mut self, step: &str, block: u32);
}

/// Gives back the blocks of a stateful step.
pub trait StateReader {
    /// Blocks of `step` in ascending order.
    fn blocks<'a>(&'a self, step: &str) -> Box<dyn Iterator<Item = (u32, &'a [u8])> + 'a>;
}

/// Which blocks a snapshot writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshot {
    /// Those that changed since the last [`Snapshot::Changed`]: what a commit needs. Marks them clean.
    Changed,
    /// All of them, marks untouched: what a digest needs.
    Full,
}

/// A block that cannot be read back.
#[derive(Debug, thiserror::Error)]
#[error("state of step `{step}`, block {block}: {reason}")]
pub struct StateError {
    /// The stateful step.
    pub step: String,
    /// The block.
    pub block: u32,
    /// What is wrong with it.
    pub reason: String,
}

/// Room to write a block into: most hold some tens of kB.
const BLOCK_ROOM: usize = 64 * 1024;

/// A value as a block's bytes (postcard: little-endian, floats bit for bit, the same on every machine).
///
/// # Panics
/// Where a type cannot say how many elements it has before it writes them (`#[serde(flatten)]`, say): no derived type of
/// numbers, texts, lists and maps is like that, and an empty block in its place would be lost state.
#[must_use]
pub fn to_block<T: Serialize>(value: &T) -> Vec<u8> {
    // A block written into a vector that grows from nothing touches twice its memory; this one is given back at once.
    let room = Vec::with_capacity(BLOCK_ROOM);
    #[expect(
        clippy::expect_used,
        reason = "no state has a type that cannot say its length, and an empty block would be lost state"
    )]
    let mut bytes = postcard::to_extend(value, room).expect("a state's types say their length");
    bytes.shrink_to_fit();
    bytes
}

/// A value as JSON, of a type that JSON holds: texts, numbers, lists, and maps whose keys are texts.
#[must_use]
pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "only a type that JSON does not hold fails, and nothing in its place would hide it"
    )]
    serde_json::to_vec(value).expect("the type is one that JSON holds")
}

/// A block's bytes as a value.
///
/// # Errors
/// [`StateError`] where the bytes are not such a value.
pub fn from_block<T: DeserializeOwned>(step: &str, block: u32, bytes: &[u8]) -> Result<T, StateError> {
    postcard::from_bytes(bytes).map_err(|error| StateError { step: step.to_owned(), block, reason: error.to_string() })
}
