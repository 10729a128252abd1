//! Proof that the conformance suite can fail: sources and ledgers with one flaw each, and the check that finds it.

use std::collections::BTreeMap;
use std::time::Duration;

use arterial_connectors::conformance::{
    CommittedRecord, LedgerHarness, Patience, SOURCE_CHECKS, SourceHarness, check_ledger, check_source,
};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use arterial_connectors::memory::MemoryBroker;
use arterial_connectors::payload::{Payload, RawRows};
use arterial_connectors::position::Partition;
use arterial_connectors::source::{SeekTo, Source, SourceBatch, SourceError, SourceEvent, Until};

use crate::conformance::{IN_PROCESS, MemoryGroup, MemoryTopic};
use crate::source_support::forwarded;

/// How a source breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Flaw {
    None,
    RepeatsAfterResume,
    ForgetsRows,
    EndsTwice,
    StartsUnasked,
    IgnoresPause,
    KeepsRevoked,
}

/// A source that conforms but for one flaw.
struct Flawed {
    inner: Box<dyn Source>,
    flaw: Flaw,
    batches: usize,
    again: Option<SourceEvent>,
}

impl Source for Flawed {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        if let Some(event) = self.again.take() {
            return Ok(Some(event));
        }
        let event = self.inner.poll(timeout)?;
        match (&event, self.flaw) {
            (Some(SourceEvent::Batch(_)), _) => {
                self.batches += 1;
                if self.flaw == Flaw::ForgetsRows && self.batches == 5 {
                    return self.inner.poll(timeout);
                }
            }
            (Some(SourceEvent::End(partition)), Flaw::EndsTwice) => self.again = Some(SourceEvent::End(*partition)),
            (Some(SourceEvent::Assigned(partitions)), Flaw::StartsUnasked) => {
                partitions.iter().try_for_each(|partition| self.inner.seek(*partition, SeekTo::Start))?;
            }
            (Some(SourceEvent::Revoked(partitions)), Flaw::KeepsRevoked) => {
                let payload = Payload::Raw(one_row());
                let partition = partitions[0];
                let batch = SourceBatch { partition, payload, next_offset: i64::MAX, skipped: 0 };
                self.again = Some(SourceEvent::Batch(batch));
            }
            _ => {}
        }
        Ok(event)
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        if self.flaw == Flaw::IgnoresPause { Ok(()) } else { self.inner.pause(partitions) }
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.inner.resume(partitions)?;
        match self.flaw {
            Flaw::RepeatsAfterResume => self.inner.seek(partitions[0], SeekTo::Start),
            _ => Ok(()),
        }
    }

    forwarded!(inner: start_of, seek, release, lag_rows, partition_counts, others_finished, group_metadata, connected);
}

fn one_row() -> RawRows {
    let mut rows = RawRows::default();
    rows.push(i64::MAX - 1, None, None, Some(b"late"));
    rows
}

struct FlawedTopic(MemoryTopic, Flaw);

impl SourceHarness for FlawedTopic {
    fn fill(&mut self) -> Result<(), String> {
        self.0.fill()
    }

    fn partitions(&self) -> Vec<Partition> {
        self.0.partitions()
    }

    fn rows_total(&self) -> usize {
        self.0.rows_total()
    }

    fn open(&mut self, until: Until) -> Result<Box<dyn Source>, String> {
        let inner = self.0.open(until)?;
        Ok(Box::new(Flawed { inner, flaw: self.1, batches: 0, again: None }))
    }

    fn grow(&mut self) -> Result<bool, String> {
        self.0.grow()
    }

    fn revoke(&mut self) -> Result<bool, String> {
        self.0.revoke()
    }

    fn patience(&self) -> Patience {
        IN_PROCESS
    }
}

#[test]
fn suite_finds_every_flaw_of_a_source() {
    let expected = BTreeMap::from([
        ("RepeatsAfterResume", "pause_and_resume_lose_and_repeat_nothing"),
        ("ForgetsRows", "rows_come_in_offset_order_each_exactly_once"),
        ("EndsTwice", "rows_come_in_offset_order_each_exactly_once"),
        ("StartsUnasked", "nothing_comes_before_seek"),
        ("IgnoresPause", "pause_and_resume_lose_and_repeat_nothing"),
        ("KeepsRevoked", "nothing_comes_after_revoked_and_release_gives_the_partition_up"),
    ]);
    let flaws = [
        Flaw::RepeatsAfterResume,
        Flaw::ForgetsRows,
        Flaw::EndsTwice,
        Flaw::StartsUnasked,
        Flaw::IgnoresPause,
        Flaw::KeepsRevoked,
    ];
    for flaw in flaws {
        let mut topic = FlawedTopic(MemoryTopic { broker: MemoryBroker::new(), seed: 0, typed: false }, flaw);
        let failure = check_source(&mut topic).expect_err(&format!("{flaw:?} went unnoticed"));
        assert_eq!(failure.check, expected[format!("{flaw:?}").as_str()], "{failure}");
    }
    let mut sound = FlawedTopic(MemoryTopic { broker: MemoryBroker::new(), seed: 0, typed: false }, Flaw::None);
    assert_eq!(check_source(&mut sound).unwrap(), SOURCE_CHECKS);
}

/// How a ledger breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq)]
enum LedgerFlaw {
    CommitsWhatWasAborted,
    ForgetsState,
    LosesDeletions,
    SaysCommittedWhenFenced,
    LosesWhatIsInFlight,
}

struct FlawedLedger {
    inner: Box<dyn Ledger>,
    flaw: LedgerFlaw,
}

impl Ledger for FlawedLedger {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        self.inner.restore(partitions)
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        self.inner.begin()
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        self.inner.append(records)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        let kept: Vec<_> = match self.flaw {
            LedgerFlaw::ForgetsState => Vec::new(),
            LedgerFlaw::LosesDeletions => commit.state.filter(|one| one.value.is_some()).collect(),
            _ => commit.state.collect(),
        };
        let outcome = self.inner.commit(Commit { state: &mut kept.into_iter(), ..commit })?;
        Ok(if self.flaw == LedgerFlaw::SaysCommittedWhenFenced { CommitOutcome::Committed } else { outcome })
    }

    fn commit_soon(&mut self, commit: Commit<'_>) -> Result<Option<CommitOutcome>, LedgerError> {
        if self.flaw != LedgerFlaw::LosesWhatIsInFlight {
            return self.commit(commit).map(Some);
        }
        self.inner.abort()?;
        Ok(None)
    }

    fn outcome(&mut self, _: Duration) -> Result<Option<CommitOutcome>, LedgerError> {
        Ok(Some(CommitOutcome::Committed))
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        match self.flaw {
            LedgerFlaw::CommitsWhatWasAborted => {
                self.inner.commit(Commit { positions: &[], state: &mut std::iter::empty(), group: None }).map(|_| ())
            }
            _ => self.inner.abort(),
        }
    }
}

struct FlawedGroup(MemoryGroup, LedgerFlaw);

impl LedgerHarness for FlawedGroup {
    fn reset(&mut self) -> Result<(), String> {
        self.0.reset()
    }

    fn partitions(&self) -> Vec<Partition> {
        self.0.partitions()
    }

    fn open(&mut self, slot: &str) -> Result<Box<dyn Ledger>, String> {
        Ok(Box::new(FlawedLedger { inner: self.0.open(slot)?, flaw: self.1 }))
    }

    fn committed(&mut self, sink: u16) -> Result<Vec<CommittedRecord>, String> {
        self.0.committed(sink)
    }

    fn committed_offset(&mut self, partition: Partition) -> Result<Option<i64>, String> {
        self.0.committed_offset(partition)
    }
}

#[test]
fn suite_finds_every_flaw_of_a_ledger_and_names_no_check_it_could_not_do() {
    let expected = [
        (LedgerFlaw::CommitsWhatWasAborted, "aborted_transaction_leaves_nothing"),
        (LedgerFlaw::ForgetsState, "outputs_state_and_positions_become_visible_together"),
        (LedgerFlaw::LosesDeletions, "restore_gives_the_newest_value_of_each_key_and_no_deleted_one"),
        (LedgerFlaw::LosesWhatIsInFlight, "commit_that_is_not_waited_for_becomes_as_durable"),
        (LedgerFlaw::SaysCommittedWhenFenced, "newer_ledger_of_a_slot_fences_the_older_one"),
    ];
    for (flaw, check) in expected {
        let mut group = FlawedGroup(MemoryGroup(MemoryBroker::new()), flaw);
        assert_eq!(check_ledger(&mut group).expect_err("unnoticed").check, check, "{flaw:?}");
    }
}
