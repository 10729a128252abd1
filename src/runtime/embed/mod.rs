//! A pipeline inside somebody else's program: Arrow batches in, Arrow batches out. No global state, no printing, no
//! runtime and no logger of its own; its workers are threads, as those of any run.
//!
//! | file | what |
//! |---|---|
//! | `builder` | a file's text, and what the program brings along -> [`Embedded`], checked |
//! | `input` | batches of the program -> rows of the source, with backpressure |
//! | `output` | committed records of a sink -> batches of the program |
//! | `ends` | the two ends as a worker sees them |

mod builder;
mod ends;
mod input;
mod output;

pub use builder::{BuildError, Embedded, PipelineBuilder};
pub use input::{Input, SendError};
pub use output::Output;
