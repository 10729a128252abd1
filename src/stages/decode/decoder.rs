//! One batch of one partition -> typed rows and rejected rows.

use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arterial_connectors::payload::{Payload, RawRows};

use super::builders::ColumnBuilder;
use super::csv::CsvCells;
use super::plan::{DecodePlan, Kind};
use super::scanner::{Refusal, Scanner, Slot, Spot};
use super::settings::{Format, TimestampFormat};
use super::shape::Shapes;
use super::timestamp::{TimeReader, in_calendar};
use super::typed::decode_typed;
use crate::stages::rows::{Reason, RejectStage, Rejected, Rows};

/// Characters of a payload that a rejection quotes.
const QUOTED_MAX: usize = 40;

/// What a batch was.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Rows that could be read.
    pub rows: Rows,
    /// Rows that could not.
    pub rejected: Vec<Rejected>,
    /// Records without a value, by their index in the batch.
    pub tombstones: Vec<u32>,
}

/// Why a whole batch cannot be decoded: typed rows of another schema.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A column that the schema requires is not in the file or batch.
    #[error("the rows have no column `{path}`, which schema column `{column}` is read from; they have {found}")]
    MissingColumn {
        /// The schema's column.
        column: String,
        /// The name looked for.
        path: String,
        /// What there is.
        found: String,
    },
    /// A column of a type that cannot become the schema's.
    #[error("column `{path}` is {found} and cannot become {wanted}")]
    WrongType {
        /// The column.
        path: String,
        /// Its type.
        found: String,
        /// The schema's type.
        wanted: &'static str,
    },
    /// Arrow refused to put columns together: a defect.
    #[error("decoded columns do not fit their schema: {0}")]
    Arrow(#[from] ArrowError),
}

/// Decodes the batches of one partition. Keeps scratch memory, no state.
pub struct Decoder {
    plan: Arc<DecodePlan>,
    kinds: Vec<Kind>,
    times: TimeReader,
    slots: Vec<Slot>,
    scratch: String,
    shapes: Shapes,
    spots: Vec<Spot>,
    /// For payloads of delimited text.
    cells: CsvCells,
}

impl Decoder {
    /// A decoder of this plan.
    #[must_use]
    pub fn new(plan: Arc<DecodePlan>) -> Self {
        let kinds: Vec<Kind> = plan.columns.iter().map(|column| column.kind).collect();
        let times = TimeReader::of_format(plan.settings.zone, plan.settings.timestamp_format.clone());
        let slots = vec![Slot::Absent; kinds.len() + plan.objects];
        let cells = CsvCells::new(plan.settings.csv.dialect);
        Self { slots, kinds, times, plan, scratch: String::new(), shapes: Shapes::new(), spots: Vec::new(), cells }
    }

    /// Decodes one batch.
    ///
    /// # Errors
    /// [`DecodeError`] where typed rows do not have the schema's columns; bad messages are values, not errors.
    pub fn decode(&mut self, payload: &Payload) -> Result<Decoded, DecodeError> {
        match payload {
            Payload::Raw(rows) => self.decode_raw(rows),
            Payload::Typed { rows, .. } => decode_typed(&self.plan, &mut self.times, rows),
        }
    }

    /// Whether typed rows have the columns that the plan reads, whatever their values.
    ///
    /// # Errors
    /// [`DecodeError`] names the first column that is missing or of a type that cannot become the schema's.
    pub fn check(&mut self, rows: &RecordBatch) -> Result<(), DecodeError> {
        decode_typed(&self.plan, &mut self.times, &rows.slice(0, 0)).map(drop)
    }

    fn decode_raw(&mut self, raw: &RawRows) -> Result<Decoded, DecodeError> {
        let mut builders: Vec<ColumnBuilder> =
            self.kinds.iter().map(|kind| ColumnBuilder::new(*kind, raw.len())).collect();
        let mut decoded = Decoded {
            rows: Rows {
                batch: RecordBatch::new_empty(Arc::clone(self.plan.schema())),
                origin: Vec::with_capacity(raw.len()),
                times: Vec::with_capacity(raw.len()),
            },
            rejected: Vec::new(),
            tombstones: Vec::new(),
        };
        let format = self.format_of(raw);
        for index in 0..raw.len() {
            let origin = index as u32;
            let Some(value) = raw.value(index) else {
                decoded.tombstones.push(origin);
                continue;
            };
            match self.row(value, format, || raw.broker_ts_ms(index)) {
                Ok(time) => {
                    for (builder, slot) in builders.iter_mut().zip(&self.slots) {
                        builder.push(slot, value, self.scratch.as_bytes());
                    }
                    decoded.rows.origin.push(origin);
                    decoded.rows.times.push(time);
                }
                Err((reason, detail)) => {
                    decoded.rejected.push(Rejected { origin, stage: RejectStage::Decode, reason, detail });
                }
            }
        }
        let columns = builders.iter_mut().map(ColumnBuilder::finish).collect::<Result<_, _>>()?;
        decoded.rows.batch = RecordBatch::try_new(Arc::clone(self.plan.schema()), columns)?;
        Ok(decoded)
    }

    /// The format of a batch: a file of delimited text brings its header along, whatever is declared.
    fn format_of(&mut self, raw: &RawRows) -> Format {
        let declared = self.plan.csv_columns.as_ref().filter(|_| self.plan.settings.format == Format::Csv);
        let Some(names) = raw.columns().or(declared) else { return Format::Json };
        self.cells.lay_out(names, &self.plan.columns, raw.columns().is_some());
        Format::Csv
    }

    /// Reads one payload into the slots; returns its event time.
    fn row(
        &mut self,
        value: &[u8],
        format: Format,
        arrival_ms: impl FnOnce() -> Option<i64>,
    ) -> Result<i64, (Reason, String)> {
        let max_bytes = self.plan.settings.max_bytes;
        if value.len() > max_bytes {
            return Err((Reason::TooLarge, format!("{} bytes, the limit is {max_bytes}", value.len())));
        }
        match format {
            Format::Csv => self.cells.read(value, &self.plan, &mut self.slots, &mut self.scratch)?,
            Format::Json if self.shapes.read(value, &mut self.slots) => {}
            Format::Json => self.scan(value)?,
        }
        self.check_columns(value)?;
        let Slot::Int(time) = self.slots[self.plan.event_time] else {
            let column = &self.plan.columns[self.plan.event_time].path;
            return Err((Reason::MissingColumn, format!("`{column}` is absent or null")));
        };
        if let Some(detail) = self.plan.beyond_latest(time) {
            return Err((Reason::FutureTimestamp, detail));
        }
        if let Some(skew) = self.plan.settings.future_skew
            && let Some(arrival_ms) = arrival_ms()
            && time > arrival_ms.saturating_mul(1_000).saturating_add(skew)
        {
            let time = crate::vocab::EventTime(time);
            let arrival = crate::vocab::EventTime(arrival_ms.saturating_mul(1_000));
            let column = &self.plan.columns[self.plan.event_time].path;
            let detail = format!("`{column}`: {time} lies more than {skew} us ahead of its arrival {arrival}");
            return Err((Reason::FutureTimestamp, detail));
        }
        Ok(time)
    }

    /// Reads a payload of a shape not seen lately.
    fn scan(&mut self, value: &[u8]) -> Result<(), (Reason, String)> {
        let text = std::str::from_utf8(value)
            .map_err(|error| (Reason::InvalidUtf8, format!("not UTF-8 from byte {}", error.valid_up_to())))?;
        self.slots.fill(Slot::Absent);
        self.scratch.clear();
        let mut scanner =
            Scanner::new(text, self.plan.settings.max_depth, &self.kinds, &mut self.slots, &mut self.scratch);
        let curious = self.shapes.curious();
        if curious {
            self.spots.clear();
            scanner = scanner.noting(&mut self.spots);
        }
        scanner.scan(&self.plan.root).map_err(|refusal| (refusal.reason, quote(text, refusal)))?;
        if curious {
            self.shapes.learn(value, &self.spots, &self.kinds);
        }
        Ok(())
    }

    /// Required columns must be there; times become microseconds.
    fn check_columns(&mut self, text: &[u8]) -> Result<(), (Reason, String)> {
        for (index, column) in self.plan.columns.iter().enumerate() {
            // Looked at where it is: a copy would wait for what was just written.
            if matches!(self.slots[index], Slot::Absent | Slot::Null) {
                if !column.nullable {
                    return Err((Reason::MissingColumn, format!("`{}` is absent or null", column.path)));
                }
                continue;
            }
            if column.kind == Kind::Time {
                let slot = self.slots[index];
                let format = self.plan.settings.timestamp;
                let written = written(slot, text, self.scratch.as_bytes());
                let micros = match (written, format) {
                    (Some(written), TimestampFormat::Rfc3339) => self.times.read(written),
                    _ => epoch_micros(slot, format),
                };
                let Some(micros) = micros.filter(in_calendar) else {
                    let written = written.map(String::from_utf8_lossy);
                    let problem = self.times.problem(written.as_deref(), format);
                    let detail = format!("`{}`: {} {problem}", column.path, shown(slot, written.as_deref()));
                    return Err((Reason::BadTimestamp, detail));
                };
                self.slots[index] = Slot::Int(micros);
            }
        }
        Ok(())
    }
}

/// A number as microseconds; a fraction is rounded to the nearest one.
fn epoch_micros(slot: Slot, format: TimestampFormat) -> Option<i64> {
    let unit = match format {
        TimestampFormat::EpochS => 1_000_000,
        TimestampFormat::EpochMs => 1_000,
        TimestampFormat::EpochUs => 1,
        TimestampFormat::Rfc3339 => return None,
    };
    match slot {
        Slot::Int(number) => number.checked_mul(unit),
        Slot::Float(number) => {
            let micros = (number * unit as f64).round();
            // 2^53 microseconds reach the year 2255; beyond, f64 no longer counts single ones.
            (micros.abs() < 9_007_199_254_740_992.0).then_some(micros as i64)
        }
        _ => None,
    }
}

/// The place of a refusal and the text that stands there, cut short.
fn quote(text: &str, refusal: Refusal) -> String {
    let from = (0..=refusal.at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let found = quoted(&text[from..]);
    if found.is_empty() {
        return format!("expected {} at byte {}, found the end", refusal.what, refusal.at);
    }
    format!("expected {} at byte {}, found `{}`", refusal.what, refusal.at, found)
}

/// Text for people, cut short: what cannot be seen is escaped, quotes and backslashes stay as they were sent.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars().take(QUOTED_MAX) {
        if matches!(letter, '"' | '\'' | '\\') {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_debug());
        }
    }
    shown
}

/// The text of a slot that holds text.
fn written<'a>(slot: Slot, text: &'a [u8], scratch: &'a [u8]) -> Option<&'a [u8]> {
    match slot {
        Slot::Text(from, to) => Some(&text[from..to]),
        Slot::Unescaped(from, to) => Some(&scratch[from..to]),
        _ => None,
    }
}

/// A time's value for people, cut short where it is text.
fn shown(slot: Slot, written: Option<&str>) -> String {
    match (slot, written) {
        (_, Some(text)) => format!("`{}`", quoted(text)),
        (Slot::Int(number), _) => number.to_string(),
        (Slot::Float(number), _) => number.to_string(),
        _ => "null".to_owned(),
    }
}
