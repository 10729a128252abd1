//! Messages of a few layouts, as topics have them, through one decoder that learns the layouts, beside a fresh decoder
//! for each message, which has nothing to go by but the scanner.

use arterial::stages::decode::DecodeSettings;
use arterial::stages::rows::Rejected;
use proptest::prelude::*;

use crate::decode_support::{decode, decoder, raw, settings, shown};

/// Layouts with places for values: in order, out of order, spaced, nested, with keys that nobody reads, without optional
/// columns, with a key twice, cut off, with something after the end.
const LAYOUTS: [&str; 9] = [
    r#"{"sensor_id":"L1","observed_at":"2026-11-23T08:00:00Z","m":{"speed":?,"site":{"lanes":?,"open":?}},"note":?}"#,
    r#"{"observed_at":?,"sensor_id":?,"seen_at":?}"#,
    "{ \"sensor_id\" : ? , \"observed_at\" : \"2026-11-23 08:00:00+01:00\",\n\"x\": [?, {\"deep\": ?}], \"m\": { \"speed\": ? } }\n",
    r#"{"sensor_id":?,"observed_at":"2026-11-23T08:00:00Z","m":null,"x":?}"#,
    r#"{"sensor_id":?,"observed_at":"2026-11-23T08:00:00Z","m":{"site":{"open":?,"lanes":?},"speed":?}}"#,
    r#"{"s\u0065nsor_id":?,"observed_at":"2026-11-23T08:00:00Z","Nørrebro":?}"#,
    r#"{"sensor_id":?,"observed_at":"2026-11-23T08:00:00Z","sensor_id":?}"#,
    r#"{"sensor_id":?,"observed_at":"2026-11-23T08:00:00Z","m":{"speed":?}"#,
    r#"{"sensor_id":?,"observed_at":"2026-11-23T08:00:00Z"}{"x":?}"#,
];

/// Values as sensors write them, and as broken ones do.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"null",
        b"true",
        b"false",
        b"nul",
        b"truefalse",
        b"\"L00001\"",
        b"\"N\xc3\xb8rrebro\"",
        b"\"\xff\"",
        b"\"\xc3\"",
        b"\"a\\nb\"",
        b"\"a\nb\"",
        b"\"\"",
        b"\"open",
        b"\"2026-11-23T08:05:00.25Z\"",
        b"\"yesterday\"",
        b"1763884800",
        b"00",
        b"-0",
        b"-",
        b"0.",
        b".5",
        b"1.5.5",
        b"1e5",
        b"-1E-3",
        b"NaN",
        b"12x",
        b"+1",
        b"",
        b"{}",
        b"[]",
        b"{\"a\":1}",
        b"999999999999999",
        b"9999999999999999",
        b"0.1234567890123456",
        b"1795420800123456",
        b"999999999999999999",
        b"9223372036854775807",
        b"61.52341234123412341234",
        b"0.00012345678901234567",
        b"9223372036854775808",
        b"1e999",
        b" 7 ",
        b"7,\"y\":8",
    ];
    prop_oneof![
        2 => prop::sample::select(known).prop_map(<[u8]>::to_vec),
        3 => "-?(0|[1-9][0-9]{0,21})(\\.[0-9]{1,22})?".prop_map(String::into_bytes),
        2 => "\"L[0-9]{5}\"".prop_map(String::into_bytes),
    ]
}

/// A layout with its places filled.
fn message() -> impl Strategy<Value = Vec<u8>> {
    (0..LAYOUTS.len(), prop::collection::vec(value(), 6)).prop_map(|(layout, values)| {
        let mut parts = LAYOUTS[layout].split('?');
        let mut message = parts.next().unwrap_or_default().as_bytes().to_vec();
        for (part, value) in parts.zip(values) {
            message.extend(value);
            message.extend(part.as_bytes());
        }
        message
    })
}

/// What one decoder makes of each message, in order: its row or why it was refused.
fn outcomes(messages: &[Vec<u8>], batch: usize) -> Vec<Result<String, Rejected>> {
    let mut learning = decoder(settings());
    let mut found = Vec::new();
    for batch in messages.chunks(batch) {
        let decoded = learning.decode(&raw(batch)).unwrap();
        let rows = decoded.rows.origin.iter().copied().zip(shown(&decoded.rows.batch).into_iter().map(Ok));
        let refused = decoded.rejected.into_iter().map(|one| (one.origin, Err(Rejected { origin: 0, ..one })));
        let mut all: Vec<(u32, Result<String, Rejected>)> = rows.chain(refused).collect();
        all.sort_by_key(|(origin, _)| *origin);
        found.extend(all.into_iter().map(|(_, outcome)| outcome));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn learned_layouts_change_nothing_in_what_a_message_says(
        messages in prop::collection::vec(message(), 1..60),
        batch in 1..20_usize,
    ) {
        let alone: Vec<_> = messages.iter().flat_map(|message| outcomes(std::slice::from_ref(message), 1)).collect();
        prop_assert_eq!(outcomes(&messages, batch), alone);
    }
}

#[test]
fn layout_that_changes_in_mid_stream_is_read_like_the_one_before() {
    let old =
        |speed: usize| format!(r#"{{"sensor_id":"L1","observed_at":"2026-11-23T08:00:00Z","m":{{"speed":{speed}}}}}"#);
    let new = |speed: usize| {
        format!(r#"{{"m":{{"speed":{speed}.5}},"observed_at":"2026-11-23T09:00:00Z","sensor_id":"L2","v":2}}"#)
    };
    let messages: Vec<String> = (0..100).map(|row| if row < 50 { old(row) } else { new(row) }).collect();
    let decoded = decode(DecodeSettings { max_bytes: 1_000, ..settings() }, &messages);
    assert_eq!(decoded.rejected, []);
    let rows = shown(&decoded.rows.batch);
    let speed = |row: usize| format!("{:016x}", if row < 50 { row as f64 } else { row as f64 + 0.5 }.to_bits());
    for (row, text) in rows.iter().enumerate() {
        assert!(text.contains(&speed(row)) && text.contains(if row < 50 { "L1" } else { "L2" }), "{row}: {text}");
    }
}
