//! All of Aarhus over a real broker, exactly once, while its processes are killed with signal 9 at 20 seeded committed
//! positions: the state digest, the accounting and every alert must be those of a run that nobody disturbed. Alerts are
//! read by Kafka's own console consumer. `make kill-nine` runs it; `ARTERIAL_DATA` names the folder of the data sets.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is printed")]

#[path = "../support/data.rs"]
mod data;
mod fleet;
mod foreign;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::data::data_file;
use crate::fleet::Fleet;
use crate::support::Broker;

const TOPIC: &str = "aarhus.traffic.observations.v1";
const ALERTS: &str = "aarhus.traffic.alerts.v1";
const PARTITIONS: &str = "8";
/// Processes are killed this often in a run.
const KILLS: usize = 20;

/// What a run left behind.
#[derive(PartialEq)]
struct Outcome {
    digest: Value,
    rows: Value,
    /// Alert records of each key, in order: headers and value.
    alerts: BTreeMap<String, Vec<String>>,
}

fn main() -> Result<()> {
    let rows = data_file("aarhus/traffic.parquet")?;
    let undisturbed = run(&rows, 1, 0)?;
    let mut equal = true;
    for processes in [1, 2] {
        let disturbed = run(&rows, processes, KILLS)?;
        equal &= compare(&undisturbed, &disturbed, processes);
    }
    ensure!(equal, "the runs differ");
    Ok(())
}

/// One run on a broker of its own: names, and so every byte of the output, are the same in all of them.
fn run(rows: &Path, processes: usize, kills: usize) -> Result<Outcome> {
    let broker = Broker::start("kill-nine")?;
    let replayed = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["replay", "--topic", TOPIC, "--key", "report_id", "--create", PARTITIONS])
        .arg(rows)
        .env("KAFKA_BROKERS", &broker.address)
        .status()?;
    ensure!(replayed.success(), "replay failed");
    let started = Instant::now();
    let mut fleet = Fleet::start(&broker.address, processes)?;
    let positions = fleet.kill_at(kills)?;
    fleet.wait()?;
    let elapsed = started.elapsed();
    // Everything is read already: one process alone owns all partitions and says what their state is.
    let summary = fleet.summary()?;
    let alerts = foreign::committed(&broker.address, ALERTS)?;
    println!(
        "{processes} process(es), {kills} kills at committed positions {positions:?}: {:.0} s, {} alerts, state {}",
        elapsed.as_secs_f64(),
        alerts.values().map(Vec::len).sum::<usize>(),
        summary["state_digest"]
    );
    let rows = summary.get("rows").context("the summary has no rows")?.clone();
    ensure!(rows["balanced"] == true, "the accounting identity does not hold: {rows}");
    Ok(Outcome { digest: summary["state_digest"].clone(), rows, alerts })
}

fn compare(calm: &Outcome, shaken: &Outcome, processes: usize) -> bool {
    if calm == shaken {
        println!("{processes} process(es) killed {KILLS} times: state, rows and alerts equal to the undisturbed run");
        return true;
    }
    println!(
        "{processes} process(es): state {} / {}, rows {} / {}",
        calm.digest, shaken.digest, calm.rows, shaken.rows
    );
    let keys = calm.alerts.keys().chain(shaken.alerts.keys());
    if let Some(key) = keys.into_iter().find(|key| calm.alerts.get(*key) != shaken.alerts.get(*key)) {
        println!("first key that differs: {key}\n{:?}\n{:?}", calm.alerts.get(key), shaken.alerts.get(key));
    }
    false
}
