//! A pipeline and its source -> rows of past windows with the labels of every horizon, that a network which keys share would
//! learn, oldest first, by key within a window.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::reading::{Room, read};
use crate::spec::PipelinePlan;
use crate::stages::predict::neural::MlpParams;
use crate::stages::predict::neural::mlp_fit::MlpExamples;
use crate::stages::predict::trainable::{Trainable, TrainableMlp};
use crate::stages::predict::{Observed, Observer};
use crate::vocab::{EventTime, KeyId};

/// Bytes of a row where most copies of it are held: as it is kept (a value or a label is 4 bytes; the window and the key 12
/// more), and twice more while what was known is picked out; its place by window and key, in a table that may be half empty, 64,
/// and its number in the order 8.
const fn row_bytes(columns: usize, horizons: usize) -> usize {
    3 * (4 * (columns + horizons) + 12) + 72
}

/// Rows as they come: windows of several partitions in any order.
struct Gatherer {
    params: MlpParams,
    names: HashMap<String, u32>,
    /// Half of the dice of each name.
    marks: Vec<u64>,
    places: HashMap<(EventTime, u32), usize>,
    ends: Vec<EventTime>,
    keys: Vec<u32>,
    values: Vec<f32>,
    labels: Vec<f32>,
    room: Room,
}

/// Reads all that the source holds. The pipeline's own state, offsets and outputs are not touched.
///
/// # Errors
/// A source that cannot be read, or more rows than fit.
pub(super) fn gather(plan: &PipelinePlan, network: &Trainable<'_>, mlp: &TrainableMlp<'_>) -> Result<MlpExamples> {
    let room = Room::for_rows(row_bytes(mlp.params.columns.len(), mlp.params.horizons_micros.len()));
    let gatherer = Arc::new(Mutex::new(Gatherer {
        params: mlp.params.clone(),
        names: HashMap::new(),
        marks: Vec::new(),
        places: HashMap::new(),
        ends: Vec::new(),
        keys: Vec::new(),
        values: Vec::new(),
        labels: Vec::new(),
        room: room.clone(),
    }));
    let kept = Arc::clone(&gatherer);
    let look = move |observed: &Observed<'_>| kept.lock().unwrap_or_else(PoisonError::into_inner).take(observed);
    let alone = plan.predict.of_versions(network, &[(network.place.predictor.to_owned(), None, EventTime::MIN)]);
    let plan = plan.clone().with_predictors(alone).with_observer(&Observer::new(look));
    read(&plan, "rows to learn", Some(&room))?;
    let mut gatherer = gatherer.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(gatherer.examples())
}

impl Gatherer {
    /// Keeps the labels of the rows that were drawn. Of each window of a partition about as many rows are drawn as a network that
    /// learns online remembers: by the seed, the time and the key's name, so that it does not matter when they come.
    fn take(&mut self, observed: &Observed<'_>) {
        let horizons = &self.params.horizons_micros;
        let Some(horizon) = horizons.iter().position(|&micros| micros == observed.horizon_micros) else { return };
        let (features, horizons) = (observed.features, horizons.len());
        let share = self.params.replay_rows as f64 / features.rows.max(1) as f64;
        let labels = observed.labels.iter().enumerate().take(features.rows);
        for (key, &label) in labels.filter(|(_, label)| label.is_finite()) {
            // Ids are u32 everywhere.
            let Some(name) = observed.names.name(key as KeyId) else { continue };
            let key_number = self.number(name);
            if !self.drawn(features.end, key_number, share) {
                continue;
            }
            let row = features.row(key as KeyId);
            let values: Vec<f32> = self.params.columns.iter().map(|&column| row[column] as f32).collect();
            if !self.params.speaks(horizon, &values) {
                continue;
            }
            let place = match self.places.get(&(features.end, key_number)) {
                Some(&place) => place,
                None if !self.room.fits(self.ends.len()) => return,
                None => {
                    let place = self.ends.len();
                    self.places.insert((features.end, key_number), place);
                    self.ends.push(features.end);
                    self.keys.push(key_number);
                    self.values.extend(values);
                    self.labels.extend(std::iter::repeat_n(f32::NAN, horizons));
                    place
                }
            };
            self.labels[place * horizons + horizon] = label as f32;
        }
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.names.get(name) {
            return number;
        }
        let number = self.marks.len() as u32;
        let hash = blake3::hash(name.as_bytes());
        let mark = hash.as_bytes().first_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_le_bytes(*bytes));
        self.marks.push(mark ^ self.params.seed);
        self.names.insert(name.to_owned(), number);
        number
    }

    fn drawn(&self, end: EventTime, key: u32, share: f64) -> bool {
        // SplitMix64 (Steele, Lea and Flood 2014) of the window and the key.
        let mut mixed = self.marks[key as usize] ^ end.0.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64) < share
    }

    /// The rows by time and name, so that it does not matter in which order partitions were read.
    fn examples(&mut self) -> MlpExamples {
        let mut names: Vec<(String, u32)> = self.names.drain().collect();
        names.sort_unstable();
        let mut places = vec![0; names.len()];
        for (place, (_, number)) in names.iter().enumerate() {
            places[*number as usize] = place as u32;
        }
        let mut order: Vec<usize> = (0..self.ends.len()).collect();
        order.sort_unstable_by_key(|&row| (self.ends[row], places[self.keys[row] as usize]));
        let all = MlpExamples {
            columns: self.params.columns.len(),
            horizons: self.params.horizons_micros.len(),
            names: names.into_iter().map(|(name, _)| name).collect(),
            ends: std::mem::take(&mut self.ends),
            keys: self.keys.iter().map(|&key| places[key as usize]).collect(),
            values: std::mem::take(&mut self.values),
            labels: std::mem::take(&mut self.labels),
        };
        all.select(&order)
    }
}
