//! A run that dies at any commit and is started again ends as an undisturbed run does, bit for bit; one that is dropped ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arterial::runtime::{Pipeline, RunOptions, SystemClock};
use arterial_connectors::memory::{CommitFault, Faults};
use arterial_connectors::position::Partition;

use crate::run_support::{Ends, PIPELINE, plan, run};

#[test]
fn run_that_dies_at_any_commit_ends_as_an_undisturbed_one() {
    let text =
        PIPELINE.replace("at_least_once\n", "at_least_once\nruntime: { commit_rows_max: 700, commit_every: 9s }\n");
    let calm = Ends::new(10);
    let undisturbed = run(plan(&text), &calm).result.unwrap();
    for first in 1..6 {
        let mut ends = Ends::new(10);
        ends.faults = (0..20).fold(Faults::none(), |faults, nth| faults.commit(first + nth * 3, CommitFault::Failed));
        let mut died = 0;
        let survived = loop {
            match run(plan(&text), &ends).result {
                Ok(summary) => break summary,
                Err(_) => died += 1,
            }
        };
        assert!(died > 2, "{died}");
        assert_eq!(survived.accounting(), undisturbed.accounting());
        for number in 0..2 {
            let of = |ends: &Ends| ends.broker.state("corridor", Partition { topic: 0, number });
            for ((key, value), (expected_key, expected)) in of(&ends).iter().zip(&of(&calm)) {
                assert_eq!(String::from_utf8_lossy(key), String::from_utf8_lossy(expected_key));
                assert!(value == expected, "{first}: block {}", String::from_utf8_lossy(key).escape_debug());
            }
        }
        assert_eq!(survived.digest(), undisturbed.digest());
        assert_eq!(ends.alerts(), calm.alerts());
    }
}

#[test]
fn run_that_is_dropped_stops_its_workers() {
    let clock = Arc::new(SystemClock);
    let options = RunOptions { clock: clock.clone(), ..RunOptions::default() };
    let pipeline = Pipeline::new(Arc::new(plan(PIPELINE)), Arc::new(Ends::new(10)), options);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = pipeline.run(std::future::pending());
    runtime.block_on(async { tokio::time::timeout(Duration::from_millis(50), run).await }).unwrap_err();
    let deadline = Instant::now() + Duration::from_secs(60);
    // A worker that lives holds the clock.
    while Arc::strong_count(&clock) > 1 {
        assert!(Instant::now() < deadline, "a worker goes on for ever");
        std::thread::yield_now();
    }
}
