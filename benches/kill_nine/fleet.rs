//! Processes of one pipeline: started, killed, started again.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::{PARTITIONS, TOPIC};

const SEED: u64 = 7_137_361;
/// How often the committed offsets are asked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A run that commits nothing for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// The processes and what they run.
pub(crate) struct Fleet {
    brokers: String,
    pipeline: PathBuf,
    processes: Vec<Option<Child>>,
    observer: BaseConsumer,
    random: SplitMix64,
}

impl Fleet {
    /// Starts the processes.
    pub(crate) fn start(brokers: &str, processes: usize) -> Result<Self> {
        let observer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "arterial.congestion-aarhus")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut fleet = Self {
            brokers: brokers.to_owned(),
            pipeline: pipeline()?,
            processes: Vec::new(),
            observer,
            random: SplitMix64::seed_from_u64(SEED),
        };
        for index in 0..processes {
            let child = fleet.spawn(index)?;
            fleet.processes.push(Some(child));
        }
        Ok(fleet)
    }

    fn spawn(&self, index: usize) -> Result<Child> {
        Command::new(env!("CARGO_BIN_EXE_arterial"))
            .args(["run", "--until", "latest", "--format", "json"])
            .arg(&self.pipeline)
            .env("KAFKA_BROKERS", &self.brokers)
            .env("INSTANCE", format!("process-{index}"))
            .env("ARTERIAL_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the pipeline")
    }

    /// Kills a process whenever the offsets committed by all of them together have passed one of `kills` seeded
    /// positions, and starts it again. Returns the positions that were committed when the signal was sent.
    pub(crate) fn kill_at(&mut self, kills: usize) -> Result<Vec<i64>> {
        let end = self.end()?;
        // Not in the last part: a process that has finished cannot be killed.
        let mut due: Vec<i64> = (0..kills).map(|_| (self.random.next_u64() % (end as u64 * 9 / 10)) as i64).collect();
        due.sort_unstable();
        let mut killed = Vec::new();
        for position in due {
            let committed = self.wait_for(position)?;
            let victim = (self.random.next_u64() % self.processes.len() as u64) as usize;
            if let Some(mut child) = self.processes[victim].take() {
                ensure!(child.try_wait()?.is_none(), "process {victim} had ended at committed position {committed}");
                // On Unix this is signal 9.
                child.kill()?;
                child.wait()?;
            }
            killed.push(committed);
            self.processes[victim] = Some(self.spawn(victim)?);
        }
        Ok(killed)
    }

    fn wait_for(&self, position: i64) -> Result<i64> {
        let (mut best, mut moved) = (0, Instant::now());
        loop {
            let committed = self.committed()?;
            if committed >= position {
                return Ok(committed);
            }
            if committed > best {
                (best, moved) = (committed, Instant::now());
            }
            ensure!(moved.elapsed() < STUCK_AFTER, "nothing was committed for {STUCK_AFTER:?}, at {committed}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Rows of the topic.
    fn end(&self) -> Result<i64> {
        let mut rows = 0;
        for partition in partitions()? {
            let (low, high) = self.observer.fetch_watermarks(TOPIC, partition, Duration::from_secs(10))?;
            rows += high - low;
        }
        Ok(rows)
    }

    /// Offsets committed, over all partitions.
    fn committed(&self) -> Result<i64> {
        let mut places = TopicPartitionList::new();
        for partition in partitions()? {
            places.add_partition(TOPIC, partition);
        }
        let committed = self.observer.committed_offsets(places, Duration::from_secs(10))?;
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        Ok(committed.elements().iter().map(|place| offset(place.offset())).sum())
    }

    /// Waits until every process has ended well.
    pub(crate) fn wait(&mut self) -> Result<()> {
        for child in self.processes.iter_mut().filter_map(Option::take) {
            finish(child)?;
        }
        Ok(())
    }

    /// One process alone, after all others: there is nothing left to read.
    pub(crate) fn summary(&self) -> Result<Value> {
        finish(self.spawn(0)?)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn partitions() -> Result<std::ops::Range<i32>> {
    Ok(0..PARTITIONS.parse()?)
}

fn finish(mut child: Child) -> Result<Value> {
    let mut text = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut text)?;
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("a process ended with {status}");
    }
    serde_json::from_str(&text).with_context(|| format!("no summary in `{text}`"))
}

/// The shipped pipeline with a name for each process, and commits often enough that 20 positions are 20 commits.
fn pipeline() -> Result<PathBuf> {
    const SHIPPED: &str = "delivery: exactly_once\n";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("pipelines/congestion-aarhus.yaml"))?;
    let vars = "vars:\n  instance: \"${INSTANCE:-process-0}\"\n";
    let runtime = "runtime: { instance: \"${instance}\", commit_every: 100ms, commit_every_max: 200ms }\n";
    let changed = text.replace("vars:\n", vars).replace(SHIPPED, &format!("{SHIPPED}{runtime}"));
    ensure!(changed.contains(vars) && changed.contains(runtime), "the shipped pipeline has changed its shape");
    let path = std::env::temp_dir().join(format!("arterial-kill-nine-{}.yaml", std::process::id()));
    std::fs::write(&path, changed)?;
    Ok(path)
}
