//! Which partitions run too far ahead in event time, so that a catch-up does not fill the memory with open windows
//! of the fast ones while the slow ones are still days behind.

use std::collections::BTreeMap;

use arterial_connectors::position::Partition;

use crate::vocab::EventTime;

/// Pauses partitions that are more than `max_drift` ahead of the slowest, and resumes them at half of it.
#[derive(Debug)]
pub(crate) struct Drift {
    max_micros: i64,
    paused: Vec<Partition>,
}

/// What to tell the source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DriftChange {
    pub(crate) pause: Vec<Partition>,
    pub(crate) resume: Vec<Partition>,
}

impl Drift {
    pub(crate) fn new(max_micros: i64) -> Self {
        Self { max_micros, paused: Vec::new() }
    }

    pub(crate) fn paused(&self, partition: Partition) -> bool {
        self.paused.contains(&partition)
    }

    /// Whether nothing is paused and nothing may have to be: no two of these largest event times are further apart than
    /// they may be.
    pub(crate) fn settled(&self, newest: impl Iterator<Item = EventTime>) -> bool {
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        newest.for_each(|time| (least, most) = (least.min(time.0), most.max(time.0)));
        self.paused.is_empty() && most.saturating_sub(least) <= self.max_micros
    }

    /// `progress`: the largest event time seen of each partition that still has rows to give; partitions that have
    /// given all there are, of which that is not known, or that gave none yet, are left out, or they would hold the
    /// others back for ever.
    pub(crate) fn update(&mut self, progress: &BTreeMap<Partition, EventTime>) -> DriftChange {
        let Some(slowest) = progress.values().min() else {
            return DriftChange { pause: Vec::new(), resume: std::mem::take(&mut self.paused) };
        };
        let mut change = DriftChange::default();
        for (partition, time) in progress {
            let ahead = time.0.saturating_sub(slowest.0);
            let paused = self.paused(*partition);
            if !paused && ahead > self.max_micros {
                change.pause.push(*partition);
            } else if paused && ahead <= self.max_micros / 2 {
                change.resume.push(*partition);
            }
        }
        change.resume.extend(self.paused.iter().filter(|partition| !progress.contains_key(partition)));
        self.paused.retain(|partition| !change.resume.contains(partition));
        self.paused.extend(&change.pause);
        change
    }

    /// Forgets partitions that are gone or start anew; returns those of them that the source still holds paused.
    pub(crate) fn forget(&mut self, partitions: &[Partition]) -> Vec<Partition> {
        self.paused.extract_if(.., |partition| partitions.contains(partition)).collect()
    }
}
