//! Closed windows in order -> a feature matrix per window, from values up to that window only. A window's time is its
//! end.

mod calendar;
#[expect(clippy::module_inception, reason = "the stage's state is called what the stage is called")]
mod features;
mod graph;
mod lags;
mod matrix;
mod neighbours;
mod plan;
mod profile;
mod repeats;
mod settings;
mod tables;

pub use calendar::{DAY_MICROS, LocalTime, local_time};
pub use features::Features;
pub use graph::{Direction, Graph, GraphError, GraphSettings};
pub use matrix::{ColumnKind, FeatureColumn, FeatureMatrix};
pub use plan::{FeaturesInput, FeaturesPlan, FeaturesPlanError};
pub use profile::{Profile, ProfilePlan, SlotError};
pub use settings::{At, FeatureSettings, Fill, Of, Period};
pub use tables::TimeTableError;
