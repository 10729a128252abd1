//! Values of closed windows -> the mean value of each key at a time of the day or week, from what was seen before:
//! the seasonal baseline. Never smooths, never forgets but by key.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::settings::ProfileSettings;
use crate::stages::features::Period;
use crate::vocab::{EventTime, KeyId, MICROS_PER_SECOND, Snapshot, StateError, StateReader, StateWriter};
use crate::vocab::{from_block, to_block};

/// Microseconds of a day.
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Most slots: those of a week of five-minute slots, of its day, and the overall one, with room to spare.
const SLOTS_MAX: i64 = 4_000;

/// Values that a slot needs before it is believed; the day's slot stands in for the week's, then the overall mean.
const VALUES_MIN: u32 = 3;

/// Keys of a slot that share a block: 12 bytes each, 32 kB.
const KEYS_PER_BLOCK: usize = 2_700;

/// Bits of a block's number that tell the keys; those above tell the slot.
const KEY_BLOCK_BITS: u32 = 20;

/// Slots and time zone of a seasonal profile, checked.
#[derive(Debug, Clone)]
pub struct BaselinePlan {
    period: Period,
    slot_micros: i64,
    timezone: Tz,
}

/// The slots that a time falls into, most special first; the overall slot comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots([usize; 3]);

/// Running mean of one key in one slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Mean {
    count: u32,
    mean: f64,
}

/// Running means of all keys.
#[derive(Debug)]
pub struct SeasonalProfile {
    plan: BaselinePlan,
    step: String,
    /// `slots[slot][key]`, each as long as the largest key seen in it.
    slots: Vec<Vec<Mean>>,
    changed: BTreeSet<u32>,
}

impl BaselinePlan {
    /// Checks the settings.
    ///
    /// # Errors
    /// The key under `baselines:` and what is wrong with it.
    pub fn new(settings: &ProfileSettings) -> Result<Self, (&'static str, String)> {
        let slot_micros = settings.slot_micros;
        if slot_micros <= 0 || MICROS_PER_DAY % slot_micros != 0 {
            return Err(("slot", format!("a day is no whole multiple of {} s", slot_micros as f64 / 1e6)));
        }
        let slots = 8 * (MICROS_PER_DAY / slot_micros) + 1;
        if slots > SLOTS_MAX {
            return Err(("slot", format!("{slots} slots exceed the limit of {SLOTS_MAX}")));
        }
        let name = settings.timezone.as_deref().unwrap_or("UTC");
        let timezone = name.parse().map_err(|_| ("timezone", format!("unknown time zone `{name}`")))?;
        Ok(Self { period: settings.period, slot_micros, timezone })
    }

    /// Slots of the window that ends at `end`, told by its last microsecond.
    #[must_use]
    pub fn slots_at(&self, end: EventTime) -> Slots {
        let time = DateTime::from_timestamp_micros(end.0.saturating_sub(1)).unwrap_or_default();
        let offset_s = i64::from(self.timezone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc());
        let local = time + chrono::TimeDelta::seconds(offset_s);
        let seconds = i64::from(local.num_seconds_from_midnight());
        let micros = seconds * MICROS_PER_SECOND + i64::from(local.timestamp_subsec_micros());
        // Both are below SLOTS_MAX.
        let per_day = (MICROS_PER_DAY / self.slot_micros) as usize;
        let day = (micros / self.slot_micros) as usize;
        let weekday = local.weekday().num_days_from_monday() as usize;
        let special = match self.period {
            Period::Day => 1 + day,
            Period::Week => 1 + per_day * (1 + weekday) + day,
        };
        Slots([special, 1 + day, 0])
    }

    fn slot_count(&self) -> usize {
        let per_day = (MICROS_PER_DAY / self.slot_micros) as usize;
        1 + per_day * if self.period == Period::Week { 8 } else { 1 }
    }
}

impl SeasonalProfile {
    /// Nothing seen yet. State goes to the step `step`.
    #[must_use]
    pub fn new(plan: BaselinePlan, step: String) -> Self {
        let slots = vec![Vec::new(); plan.slot_count()];
        Self { plan, step, slots, changed: BTreeSet::new() }
    }

    /// Takes the values of a closed window in: `values[key]`, NaN where there is none.
    pub fn observe_many(&mut self, end: EventTime, values: &[f64]) {
        let Slots(mut slots) = self.plan.slots_at(end);
        if slots[0] == slots[1] {
            slots[1] = 0;
        }
        let known = if slots[1] == 0 { &[slots[0], 0][..] } else { &slots[..] };
        for &slot in known {
            for (key, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
                let means = &mut self.slots[slot];
                if means.len() <= key {
                    means.resize(key + 1, Mean::default());
                }
                let Mean { count, mean } = &mut means[key];
                *count = count.saturating_add(1);
                *mean += (value - *mean) / f64::from(*count);
                self.changed.insert(block(slot, key));
            }
        }
    }

    /// Writes each key's mean for the window that ends at `end`: `forecasts[key]`, NaN for a key without values.
    pub fn predict_many(&self, end: EventTime, forecasts: &mut [f64]) {
        let Slots(slots) = self.plan.slots_at(end);
        for (key, forecast) in forecasts.iter_mut().enumerate() {
            let of = |slot: usize| self.slots[slot].get(key).copied().unwrap_or_default();
            let believed = slots[..2].iter().map(|&slot| of(slot)).find(|mean| mean.count >= VALUES_MIN);
            let overall = of(0);
            *forecast = match believed {
                Some(mean) => mean.mean,
                None if overall.count > 0 => overall.mean,
                None => f64::NAN,
            };
        }
    }

    /// Drops what was seen of these keys.
    pub fn forget(&mut self, keys: &[KeyId]) {
        for (slot, means) in self.slots.iter_mut().enumerate() {
            for &key in keys {
                if let Some(mean) = means.get_mut(key as usize).filter(|mean| mean.count > 0) {
                    *mean = Mean::default();
                    self.changed.insert(block(slot, key as usize));
                }
            }
        }
    }

    /// Writes the state: a window changes the blocks of two or three slots only.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        let blocks: Vec<u32> = match which {
            Snapshot::Changed => std::mem::take(&mut self.changed).into_iter().collect(),
            Snapshot::Full => (0..self.slots.len())
                .flat_map(|slot| (0..self.slots[slot].len()).step_by(KEYS_PER_BLOCK).map(move |key| block(slot, key)))
                .collect(),
        };
        for number in blocks {
            let means = &self.slots[(number >> KEY_BLOCK_BITS) as usize];
            let first = (number & ((1 << KEY_BLOCK_BITS) - 1)) as usize * KEYS_PER_BLOCK;
            let held = &means[first..(first + KEYS_PER_BLOCK).min(means.len())];
            writer.put(&self.step, number, to_block(&held));
        }
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit the plan.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (number, bytes) in reader.blocks(&self.step) {
            let held: Vec<Mean> = from_block(&self.step, number, bytes)?;
            let slot = (number >> KEY_BLOCK_BITS) as usize;
            let means = self.slots.get_mut(slot).filter(|means| block(slot, means.len()) == number);
            let Some(means) = means else {
                let reason = "its slots are not this plan's".to_owned();
                return Err(StateError { step: self.step.clone(), block: number, reason });
            };
            means.extend(held);
        }
        Ok(())
    }
}

/// Number of the block that holds a key's mean in a slot.
fn block(slot: usize, key: usize) -> u32 {
    // At most SLOTS_MAX slots: 12 bits above the 20 of the keys.
    (slot as u32) << KEY_BLOCK_BITS | (key / KEYS_PER_BLOCK) as u32
}
