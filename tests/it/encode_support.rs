//! What the tests of the encode stage share: a checker of JSON records against `schemas/*.avsc`, which knows types,
//! unions, symbols and limits, and wants every field and no other.
//!
//! In the JSON of the topics times are RFC 3339 text in UTC; a union's value stands alone, without Avro's wrapper.

use std::collections::BTreeMap;

use arterial::vocab::EventTime;
use arterial_connectors::payload::Header;
use serde_json::{Map, Value};

/// A minute, microseconds.
pub(crate) const MINUTE: i64 = 60_000_000;
/// 2026-11-23T08:00:00Z.
pub(crate) const EIGHT: EventTime = EventTime(1_795_420_800_000_000);

/// The parsed schema of this name.
pub(crate) fn avsc(name: &str) -> Value {
    let path = format!("{}/schemas/{name}.avsc", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Fails with the place and what is wrong there, unless the value is one of this schema.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    check_at("", schema, value)
}

fn check_at(place: &str, schema: &Value, value: &Value) -> Result<(), String> {
    let wrong = |wanted: &str| Err(format!("{place}: {value} is not {wanted}"));
    match schema {
        Value::Array(union) => {
            let refusals: Vec<String> = union.iter().map_while(|member| check_at(place, member, value).err()).collect();
            if refusals.len() < union.len() { Ok(()) } else { Err(refusals.join(", and ")) }
        }
        Value::String(name) => {
            let fits = match name.as_str() {
                "null" => value.is_null(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "long" => value.is_i64(),
                "double" => value.is_number(),
                other => panic!("{place}: the checker does not know type {other}"),
            };
            if fits { Ok(()) } else { wrong(name) }
        }
        Value::Object(object) => match (object["type"].as_str().unwrap(), object.get("logicalType")) {
            ("long", Some(logical)) if logical == "timestamp-micros" => {
                let text = value.as_str().unwrap_or_default();
                let utc = chrono::DateTime::parse_from_rfc3339(text).is_ok() && text.ends_with('Z');
                if utc { Ok(()) } else { wrong("a time in UTC") }
            }
            ("enum", None) => {
                let known = object["symbols"].as_array().unwrap().contains(value);
                if known { Ok(()) } else { wrong(&object["symbols"].to_string()) }
            }
            ("map", None) => {
                let Some(map) = value.as_object() else { return wrong("a map") };
                map.iter().try_for_each(|(key, value)| check_at(&format!("{place}.{key}"), &object["values"], value))
            }
            ("array", None) => {
                let Some(items) = value.as_array() else { return wrong("an array") };
                let mut indexed = items.iter().enumerate();
                indexed.try_for_each(|(index, item)| check_at(&format!("{place}[{index}]"), &object["items"], item))
            }
            ("record", None) => {
                let Some(record) = value.as_object() else { return wrong("a record") };
                check_record(place, object["fields"].as_array().unwrap(), record)
            }
            (other, logical) => panic!("{place}: the checker does not know type {other} {logical:?}"),
        },
        other => panic!("{place}: {other} is no type"),
    }
}

fn check_record(place: &str, fields: &[Value], record: &Map<String, Value>) -> Result<(), String> {
    for field in fields {
        let name = field["name"].as_str().unwrap();
        let place = format!("{place}.{name}");
        // Optional fields are written too: consumers see one shape.
        let value = record.get(name).ok_or_else(|| format!("{place}: absent"))?;
        check_at(&place, &field["type"], value)?;
        let Some(number) = value.as_f64() else { continue };
        if field.get("minimum").and_then(Value::as_f64).is_some_and(|minimum| number < minimum) {
            return Err(format!("{place}: {number} is below {}", field["minimum"]));
        }
        if field.get("maximum").and_then(Value::as_f64).is_some_and(|maximum| number > maximum) {
            return Err(format!("{place}: {number} is above {}", field["maximum"]));
        }
    }
    match record.keys().find(|key| fields.iter().all(|field| field["name"] != **key)) {
        Some(unknown) => Err(format!("{place}.{unknown}: not in the schema")),
        None => Ok(()),
    }
}

/// A value as JSON; bare `NaN` would not be any.
pub(crate) fn parsed(value: &[u8]) -> Value {
    serde_json::from_slice(value).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(value)))
}

/// Headers whose values are text.
pub(crate) fn headers(headers: &[Header]) -> BTreeMap<String, String> {
    headers.iter().map(|(name, value)| (name.clone(), String::from_utf8(value.clone().unwrap()).unwrap())).collect()
}

/// Fails unless the record conforms.
pub(crate) fn conforms(schema: &str, value: &Value) {
    if let Err(problem) = check(&avsc(schema), value) {
        panic!("{schema}: {problem} in {value:#}");
    }
}
