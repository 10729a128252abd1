//! Rows that already have types (Parquet, embedders) -> rows of the schema: columns by name, cast where nothing is lost.
//!
//! A row with a value that cannot be cast is rejected, as it is in a message, and so is one with NaN or an infinity:
//! no message can hold them, and one of them in a mean that is carried on would stay in it for good.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, TimestampMicrosecondArray};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch, nullif};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;

use super::decoder::{DecodeError, Decoded};
use super::plan::{Column, DecodePlan, Kind};
use super::settings::TimestampFormat;
use super::timestamp::{TimeReader, in_calendar};
use crate::stages::rows::{Reason, RejectStage, Rejected, Rows};

/// A value that cannot be cast becomes null; [`reject`] finds it, because it was none before.
const CAST: CastOptions<'static> =
    CastOptions { safe: true, format_options: arrow::util::display::FormatOptions::new() };

/// Decodes one batch of typed rows.
pub(super) fn decode_typed(
    plan: &DecodePlan,
    times: &mut TimeReader,
    rows: &RecordBatch,
) -> Result<Decoded, DecodeError> {
    let columns: Vec<ArrayRef> =
        plan.columns.iter().map(|column| typed_column(plan, times, rows, column)).collect::<Result<_, _>>()?;
    let mut rejected = Vec::new();
    let mut keep = vec![true; rows.num_rows()];
    for (index, (column, values)) in plan.columns.iter().zip(&columns).enumerate() {
        let given = rows.column_by_name(&column.path);
        let required = !column.nullable || index == plan.event_time;
        let nulls = given.and_then(Array::logical_nulls);
        for row in (0..rows.num_rows()).filter(|row| values.is_null(*row)) {
            let given = given.filter(|_| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)));
            if (required || given.is_some()) && std::mem::take(&mut keep[row]) {
                let (reason, detail) = reject(plan, times, column, given, row);
                rejected.push(Rejected { origin: row as u32, stage: RejectStage::Decode, reason, detail });
            }
        }
    }
    let times = columns[plan.event_time].as_primitive::<TimestampMicrosecondType>();
    for (row, keep) in keep.iter_mut().enumerate() {
        if let Some(detail) = plan.beyond_latest(times.value(row)).filter(|_| *keep) {
            *keep = false;
            let (origin, reason) = (row as u32, Reason::FutureTimestamp);
            rejected.push(Rejected { origin, stage: RejectStage::Decode, reason, detail });
        }
    }
    rejected.sort_by_key(|rejected| rejected.origin);
    let nullable = Arc::new(arrow::datatypes::Schema::new(
        plan.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
    ));
    let all = RecordBatch::try_new(nullable, columns)?;
    let kept = filter_record_batch(&all, &BooleanArray::from(keep.clone()))?;
    let batch = RecordBatch::try_new(Arc::clone(plan.schema()), kept.columns().to_vec())?;
    let event_times = batch.column(plan.event_time).as_primitive::<TimestampMicrosecondType>();
    let rows = Rows {
        times: event_times.values().to_vec(),
        origin: (0..keep.len()).filter(|row| keep[*row]).map(|row| row as u32).collect(),
        batch,
    };
    Ok(Decoded { rows, rejected, tombstones: Vec::new() })
}

/// Why a row without a value in `column` is rejected. `given`: the column as it came, where it has a value in this row.
fn reject(
    plan: &DecodePlan,
    times: &mut TimeReader,
    column: &Column,
    given: Option<&ArrayRef>,
    row: usize,
) -> (Reason, String) {
    let Some(given) = given else {
        return (Reason::MissingColumn, format!("`{}` is absent or null", column.path));
    };
    // A value that cannot even be shown is named by its type.
    let shown = array_value_to_string(given, row).unwrap_or_else(|_| given.data_type().to_string());
    if column.kind == Kind::Float && shown.parse::<f64>().is_ok() {
        return (Reason::NotFinite, format!("`{}`: `{shown}` is not a finite number", column.path));
    }
    if column.kind != Kind::Time {
        return (Reason::WrongType, format!("`{}`: `{shown}` is not {}", column.path, column.kind.name()));
    }
    let problem = if given.data_type().is_integer() {
        times.problem(None, plan.settings.timestamp)
    } else {
        times.problem(Some(&shown), TimestampFormat::Rfc3339)
    };
    (Reason::BadTimestamp, format!("`{}`: `{shown}` {problem}", column.path))
}

fn typed_column(
    plan: &DecodePlan,
    times: &mut TimeReader,
    rows: &RecordBatch,
    column: &Column,
) -> Result<ArrayRef, DecodeError> {
    let Some(values) = rows.column_by_name(&column.path) else {
        if column.nullable {
            return Ok(arrow::array::new_null_array(&data_type(column.kind), rows.num_rows()));
        }
        let schema = rows.schema();
        let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        return Err(DecodeError::MissingColumn {
            column: column.name.clone(),
            path: column.path.clone(),
            found: found.join(", "),
        });
    };
    if column.kind == Kind::Time {
        return time_column(plan, times, values, column);
    }
    let cast = cast_with_options(values, &data_type(column.kind), &CAST).map_err(|_| wrong_type(column, values))?;
    let may_have_fraction = values.data_type().is_floating() || values.data_type().is_decimal();
    if column.kind == Kind::Int && may_have_fraction {
        let back = cast_with_options(&cast, values.data_type(), &CAST)?;
        return Ok(nullif(&cast, &distinct(&back, values)?)?);
    }
    if column.kind == Kind::Float {
        return finite(cast);
    }
    Ok(cast)
}

/// The numbers, with null for those that are not finite.
fn finite(numbers: ArrayRef) -> Result<ArrayRef, DecodeError> {
    let floats = numbers.as_primitive::<Float64Type>();
    // The quick look first: there are mostly none. What stands under a null counts for nothing, but may be anything.
    if floats.values().iter().all(|value| value.is_finite()) {
        return Ok(numbers);
    }
    let infinite: BooleanArray = floats.iter().map(|value| value.map(|value| !value.is_finite())).collect();
    Ok(nullif(&numbers, &infinite)?)
}

/// Times with a zone are instants; times without are local to the declared zone; numbers are as `timestamp` says.
fn time_column(
    plan: &DecodePlan,
    times: &mut TimeReader,
    values: &ArrayRef,
    column: &Column,
) -> Result<ArrayRef, DecodeError> {
    let to_micros = |data_type: DataType| cast_with_options(values, &data_type, &CAST);
    let micros: Int64Array = match values.data_type() {
        DataType::Timestamp(_, zone) => {
            let cast = to_micros(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
                .map_err(|_| wrong_type(column, values))?;
            let instants = cast.as_primitive::<TimestampMicrosecondType>();
            let local = zone.is_none();
            instants.iter().map(|time| if local { times.local(time?) } else { time }).collect()
        }
        data_type if data_type.is_integer() => {
            let unit = match plan.settings.timestamp {
                TimestampFormat::EpochS => 1_000_000,
                TimestampFormat::EpochMs => 1_000,
                TimestampFormat::EpochUs => 1,
                TimestampFormat::Rfc3339 => return Err(wrong_type(column, values)),
            };
            let numbers = to_micros(DataType::Int64)?;
            numbers.as_primitive::<Int64Type>().iter().map(|number| number?.checked_mul(unit)).collect()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = to_micros(DataType::Utf8)?;
            text.as_string::<i32>().iter().map(|text| times.read(text?.as_bytes())).collect()
        }
        _ => return Err(wrong_type(column, values)),
    };
    let micros = micros.iter().map(|micros| micros.filter(in_calendar));
    Ok(Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC")))
}

fn wrong_type(column: &Column, values: &ArrayRef) -> DecodeError {
    DecodeError::WrongType {
        path: column.path.clone(),
        found: values.data_type().to_string(),
        wanted: column.kind.name(),
    }
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Float => DataType::Float64,
        Kind::Int => DataType::Int64,
        Kind::Bool => DataType::Boolean,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}
