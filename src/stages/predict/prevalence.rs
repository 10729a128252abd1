//! Labels of the same window that it is predicted for -> what a classifier must beat: the last label, whosever it was
//! (the no-change classifier), and the share of positive labels so far (towards the majority class). Both are causal, and
//! speak from the start: before any label both say one half.

use serde::{Deserialize, Serialize};

use crate::vocab::{Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Baselines of one classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Prevalence {
    step: String,
    seen: Seen,
    changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Seen {
    newest: f64,
    positives: u64,
    labels: u64,
}

impl Prevalence {
    /// Nothing seen yet. State goes to the step `<step>.prevalence`.
    #[must_use]
    pub fn new(step: &str) -> Self {
        let seen = Seen { newest: 0.5, positives: 0, labels: 0 };
        Self { step: format!("{step}.prevalence"), seen, changed: false }
    }

    /// Takes the labels of a window in: `labels[key]`, 0 or 1, NaN where there is none.
    pub fn observe_many(&mut self, labels: &[f64]) {
        for &label in labels.iter().filter(|label| label.is_finite()) {
            self.seen.newest = label;
            self.seen.positives += u64::from(label > 0.5);
            self.seen.labels += 1;
            self.changed = true;
        }
    }

    /// The last label.
    #[must_use]
    pub fn newest(&self) -> f64 {
        self.seen.newest
    }

    /// The share of positive labels, as if there had been one of each kind before (Laplace's rule of succession).
    #[must_use]
    pub fn share(&self) -> f64 {
        (self.seen.positives + 1) as f64 / (self.seen.labels + 2) as f64
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        if self.seen.labels > 0 && (which == Snapshot::Full || self.changed) {
            writer.put(&self.step, 0, to_block(&self.seen));
        }
        self.changed &= which == Snapshot::Full;
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] names the block that cannot be read.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            self.seen = from_block(&self.step, block, bytes)?;
        }
        Ok(())
    }
}
