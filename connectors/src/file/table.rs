//! Files of delimited text -> records of named cells. The header names them; a wide table gives a record per reading, and
//! a table without times gets them from the number of the row.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};

use super::encoding::TextEncoding;
use super::recognise::{declare, no_line};
use super::rows::{no_column, unreadable};
use super::text::{RECORD_BYTES_MAX, TextFile};
use crate::csv::{CsvDialect, CsvParser, Fed};
use crate::source::SourceError;

/// Most lines of one record. Cells of several lines are rare in tables of readings; a quote that nobody closes takes all
/// lines up to the next one.
const RECORD_LINES_MAX: i64 = 100;

/// What text looks like that is written with the line ends of another time.
pub(super) const LONE_RETURNS: &str =
    "ends its lines with carriage returns alone; convert it: `tr '\\r' '\\n' < OLD > NEW`";

/// How tables of delimited text are laid out.
#[derive(Debug, Clone, Default)]
pub struct TableLayout {
    /// How characters are written.
    pub encoding: TextEncoding,
    /// How cells are told apart.
    pub dialect: CsvDialect,
    /// Names of the columns, of files without a header.
    pub header: Option<Vec<String>>,
    /// Cells that are no reading, beside empty ones. Looked at where a wide table is unpivoted.
    pub nulls: Vec<String>,
    /// A wide table: a column for every key.
    pub unpivot: Option<Unpivot>,
    /// Times of a table without any.
    pub clock: Option<TableClock>,
    /// Cells that are put together of others, by the column that gets them: a date and a time of day.
    pub join: BTreeMap<String, Vec<String>>,
    /// Cells that every record gets, by column.
    pub add: BTreeMap<String, String>,
    /// Columns that records must have in the end.
    pub required: Vec<String>,
}

/// Columns of a wide table -> two columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpivot {
    /// Gets the names of the columns.
    pub column: String,
    /// Gets their cells; empty ones give no record.
    pub value: String,
    /// Columns that stay as they are; the required ones that the header has, unless given.
    pub keep: Option<Vec<String>>,
}

/// Times that count the rows of all files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableClock {
    /// Gets the time, as RFC 3339.
    pub column: String,
    /// Time of the first row, microseconds since 1970 UTC.
    pub start_micros: i64,
    /// Between two rows, microseconds.
    pub step_micros: i64,
}

/// A reader of one table after the other.
pub(super) struct Table {
    layout: TableLayout,
    /// The column whose cell is the partition key.
    key: String,
    parser: CsvParser,
    line: Vec<u8>,
    header: Header,
    /// Whether the line goes on behind the last record.
    trailing: bool,
    /// Rows that were read of this file and those before it.
    pub(super) rows: i64,
}

/// What a file's header comes to.
#[derive(Default)]
struct Header {
    names: Vec<String>,
    /// Names of the cells of a record.
    cells: Arc<[String]>,
    /// Columns that stay as they are.
    kept: Vec<usize>,
    /// Columns that are unpivoted.
    wide: Vec<usize>,
    /// Of each cell that is put together, the columns of its parts.
    joined: Vec<Vec<usize>>,
    /// Which cell of a row is the key, where that is one.
    key: Option<usize>,
}

/// Takes a record: line, key, text.
pub(super) type Take<'a> = dyn FnMut(i64, Option<&str>, &[u8]) + 'a;

impl Table {
    pub(super) fn new(layout: TableLayout, key: &str) -> Self {
        let parser = CsvParser::new(layout.dialect);
        Self {
            layout,
            key: key.to_owned(),
            parser,
            line: Vec::new(),
            header: Header::default(),
            trailing: false,
            rows: 0,
        }
    }

    /// How characters are written in the files.
    pub(super) fn encoding(&self) -> TextEncoding {
        self.layout.encoding
    }

    /// Reads the header of a file that was just opened, and looks whether everything is there.
    pub(super) fn open(&mut self, file: &mut TextFile) -> Result<(), SourceError> {
        let names = match &self.layout.header {
            Some(names) => names.clone(),
            None => {
                let mut record = Vec::new();
                let Some(_) = self.next_record(file, &mut record)? else {
                    return Err(unreadable(file.path(), "is empty; its first line has to name the columns"));
                };
                if let Some(reason) = no_line(&record).or_else(|| misread(file, &record)) {
                    return Err(unreadable(file.path(), reason));
                }
                if self.trailing {
                    return Err(unreadable(file.path(), LONE_RETURNS));
                }
                let name = |index| String::from_utf8_lossy(self.parser.cell(index)).trim().to_owned();
                (0..self.parser.cells()).map(name).collect()
            }
        };
        self.header = self.layout.apply(names, &self.key, file.path())?;
        Ok(())
    }

    /// Names of the cells of the records of this file.
    pub(super) fn cells(&self) -> &Arc<[String]> {
        &self.header.cells
    }

    /// Gives the records of the next row; false at the end of the file.
    pub(super) fn next_row(
        &mut self,
        file: &mut TextFile,
        record: &mut Vec<u8>,
        take: &mut Take<'_>,
    ) -> Result<bool, SourceError> {
        let Some(line) = self.next_record(file, record)? else { return Ok(false) };
        let row = self.rows;
        self.rows += 1;
        if self.layout.is_plain() {
            let key = self.header.key.map(|key| self.parser.cell(key)).filter(|key| !key.is_empty());
            take(line, key.and_then(|key| std::str::from_utf8(key).ok()), record);
            return Ok(true);
        }
        if self.parser.cells() == self.header.names.len() && !self.trailing {
            self.give(row, line, record, take);
        } else {
            self.give_ragged(line, record, take);
        }
        Ok(true)
    }

    fn give(&self, row: i64, line: i64, record: &mut Vec<u8>, take: &mut Take<'_>) {
        record.clear();
        let dialect = self.layout.dialect;
        for index in &self.header.kept {
            put(record, self.parser.cell(*index), dialect);
        }
        if let Some(clock) = &self.layout.clock {
            put(record, clock.time(row).as_bytes(), dialect);
        }
        for parts in &self.header.joined {
            put(record, &self.joined(parts), dialect);
        }
        for cell in self.layout.add.values() {
            put(record, cell.as_bytes(), dialect);
        }
        let own = self.header.key.map(|key| self.parser.cell(key)).and_then(|key| std::str::from_utf8(key).ok());
        let key = own.or(self.layout.add.get(&self.key).map(String::as_str));
        let Some(unpivot) = &self.layout.unpivot else {
            record.pop();
            return take(line, key, record);
        };
        let shared = record.len();
        for index in &self.header.wide {
            let (name, cell) = (&self.header.names[*index], self.parser.cell(*index).trim_ascii());
            if self.is_null(cell) {
                continue;
            }
            record.truncate(shared);
            put(record, name.as_bytes(), dialect);
            put(record, cell, dialect);
            record.pop();
            take(line, if unpivot.column == self.key { Some(name) } else { key }, record);
        }
    }

    /// Cells with a blank between them; empty where one of them is no value: half of a time is none.
    fn joined(&self, parts: &[usize]) -> Vec<u8> {
        let cells: Vec<&[u8]> = parts.iter().map(|index| self.parser.cell(*index).trim_ascii()).collect();
        if cells.iter().any(|cell| self.is_null(cell)) { Vec::new() } else { cells.join(&b' ') }
    }

    fn is_null(&self, cell: &[u8]) -> bool {
        cell.is_empty() || self.layout.nulls.iter().any(|null| null.as_bytes() == cell)
    }

    /// A row with more or fewer cells than the header has goes on as it is, for a dead letter: which of its cells are whose
    /// nobody knows. Where it has as many as a record by chance, one more tells it apart.
    fn give_ragged(&self, line: i64, record: &mut Vec<u8>, take: &mut Take<'_>) {
        if self.parser.cells() == self.header.cells.len() {
            record.push(self.layout.dialect.delimiter);
        }
        take(line, None, record);
    }

    /// The next record and the line that it begins on; its cells are in the parser. Quoted ends of line are part of it.
    fn next_record(&mut self, file: &mut TextFile, record: &mut Vec<u8>) -> Result<Option<i64>, SourceError> {
        record.clear();
        self.parser.restart();
        self.trailing = false;
        let mut begun = None;
        while let Some(number) = file.next_line(&mut self.line)? {
            if begun.is_none() && self.line.trim_ascii().is_empty() {
                continue;
            }
            if begun.is_some() {
                record.push(b'\n');
            }
            let first = *begun.get_or_insert(number);
            if number - first >= RECORD_LINES_MAX {
                let reason = format!(
                    "line {first} opens a quote that is still open {RECORD_LINES_MAX} lines later, and would take all of them for one cell; \
                     close or remove it, or name the character that stands around cells: `decode: {{ quote: ... }}`"
                );
                return Err(unreadable(file.path(), reason));
            }
            record.extend_from_slice(&self.line);
            if record.len() > RECORD_BYTES_MAX {
                return Err(file.too_long(first));
            }
            // An empty piece would be the end of the text. A carriage return within a line ends a record, too: what
            // follows it belongs to no row.
            if !self.line.is_empty() && self.parser.feed(&self.line).0 == Fed::Record {
                self.trailing = true;
                return Ok(begun);
            }
            if self.parser.feed(b"\n").0 == Fed::Record {
                return Ok(begun);
            }
        }
        // What follows the quote may be rows, or text: only the file's owner knows.
        begun.map_or(Ok(None), |first| {
            let reason = format!("line {first} opens a quote that is never closed; close or remove it");
            Err(unreadable(file.path(), reason))
        })
    }
}

/// Why a header cannot be read in the encoding of its file: names of columns would be wrong, and every row with them.
fn misread(file: &TextFile, header: &[u8]) -> Option<String> {
    let valid = std::str::from_utf8(header).err()?.valid_up_to();
    let before = String::from_utf8_lossy(&header[..valid]);
    let label = file.encoding().label();
    let remedy = declare(TextEncoding::WINDOWS_1252);
    Some(format!(
        "is not {label}: its header is no such text behind `{before}`; where it is an Excel `CSV` of Western Europe, {remedy}"
    ))
}

impl TableLayout {
    /// Whether records are the rows of the file.
    fn is_plain(&self) -> bool {
        self.unpivot.is_none() && self.clock.is_none() && self.join.is_empty() && self.add.is_empty()
    }

    fn apply(&self, names: Vec<String>, key: &str, path: &Path) -> Result<Header, SourceError> {
        if let Some(name) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
            return Err(unreadable(path, format!("names column `{}` twice in its header", name.1)));
        }
        let place = |name: &str| names.iter().position(|known| known == name);
        let (mut kept, mut wide): (Vec<usize>, Vec<usize>) = ((0..names.len()).collect(), Vec::new());
        if let Some(unpivot) = &self.unpivot {
            let keep = unpivot.keep.as_ref().unwrap_or(&self.required);
            if let Some(missing) = unpivot.keep.iter().flatten().find(|name| place(name).is_none()) {
                return Err(no_column(path, missing, names.iter().map(String::as_str)));
            }
            (kept, wide) = kept.iter().partition(|index| keep.contains(&names[**index]));
            wide.retain(|index| !self.join.values().flatten().any(|part| *part == names[*index]));
        }
        let joined: Option<Vec<Vec<usize>>> =
            self.join.values().map(|parts| parts.iter().map(|part| place(part)).collect()).collect();
        let Some(joined) = joined else {
            let missing = self.join.values().flatten().find(|part| place(part).is_none());
            return Err(no_column(path, missing.map_or("", String::as_str), names.iter().map(String::as_str)));
        };
        let mut cells: Vec<String> = kept.iter().map(|index| names[*index].clone()).collect();
        cells.extend(self.clock.iter().map(|clock| clock.column.clone()));
        cells.extend(self.join.keys().cloned());
        cells.extend(self.add.keys().cloned());
        cells.extend(self.unpivot.iter().flat_map(|unpivot| [unpivot.column.clone(), unpivot.value.clone()]));
        if let Some((_, name)) = cells.iter().enumerate().find(|(index, name)| cells[..*index].contains(name)) {
            let reason =
                format!("has a column `{name}` of its own, which `csv` would add; leave it out of one of them");
            return Err(unreadable(path, reason));
        }
        if let Some(missing) = self.required.iter().find(|name| !cells.contains(name)) {
            return Err(no_column(path, missing, cells.iter().map(String::as_str)));
        }
        Ok(Header { cells: cells.into(), kept, wide, joined, key: place(key), names })
    }
}

impl TableClock {
    fn time(&self, row: i64) -> String {
        let micros = self.start_micros.saturating_add(self.step_micros.saturating_mul(row));
        // Beyond the years that a calendar has, the decoder refuses the text.
        DateTime::from_timestamp_micros(micros)
            .map_or_else(|| micros.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

/// Appends a cell and a delimiter.
fn put(record: &mut Vec<u8>, cell: &[u8], dialect: CsvDialect) {
    let quoted = cell.iter().any(|byte| [dialect.delimiter, dialect.quote, b'\n', b'\r'].contains(byte));
    if quoted {
        record.push(dialect.quote);
        for byte in cell {
            if *byte == dialect.quote {
                record.push(dialect.quote);
            }
            record.push(*byte);
        }
        record.push(dialect.quote);
    } else {
        record.extend_from_slice(cell);
    }
    record.push(dialect.delimiter);
}
