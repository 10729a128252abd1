//! Workers, wiring, backpressure, the commit protocol and shutdown: the only layer that spawns, reads clocks and
//! counts metrics.

mod changes;
mod clock;
mod commit;
mod control;
#[cfg(feature = "kafka")]
mod dead_letters;
mod drift;
mod dry_run;
mod embed;
mod error;
mod evaluation;
mod handover;
mod models;
mod outputs;
mod pace;
mod pipeline;
mod rows;
mod shard;
mod silence;
mod starts;
mod stop;
mod summary;
mod teller;
mod trace;
mod transaction;
mod wiring;
mod worker;

pub use clock::SystemClock;
pub use control::{ControlLog, ControlRecord, FlushReason};
#[cfg(feature = "kafka")]
pub use dead_letters::{Letter, LetterFilter, ReplayRequest, ReplaySummary};
pub use dry_run::{DryRow, DryRun, dry_run};
pub use embed::{BuildError, Embedded, Input, Output, PipelineBuilder, SendError};
pub use error::PipelineError;
pub use handover::{HandoverError, History};
pub use pipeline::{Connect, Pipeline, RunOptions, Running};
pub use summary::{PartitionSummary, RunSummary};
#[cfg(feature = "kafka")]
pub use wiring::first_values;
pub use wiring::{Wiring, simulate_config};
