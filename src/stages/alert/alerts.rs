//! Closed windows and forecasts of one partition -> alert changes. Holds the partition's alerts: for each rule what its
//! measure remembers, and one dense array of lives, indexed by key.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, Float64Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::key_states::{BLOCK_KEYS_MAX, KeyStates};
use super::life::Life;
use super::measure::Measuring;
use super::plan::{AlertRule, Origin};
use super::{AlertChange, AlertPlan};
use crate::stages::predict::Forecasts;
use crate::stages::window::ClosedWindow;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter};

/// What rules see of one closed window.
#[derive(Debug, Clone, Copy)]
pub struct RuleInput<'a> {
    /// The window.
    pub window: &'a ClosedWindow,
    /// Forecasts made at its end, in any order; a predictor without any counts as null.
    pub forecasts: &'a [Forecasts],
}

impl<'a> RuleInput<'a> {
    /// Values of a measure's column, by key; none where nothing was forecast.
    pub(super) fn values(&self, origin: Origin) -> &'a [f64] {
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
            .map_or_else(String::new, |rule| rule.summaries().render(change.state, keys, &column, change.value))
    }
}

/// Alerts of one partition.
#[derive(Debug)]
pub struct Alerts {
    plan: Arc<AlertPlan>,
    rules: Vec<Lives>,
}

/// Alerts of one rule.
#[derive(Debug)]
struct Lives {
    measuring: Measuring,
    lives: KeyStates<Life>,
}

impl Alerts {
    /// A partition without alerts.
    #[must_use]
    pub fn new(plan: Arc<AlertPlan>) -> Self {
        let rules = plan.rules().iter().map(Lives::new).collect();
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
            let measures = state.measuring.measure(&rule.measure, input, (&plan.origins, &batch))?;
            state.step(rule, (input.window, &expired), &measures, |step, key| {
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
        let rules = plan.rules().iter().map(|rule| Lives::restore(rule, reader)).collect::<Result<_, _>>()?;
        Ok(Self { plan, rules })
    }
}

impl Lives {
    fn new(rule: &AlertRule) -> Self {
        Self { measuring: Measuring::new(&rule.measure, &rule.step), lives: KeyStates::new(BLOCK_KEYS_MAX) }
    }

    fn step(
        &mut self,
        rule: &AlertRule,
        (window, expired): (&ClosedWindow, &BTreeSet<KeyId>),
        measures: &Float64Array,
        mut emit: impl FnMut(super::life::Step, KeyId),
    ) {
        self.lives.grow(window.key_count());
        for key in 0..window.key_count() {
            // Key ids are u32 everywhere.
            let id = key as KeyId;
            let step = if !expired.is_empty() && expired.contains(&id) {
                self.lives.update(id, |life| life.expire(rule))
            } else if window.live[key] {
                let value = measures.is_valid(key).then(|| measures.value(key)).filter(|value| value.is_finite());
                self.lives.update(id, |life| life.step(rule, window.end, value))
            } else {
                continue;
            };
            if let Some(step) = step {
                emit(step, id);
            }
        }
    }

    fn snapshot(&mut self, step: &str, mode: Snapshot, writer: &mut dyn StateWriter) {
        self.measuring.snapshot(step, mode, writer);
        self.lives.snapshot(step, mode, writer);
    }

    fn restore(rule: &AlertRule, reader: &dyn StateReader) -> Result<Self, StateError> {
        let measuring = Measuring::restore(&rule.measure, &rule.step, reader)?;
        Ok(Self { measuring, lives: KeyStates::new(BLOCK_KEYS_MAX).restore(&rule.step, reader)? })
    }
}

/// One row per key with what the measures read; the other columns are null and only keep the numbering.
fn measure_batch(plan: &AlertPlan, input: &RuleInput<'_>) -> Result<RecordBatch, ArrowError> {
    let keys = input.window.key_count();
    let unread = new_null_array(&DataType::Float64, keys);
    let column = |(index, origin): (usize, &Origin)| {
        let read = plan.columns_read.contains(&index);
        if read { Arc::new(float_column(input.values(*origin), keys)) } else { Arc::clone(&unread) }
    };
    let columns = plan.origins.iter().enumerate().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(keys));
    RecordBatch::try_new_with_options(Arc::clone(&plan.schema), columns, &options)
}

/// Values as a column whose NaN are nulls: Arrow orders NaN above every number.
pub(super) fn float_column(values: &[f64], keys: usize) -> Float64Array {
    if values.len() != keys {
        return (0..keys).map(|key| values.get(key).copied().filter(|value| !value.is_nan())).collect();
    }
    let nulls: NullBuffer = values.iter().map(|value| !value.is_nan()).collect();
    Float64Array::new(values.to_vec().into(), Some(nulls))
}
