//! Decisions that depend on the wall clock or on the end of a bounded run, as records: the control log. They ride in
//! the same transaction as what they caused, so that a replay can read them instead of taking them again.

use serde::{Deserialize, Serialize};

use crate::vocab::EventTime;

/// Why windows were closed although the watermark had not passed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlushReason {
    /// The partition was silent for `idle_after`.
    Idle,
    /// A bounded run reached the partition's captured end.
    End,
}

/// One decision, anchored to a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// What was decided: windows were flushed.
    pub reason: FlushReason,
    /// Index of the topic.
    pub topic: u16,
    /// The partition's number.
    pub partition: i32,
    /// The decision falls before the row at this offset.
    pub next_offset: i64,
    /// Windows that end at or before this were closed, microseconds since 1970 UTC.
    pub flushed_until: EventTime,
    /// When it was decided by the wall clock, microseconds since 1970 UTC.
    pub decided_at: i64,
}
