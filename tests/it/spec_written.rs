//! What a pipeline file says of how text, times and numbers are written, and mistakes of people who write them otherwise.

use super::spec_support::{only_problem, problems, refused, spoilt};

const DECODE: &str = "decode: { schema: traffic-observation.v1, timezone: Europe/Copenhagen }";

/// The good file with another `decode`.
fn decode(settings: &str) -> String {
    spoilt(&[(DECODE, &format!("decode: {{ schema: traffic-observation.v1, {settings} }}"))])
}

#[test]
fn formats_of_times_are_checked_where_they_stand() {
    let zone = "timezone: Europe/Copenhagen";
    for (format, message, hint) in [
        ("%d.%m.%Y %Q", "`%d.%m.%Y %Q` is no format of times: it has a `%` that means nothing", "`%d` day"),
        ("%d.%m. %H:%M", "`%d.%m. %H:%M` does not say which day it is: it takes day, month and year", "`%Y` year"),
        ("%d.%m.%Y %I:%M", "`%d.%m.%Y %I:%M` does not say whether it is before or after noon: `%I` needs `%p`", "`%p`"),
        ("%d.%m.%Y :%M", "`%d.%m.%Y :%M` does not say the hour of its minutes", "`%H`"),
        ("%s", "`%s` counts seconds since 1970, which have no zone", "timestamp: epoch_s"),
        (
            "%d.%m.%Y %H:%M %Z",
            "`%d.%m.%Y %H:%M %Z` reads a zone's name, which says no offset: `CST` is five of them",
            "`%z`",
        ),
    ] {
        only_problem(&decode(&format!("{zone}, timestamp_format: «\"{format}\"")), message, hint);
    }
    for good in ["%d.%m.%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %I:%M %p", "%F %T%.f", "%d %B %Y %R"] {
        assert_eq!(problems(&decode(&format!("{zone}, timestamp_format: \"{good}\""))), [], "{good}");
    }
    assert_eq!(problems(&decode("timestamp_format: \"%d.%m.%Y %H:%M %z\"")), [], "they say their offset");
    let message = "times written as `%d.%m.%Y` have no offset, and `timezone` is not given";
    only_problem(&decode("timestamp_format: «\"%d.%m.%Y\""), message, "add `timezone`");
    let message = "`timestamp` and `timestamp_format` disagree";
    only_problem(
        &decode(&format!("{zone}, timestamp_format: \"%d.%m.%Y\", timestamp: «epoch_s")),
        message,
        "leave out one",
    );
}

#[test]
fn thousands_and_encodings_are_checked_where_they_stand() {
    let csv = "timezone: Europe/Copenhagen, format: csv, columns: [sensor_id, observed_at]";
    assert_eq!(problems(&decode(&format!("{csv}, decimal: \",\", thousands: \".\""))), []);
    only_problem(&decode(&format!("{csv}, thousands: «\".\"")), "'.' stands before decimals already", "say both");
    only_problem(&decode(&format!("{csv}, thousands: «x")), "'x' stands between no digits", "`\".\"`");
    only_problem(
        &decode("timezone: Europe/Copenhagen, «thousands: \".\""),
        "`thousands` goes with `format: csv` only",
        "add `format: csv`",
    );
    let file = |encoding: &str| {
        spoilt(&[
            (
                "kafka: { brokers: \"127.0.0.1:9092\", topics: [\"${city}.loops\"] }",
                &format!("file: {{ path: loops.csv, csv: {{ encoding: {encoding} }} }}"),
            ),
            (DECODE, "decode: { format: csv, schema: traffic-observation.v1, timezone: Europe/Copenhagen }"),
            (", future_skew: 60s", ""),
        ])
    };
    let known = |text: &str| {
        problems(&file(text)).into_iter().filter(|problem| problem.message.contains("encoding")).collect::<Vec<_>>()
    };
    for good in ["windows-1252", "Latin1", "UTF-16", "iso-8859-15", "utf-8"] {
        assert_eq!(known(good), [], "{good}");
    }
    let unknown = known("windows-1253x");
    assert_eq!(unknown[0].message, "`windows-1253x` is no encoding of text");
    assert!(unknown[0].hint.as_deref().unwrap().contains("`windows-1252`"), "{unknown:?}");
}

#[test]
fn zones_by_their_abbreviation_or_offset_are_told_what_to_write() {
    let zone = "timezone: Europe/Copenhagen";
    for (written, meant) in [
        ("PST", "`America/Los_Angeles`"),
        ("CEST", "`Europe/Berlin`"),
        ("mesz", "`Europe/Berlin`"),
        ("GMT+1", "`Etc/GMT-1`"),
        ("UTC-5", "`Etc/GMT+1`"),
    ] {
        refused(zone, &format!("timezone: «{written}"), &format!("`{written}` is not a time zone"), meant);
    }
}

#[test]
fn shares_in_percent_are_told_how_they_are_written() {
    let message = "expected a number, found text `2%`";
    refused("maximum: 200", "maximum: «2%", message, "`0.02`");
}
