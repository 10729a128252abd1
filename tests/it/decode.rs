//! Why messages are refused: every reason that decoding can give, with the value and the place it names.

use arterial::stages::decode::{DecodePlan, DecodeSettings, TimestampFormat};
use arterial::stages::rows::Reason;
use arterial_connectors::payload::{Payload, RawRows};

use crate::decode_support::{assert_accounted, decode, decoder, flat_settings, raw, schema, settings, shown};
use crate::spec_support::refused;

/// A message with these members after the required ones.
fn message(members: &str) -> String {
    format!(r#"{{"sensor_id":"A","observed_at":"2026-11-23T08:00:00Z"{members}}}"#)
}

/// Reason code and detail of the one message of a batch, which must be refused.
fn refusal(settings: DecodeSettings, message: &[u8]) -> (&'static str, String) {
    let decoded = decode(settings, &[message]);
    let [rejected] = decoded.rejected.as_slice() else {
        panic!("accepted: {}: {:?}", String::from_utf8_lossy(message), shown(&decoded.rows.batch));
    };
    (rejected.reason.code(), rejected.detail.clone())
}

/// Each message is refused for this reason with this detail.
fn all_refused(reason: Reason, cases: &[(&str, &str)]) {
    for (message, detail) in cases {
        assert_eq!(refusal(settings(), message.as_bytes()), (reason.code(), (*detail).to_owned()), "case {message}");
    }
}

#[test]
fn message_with_every_column_decodes_and_absent_optional_ones_are_null() {
    let full = message(
        r#","m":{"speed":-12.5e-1,"site":{"lanes":3,"open":true}},"note":"a\n\ud83d\ude00","seen_at":"1969-12-31T23:59:59.5Z""#,
    );
    let bare = message("");
    let nulls = message(r#","m":null,"note":null"#);
    let deeper = message(r#","m":{"site":null}"#);
    let decoded = decode(settings(), &[full, bare, nulls, deeper]);
    let minus_1_25 = format!("{:016x}", (-1.25_f64).to_bits());
    let required = r#""A" "2026-11-23T08:00:00Z""#;
    let empty = format!("{required} null null null null null");
    let full = format!(r#"{required} {minus_1_25} "3" "true" "a\n😀" "1969-12-31T23:59:59.500Z""#);
    assert_eq!(shown(&decoded.rows.batch), [full, empty.clone(), empty.clone(), empty]);
    assert_eq!(decoded.rows.times, [1_795_420_800_000_000; 4]);
    assert_eq!(decoded.rows.origin, [0, 1, 2, 3]);
}

#[test]
fn bytes_that_are_not_json_are_malformed_at_the_first_wrong_one() {
    all_refused(
        Reason::Malformed,
        &[
            ("", "expected a value at byte 0, found the end"),
            ("  ", "expected a value at byte 2, found the end"),
            ("{", "expected a key at byte 1, found the end"),
            ("}", "expected a value at byte 0, found `}`"),
            ("hello", "expected a value at byte 0, found `hello`"),
            ("{sensor_id:1}", "expected a key at byte 1, found `sensor_id:1}`"),
            ("{'sensor_id':1}", r"expected a key at byte 1, found `'sensor_id':1}`"),
            (r#"{"sensor_id" "A"}"#, r#"expected `:` at byte 13, found `"A"}`"#),
            (r#"{"sensor_id":}"#, "expected a value at byte 13, found `}`"),
            (r#"{"sensor_id":"A",}"#, "expected a key at byte 17, found `}`"),
            (r#"{"sensor_id":"A""note":1}"#, r#"expected `,` or `}` at byte 16, found `"note":1}`"#),
            (r#"{"x":[1,]}"#, "expected a value at byte 8, found `]}`"),
            (r#"{"x":[1 2]}"#, "expected `,` or `]` at byte 8, found `2]}`"),
            (r#"{"x":tru}"#, "expected a value at byte 5, found `tru}`"),
            (r#"{"x":nullish}"#, "expected `,` or `}` at byte 9, found `ish}`"),
            (r#"{"x":01}"#, "expected the end of the number at byte 6, found `1}`"),
            (r#"{"x":1.}"#, "expected a digit after the point at byte 7, found `}`"),
            (r#"{"x":.5}"#, "expected a value at byte 5, found `.5}`"),
            (r#"{"x":+1}"#, "expected a value at byte 5, found `+1}`"),
            (r#"{"x":-}"#, "expected a value at byte 5, found `-}`"),
            (r#"{"x":1e}"#, "expected a digit of the exponent at byte 7, found `}`"),
            (r#"{"x":0x1F}"#, "expected the end of the number at byte 6, found `x1F}`"),
            ("{\"x\":\"a\tb\"}", r#"expected no control character at byte 7, found `\tb"}`"#),
            (r#"{"x":"\q"}"#, r#"expected a valid escape at byte 6, found `\q"}`"#),
            (r#"{"x":"\ud83d"}"#, r#"expected a valid escape at byte 6, found `\ud83d"}`"#),
            (r#"{"x":"\u12"}"#, r#"expected a valid escape at byte 6, found `\u12"}`"#),
            (r#"{"x":"open"#, r#"expected `"` at byte 10, found the end"#),
            (r#"{"x":"open\"#, r#"expected `"` at byte 11, found the end"#),
            ("\u{feff}{}", r"expected a value at byte 0, found `\u{feff}{}`"),
            ("[1,", "expected a value at byte 3, found the end"),
        ],
    );
}

#[test]
fn quotation_of_a_long_message_is_cut_and_whole_characters_stay_whole() {
    let long = format!("{{\"x\":{}", "é".repeat(100));
    let detail = format!("expected a value at byte 5, found `{}`", "é".repeat(40));
    assert_eq!(refusal(settings(), long.as_bytes()), ("malformed", detail));
}

#[test]
fn control_characters_must_be_escaped_and_nothing_else_must() {
    for control in '\0'..='\u{1f}' {
        for before in ["", r"\n"] {
            let raw = message(&format!(r#","note":"{before}{control}""#));
            assert_eq!(refusal(settings(), raw.as_bytes()).0, "malformed", "case {raw:?}");
            let escaped = message(&format!(r#","note":"{before}\u{:04x}""#, u32::from(control)));
            assert_eq!(decode(settings(), &[escaped]).rejected, [], "case {raw:?}");
        }
    }
    assert_eq!(decode(settings(), &[message(",\"note\":\"\u{7f}\u{85}\u{2028}/\"")]).rejected, []);
}

#[test]
fn bytes_after_the_object_are_trailing_data() {
    let two = message("") + "\n{}";
    let at = message("").len() + 1;
    all_refused(
        Reason::TrailingData,
        &[
            (&two, &format!("expected the end at byte {at}, found `{{}}`")),
            ("{} x", "expected the end at byte 3, found `x`"),
            ("{}\u{0}", r"expected the end at byte 2, found `\0`"),
        ],
    );
    assert_eq!(decode(settings(), &[message("") + " \r\n\t"]).rejected, []);
}

#[test]
fn key_that_is_read_and_comes_twice_is_a_duplicate_whatever_its_value_or_spelling() {
    all_refused(
        Reason::DuplicateKey,
        &[
            (r#"{"note":"a","note":"a"}"#, r#"expected each key once at byte 12, found `"note":"a"}`"#),
            (r#"{"note":null,"note":"a"}"#, r#"expected each key once at byte 13, found `"note":"a"}`"#),
            (r#"{"note":"a","n\u006fte":"b"}"#, r#"expected each key once at byte 12, found `"n\u006fte":"b"}`"#),
            (r#"{"m":{"speed":1,"speed":2}}"#, r#"expected each key once at byte 16, found `"speed":2}}`"#),
            // An object on the way to columns counts as a key that is read, even where no column comes twice.
            (r#"{"m":{"speed":1},"m":{"site":{}}}"#, r#"expected each key once at byte 17, found `"m":{"site":{}}}`"#),
            (r#"{"m":null,"m":{"speed":1}}"#, r#"expected each key once at byte 10, found `"m":{"speed":1}}`"#),
            (r#"{"m":{"site":{},"site":null}}"#, r#"expected each key once at byte 16, found `"site":null}}`"#),
        ],
    );
}

#[test]
fn key_that_nobody_reads_and_comes_twice_is_a_duplicate_at_every_depth() {
    all_refused(
        Reason::DuplicateKey,
        &[
            (r#"{"x":1,"x":2}"#, r#"expected each key once at byte 7, found `"x":2}`"#),
            (r#"{"x":1,"y":2,"x":1}"#, r#"expected each key once at byte 13, found `"x":1}`"#),
            (r#"{"":1,"":2}"#, r#"expected each key once at byte 6, found `"":2}`"#),
            (r#"{"x":1,"\u0078":2}"#, r#"expected each key once at byte 7, found `"\u0078":2}`"#),
            (r#"{"\u0078":1,"x":2}"#, r#"expected each key once at byte 12, found `"x":2}`"#),
            (r#"{"m":{"a":1,"a":2}}"#, r#"expected each key once at byte 12, found `"a":2}}`"#),
            // Inside what is skipped, the names of columns are names like others.
            (
                r#"{"x":[0,{"y":{"sensor_id":1,"sensor_id":2}}]}"#,
                r#"expected each key once at byte 28, found `"sensor_id":2}}]}`"#,
            ),
        ],
    );
    let apart = [
        message(r#","x":1,"X":2,"x ":3,"":4"#),
        message(r#","a":{"a":{"a":[{"a":1},{"a":1}]}},"b":{"a":1}"#),
        // `speed` is a column's key under `m` only.
        message(r#","speed":1,"m":{"speed":1,"m":{}}"#),
    ];
    assert_eq!(decode(settings(), &apart).rows.origin, [0, 1, 2]);
}

#[test]
fn one_repeat_among_very_many_keys_is_found_in_linear_time() {
    let many = |last: usize| {
        let keys: Vec<String> = (0..200_000).chain([last]).map(|key| format!(r#","k{key}":0"#)).collect();
        message(&keys.concat())
    };
    let settings = DecodeSettings { max_bytes: usize::MAX, ..settings() };
    let started = std::time::Instant::now();
    assert_eq!(decode(settings.clone(), &[many(200_000)]).rejected, []);
    for repeated in [0, 7, 8, 199_999] {
        assert_eq!(refusal(settings.clone(), many(repeated).as_bytes()).0, "duplicate_key", "{repeated}");
    }
    // Each with each would be 10^11 comparisons.
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn value_of_another_type_is_named_with_the_type_that_is_due() {
    all_refused(
        Reason::WrongType,
        &[
            ("[1, 2]", "expected an object at byte 0, found `[1, 2]`"),
            (" null\n", r"expected an object at byte 1, found `null\n`"),
            ("-7", "expected an object at byte 0, found `-7`"),
            (r#"{"m":{"speed":"12.5"}}"#, r#"expected a number at byte 14, found `"12.5"}}`"#),
            (r#"{"m":{"speed":true}}"#, "expected a number at byte 14, found `true}}`"),
            (r#"{"m":{"site":{"lanes":2.0}}}"#, "expected a whole number at byte 22, found `2.0}}}`"),
            (r#"{"m":{"site":{"lanes":1e5}}}"#, "expected a whole number at byte 22, found `1e5}}}`"),
            (r#"{"m":{"site":{"open":1}}}"#, "expected true or false at byte 21, found `1}}}`"),
            (r#"{"sensor_id":17}"#, "expected text at byte 13, found `17}`"),
            (r#"{"sensor_id":["A"]}"#, r#"expected text at byte 13, found `["A"]}`"#),
            (r#"{"observed_at":{}}"#, "expected a time at byte 15, found `{}}`"),
            (r#"{"m":[]}"#, "expected an object at byte 5, found `[]}`"),
            (r#"{"m":{"site":"x"}}"#, r#"expected an object at byte 13, found `"x"}}`"#),
        ],
    );
    // What is not even JSON is malformed first.
    let broken = [r#"{"m":{"speed":[1,}}"#, r#"{"m":"\q"}"#, "[1,]", "nul"];
    for message in broken {
        assert_eq!(refusal(settings(), message.as_bytes()).0, "malformed", "case {message}");
    }
}

#[test]
fn required_column_that_is_absent_or_null_is_missing() {
    all_refused(
        Reason::MissingColumn,
        &[
            ("{}", "`sensor_id` is absent or null"),
            (r#"{"sensor_id":null,"observed_at":"2026-11-23T08:00:00Z"}"#, "`sensor_id` is absent or null"),
            (r#"{"sensor_id":"A"}"#, "`observed_at` is absent or null"),
            (r#"{"sensor_id":"A","observed_at":null}"#, "`observed_at` is absent or null"),
            (r#"{"sensor_id":"A","Observed_At":"2026-11-23T08:00:00Z"}"#, "`observed_at` is absent or null"),
        ],
    );
}

#[test]
fn event_time_is_required_even_where_the_schema_lets_it_be_null() {
    let by_seen_at = DecodeSettings { event_time: "seen_at".to_owned(), ..settings() };
    let wanted = ("missing_column", "`seen_at` is absent or null".to_owned());
    assert_eq!(refusal(by_seen_at, message("").as_bytes()), wanted);
}

#[test]
fn nan_and_infinity_are_not_finite() {
    all_refused(
        Reason::NotFinite,
        &[
            (r#"{"m":{"speed":NaN}}"#, "expected a finite number at byte 14, found `NaN}}`"),
            (r#"{"m":{"speed":nan}}"#, "expected a finite number at byte 14, found `nan}}`"),
            (r#"{"m":{"speed":Infinity}}"#, "expected a finite number at byte 14, found `Infinity}}`"),
            (r#"{"m":{"speed":-Infinity}}"#, "expected a finite number at byte 14, found `-Infinity}}`"),
            (r#"{"m":{"site":{"lanes":inf}}}"#, "expected a finite number at byte 22, found `inf}}}`"),
            (r#"{"x":[1, -NaN]}"#, "expected a finite number at byte 9, found `-NaN]}`"),
        ],
    );
}

#[test]
fn number_beyond_its_type_overflows() {
    let long = format!(r#"{{"m":{{"speed":{}}}}}"#, "9".repeat(400));
    let cut = format!("expected a number that 64 bits hold at byte 14, found `{}`", "9".repeat(40));
    let whole = "expected a whole number that 64 bits hold at byte 22";
    all_refused(
        Reason::Overflow,
        &[
            (r#"{"m":{"speed":1e400}}"#, "expected a number that 64 bits hold at byte 14, found `1e400}}`"),
            (r#"{"m":{"speed":-1.8e308}}"#, "expected a number that 64 bits hold at byte 14, found `-1.8e308}}`"),
            (&long, &cut),
            (r#"{"m":{"site":{"lanes":9223372036854775808}}}"#, &format!("{whole}, found `9223372036854775808}}}}}}`")),
            (
                r#"{"m":{"site":{"lanes":-9223372036854775809}}}"#,
                &format!("{whole}, found `-9223372036854775809}}}}}}`"),
            ),
        ],
    );
    let limits = message(r#","m":{"speed":1e-400,"site":{"lanes":-9223372036854775808}},"x":1e400"#);
    let zero = format!("{:016x}", 0);
    let row = format!(r#""A" "2026-11-23T08:00:00Z" {zero} "-9223372036854775808" null null null"#);
    assert_eq!(shown(&decode(settings(), &[limits]).rows.batch), [row]);
}

#[test]
fn bytes_that_are_not_utf8_are_told_by_their_place() {
    let mut bytes = message(r#","note":"caf"#).into_bytes();
    let at = bytes.len() - 1;
    bytes.truncate(at);
    bytes.extend_from_slice(b"\xe9\"}");
    assert_eq!(refusal(settings(), &bytes), ("invalid_utf8", format!("not UTF-8 from byte {at}")));
    assert_eq!(refusal(settings(), b"\xff\xfe{}"), ("invalid_utf8", "not UTF-8 from byte 0".to_owned()));
    // A lone surrogate, as some encoders write it.
    assert_eq!(refusal(settings(), b"{\"x\":\"\xed\xa0\x80\"}").0, "invalid_utf8");
}

#[test]
fn payload_may_nest_as_deep_as_the_limit_and_no_deeper() {
    let nested = |open: &str, close: &str, levels: usize| {
        message(&format!(r#","x":{}1{}"#, open.repeat(levels), close.repeat(levels)))
    };
    for (open, close) in [("[", "]"), (r#"{"x":"#, "}")] {
        assert_eq!(decode(settings(), &[nested(open, close, 7)]).rejected, [], "{open}");
        let (reason, detail) = refusal(settings(), nested(open, close, 8).as_bytes());
        let at = message("").len() + 4 + 7 * open.len();
        assert_eq!(reason, "too_deep", "{open}");
        assert!(detail.starts_with(&format!("expected less nesting at byte {at}, found `")), "{detail}");
    }
    // Depth is what is open at once, not how much there is.
    let wide = message(&format!(r#","x":[{}0]"#, "[[]],".repeat(50)));
    assert_eq!(decode(settings(), &[wide]).rejected, []);
}

#[test]
fn deepest_nesting_that_a_pipeline_may_allow_fits_the_stack() {
    let deep = DecodeSettings { max_depth: 1_000, max_bytes: 1 << 20, ..settings() };
    let levels = |count: usize| message(&format!(r#","x":{}[]{}"#, r#"[{"x":"#.repeat(count), "}]".repeat(count)));
    // One for the message, two a level, one for the innermost array.
    assert_eq!(decode(deep.clone(), &[levels(499)]).rejected, []);
    for levels in [levels(500), levels(100_000)] {
        assert_eq!(refusal(deep.clone(), levels.as_bytes()).0, "too_deep");
    }
}

#[test]
fn pipeline_cannot_allow_deeper_nesting_than_fits_the_stack() {
    let given = "timezone: Europe/Copenhagen }";
    refused(given, "timezone: Europe/Copenhagen, max_depth: «1001 }", "expected at most 1000, found number 1001", "");
}

#[test]
fn payload_may_be_as_long_as_the_limit_and_no_longer() {
    let padded = |bytes: usize| message(&format!(r#","x":"{}""#, "x".repeat(bytes - message(r#","x":"""#).len())));
    assert_eq!(decode(settings(), &[padded(1_000)]).rejected, []);
    let wanted = ("too_large", "1001 bytes, the limit is 1000".to_owned());
    assert_eq!(refusal(settings(), padded(1_001).as_bytes()), wanted);
}

#[test]
fn time_further_ahead_of_its_arrival_than_the_skew_is_a_future_timestamp() {
    let settings = DecodeSettings { future_skew: Some(60_000_000), ..settings() };
    let arrival_ms = 1_795_420_740_000; // 2026-11-23T07:59:00Z
    let times = ["07:59:00", "08:00:00", "08:00:00.000001", "08:00:00.000001"];
    let mut rows = RawRows::default();
    for (index, time) in times.iter().enumerate() {
        let message = format!(r#"{{"sensor_id":"A","observed_at":"2026-11-23T{time}Z"}}"#);
        // The last record carries no time of the broker: nothing to judge by.
        rows.push(index as i64, (index < 3).then_some(arrival_ms), None, Some(message.as_bytes()));
    }
    let decoded = decoder(settings).decode(&Payload::Raw(rows)).unwrap();
    assert_accounted(&decoded, 4);
    assert_eq!(decoded.rows.origin, [0, 1, 3]);
    assert_eq!(decoded.rejected[0].reason.code(), "future_timestamp");
    let told = "`observed_at`: 2026-11-23T08:00:00.000001Z lies more than 60000000 us ahead of its arrival \
                2026-11-23T07:59:00Z";
    assert_eq!(decoded.rejected[0].detail, told);
}

#[test]
fn tombstones_are_counted_apart_and_an_empty_value_is_none() {
    let mut rows = RawRows::default();
    rows.push(0, None, Some(b"A"), None);
    rows.push(1, None, Some(b"A"), Some(message("").as_bytes()));
    rows.push(2, None, Some(b"A"), Some(b""));
    rows.push(3, None, None, None);
    let decoded = decoder(settings()).decode(&Payload::Raw(rows)).unwrap();
    assert_accounted(&decoded, 4);
    assert_eq!((decoded.tombstones.as_slice(), decoded.rows.origin.as_slice()), (&[0, 3][..], &[1][..]));
    assert_eq!(decoded.rejected[0].reason, Reason::Malformed);
}

#[test]
fn rejected_row_leaves_nothing_behind_for_the_rows_after_it() {
    let messages = [
        message(r#","m":{"speed":1,"site":{"lanes":2}},"note":"é","seen_at":"x""#),
        message(""),
        message(r#","note":"\u00e9","note":1"#),
        message(r#","note":"b\t""#),
    ];
    let mut decoder = decoder(settings());
    for _ in 0..2 {
        let decoded = decoder.decode(&raw(&messages)).unwrap();
        let required = r#""A" "2026-11-23T08:00:00Z" null null null"#;
        assert_eq!(shown(&decoded.rows.batch), [format!("{required} null null"), format!(r#"{required} "b\t" null"#)]);
        let reasons: Vec<_> = decoded.rejected.iter().map(|rejected| rejected.reason.code()).collect();
        assert_eq!(reasons, ["bad_timestamp", "duplicate_key"]);
    }
}

/// What arrow-json reads and decoding refuses, so that the property of their equality leaves it out.
#[test]
fn refusals_that_another_reader_does_not_share() {
    let cases = [
        (message(",\"note\":\"a\u{1}b\""), "malformed"),
        (message(","), "malformed"),
        (message(r#","m":{"site":{"lanes":1e5}}"#), "wrong_type"),
        (message(r#","m":{"site":{"lanes":1.0}}"#), "wrong_type"),
        (message(r#","m":{"speed":"1.5"}"#), "wrong_type"),
        (message(r#","m":{"speed":1e400}"#), "overflow"),
        (message(r#","note":"a","note":"b""#), "duplicate_key"),
        (message(r#","x":1,"x":2"#), "duplicate_key"),
        (message(r#","seen_at":"2026-11-23T08:00:00""#), "bad_timestamp"),
        (message(r#","seen_at":1795420800000000"#), "bad_timestamp"),
        (message("") + "{}", "trailing_data"),
    ];
    for (message, reason) in cases {
        assert_eq!(refusal(settings(), message.as_bytes()).0, reason, "case {message}");
    }
}

#[test]
fn plan_refuses_columns_it_does_not_know_paths_that_cross_and_an_event_time_that_is_none() {
    let problems = |settings| -> Vec<String> {
        let errors = DecodePlan::new(settings, &schema()).unwrap_err();
        errors.iter().map(ToString::to_string).collect()
    };
    let paths = |paths: &[(&str, &str)]| DecodeSettings {
        paths: paths.iter().map(|(column, path)| ((*column).to_owned(), (*path).to_owned())).collect(),
        ..flat_settings()
    };
    let unknown = "sources.loops.decode.paths.sped: `paths` names column `sped`, which schema `reading.v1` lacks";
    assert_eq!(problems(paths(&[("sped", "a")])), [unknown]);
    let crossing = |column: &str, path: &str| {
        format!(
            "sources.loops.decode.paths.{column}: path `{path}` is used for more than one column, or leads through another's"
        )
    };
    assert_eq!(problems(paths(&[("speed_kmh", "note")])), [crossing("note", "note")]);
    assert_eq!(problems(paths(&[("speed_kmh", "a.b"), ("lanes", "a")])), [crossing("lanes", "a")]);
    assert_eq!(problems(paths(&[("speed_kmh", "a"), ("lanes", "a.b")])), [crossing("lanes", "a.b")]);
    let not_time =
        DecodeSettings { event_time: "note".to_owned(), timestamp: TimestampFormat::EpochS, ..flat_settings() };
    let told = "sources.loops.event_time.column: event-time column `note` is not a timestamp of schema `reading.v1`";
    assert_eq!(problems(not_time), [told]);
}
