//! Whether a pipeline is alive, and whether it is ready: every worker is connected, and says so all the time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a worker may say nothing. It reports several times a second, except while it restores state or waits for a
/// commit.
const SILENT_MAX: Duration = Duration::from_secs(5);

/// A worker that has said nothing for so long is stuck: no wait of its own is as long, and Kafka takes its partitions away then
/// (`max.poll.interval.ms`).
pub const STUCK_AFTER: Duration = Duration::from_secs(900);

/// Readiness of every worker.
#[derive(Debug, Default)]
pub struct Health {
    workers: Mutex<BTreeMap<String, Report>>,
}

#[derive(Debug)]
struct Report {
    ready: Result<(), String>,
    at: Instant,
}

impl Report {
    /// Why the worker is not ready.
    fn problem(&self) -> Option<String> {
        let silent = self.at.elapsed();
        match &self.ready {
            Err(reason) => Some(reason.clone()),
            Ok(()) if silent > SILENT_MAX => Some(format!("waits for the broker since {} s", silent.as_secs())),
            Ok(()) => None,
        }
    }
}

impl Health {
    /// Notes how a worker stands: `Err` says why it is not ready.
    pub fn set(&self, worker: &str, ready: Result<(), String>) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let report = Report { ready, at: Instant::now() };
        match workers.get_mut(worker) {
            Some(known) => *known = report,
            None => drop(workers.insert(worker.to_owned(), report)),
        }
    }

    /// Forgets a worker that has ended: it has nothing more to say.
    pub fn ended(&self, worker: &str) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
    }

    /// `Ok` where no worker has said nothing for longer than `patience`.
    ///
    /// # Errors
    /// Which one has, and for how long.
    pub fn alive(&self, patience: Duration) -> Result<(), String> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = workers.iter().map(|(worker, report)| (worker, report.at.elapsed()));
        match silent.max_by_key(|(_, silent)| *silent).filter(|(_, silent)| *silent > patience) {
            Some((worker, silent)) => Err(format!("worker {worker} has been stuck for {} s", silent.as_secs())),
            None => Ok(()),
        }
    }

    /// `Ok` where every worker is ready and there is one; else each reason.
    ///
    /// # Errors
    /// One line per worker that is not ready.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if workers.is_empty() {
            return Err(vec!["no worker has started".to_owned()]);
        }
        let reasons: Vec<String> = workers
            .iter()
            .filter_map(|(worker, report)| report.problem().map(|reason| format!("worker {worker}: {reason}")))
            .collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }
}
