//! Rows in event-time order per partition -> closed windows, one row per live key. Never reads a clock.

mod accumulator;
mod closed;
mod keys;
mod plan;
mod saved;
mod settings;
pub mod watermark;
mod windows;

pub use accumulator::{Function, MAGNITUDE_MAX};
pub use closed::ClosedWindow;
pub use keys::Keys;
pub use plan::{Aggregate, WindowPlan, WindowPlanError, WindowSettings};
pub use settings::{AtEnd, Stamps};
pub use watermark::{Advance, Crossing, Watermark};
pub use windows::{OnClose, Windows};
