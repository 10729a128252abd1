//! The city job over a real Kafka broker: how fast each stage lets the rows through, beside what librdkafka hands over
//! in the same minute. `make bench` runs it; `docs/benchmarks.md` says how to read it.
//!
//! `ARTERIAL_BENCH_ROUNDS` (1,200): readings of each of the 5,000 detectors. `ARTERIAL_BENCH_REPEATS` (3): times that
//! every depth is measured, each time with a raw read beside it. `ARTERIAL_TEST_KAFKA`: a broker to use.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]

mod depth;
mod generator;
mod measure;
mod raw;
mod report;
mod setting;
#[path = "../support/mod.rs"]
mod support;
mod whole;

use anyhow::{Result, ensure};

use crate::depth::{Counts, Depth};
use crate::measure::Cost;
use crate::report::Report;
use crate::setting::{PARTITIONS, Setting};
use crate::whole::Outputs;

/// What any correct engine says of 1,200 rounds.
const EXPECTED_ROUNDS: usize = 1_200;
const EXPECTED_WINDOWS: u64 = 595_000;
const EXPECTED_ALERTS: u64 = 7_812;

/// The depths in order, with the names that the report gives them.
const DEPTHS: [(&str, Step); 7] = [
    ("source", Step::Stages(Depth::Source)),
    ("decode", Step::Stages(Depth::Decode)),
    ("clean", Step::Stages(Depth::Clean)),
    ("features", Step::Stages(Depth::Features)),
    ("predict", Step::Stages(Depth::Predict)),
    ("alert", Step::Whole(Outputs::Discarded)),
    ("whole_path", Step::Whole(Outputs::Committed)),
];

#[derive(Debug, Clone, Copy)]
enum Step {
    Stages(Depth),
    Whole(Outputs),
}

fn main() -> Result<()> {
    let setting = Setting::open()?;
    let mut report = Report::default();
    for repeat in 0..setting.repeats {
        for (name, step) in DEPTHS {
            let raw = raw::consume(&setting.brokers, &setting.topic, PARTITIONS, setting.rows)?;
            let cost = measure(&setting, name, step, repeat)?;
            report.add(name, raw, cost);
            eprintln!(
                "{}/{} {name}: {:.2} M rows/s, raw {:.2}",
                repeat + 1,
                setting.repeats,
                cost.rows_per_s() / 1e6,
                raw.rows_per_s() / 1e6
            );
        }
    }
    println!("{}", report.table());
    let path = report.write()?;
    println!("written to {}", path.display());
    Ok(())
}

fn measure(setting: &Setting, name: &str, step: Step, repeat: usize) -> Result<Cost> {
    // A fresh name is a fresh consumer group, fresh state and fresh output topics.
    let plan = setting.plan(&format!("{name}-{repeat}"))?;
    match step {
        Step::Stages(depth) => {
            let (cost, counts) = depth::read(&plan, depth)?;
            check_stages(setting, depth, cost, counts)?;
            Ok(cost)
        }
        Step::Whole(outputs) => {
            let (cost, summary) = whole::run(&plan, outputs)?;
            let (mut rejected, mut windows, mut alerts) = (0, 0, 0);
            for partition in summary.partitions.values() {
                let rows = &partition.accounting;
                rejected += rows.dead_letter_decode + rows.dead_letter_clean;
                windows += partition.windows;
                alerts += partition.alerts;
                ensure!(rows.balanced(), "the accounting identity does not hold: {rows:?}");
            }
            check_stages(setting, Depth::Predict, cost, Counts { rejected, windows })?;
            if setting.rounds == EXPECTED_ROUNDS {
                ensure!(alerts == EXPECTED_ALERTS, "{alerts} alerts instead of {EXPECTED_ALERTS}");
            }
            Ok(cost)
        }
    }
}

fn check_stages(setting: &Setting, depth: Depth, cost: Cost, counts: Counts) -> Result<()> {
    ensure!(cost.rows == setting.rows, "{} rows instead of {}", cost.rows, setting.rows);
    if depth >= Depth::Decode {
        let (found, due) = (counts.rejected, setting.malformed);
        ensure!(found == due, "{found} rows rejected instead of {due}");
    }
    if depth >= Depth::Features && setting.rounds == EXPECTED_ROUNDS {
        ensure!(counts.windows == EXPECTED_WINDOWS, "{} windows instead of {EXPECTED_WINDOWS}", counts.windows);
    }
    Ok(())
}
