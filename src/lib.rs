//! The engine.

pub mod cli;
pub mod observe;
pub mod runtime;
pub mod schema;
pub mod serve;
pub mod spec;
pub mod stages;
pub mod state;
pub mod vocab;
