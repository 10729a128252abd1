//! The city job over a real Kafka broker: how fast each stage lets the rows through, beside what librdkafka hands over
//! in the same minute. `make bench` runs it; `docs/benchmarks.md` says how to read it.
//!
//! Arguments name the depths to measure, all unless given; `state` alone measures what commits and restores of the
//! state cost, `peers` alone the job beside other engines, `latency` alone how soon forecasts are seen at a steady load, by
//! them and by us, `sensors` alone what a large city costs beside a small one. `ARTERIAL_BENCH_ROUNDS` (4,800): readings of each of the 5,000 detectors. `ARTERIAL_BENCH_REPEATS` (3):
//! times that every depth is measured, each time with a raw read beside it. `ARTERIAL_TEST_KAFKA`: a broker to use.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]

mod alerts;
mod check;
mod depth;
#[path = "../support/figures.rs"]
mod figures;
mod generator;
mod latency;
mod measure;
mod oracle;
mod peers;
mod raw;
mod report;
mod sensors;
mod setting;
mod state;
#[path = "../support/mod.rs"]
mod support;
mod whole;

use anyhow::{Context, Result, ensure};

use crate::depth::Depth;
use crate::figures::write_figures;
use crate::generator::DETECTORS;
use crate::measure::Cost;
use crate::report::Report;
use crate::setting::{COMMIT_EVERY, PARTITIONS, ROUNDS, Setting};
use crate::whole::Outputs;

/// The allocator of the `arterial` binary, in librdkafka too: raw reads and ours have the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The depths in order, with the names that the report gives them.
const DEPTHS: [(&str, Step); 8] = [
    ("source", Step::Stages(Depth::Source)),
    ("decode", Step::Stages(Depth::Decode)),
    ("clean", Step::Stages(Depth::Clean)),
    ("features", Step::Stages(Depth::Features)),
    ("predict", Step::Stages(Depth::Predict)),
    ("alert", Step::Whole(Outputs::Discarded)),
    ("whole_path", Step::Whole(Outputs::Committed)),
    ("whole_path_mlp", Step::Network),
];

#[derive(Debug, Clone, Copy)]
enum Step {
    Stages(Depth),
    Whole(Outputs),
    /// The whole path with a network beside the linear models.
    Network,
}

fn main() -> Result<()> {
    // Cargo hands options of its own on.
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Ok(delivery) = std::env::var(peers::CHILD) {
        return peers::run_child(&delivery);
    }
    if let Ok(delivery) = std::env::var(latency::CHILD) {
        return latency::run_child(&delivery);
    }
    match names.as_slice() {
        [name] if name == "state" => return state::measure(),
        [name] if name == "peers" => return peers::measure(),
        [name] if name == "latency" => return latency::measure(),
        [name] if name == "sensors" => return sensors::measure(),
        _ => {}
    }
    for name in &names {
        ensure!(DEPTHS.iter().any(|(depth, _)| depth == name), "there is no depth `{name}`");
    }
    let setting = Setting::open(DETECTORS, ROUNDS)?;
    let due = check::due_alerts(setting.rounds)?;
    let mut report = Report::default();
    for repeat in 0..setting.repeats {
        for (name, step) in DEPTHS {
            if !names.is_empty() && !names.iter().any(|chosen| chosen == name) {
                continue;
            }
            let raw = raw::consume(&setting.brokers, &setting.topic, PARTITIONS, setting.rows)?;
            let cost = measure(&setting, name, step, repeat, &due)?;
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
    println!("written to {}", write_figures("bench.json", &report.figures())?.display());
    Ok(())
}

fn measure(setting: &Setting, name: &str, step: Step, repeat: usize, due: &[String]) -> Result<Cost> {
    // A fresh name is a fresh consumer group, fresh state and fresh output topics.
    let plan = setting.plan(&format!("{name}-{repeat}"), COMMIT_EVERY)?;
    match step {
        Step::Stages(depth) => {
            let (cost, counts) = depth::read(&plan, depth)?;
            check::stages(setting, depth, cost, counts)?;
            Ok(cost)
        }
        Step::Network => {
            let plan = setting.plan_with_network(&format!("{name}-{repeat}"))?;
            let (meter, summary) = whole::run(&plan, Outputs::Committed)?;
            let cost = meter.cost().context("the topic is empty")?;
            // Its forecasts are others, and so may its alerts be.
            check::rows(setting, cost, &summary)?;
            Ok(cost)
        }
        Step::Whole(outputs) => {
            let (meter, summary) = whole::run(&plan, outputs)?;
            let cost = meter.cost().context("the topic is empty")?;
            check::whole(setting, cost, &summary)?;
            if outputs == Outputs::Committed {
                check::committed_alerts(setting, &plan, due)?;
            }
            Ok(cost)
        }
    }
}
