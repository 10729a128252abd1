//! The tree -> everything that is wrong with it, and the typed specification where its shape is right.

use std::sync::OnceLock;

use jsonschema::ValidationError;

use super::json_schema;
use super::model::PipelineSpec;
use super::problem::{Place, Problem};
use super::registry::Registry;
use super::rules;
use super::shape::Shape;
use super::tree::Node;
use crate::vocab::YamlPath;

/// Checks shape and rules. Substituted texts become numbers and booleans where those are due.
///
/// The specification comes back even where rules are broken, so that the stages' own checks can add their findings; it
/// is `None` where the shape is wrong.
#[must_use]
pub fn check(root: &mut Node, registry: &Registry) -> (Option<PipelineSpec>, Vec<Problem>) {
    let shape = match pipeline_shape() {
        Ok(shape) => shape,
        Err(error) => return (None, vec![defect(&format!("the built-in schema is broken: {error}"))]),
    };
    shape.coerce(root);
    let mut problems = shape.problems(root);
    let fits = problems.is_empty();
    problems.extend(rules::problems(root, registry));
    if !fits {
        return (None, problems);
    }
    match serde_json::from_value(root.to_json()) {
        Ok(spec) => (Some(spec), problems),
        Err(error) => {
            problems.push(defect(&format!("the file does not fit the model: {error}")));
            (None, problems)
        }
    }
}

/// The schema is compiled once in a process: it takes some milliseconds.
fn pipeline_shape() -> Result<&'static Shape, &'static ValidationError<'static>> {
    static SHAPE: OnceLock<Result<Shape, ValidationError<'static>>> = OnceLock::new();
    SHAPE.get_or_init(|| Shape::new(json_schema::pipeline_schema())).as_ref()
}

/// Schema and model are generated from the same types; where they disagree nonetheless, it is ours to mend.
fn defect(message: &str) -> Problem {
    let hint = Some("this is a defect of the engine: please report it with the file".to_owned());
    Problem { path: YamlPath::default(), at: Place::START, message: message.to_owned(), hint }
}
