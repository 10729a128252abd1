//! Rows in event-time order per partition -> closed windows, one row per live key. Never reads a clock.

mod closed;

pub use closed::ClosedWindow;

mod settings;

pub use settings::{AtEnd, Stamps};
