//! Rows -> rows whose values are null where a condition on the row is true. Removes no row; those for which a
//! condition fails are marked for the dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::nullif;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::cleaner::{CleanError, Working};
use super::plan::{Scope, Step, Stepped};
use crate::stages::expression::{Expression, Wanted};
use crate::stages::rows::Reason;
use crate::vocab::YamlPath;

/// Conditions under which values become null.
#[derive(Debug)]
pub(super) struct NullIf {
    conditions: Vec<(usize, Arc<str>, Expression)>,
    schema: SchemaRef,
}

/// Checks the conditions of one step.
pub(super) fn plan_null_if(scope: &mut Scope<'_>, path: &YamlPath, columns: &BTreeMap<String, String>) -> Stepped {
    let mut conditions = Vec::new();
    let mut fields = scope.schema.fields().to_vec();
    for (name, text) in columns {
        let place = path.key(name);
        let index = scope.column(&place, name);
        if scope.is_fixed(&place, name, "drop such rows instead: `- sql: SELECT * FROM rows WHERE ...`") {
            continue;
        }
        match (index, Expression::compile(text, scope.schema, Wanted::Boolean, scope.sandbox)) {
            (Some(index), Ok(condition)) => {
                fields[index] = Arc::new(fields[index].as_ref().clone().with_nullable(true));
                conditions.push((index, Arc::from(name.as_str()), condition));
            }
            (_, Err(error)) => scope.refuse_sql(&place, error),
            (None, Ok(_)) => {}
        }
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, scope.schema.metadata().clone()));
    Stepped::Known(Step::NullIf(NullIf { conditions, schema: Arc::clone(&schema) }), schema)
}

impl NullIf {
    /// Applies the conditions; all of them see the batch as it came.
    pub(super) fn apply(&self, work: &mut Working) -> Result<(), CleanError> {
        let before = work.rows.batch.clone();
        let mut columns = before.columns().to_vec();
        for (index, name, condition) in &self.conditions {
            let evaluated = condition.evaluate(&before)?;
            for failure in evaluated.failures {
                work.doom(failure.row, Reason::SqlFailed, failure.detail);
            }
            let mask = evaluated.values.as_boolean();
            let values = columns[*index].len() - columns[*index].null_count();
            if mask.true_count() > 0 {
                columns[*index] = nullif(columns[*index].as_ref(), mask)?;
            }
            let left = columns[*index].len() - columns[*index].null_count();
            work.replaced.count(name, "null_if", values, values - left);
        }
        work.rows.batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(())
    }
}
