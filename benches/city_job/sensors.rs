//! A large city beside a small one: rows per second and memory with 1,000,000 sensors and with 1,000, the same job, each
//! in a process of its own, each beside a raw read. Commits are those of the default while catching up: every second at
//! first, then after 2, 4, 8 and 10: state of a million sensors is written less often.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use comfy_table::Table;

use crate::figures::{Figure, write_figures};
use crate::measure::Cost;
use crate::peers::{COMMIT_EVERY_MAX, Outcome, our_command};
use crate::raw;
use crate::setting::{PARTITIONS, Setting};

/// Detectors and readings of each: in both cities every detector closes enough windows for its model to learn.
const CITIES: [(usize, usize); 2] = [(1_000, 24_000), (1_000_000, 80)];

struct City {
    detectors: usize,
    raw: Cost,
    outcome: Outcome,
}

/// Measures, prints a table and writes `target/bench.json`.
pub(crate) fn measure() -> Result<()> {
    let mut cities = Vec::new();
    for (detectors, rounds) in CITIES {
        let setting = Setting::open(detectors, rounds)?;
        // Not counted: a broker that was just started compiles itself, which would be charged to the first of the cities.
        run(&setting, 0)?;
        let raw = raw::consume(&setting.brokers, &setting.topic, PARTITIONS, setting.rows)?;
        cities.push(City { detectors, raw, outcome: run(&setting, 1)? });
    }
    println!("{}", table(&cities));
    println!("written to {}", write_figures("bench.json", &figures(&cities))?.display());
    Ok(())
}

fn run(setting: &Setting, repeat: usize) -> Result<Outcome> {
    let output = our_command("exactly_once", repeat)?
        .env(COMMIT_EVERY_MAX, "10s")
        .env("BROKER", &setting.brokers)
        .env("TOPIC", &setting.topic)
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "the run failed: {}", output.status);
    Outcome::parse(said.lines().find(|line| line.starts_with("RESULT")).context("the run gave no result")?)
}

fn table(cities: &[City]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["sensors", "M rows/s", "to raw", "M rows/CPU-s", "memory, MB"]);
    for City { detectors, raw, outcome } in cities {
        table.add_row([
            detectors.to_string(),
            format!("{:.2}", outcome.rows_per_s / 1e6),
            format!("{:.2}", outcome.rows_per_s / raw.rows_per_s()),
            format!("{:.2}", outcome.rows_per_cpu_s / 1e6),
            format!("{:.0}", outcome.rss_mb),
        ]);
    }
    table
}

fn figures(cities: &[City]) -> Vec<Figure> {
    let mut figures: Vec<Figure> = cities
        .iter()
        .map(|city| Figure::new(format!("sensors.{}.rows_per_s", city.detectors), city.outcome.rows_per_s, "rows/s"))
        .collect();
    if let [small, large] = cities {
        let ratio = large.outcome.rows_per_s / small.outcome.rows_per_s;
        let bytes = (large.outcome.rss_mb - small.outcome.rss_mb) * 1e6 / (large.detectors - small.detectors) as f64;
        figures.push(Figure::new("sensors.large_to_small", ratio, "ratio"));
        figures.push(Figure::new("sensors.bytes_per_sensor", bytes, "bytes"));
    }
    figures
}
