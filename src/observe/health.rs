//! Whether a pipeline is alive, and whether it is ready: connected on both sides and committing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Readiness of every worker.
#[derive(Debug, Default)]
pub struct Health {
    workers: Mutex<BTreeMap<String, Result<(), String>>>,
}

impl Health {
    /// Notes how a worker stands: `Err` says why it is not ready.
    pub fn set(&self, worker: &str, ready: Result<(), String>) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        match workers.get_mut(worker) {
            Some(known) if *known == ready => {}
            Some(known) => *known = ready,
            None => drop(workers.insert(worker.to_owned(), ready)),
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
            .filter_map(|(worker, ready)| ready.as_ref().err().map(|reason| format!("worker {worker}: {reason}")))
            .collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }
}
