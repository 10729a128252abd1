//! Rows that already have types: columns by name, casts that lose nothing, times, and equality with the same as JSON.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
    NullArray, StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int8Type;
use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;
use arterial::stages::decode::{DecodeError, DecodeSettings, Decoded, TimestampFormat};
use arterial_connectors::payload::Payload;
use proptest::prelude::*;

use crate::decode_support::{assert_accounted, decode, decoder, flat_settings, schema, shown};

/// 2026-11-23T08:00:00Z, microseconds.
const EIGHT: i64 = 1_795_420_800_000_000;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn try_typed(settings: DecodeSettings, rows: RecordBatch) -> Result<Decoded, DecodeError> {
    decoder(settings).decode(&Payload::Typed { rows, first_offset: 0 })
}

fn typed(settings: DecodeSettings, rows: RecordBatch) -> Decoded {
    let count = rows.num_rows();
    let decoded = try_typed(settings, rows).unwrap();
    assert_accounted(&decoded, count);
    assert_eq!(decoded.rows.batch.schema(), schema().arrow);
    decoded
}

fn texts(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

/// `sensor_id` and `observed_at` of this many rows.
fn required(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let times = TimestampMicrosecondArray::from(vec![EIGHT; rows]).with_timezone("UTC");
    vec![("sensor_id", texts(&vec!["A"; rows])), ("observed_at", Arc::new(times))]
}

fn with(rows: usize, column: &'static str, values: ArrayRef) -> RecordBatch {
    batch([required(rows), vec![(column, values)]].concat())
}

/// Reason and detail of each rejected row.
fn refusals(decoded: &Decoded) -> Vec<(u32, &'static str, &str)> {
    decoded.rejected.iter().map(|one| (one.origin, one.reason.code(), one.detail.as_str())).collect()
}

/// One decoded column as text.
fn column(decoded: &Decoded, name: &str) -> Vec<String> {
    let (index, _) =
        decoded.rows.batch.schema().column_with_name(name).map(|(index, field)| (index, field.clone())).unwrap();
    shown(&decoded.rows.batch.project(&[index]).unwrap())
}

fn bits(values: &[f64]) -> Vec<String> {
    values.iter().map(|value| format!("{:016x}", value.to_bits())).collect()
}

#[test]
fn columns_are_found_by_name_in_any_order_and_those_that_nobody_reads_are_left_out() {
    let mut columns = required(1);
    columns.insert(0, ("extra", texts(&["x"])));
    columns.insert(1, ("note", texts(&["n"])));
    let decoded = typed(flat_settings(), batch(columns));
    assert_eq!(shown(&decoded.rows.batch), [r#""A" "2026-11-23T08:00:00Z" null null null "n" null"#]);
    assert_eq!(decoded.rows.times, [EIGHT]);
    // `paths` names the columns of a file.
    let renamed = DecodeSettings { paths: [("note".to_owned(), "extra".to_owned())].into(), ..flat_settings() };
    assert_eq!(column(&typed(renamed, with(1, "extra", texts(&["x"]))), "note"), [r#""x""#]);
}

#[test]
fn required_column_that_is_not_there_is_an_error_that_says_what_is() {
    let rows = batch(vec![("Sensor", texts(&["A"])), ("observed_at", required(1)[1].1.clone())]);
    let told = "the rows have no column `sensor_id`, which schema column `sensor_id` is read from; they have Sensor, \
                observed_at";
    assert_eq!(try_typed(flat_settings(), rows.clone()).unwrap_err().to_string(), told);
    let renamed = DecodeSettings { paths: [("sensor_id".to_owned(), "loop".to_owned())].into(), ..flat_settings() };
    let told = "the rows have no column `loop`, which schema column `sensor_id` is read from; they have Sensor, \
                observed_at";
    assert_eq!(try_typed(renamed, rows).unwrap_err().to_string(), told);
}

#[test]
fn column_whose_type_never_fits_is_an_error_that_names_both_types() {
    let list = arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>([Some([Some(1)])]);
    let error = try_typed(flat_settings(), with(1, "speed_kmh", Arc::new(list))).unwrap_err().to_string();
    assert_eq!(error, "column `speed_kmh` is List(Int32) and cannot become a number");
    let error = try_typed(flat_settings(), with(1, "seen_at", Arc::new(Float64Array::from(vec![1.0])))).unwrap_err();
    assert_eq!(error.to_string(), "column `seen_at` is Float64 and cannot become a time");
    // Whole numbers are times only where the settings say which.
    let error = try_typed(flat_settings(), with(1, "seen_at", Arc::new(Int64Array::from(vec![1])))).unwrap_err();
    assert_eq!(error.to_string(), "column `seen_at` is Int64 and cannot become a time");
}

#[test]
fn numbers_of_any_width_become_the_schemas() {
    let floats: [ArrayRef; 4] = [
        Arc::new(Float32Array::from(vec![0.5, -1.25])),
        Arc::new(Decimal128Array::from(vec![50, -125]).with_precision_and_scale(10, 2).unwrap()),
        texts(&["0.5", "-1.25"]),
        Arc::new(Float64Array::from(vec![0.5, -1.25])),
    ];
    for values in floats {
        let kind = values.data_type().clone();
        let decoded = typed(flat_settings(), with(2, "speed_kmh", values));
        assert_eq!(column(&decoded, "speed_kmh"), bits(&[0.5, -1.25]), "{kind}");
    }
    let ints: [ArrayRef; 4] = [
        Arc::new(Int32Array::from(vec![3, -4])),
        Arc::new(Float64Array::from(vec![3.0, -4.0])),
        Arc::new(Decimal128Array::from(vec![300, -400]).with_precision_and_scale(10, 2).unwrap()),
        texts(&["3", "-4"]),
    ];
    for values in ints {
        let kind = values.data_type().clone();
        assert_eq!(column(&typed(flat_settings(), with(2, "lanes", values)), "lanes"), [r#""3""#, r#""-4""#], "{kind}");
    }
    let dictionary: DictionaryArray<Int8Type> = ["a", "b", "a"].into_iter().collect();
    let notes: [ArrayRef; 2] = [Arc::new(dictionary), Arc::new(StringViewArray::from(vec!["a", "b", "a"]))];
    for values in notes {
        let kind = values.data_type().clone();
        let decoded = typed(flat_settings(), with(3, "note", values));
        assert_eq!(column(&decoded, "note"), [r#""a""#, r#""b""#, r#""a""#], "{kind}");
    }
}

#[test]
fn number_that_is_not_finite_rejects_its_row_and_no_other() {
    let columns: [(ArrayRef, [&str; 3]); 3] = [
        (Arc::new(Float64Array::from(vec![1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY])), ["NaN", "inf", "-inf"]),
        (Arc::new(Float32Array::from(vec![1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY])), ["NaN", "inf", "-inf"]),
        (texts(&["1", "NaN", "inf", "-Infinity"]), ["NaN", "inf", "-Infinity"]),
    ];
    for (values, shown) in columns {
        let kind = values.data_type().clone();
        let decoded = typed(flat_settings(), with(4, "speed_kmh", values));
        let details = shown.map(|shown| format!("`speed_kmh`: `{shown}` is not a finite number"));
        let wanted: Vec<_> = (1..).zip(&details).map(|(row, detail)| (row, "not_finite", detail.as_str())).collect();
        assert_eq!(refusals(&decoded), wanted, "{kind}");
        assert_eq!(column(&decoded, "speed_kmh"), bits(&[1.0]), "{kind}");
    }
    // What stands under a null is nothing.
    let (numbers, nulls) = (vec![f64::INFINITY, 2.0], NullBuffer::from(vec![false, true]));
    let decoded =
        typed(flat_settings(), with(2, "speed_kmh", Arc::new(Float64Array::new(numbers.into(), Some(nulls)))));
    assert_eq!(refusals(&decoded), []);
    assert_eq!(column(&decoded, "speed_kmh"), ["null".to_owned(), bits(&[2.0])[0].clone()]);
}

#[test]
fn value_that_no_cast_keeps_rejects_its_row_and_no_other() {
    let cases: [(&'static str, ArrayRef, &str); 7] = [
        ("speed_kmh", texts(&["1", "fast"]), "`speed_kmh`: `fast` is not a number"),
        ("speed_kmh", texts(&["1", ""]), "`speed_kmh`: `` is not a number"),
        ("lanes", Arc::new(Float64Array::from(vec![2.0, 2.5])), "`lanes`: `2.5` is not a whole number"),
        ("lanes", Arc::new(Float64Array::from(vec![2.0, f64::NAN])), "`lanes`: `NaN` is not a whole number"),
        (
            "lanes",
            Arc::new(Decimal128Array::from(vec![200, 250]).with_precision_and_scale(10, 2).unwrap()),
            "`lanes`: `2.50` is not a whole number",
        ),
        (
            "lanes",
            Arc::new(UInt64Array::from(vec![1, u64::MAX])),
            "`lanes`: `18446744073709551615` is not a whole number",
        ),
        ("open", texts(&["true", "ajar"]), "`open`: `ajar` is not true or false"),
    ];
    for (name, values, detail) in cases {
        let decoded = typed(flat_settings(), with(2, name, values));
        assert_eq!(refusals(&decoded), [(1, "wrong_type", detail)]);
        assert_eq!(decoded.rows.origin, [0], "{detail}");
        assert_ne!(column(&decoded, name), ["null"], "{detail}");
    }
}

#[test]
fn null_is_kept_where_it_may_be_and_rejects_its_row_where_not() {
    let times = TimestampMicrosecondArray::from(vec![Some(EIGHT), Some(EIGHT), None, None]).with_timezone("UTC");
    let rows = batch(vec![
        ("sensor_id", Arc::new(StringArray::from(vec![Some("A"), None, Some("C"), None]))),
        ("observed_at", Arc::new(times)),
        ("speed_kmh", Arc::new(Float64Array::from(vec![None, Some(1.0), None, None]))),
        ("note", Arc::new(NullArray::new(4))),
    ]);
    let decoded = typed(flat_settings(), rows);
    let missing = [
        (1, "missing_column", "`sensor_id` is absent or null"),
        (2, "missing_column", "`observed_at` is absent or null"),
        (3, "missing_column", "`sensor_id` is absent or null"),
    ];
    assert_eq!(refusals(&decoded), missing);
    assert_eq!(shown(&decoded.rows.batch), [r#""A" "2026-11-23T08:00:00Z" null null null null null"#]);
}

#[test]
fn event_time_is_required_even_where_the_schema_lets_it_be_null() {
    let by_seen_at = DecodeSettings { event_time: "seen_at".to_owned(), ..flat_settings() };
    let seen = TimestampMicrosecondArray::from(vec![None, Some(EIGHT + 1)]).with_timezone("UTC");
    let decoded = typed(by_seen_at.clone(), with(2, "seen_at", Arc::new(seen)));
    assert_eq!(refusals(&decoded), [(0, "missing_column", "`seen_at` is absent or null")]);
    assert_eq!(decoded.rows.times, [EIGHT + 1]);
    assert_eq!(typed(by_seen_at, batch(required(1))).rejected.len(), 1);
}

#[test]
fn instants_of_any_unit_and_zone_are_the_same_instant() {
    let eight_seconds = EIGHT / 1_000_000;
    let times: [ArrayRef; 5] = [
        Arc::new(TimestampSecondArray::from(vec![eight_seconds]).with_timezone("UTC")),
        Arc::new(TimestampMillisecondArray::from(vec![EIGHT / 1_000]).with_timezone("+02:00")),
        Arc::new(TimestampNanosecondArray::from(vec![EIGHT * 1_000 + 999]).with_timezone("Europe/Copenhagen")),
        texts(&["2026-11-23T09:00:00+01:00"]),
        Arc::new(StringViewArray::from(vec!["2026-11-23 08:00:00Z"])),
    ];
    for values in times {
        let kind = values.data_type().clone();
        let decoded = typed(flat_settings(), with(1, "seen_at", values));
        assert_eq!(column(&decoded, "seen_at"), [r#""2026-11-23T08:00:00Z""#], "{kind}");
    }
}

#[test]
fn times_without_zone_are_local_to_the_declared_one() {
    // 02:30 on the day clocks jump over it, 02:30 on the day it comes twice, and noon between.
    let local = [1_774_751_400_i64, 1_792_895_400, 1_782_907_200];
    let zone = DecodeSettings { zone: Some(chrono_tz::Europe::Copenhagen), ..flat_settings() };
    let gap = "`seen_at`: `2026-03-29T02:30:00` does not exist in Europe/Copenhagen, where clocks jumped over it";
    let as_text = texts(&["2026-03-29T02:30:00", "2026-10-25T02:30:00", "2026-07-01T12:00:00"]);
    let as_seconds: ArrayRef = Arc::new(TimestampSecondArray::from(local.to_vec()));
    for values in [as_text, as_seconds] {
        let decoded = typed(zone.clone(), with(3, "seen_at", Arc::clone(&values)));
        assert_eq!(refusals(&decoded), [(0, "bad_timestamp", gap)]);
        assert_eq!(column(&decoded, "seen_at"), [r#""2026-10-25T00:30:00Z""#, r#""2026-07-01T10:00:00Z""#]);
        let undeclared = typed(flat_settings(), with(3, "seen_at", values));
        let told = "`seen_at`: `2026-07-01T12:00:00` has no offset, and no `timezone` is declared";
        assert_eq!((undeclared.rejected.len(), refusals(&undeclared)[2]), (3, (2, "bad_timestamp", told)));
    }
}

#[test]
fn whole_numbers_are_times_in_the_declared_unit() {
    let cases =
        [(TimestampFormat::EpochS, 1_000_000), (TimestampFormat::EpochMs, 1_000), (TimestampFormat::EpochUs, 1)];
    for (timestamp, unit) in cases {
        let settings = DecodeSettings { timestamp, ..flat_settings() };
        let values = Int64Array::from(vec![EIGHT / unit, i64::MAX]);
        let decoded = typed(settings, with(2, "seen_at", Arc::new(values)));
        assert_eq!(column(&decoded, "seen_at"), [r#""2026-11-23T08:00:00Z""#], "{timestamp:?}");
        let (origin, reason, detail) = refusals(&decoded)[0];
        assert_eq!((origin, reason), (1, "bad_timestamp"), "{timestamp:?}");
        assert!(detail.starts_with("`seen_at`: `9223372036854775807` is not a time of the years 0000"), "{detail}");
    }
}

/// Rows of the schema's own types; nulls in every column that may have them.
fn rows() -> impl Strategy<Value = RecordBatch> {
    let time = -62_167_219_200_000_000..=253_402_300_799_999_999_i64;
    let float = prop_oneof![prop::num::f64::NORMAL, prop::num::f64::ZERO, prop::num::f64::SUBNORMAL];
    let row = (
        (prop::option::weighted(0.9, any::<String>()), prop::option::weighted(0.9, time.clone())),
        (prop::option::of(float), prop::option::of(any::<i64>()), prop::option::of(any::<bool>())),
        (prop::option::of(any::<String>()), prop::option::of(time)),
    );
    prop::collection::vec(row, 1..8).prop_map(|rows| {
        let times = |times: TimestampMicrosecondArray| Arc::new(times.with_timezone("UTC")) as ArrayRef;
        batch(vec![
            ("sensor_id", Arc::new(rows.iter().map(|row| row.0.0.clone()).collect::<StringArray>())),
            ("observed_at", times(rows.iter().map(|row| row.0.1).collect())),
            ("speed_kmh", Arc::new(rows.iter().map(|row| row.1.0).collect::<Float64Array>())),
            ("lanes", Arc::new(rows.iter().map(|row| row.1.1).collect::<Int64Array>())),
            ("open", Arc::new(rows.iter().map(|row| row.1.2).collect::<BooleanArray>())),
            ("note", Arc::new(rows.iter().map(|row| row.2.0.clone()).collect::<StringArray>())),
            ("seen_at", times(rows.iter().map(|row| row.2.1).collect())),
        ])
    })
}

proptest! {
    // Finite numbers only: a message cannot hold others.
    #[test]
    fn the_same_rows_as_json_and_typed_give_the_same_rows_and_the_same_refusals(rows in rows()) {
        let mut lines = Vec::new();
        let mut writer = LineDelimitedWriter::new(&mut lines);
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
        drop(writer);
        let messages: Vec<&[u8]> = lines.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
        let json = decode(DecodeSettings { max_bytes: usize::MAX, ..flat_settings() }, &messages);
        let typed = typed(flat_settings(), rows);
        prop_assert_eq!(shown(&typed.rows.batch), shown(&json.rows.batch));
        prop_assert_eq!(&typed.rows.times, &json.rows.times);
        prop_assert_eq!(&typed.rows.origin, &json.rows.origin);
        prop_assert_eq!(&typed.rejected, &json.rejected);
    }
}
