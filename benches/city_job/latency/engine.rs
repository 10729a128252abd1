//! An engine that runs until it is told to stop, as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arterial::runtime::{Pipeline, RunOptions, Wiring};
use arterial::spec::model::Output;
use std::sync::Arc;

use super::load::RATE;
use crate::generator::DETECTORS;
use crate::peers::{Engine, How, Peers};
use crate::setting::Variant;

/// In the environment of the child: its `delivery`.
pub(crate) const CHILD: &str = "ARTERIAL_BENCH_LATENCY";
/// Between commits.
const COMMIT_MS: &str = "100";
/// How long an engine settles after it says that it is ready.
const SETTLE: Duration = Duration::from_secs(4);
/// How long a peer runs after the load.
const MARGIN_SECONDS: usize = 14;
/// Where peers write forecasts.
const PEER_FORECASTS: &str = "forecasts";
/// What an engine says when it can take readings.
const READY: &str = "READY";

/// An engine at work.
pub(super) struct Running {
    child: Child,
    /// Where it writes its forecasts.
    pub(super) forecasts: String,
    out: BufReader<ChildStdout>,
}

impl Running {
    /// Starts an engine and waits until it has settled.
    pub(super) fn start(engine: Engine, peers: &Peers, brokers: &str, topic: &str, rounds: usize) -> Result<Self> {
        let (mut command, forecasts) = match engine.how {
            How::Ours { delivery } => {
                let mut command = std::process::Command::new(std::env::current_exe()?);
                command.env(CHILD, delivery);
                (command, format!("{topic}.{}.forecasts", variant(delivery).name))
            }
            How::Peer { engine, settings } => (peers.command(engine, settings), PEER_FORECASTS.to_owned()),
        };
        let seconds = rounds * DETECTORS / RATE + MARGIN_SECONDS;
        let mut child = command
            .env("BROKER", brokers)
            .env("TOPIC", topic)
            .env("LOAD", "1")
            .env("PARALLELISM", "2")
            .env("CHAIN", "")
            .env("COMMIT_MS", COMMIT_MS)
            .env("SECS", seconds.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", engine.name))?;
        let mut out = BufReader::new(child.stdout.take().context("the engine has no output")?);
        let mut line = String::new();
        while line.trim() != READY {
            line.clear();
            ensure!(out.read_line(&mut line)? > 0, "{} ended before it was ready", engine.name);
        }
        std::thread::sleep(SETTLE);
        Ok(Self { child, forecasts, out })
    }

    /// Waits for the engine's end: ours ends with its input, a peer by the clock.
    pub(super) fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        std::io::copy(&mut self.out, &mut std::io::sink())?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the engine failed: {status}");
        Ok(())
    }
}

fn variant(delivery: &str) -> Variant<'_> {
    Variant { name: "latency", commit_every: "100ms", delivery, forecasts: true, ..Variant::default() }
}

/// The child: runs until its input ends.
pub(crate) fn run(delivery: &str) -> Result<()> {
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let plan = variant(delivery).plan(&variable("BROKER")?, &variable("TOPIC")?)?;
    let written = plan.sinks.declared().iter().any(|(_, sink)| sink.from == Output::Forecasts);
    ensure!(written, "the pipeline writes no forecasts");
    let connect = Arc::new(Wiring::new(&plan)?);
    let pipeline = Pipeline::new(plan, connect, RunOptions::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    println!("{READY}");
    let (over, told) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = over.send(());
    });
    let summary = runtime.block_on(pipeline.run(async {
        let _ = told.await;
    }))?;
    ensure!(summary.accounting().balanced(), "the accounting identity does not hold");
    Ok(())
}
