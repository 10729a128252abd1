//! Bytes of one partition -> typed rows, and rejected rows as values. No state.

mod builders;
mod csv;
mod decoder;
mod plan;
mod scanner;
mod settings;
mod shape;
mod text_time;
mod timestamp;
mod typed;

pub use decoder::{DecodeError, Decoded, Decoder};
pub use plan::{DecodePlan, DecodePlanError, DecodeSettings};
pub use settings::{CsvSettings, Format, TimestampFormat};
pub use text_time::{TextTimeFormat, TextTimeFormatError};
pub(in crate::stages) use timestamp::TimeReader;
