//! Bytes of one partition -> typed rows, and rejected rows as values. No state.

mod builders;
mod csv;
mod decoder;
mod plan;
mod scanner;
mod settings;
mod shape;
mod timestamp;
mod typed;

pub use decoder::{DecodeError, Decoded, Decoder};
pub use plan::{DecodePlan, DecodePlanError, DecodeSettings};
pub use settings::{CsvSettings, Format, TimestampFormat};
pub(in crate::stages) use timestamp::TimeReader;
