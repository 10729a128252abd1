//! What was found -> the text of a pipeline file and of the schema of its rows.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use chrono_tz::Tz;
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;
use deunicode::deunicode;
use serde_json::{Value, json};

use super::InitArgs;
use super::column::{Column, Kind};
use super::guess::{Findings, KeyOf, TimeOf};
use super::order::Stray;
use super::own_test::test;
use super::sample::{Sample, Written};
use super::time::{Halves, TimeText};
use crate::runtime::SystemClock;
use crate::spec::PipelinePlan;
use crate::spec::model::Span;
use crate::stages::features::DAY_MICROS;
use crate::vocab::{Clock, EventTime, MICROS_PER_SECOND};

/// What the time and the sensor are called where the sample has no name for them.
const TIME: &str = "observed_at";
const KEY: &str = "sensor_id";

/// Windows are no shorter than this.
const WINDOW_MIN: i64 = 60 * MICROS_PER_SECOND;

/// Where rows come from and outputs go.
pub(super) enum Place {
    /// A path, as the pipeline file names it.
    File(String),
    Topic {
        brokers: String,
        topic: String,
        /// How the brokers are reached beside that: lines of YAML, each with a line feed before it.
        access: String,
    },
}

impl Place {
    pub(super) fn of(args: &InitArgs, like: Option<&PipelinePlan>, output: &Path) -> Result<Self> {
        if let Some(topic) = &args.topic {
            let kafka = like.and_then(|plan| plan.source.kafka.as_ref());
            let brokers = kafka.map_or(&args.brokers, |kafka| &kafka.brokers).clone();
            let folder = like.map(|plan| plan.folder.as_path()).unwrap_or(Path::new(""));
            let mut access = String::new();
            if let Some(security) = kafka.and_then(|kafka| kafka.security.as_ref()) {
                let _ = write!(access, "\n      security: {}", as_flow(security, folder)?);
            }
            if let Some(kafka) = kafka.filter(|kafka| !kafka.properties.0.is_empty()) {
                let _ = write!(access, "\n      properties: {}", as_flow(&kafka.properties, folder)?);
            }
            return Ok(Self::Topic { brokers, topic: topic.clone(), access });
        }
        let from = args.from.clone().unwrap_or_default();
        // Paths in a pipeline file start where it stands.
        let beside = output.parent().is_none_or(|folder| folder.as_os_str().is_empty());
        let path = if beside { from } else { std::path::absolute(from)? };
        Ok(Self::File(path.display().to_string()))
    }
}

/// A block in one line, without what it leaves unsaid. Files that it names from `folder` on are named from the root on.
fn as_flow(block: &impl serde::Serialize, folder: &Path) -> Result<String> {
    let mut json = serde_json::to_value(block)?;
    if let Value::Object(fields) = &mut json {
        fields.retain(|_, value| !value.is_null());
        for value in fields.values_mut() {
            if let Some(path) = value.as_str().and_then(|text| text.strip_prefix("file:")) {
                *value = format!("file:{}", std::path::absolute(folder.join(path))?.display()).into();
            }
        }
    }
    Ok(json.to_string().replace('$', "$$"))
}

/// A name that a pipeline may have.
pub(super) fn pipeline_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = deunicode(text).chars().map(plain).collect();
    let name = name.trim_matches('-').chars().take(60).collect::<String>();
    if name.is_empty() { "pipeline".to_owned() } else { name }
}

/// The columns of the rows with the names that they get, the time first, then the sensor.
pub(super) struct Fields<'a> {
    pub(super) findings: &'a Findings,
    pub(super) time: String,
    pub(super) key: String,
    values: Vec<String>,
}

impl<'a> Fields<'a> {
    fn of(findings: &'a Findings) -> Self {
        let mut taken = BTreeSet::from([TIME.to_owned()]);
        let key = match &findings.key {
            KeyOf::Column(name, _) => field_name(name, KEY, &mut taken),
            KeyOf::Header | KeyOf::File => field_name(KEY, KEY, &mut taken),
        };
        let values = findings.columns.iter().map(|column| field_name(&column.name, "value", &mut taken)).collect();
        Self { findings, time: TIME.to_owned(), key, values }
    }

    pub(super) fn target(&self) -> (&str, &Column) {
        (&self.values[self.findings.target], &self.findings.columns[self.findings.target])
    }

    /// Names that differ from the sample's, with those there.
    fn paths(&self) -> Vec<(&str, &str)> {
        let mut paths = Vec::new();
        if let TimeOf::Column(name, _) = &self.findings.time {
            paths.push((self.time.as_str(), name.as_str()));
        }
        if let KeyOf::Column(name, _) = &self.findings.key {
            paths.push((self.key.as_str(), name.as_str()));
        }
        let wide = self.findings.key == KeyOf::Header;
        let values = self.values.iter().zip(&self.findings.columns).filter(|_| !wide);
        paths.extend(values.map(|(field, column)| (field.as_str(), column.name.as_str())));
        paths.retain(|(field, name)| field != name);
        paths
    }
}

/// A name that SQL takes without quotes and that no other column has.
fn field_name(name: &str, instead: &str, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let mut field: String =
        deunicode(name).chars().map(plain).collect::<String>().trim_matches('_').chars().take(60).collect();
    if field.is_empty() {
        instead.clone_into(&mut field);
    }
    let keyword = ALL_KEYWORDS.binary_search(&field.to_uppercase().as_str()).is_ok();
    if keyword || !field.starts_with(|c: char| c.is_ascii_lowercase()) {
        field = format!("{instead}_{field}");
    }
    let free =
        (1..).map(|n| if n == 1 { field.clone() } else { format!("{field}_{n}") }).find(|one| !taken.contains(one));
    let free = free.unwrap_or(field);
    taken.insert(free.clone());
    free
}

/// The schema of the rows, as Avro.
pub(super) fn schema(name: &str, sample: &Sample, findings: &Findings) -> String {
    // Delimited text has no numbers, only names that look like some.
    let csv = matches!(sample.written, Written::Csv { .. });
    let fields = Fields::of(findings);
    let nullable = |kind: Kind| {
        let kind = match kind {
            Kind::Number => "double",
            Kind::Whole => "long",
            Kind::Text => "string",
            Kind::Bool => "boolean",
            Kind::Mixed => "string",
        };
        json!(["null", kind])
    };
    let key = if matches!(findings.key, KeyOf::Column(_, Kind::Whole)) && !csv { "long" } else { "string" };
    let time = json!({ "type": "long", "logicalType": "timestamp-micros" });
    let mut all = vec![
        avro_field(&fields.key, &json!(key), "What made the reading."),
        avro_field(&fields.time, &time, "When it was made."),
    ];
    for (field, column) in fields.values.iter().zip(&findings.columns) {
        let doc = format!("`{}`.", column.name);
        // A column of whole numbers may be one of numbers further down.
        let kind = if column.kind == Kind::Whole { Kind::Number } else { column.kind };
        all.push(avro_field(field, &nullable(kind), &doc));
    }
    format!(
        "{{\n  \"type\": \"record\",\n  \"name\": \"Reading\",\n  \"namespace\": {},\n  \"fields\": [\n    {}\n  ]\n}}\n",
        json!(name.replace('-', "_")),
        all.join(",\n    ")
    )
}

/// A line of a schema: its keys in the order in which people read them.
fn avro_field(name: &str, kind: &Value, doc: &str) -> String {
    let default = if kind.is_array() { ", \"default\": null" } else { "" };
    format!("{{ \"name\": {}, \"type\": {kind}{default}, \"doc\": {} }}", json!(name), json!(doc))
}

/// The pipeline file.
pub(super) fn pipeline(name: &str, schema: &str, place: &Place, sample: &Sample, findings: &Findings) -> String {
    let fields = Fields::of(findings);
    let mut text = format!(
        "# Made by `arterial init` from {} rows of {} sensors. What it guessed has its reason beside it: look it through.\n\
         # `arterial schema pipeline > pipeline.schema.json` gives editors what they need to complete keys here.\n\
         # yaml-language-server: $schema=pipeline.schema.json\n\
         version: 1\npipeline: {name}\n\n",
        findings.rows, findings.keys
    );
    source(&mut text, schema, place, sample, &fields);
    stages(&mut text, &fields);
    sinks(&mut text, name, place);
    test(&mut text, sample, &fields);
    text
}

/// A value as YAML: a JSON string is one. `$` would begin a variable.
pub(super) fn quoted(text: &str) -> String {
    let plain =
        |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    let json = Value::from(text.replace('$', "$$")).to_string();
    json.chars().map(|c| if plain(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}

fn source(text: &mut String, schema: &str, place: &Place, sample: &Sample, fields: &Fields<'_>) {
    let findings = fields.findings;
    // Writing to a string cannot fail, here and below.
    let _ = match place {
        Place::File(path) => write!(text, "sources:\n  readings:\n    file:\n      path: {}\n", quoted(path)),
        Place::Topic { brokers, topic, access } => {
            let (brokers, topic) = (quoted(brokers), quoted(topic));
            writeln!(
                text,
                "sources:\n  readings:\n    kafka:\n      brokers: {brokers}\n      topics: [{topic}]{access}"
            )
        }
    };
    let mut csv = Vec::new();
    if let Some((label, why)) = &sample.encoding {
        let _ = writeln!(text, "      # The encoding: {why}.");
        csv.push(format!("encoding: {label}"));
    }
    if findings.key == KeyOf::Header {
        csv.push(format!("unpivot: {{ column: {}, value: {} }}", fields.key, fields.values[0]));
    }
    if let Some(Halves { name, parts: [date, day] }) = &findings.halves {
        csv.push(format!("join: {{ {name}: [{}, {}] }}", quoted(date), quoted(day)));
    }
    if findings.key == KeyOf::File {
        csv.push(format!("add: {{ {}: \"1\" }}", fields.key));
    }
    if findings.time == TimeOf::Row {
        let step = Span { micros: findings.interval.0 };
        text.push_str("      # The table has no times. When was its first row, and how long is it from row to row?\n");
        csv.push(format!("event_time: {{ start: \"FILL IN: 2026-01-01T00:00:00Z\", step: {step} }}"));
    }
    if !csv.is_empty() {
        let _ = writeln!(text, "      csv: {{ {} }}", csv.join(", "));
    }
    text.push_str("    decode:\n");
    if let Written::Csv { delimiter, numbers } = sample.written {
        text.push_str("      format: csv\n");
        if delimiter != ',' {
            let _ = writeln!(text, "      delimiter: {}", quoted(&delimiter.to_string()));
        }
        if numbers.decimal_comma {
            text.push_str("      decimal: \",\"\n");
        }
        if let Some(sign) = numbers.thousands {
            let _ = writeln!(text, "      thousands: {}", quoted(&sign.to_string()));
        }
        if !sample.nulls.is_empty() {
            let nulls: Vec<String> = sample.nulls.iter().map(|null| quoted(null)).collect();
            let _ = writeln!(text, "      nulls: [{}]", nulls.join(", "));
        }
    }
    let _ = writeln!(text, "      schema: {}", quoted(schema));
    let paths: Vec<String> = fields.paths().iter().map(|(field, name)| format!("{field}: {}", quoted(name))).collect();
    if !paths.is_empty() {
        let _ = writeln!(text, "      paths: {{ {} }}", paths.join(", "));
    }
    time(text, place, fields);
}

fn time(text: &mut String, place: &Place, fields: &Fields<'_>) {
    let findings = fields.findings;
    match &findings.time {
        TimeOf::Column(name, TimeText::Local) => time_zone(text, name, findings),
        TimeOf::Column(name, TimeText::Dates(dates)) => {
            let format = quoted(&dates.format.to_string());
            let why = match &dates.other_order {
                None => "Times are written so",
                Some((_, Some(cell))) => {
                    &format!("Times are written so, by {}: one number in it is no month", quoted(cell))
                }
                Some((other, None)) => &format!(
                    "Nothing in the sample says whether day or month comes first. Where the month does: {}",
                    quoted(other)
                ),
            };
            let _ = writeln!(text, "      # {why}.\n      timestamp_format: {format}");
            time_zone(text, name, findings);
        }
        TimeOf::Column(_, TimeText::EpochS) => text.push_str("      timestamp: epoch_s\n"),
        TimeOf::Column(_, TimeText::EpochMs) => text.push_str("      timestamp: epoch_ms\n"),
        TimeOf::Column(_, TimeText::EpochUs) => text.push_str("      timestamp: epoch_us\n"),
        TimeOf::Column(_, TimeText::Rfc3339) | TimeOf::Row => {}
    }
    let (gap, seen) = findings.interval;
    let order = &findings.order;
    let late = Span { micros: gap.max(order.disorder) };
    // One clock that is years ahead would make all that follows late; of files nobody knows when a row arrived.
    let skew = match place {
        Place::File(_) => latest(text, order.ahead.as_ref()),
        Place::Topic { .. } => format!(", future_skew: {late}"),
    };
    let why = match (order.disorder > gap, seen) {
        (true, _) if order.newest_first => "as far as one does in the sample, which is newest first; sort it by time",
        (true, _) => "as far as one does in the sample; a table that is sorted by sensor is better sorted by time",
        (false, true) => "the usual time between two readings of a sensor",
        (false, false) => "a guess: the sample does not say",
    };
    let _ = write!(
        text,
        "    # The sensor: {}.\n    partitioned_by: {}\n    # The time: {}. How far behind the newest reading one may come: {late}, {why}.\n    \
         event_time: {{ column: {}, max_delay: {late}{skew} }}\n\n",
        findings.key_reason, fields.key, findings.time_reason, fields.time
    );
}

/// The last time that can be meant of a file in which a clock is far ahead: this day, or whatever the user puts in.
fn latest(text: &mut String, ahead: Option<&Stray>) -> String {
    let Some(Stray { row, at }) = ahead else { return String::new() };
    let (at, now) = (EventTime(*at), EventTime(SystemClock.now_micros()));
    let tomorrow = EventTime((now.0 / DAY_MICROS + 1) * DAY_MICROS);
    let _ = writeln!(text, "    # Row {row} of the sample has the time {at}, far ahead of the others.");
    if at < now {
        text.push_str("    # Where it cannot be meant, put `latest: TIME` under `event_time`: it would make all rows after it late.\n");
        return String::new();
    }
    text.push_str("    # Later times than `latest` become dead letters; move it on with the file.\n");
    format!(", latest: \"{tomorrow}\"")
}

/// Where times are local that have no zone.
fn time_zone(text: &mut String, name: &str, findings: &Findings) {
    let name = quoted(name);
    let _ = match findings.zone {
        Some(zone) => writeln!(text, "      # Times of {name} have no zone.\n      timezone: {zone}"),
        None => writeln!(
            text,
            "      # Times of {name} have no zone: put in where the sensors are, as Europe/Copenhagen.\n      timezone: UTC"
        ),
    };
}

fn stages(text: &mut String, fields: &Fields<'_>) {
    let findings = fields.findings;
    let (target, column) = fields.target();
    let size = Span { micros: findings.interval.0.max(WINDOW_MIN) };
    let ahead = Span { micros: 3 * size.micros };
    let share = |share: f64| rounded(column.quantile(share));
    let low_is_bad = findings.low_is_bad();
    let (better, sign, back) = if low_is_bad { (0.25, '<', '>') } else { (0.75, '>', '<') };
    let reason = &findings.target_reason;
    let opens = column.limit(low_is_bad).map_or(share(better), |(_, limit)| limit);
    let (least, greatest) = column.ends();
    let spread = (column.quantile(0.95) - column.quantile(0.05)).abs();
    let scale = if spread > 0.0 { rounded(spread) } else { 1.0 };
    let _ = write!(
        text,
        "# {} goes from {} to {} in the sample, {} of {} are null. Where some of it cannot be, let it become null:\n{}\n\
         window:\n  size: {size}\n  key: [{}]\n  columns: {{ {target}: avg({target}), rows: count(*) }}\n\n\
         features:\n  - lags: {{ column: {target}, count: 6, fill: last }}\n{}\n\
         predict:\n  forecast:\n    # The value: {reason}.\n    target: {target}\n    horizons: [{size}, {ahead}]\n    \
         model: {{ online_linear: {{ forgetting: 0.999, scale: {scale} }} }}\n\n\
         alerts:\n  unusual:\n    # 5 in 100 of the sample's values are beyond it: a place to start from.\n    \
         measure: {target}\n    when: \"{sign} {}\"\n    clear: \"{back} {}\"\n    \
         summary: \"{{{}}}: {target} is {{measure}}\"\n\n",
        quoted(&column.name),
        rounded(least),
        rounded(greatest),
        column.nulls,
        findings.rows,
        null_if(target, column),
        fields.key,
        time_of_day(findings.zone),
        opens,
        clear_of(opens, share(better), sign),
        fields.key,
    );
}

/// Whose day it is.
fn time_of_day(zone: Option<Tz>) -> String {
    match zone {
        Some(zone) => format!("  - time_of_day: {{ timezone: {zone} }}"),
        None => {
            "  # Of the day in UTC; that of the city: { timezone: Europe/Copenhagen }\n  - time_of_day: {}".to_owned()
        }
    }
}

/// The step that blanks what stands for no value; commented out where nothing in the sample does.
fn null_if(target: &str, column: &Column) -> String {
    let off = if column.has_sentinel() { "" } else { "# " };
    format!("{off}clean:\n{off}  - null_if: {{ {target}: \"{target} < 0\" }}\n")
}

/// A limit at which an alert ends, beyond the one at which it opens also where both quantiles are the same value.
fn clear_of(opens: f64, clears: f64, sign: char) -> f64 {
    let apart = if sign == '<' { clears > opens } else { clears < opens };
    let step = if sign == '<' { 1.0 } else { -1.0 };
    if apart { clears } else { opens + step }
}

/// Three significant digits are enough for a guess.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

fn sinks(text: &mut String, name: &str, place: &Place) {
    text.push_str("sinks:\n");
    for output in ["alerts", "late", "dead_letter"] {
        let _ = match place {
            Place::File(_) => writeln!(text, "  {output}: {{ from: {output}, folder: {{ path: {name}-out }} }}"),
            Place::Topic { .. } => {
                let topic = format!("{name}.{}.v1", output.replace('_', "-"));
                writeln!(
                    text,
                    "  {output}: {{ from: {output}, kafka: {{ topic: {topic}, create: {{ partitions: 4 }} }} }}"
                )
            }
        };
    }
    text.push_str("  # Every forecast, where somebody wants them:\n");
    let _ = match place {
        Place::File(_) => writeln!(text, "  # forecasts: {{ from: forecasts, folder: {{ path: {name}-out }} }}"),
        Place::Topic { .. } => {
            writeln!(
                text,
                "  # forecasts: {{ from: forecasts, kafka: {{ topic: {name}.forecasts.v1, create: {{ partitions: 4 }} }} }}"
            )
        }
    };
    text.push_str("delivery: exactly_once\n\n");
}
