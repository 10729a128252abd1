//! A pipeline and its source -> the labelled rows that one of its networks of classes would learn, oldest first.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::reading::{Room, read};
use crate::spec::PipelinePlan;
use crate::stages::predict::neural::fit::Examples;
use crate::stages::predict::trainable::TrainableClassifier;
use crate::stages::predict::{Observed, Observer};
use crate::vocab::{EventTime, KeyId};

/// Labelled rows with their times.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) times: Vec<EventTime>,
    pub(super) examples: Examples,
}

/// Rows as they come, of several partitions in any order.
#[derive(Default)]
struct Gatherer {
    rows: History,
    /// A hash of each row, which says where it stands among those of its time.
    marks: Vec<u64>,
}

/// Bytes of a row of so many columns where most copies of it are held: as it is kept (a value is 4 bytes; the label, the time,
/// the mark and the order 28 more), again in its part and in a fold, and twice as wide and with a vector of its own when scaled.
const fn row_bytes(columns: usize) -> usize {
    (4 * columns + 28) + 2 * (4 * columns + 12) + (8 * columns + 40)
}

/// Reads all that the source holds. The pipeline's own state, offsets and outputs are not touched.
///
/// # Errors
/// A source that cannot be read, or more rows than fit.
pub(super) fn gather(plan: &PipelinePlan, predictor: &str, network: &TrainableClassifier<'_>) -> Result<History> {
    let columns: Vec<usize> = network.columns.iter().map(|(column, _)| *column).collect();
    let gatherer: Arc<Mutex<Gatherer>> = Arc::default();
    let room = Room::for_rows(row_bytes(columns.len()));
    let look = {
        let (predictor, kept, room, columns) =
            (predictor.to_owned(), Arc::clone(&gatherer), room.clone(), columns.clone());
        move |observed: &Observed<'_>| {
            if observed.predictor == predictor {
                kept.lock().unwrap_or_else(PoisonError::into_inner).take(observed, &columns, &room);
            }
        }
    };
    read(&plan.clone().with_observer(&Observer::new(look)), "rows to learn and to measure on", Some(&room))?;
    let gatherer = std::mem::take(&mut *gatherer.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(gatherer.history(columns.len()))
}

impl Gatherer {
    fn take(&mut self, observed: &Observed<'_>, columns: &[usize], room: &Room) {
        for (key, &label) in observed.labels.iter().enumerate().filter(|(_, label)| label.is_finite()) {
            if key >= observed.features.rows || !room.fits(self.marks.len()) {
                return;
            }
            // Key ids are u32 everywhere.
            let row = observed.features.row(key as KeyId);
            let label = label as f32;
            let values = &mut self.rows.examples.values;
            let first = values.len();
            values.extend(columns.iter().map(|&column| row[column] as f32));
            if values[first..].iter().all(|value| !value.is_finite()) {
                values.truncate(first);
                continue;
            }
            self.marks.push(mark(&values[first..], label));
            self.rows.examples.labels.push(label);
            self.rows.times.push(observed.target);
        }
    }

    /// The rows by time. Partitions are read in no order of their own, and the newest rows are held out: those of one time are
    /// put into an order that follows from the rows alone and has nothing to do with their values.
    fn history(self, columns: usize) -> History {
        let Self { rows, marks } = self;
        let examples = Examples { columns, ..rows.examples };
        let mut order: Vec<usize> = (0..marks.len()).collect();
        order.sort_by_key(|&row| (rows.times[row], marks[row]));
        History { times: order.iter().map(|&row| rows.times[row]).collect(), examples: examples.select(&order) }
    }
}

fn mark(values: &[f32], label: f32) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for number in values.iter().chain([&label]) {
        hasher.update(&number.to_le_bytes());
    }
    hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_le_bytes(*bytes))
}

impl History {
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Rows of the class 1.
    pub(super) fn positives(&self) -> u64 {
        self.examples.labels.iter().filter(|label| **label > 0.5).count() as u64
    }

    /// All but the newest rows, and those.
    pub(super) fn split(&self, hold_out: f64) -> (Self, Self) {
        // Between none and all of them.
        let newest = (hold_out * self.len() as f64).round() as usize;
        let part = |rows: std::ops::Range<usize>| Self {
            times: self.times[rows.clone()].to_vec(),
            examples: self.examples.select(&rows.collect::<Vec<_>>()),
        };
        let first = self.len() - newest.min(self.len());
        (part(0..first), part(first..self.len()))
    }

    /// Rows after a time, as indices.
    pub(super) fn after(&self, time: EventTime) -> Vec<usize> {
        (0..self.len()).filter(|&row| self.times[row] > time).collect()
    }

    /// Why nothing can be learned from these rows, or measured on them.
    pub(super) fn teaches_nothing(&self) -> Option<&'static str> {
        match (self.len() as u64, self.positives()) {
            (0, _) => Some("there is nothing to learn from, or to measure on"),
            (_, 0) => Some("either part has to hold both classes, and one has no 1"),
            (rows, positives) if rows == positives => Some("either part has to hold both classes, and one has no 0"),
            _ => None,
        }
    }

    /// blake3 of times, values and labels.
    pub(super) fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for time in &self.times {
            hasher.update(&time.0.to_le_bytes());
        }
        let numbers = self.examples.values.iter().chain(&self.examples.labels);
        for number in numbers {
            hasher.update(&number.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}
