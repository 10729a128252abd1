//! A pipeline and its source -> the labelled rows that one of its networks of classes would learn, oldest first.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::cli::run::shutdown_signal;
use crate::runtime::Pipeline;
use crate::spec::PipelinePlan;
use crate::stages::predict::neural::fit::Examples;
use crate::stages::predict::trainable::TrainableClassifier;
use crate::stages::predict::{Observed, Observer};
use crate::vocab::{EventTime, KeyId};

/// Most numbers that are kept: 400 MB.
const NUMBERS_MAX: usize = 100_000_000;

/// Labelled rows with their times.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) times: Vec<EventTime>,
    pub(super) examples: Examples,
}

struct Row {
    time: EventTime,
    values: Vec<f32>,
    label: f32,
}

/// Reads all that the source holds. The pipeline's own state, offsets and outputs are not touched.
///
/// # Errors
/// A source that cannot be read, or more rows than fit.
pub(super) fn gather(plan: &PipelinePlan, predictor: &str, network: &TrainableClassifier<'_>) -> Result<History> {
    let rows: Arc<Mutex<Vec<Row>>> = Arc::default();
    let (predictor, kept) = (predictor.to_owned(), Arc::clone(&rows));
    let columns: Vec<usize> = network.columns.iter().map(|(column, _)| *column).collect();
    let rows_max = NUMBERS_MAX / columns.len().max(1);
    let look = move |observed: &Observed<'_>| {
        if observed.predictor != predictor {
            return;
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, &label) in observed.labels.iter().enumerate().filter(|(_, label)| label.is_finite()) {
            if key >= observed.features.rows || kept.len() > rows_max {
                continue;
            }
            // Key ids are u32 everywhere.
            let row = observed.features.row(key as KeyId);
            let values: Vec<f32> = columns.iter().map(|&column| row[column] as f32).collect();
            if values.iter().any(|value| value.is_finite()) {
                kept.push(Row { time: observed.target, values, label: label as f32 });
            }
        }
    };
    let plan = plan.clone().with_observer(&Observer::new(look));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(Pipeline::evaluation(&plan)?.run(shutdown_signal()))?;
    let mut rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    if rows.len() > rows_max {
        anyhow::bail!("more than {rows_max} labelled rows: give a shorter history, as `--file`");
    }
    // Partitions are read in no order of their own: what was seen at one time is put into one that follows from its values.
    rows.sort_by(|one, other| {
        let values = || one.values.iter().zip(&other.values).map(|(one, other)| one.total_cmp(other));
        let by_values = || values().find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal);
        one.time.cmp(&other.time).then_with(by_values).then_with(|| one.label.total_cmp(&other.label))
    });
    let mut history =
        History { examples: Examples { columns: network.columns.len(), ..Examples::default() }, ..History::default() };
    for row in rows {
        history.times.push(row.time);
        history.examples.values.extend(row.values);
        history.examples.labels.push(row.label);
    }
    Ok(history)
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
