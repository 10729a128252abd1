//! Closed windows in order -> a feature matrix per window, from values up to that window only.

mod matrix;

pub use matrix::{FeatureColumn, FeatureMatrix};

mod settings;

pub use settings::{At, Fill, Period};
