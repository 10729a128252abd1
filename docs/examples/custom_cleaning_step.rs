//! A cleaning step of one's own: a sensor that repeats one value is stuck, and its readings are dead letters.
//! `cargo run --example custom_cleaning_step`

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use arterial::arrow::array::{Array, AsArray, RecordBatch};
use arterial::arrow::datatypes::{DataType, Float64Type};
use arterial::arrow::error::ArrowError;
use arterial::{
    CustomStep, Fresh, Pipeline, PreparedStep, Refusal, Registry, RowFate, RunSummary, Snapshot, StateError,
    StateReader, StateWriter, StepRequest, SteppedRows, from_block, to_block,
};
use serde::Deserialize;

#[path = "readings.rs"]
mod readings;

const PIPELINE: &str = r#"
version: 1
pipeline: custom-cleaning-step
sources:
  loops:
    feed: { partitions: 2 }
    decode: { schema: loop-speed.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
clean:
  - custom: { name: stuck, settings: { sensor: sensor_id, column: speed_mph, repeats_max: 90 } }
window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) } }
"#;

/// Most sensors of a partition that are watched; readings of others pass.
const SENSORS_MAX: usize = 100_000;

/// What the file may say under `settings:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Column that names the sensor.
    sensor: String,
    /// Column that is watched.
    column: String,
    /// Most readings in a row that may be equal.
    repeats_max: u32,
}

/// The last value of each sensor, and how often it came in a row.
struct Stuck {
    step: String,
    sensor: usize,
    column: usize,
    repeats_max: u32,
    seen: BTreeMap<String, (f64, u32)>,
    changed: bool,
}

impl CustomStep for Stuck {
    fn clean(&mut self, rows: &RecordBatch, _: &[i64]) -> Result<SteppedRows, ArrowError> {
        let sensors = rows.column(self.sensor).as_string::<i32>();
        let values = rows.column(self.column).as_primitive::<Float64Type>();
        let mut fates = Vec::new();
        for row in (0..rows.num_rows()).filter(|row| sensors.is_valid(*row) && values.is_valid(*row)) {
            let (sensor, value) = (sensors.value(row), values.value(row));
            if !self.seen.contains_key(sensor) && self.seen.len() == SENSORS_MAX {
                continue;
            }
            let (last, times) = self.seen.entry(sensor.to_owned()).or_insert((value, 0));
            *times = if *last == value { *times + 1 } else { 1 };
            *last = value;
            if *times > self.repeats_max {
                fates.push((row, RowFate::DeadLetter(format!("`{sensor}` gave {value} {times} times in a row"))));
            }
        }
        self.changed = true;
        Ok(SteppedRows { rows: rows.clone(), fates })
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        if which == Snapshot::Full || self.changed {
            writer.put(&self.step, 0, to_block(&self.seen));
        }
        self.changed &= which == Snapshot::Full;
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            self.seen = from_block(&self.step, block, bytes)?;
        }
        Ok(())
    }
}

/// Checks the settings against the columns that come to the step, and says how the step of a partition is made.
fn stuck(request: &StepRequest<'_>) -> Result<PreparedStep, Refusal> {
    let Settings { sensor, column, repeats_max } = request.settings.read()?;
    let index = |key: &str, name: &str, due: &DataType| match request.schema.column_with_name(name) {
        Some((index, field)) if field.data_type() == due => Ok(index),
        Some((_, field)) => Err(Refusal::new(Some(key), format!("`{name}` is {}, not {due}", field.data_type()))),
        None => Err(Refusal::new(Some(key), format!("unknown column `{name}`"))),
    };
    let (sensor, column) = (index("sensor", &sensor, &DataType::Utf8)?, index("column", &column, &DataType::Float64)?);
    let fresh = Fresh::new(move |step: &str| {
        let seen = BTreeMap::new();
        Box::new(Stuck { step: step.to_owned(), sensor, column, repeats_max, seen, changed: false }) as Box<_>
    });
    // The rows keep their columns.
    Ok(PreparedStep { schema: Arc::clone(request.schema), fresh })
}

/// The parts that this program brings along.
pub fn registry() -> Registry {
    Registry::standard().clean_step("stuck", stuck)
}

/// Runs the pipeline over three hours of readings.
///
/// # Errors
/// What the pipeline could not be built or run for.
pub async fn job() -> Result<RunSummary, Box<dyn Error>> {
    let mut pipeline = Pipeline::from_yaml(PIPELINE).registry(registry()).build()?;
    let input = pipeline.input()?;
    let running = pipeline.start()?;
    for minute in 0..180 {
        input.send(readings::readings(minute)?).await?;
    }
    input.finish();
    Ok(running.end().await?)
}

/// Prints what became of the rows.
#[allow(dead_code, clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("{:?}", futures_executor::block_on(job())?.accounting());
    Ok(())
}
