//! How long all of Aarhus takes as history, models learning, and what twice the history costs in memory: `arterial backfill`
//! over the first half of the rows and over all of them, in turn. `make bench-backfill` runs it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]

#[path = "../support/data.rs"]
mod data;
#[path = "../support/figures.rs"]
mod figures;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arterial_connectors::file::{FileRows, FileRowsConfig};
use comfy_table::Table;
use parquet::arrow::ArrowWriter;

use crate::data::data_file;
use crate::figures::{Figure, write_figures};

/// Each history is read so often; medians count.
const REPEATS: usize = 3;
/// Partitions of the topic that the files stand for.
const PARTITIONS: &str = "8";

struct Run {
    seconds: f64,
    peak_mb: f64,
}

struct History {
    name: &'static str,
    path: PathBuf,
    rows: u64,
    runs: Vec<Run>,
}

impl History {
    fn median(&self, value: impl Fn(&Run) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

fn main() -> Result<()> {
    let whole = std::path::absolute(data_file("aarhus/traffic.parquet")?)?;
    let folder = tempfile::tempdir()?;
    let half = folder.path().join("half.parquet");
    let rows = FileRows::open(&FileRowsConfig::new(&whole))?.rows_total();
    write_first(&whole, rows / 2, &half)?;
    let history = |name, path, rows| History { name, path, rows, runs: Vec::new() };
    let mut histories = [history("first half", half, rows / 2), history("whole", whole, rows)];
    for repeat in 1..=REPEATS {
        for history in &mut histories {
            let run = backfill(&history.path, &folder.path().join("out"))?;
            eprintln!("{repeat}/{REPEATS} {}: {:.1} s, {:.0} MB", history.name, run.seconds, run.peak_mb);
            history.runs.push(run);
        }
    }
    println!("{}", table(&histories));
    println!("written to {}", write_figures("bench.json", &figures(&histories))?.display());
    Ok(())
}

/// Writes the first rows of a file, which are the earliest.
fn write_first(from: &Path, rows: u64, to: &Path) -> Result<()> {
    let (mut left, mut writer) = (rows, None);
    for batch in FileRows::open(&FileRowsConfig::new(from))? {
        let batch = batch?;
        let batch = batch.slice(0, usize::try_from(left).map_or(batch.num_rows(), |left| left.min(batch.num_rows())));
        if writer.is_none() {
            writer = Some(ArrowWriter::try_new(File::create(to)?, batch.schema(), None)?);
        }
        if let Some(writer) = &mut writer {
            writer.write(&batch)?;
        }
        left -= batch.num_rows() as u64;
        if left == 0 {
            break;
        }
    }
    writer.context("the file has no rows")?.close()?;
    Ok(())
}

/// One run in a process of its own, into a fresh folder.
fn backfill(from: &Path, out: &Path) -> Result<Run> {
    if out.exists() {
        std::fs::remove_dir_all(out)?;
    }
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/congestion-aarhus.yaml");
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["backfill", "--format", "json", "--partitions", PARTITIONS, "--from"])
        .arg(from)
        .arg("--to")
        .arg(out)
        .arg(pipeline)
        .env("ARTERIAL_LOG", "warn")
        .stdout(Stdio::null())
        .spawn()?;
    let mut peak_mb: f64 = 0.0;
    let status = loop {
        peak_mb = peak_mb.max(peak_of(child.id()).unwrap_or(0.0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(status.success(), "the backfill failed: {status}");
    Ok(Run { seconds: started.elapsed().as_secs_f64(), peak_mb })
}

/// Most memory that a process has had so far, MB; `None` once it is gone.
fn peak_of(id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kilobytes| kilobytes * 1024.0 / 1e6)
}

fn table(histories: &[History]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["history", "M rows", "s", "M rows/s", "memory, MB"]);
    for history in histories {
        let (rows, seconds) = (history.rows as f64 / 1e6, history.median(|run| run.seconds));
        table.add_row([
            history.name.to_owned(),
            format!("{rows:.2}"),
            format!("{seconds:.1}"),
            format!("{:.2}", rows / seconds),
            format!("{:.0}", history.median(|run| run.peak_mb)),
        ]);
    }
    table
}

fn figures([half, whole]: &[History; 2]) -> Vec<Figure> {
    let (half_mb, whole_mb) = (half.median(|run| run.peak_mb), whole.median(|run| run.peak_mb));
    vec![
        Figure::new("backfill.aarhus.seconds", whole.median(|run| run.seconds), "s"),
        Figure::new("backfill.aarhus.peak_mb", whole_mb, "MB"),
        Figure::new("backfill.twice_the_history", whole_mb / half_mb, "ratio"),
    ]
}
