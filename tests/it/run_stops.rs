//! The word to stop, and a worker that fails: what was done is committed where it can be, nothing is taken for failed of
//! which nobody knows, and nobody waits for ever.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use arterial::runtime::{Connect, Pipeline, PipelineError, RunOptions, RunSummary};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored};
use arterial_connectors::memory::{MemoryLedger, MemoryLedgerConfig};
use arterial_connectors::position::Partition;
use arterial_connectors::source::{Source, SourceError, SourceEvent, Until};
use tokio::sync::Notify;

use crate::run_support::{Ends, PIPELINE, edited, plan, run};
use crate::source_support::forwarded;

/// Brokers that do not answer to a commit: it was applied, or it was not, and nobody says which.
struct Silent {
    inner: MemoryLedger,
    /// Commits that are answered.
    answered: u32,
    applies: bool,
    asked: Arc<Notify>,
    unanswered: bool,
}

impl Ledger for Silent {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        self.inner.restore(partitions)
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        assert!(!self.unanswered, "nothing may follow a commit whose outcome is unknown");
        self.inner.begin()
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        self.inner.append(records)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        self.inner.commit(commit)
    }

    fn commit_soon(&mut self, commit: Commit<'_>) -> Result<Option<CommitOutcome>, LedgerError> {
        if self.answered > 0 {
            self.answered -= 1;
            return self.inner.commit(commit).map(Some);
        }
        if self.applies {
            self.inner.commit(commit)?;
        } else {
            self.inner.abort()?;
        }
        self.unanswered = true;
        self.asked.notify_one();
        Ok(None)
    }

    fn outcome(&mut self, patience: Duration) -> Result<Option<CommitOutcome>, LedgerError> {
        let never = Mutex::new(());
        drop(Condvar::new().wait_timeout(never.lock().unwrap(), patience));
        Ok(None)
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        self.inner.abort()
    }
}

struct SilentEnds {
    ends: Ends,
    applies: bool,
    asked: Arc<Notify>,
}

impl Connect for SilentEnds {
    fn source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        self.ends.source(slot, until)
    }

    fn ledger(&self, slot: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let inner = MemoryLedger::open(&self.ends.broker, MemoryLedgerConfig::new("corridor", slot, &self.ends.sinks))?;
        let (applies, asked) = (self.applies, Arc::clone(&self.asked));
        Ok(Box::new(Silent { inner, answered: 2, applies, asked, unanswered: false }))
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Told to stop as soon as a commit is not answered to.
fn stopped(ends: &Ends, applies: bool) -> (RunSummary, Duration) {
    let asked = Arc::new(Notify::new());
    let connect = SilentEnds { ends: ends.clone(), applies, asked: Arc::clone(&asked) };
    let text = edited(&[("at_least_once\n", "at_least_once\nruntime: { commit_rows_max: 700, commit_every: 9s }\n")]);
    let options = RunOptions { until: Until::Latest, ..RunOptions::default() };
    let mut told = Instant::now();
    let pipeline = Pipeline::new(Arc::new(plan(&text)), Arc::new(connect), options);
    let stop = async {
        asked.notified().await;
        told = Instant::now();
    };
    let summary = block_on(pipeline.run(stop)).unwrap();
    (summary, told.elapsed())
}

#[test]
fn commit_that_is_not_answered_to_is_left_in_time_and_the_next_start_finds_out_how_it_ended() {
    let calm = Ends::new(10);
    let undisturbed = run(plan(PIPELINE), &calm).result.unwrap();
    let both: Vec<_> = [true, false]
        .map(|applies| {
            std::thread::spawn(move || {
                let ends = Ends::new(10);
                let (summary, after) = stopped(&ends, applies);
                (applies, ends, summary, after)
            })
        })
        .into_iter()
        .map(|run| run.join().unwrap())
        .collect();
    for (applies, ends, summary, after) in both {
        assert!(!summary.reached_end);
        assert_eq!(summary.commits, 2, "no more is told of than is known");
        assert!(after >= Duration::from_secs(14), "given up after {after:?}");
        assert!(after < Duration::from_secs(40), "left after {after:?}");
        let whole = run(plan(PIPELINE), &ends).result.unwrap();
        assert_eq!(whole.digest(), undisturbed.digest(), "{applies}");
        assert_eq!(whole.accounting(), undisturbed.accounting(), "{applies}");
        assert_eq!(ends.alerts(), calm.alerts(), "{applies}");
    }
}

/// The corridor's partition of one worker. The other's source fails once this one has read everything.
struct Shared {
    number: i32,
    there: Box<dyn Source>,
    rows: Arc<AtomicU64>,
    read: Arc<AtomicBool>,
}

impl Source for Shared {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        if self.number == 1 && self.read.load(Ordering::SeqCst) {
            return Err(SourceError::Config { what: "the road".to_owned(), reason: "was closed".to_owned() });
        }
        let event = self.there.poll(timeout)?;
        match &event {
            Some(SourceEvent::Assigned(all)) => {
                let own = |one: &&Partition| one.number == self.number;
                return Ok(Some(SourceEvent::Assigned(all.iter().filter(own).copied().collect())));
            }
            Some(SourceEvent::Batch(batch)) if self.number == 0 => {
                self.rows.fetch_add(batch.payload.len() as u64, Ordering::SeqCst);
            }
            Some(SourceEvent::End(_)) if self.number == 0 => self.read.store(true, Ordering::SeqCst),
            _ => {}
        }
        Ok(event)
    }

    forwarded!(there: start_of, seek, release, pause, resume, lag_rows, partition_counts, others_finished, group_metadata, connected);
}

struct SharedEnds {
    ends: Ends,
    rows: Arc<AtomicU64>,
    read: Arc<AtomicBool>,
}

impl Connect for SharedEnds {
    fn source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let number = i32::from(slot.ends_with("-1"));
        let (rows, read) = (Arc::clone(&self.rows), Arc::clone(&self.read));
        Ok(Box::new(Shared { number, there: self.ends.source(slot, until)?, rows, read }))
    }

    fn ledger(&self, slot: &str, counts: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        self.ends.ledger(slot, counts)
    }
}

#[test]
fn when_one_worker_fails_the_others_commit_what_they_have_before_the_run_ends() {
    let ends = Ends::new(4);
    let (rows, read) = <(Arc<AtomicU64>, Arc<AtomicBool>)>::default();
    let connect = SharedEnds { ends: ends.clone(), rows: Arc::clone(&rows), read };
    // By themselves they would commit in 10 s, by when this is over.
    let slow = "at_least_once\nruntime: { commit_every: 10s, commit_every_max: 10s }\n";
    let plan = plan(&edited(&[("at_least_once\n", slow)])).with_workers(2);
    let options = RunOptions { until: Until::Forever, ..RunOptions::default() };
    let failed = block_on(Pipeline::new(Arc::new(plan), Arc::new(connect), options).run(std::future::pending()));
    let error = failed.unwrap_err();
    assert!(matches!(&error, PipelineError::Source(SourceError::Config { .. })), "{error}");
    let mut ledger =
        MemoryLedger::open(&ends.broker, MemoryLedgerConfig::new("corridor", "later", &ends.sinks)).unwrap();
    let all = [0, 1].map(|number| Partition { topic: 0, number });
    let restored = ledger.restore(&all).unwrap();
    let read = rows.load(Ordering::SeqCst);
    assert!(read > 1000, "{read}");
    assert_eq!(restored[0].next_offset, i64::try_from(read).ok(), "the sound worker's rows are committed");
    assert!(!restored[0].state.is_empty());
    assert!(!ends.alerts().is_empty(), "and so are its alerts");
}
