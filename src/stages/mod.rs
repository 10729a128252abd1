//! The data plane, in the order the data flows: `decode, clean, window, features, predict, alert, encode`.
//!
//! No stage does I/O, reads a clock, spawns, logs or counts metrics; each is deterministic in its input and its
//! state. A stage may use the output type of the stage before it, never a later one.
//!
//! | stage | enters | leaves |
//! |---|---|---|
//! | [`decode`] | bytes of one partition | [`rows::Rows`] and rejected rows |
//! | [`window::watermark`] | event times | which rows are late, and when windows close |
//! | [`clean`] | rows | rows, less the duplicate, filtered and dead-lettered ones |
//! | [`expression`] | SQL of one row, for `clean` and `alert` | values, and the rows it fails for |
//! | [`window`] | rows | [`window::ClosedWindow`]: one row per live key and window step |
//! | [`features`] | closed windows | [`features::FeatureMatrix`] |
//! | [`predict`] | features and labels | forecasts, scores |
//! | [`alert`] | windows, features, forecasts | alert changes |
//! | [`encode`] | any of these | keys, values and headers of output records |

pub mod alert;
pub mod clean;
pub mod custom;
pub mod decode;
pub mod encode;
pub mod expression;
pub mod features;
pub mod moments;
mod onset;
pub mod predict;
mod quantiles;
pub mod rows;
pub mod window;
