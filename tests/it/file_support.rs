//! Files as a source, read alone or by a pipeline with a memory ledger: what their tests share.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arterial::observe::RunEvent;
use arterial::runtime::{Connect, Pipeline, PipelineError, RunOptions, RunSummary, Wiring};
use arterial::spec::PipelinePlan;
use arterial_connectors::file::{FileSource, FileSourceConfig};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::memory::{MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemoryRecord};
use arterial_connectors::payload::Payload;
use arterial_connectors::position::Partition;
use arterial_connectors::source::{SeekTo, Source, SourceError, SourceEvent, Until};

use super::run_support::plan;

/// Writes text, compressed as the name says.
pub fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::write(path, packed(path, text.as_ref())).unwrap();
}

/// The bytes of a file of this name that holds the text.
pub fn packed(path: &Path, text: &[u8]) -> Vec<u8> {
    match path.extension().map(std::ffi::OsStr::to_ascii_lowercase).as_ref().and_then(|ending| ending.to_str()) {
        Some("gz") => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Some("zst") => zstd::encode_all(text, 1).unwrap(),
        _ => text.to_vec(),
    }
}

/// A row as a file gives it: line, key, value.
pub type FileRow = (i64, Option<String>, String);

/// The rows of every partition from its start, or the error that ended the reading.
pub fn read_rows(config: &FileSourceConfig) -> Result<Vec<Vec<FileRow>>, SourceError> {
    let mut source = FileSource::open(config)?;
    let mut rows = vec![Vec::new(); config.partitions as usize];
    source.poll(Duration::ZERO)?;
    for number in 0..config.partitions as i32 {
        source.seek(Partition { topic: 0, number }, SeekTo::Start)?;
    }
    let mut ended = 0;
    while ended < config.partitions {
        match source.poll(Duration::ZERO)?.expect("files do not wait") {
            SourceEvent::Batch(batch) => {
                let Payload::Raw(raw) = &batch.payload else { panic!("not bytes") };
                for index in 0..raw.len() {
                    let row = raw.row(index);
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let (_, line) = batch.payload.place(index).unwrap();
                    let value = text(row.value.unwrap());
                    rows[batch.partition.number as usize].push((line, row.key.map(text), value));
                }
            }
            SourceEvent::End(_) => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    Ok(rows)
}

/// What reading a file to its end says is wrong with it.
pub fn refusal(path: &Path) -> String {
    match read_rows(&FileSourceConfig::new(path, 1, "sensor_id")) {
        Ok(_) => panic!("{} was read", path.display()),
        Err(error) => error.to_string(),
    }
}

/// A pipeline over a file, `file` and `decode` being what stands there in YAML, with means of five minutes.
pub fn file_plan(file: &str, decode: &str) -> PipelinePlan {
    timed_file_plan(file, decode, "")
}

/// Likewise, with more said of event time.
pub fn timed_file_plan(file: &str, decode: &str, time: &str) -> PipelinePlan {
    plan(&format!(
        "
version: 1
pipeline: files
sources:
  loops:
    file: {{ {file} }}
    decode: {{ schema: traffic-observation.v1{decode} }}
    partitioned_by: sensor_id
    event_time: {{ column: observed_at, max_delay: 60s{time} }}
window: {{ size: 5m, key: [sensor_id], columns: {{ speed_kmh: avg(speed_kmh) }} }}
sinks:
  dead_letter: {{ from: dead_letter, memory: {{}} }}
delivery: at_least_once
"
    ))
}

/// The plan's sinks, in its order.
const SINKS: [&str; 2] = ["dead_letter", "control"];

struct FileEnds {
    wiring: Wiring,
    broker: MemoryBroker,
}

impl Connect for FileEnds {
    fn source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        self.wiring.source(slot, until)
    }

    fn ledger(&self, slot: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        Ok(Box::new(MemoryLedger::open(&self.broker, MemoryLedgerConfig::new("files", slot, &SINKS))?))
    }
}

/// Runs a plan with the one sink `dead_letter` to its files' end: the summary and the dead letters.
pub fn run_file(plan: PipelinePlan) -> Result<(RunSummary, Vec<MemoryRecord>), PipelineError> {
    run_file_observed(plan, |_| {})
}

/// Likewise; `look` sees every event as it is told.
pub fn run_file_observed(
    plan: PipelinePlan,
    look: impl Fn(&RunEvent) + Send + Sync + 'static,
) -> Result<(RunSummary, Vec<MemoryRecord>), PipelineError> {
    let plan = Arc::new(plan);
    let broker = MemoryBroker::new();
    SINKS.iter().for_each(|sink| broker.create_topic(sink, 1).unwrap());
    let ends = FileEnds { wiring: Wiring::new(&plan).unwrap(), broker: broker.clone() };
    let options = RunOptions { until: Until::Latest, listener: Arc::new(look), ..RunOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let summary = runtime.block_on(Pipeline::new(plan, Arc::new(ends), options).run(std::future::pending()))?;
    Ok((summary, broker.committed_records("dead_letter").unwrap()))
}

/// A header's text.
pub fn header<'a>(record: &'a MemoryRecord, name: &str) -> &'a str {
    let found = record.headers.iter().find(|(header, _)| header == name);
    std::str::from_utf8(found.unwrap_or_else(|| panic!("no `{name}`")).1.as_deref().unwrap()).unwrap()
}
