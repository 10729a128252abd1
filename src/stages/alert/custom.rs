//! Alert rules of the embedding program: a closed window in, a number per key out. Limits, durations, severities and the
//! life of the alerts are the engine's, as for every rule.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::alerts::RuleInput;
use super::plan::Origin;
use crate::stages::custom::{CustomSettings, Fresh, Refusal, guarded};
use crate::stages::window::ClosedWindow;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter};

/// A rule of the embedding program, for one partition.
pub trait CustomRule: Send {
    /// Measures every live key: `measures[key]` is compared with the rule's limits, NaN is null: it neither opens an alert
    /// nor clears one. `columns` holds those that the rule said it reads, in that order, with a value per key, NaN where
    /// there is none.
    fn measure(&mut self, window: &ClosedWindow, columns: &[&[f64]], measures: &mut [f64]);

    /// Forgets keys: their ids may be given to other keys afterwards.
    fn forget(&mut self, _keys: &[KeyId]) {}

    /// Writes its state.
    fn snapshot(&mut self, _which: Snapshot, _writer: &mut dyn StateWriter) {}

    /// Reads its state back.
    ///
    /// # Errors
    /// [`StateError`] where a block cannot be read; the run ends.
    fn restore(&mut self, _reader: &dyn StateReader) -> Result<(), StateError> {
        Ok(())
    }
}

/// What a custom rule is to be made for.
#[derive(Debug, Clone, Copy)]
pub struct RuleRequest<'a> {
    /// The rule's name under `alerts:`.
    pub rule: &'a str,
    /// Columns that it may read: those of the closed window, then the forecasts, such as `speed.15m`.
    pub columns: &'a [String],
    /// `settings:` in the file.
    pub settings: CustomSettings<'a>,
}

/// A custom rule whose settings are checked.
#[derive(Debug, Clone)]
pub struct PreparedRule {
    /// Names of the columns that it reads. Alerts explain those that are forecasts.
    pub reads: Vec<String>,
    /// Makes the rule of one partition.
    pub fresh: Fresh<dyn CustomRule>,
}

type Prepare = dyn Fn(&RuleRequest<'_>) -> Result<PreparedRule, Refusal> + Send + Sync;

/// Checks the settings of a custom rule and says how to make it.
#[derive(Clone)]
pub struct RuleFactory(Arc<Prepare>);

impl RuleFactory {
    /// From what checks.
    pub fn new(prepare: impl Fn(&RuleRequest<'_>) -> Result<PreparedRule, Refusal> + Send + Sync + 'static) -> Self {
        Self(Arc::new(prepare))
    }

    pub(super) fn prepare(&self, request: &RuleRequest<'_>) -> Result<PreparedRule, Refusal> {
        (self.0)(request)
    }
}

impl fmt::Debug for RuleFactory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RuleFactory").finish_non_exhaustive()
    }
}

/// A custom rule in the plan.
#[derive(Debug)]
pub(super) struct CustomPlan {
    /// Its name in the registry.
    pub(super) name: String,
    /// Its settings as JSON: what its state is made with.
    pub(super) settings: String,
    /// Indices of the columns that it reads.
    pub(super) columns: Vec<usize>,
    pub(super) fresh: Fresh<dyn CustomRule>,
}

/// A custom rule of one partition, whose panics say whose they are.
pub(super) struct GuardedRule {
    name: String,
    inner: Box<dyn CustomRule>,
}

impl GuardedRule {
    /// `step`: the name of the rule's step. The lives of its alerts are kept under that name, so its own state goes beside.
    pub(super) fn new(plan: &CustomPlan, step: &str) -> Self {
        let name = format!("custom rule `{}` of `{step}`", plan.name);
        let inner = guarded(|| name.clone(), || plan.fresh.make(&format!("{step}.rule")));
        Self { name, inner }
    }

    /// The measure of each key, NaN for null.
    pub(super) fn measure(&mut self, plan: &CustomPlan, input: &RuleInput<'_>, origins: &[Origin]) -> Vec<f64> {
        let keys = input.window.key_count();
        let columns: Vec<Cow<'_, [f64]>> =
            plan.columns.iter().map(|index| padded(input, origins[*index], keys)).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Cow::as_ref).collect();
        let mut measures = vec![f64::NAN; keys];
        self.change(|rule| {
            rule.measure(input.window, &columns, &mut measures);
            if !input.window.expired.is_empty() {
                rule.forget(&input.window.expired);
            }
        });
        measures
    }

    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.change(|rule| rule.snapshot(which, writer));
    }

    pub(super) fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.change(|rule| rule.restore(reader))
    }

    fn change<R>(&mut self, work: impl FnOnce(&mut dyn CustomRule) -> R) -> R {
        guarded(|| self.name.clone(), || work(self.inner.as_mut()))
    }
}

impl fmt::Debug for GuardedRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GuardedRule").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A column with a value for every key: forecasts need not know the newest keys.
fn padded<'a>(input: &RuleInput<'a>, origin: Origin, keys: usize) -> Cow<'a, [f64]> {
    let values = input.values(origin);
    if values.len() >= keys {
        return Cow::Borrowed(&values[..keys]);
    }
    let mut longer = values.to_vec();
    longer.resize(keys, f64::NAN);
    Cow::Owned(longer)
}
