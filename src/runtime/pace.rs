//! When to commit: soon at the head of the topic, sooner still where outputs wait to be seen, less often while catching
//! up, so that a block of state that changes with every window is written once for many windows.

use std::time::{Duration, Instant};

/// Where outputs wait at the head of the topic, a commit comes after this part of the interval.
const HASTE: u32 = 2;

/// How long the first of them waits for others, a part of the interval: windows of several partitions close together.
const GATHERING: u32 = 10;

/// Interval between commits.
#[derive(Debug)]
pub(crate) struct CommitPace {
    every_min: Duration,
    every_max: Duration,
    rows_max: u64,
    every: Duration,
    /// Whether more rows waited at the last commit than one interval gives.
    catching_up: bool,
    last: Instant,
    rows: u64,
    /// Since when outputs wait.
    outputs_since: Option<Instant>,
}

impl CommitPace {
    pub(crate) fn new(every_min: Duration, every_max: Duration, rows_max: u64, now: Instant) -> Self {
        Self {
            every_min,
            every_max: every_max.max(every_min),
            rows_max,
            every: every_min,
            catching_up: true,
            last: now,
            rows: 0,
            outputs_since: None,
        }
    }

    /// Commits by rows alone: the same input is cut in the same places, however fast it comes.
    pub(crate) fn by_rows(rows_max: u64, now: Instant) -> Self {
        Self::new(Duration::MAX, Duration::MAX, rows_max, now)
    }

    /// Notes rows that wait for the next commit.
    pub(crate) fn add_rows(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// Notes outputs that wait for the next commit.
    pub(crate) fn add_outputs(&mut self, now: Instant) {
        self.outputs_since.get_or_insert(now);
    }

    /// Whether outputs wait for the next commit.
    pub(crate) fn outputs_wait(&self) -> bool {
        self.outputs_since.is_some()
    }

    /// Whether a commit is due.
    pub(crate) fn due(&self, now: Instant) -> bool {
        self.rows >= self.rows_max || self.remaining(now).is_zero()
    }

    /// Whether a commit that is due has to be begun, although it would have to wait for something first.
    pub(crate) fn overdue(&self, now: Instant) -> bool {
        self.rows >= self.rows_max || now.duration_since(self.last) >= self.every.saturating_add(self.every / HASTE)
    }

    /// How long until the next commit is due.
    pub(crate) fn remaining(&self, now: Instant) -> Duration {
        let left = self.every.saturating_sub(now.duration_since(self.last));
        match self.outputs_since {
            Some(since) if !self.catching_up => {
                let haste = (self.every / HASTE).saturating_sub(now.duration_since(self.last));
                let gathering = (self.every / GATHERING).saturating_sub(now.duration_since(since));
                left.min(haste.max(gathering))
            }
            _ => left,
        }
    }

    /// Starts the next interval. Twice as long while more rows wait than the last one held, else the shortest.
    pub(crate) fn committed(&mut self, now: Instant, lag_rows: u64) {
        self.catching_up = self.rows > 0 && lag_rows >= self.rows;
        self.every = if self.catching_up { self.every.saturating_mul(2).min(self.every_max) } else { self.every_min };
        self.last = now;
        self.rows = 0;
        self.outputs_since = None;
    }
}
