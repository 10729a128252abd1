//! The engine.

pub mod schema;
pub mod spec;
pub mod stages;
pub mod vocab;
