//! Feature matrices and labels -> forecasts and prequential scores: every forecast is scored before its label is
//! learned, and a label is learned only when its window has closed.

mod forecast;

pub use forecast::{Forecasts, ScoreRow};

mod settings;

pub use settings::Loss;
