//! The state of a network that learned on, read back by one that is to stay as it was trained -> nothing of it is used, its
//! blocks are deleted with the next commit, and how many labels it had learned is known for whoever is told.

use crate::vocab::{Snapshot, StateReader, StateWriter};

/// A state that is not gone on with.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    labels: u64,
    blocks: Vec<(String, u32)>,
}

impl Dropped {
    /// Notes the blocks of these steps, which have learned so many labels.
    pub(super) fn note(&mut self, labels: u64, steps: &[&str], reader: &dyn StateReader) {
        self.labels += labels;
        let of_step = |step: &&str| reader.blocks(step).map(|(block, _)| ((*step).to_owned(), block)).collect();
        self.blocks.extend(steps.iter().flat_map::<Vec<_>, _>(of_step));
    }

    /// Labels that were learned in vain.
    pub(super) fn labels(&self) -> u64 {
        self.labels
    }

    /// Deletes them, once.
    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        if which == Snapshot::Changed {
            std::mem::take(&mut self.blocks).into_iter().for_each(|(step, block)| writer.delete(&step, block));
        }
    }
}
