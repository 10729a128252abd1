//! Rows of past windows with the labels that have come for them, to learn from again: those drawn at random of each
//! window, of the newest windows. Older windows are drawn less often, by exponential age.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::params::MlpParams;
use super::training::{Dice, unit};
use crate::stages::features::FeatureMatrix;
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Rows of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its end.
    pub end: EventTime,
    /// The key of each row, ascending.
    pub keys: Vec<u32>,
    /// `rows x columns`, in the columns' own units, NaN where missing.
    pub values: Vec<f32>,
    /// `rows x horizons`, in the target's unit, NaN before a label has come.
    pub labels: Vec<f32>,
}

/// The memory of one network.
#[derive(Debug)]
pub struct Replay {
    step: String,
    windows: VecDeque<Remembered>,
    changed: BTreeSet<u32>,
}

impl Replay {
    /// Empty. State goes to `step`, a block per window.
    #[must_use]
    pub fn new(step: String) -> Self {
        Self { step, windows: VecDeque::new(), changed: BTreeSet::new() }
    }

    /// The step of its state.
    pub(super) fn step(&self) -> &str {
        &self.step
    }

    /// Notes the labels of a horizon for the rows of a window, and returns how many. The first that come choose the rows;
    /// while there is room, later ones add those whose shorter horizons have no label.
    pub fn take(&mut self, params: &MlpParams, horizon: usize, features: &FeatureMatrix, targets: &[f64]) -> u64 {
        let (end, horizons) = (features.end, params.horizons_micros.len());
        // One that was too old to be kept does not come back.
        if self.oldest(params).is_some_and(|oldest| end < oldest) {
            return 0;
        }
        let found = self.windows.binary_search_by_key(&end, |window| window.end);
        let known = found.ok().map(|index| &self.windows[index]);
        if let Some(chosen) = choose(params, horizon, features, targets, known) {
            match found {
                Ok(index) => self.windows[index].merge(&chosen, params.columns.len(), horizons),
                Err(index) => self.windows.insert(index, chosen),
            }
        }
        self.drop_old(params);
        let Ok(index) = self.windows.binary_search_by_key(&end, |window| window.end) else { return 0 };
        let window = &mut self.windows[index];
        let mut noted = 0;
        for (&key, labels) in window.keys.iter().zip(window.labels.chunks_exact_mut(horizons)) {
            if let Some(label) = targets.get(key as usize).filter(|label| label.is_finite()) {
                labels[horizon] = *label as f32;
                noted += 1;
            }
        }
        if noted > 0 {
            self.changed.insert(slot(params, end));
        }
        noted
    }

    /// End of the oldest window that is kept: every one that is has a slot of its own in the ring.
    fn oldest(&self, params: &MlpParams) -> Option<EventTime> {
        let newest = self.windows.back()?.end;
        Some(newest.plus(-params.every_micros * (params.replay_windows as i64 - 1)))
    }

    fn drop_old(&mut self, params: &MlpParams) {
        let Some(oldest) = self.oldest(params) else { return };
        while let Some(gone) = self.windows.pop_front_if(|window| window.end < oldest) {
            self.changed.insert(slot(params, gone.end));
        }
    }

    /// Blanks the labels of these keys: their ids may be given to others.
    pub fn forget(&mut self, params: &MlpParams, keys: &[KeyId]) {
        let horizons = params.horizons_micros.len();
        for window in &mut self.windows {
            for key in keys {
                // Keys of a window are sorted.
                let Ok(row) = window.keys.binary_search(key) else { continue };
                window.labels[row * horizons..(row + 1) * horizons].fill(f32::NAN);
                self.changed.insert(slot(params, window.end));
            }
        }
    }

    /// A row drawn at random, that has a label: its window's end, key, values and labels. `None` where there is none to be
    /// found soon.
    pub fn draw(&self, params: &MlpParams, dice: &mut Dice) -> Option<(EventTime, u32, &[f32], &[f32])> {
        const TRIES: usize = 16;
        let (columns, horizons) = (params.columns.len(), params.horizons_micros.len());
        let count = self.windows.len();
        // The exponential distribution, cut off at the oldest window.
        let within = 1.0 - (-(count as f64) / params.replay_age).exp();
        for _ in 0..TRIES {
            let age = -params.replay_age * (1.0 - within * unit(dice)).ln();
            let window = &self.windows[count.checked_sub(1 + age as usize)?];
            let row = (dice.next_u64() % window.keys.len().max(1) as u64) as usize;
            let labels = window.labels.get(row * horizons..(row + 1) * horizons)?;
            if labels.iter().any(|label| label.is_finite()) {
                let values = &window.values[row * columns..(row + 1) * columns];
                return Some((window.end, window.keys[row], values, labels));
            }
        }
        None
    }

    /// Writes the state.
    pub fn snapshot(&mut self, params: &MlpParams, which: Snapshot, writer: &mut dyn StateWriter) {
        let changed = match which {
            Snapshot::Changed => std::mem::take(&mut self.changed),
            Snapshot::Full => BTreeSet::new(),
        };
        let mut gone = changed.clone();
        for window in &self.windows {
            let slot = slot(params, window.end);
            gone.remove(&slot);
            if which == Snapshot::Full || changed.contains(&slot) {
                writer.put(&self.step, slot, to_block(window));
            }
        }
        gone.into_iter().for_each(|slot| writer.delete(&self.step, slot));
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit.
    pub fn restore(&mut self, params: &MlpParams, reader: &dyn StateReader) -> Result<(), StateError> {
        let mut windows = Vec::new();
        for (block, bytes) in reader.blocks(&self.step) {
            let window: Remembered = from_block(&self.step, block, bytes)?;
            let rows = window.keys.len();
            let fits = slot(params, window.end) == block
                && window.values.len() == rows * params.columns.len()
                && window.labels.len() == rows * params.horizons_micros.len();
            if !fits {
                let reason = "its columns, horizons or window are not this plan's".to_owned();
                return Err(StateError { step: self.step.clone(), block, reason });
            }
            windows.push(window);
        }
        windows.sort_by_key(|window| window.end);
        self.windows = windows.into();
        Ok(())
    }
}

impl Remembered {
    /// Adds rows of other keys.
    fn merge(&mut self, other: &Self, columns: usize, horizons: usize) {
        let both = [&*self, other];
        let numbered = both
            .iter()
            .enumerate()
            .flat_map(|(part, window)| window.keys.iter().enumerate().map(move |(row, &key)| (key, part, row)));
        let mut order: Vec<(u32, usize, usize)> = numbered.collect();
        order.sort_unstable();
        let keys = order.iter().map(|(key, ..)| *key).collect();
        let row = |part: usize, row: usize| both[part].values[row * columns..(row + 1) * columns].iter().copied();
        let values = order.iter().flat_map(|(_, part, number)| row(*part, *number)).collect();
        let row = |part: usize, row: usize| both[part].labels[row * horizons..(row + 1) * horizons].iter().copied();
        let labels = order.iter().flat_map(|(_, part, number)| row(*part, *number)).collect();
        *self = Self { end: self.end, keys, values, labels };
    }
}

/// Rows of a window that have a label of this horizon and are not `known`, as many as there is room for, drawn without
/// looking at anything but the seed, the time and the horizon; `None` without any.
fn choose(
    params: &MlpParams,
    horizon: usize,
    features: &FeatureMatrix,
    targets: &[f64],
    known: Option<&Remembered>,
) -> Option<Remembered> {
    let known = known.map_or(&[][..], |known| &known.keys);
    let labelled = |key: &u32| targets.get(*key as usize).is_some_and(|label| label.is_finite());
    let room = params.replay_rows.saturating_sub(known.len());
    if room == 0 {
        return None;
    }
    let new = |key: &u32| labelled(key) && known.binary_search(key).is_err();
    let mut keys: Vec<u32> = (0..features.rows as u32).filter(new).collect();
    if keys.is_empty() {
        return None;
    }
    // Optimiser steps of a window have the numbers from 1 up.
    let mut dice = Dice::new(params.seed, features.end, if horizon == 0 { 0 } else { u64::MAX - horizon as u64 });
    let kept = room.min(keys.len());
    for place in 0..kept {
        let other = place + (dice.next_u64() % (keys.len() - place) as u64) as usize;
        keys.swap(place, other);
    }
    keys.truncate(kept);
    keys.sort_unstable();
    let row = |key: &u32| {
        let row = features.row(*key);
        params.columns.iter().map(|&column| row[column] as f32).collect::<Vec<_>>()
    };
    let values = keys.iter().flat_map(row).collect();
    let labels = vec![f32::NAN; kept * params.horizons_micros.len()];
    Some(Remembered { end: features.end, keys, values, labels })
}

/// Block of the window that ended at `end`.
fn slot(params: &MlpParams, end: EventTime) -> u32 {
    // Below the number of windows, which is a u32.
    end.0.div_euclid(params.every_micros).rem_euclid(params.replay_windows as i64) as u32
}
