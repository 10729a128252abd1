//! A plan of what goes wrong, counted over every ledger that shares it: the n-th commit ends badly, the n-th begin
//! reports an error. Deterministic; a crash is the test dropping source and ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// How a commit goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// [`crate::ledger::CommitOutcome::Aborted`]; nothing is applied.
    Aborted,
    /// [`crate::ledger::CommitOutcome::Unknown`], and everything was applied.
    UnknownApplied,
    /// [`crate::ledger::CommitOutcome::Unknown`], and nothing was applied.
    UnknownDropped,
    /// [`crate::ledger::CommitOutcome::Fenced`]; nothing is applied, as if another instance had taken the slot.
    Fenced,
    /// A permanent [`crate::ledger::LedgerError::Client`]; nothing is applied.
    Failed,
}

/// A call of the ledger that can report a transient [`crate::ledger::LedgerError::Client`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `restore`, before it reads anything.
    Restore,
    /// `begin`; no transaction is open after it.
    Begin,
    /// `append`; none of the records is in the transaction, which stays open.
    Append,
    /// `abort`; the transaction stays open until the next `restore` or the next instance of the slot.
    Abort,
}

#[derive(Debug, Default)]
struct Plan {
    commits: BTreeMap<u64, CommitFault>,
    failures: BTreeSet<(Operation, u64)>,
    commits_seen: u64,
    seen: BTreeMap<Operation, u64>,
}

/// The plan. Clones share the counters, so that "the 5th commit" is the 5th of a run with all its restarts.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Lets commit number `nth` (from 1) end in `fault`.
    #[must_use]
    pub fn commit(self, nth: u64, fault: CommitFault) -> Self {
        self.with(|plan| plan.commits.insert(nth, fault));
        self
    }

    /// Lets call number `nth` (from 1) of `operation` report a transient error.
    #[must_use]
    pub fn fail(self, operation: Operation, nth: u64) -> Self {
        self.with(|plan| plan.failures.insert((operation, nth)));
        self
    }

    /// Commits tried so far.
    #[must_use]
    pub fn commits_seen(&self) -> u64 {
        self.with(|plan| plan.commits_seen)
    }

    /// Counts a commit and says how it goes wrong.
    pub(super) fn next_commit(&self) -> Option<CommitFault> {
        self.with(|plan| {
            plan.commits_seen += 1;
            plan.commits.get(&plan.commits_seen).copied()
        })
    }

    /// Counts a call and says whether it fails.
    pub(super) fn next_fails(&self, operation: Operation) -> bool {
        self.with(|plan| {
            let seen = plan.seen.entry(operation).or_default();
            *seen += 1;
            plan.failures.contains(&(operation, *seen))
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Plan) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
