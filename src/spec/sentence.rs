//! One error of the JSON Schema validator -> what the user should read: a plain sentence and a hint.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value as Json;

use super::problem::Problem;
use super::suggest;
use super::tree::{self, Node, Value};
use crate::vocab::YamlPath;

const DURATION_HINT: &str = "write a whole number and a unit: 250ms, 90s, 5m, 12h, 60d";

/// One thing wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A key that does not exist here.
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that do.
        allowed: Vec<String>,
    },
    /// A key that must be there.
    MissingKey {
        /// The key.
        key: String,
        /// Its documentation.
        about: Option<String>,
    },
    /// A value of another type than is due.
    WrongType {
        /// What is due, in words.
        due: String,
        /// What stands there, in words.
        found: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A word that is none of the choices.
    NotAChoice {
        /// What stands there, in words.
        found: String,
        /// The word, where it is one.
        word: String,
        /// The choices.
        choices: Vec<String>,
    },
    /// Something else about the value.
    Other {
        /// The sentence.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl Fault {
    /// Without what stands there: it may be a password.
    pub(super) fn concealed(self) -> Self {
        match self {
            Self::WrongType { due, .. } => {
                Self::WrongType { due, found: "something else".to_owned(), hint: Some("put it in quotes".to_owned()) }
            }
            other => other,
        }
    }

    /// Places it: at the unknown key itself, else at the value.
    pub(super) fn into_problem(self, root: &Node, path: &YamlPath) -> Problem {
        let value_at = root.place(path);
        let (path, at, message, hint) = match self {
            Self::UnknownKey { key, allowed } => {
                let key_path = path.key(key.clone());
                let hint = unknown_key_hint(&key, &allowed);
                (key_path.clone(), root.key_place(&key_path), format!("unknown key `{key}`"), hint)
            }
            Self::MissingKey { key, about } => {
                let place = if path.0.is_empty() { String::new() } else { format!(" in `{path}`") };
                (path.key(key.clone()), value_at, format!("key `{key}` is missing{place}"), about)
            }
            Self::WrongType { due, found, hint } => {
                (path.clone(), value_at, format!("expected {due}, found {found}"), hint)
            }
            Self::NotAChoice { found, word, choices } => {
                let hint = suggest::hint(&word, choices.iter().map(String::as_str), "choices");
                (path.clone(), value_at, format!("{found} is not one of the choices"), hint)
            }
            Self::Other { message, hint } => (path.clone(), value_at, message, hint),
        };
        Problem { path, at, message, hint }
    }
}

fn unknown_key_hint(key: &str, allowed: &[String]) -> Option<String> {
    if key == "<<" {
        return Some("merge keys are not part of YAML 1.2: write the keys out".to_owned());
    }
    suggest::hint(key, allowed.iter().map(String::as_str), "allowed keys")
        .or_else(|| Some("nothing may stand in this mapping: write `{}`".to_owned()))
}

/// What an error says about the node it is about.
pub(super) fn faults(schema: &Json, error: &ValidationError<'_>, node: Option<&Node>) -> Vec<Fault> {
    let found = node.map_or_else(|| "nothing".to_owned(), Node::described);
    let other = |message: String| vec![Fault::Other { message, hint: None }];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let allowed = property_names(parent_schema(schema, error));
            unexpected.iter().map(|key| Fault::UnknownKey { key: key.clone(), allowed: allowed.clone() }).collect()
        }
        // How the validator refuses keys where no key at all is allowed.
        ValidationErrorKind::FalseSchema => {
            let entries = node.map(Node::entries).unwrap_or_default();
            entries.iter().map(|entry| Fault::UnknownKey { key: entry.key.clone(), allowed: Vec::new() }).collect()
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default().to_owned();
            let about = description(parent_schema(schema, error), &key);
            vec![Fault::MissingKey { key, about }]
        }
        ValidationErrorKind::Type { kind } => {
            // Only durations have a pattern; quotes alone would not make one of a number.
            let duration = parent_schema(schema, error).is_some_and(|due| due.get("pattern").is_some());
            vec![match node.map(|node| &node.value) {
                Some(Value::Number(..)) if duration => {
                    Fault::WrongType { due: "a duration".to_owned(), found, hint: Some(DURATION_HINT.to_owned()) }
                }
                Some(Value::Number(_, written)) if compares(error) => {
                    let hint = format!("write an operator, too: `\"> {written}\"` or `\"< {written}\"`");
                    Fault::WrongType { due: "a comparison".to_owned(), found, hint: Some(hint) }
                }
                _ => wrong_type(kind, node, found),
            }]
        }
        ValidationErrorKind::OneOfNotValid { .. } => vec![no_variant(schema, error, node, found)],
        ValidationErrorKind::Enum { options } => {
            let choices =
                options.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
            vec![not_a_choice(node, found, choices)]
        }
        ValidationErrorKind::Constant { expected_value } => other(format!("expected {expected_value}, found {found}")),
        ValidationErrorKind::Pattern { .. } => {
            vec![Fault::Other { message: format!("{found} is not a duration"), hint: Some(DURATION_HINT.to_owned()) }]
        }
        ValidationErrorKind::Minimum { limit } => other(format!("expected at least {limit}, found {found}")),
        ValidationErrorKind::Maximum { limit } => other(format!("expected at most {limit}, found {found}")),
        ValidationErrorKind::ExclusiveMinimum { limit } => other(format!("expected more than {limit}, found {found}")),
        ValidationErrorKind::ExclusiveMaximum { limit } => other(format!("expected less than {limit}, found {found}")),
        ValidationErrorKind::MinItems { limit } | ValidationErrorKind::MinProperties { limit } => {
            let entries = if *limit == 1 { "entry" } else { "entries" };
            other(format!("expected at least {limit} {entries}, found none"))
        }
        _ => other(format!("does not fit: {error}")),
    }
}

/// Whether an error is about a condition of an alert, of which a number is only the half.
fn compares(error: &ValidationError<'_>) -> bool {
    let path = error.instance_path().as_str();
    let keys: Vec<_> = path.split('/').skip(1).collect();
    matches!(keys[..], ["alerts", _, "when" | "clear"] | ["alerts", _, "severity" | "severity_clear", _])
}

fn wrong_type(kind: &TypeKind, node: Option<&Node>, found: String) -> Fault {
    let due = match kind {
        TypeKind::Single(one) => type_name(*one).to_owned(),
        TypeKind::Multiple(set) => set.iter().map(type_name).collect::<Vec<_>>().join(" or "),
    };
    let hint = match node.map(|node| &node.value) {
        Some(Value::Number(_, written)) if allows(kind, JsonType::String) => {
            Some(format!("put it in quotes: \"{written}\""))
        }
        Some(Value::Bool(value)) if allows(kind, JsonType::String) => Some(format!("put it in quotes: \"{value}\"")),
        Some(Value::Text(text)) if allows(kind, JsonType::Boolean) && boolean_in_yaml_1_1(text) => {
            Some("write `true` or `false`".to_owned())
        }
        Some(Value::Text(text)) if wants_number(kind) && tree::number(text).is_some() => {
            Some("write it without quotes".to_owned())
        }
        Some(Value::Text(text)) if wants_number(kind) && text.ends_with('%') => {
            let percent = text.trim_end_matches('%').trim().parse().ok();
            percent.map(|percent: f64| format!("shares are written as parts of 1: `{}`", percent / 100.0))
        }
        Some(Value::Null) if allows(kind, JsonType::Object) => Some("write `{}` for the defaults".to_owned()),
        Some(Value::Null) => Some("give it a value, or remove the key".to_owned()),
        Some(Value::Text(_) | Value::Map(_)) if allows(kind, JsonType::Array) => {
            Some("write a list: `[...]`, or one `- ` per line".to_owned())
        }
        _ => None,
    };
    Fault::WrongType { due, found, hint }
}

fn wants_number(kind: &TypeKind) -> bool {
    allows(kind, JsonType::Integer) || allows(kind, JsonType::Number)
}

/// Words that YAML 1.1 took for booleans and 1.2 does not.
fn boolean_in_yaml_1_1(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str())
}

/// A choice that does not hold: between words, or between the one-key forms of a step.
fn no_variant(schema: &Json, error: &ValidationError<'_>, node: Option<&Node>, found: String) -> Fault {
    let names = variants(schema, error);
    let choices = names.iter().map(|name| (*name).to_owned()).collect();
    if is_word_choice(schema, error) {
        return not_a_choice(node, found, choices);
    }
    let forms = suggest::list(names.iter().copied());
    match node.map(Node::entries) {
        Some([entry]) => Fault::NotAChoice { found: format!("`{}`", entry.key), word: entry.key.clone(), choices },
        Some(entries) if !entries.is_empty() => Fault::Other {
            message: format!("expected one key, found {}: {}", entries.len(), keys(entries)),
            hint: Some(format!("start each with its own `- `; choices: {forms}")),
        },
        _ => Fault::WrongType {
            due: "a mapping with one key".to_owned(),
            found,
            hint: Some(format!("write it as `key: {{...}}`; choices: {forms}")),
        },
    }
}

fn keys(entries: &[tree::Entry]) -> String {
    suggest::list(entries.iter().map(|entry| entry.key.as_str()))
}

fn not_a_choice(node: Option<&Node>, found: String, choices: Vec<String>) -> Fault {
    match node.map(|node| &node.value) {
        Some(Value::Text(word)) => Fault::NotAChoice { found, word: word.clone(), choices },
        found_node => {
            let listed = suggest::list(choices.iter().map(String::as_str));
            // YAML takes the bare word for nothing at all.
            let bare_null = found_node == Some(&Value::Null) && choices.iter().any(|choice| choice == "null");
            let advice = if bare_null { "write \"null\" in quotes; " } else { "" };
            Fault::WrongType { due: "a word".to_owned(), found, hint: Some(format!("{advice}choices: {listed}")) }
        }
    }
}

/// Names of the options of a `oneOf`, in its order: the word, or the one key that the option requires.
pub(super) fn variants<'s>(schema: &'s Json, error: &ValidationError<'_>) -> Vec<&'s str> {
    options(schema, error).iter().map(|option| variant_name(option).unwrap_or_default()).collect()
}

fn variant_name(option: &Json) -> Option<&str> {
    option.get("const").or_else(|| option.get("required")?.get(0))?.as_str()
}

fn is_word_choice(schema: &Json, error: &ValidationError<'_>) -> bool {
    options(schema, error).iter().all(|option| option.get("const").is_some())
}

fn options<'s>(schema: &'s Json, error: &ValidationError<'_>) -> &'s [Json] {
    let options = schema.pointer(error.schema_path().as_str()).and_then(Json::as_array);
    options.map_or(&[], Vec::as_slice)
}

/// The schema object that the failed keyword stands in.
fn parent_schema<'s>(schema: &'s Json, error: &ValidationError<'_>) -> Option<&'s Json> {
    let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
    schema.pointer(parent)
}

fn property_names(schema: Option<&Json>) -> Vec<String> {
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Json::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// What the schema says about a property, as one line.
fn description(schema: Option<&Json>, key: &str) -> Option<String> {
    let text = schema?.get("properties")?.get(key)?.get("description")?.as_str()?;
    Some(format!("{key}: {}", text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// Whether a type constraint lets a type through.
pub(super) fn allows(kind: &TypeKind, one: JsonType) -> bool {
    match kind {
        TypeKind::Single(single) => *single == one,
        TypeKind::Multiple(set) => set.contains(one),
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "a mapping",
        JsonType::String => "text",
    }
}
