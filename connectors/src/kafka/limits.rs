//! How long each wait of a commit may be, and why: everything between a commit's last record and its known outcome, and
//! what a worker waits for before it may commit again. Questions to the brokers have theirs in [`super::query`].
//!
//! ```text
//! commit:    DELIVERY, then STEP (offsets), then STEP (end); each is a call that counts as hung STEP_GRACE later
//! aborted:   STEP (abort), STEP_GRACE
//! unknown:   TAKEOVER, again and again until a broker answers: it ends what the old producer left open
//! ```
//!
//! A commit that is given up is never taken for failed: its outcome is unknown until the slot was taken over again and the
//! committed offsets were read.

use std::time::Duration;

/// Longest time between a transaction's begin and end before the broker aborts it. Commits stretch to 10 s at most;
/// the rest is for brokers that are slow or change their leaders.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the records of one commit may take to be delivered. Later the broker has aborted their transaction.
pub(super) const DELIVERY: Duration = TRANSACTION_TIMEOUT;

/// How long one answer of the transaction coordinator may take. A coordinator that goes is replaced within the brokers'
/// `replica.lag.time.max.ms` and session time-out, 30 s at most by default; a restart of a single broker takes less.
pub(super) const STEP: Duration = Duration::from_secs(30);

/// How much later than its limit librdkafka may come back from a call before that counts as hung: it looks at its clocks
/// once a second, and the machine may be busy. `send_offsets_to_transaction` has been seen to ignore its limit and to hang
/// for ever where the coordinator goes (librdkafka issues 5456, 5511).
pub(super) const STEP_GRACE: Duration = Duration::from_secs(10);

/// How long one try to take over a slot may take: the brokers first end what an earlier owner left open, and an end that was
/// asked for has to reach every partition.
pub(super) const TAKEOVER: Duration = TRANSACTION_TIMEOUT;

/// How many calls may hang in a process before it ends: each leaves a thread and a client behind, with what was queued.
/// Seen was one in 25 restarts of a broker; more than these in one process are a defect that a restart cures better.
pub(super) const HUNG_CALLS_MAX: u32 = 3;

/// Longest time from a commit's last record to its outcome, or to the verdict that it is unknown.
pub(super) const COMMIT: Duration = DELIVERY.saturating_add(STEP).saturating_add(STEP).saturating_add(STEP_GRACE);
