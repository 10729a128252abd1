//! Brokers that do not answer at the start: a bounded run gives up on those that never do.

use std::sync::Arc;
use std::time::Duration;

use arterial::runtime::{Connect, Pipeline, PipelineError, RunOptions, RunSummary};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::source::{Source, SourceError, Until};

use crate::run_support::{Ends, PIPELINE, plan};
use crate::source_support::forwarded;

/// Brokers that answer after so many questions.
struct Away {
    questions: u32,
    there: Box<dyn Source>,
}

impl Source for Away {
    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError> {
        if self.questions == 0 {
            return self.there.partition_counts();
        }
        self.questions -= 1;
        let reason = "connection refused, of brokers `127.0.0.1:1`".to_owned();
        Err(SourceError::Client { operation: "asking for partitions", reason, transient: true })
    }

    forwarded!(there: poll, start_of, seek, release, pause, resume, lag_rows, others_finished, group_metadata, connected);
}

struct AwayEnds {
    questions: u32,
    ends: Ends,
}

impl Connect for AwayEnds {
    fn source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Away { questions: self.questions, there: self.ends.source(slot, until)? }))
    }

    fn ledger(&self, slot: &str, counts: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        self.ends.ledger(slot, counts)
    }
}

fn run(questions: u32, reach_within: Duration) -> Result<RunSummary, PipelineError> {
    let connect = Arc::new(AwayEnds { questions, ends: Ends::new(1) });
    let options = RunOptions { until: Until::Latest, reach_within, ..RunOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Pipeline::new(Arc::new(plan(PIPELINE)), connect, options).run(std::future::pending()))
}

#[test]
fn bounded_run_whose_brokers_never_answer_ends_and_names_them() {
    let error = run(u32::MAX, Duration::ZERO).unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("no broker has answered for 0 s: asking for partitions failed: "), "{said}");
    assert!(said.contains("of brokers `127.0.0.1:1`"), "{said}");
    assert!(
        error.hint().contains("correct `brokers`") && error.hint().contains("without `--until`"),
        "{}",
        error.hint()
    );
    assert_eq!(RunOptions::default().reach_within, Duration::from_secs(60), "as docs/operations.md says");
}

#[test]
fn brokers_that_answer_in_time_are_waited_for() {
    let at_once = run(0, Duration::ZERO).unwrap();
    let later = run(1, Duration::from_secs(60)).unwrap();
    assert!(later.accounting().rows_in > 0);
    assert_eq!(later.digest(), at_once.digest());
}
