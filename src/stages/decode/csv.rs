//! A record of delimited text -> the values of the columns that are read. Empty cells are null; a cell that is not of its
//! column's type refuses the record, as in a message of JSON.

use std::sync::Arc;

use arterial_connectors::csv::{CsvDialect, CsvParser, Fed};

use super::decoder::quoted;
use super::plan::{Column, DecodePlan, Kind};
use super::scanner::Slot;
use super::settings::{CsvSettings, TimestampFormat};
use crate::stages::rows::Reason;

/// Reads records whose cells have names.
pub(super) struct CsvCells {
    parser: CsvParser,
    names: Arc<[String]>,
    /// Where the value of each column stands; `None` for a column that the record does not have.
    places: Vec<Option<usize>>,
    /// What is told beside bytes that are no UTF-8.
    remedy: &'static str,
}

/// Of a file it can be said how it is written.
const OTHER_ENCODING: &str =
    "; where its file is written otherwise, say so under `file`: `csv: { encoding: windows-1252 }`";

impl CsvCells {
    pub(super) fn new(dialect: CsvDialect) -> Self {
        Self { parser: CsvParser::new(dialect), names: Arc::from([]), places: Vec::new(), remedy: "" }
    }

    /// Cells of the records to come, which are rows of a file or messages.
    pub(super) fn lay_out(&mut self, names: &Arc<[String]>, columns: &[Column], of_file: bool) {
        self.remedy = if of_file { OTHER_ENCODING } else { "" };
        if !Arc::ptr_eq(names, &self.names) {
            self.names = Arc::clone(names);
            self.places = columns.iter().map(|column| names.iter().position(|name| *name == column.path)).collect();
        }
    }

    /// Reads one record into the slots; text goes to `scratch`.
    pub(super) fn read(
        &mut self,
        record: &[u8],
        plan: &DecodePlan,
        slots: &mut [Slot],
        scratch: &mut String,
    ) -> Result<(), (Reason, String)> {
        std::str::from_utf8(record).map_err(|error| {
            (Reason::InvalidUtf8, format!("not UTF-8 from byte {}{}", error.valid_up_to(), self.remedy))
        })?;
        self.split(record)?;
        scratch.clear();
        for ((place, column), slot) in self.places.iter().zip(&plan.columns).zip(slots) {
            // The record is UTF-8 and delimiters and quotes are ASCII, so every cell is UTF-8.
            let cell = place.map_or("", |place| std::str::from_utf8(self.parser.cell(place)).unwrap_or_default());
            *slot = match place {
                None => Slot::Absent,
                Some(_) if cell.is_empty() || plan.settings.csv.nulls.iter().any(|null| null == cell) => Slot::Null,
                Some(_) => value(cell, column, (plan.settings.timestamp, &plan.settings.csv), scratch)?,
            };
        }
        Ok(())
    }

    /// Finds the cells: one record, of as many as there are names.
    fn split(&mut self, record: &[u8]) -> Result<(), (Reason, String)> {
        self.parser.restart();
        let (mut fed, used) = self.parser.feed(record);
        if fed == Fed::More {
            (fed, _) = self.parser.feed(&[]);
        }
        if fed != Fed::Record {
            return Err((Reason::Malformed, "expected a record, found an empty line".to_owned()));
        }
        let rest = record[used..].trim_ascii();
        if !rest.is_empty() {
            let found = quoted(&String::from_utf8_lossy(rest));
            return Err((Reason::TrailingData, format!("expected one record, found another: `{found}`")));
        }
        let (found, expected) = (self.parser.cells(), self.names.len());
        if found != expected {
            return Err((Reason::Malformed, format!("expected {expected} cells, found {found}")));
        }
        Ok(())
    }
}

/// A cell's value as its column's type.
fn value(
    cell: &str,
    column: &Column,
    (timestamp, settings): (TimestampFormat, &CsvSettings),
    scratch: &mut String,
) -> Result<Slot, (Reason, String)> {
    let refused =
        |reason: Reason, what: &str| Err((reason, format!("`{}`: `{}` is not {what}", column.path, quoted(cell))));
    let trimmed = cell.trim_ascii();
    let number = |text: &str| match (settings.thousands, settings.decimal_comma) {
        (None, false) => number(text),
        (None, true) => comma_number(text),
        (Some(sign), comma) => grouped_number(text, sign, if comma { ',' } else { '.' }),
    };
    match column.kind {
        Kind::Float => match number(trimmed) {
            Some(number) if number.is_finite() => Ok(Slot::Float(number)),
            Some(_) if trimmed.bytes().any(|byte| byte.is_ascii_digit()) => {
                refused(Reason::Overflow, "a number that 64 bits hold")
            }
            Some(_) => refused(Reason::NotFinite, "a finite number"),
            None => refused(Reason::WrongType, column.kind.name()),
        },
        Kind::Int => match (trimmed.parse(), number(trimmed)) {
            (Ok(whole), _) => Ok(Slot::Int(whole)),
            // `5.0` is how others write a column of whole numbers with gaps; beyond 2^53 f64 no longer counts single ones.
            (Err(_), Some(number)) if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 => {
                Ok(Slot::Int(number as i64))
            }
            (Err(_), Some(number)) if number.fract() == 0.0 => {
                refused(Reason::Overflow, "a whole number that 64 bits hold")
            }
            _ => refused(Reason::WrongType, column.kind.name()),
        },
        Kind::Bool if trimmed.eq_ignore_ascii_case("true") || trimmed == "1" => Ok(Slot::Bool(true)),
        Kind::Bool if trimmed.eq_ignore_ascii_case("false") || trimmed == "0" => Ok(Slot::Bool(false)),
        Kind::Bool => refused(Reason::WrongType, column.kind.name()),
        Kind::Time if timestamp != TimestampFormat::Rfc3339 => {
            let whole = trimmed.parse().ok().map(Slot::Int);
            let finite = || number(trimmed).filter(|number| number.is_finite()).map(Slot::Float);
            Ok(whole.or_else(finite).unwrap_or_else(|| text(cell, scratch)))
        }
        Kind::Time => Ok(text(trimmed, scratch)),
        Kind::Text => Ok(text(cell, scratch)),
    }
}

/// A decimal number; `nan` and `inf` count as numbers here.
fn number(text: &str) -> Option<f64> {
    fast_float2::parse(text).ok()
}

/// A number whose decimals stand behind a comma. A point in it could part thousands, or be a number of others: refused.
fn comma_number(text: &str) -> Option<f64> {
    if text.contains('.') { None } else { number(&text.replace(',', ".")) }
}

/// A number whose digits before the decimals may stand in groups of three. Other groups are no number: `1.5` is none of
/// `1.038,4`'s kind.
fn grouped_number(text: &str, thousands: char, decimal: char) -> Option<f64> {
    let (whole, decimals) = text.split_once(decimal).map_or((text, None), |(whole, decimals)| (whole, Some(decimals)));
    if decimals.is_some_and(|decimals| decimals.contains(['.', ',', thousands])) {
        return None;
    }
    let mut groups = whole.trim_start_matches(['-', '+']).split(thousands);
    let grouped = whole.contains(thousands);
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let first = |group: &str| (1..=3).contains(&group.len()) && digits(group);
    if grouped && !(groups.next().is_some_and(first) && groups.all(|group| group.len() == 3 && digits(group))) {
        return None;
    }
    let whole = whole.replace(thousands, "");
    if whole.contains(['.', ',']) {
        return None;
    }
    number(&decimals.map_or(whole.clone(), |decimals| format!("{whole}.{decimals}")))
}

fn text(cell: &str, scratch: &mut String) -> Slot {
    let from = scratch.len();
    scratch.push_str(cell);
    Slot::Unescaped(from, scratch.len())
}
