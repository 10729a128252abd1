//! Cells of a sample -> which column holds times, and how they are written.

use chrono::{DateTime, NaiveDateTime};

use super::dates::{self, Dates, dates, is_clock, is_date};
use super::guess::GIVEN;
use super::sample::{Cell, Sample, Written};
use super::words::has_word;

/// Parts of names of columns that hold times.
const TIME_WORDS: [&str; 6] = ["time", "date", "observed", "stamp", "when", "ts"];
/// Seconds since 1970 from 2000 to 2100: numbers that may be times.
const EPOCH_SECONDS: std::ops::Range<f64> = 946_684_800.0..4_102_444_800.0;
/// Share of the cells that must be times, where a column is taken for one of times.
const MOST: f64 = 0.95;
/// And where the user says that it is: the others are for dead letters.
pub(super) const SOME: Wanted = Wanted { share: 0.5, named: true };
/// Zone-less times, as the decoder takes them.
const LOCAL: [&str; 4] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];

/// What a time is called that is put together.
const JOINED: &str = "observed_at";

/// What makes a column one of times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// So many of its cells.
    share: f64,
    /// Whether it is known that it should: then numbers may be times, too.
    named: bool,
}

/// How times are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimeText {
    Rfc3339,
    /// Without a zone.
    Local,
    /// In a format of its own, without a zone.
    Dates(Dates),
    EpochS,
    EpochMs,
    EpochUs,
}

impl TimeText {
    /// Whether they lack a zone.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Local | Self::Dates(_))
    }

    /// Whether they lack the time of day.
    fn is_day(&self) -> bool {
        matches!(self, Self::Dates(dates) if dates.whole_days)
    }
}

/// The column of times: nearly all of its cells are some, with the time of day if there is such a column, and its name says so
/// where several are.
pub(super) fn time_column(sample: &Sample) -> Option<(usize, TimeText)> {
    let candidates = (0..sample.columns.len()).filter_map(|index| {
        let named = has_word(&sample.columns[index], &TIME_WORDS).is_some();
        let text = time_text(sample, index, Wanted { share: MOST, named })?;
        Some((index, text, named))
    });
    let best = candidates.max_by_key(|(index, text, named)| (!text.is_day(), *named, std::cmp::Reverse(*index)));
    best.map(|(index, text, _)| (index, text))
}

/// How the times of a column are written, if it holds some.
pub(super) fn time_text(sample: &Sample, index: usize, wanted: Wanted) -> Option<TimeText> {
    let share = |fits: &dyn Fn(&Cell) -> bool| {
        let fitting = sample.rows.iter().filter(|row| fits(&row[index])).count();
        fitting as f64 >= wanted.share * sample.rows.len() as f64
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
        .filter(|_| wanted.named && share(&whole))
        .find(|(scale, _)| share(&|cell| epoch(cell, *scale)))
        .map(|(_, text)| text)
        .or_else(|| {
            // Eight digits may be a number of anything.
            let texts = sample.rows.iter().any(|row| matches!(row[index], Cell::Text(_)));
            let least = wanted.share * sample.rows.len() as f64;
            // Typed columns of dates are no text.
            let text = sample.written != Written::Parquet && (wanted.named || texts);
            text.then(|| dates(sample, index, least)).flatten().map(TimeText::Dates)
        })
}

fn zoned(text: &str) -> Option<i64> {
    let without_seconds = || text.strip_suffix(['Z', 'z']).and_then(local);
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros()).or_else(without_seconds)
}

fn local(text: &str) -> Option<i64> {
    let parsed = LOCAL.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())?;
    Some(parsed.and_utc().timestamp_micros())
}

/// Two columns that make a time together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Halves {
    /// What the time is called, which no column of the sample is.
    pub(super) name: String,
    /// Names of the columns of the date and of the time of day.
    pub(super) parts: [String; 2],
}

/// Where no column holds whole times: puts one of dates and one of times of day together, in the place of the first.
pub(super) fn join_halves(sample: &mut Sample) -> Option<Halves> {
    let whole = || time_column(sample).is_some_and(|(_, text)| !text.is_day());
    if !matches!(sample.written, Written::Csv { .. }) || whole() {
        return None;
    }
    let half = |fits: &dyn Fn(&str) -> bool| {
        let most = |index: &usize| {
            let fitting = |row: &&Vec<Cell>| dates::written(sample, &row[*index]).is_some_and(fits);
            sample.rows.iter().filter(fitting).count() as f64 >= MOST * sample.rows.len() as f64
        };
        (0..sample.columns.len()).find(most)
    };
    let date = half(&|text| is_date(text).is_some())?;
    let compact = sample.rows.iter().any(|row| dates::written(sample, &row[date]).and_then(is_date) == Some(true));
    let day = half(&|text| is_clock(text, compact))?;
    let parts = [sample.columns[date].clone(), sample.columns[day].clone()];
    let mut name = JOINED.to_owned();
    while sample.columns.contains(&name) {
        name.push('_');
    }
    for row in &mut sample.rows {
        let text = |cell: &Cell| match cell {
            Cell::Text(text) | Cell::Number(_, text) => Some(text.clone()),
            Cell::Null | Cell::Bool => None,
        };
        let both = text(&row[date]).zip(text(&row[day]));
        let joined = both.map_or(Cell::Null, |(date, day)| Cell::Text(format!("{date} {day}")));
        row[date] = joined;
        row.remove(day);
    }
    sample.columns[date].clone_from(&name);
    sample.columns.remove(day);
    Some(Halves { name, parts })
}

/// A cell as microseconds since 1970; zone-less times as if they were UTC.
pub(super) fn micros(cell: &Cell, text: &TimeText) -> Option<i64> {
    match (cell, text) {
        (Cell::Text(text) | Cell::Number(_, text), TimeText::Dates(dates)) => dates::micros(&dates.format, text),
        (Cell::Text(text), _) => zoned(text).or_else(|| local(text)),
        (Cell::Number(number, _), TimeText::EpochS) => Some((number * 1e6) as i64),
        (Cell::Number(number, _), TimeText::EpochMs) => Some((number * 1e3) as i64),
        (Cell::Number(number, _), TimeText::EpochUs) => Some(*number as i64),
        _ => None,
    }
}

/// Why the column was taken.
pub(super) fn reason(sample: &Sample, column: Option<usize>, given: bool) -> String {
    let word = column.and_then(|index| has_word(&sample.columns[index], &TIME_WORDS));
    match word {
        _ if given => GIVEN.to_owned(),
        Some(word) => format!("its cells are times, and its name holds `{}`", TIME_WORDS[word]),
        None => "its cells are times".to_owned(),
    }
}

pub(super) fn no_time(sample: &Sample) -> String {
    let unread = |index: usize| {
        let cells = || sample.rows.iter().map(|row| &row[index]);
        cells()
            .find(|cell| matches!(cell, Cell::Text(text) if zoned(text).or_else(|| local(text)).is_none()))
            .or_else(|| cells().next())
    };
    let example = |(index, name): (usize, &String)| match unread(index) {
        Some(Cell::Text(text)) => format!("{name} = {text:?}"),
        Some(Cell::Number(number, _)) => format!("{name} = {number}"),
        _ => name.clone(),
    };
    let seen: Vec<String> = sample.columns.iter().enumerate().map(example).collect();
    format!(
        "no column holds times that can be read: RFC 3339 (`2026-11-23T08:00:00Z`, also without zone or seconds), or dates as \
         `23.11.2026 08:00`, `23/11/2026 8:00 AM` or `20261123 0800`, or numbers since 1970 in a column whose name says so, or a \
         date and a time of day in two columns; found {}. \
         Write others so; of a table whose rows are equally far apart, `csv.event_time` can say when the first was (docs/files.md)",
        seen.join(", ")
    )
}
