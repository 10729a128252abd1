//! Feature matrices and labels -> forecasts and prequential scores: every forecast is scored before its label is
//! learned, and a label is learned only when its window has closed.

mod forecast;
mod total;

pub use forecast::{Forecasts, ScoreRow};
pub use total::{ScoreTotal, total_scores};

mod settings;

pub use settings::Loss;
