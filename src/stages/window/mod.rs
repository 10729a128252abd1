//! Rows in event-time order per partition -> closed windows, one row per live key. Never reads a clock.

mod accumulator;
mod closed;
mod function;
mod key_columns;
mod keys;
mod open;
mod plan;
mod readings;
mod saved;
mod seam;
mod settings;
mod squares;
mod total;
pub mod watermark;
mod windows;

pub use closed::ClosedWindow;
pub use function::{Function, aggregate};
pub use keys::Keys;
pub use plan::{Aggregate, WindowPlan, WindowPlanError, WindowSettings};
pub use seam::Seam;
pub use settings::{AtEnd, Stamps};
pub use total::MAGNITUDE_MAX;
pub use watermark::{Advance, Crossing, Watermark};
pub use windows::{OnClose, Windows};
