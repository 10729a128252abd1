//! The tree against the JSON Schema: does every key exist, is every value of the right type? The validator's errors are
//! turned into sentences with places. Texts that hold a variable become the number or boolean that is due here.

use std::collections::BTreeSet;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::Location;
use jsonschema::{JsonType, ValidationError, Validator};
use serde_json::Value as Json;

use super::problem::Problem;
use super::sentence::{self, Fault};
use super::tree::{self, Node, Value};
use crate::stages::expression::closest;
use crate::vocab::{PathStep, YamlPath};

/// The keys under which passwords may stand: client properties, and where only the places of secrets belong.
pub(super) const SECRETIVE: [&str; 2] = ["properties", "security"];

/// A schema, ready to check trees with.
#[derive(Debug)]
pub struct Shape {
    schema: Json,
    validator: Validator,
}

/// A value that does not fit the schema, with one-key-per-variant choices already followed to the variant meant.
struct Misfit<'e, 'i> {
    path: YamlPath,
    error: &'e ValidationError<'i>,
}

impl Shape {
    /// Compiles a schema.
    ///
    /// # Errors
    /// The validator's, where the schema is not one.
    pub fn new(schema: Json) -> Result<Self, ValidationError<'static>> {
        let validator = jsonschema::draft7::new(&schema)?;
        Ok(Self { schema, validator })
    }

    /// Turns substituted texts into the numbers and booleans that are due at their places. Others stay text: the check
    /// will say what is wrong with them.
    pub fn coerce(&self, root: &mut Node) {
        let instance = root.to_json();
        let mut due: Vec<(YamlPath, Value)> = Vec::new();
        self.visit(&instance, root, &mut |misfit| {
            if let Some(value) = coerced(root, misfit) {
                due.push((misfit.path.clone(), value));
            }
        });
        for (path, value) in due {
            if let Some(node) = root.find_mut(&path) {
                node.value = value;
            }
        }
    }

    /// Everything that does not fit.
    #[must_use]
    pub fn problems(&self, root: &Node) -> Vec<Problem> {
        let instance = root.to_json();
        let mut faults: Vec<(YamlPath, Fault)> = Vec::new();
        self.visit(&instance, root, &mut |misfit| {
            let faulted = sentence::faults(&self.schema, misfit.error, root.find(&misfit.path));
            let secretive = |step: &PathStep| matches!(step, PathStep::Key(key) if SECRETIVE.contains(&key.as_str()));
            let secret = misfit.path.0.iter().any(secretive);
            let shown = |fault: Fault| if secret { fault.concealed() } else { fault };
            faults.extend(faulted.into_iter().map(|fault| (misfit.path.clone(), shown(fault))));
        });
        without_echoes(faults).into_iter().map(|(path, fault)| fault.into_problem(root, &path)).collect()
    }

    /// Calls `take` for every misfit, looking through the choice between variants.
    fn visit(&self, instance: &Json, root: &Node, take: &mut dyn FnMut(&Misfit<'_, '_>)) {
        let errors: Vec<ValidationError<'_>> = self.validator.iter_errors(instance).collect();
        for error in &errors {
            self.visit_one(error, root, take);
        }
    }

    fn visit_one(&self, error: &ValidationError<'_>, root: &Node, take: &mut dyn FnMut(&Misfit<'_, '_>)) {
        let path = yaml_path(root, error.instance_path());
        let variant = match (error.kind(), root.find(&path).map(Node::entries)) {
            (ValidationErrorKind::OneOfNotValid { context }, Some([entry])) => {
                let names = sentence::variants(&self.schema, error);
                names.iter().position(|name| *name == entry.key).and_then(|index| context.get(index))
            }
            _ => None,
        };
        match variant {
            // The variant is clear, so its own errors are what the user wants to hear.
            Some(errors) => errors.iter().for_each(|inner| self.visit_one(inner, root, take)),
            None => take(&Misfit { path, error }),
        }
    }
}

/// The value that a substituted text stands for where a number or boolean is due.
fn coerced(root: &Node, misfit: &Misfit<'_, '_>) -> Option<Value> {
    let node = root.find(&misfit.path).filter(|node| node.substituted)?;
    let (Value::Text(text), ValidationErrorKind::Type { kind }) = (&node.value, misfit.error.kind()) else {
        return None;
    };
    let text = text.trim();
    let due = |kinds: &[JsonType]| kinds.iter().any(|one| sentence::allows(kind, *one));
    if due(&[JsonType::Integer, JsonType::Number])
        && let Some(number) = tree::number(text)
    {
        return Some(Value::Number(number, text.to_owned()));
    }
    match text {
        "true" if due(&[JsonType::Boolean]) => Some(Value::Bool(true)),
        "false" if due(&[JsonType::Boolean]) => Some(Value::Bool(false)),
        _ => None,
    }
}

/// The validator's pointer as keys and indices. Only the tree knows whether `0` is a key or an index.
fn yaml_path(root: &Node, location: &Location) -> YamlPath {
    let mut path = YamlPath::default();
    for segment in location {
        let text = segment.to_string();
        let index = root.find(&path).filter(|node| matches!(node.value, Value::List(_))).and(text.parse().ok());
        path.0.push(index.map_or(PathStep::Key(text), PathStep::Index));
    }
    path
}

/// Leaves out what merely repeats another fault: a missing key whose misspelling stands beside it, and a second
/// complaint about a value of the wrong type.
fn without_echoes(faults: Vec<(YamlPath, Fault)>) -> Vec<(YamlPath, Fault)> {
    let mut misspelt: BTreeSet<(YamlPath, String)> = BTreeSet::new();
    let mut mistyped: BTreeSet<YamlPath> = BTreeSet::new();
    for (path, fault) in &faults {
        match fault {
            Fault::UnknownKey { key, allowed } => {
                if let Some(near) = closest(key, allowed.iter().map(String::as_str)) {
                    misspelt.insert((path.clone(), near.to_owned()));
                }
            }
            Fault::WrongType { .. } => {
                mistyped.insert(path.clone());
            }
            _ => {}
        }
    }
    faults
        .into_iter()
        .filter(|(path, fault)| match fault {
            Fault::MissingKey { key, .. } => !misspelt.contains(&(path.clone(), key.clone())),
            Fault::WrongType { .. } | Fault::UnknownKey { .. } => true,
            _ => !mistyped.contains(path),
        })
        .collect()
}
