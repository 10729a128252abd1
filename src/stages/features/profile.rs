//! Values of closed windows -> the causal seasonal profile: a mean per key and slot of the day or week.
//!
//! A slot of the week with fewer than `min_values` values falls back to the slot of the day, that to the mean of all.
//! Only values that were observed count, so a profile asked at window `t` knows nothing after `t`.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::calendar::{DAY_MICROS, local_time};
use super::settings::Period;
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Keys of one block of state: 48 kB where every count is small.
const BLOCK_KEYS: usize = 4096;
/// Low bits of a block's number that hold its block of keys; the slot stands above.
const BLOCK_BITS: u32 = 16;

/// What a profile is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilePlan {
    /// Step name of its state.
    pub step: String,
    /// Season.
    pub period: Period,
    /// Width of a slot, microseconds; divides a day.
    pub slot_micros: i64,
    /// Fewest values for a slot to be believed.
    pub min_values: u32,
    /// Zone whose day and week it is.
    pub zone: Tz,
}

/// Means by slot and key of one partition.
#[derive(Debug)]
pub struct Profile {
    plan: ProfilePlan,
    /// Slots of the week (none with a daily period), then slots of the day, then one for everything.
    slots: Vec<Slot>,
}

/// Sums of one slot by key. Keys beyond the length have none.
#[derive(Debug, Clone, Default)]
struct Slot {
    means: Vec<Mean>,
    changed: Vec<bool>,
}

/// A running mean.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Mean {
    sum: f64,
    count: u32,
}

/// The slots that speak of one time.
#[derive(Debug, Clone, Copy)]
struct Places {
    week: Option<usize>,
    day: usize,
    all: usize,
}

impl Profile {
    /// A profile that has seen nothing.
    #[must_use]
    pub fn new(plan: ProfilePlan) -> Self {
        let day_slots = Self::day_slots(&plan);
        let week_slots = if plan.period == Period::Week { 7 * day_slots } else { 0 };
        Self { plan, slots: vec![Slot::default(); week_slots + day_slots + 1] }
    }

    fn day_slots(plan: &ProfilePlan) -> usize {
        usize::try_from(DAY_MICROS / plan.slot_micros.max(1)).unwrap_or(1).max(1)
    }

    fn places(&self, time: EventTime) -> Places {
        let day_slots = Self::day_slots(&self.plan);
        let local = local_time(time, self.plan.zone);
        // A slot index is below the number of slots: the remainder guards days that the slot does not divide.
        let day = (local.day_micros / self.plan.slot_micros.max(1)) as usize % day_slots;
        match self.plan.period {
            Period::Week => Places {
                week: Some(local.weekday as usize * day_slots + day),
                day: 7 * day_slots + day,
                all: 8 * day_slots,
            },
            Period::Day => Places { week: None, day, all: day_slots },
        }
    }

    /// Takes the values of a window that ends at `time`, by key, NaN for null.
    pub fn observe(&mut self, time: EventTime, values: &[f64]) {
        let places = self.places(time);
        for place in places.week.into_iter().chain([places.day, places.all]) {
            self.slots[place].add(values);
        }
    }

    /// The profile at `time` for keys `0..into.len()`, NaN where nothing is known.
    pub fn fill(&self, time: EventTime, into: &mut [f64]) {
        let places = self.places(time);
        let (day, all) = (&self.slots[places.day], &self.slots[places.all]);
        let week = places.week.map(|place| &self.slots[place]);
        let min_values = self.plan.min_values;
        for (key, value) in into.iter_mut().enumerate() {
            let week = week.and_then(|slot| slot.mean(key, min_values));
            *value = week.or_else(|| day.mean(key, min_values)).or_else(|| all.mean(key, 1)).unwrap_or(f64::NAN);
        }
    }

    /// Forgets keys.
    pub fn forget(&mut self, keys: &[KeyId]) {
        for slot in &mut self.slots {
            for key in keys.iter().map(|key| *key as usize) {
                if slot.means.get(key).is_some_and(|mean| mean.count > 0) {
                    slot.means[key] = Mean::default();
                    slot.mark(key);
                }
            }
        }
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        for (place, slot) in self.slots.iter_mut().enumerate() {
            for (block, means) in slot.means.chunks(BLOCK_KEYS).enumerate() {
                let changed = slot.changed.get_mut(block).map(|changed| match which {
                    Snapshot::Changed => std::mem::take(changed),
                    Snapshot::Full => true,
                });
                let number = (place as u32) << BLOCK_BITS | block as u32;
                let means = trimmed(means);
                // A block without a value is no state: restoring would not bring it back.
                match (changed, means.is_empty(), which) {
                    (Some(true), false, _) => writer.put(&self.plan.step, number, to_block(&means)),
                    (Some(true), true, Snapshot::Changed) => writer.delete(&self.plan.step, number),
                    _ => {}
                }
            }
        }
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] where a block is not this state.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (number, bytes) in reader.blocks(&self.plan.step) {
            let means: Vec<Mean> = from_block(&self.plan.step, number, bytes)?;
            let (place, block) = ((number >> BLOCK_BITS) as usize, (number & ((1 << BLOCK_BITS) - 1)) as usize);
            let slot = self.slots.get_mut(place).ok_or_else(|| StateError {
                step: self.plan.step.clone(),
                block: number,
                reason: format!("slot {place} does not exist"),
            })?;
            let from = block * BLOCK_KEYS;
            slot.means.resize(slot.means.len().max(from + means.len()), Mean::default());
            slot.means[from..from + means.len()].copy_from_slice(&means);
            slot.changed = vec![false; slot.means.len().div_ceil(BLOCK_KEYS)];
        }
        Ok(())
    }
}

/// Without the empty means at the end: what is saved must not depend on how many keys came since.
fn trimmed(means: &[Mean]) -> &[Mean] {
    &means[..means.iter().rposition(|mean| mean.count > 0).map_or(0, |last| last + 1)]
}

impl Slot {
    fn add(&mut self, values: &[f64]) {
        self.means.resize(self.means.len().max(values.len()), Mean::default());
        self.changed.resize(self.means.len().div_ceil(BLOCK_KEYS), false);
        for (block, values) in values.chunks(BLOCK_KEYS).enumerate() {
            let means = &mut self.means[block * BLOCK_KEYS..];
            for (mean, value) in means.iter_mut().zip(values).filter(|(_, value)| !value.is_nan()) {
                mean.sum += value;
                mean.count = mean.count.saturating_add(1);
                self.changed[block] = true;
            }
        }
    }

    fn mark(&mut self, key: usize) {
        if let Some(changed) = self.changed.get_mut(key / BLOCK_KEYS) {
            *changed = true;
        }
    }

    fn mean(&self, key: usize, min_values: u32) -> Option<f64> {
        let mean = self.means.get(key)?;
        (mean.count >= min_values.max(1)).then(|| mean.sum / f64::from(mean.count))
    }
}
