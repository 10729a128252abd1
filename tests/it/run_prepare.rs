//! Learning ahead inside a run: one network between two looks for rows, however many partitions a worker has.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arterial::runtime::Connect;
use arterial::spec::PipelineFile;
use arterial::{
    AdditiveForecast, FeatureMatrix, Fresh, KeyId, OnlinePredictor, Predictor, Registry, Snapshot, StateError,
    StateReader, StateWriter,
};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::source::{Source, SourceError, SourceEvent, Until};

use crate::run_support::{Ends, edited, run_with};
use crate::source_support::forwarded;

/// What happened, in order: `None` for a look for rows, the number of a model that learned ahead.
type Log = Arc<Mutex<Vec<Option<usize>>>>;

/// A model that always has something to learn ahead, and takes its time.
struct Slow {
    number: usize,
    log: Log,
}

impl Predictor for Slow {
    fn predict_many(&self, _: &FeatureMatrix, forecasts: &mut [Vec<f64>]) {
        forecasts.iter_mut().for_each(|forecasts| forecasts.fill(60.0));
    }

    fn explain(&self, _: usize, _: &FeatureMatrix, _: KeyId) -> Option<AdditiveForecast> {
        None
    }

    fn version(&self, _: usize) -> u64 {
        0
    }

    fn refused(&self, _: usize) -> u64 {
        0
    }

    fn snapshot(&mut self, _: Snapshot, _: &mut dyn StateWriter) {}

    fn restore(&mut self, _: &dyn StateReader) -> Result<(), StateError> {
        Ok(())
    }
}

impl OnlinePredictor for Slow {
    fn grow(&mut self, _: usize) {}

    fn learn_many(&mut self, _: usize, _: &FeatureMatrix, _: &[f64]) {}

    fn forget(&mut self, _: &[KeyId]) {}

    fn prepare(&mut self) {
        self.log.lock().unwrap().push(Some(self.number));
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(3) {
            std::hint::spin_loop();
        }
    }
}

/// A source that notes when it is looked at.
struct Watched {
    source: Box<dyn Source>,
    log: Log,
}

impl Source for Watched {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        self.log.lock().unwrap().push(None);
        self.source.poll(timeout)
    }

    forwarded!(source: start_of, seek, release, pause, resume, lag_rows, partition_counts, others_finished, group_metadata, connected);
}

struct Watching {
    ends: Ends,
    log: Log,
}

impl Connect for Watching {
    fn source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Watched { source: self.ends.source(slot, until)?, log: Arc::clone(&self.log) }))
    }

    fn ledger(&self, slot: &str, partitions: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        self.ends.ledger(slot, partitions)
    }
}

#[test]
fn one_network_learns_ahead_between_two_looks_for_rows_and_each_has_its_turn() {
    let log: Log = Arc::default();
    let (models, made) = (Arc::clone(&log), Arc::new(Mutex::new(0)));
    let registry = Registry::standard().model("slow", move |_| {
        let (log, made) = (Arc::clone(&models), Arc::clone(&made));
        Ok(Fresh::new(move |_| {
            let mut made = made.lock().unwrap();
            *made += 1;
            Box::new(Slow { number: *made, log: Arc::clone(&log) }) as Box<_>
        }))
    });
    let text = edited(&[("online_linear: { scale: 10 }", "custom: { name: slow }")]);
    let file = PipelineFile::parse("pipeline.yaml", &text, &|_| None, &registry);
    let plan = file.plan(Path::new(""), &[].into()).unwrap_or_else(|problems| panic!("{problems}"));
    let ran = run_with(plan, Arc::new(Watching { ends: Ends::new(2), log: Arc::clone(&log) }), |_| {});
    ran.result.unwrap();
    let log = log.lock().unwrap();
    let turns: Vec<&[Option<usize>]> = log.split(Option::is_none).collect();
    assert!(turns.iter().all(|learned| learned.len() <= 1), "{turns:?}");
    let counts = [1, 2].map(|number| log.iter().filter(|one| **one == Some(number)).count());
    assert!(counts[0] > 0 && counts[0].abs_diff(counts[1]) <= 1, "{counts:?}");
}
