//! The model -> the JSON Schema that editors complete from and that every file is checked against.
//!
//! Draft 7, since that is what YAML language servers know best. Deliberately absent: `null` for optional keys. A key
//! without a value is a mistake to be told about (an empty `future_skew:` must not switch the check off).

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value, json};

use super::model::PipelineSpec;

/// Where the published schema lies, from the repository's root.
pub const SCHEMA_PATH: &str = "schemas/pipeline.schema.json";

/// The schema of pipeline files.
#[must_use]
pub fn pipeline_schema() -> Value {
    let settings = SchemaSettings::draft07().with_transform(Refine);
    settings.into_generator().into_root_schema_for::<PipelineSpec>().to_value()
}

/// The schema as it is published: indented, with a line break at the end.
#[must_use]
pub fn pipeline_schema_text() -> String {
    format!("{:#}\n", pipeline_schema())
}

/// What `schemars` leaves out or puts in beyond what a pipeline file means.
#[derive(Debug, Clone)]
struct Refine;

impl Transform for Refine {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(object) = schema.as_object_mut() {
            forbid_null(object);
            bound_integers(object);
        }
        transform_subschemas(self, schema);
    }
}

/// `Option<T>` is T that may be left out, not T or null.
fn forbid_null(object: &mut Map<String, Value>) {
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get("type")
        && let [kind, Value::String(null)] = types.as_slice()
        && null == "null"
    {
        let kind = kind.clone();
        object.insert("type".to_owned(), kind);
    }
    if let Some(Value::Array(options)) = object.get("anyOf")
        && let [option, null] = options.as_slice()
        && *null == json!({ "type": "null" })
    {
        let option = option.clone();
        object.remove("anyOf");
        object.insert("allOf".to_owned(), json!([option]));
    }
}

/// The upper ends of Rust's integers: JSON Schema has no such types, and serde would refuse beyond them without a place.
fn bound_integers(object: &mut Map<String, Value>) {
    let maximum = match object.get("format").and_then(Value::as_str) {
        Some("uint32") => u64::from(u32::MAX),
        Some("uint64") => u64::MAX,
        _ => return,
    };
    object.entry("maximum").or_insert_with(|| maximum.into());
}
