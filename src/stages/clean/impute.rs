//! Rows in offset order -> the same rows; where a value is missing, the last one of its key stands in, and the row says so
//! in column [`IMPUTED`]. Only what came before in event time stands in, and nothing older than `within`: a row is
//! disposed of when it comes, so no value waits for the next one to be interpolated (docs/design/0010).

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use super::custom::{CustomPlan, StepNumber};
use super::key::{KeyColumn, KeyKind, key_kind};
use super::plan::{Scope, Step, Stepped};
use super::{CleanPlanError, CustomStep, RowFate, SteppedRows};
use crate::stages::custom::Fresh;
use crate::vocab::{
    IMPUTED, KEY_BYTES_MAX, MadeWith, Snapshot, StateError, StateReader, StateWriter, YamlPath, from_block, to_block,
};

/// Keys of a block of state: 30 kB of it.
const BLOCK_KEYS: u32 = 1024;
/// The block of the newest event time; keys are numbered far below it.
const NEWEST_BLOCK: u32 = u32::MAX;

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
    within_micros: i64,
    /// How long a value is kept behind the newest event time: a row may come that late and still want it.
    kept_micros: i64,
    keys_max: u32,
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
    let step = format!("clean.impute.{}", number.0);
    let within_micros = request.within_micros;
    let meaning = format!("{:?} {:?}", scope.input.keys, request.columns);
    let made_with = MadeWith { step: step.clone(), meaning, settings: within_micros.to_string() };
    let kept_micros = within_micros.saturating_add(scope.input.late_micros);
    let keys_max = scope.input.keys_max;
    let schema_after = Arc::clone(&schema);
    let plan = ImputePlan { key, columns, within_micros, kept_micros, keys_max, flag, schema: schema_after, step };
    let plan = Arc::new(plan);
    let fresh = Fresh::new(move |_: &str| -> Box<dyn CustomStep> { Box::new(Impute::new(Arc::clone(&plan))) });
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

/// What is remembered of one partition.
struct Impute {
    plan: Arc<ImputePlan>,
    names: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Keys by number; `None` for a number that is free.
    keys: Vec<Option<Remembered>>,
    free: BTreeSet<u32>,
    /// Newest event time; with every stretch of `kept_micros` that it enters, what is too old is forgotten.
    newest: i64,
    changed: BTreeSet<u32>,
    newest_changed: bool,
}

/// The last values of a key.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    key: Box<[u8]>,
    /// By imputed column.
    last: Vec<Option<Reading>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Reading {
    time: i64,
    value: Number,
}

/// As its column has it, so that nothing is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Number {
    Float(f64),
    Whole(i64),
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

impl Impute {
    fn new(plan: Arc<ImputePlan>) -> Self {
        Self {
            plan,
            names: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            keys: Vec::new(),
            free: BTreeSet::new(),
            newest: i64::MIN,
            changed: BTreeSet::new(),
            newest_changed: false,
        }
    }

    /// Moves event time on.
    fn advance(&mut self, time: i64) {
        if time <= self.newest {
            return;
        }
        let kept = self.plan.kept_micros;
        if self.newest > i64::MIN && time.div_euclid(kept) > self.newest.div_euclid(kept) {
            self.forget_older(time.saturating_sub(kept));
        }
        self.newest = time;
        self.newest_changed = true;
    }

    /// Forgets keys all of whose values are too old for every row that may still come.
    fn forget_older(&mut self, horizon: i64) {
        for number in 0..self.keys.len() as u32 {
            let Some(key) = &self.keys[number as usize] else { continue };
            if key.last.iter().flatten().any(|reading| reading.time >= horizon) {
                continue;
            }
            if let Ok(entry) = self.names.find_entry(self.hasher.hash_one(&key.key), |known| *known == number) {
                entry.remove();
            }
            self.keys[number as usize] = None;
            self.free.insert(number);
            self.changed.insert(number / BLOCK_KEYS);
        }
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        let same = |number: &u32| self.keys[*number as usize].as_ref().is_some_and(|known| *known.key == *key);
        self.names.find(self.hasher.hash_one(key), same).copied()
    }

    /// Remembers a key under the least free number; `None` where there are as many as there may be.
    fn remember(&mut self, key: &[u8]) -> Option<u32> {
        if self.names.len() >= self.plan.keys_max as usize {
            return None;
        }
        let number = self.free.first().copied().unwrap_or(self.keys.len() as u32);
        self.put(number, Remembered { key: key.into(), last: vec![None; self.plan.columns.len()] });
        Some(number)
    }

    fn put(&mut self, number: u32, remembered: Remembered) {
        while self.keys.len() <= number as usize {
            self.free.insert(self.keys.len() as u32);
            self.keys.push(None);
        }
        self.free.remove(&number);
        let hash = self.hasher.hash_one(&remembered.key);
        self.keys[number as usize] = Some(remembered);
        let (keys, hasher) = (&self.keys, &self.hasher);
        let hash_of = |number: &u32| keys[*number as usize].as_ref().map_or(0, |known| hasher.hash_one(&known.key));
        self.names.insert_unique(hash, number, hash_of);
    }

    /// Notes a value that was measured.
    fn learn(&mut self, number: u32, column: usize, reading: Reading) {
        let Some(known) = &mut self.keys[number as usize] else { return };
        let last = &mut known.last[column];
        if last.is_none_or(|last| last.time <= reading.time) {
            *last = Some(reading);
            self.changed.insert(number / BLOCK_KEYS);
        }
    }

    /// What stands in for a value that is missing at this time.
    fn stand_in(&self, number: u32, column: usize, time: i64) -> Option<Number> {
        let last = self.keys[number as usize].as_ref()?.last[column]?;
        (last.time <= time && time.saturating_sub(last.time) <= self.plan.within_micros).then_some(last.value)
    }
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
            self.advance(*time);
            bytes.clear();
            // What has no key, or one that no window takes, is not remembered; the window says what is wrong with it.
            let mut keyed = !key.iter().any(|column| column.is_null(row));
            if keyed {
                key.iter().for_each(|column| column.append(row, &mut bytes));
                keyed = bytes.len() <= KEY_BYTES_MAX + 8 * key.len();
            }
            let mut number = self.find(&bytes).filter(|_| keyed);
            if keyed && number.is_none() && columns.iter().any(|column| column.value(row).is_some()) {
                number = self.remember(&bytes);
                if number.is_none() {
                    let reason = format!("one key more than `keys.max`: impute remembers {}", self.plan.keys_max);
                    fates.push((row, RowFate::DeadLetter(reason)));
                }
            }
            for (place, column) in columns.iter_mut().enumerate() {
                let mut value = column.value(row);
                match (number, value) {
                    (Some(number), Some(value)) => self.learn(number, place, Reading { time: *time, value }),
                    (Some(number), None) => {
                        value = self.stand_in(number, place, *time);
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
        let full = which == Snapshot::Full;
        let step = &self.plan.step;
        for (block, keys) in (0..).zip(self.keys.chunks(BLOCK_KEYS as usize)) {
            if !full && !self.changed.contains(&block) {
                continue;
            }
            let held = keys.iter().enumerate().filter_map(|(place, key)| Some((place as u32, key.as_ref()?)));
            let held: Vec<(u32, &Remembered)> = held.collect();
            match (held.is_empty(), full) {
                (false, _) => writer.put(step, block, to_block(&held)),
                (true, false) => writer.delete(step, block),
                (true, true) => {}
            }
        }
        if (full && self.newest > i64::MIN) || self.newest_changed {
            writer.put(step, NEWEST_BLOCK, to_block(&self.newest));
        }
        if !full {
            self.changed.clear();
            self.newest_changed = false;
        }
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        let step = self.plan.step.clone();
        for (block, bytes) in reader.blocks(&step) {
            if block == NEWEST_BLOCK {
                self.newest = from_block(&step, block, bytes)?;
                continue;
            }
            for (place, remembered) in from_block::<Vec<(u32, Remembered)>>(&step, block, bytes)? {
                if remembered.last.len() != self.plan.columns.len() || place >= BLOCK_KEYS {
                    let reason = "is of other columns or keys".to_owned();
                    return Err(StateError { step, block, reason });
                }
                self.put(block * BLOCK_KEYS + place, remembered);
            }
        }
        Ok(())
    }
}
