//! An ingestion job that embeds a pipeline: its own Arrow batches in, alerts out, no broker. `cargo run --example embed`

use std::error::Error;
use std::sync::Arc;

use arterial::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arterial::{Pipeline, PipelineError, RunSummary};

/// What the job wants to know of its readings.
const PIPELINE: &str = r#"
version: 1
pipeline: ingestion-job
sources:
  loops:
    feed: { partitions: 4, rows_max: 10000 }
    decode: { schema: loop-speed.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
clean:
  - range: { columns: { speed_mph: { minimum: 1, maximum: 120 } } }
window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) } }
alerts:
  slow:
    measure: speed_mph
    when: "< 20"
    clear: "> 30"
    severity: { minor: "< 20", severe: "< 10" }
    summary: "{measure} mph at {sensor_id}"
sinks:
  alerts: { from: alerts, memory: {} }
"#;

/// First minute of the readings, microseconds since 1970 UTC.
const START_MICROS: i64 = 1_764_028_800_000_000;
/// Detectors along the road.
const DETECTORS: usize = 20;

/// One batch of the job: a reading of every detector in one minute. In the second hour a queue grows from detector 8 on.
pub fn readings(minute: i64) -> Result<RecordBatch, Box<dyn Error>> {
    let queued = |detector: usize| (60..120).contains(&minute) && (8..12).contains(&detector);
    let time = START_MICROS + minute * 60_000_000;
    let sensor: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..DETECTORS).map(|number| format!("L{number:02}"))));
    let observed: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![time; DETECTORS]).with_timezone("UTC"));
    let speeds = (0..DETECTORS).map(|number| if queued(number) { 14.0 } else { 62.0 });
    let speed: ArrayRef = Arc::new(Float64Array::from_iter_values(speeds));
    Ok(RecordBatch::try_from_iter([("sensor_id", sensor), ("observed_at", observed), ("speed_mph", speed)])?)
}

/// Sends three hours of readings and takes the alerts as they are committed: a line each, and the run's summary.
pub async fn job() -> Result<(Vec<String>, RunSummary), Box<dyn Error>> {
    let mut pipeline = Pipeline::from_yaml(PIPELINE).build()?;
    let (input, mut alerts) = (pipeline.input()?, pipeline.output("alerts")?);
    let running = pipeline.start()?;
    for minute in 0..180 {
        // Waits where the pipeline is behind.
        input.send(readings(minute)?).await?;
    }
    input.finish();
    let mut lines = Vec::new();
    // Read to the end, then ask how the run went: an error there says why the stream ended.
    while let Some(batch) = alerts.next().await {
        let column = |name: &str| batch.column_by_name(name).map(|column| column.as_string::<i32>().clone());
        let (states, summaries) = (column("state").ok_or("no state")?, column("summary").ok_or("no summary")?);
        let both = states.iter().zip(&summaries);
        lines.extend(both.map(|(state, summary)| format!("{}: {}", state.unwrap_or(""), summary.unwrap_or(""))));
    }
    let summary = running.end().await.inspect_err(|error: &PipelineError| tracing::error!(hint = error.hint()))?;
    Ok((lines, summary))
}

/// Prints the alerts.
#[allow(dead_code, clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Box<dyn Error>> {
    let (lines, summary) = futures_executor::block_on(job())?;
    lines.iter().for_each(|line| println!("{line}"));
    println!("{} rows, {} alerts", summary.accounting().rows_in, summary.alerts());
    Ok(())
}
