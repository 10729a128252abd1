//! Closed windows and forecasts of one partition -> alert changes. Holds the partition's alerts: one dense array of
//! lives per rule, indexed by key.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use serde::{Deserialize, Serialize};

use super::life::Life;
use super::plan::{AlertRule, Origin};
use super::{AlertChange, AlertPlan};
use crate::stages::predict::Forecasts;
use crate::stages::window::ClosedWindow;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Keys of a block of state: at most 25 kB where every key has an open alert.
const BLOCK_KEYS: usize = 1024;

/// What rules see of one closed window.
#[derive(Debug, Clone, Copy)]
pub struct RuleInput<'a> {
    /// The window.
    pub window: &'a ClosedWindow,
    /// Forecasts made at its end, in any order; a predictor without any counts as null.
    pub forecasts: &'a [Forecasts],
}

impl RuleInput<'_> {
    /// Values of a measure's column, by key; none where nothing was forecast.
    fn values(&self, origin: Origin) -> &[f64] {
        match origin {
            Origin::Window(column) => self.window.columns.get(column).map_or(&[], Vec::as_slice),
            Origin::Forecast(predictor, horizon) => {
                let forecasts = self.forecasts.iter().find(|forecasts| forecasts.predictor == predictor);
                forecasts.and_then(|made| made.model.get(horizon)).map_or(&[], Vec::as_slice)
            }
        }
    }
}

impl AlertPlan {
    /// The value of a measure's column for one key, NaN for null. Columns are numbered: those of the window, then the
    /// forecasts, predictor by predictor and horizon by horizon.
    #[must_use]
    pub fn value(&self, input: &RuleInput<'_>, column: usize, key: KeyId) -> f64 {
        let origin = self.origins.get(column);
        let value = origin.and_then(|origin| input.values(*origin).get(key as usize).copied());
        value.unwrap_or(f64::NAN)
    }

    /// One line for people about a change. `keys` are the key's values in the window's order.
    #[must_use]
    pub fn summary(&self, change: &AlertChange, keys: &[&str], input: &RuleInput<'_>) -> String {
        let column = |index| self.value(input, index, change.key);
        self.rules()
            .get(change.rule)
            .map_or_else(String::new, |rule| rule.summary().render(keys, &column, change.value))
    }
}

/// Alerts of one partition.
#[derive(Debug)]
pub struct Alerts {
    plan: Arc<AlertPlan>,
    rules: Vec<Lives>,
}

/// Alerts of one rule.
#[derive(Debug, Default)]
struct Lives {
    /// By key.
    lives: Vec<Life>,
    /// Blocks that changed since the last commit's snapshot.
    changed: BTreeSet<u32>,
}

/// Keys of a block that are not idle, ascending, and their lives.
#[derive(Debug, Default, Serialize, Deserialize)]
struct LivesBlock {
    places: Vec<u16>,
    lives: Vec<Life>,
}

impl Alerts {
    /// A partition without alerts.
    #[must_use]
    pub fn new(plan: Arc<AlertPlan>) -> Self {
        let rules = plan.rules().iter().map(|_| Lives::default()).collect();
        Self { plan, rules }
    }

    /// Evaluates every rule at one closed window: changes in the order (rule, key). A key that the window forgot has
    /// its open alert expired instead of being evaluated.
    ///
    /// # Errors
    /// [`ArrowError`] where the window has other columns than the plan: a fault of the engine, never of a value.
    pub fn evaluate(&mut self, input: &RuleInput<'_>) -> Result<Vec<AlertChange>, ArrowError> {
        let plan = Arc::clone(&self.plan);
        let batch = measure_batch(&plan, input)?;
        let mut changes = Vec::new();
        let expired: BTreeSet<KeyId> = input.window.expired.iter().copied().collect();
        for (index, (rule, state)) in plan.rules().iter().zip(&mut self.rules).enumerate() {
            // Null where it is null, not finite or cannot be computed.
            let measures = rule.measure.evaluate(&batch)?.values;
            state.step(rule, (input.window, &expired), measures.as_primitive(), |step, key| {
                changes.push(step.change(index, key, input.window.end));
            });
        }
        Ok(changes)
    }

    /// Writes the partition's alerts.
    pub fn snapshot(&mut self, mode: Snapshot, writer: &mut dyn StateWriter) {
        for (rule, state) in self.plan.rules().iter().zip(&mut self.rules) {
            state.snapshot(&rule.step, mode, writer);
        }
    }

    /// Reads the partition's alerts back.
    ///
    /// # Errors
    /// [`StateError`] where a block cannot be read.
    pub fn restore(plan: Arc<AlertPlan>, reader: &dyn StateReader) -> Result<Self, StateError> {
        let rules = plan.rules().iter().map(|rule| Lives::restore(&rule.step, reader)).collect::<Result<_, _>>()?;
        Ok(Self { plan, rules })
    }
}

impl Lives {
    fn step(
        &mut self,
        rule: &AlertRule,
        (window, expired): (&ClosedWindow, &BTreeSet<KeyId>),
        measures: &Float64Array,
        mut emit: impl FnMut(super::life::Step, KeyId),
    ) {
        if self.lives.len() < window.key_count() {
            self.lives.resize(window.key_count(), Life::default());
        }
        for (key, life) in self.lives.iter_mut().enumerate().take(window.key_count()) {
            // Key ids are u32 everywhere.
            let id = key as KeyId;
            let before = *life;
            let step = if !expired.is_empty() && expired.contains(&id) {
                life.expire(rule)
            } else if window.live[key] {
                let value = measures.is_valid(key).then(|| measures.value(key));
                life.step(rule, window.end, value.filter(|value| value.is_finite()))
            } else {
                continue;
            };
            if *life != before {
                self.changed.insert((key / BLOCK_KEYS) as u32);
            }
            if let Some(step) = step {
                emit(step, id);
            }
        }
    }

    fn snapshot(&mut self, step: &str, mode: Snapshot, writer: &mut dyn StateWriter) {
        match mode {
            Snapshot::Full => {
                for block in 0..self.lives.len().div_ceil(BLOCK_KEYS) as u32 {
                    if let Some(bytes) = self.encode(block) {
                        writer.put(step, block, bytes);
                    }
                }
            }
            Snapshot::Changed => {
                for block in std::mem::take(&mut self.changed) {
                    match self.encode(block) {
                        Some(bytes) => writer.put(step, block, bytes),
                        None => writer.delete(step, block),
                    }
                }
            }
        }
    }

    /// A block's bytes; `None` where every key is idle.
    fn encode(&self, block: u32) -> Option<Vec<u8>> {
        let lives = self.lives.iter().skip(block as usize * BLOCK_KEYS).take(BLOCK_KEYS);
        let mut record = LivesBlock::default();
        for (place, life) in lives.enumerate().filter(|(_, life)| !life.idle()) {
            record.places.push(place as u16);
            record.lives.push(*life);
        }
        (!record.places.is_empty()).then(|| to_block(&record))
    }

    fn restore(step: &str, reader: &dyn StateReader) -> Result<Self, StateError> {
        let mut state = Self::default();
        for (block, bytes) in reader.blocks(step) {
            let record: LivesBlock = from_block(step, block, bytes)?;
            for (place, life) in record.places.into_iter().zip(record.lives) {
                let key = block as usize * BLOCK_KEYS + usize::from(place);
                if state.lives.len() <= key {
                    state.lives.resize(key + 1, Life::default());
                }
                state.lives[key] = life;
            }
        }
        Ok(state)
    }
}

/// One row per key with what the measures read; the other columns are null and only keep the numbering.
fn measure_batch(plan: &AlertPlan, input: &RuleInput<'_>) -> Result<RecordBatch, ArrowError> {
    let keys = input.window.key_count();
    let unread = new_null_array(&DataType::Float64, keys);
    let column = |(index, origin): (usize, &Origin)| {
        let read = plan.columns_read.contains(&index);
        if read { float_column(input.values(*origin), keys) } else { Arc::clone(&unread) }
    };
    let columns = plan.origins.iter().enumerate().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(keys));
    RecordBatch::try_new_with_options(Arc::clone(&plan.schema), columns, &options)
}

/// Values as a column whose NaN are nulls: Arrow orders NaN above every number.
fn float_column(values: &[f64], keys: usize) -> ArrayRef {
    if values.len() != keys {
        let padded = (0..keys).map(|key| values.get(key).copied().filter(|value| !value.is_nan()));
        return Arc::new(padded.collect::<Float64Array>());
    }
    let nulls: NullBuffer = values.iter().map(|value| !value.is_nan()).collect();
    Arc::new(Float64Array::new(values.to_vec().into(), Some(nulls)))
}
