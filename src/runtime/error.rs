//! Why a pipeline ended before its time. Bad rows are values, not errors: they never come here.

use std::time::Duration;

use arterial_connectors::ledger::LedgerError;
use arterial_connectors::source::SourceError;

use super::handover::HandoverError;
use crate::stages::clean::CleanError;
use crate::stages::decode::DecodeError;
use crate::vocab::StateError;

/// The end of a run.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The ledger cannot go on.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state of history cannot be taken over.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// Typed input of another schema than the pipeline's.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A cleaning expression failed as a whole, not for single rows.
    #[error(transparent)]
    Clean(#[from] CleanError),
    /// An alert's measure failed.
    #[error("alert measure: {0}")]
    Alert(String),
    /// Saved state cannot be read.
    #[error(transparent)]
    Block(#[from] StateError),
    /// Saved state is not this engine's.
    #[error("saved state cannot be used: {0}")]
    State(String),
    /// Saved state was made by other settings.
    #[error("the pipeline file changed under existing state: {}", .changed.join(", "))]
    Changed {
        /// Steps whose settings differ from those that their state was made with.
        changed: Vec<String>,
    },
    /// Keys that have to see each other lie in several partitions.
    #[error("`neighbours` tell of other keys (pipeline scope), so the source must have one partition; it has {found}")]
    Scope {
        /// Partitions of each topic.
        found: String,
    },
    /// Another process took this worker's place.
    #[error("this worker's slot was taken over by another process")]
    Fenced,
    /// Brokers that have not answered once.
    #[error("no broker has answered for {} s: {error}", .after.as_secs())]
    Unreached {
        /// How long they were asked.
        after: Duration,
        /// What the last try said.
        error: Box<PipelineError>,
    },
    /// Told to stop while waiting for the far side.
    #[error("stopped while waiting for the broker")]
    Stopped,
    /// A worker's thread panicked: a defect, or a custom step that panics.
    #[error("worker `{worker}` panicked: {message}")]
    Panicked {
        /// The worker's slot.
        worker: String,
        /// The panic's message.
        message: String,
    },
    /// The operating system refused something.
    #[error("{what}: {reason}")]
    System {
        /// What was asked.
        what: String,
        /// What it said.
        reason: String,
    },
}

impl PipelineError {
    /// Whether trying again may help.
    #[must_use]
    pub fn transient(&self) -> bool {
        match self {
            Self::Source(error) => error.transient(),
            Self::Ledger(error) => error.transient(),
            _ => false,
        }
    }

    /// What the operator should do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Source(error) => error.hint(),
            Self::Ledger(error) => error.hint(),
            Self::Handover(error) => error.hint(),
            Self::Decode(_) => "compare the file's columns with the schema named under `decode:`",
            Self::Clean(_) | Self::Alert(_) => {
                "this is a defect of the engine: please report it with the pipeline file"
            }
            Self::Block(_) | Self::State(_) => {
                "run the version that wrote the state, or start with `--reset all` to learn anew"
            }
            Self::Changed { .. } => {
                "undo the change, or start with `--reset STEP` for each step named: what is made from it is reset too; where \
                 values of `decode`, `clean` or a table still mean the same, `--keep STEP` goes on with the state"
            }
            Self::Scope { .. } => {
                "read one topic of one partition, keyed as now: one worker then sees every key; or remove `neighbours` from \
                 `features`"
            }
            Self::Unreached { .. } => {
                "correct `brokers`, or start the broker; without `--until` a run waits for brokers as long as it takes"
            }
            Self::Fenced => "give each process its own `runtime.instance`",
            Self::Stopped => "start again: nothing is lost",
            Self::Panicked { .. } => "nothing is lost: the last commit stands; please report the message",
            Self::System { .. } => "look at the address, the limits and the permissions named",
        }
    }
}
