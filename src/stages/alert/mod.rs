//! Windows, features and forecasts -> alert changes, with hysteresis. Time is event time.

mod change;

pub use change::{AlertChange, AlertState};

pub use crate::stages::predict::Contribution;

mod settings;

pub use settings::Severity;
