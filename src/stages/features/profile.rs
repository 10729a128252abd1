//! Values of closed windows -> the causal seasonal profile: a mean per key and slot of the day or week.
//!
//! A slot with fewer than `min_values` values falls back to the same slot of any day, that to the mean of all.
//! Only values that were observed count, so a profile asked at window `t` knows nothing after `t`.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::calendar::{DAY_MICROS, local_time};
use super::settings::Period;
use crate::vocab::{
    EventTime, KeyId, MICROS_PER_SECOND, Snapshot, StateError, StateReader, StateWriter, from_block, to_block,
};

/// Keys of one block of state: 64 kB.
const BLOCK_KEYS: usize = 4096;
/// Low bits of a block's number that hold its block of keys; the slot stands above.
const BLOCK_BITS: u32 = 16;
/// Most slots: their numbers have to fit above the block's bits.
const SLOTS_MAX: usize = 1 << (u32::BITS - BLOCK_BITS);

/// Why a profile cannot have such slots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// They do not make up a day.
    #[error("slot of {seconds} s does not divide a day")]
    Uneven {
        /// The slot, seconds.
        seconds: i64,
    },
    /// There are too many of them.
    #[error("slots of {seconds} s are {slots} over the period; at most {SLOTS_MAX}")]
    TooMany {
        /// The slot, seconds.
        seconds: i64,
        /// How many.
        slots: usize,
    },
}

/// What a profile is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilePlan {
    /// Step name of its state.
    pub step: String,
    /// Season.
    pub period: Period,
    /// Width of a slot, microseconds; divides a day.
    pub slot_micros: i64,
    /// Fewest values, by weight, for a slot to be believed.
    pub min_values: u32,
    /// Slots on either side of its own that a value enters too, with weights that fall to nothing beyond them.
    pub smooth: u32,
    /// Largest weight of what a slot has seen: with it, old values fade. Slots of the day hold seven times as much.
    pub memory: Option<u32>,
    /// Zone whose day and week it is.
    pub zone: Tz,
}

/// Means by slot and key of one partition.
#[derive(Debug)]
pub struct Profile {
    plan: ProfilePlan,
    /// Slots of each class of days (none with a daily period), then slots of any day, then one for everything.
    slots: Vec<Slot>,
}

/// Means of one slot by key. Keys beyond the length have none.
#[derive(Debug, Clone, Default)]
struct Slot {
    means: Vec<Mean>,
    changed: Vec<bool>,
}

/// A running mean.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Mean {
    mean: f64,
    weight: f64,
}

/// The slots that speak of one time.
#[derive(Debug, Clone, Copy)]
struct Places {
    class: Option<usize>,
    day: usize,
    all: usize,
}

impl ProfilePlan {
    /// Whether there can be such slots.
    ///
    /// # Errors
    /// [`SlotError`]: choose another `slot`.
    pub fn check(&self) -> Result<(), SlotError> {
        let seconds = self.slot_micros / MICROS_PER_SECOND;
        if self.slot_micros <= 0 || DAY_MICROS % self.slot_micros != 0 {
            return Err(SlotError::Uneven { seconds });
        }
        let slots = self.slots();
        if slots > SLOTS_MAX { Err(SlotError::TooMany { seconds, slots }) } else { Ok(()) }
    }

    fn day_slots(&self) -> usize {
        usize::try_from(DAY_MICROS / self.slot_micros.max(1)).unwrap_or(1).max(1)
    }

    /// Those of each class of days, of any day, and the one for everything.
    fn slots(&self) -> usize {
        (classes(self.period) + 1) * self.day_slots() + 1
    }
}

impl Profile {
    /// A profile that has seen nothing.
    #[must_use]
    pub fn new(plan: ProfilePlan) -> Self {
        let slots = vec![Slot::default(); plan.slots()];
        Self { plan, slots }
    }

    /// The zone whose day it is.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.plan.zone
    }

    /// Places of the window that ends at `end`, told by its last instant: 23:55..00:00 belongs to the day it lies in.
    fn places(&self, end: EventTime) -> Places {
        let day_slots = self.plan.day_slots();
        let local = local_time(end.plus(-1), self.plan.zone);
        // A slot index is below the number of slots: the remainder guards days that the slot does not divide.
        let day = (local.day_micros / self.plan.slot_micros.max(1)) as usize % day_slots;
        let class = match self.plan.period {
            Period::Day => None,
            Period::Week => Some(local.weekday as usize),
            Period::Workweek => Some(usize::from(local.weekday >= 5)),
        };
        let classes = classes(self.plan.period);
        Places {
            class: class.map(|class| class * day_slots + day),
            day: classes * day_slots + day,
            all: (classes + 1) * day_slots,
        }
    }

    /// Takes the values of a window that ends at `time`, by key, NaN for null. What is not finite is passed over: a mean
    /// would never be rid of it.
    pub fn observe(&mut self, time: EventTime, values: &[f64]) {
        let smooth = i64::from(self.plan.smooth);
        let memory = self.plan.memory.map_or(f64::INFINITY, f64::from);
        for step in -smooth..=smooth {
            let places = self.places(time.plus(step * self.plan.slot_micros));
            let weight = (smooth + 1 - step.abs()) as f64 / (smooth + 1) as f64;
            if let Some(class) = places.class {
                self.slots[class].add(values, weight, memory);
            }
            self.slots[places.day].add(values, weight, 7.0 * memory);
        }
        let all = self.places(time).all;
        self.slots[all].add(values, 1.0, f64::INFINITY);
    }

    /// The profile at `time` for keys `0..into.len()`, NaN where nothing is known.
    pub fn fill(&self, time: EventTime, into: &mut [f64]) {
        let places = self.places(time);
        let (day, all) = (&self.slots[places.day], &self.slots[places.all]);
        let class = places.class.map(|place| &self.slots[place]);
        let least = f64::from(self.plan.min_values.max(1));
        for (key, value) in into.iter_mut().enumerate() {
            let class = class.and_then(|slot| slot.mean(key, least));
            *value = class.or_else(|| day.mean(key, least)).or_else(|| all.mean(key, 1.0)).unwrap_or(f64::NAN);
        }
    }

    /// Forgets keys.
    pub fn forget(&mut self, keys: &[KeyId]) {
        for slot in &mut self.slots {
            for key in keys.iter().map(|key| *key as usize) {
                if slot.means.get(key).is_some_and(|mean| mean.weight > 0.0) {
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
    &means[..means.iter().rposition(|mean| mean.weight > 0.0).map_or(0, |last| last + 1)]
}

impl Slot {
    /// Takes values with this weight; what the slot has seen keeps at most `memory`.
    fn add(&mut self, values: &[f64], weight: f64, memory: f64) {
        self.means.resize(self.means.len().max(values.len()), Mean::default());
        self.changed.resize(self.means.len().div_ceil(BLOCK_KEYS), false);
        for (block, values) in values.chunks(BLOCK_KEYS).enumerate() {
            let means = &mut self.means[block * BLOCK_KEYS..];
            for (mean, value) in means.iter_mut().zip(values).filter(|(_, value)| value.is_finite()) {
                mean.weight = (mean.weight + weight).min(memory);
                mean.mean += weight * (value - mean.mean) / mean.weight;
                self.changed[block] = true;
            }
        }
    }

    fn mark(&mut self, key: usize) {
        if let Some(changed) = self.changed.get_mut(key / BLOCK_KEYS) {
            *changed = true;
        }
    }

    fn mean(&self, key: usize, least: f64) -> Option<f64> {
        let mean = self.means.get(key)?;
        (mean.weight >= least).then_some(mean.mean)
    }
}

/// How many classes of days have slots of their own.
fn classes(period: Period) -> usize {
    match period {
        Period::Day => 0,
        Period::Week => 7,
        Period::Workweek => 2,
    }
}
