//! When to commit: soon at the head of the topic, less often while catching up, so that a block of state that
//! changes with every window is written once for many windows.

use std::time::{Duration, Instant};

/// Interval between commits.
#[derive(Debug)]
pub(crate) struct CommitPace {
    every_min: Duration,
    every_max: Duration,
    rows_max: u64,
    every: Duration,
    last: Instant,
    rows: u64,
}

impl CommitPace {
    pub(crate) fn new(every_min: Duration, every_max: Duration, rows_max: u64, now: Instant) -> Self {
        Self { every_min, every_max: every_max.max(every_min), rows_max, every: every_min, last: now, rows: 0 }
    }

    /// Commits by rows alone: the same input is cut in the same places, however fast it comes.
    pub(crate) fn by_rows(rows_max: u64, now: Instant) -> Self {
        Self::new(Duration::MAX, Duration::MAX, rows_max, now)
    }

    /// Notes rows that wait for the next commit.
    pub(crate) fn add_rows(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// Whether a commit is due.
    pub(crate) fn due(&self, now: Instant) -> bool {
        self.rows >= self.rows_max || now.duration_since(self.last) >= self.every
    }

    /// How long until the next commit is due.
    pub(crate) fn remaining(&self, now: Instant) -> Duration {
        self.every.saturating_sub(now.duration_since(self.last))
    }

    /// Starts the next interval. Twice as long while more rows wait than the last one held, else the shortest.
    pub(crate) fn committed(&mut self, now: Instant, lag_rows: u64) {
        let catching_up = self.rows > 0 && lag_rows >= self.rows;
        self.every = if catching_up { self.every.saturating_mul(2).min(self.every_max) } else { self.every_min };
        self.last = now;
        self.rows = 0;
    }
}
