//! A good pipeline file to spoil, and how the spec tests say what must come of it: `«` in a text marks the place that
//! the one problem must point at.

use arterial::spec::{PipelineFile, Problem, Registry, SpecErrors};

/// Stands where the problem must be reported, and is taken out before the text is read.
const MARK: char = '«';

/// A file without problems that has something of everything.
pub const GOOD: &str = r#"version: 1
pipeline: ring-road
vars: { city: aarhus }
sources:
  loops:
    kafka: { brokers: "127.0.0.1:9092", topics: ["${city}.loops"] }
    decode: { schema: traffic-observation.v1, timezone: Europe/Copenhagen }
    partitioned_by: sensor_id
    event_time: { column: observed_at, stamps: end, interval: 1m, max_delay: 90s, future_skew: 60s }
tables:
  sites: { file: sites.csv, key: sensor_id }
clean:
  - null_if: { speed_kmh: speed_kmh < 0 }
  - dedupe: { key: [sensor_id, observed_at], within: 10m }
  - lookup: { table: sites, on: sensor_id, columns: [free_flow_kmh] }
window:
  size: 5m
  key: [sensor_id]
  carry: [free_flow_kmh]
  columns: { speed_kmh: avg(speed_kmh), readings: count(*) }
features:
  - lags: { column: speed_kmh, count: 6 }
  - differences: { column: speed_kmh, count: 5 }
predict:
  speed: { target: speed_kmh, horizons: [15m, 30m], minimum: 0, maximum: 200, model: { online_linear: {} } }
alerts:
  congestion:
    measure: speed.15m / free_flow_kmh
    when: "< 0.45"
    clear: "> 0.60"
    key: [sensor_id]
    severity: { minor: "< 0.45", severe: "< 0.2" }
    summary: slow traffic at {sensor_id}
sinks:
  alerts: { from: alerts, kafka: { topic: alerts.v1 }, encode: { format: cloudevents } }
  late: { from: late, kafka: { topic: late.v1 } }
  dead_letter: { from: dead_letter, kafka: { topic: dlq.v1 } }
delivery: exactly_once
runtime: { workers: 2, commit_every: 200ms, listen: "127.0.0.1:9464" }
tests:
  - name: nothing comes of nothing
    given: { tables: { sites: [] } }
    expect: { clean: [] }
"#;

/// The good file with each first text replaced by the second.
pub fn spoilt(edits: &[(&str, &str)]) -> String {
    let mut text = GOOD.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "`{from}` must stand once in the good file");
        text = text.replace(from, to);
    }
    text
}

/// Reads a text in which no environment variable is set.
pub fn parse(text: &str) -> PipelineFile {
    PipelineFile::parse("pipeline.yaml", text, &|_| None, &Registry::default())
}

/// All problems of a text, in order.
pub fn problems(text: &str) -> Vec<Problem> {
    match parse(text).finish() {
        Ok(_) => Vec::new(),
        Err(errors) => errors.problems().to_vec(),
    }
}

/// The problems as `Display` gives them.
pub fn rendered(text: &str) -> String {
    parse(text).finish().err().map(|errors: SpecErrors| errors.to_string()).unwrap_or_default()
}

/// The good file, spoilt in one place, has exactly this problem where the mark stands; `hint` is a part of its hint.
pub fn refused(from: &str, to: &str, message: &str, hint: &str) {
    only_problem(&spoilt(&[(from, to)]), message, hint);
}

/// The text has exactly one problem, at the mark. An empty `hint` means that there is none.
pub fn only_problem(marked: &str, message: &str, hint: &str) {
    let (line, column) = mark(marked);
    let found = problems(&marked.replace(MARK, ""));
    let [problem] = found.as_slice() else { panic!("expected one problem ({message}), found {found:#?}") };
    assert_eq!(problem.message, message);
    assert_eq!((problem.at.line, problem.at.column), (line, column), "place of: {message}");
    let given = problem.hint.as_deref().unwrap_or_default();
    assert!(given.contains(hint), "hint `{given}` lacks `{hint}`");
    assert_eq!(given.is_empty(), hint.is_empty(), "{message}: hint: {given}");
}

/// Line and column of the mark, from 1.
fn mark(marked: &str) -> (usize, usize) {
    let before = marked.split(MARK).next().expect("a mark");
    assert!(before.len() < marked.len(), "the text has no mark");
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}
