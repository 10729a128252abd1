//! Feature rows -> what a network reads: values in spreads around their means, a flag for each that is missing, the key,
//! the time of day and the day of the week.
//!
//! Means and spreads are those of the first history, or of the one that it was trained on, and stay as they are then: a network's weights mean something only
//! together with them. Those of a column that was constant by then are set anew once it varies: it has said nothing before.

use serde::{Deserialize, Serialize};

use super::params::MlpParams;
use super::unsettled::Unsettled;
use crate::stages::features::{FeatureMatrix, local_time};
use crate::stages::predict::moments::Moments;
use crate::vocab::EventTime;

/// Means and spreads of the columns and of the target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scales {
    /// Windows seen before they were fixed.
    pub windows: u64,
    /// Of each column.
    pub columns: Vec<Moments>,
    /// Of the labels.
    pub target: Moments,
    /// Columns, and the target after them, that had not varied when they were fixed.
    pub(super) unsettled: Unsettled,
}

impl Scales {
    /// Nothing seen of so many columns.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { columns: vec![Moments::default(); columns], ..Self::default() }
    }

    /// Those that a network was trained with.
    #[must_use]
    pub fn known(columns: Vec<Moments>, target: Moments) -> Self {
        Self { columns, target, ..Self::default() }
    }

    /// Whether they are fixed.
    #[must_use]
    pub fn fixed(&self, params: &MlpParams) -> bool {
        let seen = params.start.pretrained.is_some() || self.windows >= params.history as u64;
        seen && self.target.count() > 1.0
    }

    /// Takes a window's rows and labels in: until the scales are fixed, and then where a column had not varied yet.
    pub fn observe(&mut self, params: &MlpParams, features: &FeatureMatrix, targets: &[f64]) {
        if self.fixed(params) {
            self.observe_unsettled(params, features, targets);
            return;
        }
        let width = features.columns.len();
        for (row, target) in features.values.chunks_exact(width.max(1)).zip(targets) {
            if !target.is_finite() {
                continue;
            }
            self.target.add_held(*target);
            for (moments, &column) in self.columns.iter_mut().zip(&params.columns) {
                if row[column].is_finite() {
                    moments.add_held(row[column]);
                }
            }
        }
        self.windows += 1;
        if self.fixed(params) {
            self.unsettled = Unsettled::of(self.columns.iter().chain([&self.target]));
        }
    }

    fn observe_unsettled(&mut self, params: &MlpParams, features: &FeatureMatrix, targets: &[f64]) {
        if self.unsettled.is_empty() {
            return;
        }
        let width = features.columns.len();
        for (row, target) in features.values.chunks_exact(width.max(1)).zip(targets) {
            if !target.is_finite() {
                continue;
            }
            self.unsettled.observe(self.columns.len(), *target, &mut self.target);
            for (place, (fixed, &column)) in self.columns.iter_mut().zip(&params.columns).enumerate() {
                if row[column].is_finite() {
                    self.unsettled.observe(place, row[column], fixed);
                }
            }
        }
    }

    /// A label in spreads.
    #[must_use]
    pub fn label(&self, label: f32) -> f32 {
        self.target.scaled(f64::from(label)) as f32
    }

    /// The same, NaN of one that is missing.
    #[must_use]
    pub fn label_or_missing(&self, label: f32) -> f32 {
        if label.is_finite() { self.label(label) } else { f32::NAN }
    }

    /// A network's output in the target's unit.
    #[must_use]
    pub fn forecast(&self, output: f32) -> f64 {
        f64::from(output) * self.target.spread() + self.target.mean()
    }

    /// What turns a column's scaled value into one in the target's scale: factor and addend.
    #[must_use]
    pub fn anchor(&self, column: usize) -> (f32, f32) {
        let (moments, spread) = (&self.columns[column], self.target.spread());
        ((moments.spread() / spread) as f32, ((moments.mean() - self.target.mean()) / spread) as f32)
    }
}

/// Rows as a network reads them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// How many.
    pub rows: usize,
    /// `rows x 2 columns`: scaled values, then flags, 1 for missing.
    pub inputs: Vec<f32>,
    /// The key of each.
    pub keys: Vec<i32>,
    /// Its slot of the day.
    pub slots: Vec<i32>,
    /// Its day of the week, Monday 0.
    pub days: Vec<i32>,
}

impl Batch {
    /// Adds a row of a window that ended at `end`: `values` of the columns that the network reads, NaN where missing.
    pub fn push(&mut self, params: &MlpParams, scales: &Scales, (end, key): (EventTime, u32), values: &[f32]) {
        let scaled = scales
            .columns
            .iter()
            .zip(values)
            .map(|(moments, &value)| if value.is_finite() { moments.scaled(f64::from(value)) as f32 } else { 0.0 });
        self.inputs.extend(scaled);
        self.inputs.extend(values.iter().map(|value| f32::from(u8::from(!value.is_finite()))));
        let local = local_time(end, params.zone);
        // A key's number is below the number of keys, slots are at most 1440, days 7.
        self.keys.push(key as i32);
        self.slots.push((local.day_micros / params.slot_micros) as i32);
        self.days.push(local.weekday as i32);
        self.rows += 1;
    }
}
