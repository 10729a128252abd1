//! The engine.

pub mod spec;
pub mod stages;
pub mod vocab;
