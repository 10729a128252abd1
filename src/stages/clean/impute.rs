//! Rows in offset order -> the same rows; where a value is missing, the last one of its key stands in, and the row says so
//! in column [`IMPUTED`]. Only what came before in event time stands in, and nothing older than `within`: a row is
//! disposed of when it comes, so no value waits for the next one to be interpolated.

use std::collections::{BTreeMap, BTreeSet};
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

/// Most keys remembered per partition; rows of further ones are dead letters.
const KEYS_MAX: usize = 1 << 22;
/// Keys are spread over so many blocks of state by their bytes: with 100,000 keys a block has 20 kB.
const BLOCKS: u32 = 256;

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
    // Key columns that are missing are a matter of the window, which reports them.
    let found = scope.input.keys.iter().filter_map(|name| scope.schema.index_of(name).ok());
    let key = found.filter_map(|index| Some((index, key_kind(scope.schema.field(index).data_type())?))).collect();
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
    let plan = Arc::new(ImputePlan { key, columns, within_micros, flag, schema: Arc::clone(&schema), step });
    let fresh = Fresh::new(move |_: &str| -> Box<dyn CustomStep> { Box::new(Impute::new(Arc::clone(&plan))) });
    Stepped::Known(Step::Custom(CustomPlan::built_in("impute", made_with, Arc::clone(&schema), fresh, number)), schema)
}

/// The schema with the flag, at the end unless it is there.
fn flagged(schema: &SchemaRef, flag: Option<usize>) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    let field = Arc::new(Field::new(IMPUTED, DataType::Boolean, false));
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
    /// Newest event time; with every `within` of it what is too old is forgotten.
    newest: i64,
    changed: BTreeSet<u32>,
    newest_changed: bool,
}

/// The last values of a key.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    key: Box<[u8]>,
    /// Its block of state.
    #[serde(skip)]
    block: u32,
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
        let within = self.plan.within_micros;
        if self.newest > i64::MIN && time.div_euclid(within) > self.newest.div_euclid(within) {
            self.forget_older(time.saturating_sub(within));
        }
        self.newest = time;
        self.newest_changed = true;
    }

    /// Forgets keys all of whose values are too old for every row to come that is not older than the newest.
    fn forget_older(&mut self, horizon: i64) {
        for number in 0..self.keys.len() as u32 {
            let Some(key) = &self.keys[number as usize] else { continue };
            if key.last.iter().flatten().any(|reading| reading.time >= horizon) {
                continue;
            }
            let hash = self.hasher.hash_one(&key.key);
            self.changed.insert(key.block);
            if let Ok(entry) = self.names.find_entry(hash, |known| *known == number) {
                entry.remove();
            }
            self.keys[number as usize] = None;
            self.free.insert(number);
        }
    }

    /// The key's number; `None` where there are too many.
    fn number(&mut self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let same = |number: &u32| self.keys[*number as usize].as_ref().is_some_and(|known| *known.key == *key);
        if let Some(number) = self.names.find(hash, same) {
            return Some(*number);
        }
        let last = vec![None; self.plan.columns.len()];
        self.insert(Remembered { key: key.into(), block: block_of(key), last })
    }

    fn insert(&mut self, remembered: Remembered) -> Option<u32> {
        let number = match self.free.pop_first() {
            Some(number) => number,
            None if self.keys.len() >= KEYS_MAX => return None,
            None => {
                self.keys.push(None);
                (self.keys.len() - 1) as u32
            }
        };
        let hash = self.hasher.hash_one(&remembered.key);
        self.keys[number as usize] = Some(remembered);
        let (keys, hasher) = (&self.keys, &self.hasher);
        let hash_of = |number: &u32| keys[*number as usize].as_ref().map_or(0, |known| hasher.hash_one(&known.key));
        self.names.insert_unique(hash, number, hash_of);
        Some(number)
    }

    /// One value of a row: itself, or what stands in for it; and whether something does.
    fn see(&mut self, number: u32, column: usize, time: i64, value: Option<Number>) -> (Option<Number>, bool) {
        let Some(known) = &mut self.keys[number as usize] else { return (value, false) };
        let last = &mut known.last[column];
        if let Some(value) = value {
            if last.is_none_or(|last| last.time <= time) {
                *last = Some(Reading { time, value });
                self.changed.insert(known.block);
            }
            return (Some(value), false);
        }
        let fresh = |last: &Reading| last.time <= time && time.saturating_sub(last.time) <= self.plan.within_micros;
        let stands_in = last.filter(fresh).map(|last| last.value);
        (stands_in, stands_in.is_some())
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
            key.iter().filter(|column| !column.is_null(row)).for_each(|column| column.append(row, &mut bytes));
            // What has no key, or one that no window takes, is not remembered; the window says what is wrong with it.
            let keyed = !key.iter().any(|column| column.is_null(row)) && bytes.len() <= KEY_BYTES_MAX;
            let number = if keyed { self.number(&bytes) } else { None };
            if keyed && number.is_none() {
                fates.push((row, RowFate::DeadLetter(format!("impute remembers {KEYS_MAX} keys already"))));
            }
            for (place, column) in columns.iter_mut().enumerate() {
                let value = column.value(row);
                let (value, imputed) = number.map_or((value, false), |number| self.see(number, place, *time, value));
                flags[row] |= imputed;
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
        let mut blocks: BTreeMap<u32, Vec<&Remembered>> = BTreeMap::new();
        for key in self.keys.iter().flatten().filter(|key| key.last.iter().any(Option::is_some)) {
            if full || self.changed.contains(&key.block) {
                blocks.entry(key.block).or_default().push(key);
            }
        }
        for (block, keys) in &mut blocks {
            // Their numbers depend on what was forgotten when, their bytes do not.
            keys.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            writer.put(&self.plan.step, *block, to_block(keys));
        }
        if (full && self.newest > i64::MIN) || self.newest_changed {
            writer.put(&self.plan.step, BLOCKS, to_block(&self.newest));
        }
        if !full {
            let emptied = self.changed.iter().filter(|block| !blocks.contains_key(block));
            emptied.for_each(|block| writer.delete(&self.plan.step, *block));
            self.changed.clear();
            self.newest_changed = false;
        }
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        let step = self.plan.step.clone();
        let invalid = |block: u32, reason: &str| StateError { step: step.clone(), block, reason: reason.to_owned() };
        for (block, bytes) in reader.blocks(&step) {
            if block == BLOCKS {
                self.newest = from_block(&step, block, bytes)?;
                continue;
            }
            for remembered in from_block::<Vec<Remembered>>(&step, block, bytes)? {
                if remembered.last.len() != self.plan.columns.len() {
                    return Err(invalid(block, "is of other columns"));
                }
                self.insert(Remembered { block, ..remembered })
                    .ok_or_else(|| invalid(block, "holds more keys than are remembered"))?;
            }
        }
        Ok(())
    }
}

/// The block of state that a key is in: the same in every process.
fn block_of(key: &[u8]) -> u32 {
    u32::from(blake3::hash(key).as_bytes()[0])
}
