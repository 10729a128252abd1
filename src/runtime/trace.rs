//! What passes between the stages, kept for `arterial test`. A running pipeline traces nothing.

use arrow::json::writer::{JsonArray, WriterBuilder};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};

use crate::stages::window::{ClosedWindow, Keys, WindowPlan};

/// Rows between the stages, as JSON objects.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) clean: Vec<Map<String, Value>>,
    pub(super) windows: Vec<Map<String, Value>>,
}

impl Trace {
    /// Notes cleaned rows, nulls included: a column that is null is not one that does not exist. Rows
    /// whose types JSON cannot hold are left out, and the test that names them fails.
    pub(super) fn clean(&mut self, rows: &RecordBatch) {
        let mut json = Vec::new();
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut json);
        if writer.write(rows).is_ok() && writer.finish().is_ok() {
            drop(writer);
            self.clean.extend(serde_json::from_slice::<Vec<Map<String, Value>>>(&json).unwrap_or_default());
        }
    }

    /// Notes the rows of a closed window, one per live key.
    pub(super) fn window(&mut self, plan: &WindowPlan, keys: &Keys, window: &ClosedWindow) {
        for key in (0..window.key_count()).filter(|key| window.live[*key]) {
            let mut row = Map::new();
            for (column, value) in plan.key_columns().iter().zip(keys.values(key as u32)) {
                row.insert(column.clone(), Value::from(value));
            }
            row.insert("window_end".to_owned(), Value::from(window.end.to_string()));
            row.insert("rows".to_owned(), Value::from(window.rows[key]));
            for (column, values) in plan.output_columns().iter().zip(&window.columns) {
                // NaN, which stands for null, has no JSON number and becomes null here.
                row.insert(column.clone(), Value::from(values[key]));
            }
            self.windows.push(row);
        }
    }
}
