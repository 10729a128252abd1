//! Bytes of one partition -> typed rows, and rejected rows as values.

mod settings;

pub use settings::{Format, TimestampFormat};
