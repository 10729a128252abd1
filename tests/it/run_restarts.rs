//! A run that dies at any commit and is started again ends as an undisturbed run does, bit for bit; one that is dropped ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arterial::runtime::{Pipeline, RunOptions, SystemClock};
use arterial_connectors::memory::{CommitFault, Faults, MemoryRecord};
use arterial_connectors::position::Partition;

use crate::run_support::{Ends, PIPELINE, edited, plan, run};

/// Rules that remember earlier windows, over detectors of which none has a reading in one hour of the day.
const REMEMBERING: &str = r#"alerts:
  quiet: { silent_after: 10m, severity: { minor: ">= 10", severe: ">= 30" }, summary: "silent: {sensor_id}" }
  half_hour: { measure: flow_veh_h, mean_over: 30m, when: "> 550", summary: "busy for half an hour at {sensor_id}" }
  filling: { measure: flow_veh_h, rate_per: 1h, when: "> 1500", summary: "{sensor_id} fills up" }
"#;

#[test]
fn run_that_dies_at_any_commit_ends_as_an_undisturbed_one() {
    let text = edited(&[
        ("at_least_once\n", "at_least_once\nruntime: { commit_rows_max: 700, commit_every: 9s }\n"),
        ("alerts:\n  busy", &format!("{REMEMBERING}  busy")),
        ("window:", "  - sql: \"SELECT * FROM rows WHERE extract(hour FROM observed_at) <> 3\"\nwindow:"),
    ]);
    let calm = Ends::new(10);
    let undisturbed = run(plan(&text), &calm).result.unwrap();
    for rule in ["quiet/", "half_hour/", "filling/", "busy/", "slow/"] {
        let of_rule = |record: &MemoryRecord| record.key.as_deref().is_some_and(|key| key.starts_with(rule.as_bytes()));
        assert!(calm.alerts().iter().filter(|record| of_rule(record)).count() > 4, "{rule}");
    }
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
