//! Rows in offset order -> the same rows; where a value is missing, the last one of its key stands in, and the row says so
//! in column [`IMPUTED`]. Only what came before in event time stands in, and nothing older than `within`: a row is
//! disposed of when it comes, so no value waits for the next one to be interpolated (docs/design/0010).

mod memory;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use self::memory::{Limits, Memory, Number, Reading};
use super::custom::{CustomPlan, StepNumber, state_step};
use super::key::{KeyColumn, KeyKind, key_kind, read_key};
use super::plan::{Scope, Step, Stepped};
use super::{CleanPlanError, CustomStep, RowFate, SteppedRows};
use crate::stages::custom::Fresh;
use crate::vocab::{IMPUTED, MadeWith, Snapshot, StateError, StateReader, StateWriter, YamlPath};

/// What the check of one impute step is told.
pub(super) struct ImputeRequest<'a> {
    pub(super) columns: &'a [String],
    pub(super) within_micros: i64,
}

/// A checked step.
#[derive(Debug)]
struct ImputePlan {
    /// Columns whose values together are the key.
    key: Vec<(usize, KeyKind)>,
    /// Columns of numbers that are imputed.
    columns: Vec<usize>,
    limits: Limits,
    /// Where an earlier step has flagged rows already.
    flag: Option<usize>,
    schema: SchemaRef,
    step: String,
}

/// Checks the step; it remembers by the window's key.
pub(super) fn plan_impute(
    scope: &mut Scope<'_>,
    path: &YamlPath,
    request: &ImputeRequest<'_>,
    before: &[Step],
) -> Stepped {
    let mut fine = true;
    let mut columns = Vec::new();
    for (position, name) in request.columns.iter().enumerate() {
        let place = path.key("columns").index(position);
        let Some(index) = scope.column(&place, name) else {
            fine = false;
            continue;
        };
        fine &= !scope.is_fixed(&place, name, "a row without it is a dead letter: leave it out");
        let data_type = scope.schema.field(index).data_type();
        if !matches!(data_type, DataType::Float64 | DataType::Int64) {
            let found = data_type.to_string();
            scope.refuse(&place, CleanPlanError::NotNumeric { name: name.clone(), found });
            fine = false;
        }
        columns.push(index);
    }
    if request.within_micros <= 0 {
        scope.refuse(&path.key("within"), CleanPlanError::Within { micros: request.within_micros });
        fine = false;
    }
    let mut key = Vec::new();
    for name in &scope.input.keys {
        let found = scope.schema.index_of(name).ok();
        match found.and_then(|index| Some((index, key_kind(scope.schema.field(index).data_type())?))) {
            Some(column) => key.push(column),
            None => {
                let hint = "it remembers by the window's key: put it behind the step that makes the column".to_owned();
                scope.refuse_with(path, CleanPlanError::NoKey { name: name.clone() }, Some(hint));
                fine = false;
            }
        }
    }
    let flag = scope.schema.index_of(IMPUTED).ok();
    if let Some(index) = flag.filter(|index| scope.schema.field(*index).data_type() != &DataType::Boolean) {
        let found = scope.schema.field(index).data_type().to_string();
        scope.refuse(path, CleanPlanError::NotFlag { name: IMPUTED.to_owned(), found });
        return Stepped::Unknown;
    }
    let schema = flagged(scope.schema, flag);
    if !fine {
        return Stepped::OnlySchema(schema);
    }
    let number = StepNumber::after(before);
    let step = state_step("impute", before);
    let within_micros = request.within_micros;
    let meaning = format!("{:?} {:?}", scope.input.keys, request.columns);
    let made_with = MadeWith { step: step.clone(), meaning, settings: within_micros.to_string() };
    let kept_micros = within_micros.saturating_add(scope.input.late_micros);
    let limits = Limits { within_micros, kept_micros, keys_max: scope.input.keys_max };
    let plan = Arc::new(ImputePlan { key, columns, limits, flag, schema: Arc::clone(&schema), step });
    let fresh = Fresh::new(move |_: &str| -> Box<dyn CustomStep> {
        let memory = Memory::new(plan.columns.len(), plan.limits);
        Box::new(Impute { plan: Arc::clone(&plan), memory })
    });
    Stepped::Known(Step::Custom(CustomPlan::built_in("impute", made_with, Arc::clone(&schema), fresh, number)), schema)
}

/// The schema with the flag, at the end unless it is there.
fn flagged(schema: &SchemaRef, flag: Option<usize>) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    let mark = HashMap::from([(IMPUTED.to_owned(), String::new())]);
    let field = Arc::new(Field::new(IMPUTED, DataType::Boolean, false).with_metadata(mark));
    match flag {
        Some(index) => fields[index] = field,
        None => fields.push(field),
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// A column of the batch at hand, and what becomes of it.
enum Column<'a> {
    Float(&'a Float64Array, Vec<Option<f64>>),
    Whole(&'a Int64Array, Vec<Option<i64>>),
}

impl Column<'_> {
    fn of(array: &ArrayRef) -> Column<'_> {
        match array.data_type() {
            DataType::Int64 => Column::Whole(array.as_primitive::<Int64Type>(), Vec::new()),
            _ => Column::Float(array.as_primitive::<Float64Type>(), Vec::new()),
        }
    }

    /// The value of a row; a number that is none is missing.
    fn value(&self, row: usize) -> Option<Number> {
        match self {
            Self::Float(values, _) => {
                values.is_valid(row).then(|| values.value(row)).filter(|value| !value.is_nan()).map(Number::Float)
            }
            Self::Whole(values, _) => values.is_valid(row).then(|| Number::Whole(values.value(row))),
        }
    }

    fn push(&mut self, number: Option<Number>) {
        match (self, number) {
            (Self::Float(_, made), Some(Number::Float(value))) => made.push(Some(value)),
            (Self::Whole(_, made), Some(Number::Whole(value))) => made.push(Some(value)),
            (Self::Float(_, made), _) => made.push(None),
            (Self::Whole(_, made), _) => made.push(None),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Float(_, made) => Arc::new(Float64Array::from(made)),
            Self::Whole(_, made) => Arc::new(Int64Array::from(made)),
        }
    }
}

/// The step of one partition.
struct Impute {
    plan: Arc<ImputePlan>,
    memory: Memory,
}

impl CustomStep for Impute {
    fn clean(&mut self, rows: &RecordBatch, times: &[i64]) -> Result<SteppedRows, ArrowError> {
        let plan = Arc::clone(&self.plan);
        let read = |(index, kind): &(usize, KeyKind)| KeyColumn::read(rows.column(*index), *kind);
        let key = plan.key.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let mut columns: Vec<Column<'_>> = plan.columns.iter().map(|index| Column::of(rows.column(*index))).collect();
        let mut flags: Vec<bool> = match plan.flag {
            Some(index) => rows.column(index).as_boolean().iter().map(|flag| flag == Some(true)).collect(),
            None => vec![false; times.len()],
        };
        let (mut fates, mut bytes) = (Vec::new(), Vec::new());
        for (row, time) in times.iter().enumerate() {
            self.memory.advance(*time);
            // What has no key, or one that no window takes, is not remembered; the window says what is wrong with it.
            let keyed = read_key(&key, row, &mut bytes);
            let mut number = self.memory.find(&bytes).filter(|_| keyed);
            if keyed && number.is_none() && columns.iter().any(|column| column.value(row).is_some()) {
                number = self.memory.remember(&bytes);
                if number.is_none() {
                    let reason =
                        format!("one key more than `keys.max`: impute remembers {}", self.plan.limits.keys_max);
                    fates.push((row, RowFate::DeadLetter(reason)));
                }
            }
            for (place, column) in columns.iter_mut().enumerate() {
                let mut value = column.value(row);
                match (number, value) {
                    (Some(number), Some(value)) => self.memory.learn(number, place, Reading { time: *time, value }),
                    (Some(number), None) => {
                        value = self.memory.stand_in(number, place, *time);
                        flags[row] |= value.is_some();
                    }
                    (None, _) => {}
                }
                column.push(value);
            }
        }
        let mut all = rows.columns().to_vec();
        for (index, column) in plan.columns.iter().zip(columns) {
            all[*index] = column.finish();
        }
        let flags: ArrayRef = Arc::new(BooleanArray::from(flags));
        match plan.flag {
            Some(index) => all[index] = flags,
            None => all.push(flags),
        }
        Ok(SteppedRows { rows: RecordBatch::try_new(Arc::clone(&plan.schema), all)?, fates })
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.memory.snapshot(&self.plan.step, which, writer);
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.memory.restore(&self.plan.step, reader)
    }
}
