//! How many values of a column `range` and `null_if` made null or moved to a limit: where it is most of them, the limits
//! are meant in another unit, or the sensor is broken. Counts of this process, no state.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Values of one column that came to one kind of step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplacedValues {
    /// Values that came, nulls not counted.
    pub values: u64,
    /// Those that were made null or moved to a limit.
    pub replaced: u64,
}

/// [`ReplacedValues`] by column and the step's key in the pipeline file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced(BTreeMap<(Arc<str>, &'static str), ReplacedValues>);

impl Replaced {
    /// Counts values of a column.
    pub(super) fn count(&mut self, column: &Arc<str>, step: &'static str, values: usize, replaced: usize) {
        let counted = ReplacedValues { values: values as u64, replaced: replaced as u64 };
        self.add(column, step, counted);
    }

    fn add(&mut self, column: &Arc<str>, step: &'static str, counted: ReplacedValues) {
        let sum = self.0.entry((Arc::clone(column), step)).or_default();
        sum.values += counted.values;
        sum.replaced += counted.replaced;
    }

    /// Adds the counts of others.
    pub fn merge(&mut self, others: &Self) {
        others.0.iter().for_each(|((column, step), counted)| self.add(column, step, *counted));
    }

    /// Columns and steps with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &'static str, ReplacedValues)> {
        self.0.iter().map(|((column, step), counted)| (column, *step, *counted))
    }
}

impl ReplacedValues {
    /// Whether more than half were replaced, of so many that it is no chance.
    #[must_use]
    pub fn most(&self) -> bool {
        self.values >= 100 && self.replaced * 2 > self.values
    }
}
