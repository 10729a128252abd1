//! Alert rules that a program registers: measured by the program, opened and cleared by the engine, restored with the rest,
//! named when they panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arterial::{
    ClosedWindow, CustomRule, Fresh, MemoryBroker, Pipeline, PipelineBuilder, PipelineError, PreparedRule, Registry,
    Snapshot, StateError, StateReader, StateWriter, from_block, to_block,
};
use futures_executor::block_on;

use crate::embed_parts::run_over;

#[path = "../../docs/examples/custom_alert_rule.rs"]
mod custom_alert_rule;

const PIPELINE: &str = r#"
version: 1
pipeline: rules
sources:
  loops:
    feed: { partitions: 2, rows_max: 60 }
    decode: { schema: loop-speed.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) }, at_end: keep }
alerts:
  every_third: { custom: { name: counting, settings: { column: speed_mph } }, when: "> 1", summary: "{sensor_id}" }
sinks:
  alerts: { from: alerts, memory: {} }
"#;

/// Measures the number of the window modulo 3; panics while it is armed, at the twentieth.
struct Counting {
    step: String,
    windows: u32,
    armed: Arc<AtomicBool>,
}

impl CustomRule for Counting {
    fn measure(&mut self, _: &ClosedWindow, columns: &[&[f64]], measures: &mut [f64]) {
        assert_eq!(columns[0].len(), measures.len());
        self.windows += 1;
        assert!(self.windows < 20 || !self.armed.load(Ordering::Relaxed), "{} windows are too many", self.windows);
        measures.fill(f64::from(self.windows % 3));
    }

    fn snapshot(&mut self, _: Snapshot, writer: &mut dyn StateWriter) {
        writer.put(&self.step, 0, to_block(&self.windows));
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            self.windows = from_block(&self.step, block, bytes)?;
        }
        Ok(())
    }
}

fn registry(armed: &Arc<AtomicBool>) -> Registry {
    let armed = Arc::clone(armed);
    Registry::standard().alert_rule("counting", move |request| {
        let column = request.settings.0.get("column").and_then(|column| column.as_str()).unwrap_or_default();
        assert_eq!((request.rule, request.columns), ("every_third", ["speed_mph".to_owned()].as_slice()));
        let armed = Arc::clone(&armed);
        let fresh = Fresh::new(move |step: &str| {
            Box::new(Counting { step: step.to_owned(), windows: 0, armed: Arc::clone(&armed) }) as Box<_>
        });
        Ok(PreparedRule { reads: vec![column.to_owned()], fresh })
    })
}

fn builder(armed: &Arc<AtomicBool>) -> PipelineBuilder {
    Pipeline::from_yaml(PIPELINE).registry(registry(armed))
}

#[test]
fn custom_rule_opens_worsens_and_clears_as_any_other() {
    let (summary, lines) = block_on(custom_alert_rule::job()).unwrap();
    // 16 sensors never change: opened after 50 minutes, worse after 125, and told again every 15 minutes up to 170. 4 change
    // after 60 and 120 minutes: opened three times, cleared twice.
    assert_eq!((summary.alerts(), lines.len()), (16 * 9 + 4 * 5, 164));
    let count = |line: &str| lines.iter().filter(|one| *one == line).count();
    assert_eq!(count("L00 has read about 62 mph for 45 minutes"), 1);
    assert_eq!(count("L00 has read about 62 mph for 120 minutes"), 1);
    assert_eq!(count("L08 reads 14 mph: it moves again"), 1);
    assert_eq!(count("L08 reads 62 mph: it moves again"), 1);
}

#[test]
fn rule_that_panics_is_named_with_its_partition_and_nothing_is_lost() {
    let armed = Arc::new(AtomicBool::new(false));
    let (_, whole) = run_over(builder(&armed), 0, 150);
    let whole = whole.unwrap();
    assert!(whole.alerts() > 100, "{} alerts", whole.alerts());

    armed.store(true, Ordering::Relaxed);
    let memory = MemoryBroker::new();
    let (next, failed) = run_over(builder(&armed).memory(memory.clone()), 0, 150);
    let error = failed.expect_err("the rule panics");
    let said = error.to_string();
    assert!(matches!(error, PipelineError::Panicked { .. }), "{said}");
    assert!(
        said.contains("panicked: partition ") && said.contains("custom rule `counting` of `alert.every_third`"),
        "{said}"
    );
    assert!(said.contains("20 windows are too many"), "{said}");

    armed.store(false, Ordering::Relaxed);
    let (end, second) = run_over(builder(&armed).memory(memory), next, 150);
    let second = second.unwrap();
    assert_eq!(end, 150);
    assert_eq!(second.accounting(), whole.accounting());
    assert_eq!(second.alerts(), whole.alerts());
    assert_eq!(second.digest(), whole.digest());
}

/// What is said of the pipeline with one part of its text replaced.
fn problems(from: &str, to: &str) -> String {
    assert_eq!(PIPELINE.matches(from).count(), 1, "{from}");
    let armed = Arc::new(AtomicBool::new(false));
    let built = Pipeline::from_yaml(PIPELINE.replace(from, to)).registry(registry(&armed)).build();
    built.err().expect("a problem").to_string()
}

#[test]
fn rule_that_nobody_registered_and_column_that_is_not_there_are_problems_at_their_place() {
    let said = problems("name: counting", "name: countin");
    assert!(
        said.contains("no alert rule `countin` is registered") && said.contains("did you mean `counting`"),
        "{said}"
    );
    assert!(said.contains("pipeline.yaml:12:"), "{said}");
    let said = problems("column: speed_mph }", "column: speed_mhp }");
    assert!(said.contains("alert rule `counting`: unknown column `speed_mhp`"), "{said}");
    assert!(said.contains("did you mean `speed_mph`") && said.contains("pipeline.yaml:12:"), "{said}");
    let said = problems(", when: \"> 1\"", "");
    assert!(said.contains("alert `every_third` has no `when`"), "{said}");
    let said = problems("pipeline: ", "ledger: { custom: { name: shelf } }\npipeline: ");
    assert!(said.contains("a `feed` lets rows go when its own memory has committed them"), "{said}");
    let said = problems("{ custom", "{ measure: speed_mph, custom");
    assert!(said.contains("`measure` means nothing beside `custom`"), "{said}");
}
