//! An ingestion job that embeds a pipeline: its own Arrow batches in, alerts out, no broker. `cargo run --example embed`

use std::error::Error;

use arterial::arrow::array::AsArray;
use arterial::{Pipeline, PipelineError, RunSummary};

#[path = "readings.rs"]
mod readings;

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

/// Sends three hours of readings and takes the alerts as they are committed: a line each, and the run's summary.
///
/// # Errors
/// What the pipeline could not be built or run for.
pub async fn job() -> Result<(Vec<String>, RunSummary), Box<dyn Error>> {
    let mut pipeline = Pipeline::from_yaml(PIPELINE).build()?;
    let (input, mut alerts) = (pipeline.input()?, pipeline.output("alerts")?);
    let running = pipeline.start()?;
    for minute in 0..180 {
        // Waits where the pipeline is behind.
        input.send(readings::readings(minute)?).await?;
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
