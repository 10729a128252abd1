//! `schemas/*.avsc` -> Arrow schemas whose columns know their unit and physical range.
//!
//! The contracts of the topics are Avro record schemas; Arterial reads the part of Avro that flat sensor rows need:
//! string, double, long, boolean, timestamp-micros, each alone or in a union with null.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::Deserialize;
use serde_json::Value;

/// Schemas that come with the engine, by name.
const SHIPPED: &[(&str, &str)] = &[
    ("traffic-observation.v1", include_str!("../schemas/traffic-observation.v1.avsc")),
    ("bluetooth-observation.v1", include_str!("../schemas/bluetooth-observation.v1.avsc")),
    ("air-quality-observation.v1", include_str!("../schemas/air-quality-observation.v1.avsc")),
    ("freeway-lane-observation.v1", include_str!("../schemas/freeway-lane-observation.v1.avsc")),
    ("noise-observation.v1", include_str!("../schemas/noise-observation.v1.avsc")),
    ("vital-signs-observation.v1", include_str!("../schemas/vital-signs-observation.v1.avsc")),
    ("water-level-observation.v1", include_str!("../schemas/water-level-observation.v1.avsc")),
    ("drinking-water-observation.v1", include_str!("../schemas/drinking-water-observation.v1.avsc")),
    ("weather-observation.v1", include_str!("../schemas/weather-observation.v1.avsc")),
    ("website-features.v1", include_str!("../schemas/website-features.v1.avsc")),
    ("tumour-sample.v1", include_str!("../schemas/tumour-sample.v1.avsc")),
    ("heart-examination.v1", include_str!("../schemas/heart-examination.v1.avsc")),
    ("loop-speed.v1", include_str!("../schemas/loop-speed.v1.avsc")),
    ("alert.v1", include_str!("../schemas/alert.v1.avsc")),
    ("forecast.v1", include_str!("../schemas/forecast.v1.avsc")),
    ("score.v1", include_str!("../schemas/score.v1.avsc")),
    ("drift.v1", include_str!("../schemas/drift.v1.avsc")),
    ("promotion.v1", include_str!("../schemas/promotion.v1.avsc")),
    ("dead-letter.v1", include_str!("../schemas/dead-letter.v1.avsc")),
    ("control.v1", include_str!("../schemas/control.v1.avsc")),
];

/// The schema of a topic's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicSchema {
    /// Its name, as in `decode.schema`.
    pub name: String,
    /// What its rows are.
    pub doc: String,
    /// Its columns as Arrow fields: Utf8, Float64, Int64, Boolean, Timestamp(us, UTC).
    pub arrow: SchemaRef,
    /// What Arrow does not know of the columns, in the same order.
    pub columns: Vec<ColumnSchema>,
}

/// Meaning of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSchema {
    /// Name.
    pub name: String,
    /// Unit, as `km/h`; `None` where it has none.
    pub unit: Option<String>,
    /// Least value that is physically possible.
    pub minimum: Option<f64>,
    /// Greatest value that is physically possible.
    pub maximum: Option<f64>,
    /// What it says.
    pub doc: String,
}

/// Why a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Neither shipped nor a file.
    #[error("unknown schema `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The file cannot be read.
    #[error("schema file `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Not an Avro record.
    #[error("schema `{name}` is not an Avro record: {reason}")]
    NotRecord {
        /// The schema.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A field whose type rows cannot have.
    #[error("schema `{name}`, field `{field}`: type {found} is not string, double, long, boolean or timestamp-micros")]
    Type {
        /// The schema.
        name: String,
        /// The field.
        field: String,
        /// Its type.
        found: String,
    },
}

#[derive(Deserialize)]
struct AvroRecord {
    #[serde(default)]
    doc: String,
    fields: Vec<AvroField>,
}

#[derive(Deserialize)]
struct AvroField {
    name: String,
    #[serde(rename = "type")]
    kind: Value,
    #[serde(default)]
    doc: String,
    unit: Option<String>,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

/// Names of the schemas that come with the engine.
pub fn shipped_names() -> impl Iterator<Item = &'static str> + Clone {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// The schema of this name: a shipped one, or that of an `.avsc` file relative to `folder`.
///
/// # Errors
/// [`SchemaError`]: correct `decode.schema` or the file.
pub fn load(name: &str, folder: &Path) -> Result<TopicSchema, SchemaError> {
    if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return parse(name, text);
    }
    if Path::new(name).extension().is_none_or(|extension| extension != "avsc") {
        return Err(SchemaError::Unknown { name: name.to_owned() });
    }
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| SchemaError::Unreadable { path: path.display().to_string(), reason: error.to_string() })?;
    parse(name, &text)
}

/// Reads the text of an Avro record schema.
///
/// # Errors
/// [`SchemaError::NotRecord`], [`SchemaError::Type`].
pub fn parse(name: &str, text: &str) -> Result<TopicSchema, SchemaError> {
    let record: AvroRecord = serde_json::from_str(text)
        .map_err(|error| SchemaError::NotRecord { name: name.to_owned(), reason: error.to_string() })?;
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for field in record.fields {
        let (data_type, nullable) = arrow_type(&field.kind).ok_or_else(|| SchemaError::Type {
            name: name.to_owned(),
            field: field.name.clone(),
            found: field.kind.to_string(),
        })?;
        fields.push(Field::new(&field.name, data_type, nullable));
        columns.push(ColumnSchema {
            name: field.name,
            unit: field.unit,
            minimum: field.minimum,
            maximum: field.maximum,
            doc: field.doc,
        });
    }
    let doc = record.doc;
    Ok(TopicSchema { name: name.to_owned(), doc, arrow: Arc::new(Schema::new(fields)), columns })
}

/// The Arrow type of an Avro type, and whether null is allowed. Types that only outputs use (arrays, maps, enums,
/// records) are kept as text: rows of those topics are written by [`crate::stages::encode`] and never decoded here.
fn arrow_type(kind: &Value) -> Option<(DataType, bool)> {
    match kind {
        Value::String(name) => Some((primitive(name)?, false)),
        Value::Array(union) => {
            let others: Vec<&Value> = union.iter().filter(|one| one.as_str() != Some("null")).collect();
            let [one] = others.as_slice() else { return None };
            let (data_type, _) = arrow_type(one)?;
            Some((data_type, others.len() < union.len()))
        }
        Value::Object(object) => {
            let logical = object.get("logicalType").and_then(Value::as_str);
            match (object.get("type").and_then(Value::as_str)?, logical) {
                ("long", Some("timestamp-micros")) => {
                    Some((DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false))
                }
                ("enum" | "array" | "map" | "record", _) => Some((DataType::Utf8, false)),
                (name, None) => Some((primitive(name)?, false)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The rows of a shipped schema with all that is nested in them: maps, lists and records, enums as text. What the engine
/// writes; [`load`] is for what it reads. No columns for a name that is not shipped.
#[must_use]
pub fn output(name: &str) -> SchemaRef {
    let text = SHIPPED.iter().find(|(shipped, _)| *shipped == name).map_or("", |(_, text)| *text);
    let fields = serde_json::from_str::<AvroRecord>(text).ok().and_then(|record| nested_fields(record.fields));
    Arc::new(Schema::new(fields.unwrap_or_default()))
}

fn nested_fields(fields: Vec<AvroField>) -> Option<Vec<Field>> {
    fields.into_iter().map(|field| nested_field(&field.name, &field.kind)).collect()
}

/// A field of any Avro type.
fn nested_field(name: &str, kind: &Value) -> Option<Field> {
    match kind {
        Value::Array(union) => {
            let one = union.iter().find(|one| one.as_str() != Some("null"))?;
            Some(nested_field(name, one)?.with_nullable(true))
        }
        Value::Object(object) => match object.get("type").and_then(Value::as_str)? {
            "map" => {
                let values = nested_field("values", object.get("values")?)?;
                Some(Field::new_map(name, "entries", Field::new("keys", DataType::Utf8, false), values, false, false))
            }
            "array" => Some(Field::new_list(name, nested_field("item", object.get("items")?)?, false)),
            "record" => {
                let fields = serde_json::from_value::<AvroRecord>(kind.clone()).ok()?.fields;
                Some(Field::new_struct(name, nested_fields(fields)?, false))
            }
            _ => Some(Field::new(name, arrow_type(kind)?.0, false)),
        },
        _ => Some(Field::new(name, arrow_type(kind)?.0, false)),
    }
}

fn primitive(name: &str) -> Option<DataType> {
    Some(match name {
        "string" => DataType::Utf8,
        "double" => DataType::Float64,
        "long" | "int" => DataType::Int64,
        "boolean" => DataType::Boolean,
        _ => return None,
    })
}

/// The type of a column in a word, as schemas and their readers call it.
#[must_use]
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "text".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::List(_) => "list".to_owned(),
        DataType::Map(..) => "map".to_owned(),
        DataType::Struct(_) => "record".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

impl TopicSchema {
    /// Physical limits by column, for those that have any.
    #[must_use]
    pub fn limits(&self) -> BTreeMap<String, (Option<f64>, Option<f64>)> {
        let limited = self.columns.iter().filter(|column| column.minimum.is_some() || column.maximum.is_some());
        limited.map(|column| (column.name.clone(), (column.minimum, column.maximum))).collect()
    }
}
