//! `sources:` and `tables:`: one source of one kind, event time that can be kept, tables with one origin.

use std::path::Path;

use arterial_connectors::file::{FileFormat, TextEncoding};
use arterial_connectors::simulate::DETECTORS_MAX;
use chrono::DateTime;

use super::{Check, security};
use crate::spec::model::{Delivery, EARLIEST, EMBEDDED, FutureSkew, Settings, Span, Stamps};
use crate::spec::part::Part;
use crate::spec::syntax;
use crate::stages::decode::{Format, TimestampFormat};
use crate::stages::expression::{closest, did_you_mean};

/// Encodings that tables of cities are found in.
const ENCODINGS: [&str; 7] =
    ["utf-8", "windows-1252", "windows-1250", "windows-1251", "iso-8859-15", "utf-16le", "utf-16be"];

/// What stands between thousands somewhere: also the blanks that do not break, and Switzerland's apostrophes.
const THOUSANDS: [char; 8] = ['.', ',', ' ', '\u{a0}', '\u{202f}', '\'', '\u{2019}', '_'];

/// How a point in time is written.
pub(super) const TIME_HINT: &str = "write RFC 3339 with an offset: `2026-11-23T08:00:00Z`";

pub(super) fn check(check: &mut Check<'_>) {
    let sources = check.file.get("sources");
    let names = sources.keys();
    if sources.given() && names.len() != 1 {
        let found = if names.is_empty() { "none".to_owned() } else { format!("{}: {}", names.len(), names.join(", ")) };
        let hint = "a pipeline reads one source so far; several topics of one format go into its `topics`";
        check.push(sources.problem(format!("expected exactly one source, found {found}"), hint));
    }
    for (name, source) in sources.entries() {
        check_kind(check, &source, &format!("source `{name}`"), &["kafka", "file", "simulate", "feed", "custom"]);
        check_event_time(check, &source.get("event_time"));
        check_csv(check, &source);
        check_tables(check, &source);
        check_file(check, &source);
        check_kafka(check, &source.get("kafka"));
        check_simulate(check, &source.get("simulate"));
    }
    for (name, table) in check.file.get("tables").entries() {
        check_kind(check, &table, &format!("table `{name}`"), &["file", "rows"]);
        check_kind(check, &table, &format!("table `{name}`"), &["key", "graph"]);
    }
}

/// Exactly one of the keys that say what kind of thing this is.
pub(super) fn check_kind(check: &mut Check<'_>, part: &Part<'_>, what: &str, kinds: &[&str]) {
    let given: Vec<&str> = kinds.iter().copied().filter(|kind| part.get(kind).given()).collect();
    // A misspelt kind is reported as an unknown key already.
    let misspelt = part.keys().iter().any(|key| !kinds.contains(key) && closest(key, kinds.iter().copied()).is_some());
    let found = match given.len() {
        1 => return,
        0 if misspelt || part.keys().is_empty() => return,
        0 => "none".to_owned(),
        _ => given.join(" and "),
    };
    check.push(
        part.problem(format!("{what} needs exactly one of {}, found {found}", kinds.join(", ")), "keep one of them"),
    );
}

fn check_event_time(check: &mut Check<'_>, event_time: &Part<'_>) {
    let stamps = event_time.get("stamps");
    if stamps.read() == Some(Stamps::End) && !event_time.get("interval").given() {
        let hint = "add `interval`, the length of time that a reading covers, as `1m`";
        check.push(stamps.problem("`stamps: end` needs `interval`", hint));
    }
    let future_skew = event_time.get("future_skew");
    let max_delay = event_time.get("max_delay").read::<Span>();
    if let (Some(FutureSkew::Within(skew)), Some(delay)) = (future_skew.read(), max_delay)
        && skew > delay
    {
        let message = format!("`future_skew` {skew} is more than `max_delay` {delay}");
        let hint = "a time that far ahead would make punctual readings late: lower it, or raise `max_delay`";
        check.push(future_skew.problem(message, hint));
    }
}

/// Tables of CSV: the file is one, and times that count rows are times.
fn check_tables(check: &mut Check<'_>, source: &Part<'_>) {
    let file = source.get("file");
    let csv = file.get("csv");
    // What a pattern ends in may be any format: the files that it finds say which.
    let path = file.get("path").text().filter(|path| !path.ends_with('*'));
    if let Some(path) = path.filter(|path| csv.given() && FileFormat::of(Path::new(path)) != FileFormat::Csv) {
        let hint = "remove it, or name a file that ends in `.csv`, `.csv.gz` or `.csv.zst`";
        check.push(csv.key_problem(format!("`csv` says nothing of `{path}`, which is no CSV file by its name"), hint));
    }
    let encoding = csv.get("encoding");
    if let Some(label) = encoding.text().filter(|label| TextEncoding::of(label).is_none()) {
        let near = did_you_mean(label, ENCODINGS);
        let hint = format!(
            "{}write a label of the WHATWG's Encoding Standard, as {}",
            near.map_or_else(String::new, |near| near + " Or "),
            ENCODINGS.map(|label| format!("`{label}`")).join(", ")
        );
        check.push(encoding.problem(format!("`{label}` is no encoding of text"), hint));
    }
    for (column, parts) in csv.get("join").entries() {
        if parts.items().len() < 2 {
            let hint = format!("name two or more, as `{column}: [date, time]`; one alone is renamed by `paths`");
            check.push(parts.problem(format!("`{column}` is put together of fewer than two columns"), hint));
        }
        if source.get("partitioned_by").text() == Some(column) {
            let hint = "partition by a column that the table has, or one that `add` gives it";
            check.push(
                parts.key_problem(format!("`{column}` is what rows are partitioned by: that is read before"), hint),
            );
        }
    }
    let clock = csv.get("event_time");
    if !clock.given() {
        return;
    }
    let start = clock.get("start");
    if let Some(text) = start.read::<String>().filter(|text| DateTime::parse_from_rfc3339(text).is_err()) {
        check.push(start.problem(format!("`{text}` is no time"), TIME_HINT));
    }
    let format = source.get("decode").get("timestamp_format");
    if format.given() {
        let hint = "leave it out: times that count rows are written as RFC 3339";
        check.push(format.key_problem("`timestamp_format` and `csv.event_time` disagree", hint));
    }
    let timestamp = source.get("decode").get("timestamp");
    if timestamp.read::<TimestampFormat>().is_some_and(|format| format != TimestampFormat::Rfc3339) {
        let hint = "leave it out: times that count rows are written as RFC 3339";
        check.push(timestamp.problem("`timestamp` and `csv.event_time` disagree", hint));
    }
}

/// The city is not larger than what the simulation holds.
fn check_simulate(check: &mut Check<'_>, simulate: &Part<'_>) {
    let (corridors, detectors) = (simulate.get("corridors"), simulate.get("detectors"));
    let count = |part: &Part<'_>, unless: u32| part.read::<u32>().unwrap_or(unless);
    let all = u64::from(count(&corridors, 1)) * u64::from(count(&detectors, 64));
    if all > u64::from(DETECTORS_MAX) {
        let part = if detectors.given() { detectors } else { corridors };
        let message = format!("{all} detectors on all corridors together are more than {DETECTORS_MAX}");
        check.push(part.problem(message, "lower `detectors`, those of each corridor, or `corridors`"));
    }
}

/// Of a file its name says the format, and it has neither arrival times nor partitions that run ahead.
fn check_file(check: &mut Check<'_>, source: &Part<'_>) {
    let path = source.get("file").get("path");
    let Some(text) = path.text() else { return };
    for key in ["future_skew", "max_drift"] {
        let part = source.get("event_time").get(key);
        if part.given() {
            let hint = match key {
                "future_skew" => "remove it; `latest: 2026-12-31T00:00:00Z` says which times cannot be meant",
                _ => "remove it",
            };
            check.push(part.key_problem(format!("`{key}` says nothing of files"), hint));
        }
    }
    let format = source.get("decode").get("format");
    let of_name = match FileFormat::of(Path::new(text)) {
        _ if text.ends_with('*') || source.get("file").get("csv").given() => return,
        FileFormat::Csv => Format::Csv,
        FileFormat::Json => Format::Json,
        FileFormat::Parquet => return,
    };
    if let Some(declared) = format.read::<Format>().filter(|declared| format.given() && *declared != of_name) {
        let word = |format| if format == Format::Csv { "csv" } else { "json" };
        let message = format!("`{text}` is not read as {}: its name says {}", word(declared), word(of_name));
        check.push(format.problem(message, "correct the one or the other"));
    }
}

/// Delimited text needs names for its cells, and characters that tell them apart.
fn check_csv(check: &mut Check<'_>, source: &Part<'_>) {
    let decode = source.get("decode");
    if decode.get("format").read() != Some(Format::Csv) {
        for key in ["columns", "delimiter", "quote", "decimal", "thousands", "nulls"] {
            let part = decode.get(key);
            if part.given() {
                check.push(
                    part.key_problem(
                        format!("`{key}` goes with `format: csv` only"),
                        "add `format: csv`, or remove it",
                    ),
                );
            }
        }
        return;
    }
    if !decode.get("columns").given() && !source.get("file").given() {
        let hint = "name the cells of a record in their order: `columns: [sensor_id, observed_at, speed_kmh]`";
        check.push(decode.get("format").problem("`format: csv` needs `columns`", hint));
    }
    let (delimiter, quote) = (decode.get("delimiter"), decode.get("quote"));
    for part in [&delimiter, &quote] {
        if let Some(other) = part.read::<char>().filter(|other| !other.is_ascii() || "\r\n".contains(*other)) {
            let message = format!("{other:?} cannot tell cells apart");
            check.push(part.problem(message, "take one ASCII character that is no end of line, as `;`"));
        }
    }
    let decimal = decode.get("decimal");
    if let Some(other) = decimal.read::<char>().filter(|other| !['.', ','].contains(other)) {
        check.push(decimal.problem(format!("{other:?} stands before no decimals"), "write `\",\"` or `\".\"`"));
    }
    let read = |part: &Part<'_>, usual| part.read::<char>().unwrap_or(usual);
    let thousands = decode.get("thousands");
    if let Some(sign) = thousands.read::<char>() {
        if !THOUSANDS.contains(&sign) {
            let hint = "write `\".\"`, `\",\"`, `\"'\"`, `\"_\"` or a blank: `\" \"`, `\"\\u00a0\"`, `\"\\u202f\"`";
            check.push(thousands.problem(format!("{sign:?} stands between no digits"), hint));
        } else if sign == read(&decimal, '.') {
            let hint = "say both: `1.038,4` is `decimal: \",\"` and `thousands: \".\"`";
            check.push(thousands.problem(format!("{sign:?} stands before decimals already"), hint));
        }
    }
    if read(&delimiter, ',') == read(&quote, '"') {
        let part = if quote.given() { &quote } else { &delimiter };
        check.push(part.problem("`delimiter` and `quote` are the same character", "change one of them"));
    }
}

fn check_kafka(check: &mut Check<'_>, kafka: &Part<'_>) {
    let brokers = kafka.get("brokers");
    match brokers.text() {
        Some(EMBEDDED) => refuse_exactly_once(check, &brokers),
        Some(text) if !syntax::is_broker_list(text) => {
            let hint = "write `host:port,host:port`, or `embedded` for the in-process broker";
            check.push(brokers.problem(format!("`{text}` is not a list of brokers"), hint));
        }
        _ => {}
    }
    check_partitions(check, kafka);
    let start_at = kafka.get("start_at");
    if let Some(text) = start_at.text().filter(|text| ![EARLIEST, "latest"].contains(text) && !syntax::is_time(text)) {
        let message = format!("`{text}` is neither `earliest`, `latest` nor a time");
        let hint = did_you_mean(text, [EARLIEST, "latest"]);
        check.push(start_at.problem(message, hint.unwrap_or_else(|| TIME_HINT.to_owned())));
    }
    let topics = kafka.get("topics").texts();
    for (index, (topic, part)) in topics.iter().enumerate() {
        if topics[..index].iter().any(|(earlier, _)| earlier == topic) {
            check.push(part.problem(format!("topic `{topic}` stands twice"), "remove one of the two"));
        }
        check_topic(check, part);
    }
    security::check(check, kafka);
    check_properties(check, &kafka.get("properties"));
}

/// The embedded broker forgets everything at the end and shows aborted transactions.
fn refuse_exactly_once(check: &mut Check<'_>, brokers: &Part<'_>) {
    if check.delivery() != Some(Delivery::ExactlyOnce) {
        return;
    }
    let delivery = check.file.get("delivery");
    let place = if delivery.given() { delivery } else { brokers.clone() };
    let message = "`delivery: exactly_once` cannot be kept with `brokers: embedded`";
    check.push(place.problem(message, "write `delivery: at_least_once`, or name a real broker"));
}

/// The embedded broker starts empty, so the run makes the topics; real input topics are somebody else's.
fn check_partitions(check: &mut Check<'_>, kafka: &Part<'_>) {
    let (brokers, partitions) = (kafka.get("brokers"), kafka.get("partitions"));
    match (brokers.text(), partitions.given()) {
        (Some(EMBEDDED), false) => {
            let hint = "add `partitions: 4`: the broker starts empty, and the run creates the topics";
            check.push(brokers.problem("`brokers: embedded` needs `partitions`", hint));
        }
        (Some(text), true) if text != EMBEDDED => {
            let hint = "remove it: the topics have their partitions, and input topics are never created";
            check.push(partitions.key_problem("`partitions` goes with `brokers: embedded` only", hint));
        }
        _ => {}
    }
}

/// A topic name that Kafka takes.
pub(super) fn check_topic(check: &mut Check<'_>, part: &Part<'_>) {
    if let Some(topic) = part.text().filter(|topic| !syntax::is_topic(topic)) {
        let hint = "topics have 1 to 249 letters, digits, `.`, `_` and `-`";
        check.push(part.problem(format!("`{topic}` is not a topic name"), hint));
    }
}

fn check_properties(check: &mut Check<'_>, properties: &Part<'_>) {
    let Some(Settings(given)) = properties.read() else { return };
    for refusal in (check.registry.kafka_properties)(&given) {
        let part = properties.get(&refusal.property);
        check.push(part.key_problem(refusal.reason, refusal.hint.unwrap_or_default()));
    }
}
