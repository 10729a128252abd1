//! What state costs: bytes and records of each commit and the time it takes, and the time of a restore, for a small and
//! a large city. Every commit carries the blocks that changed since the last one: while the pipeline catches up, as here,
//! in a small city that is nearly all of them.

use anyhow::{Context, Result};
use comfy_table::Table;

use crate::figures::{Figure, write_figures};
use crate::measure::{CommitCost, Meter, median};
use crate::setting::Setting;
use crate::whole::{Outputs, run};

/// Detectors and rounds: long enough that every detector has a model that has learned.
const CITIES: [(usize, usize); 2] = [(5_000, 1_200), (100_000, 120)];
const COMMITS_EVERY: [&str; 2] = ["100ms", "1s"];

/// Measures, prints a table and writes `target/bench.json`.
pub(crate) fn measure() -> Result<()> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "sensors",
        "a commit every",
        "commits",
        "rows each",
        "records, median / most",
        "kB, median / most",
        "ms, median / most",
        "state, bytes per sensor",
        "restore, ms",
    ]);
    let mut figures = Vec::new();
    for (detectors, rounds) in CITIES {
        let setting = Setting::open(detectors, rounds)?;
        for commit_every in COMMITS_EVERY {
            let plan = setting.plan(&format!("state-{commit_every}"), commit_every)?;
            let (first, _) = run(&plan, Outputs::Committed)?;
            // A second run finds nothing to read: it restores, and ends.
            let (second, _) = run(&plan, Outputs::Committed)?;
            let row = Row { detectors, commit_every, rows: setting.rows, first, second };
            table.add_row(row.cells()?);
            figures.extend(row.figures());
        }
    }
    println!("{table}");
    println!("written to {}", write_figures("bench.json", &figures)?.display());
    Ok(())
}

struct Row {
    detectors: usize,
    commit_every: &'static str,
    rows: u64,
    first: Meter,
    second: Meter,
}

impl Row {
    fn median_and_most(&self, of: impl Fn(&CommitCost) -> f64) -> (f64, f64) {
        let values = || self.first.commits.iter().map(&of);
        (median(values()), values().fold(f64::NAN, f64::max))
    }

    fn records(&self) -> (f64, f64) {
        self.median_and_most(|commit| commit.records as f64)
    }

    fn kilobytes(&self) -> (f64, f64) {
        self.median_and_most(|commit| commit.bytes as f64 / 1e3)
    }

    fn milliseconds(&self) -> (f64, f64) {
        self.median_and_most(|commit| commit.took.as_secs_f64() * 1e3)
    }

    fn bytes_per_sensor(&self) -> f64 {
        self.second.restore.bytes as f64 / self.detectors as f64
    }

    fn restore_ms(&self) -> f64 {
        self.second.restore.took.as_secs_f64() * 1e3
    }

    fn cells(&self) -> Result<[String; 9]> {
        let commits = self.first.commits.len() as u64;
        let both = |(middle, most): (f64, f64)| format!("{middle:.0} / {most:.0}");
        Ok([
            self.detectors.to_string(),
            self.commit_every.to_owned(),
            commits.to_string(),
            self.rows.checked_div(commits).context("nothing was committed")?.to_string(),
            both(self.records()),
            both(self.kilobytes()),
            both(self.milliseconds()),
            format!("{:.0}", self.bytes_per_sensor()),
            format!("{:.0}", self.restore_ms()),
        ])
    }

    fn figures(&self) -> [Figure; 5] {
        let named = |figure: &str, value: f64, unit: &str| {
            Figure::new(format!("state.{}.{}.{figure}", self.detectors, self.commit_every), value, unit)
        };
        [
            named("commit_records", self.records().0, "records"),
            named("commit_kb", self.kilobytes().0, "kB"),
            named("commit_ms", self.milliseconds().0, "ms"),
            named("bytes_per_sensor", self.bytes_per_sensor(), "bytes"),
            named("restore_ms", self.restore_ms(), "ms"),
        ]
    }
}
