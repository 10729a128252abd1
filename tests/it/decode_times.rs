//! Times as sensors write them: RFC 3339 in all its forms, numbers since 1970, and local times in a declared zone.

use std::sync::Arc;

use arterial::stages::decode::{DecodeSettings, TextTimeFormat, TimestampFormat};
use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use proptest::prelude::*;

use crate::decode_support::{decode, decoder, raw, settings};

fn rfc3339(zone: Option<Tz>) -> DecodeSettings {
    DecodeSettings { zone, ..settings() }
}

fn epoch(timestamp: TimestampFormat) -> DecodeSettings {
    DecodeSettings { timestamp, ..settings() }
}

/// Each event time (JSON) as microseconds, or the detail of its refusal as a bad timestamp.
fn read(settings: DecodeSettings, times: &[String]) -> Vec<Result<i64, String>> {
    let messages: Vec<String> =
        times.iter().map(|time| format!(r#"{{"sensor_id":"A","observed_at":{time}}}"#)).collect();
    let decoded = decode(settings, &messages);
    let mut results = vec![Err(String::new()); times.len()];
    for (origin, time) in decoded.rows.origin.iter().zip(&decoded.rows.times) {
        results[*origin as usize] = Ok(*time);
    }
    for rejected in decoded.rejected {
        assert_eq!(rejected.reason.code(), "bad_timestamp", "{}", rejected.detail);
        let detail = rejected.detail.strip_prefix("`observed_at`: ").expect("the column's name").to_owned();
        results[rejected.origin as usize] = Err(detail);
    }
    results
}

fn quoted(times: &[&str]) -> Vec<String> {
    times.iter().map(|time| format!("\"{time}\"")).collect()
}

/// Reads texts that must all be refused for the same reason.
fn all_refused(zone: Option<Tz>, times: &[&str], problem: &str) {
    for (time, result) in times.iter().zip(read(rfc3339(zone), &quoted(times))) {
        let shown: String = time.chars().take(40).collect();
        assert_eq!(result, Err(format!("`{shown}` {problem}")), "case {time}");
    }
}

#[test]
fn every_form_of_rfc_3339_is_the_instant_it_names() {
    // 2026-11-23T08:00:00Z; computed from the calendar: 20780 days after 1970-01-01 and 8 hours.
    let eight = (20_780 * 86_400 + 8 * 3_600) * 1_000_000;
    let cases = [
        ("2026-11-23T08:00:00Z", eight),
        ("2026-11-23t08:00:00z", eight),
        ("2026-11-23 08:00:00Z", eight),
        ("2026-11-23T09:00:00+01:00", eight),
        ("2026-11-23T04:30:00-03:30", eight),
        ("2026-11-24T07:59:00+23:59", eight),
        ("2026-11-23T08:00:00-00:00", eight),
        ("2026-11-23T08:00:00.5Z", eight + 500_000),
        ("2026-11-23T08:00:00.05Z", eight + 50_000),
        ("2026-11-23T08:00:00.123Z", eight + 123_000),
        ("2026-11-23T08:00:00.1234Z", eight + 123_400),
        ("2026-11-23T08:00:00.12345Z", eight + 123_450),
        ("2026-11-23T08:00:00.123456+00:00", eight + 123_456),
        ("2026-11-23T08:00:00.1234567Z", eight + 123_456),
        ("2026-11-23T08:00:00.12345678Z", eight + 123_456),
        // Cut, not rounded: a reading never moves into the next window.
        ("2026-11-23T08:00:00.999999999Z", eight + 999_999),
        ("2024-02-29T00:00:00Z", 19_782 * 86_400_000_000),
        ("2000-02-29T00:00:00Z", 11_016 * 86_400_000_000),
        ("1969-12-31T23:59:59.9Z", -100_000),
        ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ];
    let times: Vec<&str> = cases.iter().map(|(time, _)| *time).collect();
    // With and without a zone: a text with an offset does not need one.
    for zone in [None, Some(chrono_tz::Europe::Copenhagen)] {
        for ((time, micros), result) in cases.iter().zip(read(rfc3339(zone), &quoted(&times))) {
            assert_eq!(result, Ok(*micros), "case {time}");
        }
    }
    assert_eq!(read(rfc3339(None), &quoted(&["2026-11-23T08:00Z", "2026-11-23 09:00+01:00"])), [Ok(eight), Ok(eight)]);
    let escaped = r#""2026-11-23\u005408:00:00\u005a""#.to_owned();
    assert_eq!(read(rfc3339(None), &[escaped]), [Ok(eight)]);
}

#[test]
fn text_that_is_no_rfc_3339_time_is_quoted() {
    let times = [
        "",
        "Z",
        "yesterday",
        "2026-11-23",
        "2026-11-23T08:0Z",
        "2026-11-23T08:00.5Z",
        "2026-11-23T08:00:0Z",
        "2026-11-23T8:00:00Z",
        "2026/11/23T08:00:00Z",
        "2026-11-23_08:00:00Z",
        "20261123T080000Z",
        "2026-11-23T08:00:00.Z",
        "2026-11-23T08:00:00,5Z",
        "2026-11-23T08:00:00+01",
        "2026-11-23T08:00:00+0100",
        "2026-11-23T08:00:00+24:00",
        "2026-11-23T08:00:00+01:60",
        "2026-11-23T08:00:00 Z",
        " 2026-11-23T08:00:00Z",
        "2026-11-23T08:00:00Zulu",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T08:60:00Z",
        "-026-11-23T08:00:00Z",
        "+10000-01-01T00:00:00Z",
        "２026-11-23T08:00:00Z",
        "Mon, 23 Nov 2026 08:00:00 GMT and a long tail",
    ];
    all_refused(None, &times, "is not an RFC 3339 time");
    all_refused(Some(chrono_tz::UTC), &times, "is not an RFC 3339 time");
}

#[test]
fn leap_seconds_are_refused() {
    all_refused(None, &["2016-12-31T23:59:60Z", "2016-12-31T23:59:61Z"], "is not an RFC 3339 time");
}

#[test]
fn instant_outside_the_years_of_rfc_3339_is_refused() {
    let times = ["9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01"];
    all_refused(None, &times, "is outside the years 0000 to 9999 in UTC");
}

#[test]
fn text_without_offset_needs_a_declared_zone() {
    let times = ["2026-11-23T08:00:00", "2026-11-23 08:00:00.5"];
    all_refused(None, &times, "has no offset, and no `timezone` is declared");
    let eight = (20_780 * 86_400 + 8 * 3_600) * 1_000_000;
    let copenhagen = Some(chrono_tz::Europe::Copenhagen);
    assert_eq!(read(rfc3339(copenhagen), &quoted(&times)), [Ok(eight - 3_600_000_000), Ok(eight - 3_599_500_000)]);
}

#[test]
fn hour_that_clocks_jumped_over_does_not_exist_and_the_hour_that_came_twice_is_the_earlier_one() {
    let zone = chrono_tz::Europe::Copenhagen;
    // Clocks went from 02:00 to 03:00 on 2026-03-29 and from 03:00 back to 02:00 on 2026-10-25, both at 01:00 UTC.
    let gap = ["2026-03-29T02:00:00", "2026-03-29T02:30:00", "2026-03-29T02:59:59.999999"];
    all_refused(Some(zone), &gap, "does not exist in Europe/Copenhagen, where clocks jumped over it");
    let cases = [
        ("2026-03-29T01:59:59.999999", "2026-03-29T00:59:59.999999Z"),
        ("2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
        ("2026-10-25T01:59:59", "2026-10-24T23:59:59Z"),
        ("2026-10-25T02:00:00", "2026-10-25T00:00:00Z"),
        ("2026-10-25T02:59:59", "2026-10-25T00:59:59Z"),
        ("2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"),
    ];
    // Again backwards, so that what the reader remembers of an hour is always another one.
    let mut order: Vec<_> = cases.iter().chain(cases.iter().rev()).collect();
    order.rotate_left(3);
    let times: Vec<&str> = order.iter().map(|(local, _)| *local).collect();
    for ((local, utc), result) in order.iter().zip(read(rfc3339(Some(zone)), &quoted(&times))) {
        let wanted = DateTime::parse_from_rfc3339(utc).unwrap().timestamp_micros();
        assert_eq!(result, Ok(wanted), "case {local}");
    }
}

#[test]
fn clocks_that_moved_within_an_hour_split_that_hour() {
    // St John's moved its clocks at one minute past midnight until 2011: what holds at 00:00 does not hold at 00:15.
    let times = [
        ("2010-03-14T00:00:00", Some("2010-03-14T03:30:00Z")),
        ("2010-03-14T00:15:00", None),
        ("2010-03-14T01:15:00", Some("2010-03-14T03:45:00Z")),
        ("2010-11-07T00:00:00", Some("2010-11-07T02:30:00Z")),
        ("2010-11-07T00:15:00", Some("2010-11-07T03:45:00Z")),
    ];
    let texts: Vec<&str> = times.iter().map(|(local, _)| *local).collect();
    for ((local, utc), result) in times.iter().zip(read(rfc3339(Some(chrono_tz::America::St_Johns)), &quoted(&texts))) {
        let wanted = utc.map(|utc| DateTime::parse_from_rfc3339(utc).unwrap().timestamp_micros());
        assert_eq!(result.ok(), wanted, "case {local}");
    }
}

#[test]
fn numbers_count_from_1970_in_the_declared_unit() {
    let cases = [
        (TimestampFormat::EpochS, "1795420800", 1_795_420_800_000_000),
        (TimestampFormat::EpochS, "1795420800.25", 1_795_420_800_250_000),
        (TimestampFormat::EpochS, "1795420800.123456", 1_795_420_800_123_456),
        (TimestampFormat::EpochS, "1.7954208e9", 1_795_420_800_000_000),
        (TimestampFormat::EpochS, "-0.5", -500_000),
        (TimestampFormat::EpochS, "253402300799", 253_402_300_799_000_000),
        (TimestampFormat::EpochMs, "1795420800000", 1_795_420_800_000_000),
        (TimestampFormat::EpochMs, "1795420800000.125", 1_795_420_800_000_125),
        (TimestampFormat::EpochMs, "-1", -1_000),
        (TimestampFormat::EpochUs, "1795420800000001", 1_795_420_800_000_001),
        (TimestampFormat::EpochUs, "1.4", 1),
        (TimestampFormat::EpochUs, "1.5", 2),
        (TimestampFormat::EpochUs, "-0", 0),
    ];
    for (format, time, micros) in cases {
        assert_eq!(read(epoch(format), &[time.to_owned()]), [Ok(micros)], "case {time} {format:?}");
    }
}

#[test]
fn number_is_no_time_where_text_is_declared_nor_text_where_a_number_is() {
    let refused = |settings, time: &str| read(settings, &[time.to_owned()]).remove(0).unwrap_err();
    assert_eq!(refused(rfc3339(None), "1795420800"), "1795420800 is not an RFC 3339 time");
    let since = "is not a time of the years 0000 to 9999 in milliseconds since 1970";
    let millis = || epoch(TimestampFormat::EpochMs);
    assert_eq!(refused(millis(), r#""1795420800000""#), format!("`1795420800000` {since}"));
    assert_eq!(refused(millis(), r#""2026-11-23T08:00:00Z""#), format!("`2026-11-23T08:00:00Z` {since}"));
    // Microseconds taken for milliseconds: the year 58864.
    assert_eq!(refused(millis(), "1795420800000000"), format!("1795420800000000 {since}"));
    assert_eq!(refused(millis(), "9223372036854775807"), format!("9223372036854775807 {since}"));
    assert_eq!(refused(millis(), "-1e18"), format!("-1000000000000000000 {since}"));
}

/// Times of a declared format, in JSON.
fn declared(format: &str, zone: Option<Tz>, times: &[&str]) -> Vec<Result<i64, String>> {
    let timestamp_format = Some(TextTimeFormat::new(format).unwrap());
    read(DecodeSettings { timestamp_format, zone, ..settings() }, &quoted(times))
}

#[test]
fn text_of_a_declared_format_is_the_instant_that_it_names_in_the_zone() {
    let berlin = Some(chrono_tz::Europe::Berlin);
    let at = |text: &str| Ok(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros());
    for (format, time, instant) in [
        ("%d.%m.%Y %H:%M", "02.03.2026 08:15", "2026-03-02T08:15:00+01:00"),
        ("%d.%m.%Y %H:%M", "2.7.2026 8:15", "2026-07-02T08:15:00+02:00"),
        ("%d/%m/%Y %H:%M:%S", "02/03/2026 08:15:30", "2026-03-02T08:15:30+01:00"),
        ("%m/%d/%Y %I:%M %p", "03/02/2026 8:15 PM", "2026-03-02T20:15:00+01:00"),
        ("%Y%m%d %H%M", "20260302 0815", "2026-03-02T08:15:00+01:00"),
        ("%d.%m.%y %H:%M:%S%.f", "02.03.26 08:15:00.25", "2026-03-02T08:15:00.25+01:00"),
        ("%d.%m.%Y", "02.03.2026", "2026-03-02T00:00:00+01:00"),
        ("%d.%m.%Y %H", "02.03.2026 08", "2026-03-02T08:00:00+01:00"),
        ("%d-%b-%Y %H:%M %z", "02-Mar-2026 08:15 -0500", "2026-03-02T08:15:00-05:00"),
        ("%Y-%m-%d %H:%M:%S%#z", "2026-03-02 08:15:00+02", "2026-03-02T08:15:00+02:00"),
        // The hour that came twice is the earlier one.
        ("%d.%m.%Y %H:%M", "25.10.2026 02:30", "2026-10-25T02:30:00+02:00"),
    ] {
        assert_eq!(declared(format, berlin, &[time]), [at(instant)], "{format}");
    }
    let refusals = declared(
        "%d.%m.%Y %H:%M",
        berlin,
        &["29.03.2026 02:30", "2026-03-02 08:15", "02.03.26 08:15", "02.13.2026 08:15", "02.03.2026 08:15 Uhr"],
    );
    assert_eq!(
        refusals[0],
        Err("`29.03.2026 02:30` does not exist in Europe/Berlin, where clocks jumped over it".to_owned())
    );
    for refused in &refusals[1..] {
        let detail = refused.as_ref().unwrap_err();
        assert!(detail.ends_with("is not a time written as `%d.%m.%Y %H:%M`"), "{detail}");
    }
    let zoneless = declared("%d.%m.%Y %H:%M", None, &["02.03.2026 08:15"]);
    assert_eq!(zoneless, [Err("`02.03.2026 08:15` has no offset, and no `timezone` is declared".to_owned())]);
    let number = read(
        DecodeSettings { timestamp_format: TextTimeFormat::new("%Y%m%d").ok(), zone: berlin, ..settings() },
        &["20260302".to_owned()],
    );
    assert!(number[0].is_err(), "a number of JSON is no text: {number:?}");
}

#[test]
fn optional_time_that_cannot_be_read_rejects_the_row_by_its_own_name() {
    let message = r#"{"sensor_id":"A","observed_at":"2026-11-23T08:00:00Z","seen_at":"noon"}"#;
    let decoded = decode(settings(), &[message]);
    assert_eq!(decoded.rejected[0].reason.code(), "bad_timestamp");
    assert_eq!(decoded.rejected[0].detail, "`seen_at`: `noon` is not an RFC 3339 time");
}

/// Zones whose clocks moved by an hour, half an hour, a day, and by odd seconds long ago.
fn zone() -> impl Strategy<Value = Tz> {
    use chrono_tz::{America::St_Johns, Asia::Kathmandu, Australia::Lord_Howe, Europe::Copenhagen, Pacific::Apia};
    prop::sample::select(vec![Copenhagen, Lord_Howe, Apia, St_Johns, Kathmandu])
}

fn local_time() -> impl Strategy<Value = NaiveDateTime> {
    // Hours of a day around midnight of any day, so that days on which clocks move are not rare.
    let day = (1890..2040_i32, 1..366_u32).prop_filter_map("a day", |(year, day)| NaiveDate::from_yo_opt(year, day));
    (day, 0..86_400_u32, any::<bool>()).prop_map(|(day, second, whole_hour)| {
        let second = if whole_hour { second / 3_600 * 3_600 } else { second };
        day.and_hms_opt(second / 3_600, second / 60 % 60, second % 60).unwrap()
    })
}

proptest! {
    #[test]
    fn text_that_chrono_reads_is_the_instant_that_chrono_says(
        date in "[0-9]{4}-(0[0-9]|1[0-3])-([0-2][0-9]|3[0-2])",
        separator in "[Tt ]",
        clock in "([01][0-9]|2[0-4]):[0-6][0-9]:[0-5][0-9]",
        fraction in "(\\.[0-9]{1,9})?",
        offset in "(Z|z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])",
    ) {
        let text = [date, separator, clock, fraction, offset].concat();
        let chrono = DateTime::parse_from_rfc3339(&text).ok().map(|time| time.timestamp_micros());
        // An offset may lead out of the years 0000 to 9999.
        let chrono = chrono.filter(|micros| (-62_167_219_200_000_000..253_402_300_800_000_000).contains(micros));
        prop_assert_eq!(read(rfc3339(None), &quoted(&[&text])).remove(0).ok(), chrono, "{}", text);
    }

    #[test]
    fn local_times_in_any_order_are_what_the_zone_says(zone in zone(), times in prop::collection::vec(local_time(), 1..20)) {
        // Around each time also the quarter hours of the hours before and after it.
        let around = |time: &NaiveDateTime| (-8..=8).map(|quarter| *time + chrono::Duration::minutes(15 * quarter)).collect();
        let all: Vec<NaiveDateTime> = times.iter().flat_map(|time| -> Vec<_> { around(time) }).collect();
        let texts: Vec<String> = all.iter().map(|time| time.format("\"%Y-%m-%dT%H:%M:%S\"").to_string()).collect();
        for (time, result) in all.iter().zip(read(rfc3339(Some(zone)), &texts)) {
            let wanted = match zone.from_local_datetime(time) {
                LocalResult::Single(one) | LocalResult::Ambiguous(one, _) => Some(one.timestamp_micros()),
                LocalResult::None => None,
            };
            prop_assert_eq!(result.ok(), wanted, "{} in {}", time, zone);
        }
    }

    #[test]
    fn seconds_with_a_fraction_are_exact_to_the_microsecond(micros in 0..4_000_000_000_000_000_i64) {
        let seconds = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        prop_assert_eq!(read(epoch(TimestampFormat::EpochS), &[seconds]), [Ok(micros)]);
        let millis = format!("{}.{:03}", micros / 1_000, micros % 1_000);
        prop_assert_eq!(read(epoch(TimestampFormat::EpochMs), &[millis]), [Ok(micros)]);
    }
}

#[test]
fn ambiguous_hour_is_the_earlier_of_the_two_that_chrono_gives() {
    let zone = chrono_tz::Europe::Copenhagen;
    let time = NaiveDate::from_ymd_opt(2026, 10, 25).unwrap().and_hms_opt(2, 30, 0).unwrap();
    let LocalResult::Ambiguous(earlier, later) = zone.from_local_datetime(&time) else { panic!("not ambiguous") };
    assert!(earlier < later);
    let message = r#"{"sensor_id":"A","observed_at":"2026-10-25T02:30:00"}"#;
    let mut decoder = decoder(rfc3339(Some(zone)));
    // The same answer from a reader that remembers as from a fresh one.
    for _ in 0..2 {
        let decoded = decoder.decode(&raw(&[message, message])).unwrap();
        assert_eq!(decoded.rows.times, [earlier.timestamp_micros(); 2]);
        assert_eq!(decoded.rows.batch.schema(), Arc::clone(&crate::decode_support::schema().arrow));
    }
}
