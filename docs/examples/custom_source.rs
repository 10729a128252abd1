//! A source of one's own: readings that lie in memory, one partition. `cargo run --example custom_source`

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use arterial::arrow::array::RecordBatch;
use arterial::connectors::payload::Payload;
use arterial::connectors::position::Partition;
use arterial::connectors::source::{GroupMetadata, SeekTo, Source, SourceBatch, SourceError, SourceEvent};
use arterial::{OpenRequest, Pipeline, Registry, RunSummary};

#[path = "readings.rs"]
mod readings;

const PIPELINE: &str = r#"
version: 1
pipeline: custom-source
sources:
  loops:
    custom: { name: recorded, settings: { minutes: 180 } }
    decode: { schema: loop-speed.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) } }
"#;

/// The only partition.
const PARTITION: Partition = Partition { topic: 0, number: 0 };

/// Batches in order; the offset of a row is its number from the first batch on.
struct Recorded {
    batches: Vec<RecordBatch>,
    events: VecDeque<SourceEvent>,
    /// Next offset to deliver; `None` until the worker has said where from.
    next: Option<i64>,
    paused: bool,
    ended: bool,
}

impl Recorded {
    /// The batch that holds an offset, from that offset on.
    fn batch_at(&self, offset: i64) -> Option<RecordBatch> {
        let mut first = 0;
        for batch in &self.batches {
            let rows = batch.num_rows() as i64;
            if offset < first + rows {
                let skipped = (offset - first) as usize;
                return Some(batch.slice(skipped, batch.num_rows() - skipped));
            }
            first += rows;
        }
        None
    }
}

impl Source for Recorded {
    fn poll(&mut self, _: Duration) -> Result<Option<SourceEvent>, SourceError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        let Some(first_offset) = self.next.filter(|_| !self.paused && !self.ended) else { return Ok(None) };
        let Some(rows) = self.batch_at(first_offset) else {
            self.ended = true;
            return Ok(Some(SourceEvent::End(PARTITION)));
        };
        let next_offset = first_offset + rows.num_rows() as i64;
        self.next = Some(next_offset);
        let payload = Payload::Typed { rows, first_offset };
        Ok(Some(SourceEvent::Batch(SourceBatch { partition: PARTITION, payload, next_offset, skipped: 0 })))
    }

    fn seek(&mut self, _: Partition, to: SeekTo) -> Result<(), SourceError> {
        self.next = Some(match to {
            SeekTo::Offset(offset) => offset,
            SeekTo::Start => 0,
        });
        // Wound back, the worker has to hear again when it is through.
        self.ended = false;
        Ok(())
    }

    fn release(&mut self, _: &[Partition]) -> Result<(), SourceError> {
        Ok(())
    }

    fn pause(&mut self, _: &[Partition]) -> Result<(), SourceError> {
        self.paused = true;
        Ok(())
    }

    fn resume(&mut self, _: &[Partition]) -> Result<(), SourceError> {
        self.paused = false;
        Ok(())
    }

    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        self.next.map(|next| (PARTITION, (rows as i64 - next) as u64)).into_iter().collect()
    }

    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError> {
        Ok(vec![1])
    }

    fn group_metadata(&self) -> Option<GroupMetadata> {
        None
    }

    fn connected(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Opens the source with the settings of the file.
fn recorded(request: &OpenRequest<'_>) -> Result<Box<dyn Source>, SourceError> {
    let refused = |reason: String| SourceError::Config { what: "source `recorded`".to_owned(), reason };
    let minutes = request.settings.0.get("minutes").and_then(serde_json::Value::as_i64);
    let minutes = minutes.ok_or_else(|| refused("give `minutes`, a whole number".to_owned()))?;
    let batches = (0..minutes).map(readings::readings).collect::<Result<_, _>>();
    let batches = batches.map_err(|error| refused(error.to_string()))?;
    let events = [SourceEvent::Assigned(vec![PARTITION])].into();
    Ok(Box::new(Recorded { batches, events, next: None, paused: false, ended: false }))
}

/// The parts that this program brings along.
pub fn registry() -> Registry {
    Registry::standard().source("recorded", recorded)
}

/// Runs the pipeline over all that the source holds.
///
/// # Errors
/// What the pipeline could not be built or run for.
pub async fn job() -> Result<RunSummary, Box<dyn Error>> {
    Ok(Pipeline::from_yaml(PIPELINE).registry(registry()).build()?.start()?.end().await?)
}

/// Prints what became of the rows.
#[allow(dead_code, clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("{:?}", futures_executor::block_on(job())?.accounting());
    Ok(())
}
