//! A sample -> what its columns probably are: the time, the sensor, values, and what is usual in them. Pure; every guess
//! has its reason, and gives way to what the user says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use chrono_tz::Tz;

use super::Said;
use super::column::{Column, Kind, pooled};
use super::order::Order;
use super::sample::{Cell, Sample, Written};
use super::time::{self, Halves, TimeText, micros};
use super::words::has_word;
use crate::cli::usage::UsageError;
use crate::spec::suggest;
use crate::vocab::MICROS_PER_SECOND;

/// Parts of names of columns that name sensors, likelier ones first.
const KEY_WORDS: [&str; 20] = [
    "sensor",
    "station",
    "stelle",
    "meetpunt",
    "capteur",
    "estación",
    "stazione",
    "punto",
    "device",
    "detector",
    "segment",
    "site",
    "node",
    "location",
    "standort",
    "id",
    "mile",
    "marker",
    "link",
    "lane",
];
/// Parts of names of what is worth a forecast, likelier ones first: speeds, as the cities of Europe call them, then the rest.
const TARGET_WORDS: [&str; 33] = [
    "speed",
    "velocity",
    "mph",
    "kmh",
    "kph",
    "kmph",
    "geschwindigkeit",
    "tempo",
    "vitesse",
    "velocidad",
    "velocidade",
    "velocità",
    "velocita",
    "snelheid",
    "prędkość",
    "predkosc",
    "hastighed",
    "hastighet",
    "nopeus",
    "rychlost",
    "sebesség",
    "flow",
    "volume",
    "count",
    "pm25",
    "pm2",
    "pm10",
    "no2",
    "o3",
    "noise",
    "level",
    "temp",
    "value",
];
/// Words of speeds among them: of these little is bad.
const SPEED_WORDS: usize = 21;
/// Units of speeds, as they stand in names.
const SPEED_UNITS: [&str; 3] = ["km/h", "km_h", "mi/h"];
/// Share of the columns that must be numbers in a table whose columns are sensors.
const MOST: f64 = 0.95;
/// A table is wide from so many columns of numbers on.
const WIDE: usize = 8;
/// From so many on where their names differ in a number alone.
const WIDE_ALIKE: usize = 3;
/// Between readings where the sample does not say.
const USUAL_INTERVAL: i64 = 300 * MICROS_PER_SECOND;
/// The reason of what needs no guess.
pub(super) const GIVEN: &str = "as given";

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
    pub(super) time_reason: String,
    /// What the time is put together of, where it stands in two columns.
    pub(super) halves: Option<Halves>,
    /// Zone of times that name none, where the user gave it.
    pub(super) zone: Option<Tz>,
    pub(super) key: KeyOf,
    pub(super) key_reason: String,
    /// Usual time between two readings of a sensor, microseconds, and whether the sample said so.
    pub(super) interval: (i64, bool),
    /// In what order rows come.
    pub(super) order: Order,
    /// Values, without time and key.
    pub(super) columns: Vec<Column>,
    /// Which of them is worth a forecast.
    pub(super) target: usize,
    pub(super) target_reason: String,
}

impl Findings {
    pub(super) fn of(sample: &mut Sample, said: &Said) -> Result<Self> {
        check_apart(said)?;
        let halves = if said.time.is_none() { time::join_halves(sample) } else { None };
        let sample = &*sample;
        let all: Vec<Column> = (0..sample.columns.len()).map(|index| Column::of(sample, index)).collect();
        let time = time_place(sample, said)?;
        let (key, key_reason) = key_of(sample, &all, time.as_ref().map(|(index, _)| *index), said)?;
        let time_of = match &time {
            Some((index, text)) => TimeOf::Column(sample.columns[*index].clone(), text.clone()),
            None if matches!(sample.written, Written::Csv { .. }) && key == KeyOf::Header => TimeOf::Row,
            None => bail!("{}", time::no_time(sample)),
        };
        if said.timezone.is_some() && !matches!(&time_of, TimeOf::Column(_, text) if text.is_local()) {
            return Err(UsageError::ZoneOfNothing.into());
        }
        let special = |name: &str| {
            matches!(&time_of, TimeOf::Column(time, _) if time == name)
                || matches!(&key, KeyOf::Column(key, _) if key == name)
        };
        let keys = match &key {
            KeyOf::Column(name, _) => distinct(sample, sample.columns.iter().position(|one| one == name)),
            KeyOf::Header => all.iter().filter(|one| !special(&one.name)).count(),
            KeyOf::File => 1,
        };
        let seen = time.as_ref().and_then(|time| gap(sample, time, &key));
        let columns: Vec<Column> = match key {
            KeyOf::Header => vec![pooled(all.into_iter().filter(|one| !special(&one.name)))],
            _ => all.into_iter().filter(|one| !special(&one.name) && one.kind != Kind::Mixed).collect(),
        };
        let (target, target_reason) = target(sample, &columns, said)?;
        let interval = match (&said.interval, seen) {
            (Some(interval), _) => (interval.micros, true),
            (None, seen) => (seen.unwrap_or(USUAL_INTERVAL), seen.is_some()),
        };
        Ok(Self {
            rows: sample.rows.len(),
            keys,
            time: time_of,
            time_reason: match &halves {
                Some(Halves { parts: [date, day], .. }) => format!("`{date}` and `{day}`, a date and a time of day"),
                None => time::reason(sample, time.as_ref().map(|(index, _)| *index), said.time.is_some()),
            },
            halves,
            zone: said.timezone,
            key,
            key_reason,
            interval,
            order: time.as_ref().map(|time| Order::of(sample, time)).unwrap_or_default(),
            columns,
            target,
            target_reason,
        })
    }

    /// The columns that it took for what they are, and what is odd about the rows, one to a line.
    pub(super) fn told(&self) -> Vec<String> {
        let told = |what: String, why: &str, option: &str| match why {
            GIVEN => format!("{what} ({GIVEN})"),
            why => format!("{what} ({why}); another: {option}"),
        };
        let sensor = match &self.key {
            KeyOf::Column(name, _) => format!("sensor: `{name}`"),
            KeyOf::Header => "sensor: each column is one".to_owned(),
            KeyOf::File => "sensor: all rows are of one".to_owned(),
        };
        let sensor = told(sensor, &self.key_reason, "--sensor COLUMN");
        let zone = match (&self.time, self.zone) {
            (TimeOf::Column(_, text), Some(zone)) if text.is_local() => format!(" in {zone}"),
            (TimeOf::Column(_, text), None) if text.is_local() => " as UTC, or as --timezone says".to_owned(),
            _ => String::new(),
        };
        let time = match &self.time {
            TimeOf::Column(name, _) => told(format!("time:   `{name}`{zone}"), &self.time_reason, "--time COLUMN"),
            TimeOf::Row => "time:   none, rows are counted".to_owned(),
        };
        let target = &self.columns[self.target].name;
        let value = told(format!("value:  `{target}`"), &self.target_reason, "--value COLUMN");
        let (bad, why) = if self.low_is_bad() { ("low", "as speeds are") } else { ("high", "no speed by its name") };
        let alert = format!("alert:  where `{target}` is {bad} ({why}); for another change `alerts` there");
        let wide = (self.key == KeyOf::File).then(|| self.others()).filter(|others| !others.is_empty());
        let wide = wide.map(|others| {
            format!("others: {others} are numbers, too: where each column is a sensor, `csv.unpivot` makes rows of them (docs/files.md)")
        });
        let order = self.order.told(self.interval.0);
        [sensor, time, value, alert].into_iter().chain(wide).chain(order).collect()
    }

    /// Columns of numbers beside the target.
    fn others(&self) -> String {
        let target = &self.columns[self.target].name;
        let numbers = self.columns.iter().filter(|one| matches!(one.kind, Kind::Number | Kind::Whole));
        let names: Vec<String> =
            numbers.filter(|one| one.name != *target).map(|one| format!("`{}`", one.name)).collect();
        names.join(", ")
    }

    /// Whether small values of the target are the ones to warn of.
    pub(super) fn low_is_bad(&self) -> bool {
        let name = self.columns[self.target].name.to_lowercase();
        TARGET_WORDS[..SPEED_WORDS].iter().chain(&SPEED_UNITS).any(|word| name.contains(word))
    }
}

/// The place of a column that the user named.
fn named(sample: &Sample, option: &'static str, name: &str) -> Result<usize, UsageError> {
    sample.columns.iter().position(|one| one == name).ok_or_else(|| {
        let hint = suggest::hint(name, sample.columns.iter().map(String::as_str), "there are").unwrap_or_default();
        UsageError::UnknownColumn { option, name: name.to_owned(), hint }
    })
}

/// One column is one thing.
fn check_apart(said: &Said) -> Result<(), UsageError> {
    let options = [("--sensor", &said.sensor), ("--time", &said.time), ("--value", &said.value)];
    for (index, (option, name)) in options.iter().enumerate() {
        let same = options[..index].iter().find(|(_, other)| name.is_some() && other == name);
        if let (Some((other, _)), Some(name)) = (same, name) {
            return Err(UsageError::SameColumn { option, other, name: name.clone() });
        }
    }
    Ok(())
}

fn time_place(sample: &Sample, said: &Said) -> Result<Option<(usize, TimeText)>> {
    let Some(name) = &said.time else { return Ok(time::time_column(sample)) };
    let index = named(sample, "--time", name)?;
    match time::time_text(sample, index, time::SOME) {
        Some(text) => Ok(Some((index, text))),
        None => bail!("{}", time::no_time(sample)),
    }
}

fn key_of(sample: &Sample, all: &[Column], time: Option<usize>, said: &Said) -> Result<(KeyOf, String)> {
    let column = |index: usize| KeyOf::Column(all[index].name.clone(), all[index].kind);
    let csv = matches!(sample.written, Written::Csv { .. });
    if let Some(name) = &said.sensor {
        let index = named(sample, "--sensor", name)?;
        // Delimited text has no numbers and conditions, only what looks like some.
        if !csv && !matches!(all[index].kind, Kind::Text | Kind::Whole) {
            return Err(UsageError::NoKey { name: name.clone() }.into());
        }
        return Ok((column(index), GIVEN.to_owned()));
    }
    let others = all.iter().enumerate().filter(|(index, _)| Some(*index) != time).map(|(_, one)| one.name.as_str());
    if csv && said.value.is_none() && numbered(others) && wide(all, time) {
        return Ok((KeyOf::Header, "their names differ in a number alone".to_owned()));
    }
    match key_column(sample, all, time) {
        Some((index, reason)) => Ok((column(index), reason)),
        None if csv && said.value.is_none() && wide(all, time) => {
            Ok((KeyOf::Header, "nearly all of them are numbers, and none is called like a sensor".to_owned()))
        }
        None if csv => Ok((KeyOf::File, "no column names one".to_owned())),
        None => bail!(
            "no column seems to name the sensor, say which with --sensor COLUMN: a name with `id`, `sensor`, `station` or the \
             like was looked for among {}",
            sample.columns.join(", ")
        ),
    }
}

/// The column that names the sensor, and why it is taken for that.
fn key_column(sample: &Sample, columns: &[Column], time: Option<usize>) -> Option<(usize, String)> {
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
    let named = named.max_by_key(|(_, word, names)| (*word, *names));
    let named = named.map(|(index, word, _)| (index, format!("its name holds `{}`", KEY_WORDS[word.0])));
    named.or_else(|| repeated_text(sample, columns, time))
}

/// Where no name says it: the column of text whose values come again and again, most of them if there are several.
fn repeated_text(sample: &Sample, columns: &[Column], time: Option<usize>) -> Option<(usize, String)> {
    let texts = columns.iter().enumerate().filter(|(index, column)| {
        Some(*index) != time
            && column.kind == Kind::Text
            && column.values.is_empty()
            && column.nulls == 0
            // The end of an interval, say.
            && time::time_text(sample, *index, time::SOME).is_none()
    });
    let repeated = texts.map(|(index, _)| (distinct(sample, Some(index)), std::cmp::Reverse(index)));
    let repeated = repeated.filter(|(names, _)| *names > 1 && names * 2 <= sample.rows.len());
    repeated.max().map(|(names, index)| (index.0, format!("text, and its {names} values come again and again")))
}

/// Whether nearly all columns are numbers of the same kind of thing.
fn wide(columns: &[Column], time: Option<usize>) -> bool {
    let others = columns.iter().enumerate().filter(|(index, _)| Some(*index) != time);
    let numbers = others.clone().filter(|(_, column)| matches!(column.kind, Kind::Number | Kind::Whole)).count();
    let least = if numbered(others.clone().map(|(_, column)| column.name.as_str())) { WIDE_ALIKE } else { WIDE };
    numbers >= least && numbers as f64 >= MOST * others.count() as f64
}

/// Whether names differ in a number alone, as those of sensors do, and are not `pm10` and `pm25`.
fn numbered<'a>(mut names: impl Iterator<Item = &'a str> + Clone) -> bool {
    let quantities: Vec<&str> = TARGET_WORDS.into_iter().filter(|word| word.ends_with(char::is_numeric)).collect();
    let quantity = |name: &str| has_word(&name.replace(['.', '_', ' '], ""), &quantities).is_some();
    let text = |name: &str| name.split(|c: char| c.is_ascii_digit()).collect::<String>();
    let Some(first) = names.clone().next().map(text) else { return false };
    names.all(|name| name.contains(|c: char| c.is_ascii_digit()) && text(name) == first && !quantity(name))
}

fn distinct(sample: &Sample, index: Option<usize>) -> usize {
    let Some(index) = index else { return 0 };
    // A row that is cut off names no sensor.
    let given = sample.rows.iter().map(|row| &row[index]).filter(|cell| **cell != Cell::Null);
    let texts: BTreeSet<String> = given.map(|cell| format!("{cell:?}")).collect();
    texts.len()
}

/// The usual time between two readings of a sensor.
fn gap(sample: &Sample, (time, text): &(usize, TimeText), key: &KeyOf) -> Option<i64> {
    let key = if let KeyOf::Column(name, _) = key { sample.columns.iter().position(|one| one == name) } else { None };
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let mut gaps = Vec::new();
    for row in &sample.rows {
        let Some(at) = micros(&row[*time], text) else { continue };
        let of = key.map(|key| format!("{:?}", row[key])).unwrap_or_default();
        // Rows may come newest first.
        if let Some(before) = last.insert(of, at).filter(|before| *before != at) {
            gaps.push((at - before).abs());
        }
    }
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied().map(|gap| (gap / MICROS_PER_SECOND).max(1) * MICROS_PER_SECOND)
}

/// The likeliest column of numbers, and why: by its name, else the one with the fewest nulls.
fn target(sample: &Sample, columns: &[Column], said: &Said) -> Result<(usize, String)> {
    let numbers = columns.iter().enumerate().filter(|(_, one)| matches!(one.kind, Kind::Number | Kind::Whole));
    if let Some(name) = &said.value {
        named(sample, "--value", name)?;
        return match numbers.clone().find(|(_, one)| one.name == *name) {
            Some((index, _)) => Ok((index, GIVEN.to_owned())),
            None => Err(UsageError::NoNumbers { name: name.clone() }.into()),
        };
    }
    let unit = |name: &str| SPEED_UNITS.iter().find(|unit| name.to_lowercase().contains(*unit));
    if let Some((index, unit)) = numbers.clone().find_map(|(index, one)| Some((index, unit(&one.name)?))) {
        return Ok((index, format!("its name holds the unit `{unit}`")));
    }
    let worth = numbers.clone().filter_map(|(index, one)| Some((has_word(&one.name, &TARGET_WORDS)?, index))).min();
    if let Some((word, index)) = worth {
        return Ok((index, format!("its name holds `{}`", TARGET_WORDS[word])));
    }
    match numbers.map(|(index, one)| (one.nulls, index)).min() {
        Some((nulls, index)) => Ok((index, format!("numbers, with {nulls} nulls"))),
        None => bail!("no column of numbers is left to look at among {}", sample.columns.join(", ")),
    }
}
