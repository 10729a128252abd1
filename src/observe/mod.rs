//! What a running pipeline tells: metrics in the OpenMetrics text format and health to operators, events to whoever
//! started it.
//!
//! Names are `arterial_<stage>_<what>_<unit>`. Every pipeline has a registry of its own: nothing is global.

mod events;
mod health;
mod metrics;
mod report;
mod scores;

pub use events::{AlertNotice, DeadLetterNotice, DriftNotice, Listener, PromotionNotice, RunEvent};
pub(crate) use events::{KINDS_MAX, column_of};
pub use health::{Health, STUCK_AFTER};
pub use metrics::{Metrics, WorkerMetrics};
pub use report::BatchReport;
