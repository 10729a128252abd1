//! The engines that do the city job, and one run of one of them as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::setting::Setting;

/// Who does the job, and with which promise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Engine {
    /// As in the table.
    pub(crate) name: &'static str,
    /// What the names of its figures in `target/bench.json` begin with.
    pub(crate) figure: &'static str,
    pub(crate) how: How,
}

/// How an engine is started.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// `pipelines/city-job.yaml` with this `delivery`, by this program as a child of itself.
    Ours { delivery: &'static str },
    /// A peer's own script with these settings in its environment.
    Peer { engine: &'static str, settings: &'static [(&'static str, &'static str)] },
}

/// What the table compares. Two engines at their fastest, each with both promises.
const ENGINES: [Engine; 6] = [
    Engine { name: "arterial, exactly once", figure: "ours.", how: How::Ours { delivery: "exactly_once" } },
    Engine {
        name: "arterial, at least once",
        figure: "ours.at_least_once_",
        how: How::Ours { delivery: "at_least_once" },
    },
    Engine {
        name: "flink, exactly once",
        figure: "peers.flink_chained_",
        how: How::Peer { engine: "flink", settings: &[("PARALLELISM", "1"), ("CHAIN", "1"), ("GUARANTEE", "eos")] },
    },
    Engine {
        name: "flink, at least once",
        figure: "peers.flink_chained_at_least_once_",
        how: How::Peer { engine: "flink", settings: &[("PARALLELISM", "1"), ("CHAIN", "1"), ("GUARANTEE", "alo")] },
    },
    Engine {
        name: "kafka streams, exactly once",
        figure: "peers.kafka_streams_",
        how: How::Peer { engine: "kstreams", settings: &[("STORE", "mem"), ("GUARANTEE", "eos")] },
    },
    Engine {
        name: "kafka streams, at least once",
        figure: "peers.kafka_streams_at_least_once_",
        how: How::Peer { engine: "kstreams", settings: &[("STORE", "mem"), ("GUARANTEE", "alo")] },
    },
];

/// All engines, or those whose names hold the text of `ARTERIAL_BENCH_ENGINES`.
pub(crate) fn engines() -> Result<Vec<Engine>> {
    let wanted = std::env::var("ARTERIAL_BENCH_ENGINES").unwrap_or_default();
    let engines: Vec<Engine> = ENGINES.into_iter().filter(|engine| engine.name.contains(&wanted)).collect();
    let names: Vec<&str> = ENGINES.iter().map(|engine| engine.name).collect();
    ensure!(!engines.is_empty(), "no engine is called `{wanted}` (ARTERIAL_BENCH_ENGINES): {}", names.join("; "));
    Ok(engines)
}

/// What a run said of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Rows per second: of a peer, over the second half of the rows, when its virtual machine is warm.
    pub(crate) rows_per_s: f64,
    pub(crate) rows_per_cpu_s: f64,
    pub(crate) rss_mb: f64,
}

/// Where the peers lie, built.
pub(crate) struct Peers {
    pub(crate) sources: PathBuf,
    pub(crate) build: PathBuf,
}

impl Engine {
    /// Runs the job once over the topic.
    pub(crate) fn run(&self, peers: &Peers, setting: &Setting, repeat: usize) -> Result<Outcome> {
        let mut command = match self.how {
            How::Ours { delivery } => super::ours::command(delivery, repeat)?,
            How::Peer { engine, settings } => peers.command(engine, settings),
        };
        let output = command
            .env("BROKER", &setting.brokers)
            .env("TOPIC", &setting.topic)
            .env("ROWS", setting.rows.to_string())
            .env("COMMIT_MS", "1000")
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("cannot start {}", self.name))?;
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let line = said.lines().find(|line| line.starts_with("RESULT"));
        let line = line.with_context(|| format!("{} gave no result: {}", self.name, last_lines(&complaint)))?;
        let outcome = Outcome::parse(line).with_context(|| format!("{} said `{line}`", self.name))?;
        let rows = setting.rows;
        ensure!(field(line, "rows")? as u64 == rows, "{} saw other rows than {rows}: `{line}`", self.name);
        Ok(outcome)
    }
}

impl Peers {
    /// A run of one of them with these settings.
    pub(crate) fn command(&self, engine: &str, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.sources.join("run.sh"));
        command.arg(engine).env("PEERS_BUILD", &self.build).env("STATE_DIR", self.build.join("state"));
        command.envs(settings.iter().copied());
        command
    }
}

impl Outcome {
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let rate = field(line, "second_half").or_else(|_| field(line, "rate"))?;
        let rows_per_cpu_s = field(line, "rows")? / field(line, "cpu_run")?;
        Ok(Self { rows_per_s: rate, rows_per_cpu_s, rss_mb: field(line, "rss_mb")? })
    }
}

/// The number after `name=`.
fn field(line: &str, name: &str) -> Result<f64> {
    let of = |word: &str| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    line.split_whitespace().find_map(of).with_context(|| format!("no `{name}`"))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

/// Builds the peers where that was not done yet.
pub(crate) fn build(sources: &Path, build: &Path) -> Result<Peers> {
    let jars = ["kstreams/kstreams-1.jar", "flink/flink-1.jar"].map(|jar| modified(&build.join(jar)));
    if jars.contains(&None) || jars.iter().any(|jar| *jar < newest(&sources.join("jvm"))) {
        eprintln!("building the peers in {}", build.display());
        let built = Command::new("mvn")
            .args(["-q", "-B", "package", "-f"])
            .arg(sources.join("jvm/pom.xml"))
            .env("PEERS_BUILD", build)
            .status()
            .context("Maven is needed to build the peers")?;
        ensure!(built.success(), "Maven could not build {}", sources.join("jvm").display());
    }
    Ok(Peers { sources: sources.to_owned(), build: build.to_owned() })
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|file| file.modified()).ok()
}

/// When the newest of the files in a folder was written.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter_map(|path| if path.is_dir() { newest(&path) } else { modified(&path) }).max()
}
