//! Rows -> rows whose numbers lie within physical limits; what lies outside becomes null, the nearest limit, a
//! filtered row or a dead letter. Null lies inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::kernels::arity::unary;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;

use super::cleaner::{CleanError, Working};
use super::columns::UNIT_CHANGED;
use super::plan::{Scope, Step, Stepped};
use super::{CleanPlanError, Limits, Otherwise};
use crate::stages::rows::Reason;
use crate::vocab::YamlPath;

/// Limits of columns.
#[derive(Debug)]
pub(super) struct Range {
    columns: Vec<Bounded>,
    otherwise: Otherwise,
    schema: SchemaRef,
}

/// A column and its limits, infinite where there is none.
#[derive(Debug)]
struct Bounded {
    index: usize,
    name: Arc<str>,
    minimum: f64,
    maximum: f64,
}

/// Checks the limits of one step.
pub(super) fn plan_range(
    scope: &mut Scope<'_>,
    path: &YamlPath,
    columns: &BTreeMap<String, Limits>,
    otherwise: Otherwise,
) -> Stepped {
    let mut bounded = Vec::new();
    let mut fields = scope.schema.fields().to_vec();
    for (name, limits) in columns {
        let place = path.key("columns").key(name);
        let Some(index) = scope.column(&place, name) else { continue };
        let alters = matches!(otherwise, Otherwise::Null | Otherwise::Clamp);
        if alters && scope.is_fixed(&place, name, "write `otherwise: drop` or `otherwise: dead_letter`") {
            continue;
        }
        match bounds(scope, name, index, *limits) {
            Ok(column) => {
                // Clamping makes NaN, which has no nearest limit, null.
                if alters {
                    fields[index] = Arc::new(fields[index].as_ref().clone().with_nullable(true));
                }
                bounded.push(column);
            }
            Err(error) => {
                let changed = scope.schema.field(index).metadata().get(UNIT_CHANGED);
                let hint = changed.filter(|_| matches!(error, CleanPlanError::NoLimits { .. })).map(|unit| {
                    format!("a step before has changed the unit, and the schema's limits are in the one before: give some in {unit}, or put `range` first")
                });
                scope.refuse_with(&place, error, hint);
            }
        }
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, scope.schema.metadata().clone()));
    Stepped::Known(Step::Range(Range { columns: bounded, otherwise, schema: Arc::clone(&schema) }), schema)
}

/// The limits in force. Those of whole numbers are whole, so that clamping stays within them.
fn bounds(scope: &Scope<'_>, name: &str, index: usize, limits: Limits) -> Result<Bounded, CleanPlanError> {
    let data_type = scope.schema.field(index).data_type();
    let representable = match data_type {
        DataType::Int64 => (i64::MIN as f64, i64::MAX as f64),
        DataType::Int32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DataType::Float64 | DataType::Float32 => (f64::NEG_INFINITY, f64::INFINITY),
        other => return Err(CleanPlanError::NotNumeric { name: name.to_owned(), found: other.to_string() }),
    };
    // The schema's limits are in the schema's unit.
    let changed = scope.schema.field(index).metadata().contains_key(UNIT_CHANGED);
    let physical = scope.input.limits.get(name).filter(|_| !changed).copied().unwrap_or_default();
    let least = limits.minimum.or(physical.minimum);
    let greatest = limits.maximum.or(physical.maximum);
    if least.is_none() && greatest.is_none() {
        return Err(CleanPlanError::NoLimits { name: name.to_owned() });
    }
    let (least, greatest) = (least.unwrap_or(f64::NEG_INFINITY), greatest.unwrap_or(f64::INFINITY));
    let whole = data_type.is_integer();
    let (minimum, maximum) = if whole { (least.ceil(), greatest.floor()) } else { (least, greatest) };
    // Also false where a limit is NaN.
    if minimum <= maximum && minimum <= representable.1 && maximum >= representable.0 {
        return Ok(Bounded { index, name: Arc::from(name), minimum, maximum });
    }
    let found = data_type.to_string();
    Err(CleanPlanError::EmptyRange { name: name.to_owned(), found, minimum: least, maximum: greatest })
}

impl Range {
    /// Whether it removes rows.
    pub(super) fn removes_rows(&self) -> bool {
        matches!(self.otherwise, Otherwise::Drop | Otherwise::DeadLetter)
    }

    /// Applies the limits.
    pub(super) fn apply(&self, work: &mut Working) -> Result<(), CleanError> {
        let mut columns = work.rows.batch.columns().to_vec();
        for bounded in &self.columns {
            let found = rows_outside(&columns[bounded.index], bounded);
            if matches!(self.otherwise, Otherwise::Null | Otherwise::Clamp) {
                let replaced = found.iter().flatten().filter(|out| **out).count();
                let values = columns[bounded.index].len() - columns[bounded.index].null_count();
                work.replaced.count(&bounded.name, "range", values, replaced);
            }
            let Some(outside) = found else { continue };
            match self.otherwise {
                Otherwise::Null => {
                    let mask = outside.iter().map(|out| Some(*out)).collect();
                    columns[bounded.index] = nullif(columns[bounded.index].as_ref(), &mask)?;
                }
                Otherwise::Clamp => columns[bounded.index] = clamped(&columns[bounded.index], bounded),
                Otherwise::Drop => mark(&outside, |row| work.filter(row)),
                Otherwise::DeadLetter => {
                    mark(&outside, |row| {
                        let value = array_value_to_string(&columns[bounded.index], row).unwrap_or_default();
                        let detail = format!("{} = {value} is outside {}", bounded.name, limits_text(bounded));
                        work.doom(row, Reason::OutOfRange, detail);
                    });
                }
            }
        }
        work.rows.batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(())
    }
}

fn mark(outside: &[bool], mut what: impl FnMut(usize)) {
    for (row, out) in outside.iter().enumerate() {
        if *out {
            what(row);
        }
    }
}

fn limits_text(bounded: &Bounded) -> String {
    format!("{}..{}", bounded.minimum, bounded.maximum)
}

/// Which rows lie outside; `None` where none does.
fn rows_outside(column: &ArrayRef, bounded: &Bounded) -> Option<Vec<bool>> {
    match column.data_type() {
        DataType::Float64 => outside::<Float64Type>(column, bounded, |value| value),
        DataType::Float32 => outside::<Float32Type>(column, bounded, f64::from),
        DataType::Int64 => outside::<Int64Type>(column, bounded, |value| value as f64),
        DataType::Int32 => outside::<Int32Type>(column, bounded, f64::from),
        _ => None,
    }
}

fn outside<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    bounded: &Bounded,
    number: impl Fn(T::Native) -> f64,
) -> Option<Vec<bool>> {
    let values = column.as_primitive::<T>();
    // NaN is inside nothing.
    let inside = |value: &T::Native| {
        let value = number(*value);
        value >= bounded.minimum && value <= bounded.maximum
    };
    // The quick look first; the value under a null may be anything.
    if values.values().iter().all(inside) {
        return None;
    }
    let outside: Vec<bool> = values.iter().map(|value| value.is_some_and(|value| !inside(&value))).collect();
    outside.contains(&true).then_some(outside)
}

/// Values moved to the nearest limit; NaN becomes null.
fn clamped(column: &ArrayRef, bounded: &Bounded) -> ArrayRef {
    let (least, greatest) = (bounded.minimum, bounded.maximum);
    // `as` saturates, so a limit beyond the type's own range is that range's end.
    match column.data_type() {
        DataType::Float64 => {
            let values = unary::<Float64Type, _, Float64Type>(column.as_primitive(), |v| v.clamp(least, greatest));
            let nan: arrow::array::BooleanArray = values.iter().map(|value| value.map(f64::is_nan)).collect();
            nullif(&values, &nan).unwrap_or_else(|_| Arc::new(values))
        }
        DataType::Float32 => {
            let (least, greatest) = (least as f32, greatest as f32);
            let values = unary::<Float32Type, _, Float32Type>(column.as_primitive(), |v| v.clamp(least, greatest));
            let nan: arrow::array::BooleanArray = values.iter().map(|value| value.map(f32::is_nan)).collect();
            nullif(&values, &nan).unwrap_or_else(|_| Arc::new(values))
        }
        DataType::Int64 => integers::<Int64Type>(column, |v| v.clamp(least as i64, greatest as i64)),
        DataType::Int32 => integers::<Int32Type>(column, |v| v.clamp(least as i32, greatest as i32)),
        _ => Arc::clone(column),
    }
}

fn integers<T: ArrowPrimitiveType>(column: &ArrayRef, clamp: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let values: PrimitiveArray<T> = unary(column.as_primitive::<T>(), clamp);
    Arc::new(values)
}
