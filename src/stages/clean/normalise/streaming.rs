//! Rows in offset order -> their values by the scale of the rows before, and what these teach for the next ones.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Float64Array};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

use super::scale::Estimate;
use super::{NormaliseMethod, Shape, finite};
use crate::stages::clean::key::{KeyColumn, KeyKind, read_key};
use crate::stages::clean::keyed::{Bounds, Keyed, Memorable};
use crate::stages::clean::{CustomStep, RowFate, SteppedRows};
use crate::vocab::{Snapshot, StateError, StateReader, StateWriter};

/// Most bytes that a block of state is to have, unless one key has more.
const BLOCK_BYTES: usize = 64 * 1024;
/// Most bytes of a key, its name aside, and column: numbers, or the buckets of a sketch.
const NUMBERS_BYTES: usize = 32;
const SKETCH_BYTES: usize = 20 * 1024;

/// Keys of a block of state.
pub(super) fn block_keys(method: NormaliseMethod, columns: usize) -> u32 {
    let bytes = if method == NormaliseMethod::Robust { SKETCH_BYTES } else { NUMBERS_BYTES };
    (BLOCK_BYTES / (bytes * columns.max(1))).max(1) as u32
}

/// A checked step that learns.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) method: NormaliseMethod,
    /// Columns whose values together have parameters of their own.
    pub(super) key: Vec<(usize, KeyKind)>,
    /// The column that says which rows are imputed.
    pub(super) flag: Option<usize>,
    pub(super) min_count: u64,
    pub(super) freeze_after: Option<u64>,
    pub(super) bounds: Bounds,
    pub(super) step: String,
}

/// What is known of a key.
#[derive(Debug, Serialize, Deserialize)]
struct Learned {
    /// Event time of the newest row of the key.
    newest: i64,
    /// By column.
    columns: Vec<Estimate>,
}

impl Memorable for Learned {
    fn newest(&self) -> i64 {
        self.newest
    }
}

/// The step of one partition.
pub(super) struct Streaming {
    plan: Arc<Plan>,
    memory: Keyed<Learned>,
}

impl Streaming {
    /// Without anything learned.
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let memory = Keyed::new(plan.bounds);
        Self { plan, memory }
    }

    /// Appends a row's values by what is known of its key.
    fn scale(&self, number: Option<u32>, row: &[Option<f64>], results: &mut [Vec<Option<f64>>]) {
        let known = number.and_then(|number| self.memory.get(number));
        for (place, result) in results.iter_mut().enumerate() {
            let scale = || known?.columns[place].scale(self.plan.min_count);
            // Quartiles cost a walk over their buckets: they are asked only for a value.
            result.push(row[place].and_then(|value| scale()?.apply(value, self.plan.shape.limits)));
        }
    }

    /// Learns a row's values.
    fn learn(&mut self, number: u32, time: i64, row: &[Option<f64>]) {
        let Some(learned) = self.memory.change(number) else { return };
        learned.newest = learned.newest.max(time);
        for (estimate, value) in learned.columns.iter_mut().zip(row) {
            if let Some(value) = value {
                estimate.learn(*value, self.plan.freeze_after);
            }
        }
    }

    /// Notes that a row of a key came.
    fn note(&mut self, number: u32, time: i64) {
        if self.memory.get(number).is_some_and(|learned| learned.newest < time)
            && let Some(learned) = self.memory.change(number)
        {
            learned.newest = time;
        }
    }

    /// Whether a row has something to say that is not known for good.
    fn teaches(&self, number: Option<u32>, row: &[Option<f64>]) -> bool {
        let Some(known) = number.and_then(|number| self.memory.get(number)) else {
            return row.iter().any(Option::is_some);
        };
        let open = |estimate: &Estimate| !matches!(estimate, Estimate::Frozen(_));
        known.columns.iter().zip(row).any(|(estimate, value)| value.is_some() && open(estimate))
    }
}

impl CustomStep for Streaming {
    fn clean(&mut self, rows: &RecordBatch, times: &[i64]) -> Result<SteppedRows, ArrowError> {
        let plan = Arc::clone(&self.plan);
        let key_column = |(index, kind): &(usize, KeyKind)| KeyColumn::read(rows.column(*index), *kind);
        let key = plan.key.iter().map(key_column).collect::<Result<Vec<_>, _>>()?;
        let columns = plan.shape.read(rows)?;
        let imputed: Option<&BooleanArray> = plan.flag.map(|index| rows.column(index).as_boolean());
        let mut results: Vec<Vec<Option<f64>>> = columns.iter().map(|_| Vec::with_capacity(times.len())).collect();
        let (mut fates, mut bytes, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (row, time) in times.iter().enumerate() {
            self.memory.advance(*time);
            values.clear();
            values.extend(columns.iter().map(|column: &Float64Array| finite(column, row)));
            // What has no key has no parameters; the window says what is wrong with it.
            let keyed = read_key(&key, row, &mut bytes);
            let mut number = self.memory.find(&bytes).filter(|_| keyed);
            self.scale(number, &values, &mut results);
            // A key whose rows come is alive, whether they teach anything or not.
            if let Some(number) = number.filter(|_| !plan.key.is_empty()) {
                self.note(number, *time);
            }
            // What is made up teaches nothing.
            let measured = imputed.is_none_or(|flags| flags.is_null(row) || !flags.value(row));
            if !(keyed && measured && self.teaches(number, &values)) {
                continue;
            }
            if number.is_none() {
                let columns = columns.iter().map(|_| Estimate::new(plan.method)).collect();
                number = self.memory.remember(&bytes, Learned { newest: *time, columns });
            }
            match number {
                Some(number) => self.learn(number, *time, &values),
                None => {
                    let keys_max = self.memory.keys_max();
                    let reason = format!("one key more than `keys.max`: normalise remembers {keys_max}");
                    fates.push((row, RowFate::DeadLetter(reason)));
                }
            }
        }
        Ok(SteppedRows { rows: plan.shape.write(rows, results)?, fates })
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.memory.snapshot(&self.plan.step, which, writer);
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        let plan = Arc::clone(&self.plan);
        let wrong = |learned: &Learned| {
            learned.columns.len() != plan.shape.columns.len()
                || !learned.columns.iter().all(|estimate| estimate.is_of(plan.method))
        };
        self.memory.restore(&plan.step, reader, wrong)
    }
}
