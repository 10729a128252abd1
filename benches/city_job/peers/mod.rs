//! The city job by Arterial and by what users would pick instead, in turn, over one topic on one broker: rows per second
//! beside a raw read just before, rows per second of CPU, memory, and whether the alerts are those that are due.
//!
//! The peers are programs of their own, in the folder that `ARTERIAL_PEERS` names (`shared/peers` beside the checkout
//! unless given); Maven builds them in `target/peers`.

mod engine;
mod ours;
mod topics;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use comfy_table::Table;

pub(crate) use engine::{Engine, How, Outcome, Peers, engines};
pub(crate) use ours::{CHILD, COMMIT_EVERY_MAX, command as our_command, run as run_child};
pub(crate) use topics::reset as reset_topics;

use crate::alerts;
use crate::check;
use crate::figures::{Figure, write_figures};
use crate::generator::DETECTORS;
use crate::measure::median;
use crate::raw;
use crate::setting::{PARTITIONS, Setting};

/// Readings of each detector: 24 million rows, so that virtual machines are warm for most of them.
const ROUNDS: usize = 4_800;

/// All runs of one engine.
struct Runs {
    engine: Engine,
    outcomes: Vec<Outcome>,
    /// Ratios to the raw read just before.
    to_raw: Vec<f64>,
    hash: String,
}

impl Runs {
    fn middle(&self, of: impl Fn(&Outcome) -> f64) -> f64 {
        median(self.outcomes.iter().map(of))
    }
}

/// Measures, prints a table and writes `target/bench.json`.
pub(crate) fn measure() -> Result<()> {
    let peers = peers()?;
    let setting = Setting::open(DETECTORS, ROUNDS)?;
    let due = check::due_alerts(setting.rounds)?;
    let runs = |engine| Runs { engine, outcomes: Vec::new(), to_raw: Vec::new(), hash: String::new() };
    let mut all: Vec<Runs> = engines()?.into_iter().map(runs).collect();
    let mut raw_rows_per_s = Vec::new();
    warm_up(&setting, &peers, all[0].engine)?;
    for repeat in 0..setting.repeats {
        for runs in &mut all {
            measure_one(&setting, &peers, repeat, &due, runs, &mut raw_rows_per_s)?;
        }
    }
    println!("{}", table(&all, median(raw_rows_per_s), &alerts::hash(&due)));
    println!("written to {}", write_figures("bench.json", &figures(&all))?.display());
    Ok(())
}

/// One run that does not count: a broker that was just started compiles itself on a quarter of two cores meanwhile, which
/// would be charged to whoever comes first.
fn warm_up(setting: &Setting, peers: &Peers, engine: Engine) -> Result<()> {
    topics::reset(&setting.brokers)?;
    engine.run(peers, setting, setting.repeats).map(|_| ())
}

fn measure_one(
    setting: &Setting,
    peers: &Peers,
    repeat: usize,
    due: &[String],
    runs: &mut Runs,
    raw_rows_per_s: &mut Vec<f64>,
) -> Result<()> {
    topics::reset(&setting.brokers)?;
    let raw = raw::consume(&setting.brokers, &setting.topic, PARTITIONS, setting.rows)?;
    let outcome = runs.engine.run(peers, setting, repeat)?;
    let written = match runs.engine.how {
        How::Ours { delivery } => {
            let plan = setting.plan(&ours::name(delivery, repeat), "1s")?;
            alerts::committed(&setting.brokers, &alerts::topic(&plan)?, alerts::ours)?
        }
        How::Peer { .. } => alerts::committed(&setting.brokers, topics::ALERTS, alerts::of_peers)?,
    };
    alerts::compare(&written, due).with_context(|| runs.engine.name)?;
    runs.hash = alerts::hash(&written);
    eprintln!(
        "{}/{} {}: {:.2} M rows/s, raw {:.2}, {:.2} M rows/CPU-s, {:.0} MB, {} alerts, hash {}",
        repeat + 1,
        setting.repeats,
        runs.engine.name,
        outcome.rows_per_s / 1e6,
        raw.rows_per_s() / 1e6,
        outcome.rows_per_cpu_s / 1e6,
        outcome.rss_mb,
        written.len(),
        runs.hash
    );
    runs.to_raw.push(outcome.rows_per_s / raw.rows_per_s());
    runs.outcomes.push(outcome);
    raw_rows_per_s.push(raw.rows_per_s());
    Ok(())
}

/// The peers, built.
pub(crate) fn peers() -> Result<Peers> {
    engine::build(&sources()?, &Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers"))
}

fn sources() -> Result<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/peers");
    let folder = std::env::var_os("ARTERIAL_PEERS").map_or_else(beside, PathBuf::from);
    ensure!(
        folder.join("run.sh").exists(),
        "`{}` holds no peers: set ARTERIAL_PEERS to their folder",
        folder.display()
    );
    Ok(folder)
}

fn table(all: &[Runs], raw_rows_per_s: f64, due: &str) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["engine", "M rows/s", "to raw", "M rows/CPU-s", "memory, MB", "alerts"]);
    let raw = format!("{:.2}", raw_rows_per_s / 1e6);
    table.add_row(["raw librdkafka", raw.as_str(), "1.00", "", "", ""]);
    for runs in all {
        table.add_row([
            runs.engine.name.to_owned(),
            format!("{:.2}", runs.middle(|outcome| outcome.rows_per_s) / 1e6),
            format!("{:.2}", median(runs.to_raw.iter().copied())),
            format!("{:.2}", runs.middle(|outcome| outcome.rows_per_cpu_s) / 1e6),
            format!("{:.0}", runs.middle(|outcome| outcome.rss_mb)),
            if runs.hash == due { "those due".to_owned() } else { format!("others: {}", runs.hash) },
        ]);
    }
    table
}

fn figures(all: &[Runs]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for runs in all {
        let name = runs.engine.figure;
        figures.push(Figure::new(format!("{name}to_raw"), median(runs.to_raw.iter().copied()), "ratio"));
        figures.push(Figure::new(format!("{name}rows_per_s"), runs.middle(|one| one.rows_per_s), "rows/s"));
        figures.push(Figure::new(format!("{name}rows_per_cpu_s"), runs.middle(|one| one.rows_per_cpu_s), "rows/CPU-s"));
        figures.push(Figure::new(format!("{name}rss_mb"), runs.middle(|one| one.rss_mb), "MB"));
    }
    let of_peers = all.iter().filter(|runs| matches!(runs.engine.how, How::Peer { .. }));
    let best = of_peers.map(|runs| runs.middle(|one| one.rows_per_cpu_s)).fold(f64::NAN, f64::max);
    figures.push(Figure::new("peers.best_rows_per_cpu_s", best, "rows/CPU-s"));
    let ours = |figure: &str| all.iter().find(|runs| runs.engine.figure == figure);
    if let (Some(once), Some(least)) = (ours("ours."), ours("ours.at_least_once_")) {
        let cost = 1.0 - once.middle(|one| one.rows_per_s) / least.middle(|one| one.rows_per_s);
        figures.push(Figure::new("ours.exactly_once_costs", cost, "share of the throughput of at least once"));
        // The same job, by the stricter measure: a process of its own, in turn with the others.
        let to_raw = median(once.to_raw.iter().copied());
        figures.push(Figure::new("kafka.whole_path_to_raw", to_raw, "ratio"));
    }
    figures
}
