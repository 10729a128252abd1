//! Rows -> cleaned rows; duplicate, filtered and dead-lettered ones are told apart. DataFusion expressions are compiled once.

mod settings;

pub use settings::{Missing, Otherwise};
