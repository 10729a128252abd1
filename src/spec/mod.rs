//! What the user wrote ([`model::PipelineSpec`]) -> a plan that is valid by construction. No network.

pub mod model;
