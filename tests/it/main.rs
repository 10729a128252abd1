//! The one integration-test binary: a module per area, tests are sentences.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[cfg(feature = "kafka")]
mod broker;
mod commit_protocol;
mod conformance;
mod conformance_flaws;
mod docs;
mod file_source;
#[cfg(feature = "kafka")]
mod kafka_pipeline;
mod memory;
mod predict;
mod predict_plan;
mod predict_state;
mod predict_support;
mod predictor_checks;
mod simulate;
mod tidy;
mod validate;
