//! Rows of one partition -> cleaned rows, and the fate of the others. Holds the partition's state.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::custom::CustomPlan;
use super::dedupe::Dedupe;
use super::plan::Step;
use super::{CleanPlan, CustomStep, Replaced};
use crate::stages::rows::{Reason, RejectStage, Rejected, Rows};
use crate::vocab::{Snapshot, StateError, StateReader, StateWriter};

/// What cleaning made of a batch. Every row that came in is in exactly one of the first four.
#[derive(Debug)]
pub struct Cleaned {
    /// The rows that go on, in the plan's output schema.
    pub rows: Rows,
    /// Dead letters, by ascending origin.
    pub rejected: Vec<Rejected>,
    /// Origins of filtered rows, ascending.
    pub filtered: Vec<u32>,
    /// Origins of duplicate rows, ascending.
    pub duplicates: Vec<u32>,
    /// Values that were replaced.
    pub replaced: Replaced,
}

/// A batch that the plan was not made for: a fault of the engine, never of a row.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The batch has other columns than the plan's input schema.
    #[error("batch has the columns ({found}), the cleaning plan was made for ({expected})")]
    Schema {
        /// What came.
        found: String,
        /// What is due.
        expected: String,
    },
    /// Rows, origins and times differ in number.
    #[error("batch of {rows} rows comes with {origins} origins and {times} times")]
    Lengths {
        /// Rows of the batch.
        rows: usize,
        /// Origins.
        origins: usize,
        /// Times.
        times: usize,
    },
    /// Arrow refuses an operation that the plan had checked.
    #[error("cleaning: {0}")]
    Arrow(#[from] ArrowError),
}

/// Cleans the rows of one partition, in offset order.
pub struct Cleaner {
    plan: Arc<CleanPlan>,
    dedupes: Vec<Dedupe>,
    customs: Vec<Box<dyn CustomStep>>,
}

impl Cleaner {
    /// A partition that has seen no row.
    #[must_use]
    pub fn new(plan: Arc<CleanPlan>) -> Self {
        let dedupes = plan.dedupes().map(|_| Dedupe::new()).collect();
        let customs = plan.customs().map(CustomPlan::fresh).collect();
        Self { plan, dedupes, customs }
    }

    /// Cleans one batch.
    ///
    /// # Errors
    /// [`CleanError`] where the batch does not have the plan's input schema: stop, nothing in the data causes it.
    pub fn clean(&mut self, rows: Rows) -> Result<Cleaned, CleanError> {
        check_schema(&rows, self.plan.input_schema())?;
        let mut work = Working::new(rows);
        for (position, step) in self.plan.steps().iter().enumerate() {
            match step {
                Step::NullIf(step) => step.apply(&mut work)?,
                Step::Range(step) => step.apply(&mut work)?,
                Step::Dedupe(step) => step.apply(&mut work, &mut self.dedupes)?,
                Step::Lookup(step) => step.apply(&mut work)?,
                Step::Normalise(step) => step.apply(&mut work)?,
                Step::Sql(step) => step.apply(&mut work)?,
                Step::Custom(step) => step.apply(&mut work, &mut self.customs)?,
            }
            // A row that failed before the dedupe step may yet turn out to be a duplicate, which comes first.
            if position >= self.plan.settles_from() {
                work.settle()?;
            }
        }
        Ok(work.finish())
    }

    /// Writes the partition's cleaning state.
    pub fn snapshot(&mut self, mode: Snapshot, writer: &mut dyn StateWriter) {
        for (step, dedupe) in self.plan.dedupes().zip(&mut self.dedupes) {
            dedupe.snapshot(&step.step, mode, writer);
        }
        for (plan, step) in self.plan.customs().zip(&mut self.customs) {
            plan.guarded(|| step.snapshot(mode, writer));
        }
    }

    /// Reads the partition's cleaning state back.
    ///
    /// # Errors
    /// [`StateError`] where a block cannot be read.
    pub fn restore(plan: Arc<CleanPlan>, reader: &dyn StateReader) -> Result<Self, StateError> {
        let mut cleaner = Self::new(plan);
        for (step, dedupe) in cleaner.plan.dedupes().zip(&mut cleaner.dedupes) {
            *dedupe = Dedupe::restore(&step.step, reader)?;
        }
        for (plan, step) in cleaner.plan.customs().zip(&mut cleaner.customs) {
            plan.guarded(|| step.restore(reader))?;
        }
        Ok(cleaner)
    }
}

fn check_schema(rows: &Rows, expected: &Arc<Schema>) -> Result<(), CleanError> {
    let found = rows.batch.schema_ref();
    let alike = |(a, b): (&arrow::datatypes::FieldRef, &arrow::datatypes::FieldRef)| {
        a.name() == b.name() && a.data_type() == b.data_type()
    };
    let same = Arc::ptr_eq(found, expected)
        || (found.fields().len() == expected.fields().len() && found.fields().iter().zip(expected.fields()).all(alike));
    if !same {
        return Err(CleanError::Schema { found: columns_text(found), expected: columns_text(expected) });
    }
    let (batch_rows, origins, times) = (rows.batch.num_rows(), rows.origin.len(), rows.times.len());
    if batch_rows != origins || batch_rows != times {
        return Err(CleanError::Lengths { rows: batch_rows, origins, times });
    }
    Ok(())
}

fn columns_text(schema: &Schema) -> String {
    let columns: Vec<String> =
        schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    columns.join(", ")
}

/// A batch on its way through the steps, with the fates of its rows so far.
pub(super) struct Working {
    pub(super) rows: Rows,
    /// Whether each row goes on; empty while all do.
    keep: Vec<bool>,
    doomed: BTreeMap<u32, Rejected>,
    filtered: Vec<u32>,
    duplicates: Vec<u32>,
    pub(super) replaced: Replaced,
}

impl Working {
    fn new(rows: Rows) -> Self {
        Self {
            rows,
            keep: Vec::new(),
            doomed: BTreeMap::new(),
            filtered: Vec::new(),
            duplicates: Vec::new(),
            replaced: Replaced::default(),
        }
    }

    /// The row becomes a dead letter, for its first reason.
    pub(super) fn doom(&mut self, row: usize, reason: Reason, detail: String) {
        let origin = self.rows.origin[row];
        let rejected = Rejected { origin, stage: RejectStage::Clean, reason, detail };
        self.doomed.entry(origin).or_insert(rejected);
        self.leave(row);
    }

    /// The row is filtered.
    pub(super) fn filter(&mut self, row: usize) {
        // Two columns of one step may both be out of range.
        if self.leave(row) {
            self.filtered.push(self.rows.origin[row]);
        }
    }

    /// The row is a duplicate, whatever else befell it.
    pub(super) fn duplicate(&mut self, row: usize) {
        let origin = self.rows.origin[row];
        self.doomed.remove(&origin);
        self.duplicates.push(origin);
        self.leave(row);
    }

    /// Marks a row as leaving; false where it was already.
    fn leave(&mut self, row: usize) -> bool {
        if self.keep.is_empty() {
            self.keep = vec![true; self.rows.origin.len()];
        }
        std::mem::replace(&mut self.keep[row], false)
    }

    /// Takes the leaving rows out.
    pub(super) fn settle(&mut self) -> Result<(), ArrowError> {
        if self.keep.is_empty() {
            return Ok(());
        }
        let keep = std::mem::take(&mut self.keep);
        let mut kept = keep.iter();
        self.rows.origin.retain(|_| kept.next() == Some(&true));
        let mut kept = keep.iter();
        self.rows.times.retain(|_| kept.next() == Some(&true));
        self.rows.batch = filter_record_batch(&self.rows.batch, &BooleanArray::from(keep))?;
        Ok(())
    }

    fn finish(mut self) -> Cleaned {
        self.filtered.sort_unstable();
        self.duplicates.sort_unstable();
        let rejected = std::mem::take(&mut self.doomed).into_values().collect();
        let Self { rows, filtered, duplicates, replaced, .. } = self;
        Cleaned { rows, rejected, filtered, duplicates, replaced }
    }
}
