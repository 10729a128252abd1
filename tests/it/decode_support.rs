//! What the tests of the decode stage share: a schema of every type with columns at every depth, batches, and a writer
//! of JSON text that uses all the freedom RFC 8259 gives: white space, order of keys, escapes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arterial::schema::{TopicSchema, parse};
use arterial::stages::decode::{CsvSettings, DecodePlan, DecodeSettings, Decoded, Decoder, Format, TimestampFormat};
use arterial::stages::rows::{RejectStage, Rejected};
use arterial_connectors::payload::{Payload, RawRows};

use crate::predict_support::Numbers;

/// Two required columns, five optional ones; `speed_kmh`, `lanes` and `open` lie deeper (see [`settings`]).
const SCHEMA: &str = r#"{ "type": "record", "name": "Reading", "fields": [
    { "name": "sensor_id", "type": "string" },
    { "name": "observed_at", "type": { "type": "long", "logicalType": "timestamp-micros" } },
    { "name": "speed_kmh", "type": ["null", "double"] },
    { "name": "lanes", "type": ["null", "long"] },
    { "name": "open", "type": ["null", "boolean"] },
    { "name": "note", "type": ["null", "string"] },
    { "name": "seen_at", "type": ["null", { "type": "long", "logicalType": "timestamp-micros" }] }
] }"#;

/// The schema of the readings.
pub(crate) fn schema() -> TopicSchema {
    parse("reading.v1", SCHEMA).unwrap()
}

/// `speed_kmh` is `m.speed`, `lanes` and `open` are in `m.site`.
pub(crate) fn settings() -> DecodeSettings {
    let paths = [("speed_kmh", "m.speed"), ("lanes", "m.site.lanes"), ("open", "m.site.open")];
    DecodeSettings {
        source: "loops".to_owned(),
        format: Format::Json,
        paths: paths.map(|(column, path)| (column.to_owned(), path.to_owned())).into(),
        ..flat_settings()
    }
}

/// Every column under its own name.
pub(crate) fn flat_settings() -> DecodeSettings {
    DecodeSettings {
        source: "loops".to_owned(),
        format: Format::Json,
        csv: CsvSettings::default(),
        paths: BTreeMap::new(),
        zone: None,
        timestamp: TimestampFormat::Rfc3339,
        timestamp_format: None,
        event_time: "observed_at".to_owned(),
        future_skew: None,
        latest: None,
        max_bytes: 1_000,
        max_depth: 8,
    }
}

/// A decoder of the readings.
pub(crate) fn decoder(settings: DecodeSettings) -> Decoder {
    Decoder::new(Arc::new(DecodePlan::new(settings, &schema()).unwrap()))
}

/// Messages as a source would give them.
pub(crate) fn raw<T: AsRef<[u8]>>(messages: &[T]) -> Payload {
    let mut rows = RawRows::default();
    for (offset, message) in messages.iter().enumerate() {
        rows.push(offset as i64, None, None, Some(message.as_ref()));
    }
    Payload::Raw(rows)
}

/// One batch of messages through a fresh decoder.
pub(crate) fn decode<T: AsRef<[u8]>>(settings: DecodeSettings, messages: &[T]) -> Decoded {
    let decoded = decoder(settings).decode(&raw(messages)).unwrap();
    assert_accounted(&decoded, messages.len());
    decoded
}

/// Every row of the batch is decoded, rejected or a tombstone: exactly one of them, in order, with a reason.
pub(crate) fn assert_accounted(decoded: &Decoded, count: usize) {
    let rejected: Vec<u32> = decoded.rejected.iter().map(|rejected| rejected.origin).collect();
    for part in [&decoded.rows.origin, &rejected, &decoded.tombstones] {
        assert!(part.is_sorted(), "{part:?}");
    }
    let mut all = [&decoded.rows.origin[..], &rejected, &decoded.tombstones].concat();
    all.sort_unstable();
    assert_eq!(all, (0..count as u32).collect::<Vec<_>>());
    assert_eq!(decoded.rows.batch.num_rows(), decoded.rows.origin.len());
    assert_eq!(decoded.rows.times.len(), decoded.rows.origin.len());
    for Rejected { stage, detail, .. } in &decoded.rejected {
        assert_eq!(*stage, RejectStage::Decode);
        assert!(!detail.is_empty());
    }
}

/// Rows as text, floats by their bits: equal exactly where the rows are.
pub(crate) fn shown(batch: &RecordBatch) -> Vec<String> {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Float64Type};
    let cell = |column: &arrow::array::ArrayRef, row: usize| match column.data_type() {
        _ if column.is_null(row) => "null".to_owned(),
        DataType::Float64 => format!("{:016x}", column.as_primitive::<Float64Type>().value(row).to_bits()),
        _ => format!("{:?}", arrow::util::display::array_value_to_string(column, row).unwrap()),
    };
    let row = |row: usize| batch.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}

/// Writes JSON with every freedom that the grammar gives, chosen by a seed.
pub(crate) struct JsonWriter {
    numbers: Numbers,
}

impl JsonWriter {
    pub(crate) fn new(seed: u64) -> Self {
        Self { numbers: Numbers(seed | 1) }
    }

    /// A number below `count`.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        (self.numbers.uniform() * count as f64) as usize
    }

    /// White space, mostly none.
    pub(crate) fn space(&mut self) -> &'static str {
        ["", "", "", " ", "\n", "\t\r\n  "][self.pick(6)]
    }

    /// A string whose characters stand raw, after a backslash or as `\uXXXX`, in pairs where one unit is not enough.
    pub(crate) fn string(&mut self, text: &str) -> String {
        let mut json = String::from("\"");
        for char in text.chars() {
            let short = "\"\\/\u{8}\u{c}\n\r\t".chars().position(|other| other == char);
            let must = char < ' ' || char == '"' || char == '\\';
            match (self.pick(4), short) {
                (0, _) => self.units(char, &mut json),
                (_, Some(index)) if must || self.pick(2) == 0 => {
                    json.push('\\');
                    json.push_str(&r#""\/bfnrt"#[index..=index]);
                }
                _ if must => self.units(char, &mut json),
                _ => json.push(char),
            }
        }
        json.push('"');
        json
    }

    fn units(&mut self, char: char, json: &mut String) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            let upper = self.pick(2) == 0;
            let _ = if upper { write!(json, "\\u{unit:04X}") } else { write!(json, "\\u{unit:04x}") };
        }
    }

    /// An object of these members, whose values are JSON already, in any order.
    pub(crate) fn object(&mut self, mut members: Vec<(String, String)>) -> String {
        for index in (1..members.len()).rev() {
            let other = self.pick(index + 1);
            members.swap(index, other);
        }
        let mut parts = Vec::new();
        for (key, value) in members {
            parts.push([self.space(), &self.string(&key), self.space(), ":", self.space(), &value].concat());
        }
        self.enclose("{", &parts, "}")
    }

    /// An array of items that are JSON already.
    pub(crate) fn array(&mut self, items: &[String]) -> String {
        self.enclose("[", items, "]")
    }

    fn enclose(&mut self, open: &str, parts: &[String], close: &str) -> String {
        let mut json = [self.space(), open].concat();
        for (index, part) in parts.iter().enumerate() {
            json.push_str(if index > 0 { "," } else { "" });
            json.push_str(self.space());
            json.push_str(part);
            json.push_str(self.space());
        }
        [&json, self.space(), close, self.space()].concat()
    }
}
