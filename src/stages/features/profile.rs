//! Values of closed windows -> the causal seasonal profile: a mean per key and slot of the day or week.
//!
//! A slot with fewer than `min_values` values falls back to the same slot of any day, that to the mean of all.
//! Only values that were observed count, so a profile asked at window `t` knows nothing after `t`. A value far from all that
//! its key has said at any time is held at [`SPREADS_MAX`] spreads: a spoofed one would stay in its slots for weeks.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::calendar::{DAY_MICROS, local_time};
use super::settings::Period;
use crate::stages::moments::Moments;
use crate::vocab::{
    EventTime, KeyId, MICROS_PER_SECOND, Snapshot, StateError, StateReader, StateWriter, from_block, to_block,
};

/// Spreads of all values of a key at which one of them is held: of METR-LA's 600,000 speeds none lies beyond.
const SPREADS_MAX: f64 = 30.0;
/// Keys of one block of state: 64 kB.
const BLOCK_KEYS: usize = 4096;
/// The same of a block of what is usual: 30 kB, at first 100 kB.
const USUAL_BLOCK_KEYS: usize = 1024;
/// Low bits of a block's number that hold its block of keys; the slot stands above.
const BLOCK_BITS: u32 = 16;
/// Most slots: their numbers have to fit above the block's bits, as has the one of what is usual.
const SLOTS_MAX: usize = (1 << (u32::BITS - BLOCK_BITS)) - 1;

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
    /// Slots of each class of days (none with a daily period), then slots of any day.
    slots: Vec<Slot>,
    /// What values of each key are usual at any time. Keys beyond the length have said nothing.
    usual: Vec<Moments>,
    /// Blocks of these that changed.
    usual_changed: Vec<bool>,
    /// The values of a window as they count: a buffer.
    held: Vec<f64>,
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

    /// Those of each class of days, and of any day.
    fn slots(&self) -> usize {
        (classes(self.period) + 1) * self.day_slots()
    }
}

impl Profile {
    /// A profile that has seen nothing.
    #[must_use]
    pub fn new(plan: ProfilePlan) -> Self {
        let slots = vec![Slot::default(); plan.slots()];
        Self { plan, slots, usual: Vec::new(), usual_changed: Vec::new(), held: Vec::new() }
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
        Places { class: class.map(|class| class * day_slots + day), day: classes * day_slots + day }
    }

    /// Takes the values of a window that ends at `time`, by key, NaN for null. What is not finite is passed over: a mean
    /// would never be rid of it.
    pub fn observe(&mut self, time: EventTime, values: &[f64]) {
        let held = self.hold(values);
        let smooth = i64::from(self.plan.smooth);
        let memory = self.plan.memory.map_or(f64::INFINITY, f64::from);
        for step in -smooth..=smooth {
            let places = self.places(time.plus(step * self.plan.slot_micros));
            let weight = (smooth + 1 - step.abs()) as f64 / (smooth + 1) as f64;
            if let Some(class) = places.class {
                self.slots[class].add(&held, weight, memory);
            }
            self.slots[places.day].add(&held, weight, 7.0 * memory);
        }
        self.held = held;
    }

    /// The values of a window as they count. A key whose first values turn out to hold one that is no reading begins anew: it
    /// has entered its slots.
    fn hold(&mut self, values: &[f64]) -> Vec<f64> {
        let mut held = std::mem::take(&mut self.held);
        held.clear();
        held.extend_from_slice(values);
        self.usual.resize(self.usual.len().max(values.len()), Moments::default());
        self.usual_changed.resize(self.usual.len().div_ceil(USUAL_BLOCK_KEYS), false);
        for (key, value) in held.iter_mut().enumerate().filter(|(_, value)| value.is_finite()) {
            let counted = self.usual[key].hold(*value, SPREADS_MAX);
            *value = counted.value;
            self.usual_changed[key / USUAL_BLOCK_KEYS] = true;
            if counted.spoofed_before {
                self.slots.iter_mut().for_each(|slot| slot.forget(key));
                *value = f64::NAN;
            }
        }
        held
    }

    /// The profile at `time` for keys `0..into.len()`, NaN where nothing is known.
    pub fn fill(&self, time: EventTime, into: &mut [f64]) {
        let places = self.places(time);
        let day = &self.slots[places.day];
        let class = places.class.map(|place| &self.slots[place]);
        let least = f64::from(self.plan.min_values.max(1));
        for (key, value) in into.iter_mut().enumerate() {
            let class = class.and_then(|slot| slot.mean(key, least));
            let all = || self.usual.get(key).filter(|usual| usual.count() > 0.0).map(Moments::mean);
            *value = class.or_else(|| day.mean(key, least)).or_else(all).unwrap_or(f64::NAN);
        }
    }

    /// Forgets keys.
    pub fn forget(&mut self, keys: &[KeyId]) {
        for key in keys.iter().map(|key| *key as usize) {
            self.slots.iter_mut().for_each(|slot| slot.forget(key));
            if let Some(usual) = self.usual.get_mut(key) {
                *usual = Moments::default();
                self.usual_changed[key / USUAL_BLOCK_KEYS] = true;
            }
        }
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        let step = &self.plan.step;
        let mut write = |place: usize, block: usize, changed: &mut bool, bytes: Option<Vec<u8>>| {
            let changed = match which {
                Snapshot::Changed => std::mem::take(changed),
                Snapshot::Full => true,
            };
            let number = (place as u32) << BLOCK_BITS | block as u32;
            // A block without a value is no state: restoring would not bring it back.
            match (changed, bytes, which) {
                (true, Some(bytes), _) => writer.put(step, number, bytes),
                (true, None, Snapshot::Changed) => writer.delete(step, number),
                _ => {}
            }
        };
        for (place, slot) in self.slots.iter_mut().enumerate() {
            let blocks = slot.means.chunks(BLOCK_KEYS).zip(&mut slot.changed).enumerate();
            for (block, (means, changed)) in blocks.filter(|(_, (_, changed))| which == Snapshot::Full || **changed) {
                let means = trimmed(means, |mean| mean.weight);
                write(place, block, changed, (!means.is_empty()).then(|| to_block(&means)));
            }
        }
        let blocks = self.usual.chunks(USUAL_BLOCK_KEYS).zip(&mut self.usual_changed).enumerate();
        for (block, (usual, changed)) in blocks.filter(|(_, (_, changed))| which == Snapshot::Full || **changed) {
            let usual = trimmed(usual, Moments::count);
            write(self.slots.len(), block, changed, (!usual.is_empty()).then(|| to_block(&usual)));
        }
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] where a block is not this state.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (number, bytes) in reader.blocks(&self.plan.step) {
            let (place, block) = ((number >> BLOCK_BITS) as usize, (number & ((1 << BLOCK_BITS) - 1)) as usize);
            if place == self.slots.len() {
                let usual: Vec<Moments> = from_block(&self.plan.step, number, bytes)?;
                put_at(&mut self.usual, block * USUAL_BLOCK_KEYS, &usual);
                self.usual_changed = vec![false; self.usual.len().div_ceil(USUAL_BLOCK_KEYS)];
                continue;
            }
            let means: Vec<Mean> = from_block(&self.plan.step, number, bytes)?;
            let slot = self.slots.get_mut(place).ok_or_else(|| StateError {
                step: self.plan.step.clone(),
                block: number,
                reason: format!("slot {place} does not exist"),
            })?;
            put_at(&mut slot.means, block * BLOCK_KEYS, &means);
            slot.changed = vec![false; slot.means.len().div_ceil(BLOCK_KEYS)];
        }
        Ok(())
    }
}

/// Puts a part in its place, with empty ones before it where there are none yet.
fn put_at<T: Clone + Default>(all: &mut Vec<T>, from: usize, part: &[T]) {
    all.resize(all.len().max(from + part.len()), T::default());
    all[from..from + part.len()].clone_from_slice(part);
}

/// Without the empty ones at the end: what is saved must not depend on how many keys came since.
fn trimmed<T>(all: &[T], weight: impl Fn(&T) -> f64) -> &[T] {
    &all[..all.iter().rposition(|one| weight(one) > 0.0).map_or(0, |last| last + 1)]
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

    fn forget(&mut self, key: usize) {
        if let Some(mean) = self.means.get_mut(key).filter(|mean| mean.weight > 0.0) {
            *mean = Mean::default();
            self.changed[key / BLOCK_KEYS] = true;
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
