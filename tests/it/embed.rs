//! A pipeline inside another program: batches in, batches out, backpressure, refusals, and what is not compiled for it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arterial::arrow::array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arterial::arrow::datatypes::{DataType, TimeUnit};
use arterial::{BuildError, MemoryBroker, Pipeline, PipelineBuilder, RunSummary, SendError};
use arterial_connectors::memory::FeedError;
use futures_executor::block_on;

#[path = "../../docs/examples/embed.rs"]
mod example;
#[path = "../../docs/examples/readings.rs"]
mod made_up;

const NOW: Duration = Duration::ZERO;
/// For what comes within milliseconds on a machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(60);

const PIPELINE: &str = r#"
version: 1
pipeline: embedded
sources:
  loops:
    feed: { partitions: 2, rows_max: 60 }
    decode: { schema: loop-speed.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) }, at_end: keep }
features:
  - lags: { column: speed_mph, count: 2 }
predict:
  speed: { target: speed_mph, horizons: [5m], model: { online_linear: { start: persistence } } }
alerts:
  slow: { measure: speed_mph, when: "< 20", summary: "slow at {sensor_id}" }
sinks:
  alerts: { from: alerts, memory: {} }
  forecasts: { from: forecasts, memory: {} }
  dead: { from: dead_letter, memory: {} }
  late: { from: late, memory: {} }
"#;

fn builder() -> PipelineBuilder {
    Pipeline::from_yaml(PIPELINE)
}

fn readings(minute: i64) -> RecordBatch {
    made_up::readings(minute).unwrap()
}

/// The batch with another column in the place of one.
fn with_column(rows: &RecordBatch, name: &str, column: impl Array + 'static) -> RecordBatch {
    let column: ArrayRef = Arc::new(column);
    let fields = rows.schema_ref().fields().iter().zip(rows.columns());
    RecordBatch::try_from_iter(fields.map(|(field, values)| {
        let values = if field.name() == name { &column } else { values };
        (field.name().clone(), Arc::clone(values))
    }))
    .unwrap()
}

/// Runs a pipeline over some minutes of readings to its end.
fn run_over(builder: PipelineBuilder, minutes: std::ops::Range<i64>) -> RunSummary {
    let mut pipeline = builder.build().unwrap();
    let input = pipeline.input().unwrap();
    let running = pipeline.start().unwrap();
    for minute in minutes {
        input.send_timeout(&readings(minute), PATIENCE).unwrap();
    }
    input.finish();
    block_on(running.end()).unwrap()
}

#[test]
fn example_turns_batches_of_a_program_into_alerts() {
    let (lines, summary) = block_on(example::job()).unwrap();
    let mut opened: Vec<&String> = lines.iter().filter(|line| line.starts_with("opened")).collect();
    // Of one partition they come in order; the partitions take turns as they like.
    opened.sort();
    assert_eq!(
        opened,
        ["opened: 14 mph at L08", "opened: 14 mph at L09", "opened: 14 mph at L10", "opened: 14 mph at L11"]
    );
    assert_eq!(lines.iter().filter(|line| line.starts_with("cleared")).count(), 4);
    // A queue of an hour is told again after 15, 30 and 45 minutes: half of `expire_after`.
    assert_eq!(lines.iter().filter(|line| line.starts_with("updated")).count(), 4 * 3);
    assert_eq!(summary.alerts(), 4 * 5);
    assert_eq!(summary.accounting().rows_in, 180 * 20);
    assert_eq!(summary.accounting().accepted, 180 * 20);
}

#[test]
fn alerts_come_with_the_columns_and_types_of_their_topic() {
    let mut pipeline = builder().build().unwrap();
    let (input, mut alerts) = (pipeline.input().unwrap(), pipeline.output("alerts").unwrap());
    let schema = alerts.schema();
    let kind = |name: &str| schema.field_with_name(name).unwrap().data_type().clone();
    assert_eq!(kind("observed_at"), DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    assert!(matches!(kind("key"), DataType::Map(..)) && matches!(kind("explanation"), DataType::List(_)));
    let running = pipeline.start().unwrap();
    (55..80).for_each(|minute| input.send_timeout(&readings(minute), PATIENCE).unwrap());
    input.finish();
    let batch = alerts.next_blocking().expect("a batch of alerts");
    assert_eq!(batch.schema(), schema);
    let keys = batch.column_by_name("key").unwrap().as_map();
    assert_eq!(keys.value(0).column(0).as_string::<i32>().value(0), "sensor_id");
    while alerts.next_blocking().is_some() {}
    assert!(block_on(running.end()).unwrap().alerts() > 0);
}

#[test]
fn batch_of_another_schema_is_refused_by_column_and_type_and_nothing_of_it_is_taken() {
    let mut pipeline = builder().build().unwrap();
    let input = pipeline.input().unwrap();
    let running = pipeline.start().unwrap();
    let good = readings(0);
    let mut lists = ListBuilder::new(StringBuilder::new());
    (0..good.num_rows()).for_each(|_| lists.append_null());
    let listed = with_column(&good, "speed_mph", lists.finish());
    let refused = input.send_timeout(&listed, NOW).unwrap_err();
    assert!(matches!(refused, SendError::Schema(_)), "{refused:?}");
    let said = refused.to_string();
    assert!(said.starts_with("column `speed_mph` is List("), "{said}");
    assert!(said.ends_with("cannot become a number"), "{said}");
    let keyless = good.project(&[1, 2]).unwrap();
    let refused = block_on(input.send(keyless)).unwrap_err().to_string();
    assert!(refused.contains("have no column `sensor_id`") && refused.contains("observed_at, speed_mph"), "{refused}");
    let timeless = with_column(&good, "observed_at", StringArray::from(vec!["soon"; good.num_rows()]));
    input.send_timeout(&good, PATIENCE).unwrap();
    // A value, not a type: the rows are dead letters.
    input.send_timeout(&timeless, PATIENCE).unwrap();
    input.finish();
    let accounting = block_on(running.end()).unwrap().accounting();
    assert_eq!((accounting.rows_in, accounting.accepted, accounting.dead_letter_decode), (40, 20, 20));
}

#[test]
fn dead_letters_say_why_and_keep_the_row() {
    let mut pipeline = builder().build().unwrap();
    let (input, mut dead) = (pipeline.input().unwrap(), pipeline.output("dead").unwrap());
    let running = pipeline.start().unwrap();
    let good = readings(0);
    let timeless = with_column(&good, "observed_at", StringArray::from(vec!["soon"; good.num_rows()]));
    input.send_timeout(&timeless, PATIENCE).unwrap();
    input.finish();
    let mut reasons = Vec::new();
    while let Some(batch) = dead.next_blocking() {
        let (reason, value) = (batch.column_by_name("reason").unwrap(), batch.column_by_name("value").unwrap());
        assert!(String::from_utf8_lossy(value.as_binary::<i32>().value(0)).contains("\"soon\""));
        reasons.extend(reason.as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(reasons, vec!["bad_timestamp"; 20]);
    block_on(running.end()).unwrap();
}

#[test]
fn full_feed_makes_its_sender_wait_until_rows_are_committed() {
    let mut pipeline = builder().build().unwrap();
    let input = pipeline.input().unwrap();
    // Nobody reads yet: 60 rows fit.
    (0..3).for_each(|minute| input.send_timeout(&readings(minute), NOW).unwrap());
    let full = input.send_timeout(&readings(3), NOW).unwrap_err();
    assert!(matches!(full, SendError::Feed(FeedError::Full { rows: 60, rows_max: 60, .. })), "{full:?}");
    let running = pipeline.start().unwrap();
    block_on(input.send(readings(3))).unwrap();
    input.finish();
    assert_eq!(block_on(running.end()).unwrap().accounting().rows_in, 80);
}

#[test]
fn pipeline_built_again_over_the_same_memory_goes_on_from_its_last_commit() {
    let whole = run_over(builder(), 0..90);
    let memory = MemoryBroker::new();
    let first = run_over(builder().memory(memory.clone()), 0..37);
    assert_eq!(first.accounting().rows_in, 37 * 20);
    let second = run_over(builder().memory(memory), 37..90);
    assert_eq!(second.accounting(), whole.accounting());
    assert_eq!(second.digest(), whole.digest());
}

#[test]
fn sender_hears_that_the_run_has_ended() {
    let mut pipeline = builder().build().unwrap();
    let input = pipeline.input().unwrap();
    drop(pipeline.start().unwrap());
    // Room for three batches; after that only the end of the run lets it go on.
    let refused = (0..1000).find_map(|_| input.send_timeout(&readings(0), PATIENCE).err()).expect("an end");
    assert!(matches!(refused, SendError::Feed(FeedError::Closed(_))), "{refused:?}");
    assert!(refused.hint().contains("ended"));
}

#[test]
fn what_a_pipeline_does_not_have_is_refused_by_name() {
    let mut pipeline = builder().build().unwrap();
    let unknown = pipeline.output("alarms").err().expect("no such sink").to_string();
    assert!(unknown.contains("`alarms`") && unknown.contains("alerts, dead, forecasts, late"), "{unknown}");
    pipeline.input().unwrap();
    assert!(matches!(pipeline.input(), Err(BuildError::NoInput { .. })));
    let broken =
        Pipeline::from_yaml(PIPELINE.replace("partitions: 2", "partition: 2")).build().err().expect("a misspelling");
    let said = broken.to_string();
    assert!(said.contains("pipeline.yaml:6") && said.contains("did you mean `partitions`"), "{said}");
}

#[test]
fn feed_has_nobody_to_fill_it_on_the_command_line() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("feed.yaml");
    std::fs::write(&path, PIPELINE).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_arterial")).arg("run").arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("a `feed` is filled by the program that embeds the pipeline"), "{said}");
}

/// Packages that a program compiles with the library: all of them, or those that the library itself asks for.
fn packages(arguments: &[&str]) -> Vec<String> {
    let tree = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            "arterial",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .args(arguments)
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn among<'a>(names: &[&'a str], packages: &[String]) -> Vec<&'a str> {
    names.iter().copied().filter(|name| packages.iter().any(|package| package == name)).collect()
}

#[test]
fn embedding_program_compiles_neither_librdkafka_nor_burn_nor_the_command_line() {
    assert!(among(&["burn"], &packages(&["--no-default-features", "--features", "kafka"])).is_empty());
    assert_eq!(among(&["burn"], &packages(&[])), ["burn"]);
    let kafka = ["rdkafka", "rdkafka-sys"];
    assert!(among(&kafka, &packages(&["--no-default-features"])).is_empty());
    assert_eq!(among(&kafka, &packages(&[])), kafka);
    let command_line = ["anyhow", "axum", "clap", "comfy-table", "indicatif", "mimalloc", "tracing-subscriber"];
    // Some of them may be somebody else's dependencies too.
    let own = |arguments: &[&str]| packages(&[arguments, &["--depth", "1"]].concat());
    assert!(among(&command_line, &own(&["--no-default-features"])).is_empty());
    assert_eq!(among(&command_line, &own(&[])), command_line);
}

#[test]
fn output_that_is_never_read_is_named_when_the_run_is_told_to_stop() {
    let mut pipeline = builder().build().unwrap();
    let (input, unread) = (pipeline.input().unwrap(), pipeline.output("forecasts").unwrap());
    let running = pipeline.start().unwrap();
    // More windows than an output holds batches: the pipeline waits for its reader, and the sender for room.
    let sent = (0..600).take_while(|minute| input.send_timeout(&readings(*minute), Duration::from_millis(500)).is_ok());
    assert!(sent.count() < 600, "it did not wait for its reader");
    let refused = block_on(running.until(async {})).unwrap_err();
    assert!(refused.to_string().contains("output `forecasts` is full and was not read for 1"), "{refused}");
    assert!(refused.hint().contains("before the end of the run is waited for"), "{}", refused.hint());
    drop(unread);
}

#[test]
fn output_that_is_read_late_or_left_lets_the_run_end_well() {
    for left in [false, true] {
        let mut pipeline = builder().build().unwrap();
        let (input, mut output) = (pipeline.input().unwrap(), pipeline.output("forecasts").unwrap());
        let running = pipeline.start().unwrap();
        let sent =
            (0..600).take_while(|minute| input.send_timeout(&readings(*minute), Duration::from_millis(500)).is_ok());
        assert!(sent.count() < 600, "it did not wait for its reader");
        input.finish();
        let reader = std::thread::spawn(move || {
            let mut batches = 0;
            while !left && output.next_blocking().is_some() {
                batches += 1;
            }
            batches
        });
        assert!(block_on(running.end()).unwrap().accounting().rows_in > 0);
        assert!(reader.join().unwrap() > 16 || left);
    }
}
