//! Cells -> the format that their dates and times of day are written in, where that is not ISO 8601: the order of day and
//! month by the values, as far as these tell.

use std::sync::LazyLock;

use chrono::{Datelike, NaiveTime};

use super::sample::{Cell, Sample, Written};
use crate::stages::decode::TextTimeFormat;

/// Dates. Of two that as many cells fit the first is taken: the day stands first in most of the world.
const DATES: [&str; 12] = [
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y",
];
/// The one without signs between its parts, which looks like a number.
const COMPACT: &str = "%Y%m%d";
/// Times of day.
const CLOCKS: [&str; 6] = ["%H:%M:%S", "%H:%M", "%H:%M:%S%.f", "%I:%M:%S %p", "%I:%M %p", "%H.%M"];
/// Beside a compact date.
const COMPACT_CLOCKS: [&str; 2] = ["%H%M", "%H%M%S"];
/// What stands between the two.
const BETWEEN: [&str; 3] = [" ", "T", ", "];
/// Years that readings are of; what looks like others is a number of another kind.
const YEARS: std::ops::Range<i32> = 1970..2100;
/// Cells that a format has to fit one of to be tried on all.
const TRIED: usize = 50;

/// The formats of [`DATES`], and whether each is the compact one.
static WHOLE_DAYS: LazyLock<Vec<(TextTimeFormat, bool)>> = LazyLock::new(|| {
    DATES.iter().filter_map(|date| Some((TextTimeFormat::new(date).ok()?, *date == COMPACT))).collect()
});

/// How the times of a column are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dates {
    pub(super) format: TextTimeFormat,
    /// Whether they have no time of day.
    pub(super) whole_days: bool,
    /// The format with day and month the other way round, and a cell that only one of them fits.
    pub(super) other_order: Option<(String, Option<String>)>,
}

/// How the cells of a column are written, where at least so many of them are dates.
pub(super) fn dates(sample: &Sample, index: usize, least: f64) -> Option<Dates> {
    let cells: Vec<&str> = sample.rows.iter().filter_map(|row| written(sample, &row[index])).collect();
    if (cells.len() as f64) < least || cells.is_empty() {
        return None;
    }
    let fits = |format: &TextTimeFormat, cell: &str| micros(format, cell).is_some();
    let mut best: Option<(usize, String, TextTimeFormat)> = None;
    for text in formats() {
        let Ok(format) = TextTimeFormat::new(&text) else { continue };
        if !cells.iter().take(TRIED).any(|cell| fits(&format, cell)) {
            continue;
        }
        let count = cells.iter().filter(|cell| fits(&format, cell)).count();
        if count as f64 >= least && best.as_ref().is_none_or(|(most, ..)| count > *most) {
            best = Some((count, text, format));
        }
    }
    let (_, text, format) = best?;
    let whole_days = DATES.contains(&text.as_str());
    let other = swapped(&text).and_then(|other| Some((TextTimeFormat::new(&other).ok()?, other)));
    let other_order = other.map(|(other, text)| {
        let deciding = cells.iter().find(|cell| fits(&format, cell) && !fits(&other, cell));
        (text, deciding.map(|cell| (*cell).to_owned()))
    });
    Some(Dates { format, whole_days, other_order })
}

/// Whether a cell is a date without time of day, and whether that is a compact one.
pub(super) fn is_date(text: &str) -> Option<bool> {
    WHOLE_DAYS.iter().find(|(format, _)| micros(format, text).is_some()).map(|(_, compact)| *compact)
}

/// Whether a cell is a time of day; beside a compact date it may be compact, too.
pub(super) fn is_clock(text: &str, compact: bool) -> bool {
    let fits = |clock: &&str| NaiveTime::parse_from_str(text, clock).is_ok();
    CLOCKS.iter().any(fits) || (compact && text.len() >= 4 && COMPACT_CLOCKS.iter().any(fits))
}

/// The text of a cell that a format may read: in delimited text also of what looks like a number.
pub(super) fn written<'a>(sample: &Sample, cell: &'a Cell) -> Option<&'a str> {
    match cell {
        Cell::Text(text) => Some(text),
        Cell::Number(_, text) if matches!(sample.written, Written::Csv { .. }) => Some(text),
        _ => None,
    }
}

/// Microseconds since 1970, as if times without an offset were UTC.
pub(super) fn micros(format: &TextTimeFormat, text: &str) -> Option<i64> {
    let (local, offset) = format.read(text)?;
    let micros = local.and_utc().timestamp_micros() - i64::from(offset.unwrap_or(0)) * 1_000_000;
    YEARS.contains(&local.year()).then_some(micros)
}

fn formats() -> impl Iterator<Item = String> {
    DATES.iter().flat_map(|date| {
        let compact = if *date == COMPACT { &COMPACT_CLOCKS[..] } else { &[] };
        let clocks = move || CLOCKS.iter().chain(compact);
        let timed =
            clocks().flat_map(move |clock| BETWEEN.iter().map(move |between| format!("{date}{between}{clock}")));
        let joined = compact.iter().map(move |clock| format!("{date}{clock}"));
        timed.chain(joined).chain([(*date).to_owned()])
    })
}

/// The format with day and month exchanged, where both orders are in use.
fn swapped(text: &str) -> Option<String> {
    let pairs = [("%d/%m/", "%m/%d/"), ("%d-%m-", "%m-%d-")];
    pairs
        .iter()
        .flat_map(|(one, other)| [(one, other), (other, one)])
        .find_map(|(from, to)| text.strip_prefix(from).map(|rest| format!("{to}{rest}")))
}
