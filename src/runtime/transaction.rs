//! Records of the stages -> the ledger's open transaction, in pieces of bounded size.
//!
//! One row after a gap can close weeks of windows, each with forecasts of every key: what they give is handed over
//! while they close, not when the last of them has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use arterial_connectors::position::Partition;

use super::pipeline::Shared;
use super::stop::COMMIT_WITHIN;

/// Most bytes of records that are gathered before the ledger gets them; the records of one more window come on top.
/// Large enough for thousands of records a call, and less than a ledger's own queue holds.
pub(super) const RECORDS_BYTES_MAX: usize = 4 << 20;

/// How many times that is held back while a commit is in flight and the ledger takes nothing; then it is waited for.
const HELD_BACK: usize = 4;

/// How long one look at a commit that is waited for lasts. Ledgers bound how long a commit takes.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at a commit that is waited for until that is told, and again: ten times as long as one takes that somebody waits
/// for at a broker that restarts.
const LOOKS_TOLD: u32 = 10;

/// A worker's ledger, with what is to be handed to it.
pub(super) struct Transaction {
    ledger: Box<dyn Ledger>,
    records: Records,
    bytes_max: usize,
    open: bool,
    /// Whether a commit is in flight.
    in_flight: bool,
    /// How it ended, where that was noticed before the worker asked.
    ended: Option<CommitOutcome>,
    shared: Arc<Shared>,
}

impl Transaction {
    /// No transaction is open yet. `bytes_max`: size of the records at which [`Self::relieve`] hands them over.
    pub(super) fn new(ledger: Box<dyn Ledger>, bytes_max: usize, shared: Arc<Shared>) -> Self {
        Self { ledger, records: Records::default(), bytes_max, open: false, in_flight: false, ended: None, shared }
    }

    /// What was gathered and not handed over yet.
    pub(super) fn records(&mut self) -> &mut Records {
        &mut self.records
    }

    /// Hands the records over where they are more than should be kept. Called between two windows, and
    /// between the horizons of one: a failure throws the working state away, wherever in its batch that stands.
    pub(super) fn relieve(&mut self) -> Result<(), LedgerError> {
        if self.records.bytes() < self.bytes_max { Ok(()) } else { self.append() }
    }

    /// Hands the records over, if there are any; while a commit is in flight they may have to wait.
    pub(super) fn append(&mut self) -> Result<(), LedgerError> {
        if self.records.is_empty() {
            return Ok(());
        }
        if self.waits() {
            if self.records.bytes() < self.bytes_max.saturating_mul(HELD_BACK) {
                return Ok(());
            }
            self.await_end()?;
        }
        self.hand_over()
    }

    /// Opens a transaction where none is open. None may be in flight.
    pub(super) fn begin(&mut self) -> Result<(), LedgerError> {
        if !self.open {
            self.ledger.begin()?;
            self.open = true;
        }
        Ok(())
    }

    /// Hands over what was held back and begins to end the open transaction; [`Self::outcome`] tells how that went. After
    /// an error it counts as open, and is to be aborted.
    pub(super) fn commit(&mut self, commit: Commit<'_>) -> Result<(), LedgerError> {
        self.hand_over()?;
        let since = Instant::now();
        while !self.ledger.flushed(LOOK)? {
            if since.elapsed() >= COMMIT_WITHIN && self.shared.stop.older_than(COMMIT_WITHIN) {
                tracing::warn!("outputs are not through {} s after the word to stop", COMMIT_WITHIN.as_secs());
                self.ended = Some(CommitOutcome::Unknown);
                return Ok(());
            }
        }
        self.ended = self.ledger.commit_soon(commit)?;
        self.open = false;
        self.in_flight = self.ended.is_none();
        Ok(())
    }

    /// Whether a commit that is begun now need not wait for outputs that are on their way.
    pub(super) fn flushed(&mut self) -> Result<bool, LedgerError> {
        self.ledger.flushed(Duration::ZERO)
    }

    /// As [`Self::commit`], and waits for the outcome.
    pub(super) fn commit_now(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        self.hand_over()?;
        let outcome = self.ledger.commit(commit)?;
        self.open = false;
        Ok(outcome)
    }

    /// How the last commit has ended, once; `None` while it is in flight, or after it was told. `waits`: for the end. After
    /// the word to stop that has its limit ([`COMMIT_WITHIN`]): then the outcome is unknown, and the next start finds it out.
    pub(super) fn outcome(&mut self, waits: bool) -> Result<Option<CommitOutcome>, LedgerError> {
        let (since, mut looks) = (Instant::now(), 0_u32);
        while self.in_flight {
            let patience = if waits { LOOK } else { Duration::ZERO };
            let looked = self.ledger.outcome(patience);
            self.in_flight = matches!(looked, Ok(None));
            match looked? {
                Some(outcome) => {
                    // What has come since goes with it.
                    if outcome != CommitOutcome::Committed {
                        self.open = false;
                        self.records.clear();
                    }
                    self.ended = Some(outcome);
                }
                None if !waits => return Ok(None),
                None if since.elapsed() >= COMMIT_WITHIN && self.shared.stop.older_than(COMMIT_WITHIN) => {
                    tracing::warn!(
                        "the outcome of the last commit is not known {} s after the word to stop: the next start finds it out",
                        COMMIT_WITHIN.as_secs()
                    );
                    (self.in_flight, self.open) = (false, false);
                    self.records.clear();
                    self.ended = Some(CommitOutcome::Unknown);
                }
                None => {
                    looks += 1;
                    if looks.is_multiple_of(LOOKS_TOLD) {
                        tracing::warn!(seconds = looks, "a commit is not through yet; waiting for the brokers");
                    }
                }
            }
        }
        Ok(self.ended.take())
    }

    /// Forgets what was gathered and drops the open transaction, if there is one.
    pub(super) fn abort(&mut self) -> Result<(), LedgerError> {
        self.records.clear();
        self.ended = None;
        if std::mem::take(&mut self.open) { self.ledger.abort() } else { Ok(()) }
    }

    /// What is durable of these partitions.
    pub(super) fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        self.ledger.restore(partitions)
    }

    /// Whether records of the open transaction are seen after its end only: at least once, they are seen at once.
    pub(super) fn hides(&self) -> bool {
        !self.ledger.overlaps()
    }

    /// Whether records have to wait for the commit in flight.
    fn waits(&self) -> bool {
        self.in_flight && self.hides()
    }

    fn hand_over(&mut self) -> Result<(), LedgerError> {
        if self.records.is_empty() {
            return Ok(());
        }
        let appended = self.begin().and_then(|()| self.ledger.append(&self.records));
        self.records.clear();
        appended
    }

    /// Waits for the commit in flight, which the worker is still to be told of.
    fn await_end(&mut self) -> Result<(), LedgerError> {
        self.ended = self.outcome(true)?;
        match self.ended {
            Some(CommitOutcome::Committed) | None => Ok(()),
            Some(outcome) => Err(LedgerError::Client {
                operation: "the last commit",
                reason: format!("it ended as {outcome:?}"),
                transient: true,
            }),
        }
    }
}
