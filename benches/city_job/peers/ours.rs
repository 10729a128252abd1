//! Our own run: this program as a child of itself, so that its time and memory are those of the engine alone.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::measure::peak_rss_mb;
use crate::setting::Variant;
use crate::whole::{self, Outputs};

/// In the environment of the child: its `delivery`.
pub(crate) const CHILD: &str = "ARTERIAL_BENCH_CHILD";
/// In the environment of the child: how often it ran before.
const REPEAT: &str = "ARTERIAL_BENCH_CHILD_REPEAT";
/// In the environment of the child: its `commit_every_max`, where that is another than `commit_every`.
pub(crate) const COMMIT_EVERY_MAX: &str = "ARTERIAL_BENCH_CHILD_COMMIT_EVERY_MAX";

/// A fresh name is a fresh consumer group, fresh state and fresh output topics.
pub(super) fn name(delivery: &str, repeat: usize) -> String {
    format!("peers-{}-{repeat}", delivery.replace('_', "-"))
}

/// The child to start.
pub(crate) fn command(delivery: &str, repeat: usize) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(CHILD, delivery).env(REPEAT, repeat.to_string());
    Ok(command)
}

/// The child: does the job once and prints one line of figures, named as the peers name theirs.
pub(crate) fn run(delivery: &str) -> Result<()> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let (brokers, topic, repeat) = (variable("BROKER")?, variable("TOPIC")?, variable(REPEAT)?.parse()?);
    let name = name(delivery, repeat);
    let most = variable(COMMIT_EVERY_MAX).ok();
    let variant = Variant { name: &name, delivery, commit_every_max: most.as_deref(), ..Variant::default() };
    let plan = variant.plan(&brokers, &topic)?;
    let (meter, summary) = whole::run(&plan, Outputs::Committed)?;
    let rows = summary.accounting();
    ensure!(rows.balanced(), "the accounting identity does not hold: {rows:?}");
    let (spoilt, all) = (rows.dead_letter(), rows.rows_in);
    ensure!(spoilt * 500 < all, "{spoilt} of {all} rows are dead letters, and 1 of 1,000 is malformed");
    let cost = meter.cost().context("the topic is empty")?;
    println!(
        "RESULT arterial rows={} wall={:.2} rate={:.0} cpu_run={:.2} rss_mb={:.0}",
        cost.rows,
        cost.wall.as_secs_f64(),
        cost.rows_per_s(),
        cost.cpu.as_secs_f64(),
        peak_rss_mb()
    );
    Ok(())
}
