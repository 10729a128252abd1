//! Nothing lost, nothing twice, as numbers: every row that was read is disposed of exactly once.
//!
//! `in = accepted + late + dead_letter + filtered + duplicate` holds per partition at every commit, is part of the
//! state and of the metrics. An undecodable record counts as one row, a tombstone as filtered.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Rows of one partition, or of several added up, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounting {
    /// Rows read.
    pub rows_in: u64,
    /// Rows that reached their window.
    pub accepted: u64,
    /// Rows that came after every window that would hold them had closed.
    pub late: u64,
    /// Rows in the dead-letter topic, by decode.
    pub dead_letter_decode: u64,
    /// Rows in the dead-letter topic, by clean or window.
    pub dead_letter_clean: u64,
    /// Rows that a cleaning step left out, and tombstones.
    pub filtered: u64,
    /// Rows that repeat an earlier one.
    pub duplicate: u64,
    /// Offsets that `on_gap: skip` stepped over; never read, so not part of the identity.
    pub skipped: u64,
}

impl Accounting {
    /// Rows in the dead-letter topic.
    #[must_use]
    pub fn dead_letter(&self) -> u64 {
        self.dead_letter_decode + self.dead_letter_clean
    }

    /// Rows disposed of.
    #[must_use]
    pub fn out(&self) -> u64 {
        self.accepted + self.late + self.dead_letter() + self.filtered + self.duplicate
    }

    /// Whether every row was disposed of exactly once.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.rows_in == self.out()
    }
}

impl AddAssign for Accounting {
    fn add_assign(&mut self, other: Self) {
        self.rows_in += other.rows_in;
        self.accepted += other.accepted;
        self.late += other.late;
        self.dead_letter_decode += other.dead_letter_decode;
        self.dead_letter_clean += other.dead_letter_clean;
        self.filtered += other.filtered;
        self.duplicate += other.duplicate;
        self.skipped += other.skipped;
    }
}
