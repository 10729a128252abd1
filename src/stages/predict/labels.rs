//! Forecasts wait here, with the feature rows they were made from, until the window that holds their label has
//! closed; bounded by the longest horizon. A label's time is compared with the forecast's own time, never counted in
//! windows, so a missing window shifts nothing. Nothing learns or is scored here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::blocks::BLOCK_BYTES;
use super::intervals::Bounds;
use crate::stages::features::{FeatureColumn, FeatureMatrix};
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Most window steps of a horizon: with 20 bits for blocks of keys it keeps block numbers in 32 bits.
pub const HORIZON_STEPS_MAX: u32 = 4000;

/// Bits of a block's number that tell the keys; those above tell the window.
const KEY_BLOCK_BITS: u32 = 20;

/// What was known and forecast at one closed window.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The columns that the predictor uses.
    pub features: FeatureMatrix,
    /// The model's forecasts as emitted: `[horizon][key]`.
    pub model: Vec<Vec<f64>>,
    /// Those of the experts that it was mixed from: `[horizon][expert][key]`, without experts where it was not.
    pub experts: Vec<Vec<Vec<f64>>>,
    /// Persistence's, the same for every horizon: `[key]`.
    pub persistence: Vec<f64>,
    /// The profile's: `[horizon][key]`.
    pub profile: Vec<Vec<f64>>,
    /// Intervals of the model's: `[horizon]`, empty where there are none.
    pub bounds: Vec<Bounds>,
    /// Labels that came with the features, to be learned before the next window: `[key]`, empty where labels come later.
    pub labels: Vec<f64>,
}

/// Some keys of an [`Origin`] in the state.
#[derive(Debug, Serialize, Deserialize)]
struct OriginBlock {
    end: EventTime,
    rows: u32,
    values: Vec<f64>,
    model: Vec<Vec<f64>>,
    experts: Vec<Vec<Vec<f64>>>,
    persistence: Vec<f64>,
    profile: Vec<Vec<f64>>,
    bounds: Vec<Bounds>,
    labels: Vec<f64>,
}

/// Origins that still wait for a label, oldest first.
#[derive(Debug)]
pub struct Pending {
    step: String,
    size_micros: i64,
    slots: i64,
    horizons: usize,
    experts: usize,
    bounded: bool,
    columns: Arc<[FeatureColumn]>,
    keys_per_block: usize,
    origins: VecDeque<Origin>,
    changed: BTreeSet<u32>,
}

impl Pending {
    /// Nothing waits. `steps_max` is the longest horizon in windows of `size_micros`; `experts` of each horizon are mixed; forecasts
    /// are `bounded` where they have intervals.
    #[must_use]
    pub fn new(
        step: String,
        size_micros: i64,
        steps_max: u32,
        (horizons, experts, bounded): (usize, usize, bool),
        columns: Arc<[FeatureColumn]>,
    ) -> Self {
        let of_horizon = 2 + experts + if bounded { Bounds::NUMBERS } else { 0 };
        let bytes_per_key = (columns.len() + of_horizon * horizons + 1) * size_of::<f64>();
        Self {
            step,
            size_micros,
            // What is predicted of a window itself waits until the next one.
            slots: i64::from(steps_max.max(1)),
            horizons,
            experts,
            bounded,
            columns,
            keys_per_block: (BLOCK_BYTES / bytes_per_key).max(1),
            origins: VecDeque::new(),
            changed: BTreeSet::new(),
        }
    }

    /// The newest origin.
    #[must_use]
    pub fn newest(&self) -> Option<&Origin> {
        self.origins.back()
    }

    /// What was known and forecast at the window that ended at `end`, if it still waits.
    #[must_use]
    pub fn at(&self, end: EventTime) -> Option<&Origin> {
        let index = self.origins.binary_search_by_key(&end, |origin| origin.features.end).ok()?;
        self.origins.get(index)
    }

    /// Adds the newest origin and drops those whose last label came with its window.
    pub fn push(&mut self, origin: Origin) {
        let end = origin.features.end;
        let oldest = end.plus(-self.size_micros * (self.slots - 1));
        while self.origins.front().is_some_and(|waiting| waiting.features.end < oldest) {
            if let Some(gone) = self.origins.pop_front() {
                self.mark(gone.features.end, gone.features.rows);
            }
        }
        self.mark(end, origin.features.rows);
        self.origins.push_back(origin);
    }

    /// Blanks everything that waits for these keys: their ids may be given to others, who must not learn from it.
    pub fn forget(&mut self, keys: &[KeyId]) {
        let width = self.columns.len();
        for origin in &mut self.origins {
            let slot = slot(origin.features.end, self.size_micros, self.slots);
            let known = origin.features.rows;
            for key in keys.iter().map(|&key| key as usize).filter(|&key| key < known) {
                origin.features.values[key * width..(key + 1) * width].fill(f64::NAN);
                origin.persistence[key] = f64::NAN;
                if let Some(label) = origin.labels.get_mut(key) {
                    *label = f64::NAN;
                }
                for forecasts in origin.columns_mut() {
                    forecasts[key] = f64::NAN;
                }
                origin.bounds.iter_mut().for_each(|bounds| bounds.forget(key));
                self.changed.insert(slot | (key / self.keys_per_block) as u32);
            }
        }
    }

    /// Writes blocks: a group per window, so that a window's rows are written once.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        let mut places = BTreeMap::new();
        for (index, origin) in self.origins.iter().enumerate() {
            let slot = slot(origin.features.end, self.size_micros, self.slots);
            let blocks = origin.features.rows.div_ceil(self.keys_per_block);
            places.extend((0..blocks).map(|block| (slot | block as u32, (index, block))));
        }
        let blocks: Vec<u32> = match which {
            Snapshot::Full => places.keys().copied().collect(),
            Snapshot::Changed => std::mem::take(&mut self.changed).into_iter().collect(),
        };
        for number in blocks {
            match places.get(&number) {
                Some(&(index, block)) => {
                    let first = block * self.keys_per_block;
                    let origin = &self.origins[index];
                    let keys = first..(first + self.keys_per_block).min(origin.features.rows);
                    writer.put(&self.step, number, to_block(&origin.part(keys)));
                }
                None => writer.delete(&self.step, number),
            }
        }
    }

    /// Reads the blocks back.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit the plan.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        let mut origins: BTreeMap<EventTime, Origin> = BTreeMap::new();
        for (number, bytes) in reader.blocks(&self.step) {
            let block: OriginBlock = from_block(&self.step, number, bytes)?;
            let place = slot(block.end, self.size_micros, self.slots);
            let origin = origins.entry(block.end).or_insert_with(|| self.empty(block.end));
            let held = block.persistence.len();
            let fits = number >> KEY_BLOCK_BITS == place >> KEY_BLOCK_BITS
                && block.values.len() == held * self.columns.len()
                && block.model.len() == self.horizons
                && block.profile.len() == self.horizons
                && block.experts.len() == self.horizons
                && block.experts.iter().all(|experts| experts.len() == self.experts)
                && block.columns().all(|forecasts| forecasts.len() == held)
                && block.bounds.len() == if self.bounded { self.horizons } else { 0 }
                && block.bounds.iter().all(|bounds| bounds.fits(held))
                && (block.labels.is_empty() || block.labels.len() == held)
                && origin.persistence.len() + held <= block.rows as usize;
            if !fits {
                let reason = "its columns, horizons or window are not this plan's".to_owned();
                return Err(StateError { step: self.step.clone(), block: number, reason });
            }
            origin.append(&block);
        }
        if let Some(origin) = origins.values().find(|origin| origin.persistence.len() != origin.features.rows) {
            let block = slot(origin.features.end, self.size_micros, self.slots);
            let reason = format!("{} of {} rows", origin.persistence.len(), origin.features.rows);
            return Err(StateError { step: self.step.clone(), block, reason });
        }
        self.origins = origins.into_values().collect();
        Ok(())
    }

    fn empty(&self, end: EventTime) -> Origin {
        Origin {
            features: FeatureMatrix { end, columns: Arc::clone(&self.columns), rows: 0, values: Vec::new() },
            model: vec![Vec::new(); self.horizons],
            experts: vec![vec![Vec::new(); self.experts]; self.horizons],
            persistence: Vec::new(),
            profile: vec![Vec::new(); self.horizons],
            bounds: if self.bounded { vec![Bounds::none(0); self.horizons] } else { Vec::new() },
            labels: Vec::new(),
        }
    }

    fn mark(&mut self, end: EventTime, rows: usize) {
        let slot = slot(end, self.size_micros, self.slots);
        self.changed.extend((0..rows.div_ceil(self.keys_per_block)).map(|block| slot | block as u32));
    }
}

impl OriginBlock {
    /// Forecasts of the model, the profile and the experts, in the order of [`Origin::columns_mut`].
    fn columns(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.model.iter().chain(&self.profile).chain(self.experts.iter().flatten())
    }
}

impl Origin {
    fn columns_mut(&mut self) -> impl Iterator<Item = &mut Vec<f64>> {
        self.model.iter_mut().chain(&mut self.profile).chain(self.experts.iter_mut().flatten())
    }

    fn part(&self, keys: Range<usize>) -> OriginBlock {
        let width = self.features.columns.len();
        let some = |forecasts: &Vec<f64>| forecasts[keys.clone()].to_vec();
        OriginBlock {
            end: self.features.end,
            // A window has at most as many rows as there are key ids, which are u32.
            rows: self.features.rows as u32,
            values: self.features.values[keys.start * width..keys.end * width].to_vec(),
            model: self.model.iter().map(some).collect(),
            experts: self.experts.iter().map(|experts| experts.iter().map(some).collect()).collect(),
            persistence: self.persistence[keys.clone()].to_vec(),
            profile: self.profile.iter().map(some).collect(),
            bounds: self.bounds.iter().map(|bounds| bounds.part(keys.clone())).collect(),
            labels: self.labels.get(keys).map(<[f64]>::to_vec).unwrap_or_default(),
        }
    }

    fn append(&mut self, block: &OriginBlock) {
        self.features.rows = block.rows as usize;
        self.features.values.extend(&block.values);
        self.persistence.extend(&block.persistence);
        for (forecasts, more) in self.columns_mut().zip(block.columns()) {
            forecasts.extend(more);
        }
        self.labels.extend(&block.labels);
        self.bounds.iter_mut().zip(&block.bounds).for_each(|(bounds, more)| bounds.append(more));
    }
}

/// First block number of the window that ended at `end`. Windows that wait together have different slots.
fn slot(end: EventTime, size_micros: i64, slots: i64) -> u32 {
    // At most HORIZON_STEPS_MAX slots: 12 bits above the 20 of the keys.
    (end.0.div_euclid(size_micros).rem_euclid(slots) as u32) << KEY_BLOCK_BITS
}
