//! Alert changes, forecasts, scores, late rows and dead letters -> keys, values and headers of output records.

mod settings;

pub use settings::EncodeFormat;
