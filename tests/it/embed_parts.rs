//! Parts that a program registers: used by name, refused with a place, restored with the rest, and named when they panic.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use arterial::connectors::memory::{MemoryLedger, MemoryLedgerConfig, MemoryRecord};
use arterial::spec::PipelineFile;
use arterial::{
    AdditiveForecast, FeatureMatrix, Fresh, KeyId, MemoryBroker, OnlinePredictor, Pipeline, PipelineBuilder,
    PipelineError, Predictor, Registry, RunSummary, Snapshot, StateError, StateReader, StateWriter, from_block,
    to_block,
};
use futures_executor::block_on;

#[path = "../../docs/examples/custom_cleaning_step.rs"]
mod custom_cleaning_step;
#[path = "../../docs/examples/custom_model.rs"]
pub(crate) mod custom_model;
#[path = "../../docs/examples/custom_source.rs"]
mod custom_source;
#[path = "../../docs/examples/readings.rs"]
mod readings;

const PATIENCE: Duration = Duration::from_secs(60);

const PIPELINE: &str = r#"
version: 1
pipeline: parts
sources:
  loops:
    feed: { partitions: 2, rows_max: 60 }
    decode: { schema: loop-speed.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
clean:
  - custom: { name: stuck, settings: { sensor: sensor_id, column: speed_mph, repeats_max: 70 } }
window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) }, at_end: keep }
features:
  - lags: { column: speed_mph, count: 1 }
predict:
  speed: { target: speed_mph, horizons: [5m], model: { custom: { name: moody } } }
"#;

/// Learns how many labels there were; panics while it is armed, once it knows 40.
struct Moody {
    step: String,
    labels: u64,
    armed: Arc<AtomicBool>,
}

impl Predictor for Moody {
    fn predict_many(&self, _: &FeatureMatrix, forecasts: &mut [Vec<f64>]) {
        forecasts.iter_mut().for_each(|forecasts| forecasts.fill(self.labels as f64));
    }

    fn explain(&self, _: usize, _: &FeatureMatrix, _: KeyId) -> Option<AdditiveForecast> {
        None
    }

    fn version(&self, _: usize) -> u64 {
        self.labels
    }

    fn refused(&self, _: usize) -> u64 {
        0
    }

    fn snapshot(&mut self, _: Snapshot, writer: &mut dyn StateWriter) {
        writer.put(&self.step, 0, to_block(&self.labels));
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            self.labels = from_block(&self.step, block, bytes)?;
        }
        Ok(())
    }
}

impl OnlinePredictor for Moody {
    fn grow(&mut self, _: usize) {}

    fn learn_many(&mut self, _: usize, _: &FeatureMatrix, targets: &[f64]) {
        self.labels += targets.iter().filter(|target| !target.is_nan()).count() as u64;
        assert!(self.labels < 40 || !self.armed.load(Ordering::Relaxed), "{} labels are too many", self.labels);
    }

    fn forget(&mut self, _: &[KeyId]) {}
}

fn registry(armed: &Arc<AtomicBool>) -> Registry {
    moody(custom_cleaning_step::registry(), armed)
}

fn moody(registry: Registry, armed: &Arc<AtomicBool>) -> Registry {
    let armed = Arc::clone(armed);
    registry.model("moody", move |_| {
        let armed = Arc::clone(&armed);
        Ok(Fresh::new(move |step| {
            Box::new(Moody { step: step.to_owned(), labels: 0, armed: Arc::clone(&armed) }) as Box<_>
        }))
    })
}

fn builder(armed: &Arc<AtomicBool>) -> PipelineBuilder {
    Pipeline::from_yaml(PIPELINE).registry(registry(armed))
}

/// Sends minutes `from..until` as long as they are taken; the minute that was not, and how the run ended.
pub(crate) fn run_over(builder: PipelineBuilder, from: i64, until: i64) -> (i64, Result<RunSummary, PipelineError>) {
    let mut pipeline = builder.build().unwrap();
    let input = pipeline.input().unwrap();
    let running = pipeline.start().unwrap();
    let refused = |minute: &i64| input.send_timeout(&readings::readings(*minute).unwrap(), PATIENCE).is_err();
    let next = (from..until).find(refused).unwrap_or(until);
    input.finish();
    (next, block_on(running.end()))
}

#[test]
fn custom_model_learns_forecasts_and_is_scored_under_its_name() {
    let summary = block_on(custom_model::job()).unwrap();
    let own: Vec<_> = summary.scores.iter().filter(|score| score.model == "smoothed").collect();
    assert_eq!(own.len(), 2);
    assert!(own.iter().all(|score| score.sums.count > 500 && score.sums.absolute > 0.0), "{own:?}");
}

#[test]
fn custom_cleaning_step_makes_dead_letters_of_stuck_sensors() {
    let accounting = block_on(custom_cleaning_step::job()).unwrap().accounting();
    // 16 sensors give one value for 180 minutes; the others change it twice, after 60 minutes each.
    assert_eq!((accounting.rows_in, accounting.dead_letter_clean), (180 * 20, 16 * 90));
}

#[test]
fn custom_source_is_read_to_its_end() {
    let summary = block_on(custom_source::job()).unwrap();
    assert_eq!(summary.accounting().accepted, 180 * 20);
    assert_eq!(summary.partitions.values().next().unwrap().next_offset, Some(180 * 20));
}

#[test]
fn model_that_panics_is_named_with_its_partition_and_nothing_is_lost() {
    let armed = Arc::new(AtomicBool::new(false));
    let (_, whole) = run_over(builder(&armed), 0, 150);
    let whole = whole.unwrap();
    assert!(whole.accounting().dead_letter_clean > 0);

    armed.store(true, Ordering::Relaxed);
    let memory = MemoryBroker::new();
    let (next, failed) = run_over(builder(&armed).memory(memory.clone()), 0, 150);
    let error = failed.expect_err("the model panics");
    let said = error.to_string();
    assert!(matches!(error, PipelineError::Panicked { .. }), "{said}");
    assert!(
        said.contains("panicked: partition ") && said.contains("custom model `moody` of `predict.speed`"),
        "{said}"
    );
    assert!(said.contains("labels are too many"), "{said}");

    armed.store(false, Ordering::Relaxed);
    let (end, second) = run_over(builder(&armed).memory(memory), next, 150);
    let second = second.unwrap();
    assert_eq!(end, 150);
    assert_eq!(second.accounting(), whole.accounting());
    assert_eq!(second.digest(), whole.digest());
}

#[test]
fn what_a_model_that_panics_left_open_is_taken_back_so_that_no_reader_waits_for_it() {
    let feed = "feed: { partitions: 2, rows_max: 60 }";
    let recorded = "custom: { name: recorded, settings: { minutes: 60 } }";
    let ends = "sinks:\n  forecasts: { from: forecasts, memory: {} }\nledger: { custom: { name: shelf } }\n";
    let text = PIPELINE.replace(feed, recorded).replace(
        "clean:\n  - custom: { name: stuck, settings: { sensor: sensor_id, column: speed_mph, repeats_max: 70 } }\n",
        "",
    ) + ends;
    let (memory, armed) = (MemoryBroker::new(), Arc::new(AtomicBool::new(true)));
    memory.create_topic("forecasts", 1).unwrap();
    let shelf = memory.clone();
    let registry = moody(custom_source::registry(), &armed).ledger("shelf", move |request| {
        let sinks: Vec<&str> = request.sinks.iter().map(String::as_str).collect();
        sinks.iter().for_each(|sink| drop(shelf.create_topic(sink, 1)));
        Ok(Box::new(MemoryLedger::open(&shelf, MemoryLedgerConfig::new("shelf", request.slot, &sinks))?))
    });
    let running = Pipeline::from_yaml(&text).registry(registry).build().unwrap().start().unwrap();
    let failed = block_on(running.end());
    assert!(matches!(failed, Err(PipelineError::Panicked { .. })), "{failed:?}");
    memory.send("forecasts", MemoryRecord::new("of", "another")).unwrap();
    let committed = memory.committed_records("forecasts").unwrap();
    assert_eq!(committed.last().map(|last| last.value.as_deref()), Some(Some(b"another".as_slice())));
}

#[test]
fn custom_ledger_keeps_positions_and_state() {
    let (memory, opened) = (MemoryBroker::new(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&opened);
    let kept = memory.clone();
    let registry = custom_source::registry().ledger("shelf", move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        assert_eq!(request.sinks, ["dead", "control"]);
        let sinks: Vec<&str> = request.sinks.iter().map(String::as_str).collect();
        sinks.iter().for_each(|sink| kept.create_topic(sink, 1).unwrap());
        Ok(Box::new(MemoryLedger::open(&kept, MemoryLedgerConfig::new("shelf", request.slot, &sinks))?))
    });
    let text = "
version: 1
pipeline: shelved
sources:
  loops:
    custom: { name: recorded, settings: { minutes: 20 } }
    decode: { schema: loop-speed.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) } }
sinks:
  dead: { from: dead_letter, memory: {} }
ledger: { custom: { name: shelf } }
";
    let running = Pipeline::from_yaml(text).registry(registry).build().unwrap().start().unwrap();
    block_on(running.end()).unwrap();
    let partition = arterial::connectors::position::Partition { topic: 0, number: 0 };
    assert_eq!(memory.committed_offset("shelf", partition), Some(400));
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    // The end of the source is a decision of each partition, and the ledger has it.
    assert_eq!(memory.committed_records("control").unwrap().len(), 1);
}

/// What is said of the pipeline with one part of its text replaced.
fn problems(from: &str, to: &str) -> String {
    assert_eq!(PIPELINE.matches(from).count(), 1, "{from}");
    let registry = registry(&Arc::new(AtomicBool::new(false)));
    let built = Pipeline::from_yaml(PIPELINE.replace(from, to)).registry(registry).build();
    built.err().expect("a problem").to_string()
}

#[test]
fn misspelt_part_is_refused_at_its_name_with_a_suggestion() {
    let said = problems("name: moody", "name: mody");
    assert!(said.contains("no model `mody` is registered") && said.contains("did you mean `moody`"), "{said}");
    assert!(said.contains("pipeline.yaml:16:"), "{said}");
    let said = problems("name: stuck", "name: struck");
    assert!(said.contains("no cleaning step `struck` is registered") && said.contains("pipeline.yaml:11:"), "{said}");
    let said = problems("custom: { name: moody }", "custom: { nam: moody }");
    assert!(said.contains("did you mean `name`"), "{said}");
}

#[test]
fn step_of_another_name_in_front_renames_no_state() {
    let registry = registry(&Arc::new(AtomicBool::new(false)));
    let steps = |text: &str| -> Vec<String> {
        let file = PipelineFile::parse("parts.yaml", text, &|_| None, &registry);
        let plan = file.plan(Path::new("."), &[].into()).unwrap();
        let names = plan.stateful_steps().iter().map(|step| step.identity.step.clone());
        names.filter(|name| name.starts_with("clean.")).collect()
    };
    assert_eq!(steps(PIPELINE), ["clean.stuck.0"]);
    let stuck = "  - custom: { name: stuck";
    let imputed = "  - impute: { columns: [speed_mph], method: last, within: 10m }\n";
    assert_eq!(steps(&PIPELINE.replace(stuck, &format!("{imputed}{stuck}"))), ["clean.impute.0", "clean.stuck.0"]);
}

#[test]
fn settings_that_a_part_refuses_are_a_problem_at_their_place() {
    let said = problems("column: speed_mph, repeats", "column: speed_kmh, repeats");
    assert!(said.contains("cleaning step `stuck`: unknown column `speed_kmh`") && said.contains(":11:"), "{said}");
    let said = problems("repeats_max: 70", "repeat_max: 70");
    assert!(said.contains("unknown field `repeat_max`"), "{said}");
    assert!(Registry::standard().parts.models.is_empty());
}
