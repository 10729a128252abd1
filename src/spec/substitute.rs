//! The tree as written -> the tree with `${...}` replaced. `vars:` comes first, and only there are environment variables
//! read; everywhere else `${name}` means an entry of `vars:`. What is put in is text and stays text: it is never read as
//! YAML again, so it can add no key and end no string. Keys are left alone.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::{Place, Problem};
use super::suggest;
use super::template::{self, Reference, TemplateError};
use super::tree::{Entry, Node, Value};
use crate::vocab::YamlPath;

/// Looks up an environment variable. Injected, so that tests and embedders decide what is seen.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The entry of the root that holds the variables.
const VARS: &str = "vars";

/// What could not be replaced.
#[derive(Debug, Default)]
pub struct Unreplaced {
    /// Why.
    pub problems: Vec<Problem>,
    /// Texts that stay as they were written, and so say nothing about themselves yet.
    pub paths: BTreeSet<YamlPath>,
}

/// Replaces every reference in place, as far as that can be done.
pub fn substitute(root: &mut Node, environment: Environment<'_>) -> Unreplaced {
    let mut substitution = Substitution { vars: BTreeMap::new(), unreplaced: Unreplaced::default() };
    if let Some(vars) = root.entry_mut(VARS) {
        substitution.resolve_vars(&mut vars.value, environment);
    }
    let Value::Map(entries) = &mut root.value else { return substitution.unreplaced };
    for entry in entries.iter_mut() {
        substitution.refuse_in_key(entry, &YamlPath::default());
        if entry.key != VARS {
            substitution.replace_below(&mut entry.value, &YamlPath::default().key(entry.key.clone()));
        }
    }
    substitution.unreplaced
}

struct Substitution {
    /// Resolved variables. `None`: the variable is there, but its own value has a problem that is reported already.
    vars: BTreeMap<String, Option<String>>,
    unreplaced: Unreplaced,
}

impl Substitution {
    /// Turns every variable's value into text. Values that are not scalars are left for the schema to refuse.
    fn resolve_vars(&mut self, vars: &mut Node, environment: Environment<'_>) {
        let Value::Map(entries) = &mut vars.value else { return };
        for entry in entries {
            let path = YamlPath::default().key(VARS).key(entry.key.clone());
            if !template::is_name(&entry.key) {
                let message = format!("variable name `{}` can never be used as `${{...}}`", entry.key);
                self.report(path.clone(), entry.key_at, message, "use letters, digits and underscores");
            }
            let written = match &entry.value.value {
                Value::Text(text) => Some(text.clone()),
                Value::Number(_, written) => Some(written.clone()),
                Value::Bool(value) => Some(value.to_string()),
                Value::Null | Value::List(_) | Value::Map(_) => None,
            };
            let resolved = written.and_then(|text| self.resolve_var(&text, &path, entry.value.at, environment));
            if let Some(text) = &resolved {
                entry.value.value = Value::Text(text.clone());
            }
            self.vars.insert(entry.key.clone(), resolved);
        }
    }

    fn resolve_var(&mut self, text: &str, path: &YamlPath, at: Place, environment: Environment<'_>) -> Option<String> {
        let resolved = template::replace(text, |reference| from_environment(reference, environment));
        match resolved {
            Ok((resolved, _)) => Some(resolved),
            Err(error) => {
                self.refuse(&error, path, at);
                None
            }
        }
    }

    fn replace_below(&mut self, node: &mut Node, path: &YamlPath) {
        match &mut node.value {
            Value::Text(text) => match template::replace(text, |reference| self.variable(reference)) {
                Ok((replaced, references)) => {
                    *text = replaced;
                    node.substituted = references > 0;
                }
                // The variable's own problem is reported at the variable.
                Err(TemplateError::Unresolved) => {
                    self.unreplaced.paths.insert(path.clone());
                }
                Err(error) => self.refuse(&error, path, node.at),
            },
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.replace_below(item, &path.index(index));
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    self.refuse_in_key(entry, path);
                    self.replace_below(&mut entry.value, &path.key(entry.key.clone()));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(..) => {}
        }
    }

    fn variable(&self, reference: &Reference<'_>) -> Result<String, TemplateError> {
        let name = reference.name.to_owned();
        if reference.fallback.is_some() || reference.message.is_some() {
            return Err(TemplateError::EnvironmentOutsideVars { name });
        }
        match self.vars.get(reference.name) {
            Some(Some(value)) => Ok(value.clone()),
            Some(None) => Err(TemplateError::Unresolved),
            None => Err(TemplateError::UnknownVariable { name }),
        }
    }

    fn refuse_in_key(&mut self, entry: &Entry, parent: &YamlPath) {
        if entry.key.contains("${") {
            let message = format!("key `{}` holds a variable; variables are replaced in values only", entry.key);
            self.report(parent.key(entry.key.clone()), entry.key_at, message, "write the key out");
        }
    }

    fn refuse(&mut self, error: &TemplateError, path: &YamlPath, at: Place) {
        let hint = match error {
            TemplateError::UnknownVariable { name } => {
                let known = self.vars.keys().map(String::as_str);
                suggest::hint(name, known, "variables")
                    .unwrap_or_else(|| format!("declare it: `vars: {{ {name}: \"${{{name}:-default}}\" }}`"))
            }
            other => other.hint(),
        };
        self.unreplaced.paths.insert(path.clone());
        self.report(path.clone(), at, error.to_string(), &hint);
    }

    fn report(&mut self, path: YamlPath, at: Place, message: String, hint: &str) {
        self.unreplaced.problems.push(Problem { path, at, message, hint: Some(hint.to_owned()) });
    }
}

/// `${NAME}`, `${NAME:-default}` and `${NAME:?message}` as a shell has them: an empty variable counts as unset for the
/// last two.
fn from_environment(reference: &Reference<'_>, environment: Environment<'_>) -> Result<String, TemplateError> {
    let name = reference.name.to_owned();
    let value = environment(reference.name);
    if let Some(message) = reference.message {
        let message = message.to_owned();
        return value.filter(|text| !text.is_empty()).ok_or(TemplateError::Required { name, message });
    }
    if let Some(fallback) = reference.fallback {
        return Ok(value.filter(|text| !text.is_empty()).unwrap_or_else(|| fallback.to_owned()));
    }
    value.ok_or(TemplateError::UnsetEnvironment { name })
}
