//! A sample -> what its columns probably are: the time, the sensor, values, and what is usual in them. Pure; every guess
//! can be explained from the sample.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use chrono::{DateTime, NaiveDateTime};

use super::sample::{Cell, Sample, Written};
use crate::vocab::MICROS_PER_SECOND;

/// Parts of names of columns that hold times.
const TIME_WORDS: [&str; 6] = ["time", "date", "observed", "stamp", "when", "ts"];
/// Parts of names of columns that name sensors, likelier ones first.
const KEY_WORDS: [&str; 13] = [
    "sensor", "station", "device", "detector", "segment", "site", "node", "location", "id", "mile", "marker", "link",
    "lane",
];
/// Parts of names of what is worth a forecast, likelier ones first.
const TARGET_WORDS: [&str; 16] = [
    "speed", "velocity", "mph", "kmh", "flow", "volume", "count", "pm25", "pm2", "pm10", "no2", "o3", "noise", "level",
    "temp", "value",
];
/// Of these little is bad.
const LOW_IS_BAD: [&str; 4] = ["speed", "velocity", "mph", "kmh"];
/// Seconds since 1970 from 2000 to 2100: numbers that may be times.
const EPOCH_SECONDS: std::ops::Range<f64> = 946_684_800.0..4_102_444_800.0;
/// Share of the cells that must be times, and of the columns that must be numbers.
const MOST: f64 = 0.95;
/// Share of the cells that make a column one of numbers: the others are for dead letters.
const NUMBERS: f64 = 0.8;
/// A table is wide from so many columns of numbers on.
const WIDE: usize = 8;
/// Between readings where the sample does not say.
const USUAL_INTERVAL: i64 = 300 * MICROS_PER_SECOND;
/// Zone-less times, as the decoder takes them.
const LOCAL: [&str; 4] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeText {
    Rfc3339,
    /// Without a zone.
    Local,
    EpochS,
    EpochMs,
    EpochUs,
}

/// The kind of a column in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Whole,
    Text,
    Bool,
    /// Of several kinds: no schema holds it.
    Mixed,
}

/// A column that a pipeline may use.
#[derive(Debug)]
pub(super) struct Column {
    /// In the sample.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) nulls: usize,
    /// Values of numbers, ascending.
    values: Vec<f64>,
}

impl Column {
    /// Whether its least value is one that instruments write where they have none.
    pub(super) fn has_sentinel(&self) -> bool {
        self.values.first().is_some_and(|least| SENTINELS.contains(least))
    }

    /// Least and greatest value, whatever they mean.
    pub(super) fn ends(&self) -> (f64, f64) {
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        (end(self.values.first()), end(self.values.last()))
    }

    /// Values, ascending, without what stands for none.
    fn measured(&self) -> &[f64] {
        let first = if self.has_sentinel() { self.values.partition_point(|value| *value < 0.0) } else { 0 };
        if first < self.values.len() { &self.values[first..] } else { &self.values }
    }

    /// The value below which this share of the values lies.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let values = self.measured();
        let last = values.len().saturating_sub(1);
        values.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
    }

    /// The worst value, and a limit between the worst 5 in 100 and the others; `None` where all values are alike.
    pub(super) fn limit(&self, low_is_bad: bool) -> Option<(f64, f64)> {
        let values = self.measured();
        let (worst, inside, next) = if low_is_bad {
            let inside = self.quantile(0.05);
            (values.first()?, inside, values.iter().find(|value| **value > inside)?)
        } else {
            let inside = self.quantile(0.95);
            (values.last()?, inside, values.iter().rfind(|value| **value < inside)?)
        };
        Some((*worst, between(inside, *next)))
    }
}

/// What instruments write where they have no value.
const SENTINELS: [f64; 6] = [-1.0, -9.0, -99.0, -200.0, -999.0, -9999.0];

/// A number between two others that has few digits.
fn between(one: f64, other: f64) -> f64 {
    let middle = one + (other - one) / 2.0;
    let apart = |value: &f64| *value != one && *value != other && (*value > one) == (*value < other);
    let shorter = (1..16).filter_map(|digits| format!("{middle:.digits$e}").parse().ok());
    shorter.into_iter().find(apart).unwrap_or(middle)
}

/// Where the time of a row is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TimeOf {
    Column(String, TimeText),
    /// Nowhere: rows are counted.
    Row,
}

/// Where the sensor of a row is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyOf {
    Column(String, Kind),
    /// Every other column is a sensor.
    Header,
    /// All rows are of one.
    File,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) rows: usize,
    pub(super) keys: usize,
    pub(super) time: TimeOf,
    pub(super) key: KeyOf,
    /// Usual time between two readings of a sensor, microseconds, and whether the sample said so.
    pub(super) interval: (i64, bool),
    /// How far behind the newest time before it a row came at most, microseconds.
    pub(super) disorder: i64,
    /// Values, without time and key.
    pub(super) columns: Vec<Column>,
    /// Which of them is worth a forecast.
    pub(super) target: usize,
}

impl Findings {
    pub(super) fn of(sample: &Sample, interval: Option<i64>) -> Result<Self> {
        let all: Vec<Column> = (0..sample.columns.len()).map(|index| column(sample, index)).collect();
        let time = time_column(sample);
        let key = match (key_column(sample, &all, time.map(|(index, _)| index)), sample.written) {
            (Some(index), _) => KeyOf::Column(all[index].name.clone(), all[index].kind),
            (None, Written::Csv { .. }) if wide(&all, time.map(|(index, _)| index)) => KeyOf::Header,
            (None, Written::Csv { .. }) => KeyOf::File,
            (None, _) => bail!(
                "no column seems to name the sensor: a name with `id`, `sensor`, `station` or the like is looked for among {}",
                sample.columns.join(", ")
            ),
        };
        let time_of = match time {
            Some((index, text)) => TimeOf::Column(sample.columns[index].clone(), text),
            None if matches!(sample.written, Written::Csv { .. }) && key == KeyOf::Header => TimeOf::Row,
            None => bail!("{}", no_time(sample)),
        };
        let special = |name: &str| {
            matches!(&time_of, TimeOf::Column(time, _) if time == name)
                || matches!(&key, KeyOf::Column(key, _) if key == name)
        };
        let keys = match &key {
            KeyOf::Column(name, _) => distinct(sample, sample.columns.iter().position(|one| one == name)),
            KeyOf::Header => all.iter().filter(|one| !special(&one.name)).count(),
            KeyOf::File => 1,
        };
        let seen = time.and_then(|time| gap(sample, time, &key));
        let columns: Vec<Column> = match key {
            KeyOf::Header => vec![pooled(all.into_iter().filter(|one| !special(&one.name)))],
            _ => all.into_iter().filter(|one| !special(&one.name) && one.kind != Kind::Mixed).collect(),
        };
        let Some(target) = target(&columns) else {
            bail!("no column of numbers is left to look at among {}", sample.columns.join(", "))
        };
        let interval = match (interval, seen) {
            (Some(interval), _) => (interval, true),
            (None, seen) => (seen.unwrap_or(USUAL_INTERVAL), seen.is_some()),
        };
        let disorder = time.map_or(0, |time| disorder(sample, time));
        Ok(Self { rows: sample.rows.len(), keys, time: time_of, key, interval, disorder, columns, target })
    }

    /// The columns that it took for what they are.
    pub(super) fn told(&self) -> String {
        let sensor = match &self.key {
            KeyOf::Column(name, _) => format!("sensor `{name}`"),
            KeyOf::Header => "a sensor in each column".to_owned(),
            KeyOf::File => "no column names a sensor, all rows are of one".to_owned(),
        };
        let time = match &self.time {
            TimeOf::Column(name, TimeText::Local) => format!("time `{name}` as UTC, since it names no zone"),
            TimeOf::Column(name, _) => format!("time `{name}`"),
            TimeOf::Row => "no time".to_owned(),
        };
        format!("{sensor}; {time}; value `{}`", self.columns[self.target].name)
    }

    /// Whether small values of the target are the ones to warn of.
    pub(super) fn low_is_bad(&self) -> bool {
        let name = self.columns[self.target].name.to_lowercase();
        LOW_IS_BAD.iter().any(|word| name.contains(word))
    }
}

fn column(sample: &Sample, index: usize) -> Column {
    let cells = || sample.rows.iter().map(|row| &row[index]);
    let mut values: Vec<f64> =
        cells().filter_map(|cell| if let Cell::Number(number, _) = cell { Some(*number) } else { None }).collect();
    values.sort_by(f64::total_cmp);
    let nulls = cells().filter(|cell| **cell == Cell::Null).count();
    let given = sample.rows.len() - nulls;
    let bools = cells().filter(|cell| **cell == Cell::Bool).count();
    let csv = matches!(sample.written, Written::Csv { .. });
    let kind = if !csv && given > 0 && ![0, given].contains(&values.len()) || ![0, given].contains(&bools) {
        Kind::Mixed
    } else if given > 0 && bools == given {
        Kind::Bool
    } else if given == 0 || (values.len() as f64) < NUMBERS * given as f64 {
        Kind::Text
    } else if values.iter().all(|value| value.fract() == 0.0 && value.abs() < 9e15) {
        Kind::Whole
    } else {
        Kind::Number
    };
    Column { name: sample.columns[index].clone(), kind, nulls, values }
}

/// The column of times: nearly all of its cells are some, and its name says so where several are.
fn time_column(sample: &Sample) -> Option<(usize, TimeText)> {
    let candidates = (0..sample.columns.len()).filter_map(|index| {
        let named = has_word(&sample.columns[index], &TIME_WORDS).is_some();
        let text = time_text(sample, index, named)?;
        Some((index, text, named))
    });
    candidates.max_by_key(|(index, _, named)| (*named, std::cmp::Reverse(*index))).map(|(index, text, _)| (index, text))
}

fn time_text(sample: &Sample, index: usize, named: bool) -> Option<TimeText> {
    let share = |fits: &dyn Fn(&Cell) -> bool| {
        let fitting = sample.rows.iter().filter(|row| fits(&row[index])).count();
        fitting as f64 >= MOST * sample.rows.len() as f64
    };
    let text = |cell: &Cell, is: fn(&str) -> bool| matches!(cell, Cell::Text(text) if is(text));
    let epoch =
        |cell: &Cell, per_second: f64| matches!(cell, Cell::Number(n, _) if EPOCH_SECONDS.contains(&(n / per_second)));
    if share(&|cell| text(cell, |text| zoned(text).is_some())) {
        return Some(TimeText::Rfc3339);
    }
    if share(&|cell| text(cell, |text| zoned(text).is_some() || local(text).is_some())) {
        return Some(TimeText::Local);
    }
    let scales = [(1.0, TimeText::EpochS), (1e3, TimeText::EpochMs), (1e6, TimeText::EpochUs)];
    // Typed columns of times are whole numbers.
    let whole =
        |cell: &Cell| sample.written != Written::Parquet || matches!(cell, Cell::Number(n, _) if n.fract() == 0.0);
    scales
        .into_iter()
        .filter(|_| named && share(&whole))
        .find(|(scale, _)| share(&|cell| epoch(cell, *scale)))
        .map(|(_, text)| text)
}

fn zoned(text: &str) -> Option<i64> {
    let without_seconds = || text.strip_suffix(['Z', 'z']).and_then(local);
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros()).or_else(without_seconds)
}

fn local(text: &str) -> Option<i64> {
    let parsed = LOCAL.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())?;
    Some(parsed.and_utc().timestamp_micros())
}

fn key_column(sample: &Sample, columns: &[Column], time: Option<usize>) -> Option<usize> {
    let candidates = columns.iter().enumerate().filter(|(index, column)| {
        Some(*index) != time
            && column.kind != Kind::Bool
            && column.kind != Kind::Mixed
            && column.nulls * 20 < sample.rows.len()
    });
    let named = candidates.filter_map(|(index, column)| {
        let word = has_word(&column.name, &KEY_WORDS)?;
        // Delimited text has no numbers, only what looks like some.
        let csv = matches!(sample.written, Written::Csv { .. });
        if column.kind == Kind::Number && !csv {
            return None;
        }
        // What names every row names no sensor, unless there is only one row of each.
        let names = distinct(sample, Some(index));
        let repeats = names * 2 <= sample.rows.len() || sample.rows.len() < 20;
        repeats.then_some((index, std::cmp::Reverse(word), names))
    });
    let named = named.max_by_key(|(_, word, names)| (*word, *names)).map(|(index, ..)| index);
    named.or_else(|| repeated_text(sample, columns, time))
}

/// Where no name says it: the column of text whose values come again and again, most of them if there are several.
fn repeated_text(sample: &Sample, columns: &[Column], time: Option<usize>) -> Option<usize> {
    let texts = columns.iter().enumerate().filter(|(index, column)| {
        Some(*index) != time && column.kind == Kind::Text && column.values.is_empty() && column.nulls == 0
    });
    let repeated = texts.map(|(index, _)| (distinct(sample, Some(index)), std::cmp::Reverse(index)));
    let repeated = repeated.filter(|(names, _)| *names > 1 && names * 2 <= sample.rows.len());
    repeated.max().map(|(_, std::cmp::Reverse(index))| index)
}

/// Whether nearly all columns are numbers of the same kind of thing.
fn wide(columns: &[Column], time: Option<usize>) -> bool {
    let others = columns.iter().enumerate().filter(|(index, _)| Some(*index) != time);
    let numbers = others.clone().filter(|(_, column)| matches!(column.kind, Kind::Number | Kind::Whole)).count();
    numbers >= WIDE && numbers as f64 >= MOST * others.count() as f64
}

/// The values of all sensors of a wide table.
fn pooled(columns: impl Iterator<Item = Column>) -> Column {
    let (mut values, mut nulls) = (Vec::new(), 0);
    for column in columns {
        values.extend(column.values);
        nulls += column.nulls;
    }
    values.sort_by(f64::total_cmp);
    Column { name: "reading".to_owned(), kind: Kind::Number, nulls, values }
}

fn distinct(sample: &Sample, index: Option<usize>) -> usize {
    let Some(index) = index else { return 0 };
    let texts: BTreeSet<String> = sample.rows.iter().map(|row| format!("{:?}", row[index])).collect();
    texts.len()
}

/// The usual time between two readings of a sensor.
fn gap(sample: &Sample, (time, text): (usize, TimeText), key: &KeyOf) -> Option<i64> {
    let key = if let KeyOf::Column(name, _) = key { sample.columns.iter().position(|one| one == name) } else { None };
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let mut gaps = Vec::new();
    for row in &sample.rows {
        let Some(at) = micros(&row[time], text) else { continue };
        let of = key.map(|key| format!("{:?}", row[key])).unwrap_or_default();
        if let Some(before) = last.insert(of, at).filter(|before| *before < at) {
            gaps.push(at - before);
        }
    }
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied().map(|gap| (gap / MICROS_PER_SECOND).max(1) * MICROS_PER_SECOND)
}

fn disorder(sample: &Sample, (time, text): (usize, TimeText)) -> i64 {
    let times = sample.rows.iter().filter_map(|row| micros(&row[time], text));
    let (mut newest, mut most) = (i64::MIN, 0);
    for at in times {
        newest = newest.max(at);
        most = most.max(newest - at);
    }
    most
}

/// A cell as microseconds since 1970; zone-less times as if they were UTC.
pub(super) fn micros(cell: &Cell, text: TimeText) -> Option<i64> {
    match (cell, text) {
        (Cell::Text(text), _) => zoned(text).or_else(|| local(text)),
        (Cell::Number(number, _), TimeText::EpochS) => Some((number * 1e6) as i64),
        (Cell::Number(number, _), TimeText::EpochMs) => Some((number * 1e3) as i64),
        (Cell::Number(number, _), TimeText::EpochUs) => Some(*number as i64),
        _ => None,
    }
}

/// The likeliest column of numbers: by its name, else the one with the fewest nulls.
fn target(columns: &[Column]) -> Option<usize> {
    let numbers = columns.iter().enumerate().filter(|(_, one)| matches!(one.kind, Kind::Number | Kind::Whole));
    let named = numbers.clone().filter_map(|(index, one)| Some((has_word(&one.name, &TARGET_WORDS)?, index))).min();
    named.or_else(|| numbers.map(|(index, one)| (one.nulls, index)).min()).map(|(_, index)| index)
}

/// The first of the words that a name has a part that begins or ends with. Words of two letters have to be a part by
/// themselves: `snelheid` is no `id`, `counts` no `ts`.
fn has_word(name: &str, words: &[&str]) -> Option<usize> {
    let parts = parts(name);
    let is = |part: &String, word: &str| match word.len() {
        ..=2 => part == word,
        _ => part.starts_with(word) || part.ends_with(word),
    };
    words.iter().position(|word| parts.iter().any(|part| is(part, word)))
}

/// `stationId`, `station_id` -> `station`, `id`.
fn parts(name: &str) -> Vec<String> {
    let (mut parts, mut small) = (vec![String::new()], false);
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (small && letter.is_uppercase()) {
            parts.push(String::new());
        }
        small = letter.is_lowercase();
        if let Some(part) = parts.last_mut().filter(|_| letter.is_alphanumeric()) {
            part.extend(letter.to_lowercase());
        }
    }
    parts
}

fn no_time(sample: &Sample) -> String {
    let example = |(index, name): (usize, &String)| match sample.rows.first().map(|row| &row[index]) {
        Some(Cell::Text(text)) => format!("{name} = {text:?}"),
        Some(Cell::Number(number, _)) => format!("{name} = {number}"),
        _ => name.clone(),
    };
    let seen: Vec<String> = sample.columns.iter().enumerate().map(example).collect();
    format!(
        "no column holds times that can be read: RFC 3339 (`2026-11-23T08:00:00Z`, also without zone or seconds), or numbers \
         since 1970 in a column whose name says so; found {}",
        seen.join(", ")
    )
}
