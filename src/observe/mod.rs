//! What a running pipeline tells its operators: metrics in the OpenMetrics text format, and health.
//!
//! Names are `arterial_<stage>_<what>_<unit>`. Every pipeline has a registry of its own: nothing is global.

mod health;
mod metrics;
mod report;

pub use health::Health;
pub use metrics::{Metrics, WorkerMetrics};
pub use report::BatchReport;
