//! A pipeline file's text -> a plan that is valid by construction, or every problem with its place. No network.
//!
//! | step | enters | leaves |
//! |---|---|---|
//! | [`tree`] | YAML text | a tree whose keys and values know their places |
//! | [`substitute`] | the tree, environment variables | the tree with `${...}` replaced |
//! | `shape` | the tree, the JSON Schema of the [`model`] | numbers where they are due; unknown keys, wrong types |
//! | `rules` | the tree, a [`Registry`] | what no schema can say |
//! | [`model`] | the tree | [`model::PipelineSpec`] |
//! | [`plan`] | a [`PipelineFile`] without problems | [`PipelinePlan`] |
//! | [`outline`] | a [`PipelinePlan`] | what it does, as data |

mod asked;
mod assemble;
pub mod check;
pub mod file;
mod given;
pub mod json_schema;
mod lines;
pub mod model;
mod models;
mod normalise;
pub mod outline;
mod part;
mod parts;
pub mod plan;
pub mod problem;
pub mod registry;
mod render;
mod rules;
pub mod secret;
mod sentence;
mod shape;
mod steps;
pub mod substitute;
pub(crate) mod suggest;
pub(crate) mod syntax;
mod tables;
pub mod template;
pub(crate) mod trained;
pub mod tree;
mod units;
mod version;

pub use asked::UnknownStep;
pub use file::PipelineFile;
pub use parts::{Networks, OpenLedger, OpenRequest, OpenSource, Parts};
#[cfg(feature = "cli")]
pub(crate) use plan::folder_of;
pub use plan::{
    EventTimePlan, PipelinePlan, RuntimePlan, SinkPlan, load_plan, load_plan_to_connect, load_plan_to_test,
};
pub use problem::{Place, Problem, SpecErrors};
pub use registry::{PropertyRefusal, Registry};
pub use secret::{SecretError, SecretPlace, SecretText};
pub use trained::{NetworkStart, Start};
