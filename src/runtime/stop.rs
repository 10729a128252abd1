//! The word to stop, from whoever runs a pipeline to everything in it that waits.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long after the word to stop a worker waits for the outcome of a commit. Commits take milliseconds; this is for
/// brokers that restart beside it. There may be two: the one in flight, and the last, which is begun only when the first
/// has ended well. With 10 s for leaving the group that is less than the 45 s after which the command ends in any case.
pub(crate) const COMMIT_WITHIN: Duration = Duration::from_secs(15);

/// Given once, and never taken back.
#[derive(Debug, Default)]
pub(crate) struct Stop(OnceLock<Instant>);

impl Stop {
    pub(crate) fn give(&self) {
        self.0.get_or_init(Instant::now);
    }

    pub(crate) fn given(&self) -> bool {
        self.0.get().is_some()
    }

    /// Whether it was given longer ago than this.
    pub(crate) fn older_than(&self, limit: Duration) -> bool {
        self.0.get().is_some_and(|given| given.elapsed() >= limit)
    }
}
