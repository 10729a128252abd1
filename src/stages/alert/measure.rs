//! What a rule watches: one number per key and closed window. What must be known of earlier windows is saved state.

use arrow::array::{Array, AsArray, Float64Array};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::alerts::{RuleInput, float_column};
use super::custom::{CustomPlan, GuardedRule, RuleFactory};
use super::key_states::{BLOCK_KEYS_MAX, KeyStates};
use super::plan::Origin;
use crate::stages::expression::Expression;
use crate::stages::window::ClosedWindow;
use crate::vocab::{EventTime, KeyId, MICROS_PER_SECOND, Snapshot, StateError, StateReader, StateWriter};

/// What a rule watches, unchecked.
#[derive(Debug, Clone)]
pub enum MeasureSettings {
    /// The value of an SQL expression over the columns of [`super::AlertInput`].
    Value(String),
    /// How fast the value of an expression changes.
    Rate {
        /// The expression.
        value: String,
        /// The time that the change is told for, microseconds, above zero.
        per_micros: i64,
    },
    /// The mean of an expression over the last windows.
    Mean {
        /// The expression.
        value: String,
        /// How far back, microseconds: whole windows.
        over_micros: i64,
    },
    /// Minutes since the key's last reading.
    Silence,
    /// What a rule of the embedding program measures.
    Custom {
        /// Its name.
        name: String,
        /// What it is given.
        settings: Map<String, Value>,
        /// What was registered under the name.
        factory: RuleFactory,
    },
}

/// What a rule watches.
#[derive(Debug)]
pub(super) enum Measure {
    Value(Expression),
    Rate {
        value: Expression,
        per_micros: i64,
    },
    /// Over so many windows.
    Mean {
        value: Expression,
        windows: usize,
    },
    Silence,
    Custom(CustomPlan),
}

impl Measure {
    /// What its state is made with.
    pub(super) fn meaning(&self) -> String {
        match self {
            Self::Value(value) => value.text().to_owned(),
            Self::Rate { value, per_micros } => format!("change of {} per {per_micros} us", value.text()),
            Self::Mean { value, windows } => format!("mean of {} over {windows} windows", value.text()),
            Self::Silence => "minutes without readings".to_owned(),
            Self::Custom(custom) => format!("custom {} {}", custom.name, custom.settings),
        }
    }

    /// Columns that its expression reads; none where it has none.
    pub(super) fn columns_read(&self) -> &[usize] {
        match self {
            Self::Value(value) | Self::Rate { value, .. } | Self::Mean { value, .. } => value.columns_read(),
            Self::Silence => &[],
            Self::Custom(custom) => &custom.columns,
        }
    }
}

/// Bytes of a block of means: the size that commits cope with best.
const MEAN_BLOCK_BYTES: usize = 25_000;
/// Share of a mean's windows that must have a value: as for means of air quality in Directive 2008/50/EC, Annex VII.
const KNOWN_SHARE: f64 = 0.75;

/// What a rate or silence remembers of a key.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Mark {
    /// A rate: end of the last window with a value. Silence: end of the last window with readings.
    at: EventTime,
    /// A rate: that value, finite. Silence: 0.
    value: f64,
}

/// The measure of one rule in one partition. A rule that remembers nothing keeps nothing for its keys.
#[derive(Debug)]
pub(super) struct Measuring {
    /// By key; nothing where no value was seen, or where readings come.
    marks: KeyStates<Option<Mark>>,
    /// By key, values of the last windows that a mean is made of, oldest first; NaN for null.
    recent: KeyStates<Vec<f64>>,
    custom: Option<GuardedRule>,
}

impl Measuring {
    /// Without anything remembered. `step`: the name of the rule's step.
    pub(super) fn new(measure: &Measure, step: &str) -> Self {
        let custom = if let Measure::Custom(plan) = measure { Some(GuardedRule::new(plan, step)) } else { None };
        let windows = if let Measure::Mean { windows, .. } = measure { *windows } else { 1 };
        let recent = KeyStates::new(MEAN_BLOCK_BYTES / (windows * size_of::<f64>()));
        Self { marks: KeyStates::new(BLOCK_KEYS_MAX), recent, custom }
    }

    /// The measure of each key at one closed window: null where it is null, not finite or cannot be computed. `batch`
    /// holds a row per key with what the expressions read.
    pub(super) fn measure(
        &mut self,
        measure: &Measure,
        input: &RuleInput<'_>,
        (origins, batch): (&[Origin], &RecordBatch),
    ) -> Result<Float64Array, ArrowError> {
        let window = input.window;
        let measures = match measure {
            Measure::Value(value) => value.evaluate(batch)?.values.as_primitive().clone(),
            Measure::Rate { value, per_micros } => {
                let values = value.evaluate(batch)?.values;
                self.rates(window, values.as_primitive(), *per_micros)
            }
            Measure::Mean { value, windows } => {
                let values = value.evaluate(batch)?.values;
                self.means(window, values.as_primitive(), *windows)
            }
            Measure::Silence => self.silences(window),
            Measure::Custom(plan) => {
                let measured = self.custom.as_mut().map(|rule| rule.measure(plan, input, origins));
                float_column(&measured.unwrap_or_default(), window.key_count())
            }
        };
        for key in &window.expired {
            match measure {
                Measure::Rate { .. } | Measure::Silence => self.marks.update(*key, |mark| *mark = None),
                Measure::Mean { .. } => self.recent.touch(*key).clear(),
                Measure::Value(_) | Measure::Custom(_) => {}
            }
        }
        Ok(measures)
    }

    /// The change since the last window with a value, told for `per_micros`. Null is no change: it is passed over.
    fn rates(&mut self, window: &ClosedWindow, values: &Float64Array, per_micros: i64) -> Float64Array {
        self.each_live(window, |key, mark| {
            let value = values.is_valid(key).then(|| values.value(key)).filter(|value| value.is_finite())?;
            let before = mark.replace(Mark { at: window.end, value })?;
            let periods = (window.end.0 - before.at.0) as f64 / per_micros as f64;
            Some((value - before.value) / periods)
        })
    }

    /// The mean of the values in the last windows, added up from the oldest on so that a restart changes no digit. Null
    /// where too few windows have one.
    fn means(&mut self, window: &ClosedWindow, values: &Float64Array, windows: usize) -> Float64Array {
        self.recent.grow(window.key_count());
        let of_key = |(key, live): (usize, &bool)| {
            if !live {
                return None;
            }
            let value = values.is_valid(key).then(|| values.value(key)).filter(|value| value.is_finite());
            let recent = self.recent.touch(key as KeyId);
            recent.push(value.unwrap_or(f64::NAN));
            recent.drain(..recent.len().saturating_sub(windows));
            let known = || recent.iter().filter(|value| !value.is_nan());
            let count = known().count() as f64;
            (count >= KNOWN_SHARE * windows as f64).then(|| known().sum::<f64>() / count)
        };
        window.live.iter().enumerate().map(of_key).collect()
    }

    /// Minutes from the end of the last window with readings to the end of this one. The window before a key's first empty
    /// one had readings, so nothing need be kept while they come.
    fn silences(&mut self, window: &ClosedWindow) -> Float64Array {
        self.each_live(window, |key, mark| {
            if window.rows[key] > 0 {
                *mark = None;
                return Some(0.0);
            }
            let since = mark.get_or_insert(Mark { at: window.start, value: 0.0 }).at;
            Some((window.end.0 - since.0) as f64 / (60 * MICROS_PER_SECOND) as f64)
        })
    }

    fn each_live(
        &mut self,
        window: &ClosedWindow,
        mut measure: impl FnMut(usize, &mut Option<Mark>) -> Option<f64>,
    ) -> Float64Array {
        self.marks.grow(window.key_count());
        let of_key = |(key, live): (usize, &bool)| {
            // Key ids are u32 everywhere.
            live.then(|| self.marks.update(key as KeyId, |mark| measure(key, mark))).flatten()
        };
        window.live.iter().enumerate().map(of_key).collect()
    }

    pub(super) fn snapshot(&mut self, step: &str, mode: Snapshot, writer: &mut dyn StateWriter) {
        self.marks.snapshot(&marks_step(step), mode, writer);
        self.recent.snapshot(&recent_step(step), mode, writer);
        if let Some(rule) = &mut self.custom {
            rule.snapshot(mode, writer);
        }
    }

    pub(super) fn restore(measure: &Measure, step: &str, reader: &dyn StateReader) -> Result<Self, StateError> {
        let mut read = Self::new(measure, step);
        read.marks = read.marks.restore(&marks_step(step), reader)?;
        read.recent = read.recent.restore(&recent_step(step), reader)?;
        if let Some(rule) = &mut read.custom {
            rule.restore(reader)?;
        }
        Ok(read)
    }
}

fn marks_step(step: &str) -> String {
    format!("{step}.marks")
}

fn recent_step(step: &str) -> String {
    format!("{step}.recent")
}
