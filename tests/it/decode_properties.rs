//! Decoding against other readers of the same bytes: arrow-json for what is accepted, serde_json for what is refused.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use arterial::stages::rows::Reason;
use proptest::prelude::*;

use crate::decode_support::{JsonWriter, decode, schema, settings, shown};

/// What stands under the key of an optional column or of an object on the way to one.
#[derive(Debug, Clone)]
enum Member<T> {
    Absent,
    Null,
    Given(T),
}

/// JSON that no column reads.
#[derive(Debug, Clone)]
enum Junk {
    /// JSON already.
    Word(String),
    Text(String),
    List(Vec<Junk>),
    Object(Vec<(String, Junk)>),
}

/// A reading that the schema allows; numbers and times as they are written.
#[derive(Debug, Clone)]
struct Reading {
    sensor: String,
    time: String,
    note: Member<String>,
    seen: Member<String>,
    m: Member<(Member<String>, Member<Site>)>,
    /// Keys that no column reads, at each depth.
    junk: [Vec<(String, Junk)>; 3],
    seed: u64,
}

type Site = (Member<String>, Member<bool>);

fn member<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Member<T>> {
    prop_oneof![1 => Just(Member::Absent), 1 => Just(Member::Null), 6 => value.prop_map(Member::Given)]
}

/// Finite numbers in every notation of the grammar.
fn number() -> impl Strategy<Value = String> {
    let known = [
        "0",
        "-0",
        "-0.0",
        "0e0",
        "-0E+5",
        "1e5",
        "1E-3",
        "5e-324",
        "2e-324",
        "2.2250738585072011e-308",
        "1.7976931348623157e308",
        "9007199254740993",
        "9007199254740992.5",
        "0.30000000000000004",
        "123456789012345678",
        "9999999999999999",
        "99999999999999.99",
        "0.000000000000001",
        "1e-400",
        "0.1e1",
        "100000000000000000000000",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?",
        "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?",
        "-?(0|[1-9][0-9]{15,16})(\\.[0-9]{0,2}[1-9])?",
        "-?0\\.[0-9]{20,40}",
        prop::num::f64::NORMAL.prop_map(|value| format!("{value:e}")),
        (-1e15..1e15).prop_map(|value: f64| value.to_string()),
    ]
}

fn whole() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        (-9..10_i64).prop_map(|value| value.to_string()),
        prop::sample::select(vec![i64::MIN.to_string(), i64::MAX.to_string(), "-0".to_owned()]),
    ]
}

fn time() -> impl Strategy<Value = String> {
    let clock = "(19[0-9]{2}|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[Tt ]([01][0-9]|2[0-3])(:[0-5][0-9]){2}";
    (clock, "(\\.[0-9]{1,12})?", "(Z|z|[+-](0[0-9]|1[0-3]):[0-5][0-9])")
        .prop_map(|(clock, fraction, zone)| clock + &fraction + &zone)
}

/// Text of the characters that arrow-json 59 reads right: it adds the two halves of `\uD840\uDC00` with `|`, which
/// turns every second plane into another one. The property of all characters is
/// [`text_of_any_characters_survives_any_escaping`].
fn text() -> impl Strategy<Value = String> {
    let common = prop::sample::select("ab7 /\\\"\n\t\u{0}\u{1f}\u{7f}é€😀\u{ffff}".chars().collect::<Vec<_>>());
    prop::collection::vec(prop_oneof![3 => common, 1 => prop::char::range('\0', '\u{1ffff}')], 0..8)
        .prop_map(|chars| chars.iter().collect())
}

/// Keys that no column has.
fn other_key() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("x{text}"))
}

fn junk() -> impl Strategy<Value = Vec<(String, Junk)>> {
    let word = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned()), number()];
    let leaf = prop_oneof![
        word.prop_map(Junk::Word),
        // No 64 bits hold it, but nobody has to.
        Just(Junk::Word("-1e400".to_owned())),
        text().prop_map(Junk::Text),
    ];
    let value = leaf.prop_recursive(4, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Junk::List),
            // Keys of columns mean nothing in here.
            prop::collection::vec((prop_oneof![other_key(), Just("sensor_id".to_owned())], inner), 0..4)
                .prop_map(|members| Junk::Object(each_key_once(members))),
        ]
    });
    prop::collection::vec((other_key(), value), 0..3).prop_map(each_key_once)
}

fn each_key_once<T>(mut members: Vec<(String, T)>) -> Vec<(String, T)> {
    let mut seen = HashSet::new();
    members.retain(|(key, _)| seen.insert(key.clone()));
    members
}

fn reading() -> impl Strategy<Value = Reading> {
    let site = (member(whole()), member(any::<bool>()));
    let m = member((member(number()), member(site)));
    let junk = [junk(), junk(), junk()];
    (text(), time(), member(text()), member(time()), m, junk, any::<u64>())
        .prop_map(|(sensor, time, note, seen, m, junk, seed)| Reading { sensor, time, note, seen, m, junk, seed })
}

fn write_junk(writer: &mut JsonWriter, junk: &Junk) -> String {
    match junk {
        Junk::Word(word) => word.clone(),
        Junk::Text(text) => writer.string(text),
        Junk::List(items) => {
            let items: Vec<String> = items.iter().map(|item| write_junk(writer, item)).collect();
            writer.array(&items)
        }
        Junk::Object(members) => {
            let members = members.iter().map(|(key, value)| (key.clone(), write_junk(writer, value))).collect();
            writer.object(members)
        }
    }
}

/// An object of these members and the junk.
fn write_object<const N: usize>(
    writer: &mut JsonWriter,
    members: [(&str, Member<String>); N],
    junk: &[(String, Junk)],
) -> String {
    let mut written: Vec<(String, String)> = Vec::new();
    for (key, value) in members {
        match value {
            Member::Absent => {}
            Member::Null => written.push((key.to_owned(), "null".to_owned())),
            Member::Given(json) => written.push((key.to_owned(), json)),
        }
    }
    written.extend(junk.iter().map(|(key, value)| (key.clone(), write_junk(writer, value))));
    writer.object(written)
}

impl<T> Member<T> {
    fn map(&self, into_json: impl FnOnce(&T) -> String) -> Member<String> {
        match self {
            Self::Absent => Member::Absent,
            Self::Null => Member::Null,
            Self::Given(value) => Member::Given(into_json(value)),
        }
    }
}

impl Reading {
    fn json(&self) -> String {
        let writer = &mut JsonWriter::new(self.seed);
        let m = self.m.map(|(speed, site)| {
            let site = site.map(|(lanes, open)| {
                let (lanes, open) = (lanes.map(String::clone), open.map(bool::to_string));
                write_object(writer, [("lanes", lanes), ("open", open)], &self.junk[2])
            });
            write_object(writer, [("speed", speed.map(String::clone)), ("site", site)], &self.junk[1])
        });
        let members = [
            ("sensor_id", Member::Given(writer.string(&self.sensor))),
            ("observed_at", Member::Given(writer.string(&self.time))),
            ("note", self.note.map(|note| writer.string(note))),
            ("seen_at", self.seen.map(|seen| writer.string(seen))),
            ("m", m),
        ];
        write_object(writer, members, &self.junk[0])
    }
}

/// The columns as arrow-json reads them from one nested object per line.
fn arrow_json(messages: &[String]) -> RecordBatch {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let site = Fields::from(vec![field("lanes", DataType::Int64), field("open", DataType::Boolean)]);
    let m = Fields::from(vec![field("speed", DataType::Float64), field("site", DataType::Struct(site))]);
    let nested = Schema::new(vec![
        field("sensor_id", DataType::Utf8),
        field("observed_at", time.clone()),
        field("m", DataType::Struct(m)),
        field("note", DataType::Utf8),
        field("seen_at", time),
    ]);
    let lines = messages.join("\n");
    let mut reader = ReaderBuilder::new(Arc::new(nested)).build(lines.as_bytes()).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    let (m, columns) = (batch.column(2).as_struct(), batch.columns());
    let site = m.column(1).as_struct();
    let leaves: [&ArrayRef; 7] =
        [&columns[0], &columns[1], m.column(0), site.column(0), site.column(1), &columns[3], &columns[4]];
    let leaves = leaves.map(|leaf| match leaf.data_type() {
        DataType::Timestamp(..) => {
            let times = leaf.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone();
            Arc::new(times.with_timezone("UTC")) as ArrayRef
        }
        _ => Arc::clone(leaf),
    });
    RecordBatch::try_new(schema().arrow, leaves.to_vec()).unwrap()
}

/// What may happen to a message on its way.
#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Truncate(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let token = prop::sample::select(b"{}[]\",:\\ 0-1eE.+tfn\n\x00\x80\xff".to_vec());
    let tokens = prop::collection::vec(prop_oneof![4 => token, 1 => any::<u8>()], 1..4);
    prop_oneof![
        (at(), 1..=255_u8).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        (at(), 1..4_usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        (at(), tokens).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        at().prop_map(Damage::Truncate),
    ]
}

fn suffer(message: &mut Vec<u8>, damage: &Damage) {
    if message.is_empty() {
        return;
    }
    match damage {
        Damage::Flip(at, bits) => {
            let at = at.index(message.len());
            message[at] ^= bits;
        }
        Damage::Remove(at, count) => {
            let from = at.index(message.len());
            message.drain(from..message.len().min(from + count));
        }
        Damage::Insert(at, bytes) => {
            let at = at.index(message.len() + 1);
            message.splice(at..at, bytes.iter().copied());
        }
        Damage::Truncate(at) => message.truncate(at.index(message.len())),
    }
}

/// Whether bytes are one JSON value by serde_json's judgement; `None` where it judges more than the grammar.
fn is_json(message: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<serde_json::Value>(message) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(_) => Some(false),
    }
}

proptest! {
    // Equality is asked for messages that both accept. Decoding refuses more, deliberately: raw control characters in
    // strings, stray commas (arrow-json reads `{,}`), whole numbers written `1e5` or `1.0`, numbers in quotes or beyond
    // their type, a key that comes twice, times without offset or zone (arrow-json takes UTC), bytes after the object.
    // `refusals_that_another_reader_does_not_share` in `decode` shows each.
    #[test]
    fn any_valid_message_decodes_to_what_arrow_json_reads_bit_for_bit(
        readings in prop::collection::vec(reading(), 1..6),
    ) {
        let messages: Vec<String> = readings.iter().map(Reading::json).collect();
        let limits = arterial::stages::decode::DecodeSettings { max_bytes: usize::MAX, ..settings() };
        let decoded = decode(limits, &messages);
        prop_assert_eq!(&decoded.rejected, &[]);
        let wanted = arrow_json(&messages);
        prop_assert_eq!(shown(&decoded.rows.batch), shown(&wanted));
        let times = wanted.column(1).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values().to_vec();
        prop_assert_eq!(decoded.rows.times, times);
    }

    #[test]
    fn keys_of_an_object_are_refused_exactly_where_one_comes_twice(
        keys in prop::collection::vec(0..60_u8, 0..24),
        inside: bool,
        seed: u64,
    ) {
        let writer = &mut JsonWriter::new(seed);
        let mut members: Vec<(String, String)> = keys.iter().map(|key| (format!("k{key}"), "0".to_owned())).collect();
        if inside {
            members = vec![("deep".to_owned(), format!("[{}]", writer.object(members)))];
        }
        for (key, text) in [("sensor_id", "A"), ("observed_at", "2026-11-23T08:00:00Z")] {
            members.push((key.to_owned(), writer.string(text)));
        }
        let decoded = decode(settings(), &[writer.object(members)]);
        let reasons: Vec<Reason> = decoded.rejected.iter().map(|rejected| rejected.reason).collect();
        let once = keys.iter().collect::<HashSet<_>>().len() == keys.len();
        prop_assert_eq!(reasons, if once { vec![] } else { vec![Reason::DuplicateKey] });
    }

    #[test]
    fn text_of_any_characters_survives_any_escaping(texts in prop::collection::vec(any::<String>(), 1..5), seed: u64) {
        let writer = &mut JsonWriter::new(seed);
        let limits = arterial::stages::decode::DecodeSettings { max_bytes: 100_000, ..settings() };
        let time = "2026-11-23T08:00:00Z";
        let messages: Vec<String> = texts
            .iter()
            .map(|text| {
                let members = [("sensor_id", text.as_str()), ("note", text), ("observed_at", time)];
                let written = members.map(|(key, text)| (key.to_owned(), writer.string(text)));
                writer.object(written.to_vec())
            })
            .collect();
        let batch = decode(limits, &messages).rows.batch;
        for column in ["sensor_id", "note"] {
            let found: Vec<_> = batch.column_by_name(column).unwrap().as_string::<i32>().iter().flatten().collect();
            prop_assert_eq!(&found, &texts);
        }
    }

    #[test]
    fn damaged_message_decodes_or_is_rejected_and_its_neighbours_do_not_notice(
        readings in prop::array::uniform3(reading()),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let limits = || arterial::stages::decode::DecodeSettings { max_bytes: 100_000, ..settings() };
        let [first, middle, last] = readings.map(|reading| reading.json().into_bytes());
        let mut damaged = middle;
        damages.iter().for_each(|damage| suffer(&mut damaged, damage));
        let decoded = decode(limits(), &[&first, &damaged, &last]);
        let alone = decode(limits(), &[&first, &last]);
        let mut rows = shown(&decoded.rows.batch);
        let accepted = decoded.rejected.is_empty();
        if accepted {
            rows.remove(1);
        }
        prop_assert_eq!(rows, shown(&alone.rows.batch));
        let grammar = [Reason::Malformed, Reason::TrailingData, Reason::InvalidUtf8, Reason::NotFinite];
        match is_json(&damaged) {
            Some(true) => prop_assert!(accepted || !grammar.contains(&decoded.rejected[0].reason), "{decoded:?}"),
            Some(false) => prop_assert!(!accepted, "not JSON: {:?}", String::from_utf8_lossy(&damaged)),
            None => {}
        }
    }

    #[test]
    fn any_bytes_are_rejected_or_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let decoded = decode(settings(), &[&bytes]);
        prop_assert_eq!(decoded.rejected.len(), 1);
    }

    #[test]
    fn message_cut_anywhere_is_malformed(reading in reading()) {
        let limits = || arterial::stages::decode::DecodeSettings { max_bytes: 100_000, ..settings() };
        let message = reading.json();
        let whole = message.trim_end().len();
        let cuts: Vec<&[u8]> = (0..whole).map(|cut| &message.as_bytes()[..cut]).collect();
        let decoded = decode(limits(), &cuts);
        prop_assert_eq!(decoded.rejected.len(), whole);
        for (cut, rejected) in decoded.rejected.iter().enumerate() {
            let wanted = if message.is_char_boundary(cut) { Reason::Malformed } else { Reason::InvalidUtf8 };
            prop_assert_eq!(rejected.reason, wanted, "cut at {}: {}", cut, rejected.detail);
        }
    }
}
