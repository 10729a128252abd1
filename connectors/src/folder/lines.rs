//! A record -> a line of JSON that a reader can use as it is and that loses no byte.
//!
//! `{"key":"L1","value":{...},"headers":[{"name":"ce_id","value":"..."}]}`. A value that is a JSON object or array stands
//! in the line byte for byte; another text is `value_text`, other bytes are `value_base64`; a tombstone has
//! `"value":null`. Likewise `key` and `key_base64`, and the `value` and `value_base64` of a header. `headers` is left out
//! where there are none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use crate::ledger::Record;
use crate::payload::Header;

/// Appends the line of a record, with its end.
pub(super) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    field("key", "key_base64", record.key, out);
    out.push(b',');
    match record.value {
        Some(value) if is_json_line(value) => {
            out.extend_from_slice(b"\"value\":");
            out.extend_from_slice(value);
        }
        None => field("value", "value_base64", None, out),
        value => field("value_text", "value_base64", value, out),
    }
    if !record.headers.is_empty() {
        headers(record.headers, out);
    }
    out.extend_from_slice(b"}\n");
}

fn headers(headers: &[Header], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"headers\":[");
    for (index, (name, value)) in headers.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        field("name", "name_base64", Some(name.as_bytes()), out);
        out.push(b',');
        field("value", "value_base64", value.as_deref(), out);
        out.push(b'}');
    }
    out.push(b']');
}

/// Bytes under one name where they are text or missing, else in base64 under the other.
fn field(text: &str, base64: &str, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.extend_from_slice(format!("\"{text}\":null").as_bytes()),
        Some((_, Ok(read))) => {
            out.extend_from_slice(format!("\"{text}\":").as_bytes());
            string(read, out);
        }
        Some((bytes, Err(_))) => {
            out.extend_from_slice(format!("\"{base64}\":").as_bytes());
            string(&STANDARD.encode(bytes), out);
        }
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    // Writing text to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// Whether bytes can stand in a line of JSON as a value that nobody takes for text or a tombstone.
fn is_json_line(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'{' | b'['))
        && !bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
        && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}
