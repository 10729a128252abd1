//! An alert rule of one's own: a sensor that hardly varies any more is stuck, whatever it reads.
//! `cargo run --example custom_alert_rule`

use std::error::Error;

use arterial::arrow::array::AsArray;
use arterial::{
    ClosedWindow, CustomRule, Fresh, KeyId, Pipeline, PreparedRule, Refusal, Registry, RuleRequest, RunSummary,
    Snapshot, StateError, StateReader, StateWriter, from_block, to_block,
};
use serde::Deserialize;

#[path = "readings.rs"]
mod readings;

const PIPELINE: &str = r#"
version: 1
pipeline: custom-alert-rule
sources:
  loops:
    feed: { partitions: 2 }
    decode: { schema: loop-speed.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) } }
alerts:
  stuck:
    custom: { name: unchanging, settings: { column: speed_mph, by: 0.5 } }
    when: ">= 45"
    unit: min
    severity: { minor: ">= 45", moderate: ">= 120" }
    summary: "{sensor_id} has read about {speed_mph} mph for {measure} minutes"
    summary_cleared: "{sensor_id} reads {speed_mph} mph: it moves again"
sinks:
  alerts: { from: alerts, memory: {} }
"#;

/// What the file may say under `settings:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Column that is watched.
    column: String,
    /// Least difference that counts as a change, in the column's unit.
    by: f64,
}

/// The value that a key has kept since, and for how many minutes; NaN before the first.
struct Unchanging {
    step: String,
    by: f64,
    kept: Vec<(f64, f64)>,
    changed: bool,
}

impl CustomRule for Unchanging {
    fn measure(&mut self, window: &ClosedWindow, columns: &[&[f64]], measures: &mut [f64]) {
        self.kept.resize(measures.len().max(self.kept.len()), (f64::NAN, 0.0));
        let minutes = (window.end.0 - window.start.0) as f64 / 60e6;
        for (key, value) in columns[0].iter().enumerate().filter(|(key, value)| window.live[*key] && !value.is_nan()) {
            let (kept, since) = &mut self.kept[key];
            if (value - *kept).abs() < self.by {
                *since += minutes;
            } else {
                (*kept, *since) = (*value, 0.0);
            }
            measures[key] = *since;
        }
        self.changed = true;
    }

    fn forget(&mut self, keys: &[KeyId]) {
        keys.iter().for_each(|key| self.kept[*key as usize] = (f64::NAN, 0.0));
        self.changed = true;
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        if which == Snapshot::Full || self.changed {
            writer.put(&self.step, 0, to_block(&self.kept));
        }
        self.changed &= which == Snapshot::Full;
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            self.kept = from_block(&self.step, block, bytes)?;
        }
        Ok(())
    }
}

/// Checks the settings and says what the rule reads and how that of a partition is made.
fn unchanging(request: &RuleRequest<'_>) -> Result<PreparedRule, Refusal> {
    let Settings { column, by } = request.settings.read()?;
    if by <= 0.0 {
        return Err(Refusal::new(Some("by"), format!("{by} is not above 0: every value would be a change")));
    }
    let fresh = Fresh::new(move |step: &str| {
        Box::new(Unchanging { step: step.to_owned(), by, kept: Vec::new(), changed: false }) as Box<_>
    });
    Ok(PreparedRule { reads: vec![column], fresh })
}

/// The parts that this program brings along.
pub fn registry() -> Registry {
    Registry::standard().alert_rule("unchanging", unchanging)
}

/// Runs the pipeline over three hours of readings: the summary of the run, and the alerts' own, in order.
///
/// # Errors
/// What the pipeline could not be built or run for.
pub async fn job() -> Result<(RunSummary, Vec<String>), Box<dyn Error>> {
    let mut pipeline = Pipeline::from_yaml(PIPELINE).registry(registry()).build()?;
    let (input, mut output) = (pipeline.input()?, pipeline.output("alerts")?);
    let running = pipeline.start()?;
    for minute in 0..180 {
        input.send(readings::readings(minute)?).await?;
    }
    input.finish();
    let mut lines = Vec::new();
    while let Some(alerts) = output.next().await {
        let summaries = alerts.column_by_name("summary").ok_or("no summary")?.as_string::<i32>();
        lines.extend(summaries.iter().flatten().map(str::to_owned));
    }
    Ok((running.end().await?, lines))
}

/// Prints what the alerts say.
#[allow(dead_code, clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Box<dyn Error>> {
    let (_, lines) = futures_executor::block_on(job())?;
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}
