//! Wall time and CPU time of this process between its first row and its last.

use std::time::{Duration, Instant};

/// What one reading of a topic cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) rows: u64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Cost {
    pub(crate) fn rows_per_s(&self) -> f64 {
        self.rows as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn rows_per_cpu_s(&self) -> f64 {
        self.rows as f64 / self.cpu.as_secs_f64()
    }

    pub(crate) fn cpu_ns_per_row(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.rows as f64
    }
}

/// What one commit carried of the state, and how long the ledger took to make it durable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommitCost {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
}

/// All state that was read back at the start of a run, and the time until reading could begin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RestoreCost {
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
}

/// Starts at the first row.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    started: Option<(Instant, Duration)>,
    stopped: Option<(Instant, Duration)>,
    rows: u64,
    pub(crate) commits: Vec<CommitCost>,
    restoring: Option<Instant>,
    pub(crate) restore: RestoreCost,
}

impl Meter {
    /// Notes rows that have arrived but were not worked on yet.
    pub(crate) fn rows(&mut self, rows: usize) {
        if rows > 0 {
            self.started.get_or_insert_with(|| (Instant::now(), cpu()));
            self.rows += rows as u64;
        }
    }

    /// Notes that everything so far is done; the last call counts.
    pub(crate) fn stop(&mut self) {
        self.stopped = Some((Instant::now(), cpu()));
    }

    /// Notes a successful commit.
    pub(crate) fn committed(&mut self, cost: CommitCost) {
        self.commits.push(cost);
        self.stop();
    }

    /// Notes what a restore that began then has given.
    pub(crate) fn restored(&mut self, since: Instant, bytes: usize) {
        self.restoring.get_or_insert(since);
        self.restore.bytes += bytes;
    }

    /// Notes that a partition's state is rebuilt: its worker says where it reads on.
    pub(crate) fn sought(&mut self) {
        if let Some(since) = self.restoring {
            self.restore.took = since.elapsed();
        }
    }

    /// `None` where there was no row.
    pub(crate) fn cost(&self) -> Option<Cost> {
        let ((from, cpu_from), (to, cpu_to)) = (self.started?, self.stopped?);
        Some(Cost { rows: self.rows, wall: to - from, cpu: cpu_to.saturating_sub(cpu_from) })
    }
}

/// User and system time of this process, librdkafka's threads included, in ticks of 10 ms.
fn cpu() -> Duration {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program stands in parentheses and may hold spaces; utime and stime are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}

/// Peak resident memory of this process so far, MB.
pub(crate) fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) * 1024.0 / 1e6
}

/// The middle value; of an even number the lower one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
