//! The state that a backfill left in a folder -> the first state of a topic's partitions (design note 0006).
//!
//! *Invariant:* the state of history and the position that a partition starts at become durable in one transaction, so a
//! partition has both or neither, whenever the process dies.

use std::path::{Path, PathBuf};

use arterial_connectors::file::rows_total;
use arterial_connectors::folder::{FolderError, Manifest};
use arterial_connectors::ledger::{Restored, StateRecord};
use arterial_connectors::position::Partition;

use super::changes::Changes;
use super::error::PipelineError;
use super::worker::Worker;
use crate::spec::PipelinePlan;
use crate::stages::window::{Seam, Watermark};
use crate::state::{BlockRecords, Blocks};

/// Why a pipeline cannot go on from a folder.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The folder cannot be read, or is another pipeline's or has other partitions.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Nothing is in it.
    #[error("folder `{}` holds no complete epoch", .path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// The backfill was stopped.
    #[error("the backfill in `{}` was stopped after {read} rows of `{input}`", .path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
        /// Files of history.
        input: String,
        /// Rows that it has read.
        read: u64,
    },
    /// Its input has grown.
    #[error("the backfill in `{}` has read {read} of the {total} rows of `{input}`", .path.display())]
    Grown {
        /// The folder.
        path: PathBuf,
        /// Files of history.
        input: String,
        /// Rows that it has read.
        read: u64,
        /// Rows there are.
        total: u64,
    },
    /// The pipeline does not read one Kafka topic.
    #[error("the pipeline reads {topics} Kafka topics, and the partitions of history are those of one")]
    Topics {
        /// Topics it reads.
        topics: usize,
    },
    /// The partition has state of its own already.
    #[error(
        "partition {} of `{topic}` goes on from what is committed, which was not handed over from `{}`",
        .partition.number, .path.display()
    )]
    Committed {
        /// The topic.
        topic: String,
        /// The partition.
        partition: Partition,
        /// The folder.
        path: PathBuf,
    },
}

impl HandoverError {
    /// What the operator should do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder(error) => error.hint(),
            Self::Empty { .. } => "name the folder of a backfill of this pipeline: `arterial backfill --to FOLDER`",
            Self::Unfinished { .. } | Self::Grown { .. } => {
                "finish it first: the same `arterial backfill` command goes on where it is"
            }
            Self::Topics { .. } => "history can be handed over to a pipeline with one topic only",
            Self::Committed { .. } => {
                "start without `--state-from` to go on from there; to begin anew, delete the group's offsets and the state topic"
            }
        }
    }
}

/// What a backfill has left.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    manifest: Manifest,
}

impl History {
    /// Looks for the newest epoch of a folder that a backfill of this pipeline has filled.
    ///
    /// # Errors
    /// [`HandoverError`], other than `Committed`: the operator names another folder.
    pub fn open(path: &Path, plan: &PipelinePlan) -> Result<Self, HandoverError> {
        let topics = plan.source.kafka.as_ref().map_or(0, |kafka| kafka.topics.len());
        if topics != 1 {
            return Err(HandoverError::Topics { topics });
        }
        let path = path.to_owned();
        let Some(manifest) = Manifest::newest(&path)? else { return Err(HandoverError::Empty { path }) };
        manifest.check_owner(&path, &plan.name)?;
        Ok(Self { path, manifest })
    }

    /// Refuses history that was not read to its end, or that has grown since where the files still say so: those that are
    /// gone do not, nor do those of text.
    fn check_finished(&self) -> Result<(), HandoverError> {
        let (path, input, read) = (self.path.clone(), self.manifest.input.clone(), self.manifest.rows_read());
        if !self.manifest.is_finished(&path)? {
            return Err(HandoverError::Unfinished { path, input, read });
        }
        match rows_total(Path::new(&input)) {
            Ok(Some(total)) if total > read => Err(HandoverError::Grown { path, input, read, total }),
            _ => Ok(()),
        }
    }

    /// Refuses a topic with another number of partitions: its keys lie elsewhere.
    pub(super) fn check_partitions(&self, counts: &[u32]) -> Result<(), HandoverError> {
        if self.manifest.partitions == counts {
            return Ok(());
        }
        let (found, expected) = (self.manifest.partitions.clone(), counts.to_vec());
        Err(FolderError::Partitions { path: self.path.clone(), found, expected }.into())
    }
}

impl Worker {
    /// Gives partitions that nobody has committed a position of the state that history ended with, less what the user
    /// resets. It is not durable yet: [`Worker::settle_starts`] commits it with their start.
    pub(super) fn hand_over(&mut self, restored: &mut [Restored]) -> Result<(), PipelineError> {
        let Some(history) = self.history.clone() else { return Ok(()) };
        let fresh: Vec<Partition> =
            restored.iter().filter(|one| one.next_offset.is_none()).map(|one| one.partition).collect();
        // Once it is handed over its files may grow.
        if !fresh.is_empty() {
            history.check_finished()?;
        }
        let mut left = history.manifest.restore(&history.path, &fresh)?.into_iter();
        for one in restored {
            if one.next_offset.is_some() {
                self.check_handed_over(&history, one)?;
                continue;
            }
            one.state = left.next().map_or_else(Vec::new, |found| found.state);
            self.lay_seam(&history, one)?;
        }
        Ok(())
    }

    /// A partition with a position has been started before: from this history, or else it is refused.
    fn check_handed_over(&self, history: &History, restored: &Restored) -> Result<(), PipelineError> {
        let seam = Seam::restore(&blocks(restored)?)?;
        if seam.is_some_and(|seam| seam.origin() == history.manifest.state_digest) {
            return Ok(());
        }
        let (partition, path) = (restored.partition, history.path.clone());
        let topic = self.plan.topic(partition.topic).to_owned();
        Err(HandoverError::Committed { topic, partition, path }.into())
    }

    /// Notes in the state where history ends, after looking whether the plan can go on from it.
    fn lay_seam(&self, history: &History, restored: &mut Restored) -> Result<(), PipelineError> {
        let (partition, blocks) = (restored.partition, blocks(restored)?);
        let changes = Changes::of(&self.plan, &blocks, !self.shared.was_reset(partition))?;
        self.teller.decided(&changes);
        changes.check()?;
        let mut watermark = Watermark::new(&self.plan.window);
        watermark.restore(&blocks)?;
        let seam = Seam::new(watermark.newest(), &history.manifest.state_digest);
        let mut records: Vec<StateRecord> = Vec::new();
        seam.write(&mut BlockRecords::new(partition, &mut records));
        restored.state.extend(records.into_iter().filter_map(|record| Some((record.key, record.value?))));
        Ok(())
    }
}

fn blocks(restored: &Restored) -> Result<Blocks, PipelineError> {
    Blocks::from_records(restored.state.clone()).map_err(|error| PipelineError::State(error.to_string()))
}
