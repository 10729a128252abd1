//! A file or a topic -> its first rows, as cells by column. Which column is what is not known here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arterial_connectors::file::{EncodingSign, FileFormat, FileRows, FileRowsConfig, FirstLines, first_lines};
use serde_json::Value;

use super::numbers::Numbers;
use crate::spec::PipelinePlan;
use crate::stages::encode::json_lines;

/// Characters that may stand between cells.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// Share of the lines of a table that have as many cells as each other; titles and torn lines do not.
const NEARLY_ALL: f64 = 0.8;

/// Lines in which the one that names the columns is looked for.
const TITLES_MAX: usize = 50;

/// Words that stand for no value, in any case.
const NULLS: [&str; 8] = ["na", "n/a", "nan", "null", "none", "-", "--", "?"];

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Bool,
    /// And how it is written, which is what counts where it is a name.
    Number(f64, String),
    Text(String),
}

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Csv { delimiter: char, numbers: Numbers },
    Json,
    Parquet,
}

/// The first rows of something.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) written: Written,
    /// Names of columns in the order in which they came.
    pub(super) columns: Vec<String>,
    /// Rows of as many cells as there are columns.
    pub(super) rows: Vec<Vec<Cell>>,
    /// The partition of each, of a topic; 0 of a file.
    pub(super) partitions: Vec<i32>,
    /// Words that stood for no value.
    pub(super) nulls: Vec<String>,
    /// The label of the encoding, where it is not UTF-8, and what says so.
    pub(super) encoding: Option<(String, String)>,
}

impl Sample {
    pub(super) fn of_file(pattern: &Path, rows: usize) -> Result<Self> {
        match FileFormat::of(pattern) {
            FileFormat::Parquet => Self::of_parquet(pattern, rows),
            FileFormat::Csv => Self::of_csv(&first_lines(pattern, rows + 1)?)
                .with_context(|| format!("reading `{}` as CSV", pattern.display())),
            FileFormat::Json => {
                let lines = first_lines(pattern, rows)?.lines;
                if lines
                    .iter()
                    .find(|line| !line.trim().is_empty())
                    .is_some_and(|line| line.trim_start().starts_with('['))
                {
                    bail!("`{}` is a JSON array: write one object a line, as `jq -c '.[]'` does", pattern.display());
                }
                Self::of_json(Written::Json, lines.iter().map(|line| (0, line.as_bytes())))
                    .with_context(|| format!("reading `{}` as lines of JSON", pattern.display()))
            }
        }
    }

    #[cfg(feature = "kafka")]
    pub(super) fn of_topic(like: Option<&Arc<PipelinePlan>>, brokers: &str, topic: &str, rows: usize) -> Result<Self> {
        let connection = crate::cli::connection::of(like, brokers, "init")?;
        let values = crate::runtime::first_values(connection, topic, rows)?;
        let values = values.iter().map(|(partition, value)| (*partition, value.as_slice()));
        Self::of_json(Written::Json, values).with_context(|| format!("reading topic `{topic}` as JSON"))
    }

    #[cfg(not(feature = "kafka"))]
    pub(super) fn of_topic(_: Option<&Arc<PipelinePlan>>, _: &str, topic: &str, _: usize) -> Result<Self> {
        bail!("cannot read topic `{topic}`: this program was built without the feature `kafka`")
    }

    fn of_parquet(pattern: &Path, rows: usize) -> Result<Self> {
        let mut lines = Vec::new();
        let mut read = 0;
        for batch in FileRows::open(&FileRowsConfig::new(pattern))? {
            let batch = batch?;
            let batch = batch.slice(0, batch.num_rows().min(rows - read));
            read += batch.num_rows();
            lines.extend(json_lines(&batch)?);
            if read == rows {
                break;
            }
        }
        Self::of_json(Written::Parquet, lines.split(|byte| *byte == b'\n').map(|line| (0, line)))
            .with_context(|| format!("reading `{}`", pattern.display()))
    }

    fn of_csv(first: &FirstLines) -> Result<Self> {
        let lines = &first.lines;
        let Some(header) = lines.first() else { bail!("it is empty: its first line has to name the columns") };
        refuse_titles(lines)?;
        let cells = |delimiter: &char| header.matches(*delimiter).count();
        let delimiter = DELIMITERS.into_iter().rev().max_by_key(cells).unwrap_or(',');
        let text = lines.join("\n");
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter as u8)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let columns: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        refuse_nameless(&columns, lines, delimiter)?;
        if let Some(name) = columns.iter().enumerate().find(|(index, name)| columns[..*index].contains(name)) {
            bail!("its header names column `{}` twice: give one of them another name", name.1);
        }
        let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>()?;
        let of_column = |index| records.iter().filter_map(|record| record.get(index)).collect();
        let cells: Vec<Vec<&str>> = (0..columns.len()).map(of_column).collect();
        let numbers = Numbers::of(&cells, delimiter);
        let written = Written::Csv { delimiter, numbers };
        let encoding = encoding(first);
        let (rows, partitions, nulls) = Default::default();
        let mut sample = Self { written, columns, rows, partitions, nulls, encoding };
        for record in records {
            for null in record.iter().filter(|cell| is_null_word(cell)) {
                if !sample.nulls.iter().any(|known| known == null) {
                    sample.nulls.push(null.to_owned());
                }
            }
            let row = (0..sample.columns.len()).map(|column| cell(record.get(column).unwrap_or_default(), numbers));
            sample.rows.push(row.collect());
            sample.partitions.push(0);
        }
        sample.checked()
    }

    /// Rows that are no objects are left out, as a pipeline would: they are what dead letters are for.
    fn of_json<'a>(written: Written, values: impl Iterator<Item = (i32, &'a [u8])>) -> Result<Self> {
        let mut columns: Vec<String> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut partitions = Vec::new();
        for (partition, value) in values {
            let Ok(Value::Object(object)) = serde_json::from_slice(value) else { continue };
            let mut row = vec![Cell::Null; columns.len()];
            flatten("", &Value::Object(object), &mut |path, cell| {
                let place = *places.entry(path.to_owned()).or_insert_with(|| {
                    columns.push(path.to_owned());
                    columns.len() - 1
                });
                row.resize(columns.len(), Cell::Null);
                row[place] = cell;
            });
            rows.push(row);
            partitions.push(partition);
        }
        rows.iter_mut().for_each(|row| row.resize(columns.len(), Cell::Null));
        Self { written, columns, rows, partitions, nulls: Vec::new(), encoding: None }.checked()
    }

    fn checked(self) -> Result<Self> {
        if self.rows.is_empty() {
            bail!("no row could be read");
        }
        Ok(self)
    }
}

/// Refuses a header with columns that have no name: where a spreadsheet has titles above it, its rows are all as long.
fn refuse_nameless(columns: &[String], lines: &[String], delimiter: char) -> Result<()> {
    let nameless = columns.iter().filter(|name| name.is_empty()).count();
    if nameless < 2 {
        return Ok(());
    }
    let named = |line: &&String| line.split(delimiter).all(|cell| !cell.trim_matches([' ', '"', '\r']).is_empty());
    let header = lines.iter().take(TITLES_MAX).position(|line| named(&line));
    match header {
        Some(line) => bail!(
            "{nameless} columns of its first line have no name: if titles stand above the line that names them, take them away \
             (`tail -n +{}`)",
            line + 1
        ),
        None => bail!("{nameless} columns of its first line have no name: give each one, or take those columns away"),
    }
}

/// Refuses lines above the one that names the columns: nearly all lines have the same number of cells, and the first has fewer.
fn refuse_titles(lines: &[String]) -> Result<()> {
    let filled = || lines.iter().filter(|line| !line.trim().is_empty());
    let cells = |line: &str, delimiter: char| line.matches(delimiter).count() + 1;
    // As most lines have, for each delimiter that nearly all agree on.
    let agreed = DELIMITERS.into_iter().filter_map(|delimiter| {
        let mut counts: Vec<usize> = filled().map(|line| cells(line, delimiter)).collect();
        counts.sort_unstable();
        let usual = counts.get(counts.len() / 2).copied().filter(|usual| *usual > 1)?;
        let same = counts.iter().filter(|count| **count == usual).count();
        (same as f64 >= NEARLY_ALL * counts.len() as f64).then_some((delimiter, usual))
    });
    let Some(first) = filled().next() else { return Ok(()) };
    if { agreed.clone() }.any(|(delimiter, usual)| cells(first, delimiter) == usual) {
        return Ok(());
    }
    let Some((delimiter, usual)) = agreed.max_by_key(|(_, usual)| *usual) else { return Ok(()) };
    let (found, header) = (cells(first, delimiter), lines.iter().position(|line| cells(line, delimiter) == usual));
    if 2 * found > usual {
        return Ok(());
    }
    bail!(
        "its first line has {found} of {usual} cells, so it does not name the columns: if titles stand above the line that does, \
         take them away (`tail -n +{}`)",
        header.unwrap_or(0) + 1
    )
}

/// The encoding, and what says so, of what is not UTF-8.
fn encoding(first: &FirstLines) -> Option<(String, String)> {
    let why = match first.sign? {
        EncodingSign::Mark => "its first bytes say so".to_owned(),
        EncodingSign::ZeroBytes => "every other byte of its first line is zero".to_owned(),
        EncodingSign::Line(line) => format!(
            "line {line} is not UTF-8. Excel writes this one in Western Europe: where letters come out wrong, try \
             windows-1250 (Central Europe) or another"
        ),
    };
    Some((first.encoding.label(), why))
}

/// A cell of delimited text is what it looks like. Zeros in front make a name of what looks like a number.
fn cell(text: &str, numbers: Numbers) -> Cell {
    let named = text.len() > 1
        && text.starts_with('0')
        && !text.starts_with("0.")
        && !(numbers.decimal_comma && text.starts_with("0,"));
    match numbers.read(text) {
        _ if text.is_empty() || is_null_word(text) => Cell::Null,
        Some(number) if !named => Cell::Number(number, text.to_owned()),
        _ => Cell::Text(text.to_owned()),
    }
}

fn is_null_word(text: &str) -> bool {
    NULLS.contains(&text.to_ascii_lowercase().as_str())
}

/// The values of an object and of the objects in it, by their path. Lists, and names that a path cannot hold, are left out.
fn flatten(path: &str, value: &Value, take: &mut dyn FnMut(&str, Cell)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !name.is_empty() && !name.contains('.')) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, take);
            }
        }
        Value::Array(_) => {}
        Value::Null => take(path, Cell::Null),
        Value::Bool(_) => take(path, Cell::Bool),
        Value::Number(number) => {
            take(path, number.as_f64().map_or(Cell::Null, |value| Cell::Number(value, number.to_string())));
        }
        Value::String(text) => take(path, Cell::Text(text.clone())),
    }
}
