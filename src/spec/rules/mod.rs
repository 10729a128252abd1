//! What the schema cannot say: rules between keys, and inside texts. Each reads the parts it needs and skips what is
//! missing or malformed, so that they also run on a file that is half broken. Columns are the stages' matter.

mod alerts;
mod clean;
mod custom;
mod durations;
mod names;
mod neighbours;
mod predict;
mod runtime;
mod security;
mod sinks;
mod sources;
mod tests;
mod times;
mod window;

use super::model::{Delivery, Span};
use super::part::Part;
use super::problem::Problem;
use super::registry::Registry;
use super::tree::Node;

/// The file under check and what was found so far.
struct Check<'a> {
    file: Part<'a>,
    registry: &'a Registry,
    problems: Vec<Problem>,
}

/// Everything the rules have to say about a file.
pub(super) fn problems(root: &Node, registry: &Registry) -> Vec<Problem> {
    let mut check = Check { file: Part::root(root), registry, problems: Vec::new() };
    names::check(&mut check);
    durations::check(&mut check);
    times::check(&mut check);
    sources::check(&mut check);
    clean::check(&mut check);
    custom::check(&mut check);
    window::check(&mut check);
    neighbours::check(&mut check);
    predict::check(&mut check);
    alerts::check(&mut check);
    sinks::check(&mut check);
    runtime::check(&mut check);
    tests::check(&mut check);
    check.problems
}

impl<'a> Check<'a> {
    /// The one source, where there is one.
    fn source(&self) -> Option<Part<'a>> {
        match self.file.get("sources").entries().as_slice() {
            [(_, source)] => Some(source.clone()),
            _ => None,
        }
    }

    /// `kafka:` of the source, where it has one.
    fn kafka_source(&self) -> Option<Part<'a>> {
        self.source().map(|source| source.get("kafka")).filter(Part::given)
    }

    /// `partitioned_by` of the source.
    fn partitioned_by(&self) -> Option<&'a str> {
        self.source()?.get("partitioned_by").text()
    }

    fn max_delay(&self) -> Option<Span> {
        self.source()?.get("event_time").get("max_delay").read()
    }

    fn delivery(&self) -> Option<Delivery> {
        self.file.get("delivery").read_or_default()
    }

    /// Columns of closed windows: computed, then carried.
    fn window_columns(&self) -> Vec<&'a str> {
        let window = self.file.get("window");
        let carried = window.get("carry").texts();
        window.get("columns").keys().into_iter().chain(carried.into_iter().map(|(name, _)| name)).collect()
    }

    fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}
