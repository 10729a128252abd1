//! A live pipeline that goes on from a backfill's state: what it makes follows on what history made, as one run over
//! everything has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::broker;
use crate::kafka_backfill::{backfill, full_pipeline, messages, of_folder, of_topic, replay, summary, write_parquet};
use crate::kafka_run_support::{finish, refused, start, start_with};

/// History ends with the readings of this minute: in the middle of a window.
const SEAM: &str = "2026-03-02T20:07:00Z";

/// Values per key, in order, without what names the pipeline or numbers the run's own records.
type Values = BTreeMap<String, Vec<Value>>;

struct City {
    folder: TempDir,
    all: Vec<Value>,
}

impl City {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), all: messages(0..26) }
    }

    fn history(&self) -> Vec<Value> {
        self.all.iter().filter(|message| time(message) <= SEAM).cloned().collect()
    }

    /// Readings from a time on.
    fn since(&self, first: &str) -> Vec<Value> {
        self.all.iter().filter(|message| time(message) > first).cloned().collect()
    }

    fn file(&self, name: &str, messages: &[Value]) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.parquet"));
        write_parquet(&path, messages);
        path
    }

    /// A topic with these messages.
    fn topic(&self, name: &str, messages: &[Value]) -> String {
        let topic = broker::unique(name);
        replay(&self.file(&topic, messages), &topic);
        topic
    }

    /// The folder of a backfill of the pipeline over these messages.
    fn backfilled(&self, pipeline: &Path, messages: &[Value], more: &[&str]) -> PathBuf {
        let name = pipeline.file_stem().unwrap().to_str().unwrap();
        let (file, out) = (self.file(&format!("{name}-history"), messages), self.folder.path().join(name));
        summary(&backfill(pipeline, &file, &out, more));
        out
    }
}

fn time(message: &Value) -> &str {
    message["observed_at"].as_str().unwrap_or_default()
}

fn from(folder: &Path) -> [&str; 4] {
    ["--until", "latest", "--state-from", folder.to_str().unwrap()]
}

fn of_run(name: &str, sink: &str) -> Values {
    values(of_topic(&format!("{name}-{sink}")))
}

fn values(records: BTreeMap<Option<Vec<u8>>, Vec<arterial_connectors::conformance::CommittedRecord>>) -> Values {
    let anonymous = |value: Vec<u8>| {
        let mut json: Value = serde_json::from_slice(&value).expect("JSON");
        for field in ["pipeline", "episode_id"] {
            json.as_object_mut().expect("an object").remove(field);
        }
        json
    };
    let text = |key: Option<Vec<u8>>| String::from_utf8(key.unwrap_or_default()).expect("text");
    let list = |records: Vec<arterial_connectors::conformance::CommittedRecord>| {
        records.into_iter().filter_map(|record| record.value).map(anonymous).collect()
    };
    records.into_iter().map(|(key, records)| (text(key), list(records))).collect()
}

/// History's records of each key, then the live run's.
fn joined(mut history: Values, live: Values) -> Values {
    for (key, values) in live {
        history.entry(key).or_default().extend(values);
    }
    history
}

#[test]
fn live_run_from_a_backfills_state_goes_on_as_one_run_over_everything() {
    let city = City::new();
    let whole = broker::unique("whole");
    finish(start(&full_pipeline(&whole, &city.topic("all", &city.all))));
    // The topic begins in the middle of history, or exactly after it.
    for (name, first) in [("overlap", "2026-03-02T15:00:00Z"), ("adjoining", SEAM)] {
        let live = broker::unique(name);
        let later = city.since(first);
        let pipeline = full_pipeline(&live, &city.topic(name, &later));
        let folder = city.backfilled(&pipeline, &city.history(), &["--open-end"]);
        let ran = finish(start_with(&pipeline, &from(&folder)));
        for sink in ["forecasts", "alerts"] {
            let expected = of_run(&whole, sink);
            assert!(expected.values().map(Vec::len).sum::<usize>() > 10, "{sink}");
            let found = joined(values(of_folder(&folder, sink)), of_run(&live, sink));
            for (key, expected) in &expected {
                let found = found.get(key).map_or(&[][..], Vec::as_slice);
                let differs = expected.iter().zip(found).find(|(expected, found)| expected != found);
                assert_eq!(differs, None, "{name}: {sink} of {key}");
                assert_eq!(found.len(), expected.len(), "{name}: {sink} of {key}");
            }
        }
        let known = later.iter().filter(|message| time(message) <= SEAM).count();
        let rows = &ran["rows"];
        assert_eq!(rows["balanced"], true, "{rows}");
        assert_eq!(rows["in"].as_u64(), Some((city.history().len() + later.len()) as u64), "{rows}");
        assert!(rows["duplicate"].as_u64() >= Some(known as u64), "{rows}");
        assert!(of_run(&live, "late").is_empty(), "what history had is not late");
        // The same command again goes on from what it has committed, although history has grown meanwhile.
        city.file(&format!("{live}-history"), &city.all);
        let again = finish(start_with(&pipeline, &from(&folder)));
        assert_eq!(again["state_digest"], ran["state_digest"]);
        // So does a run that does not name the history any more.
        assert_eq!(finish(start(&pipeline))["state_digest"], ran["state_digest"]);
    }
}

#[test]
fn history_that_does_not_fit_is_refused_with_the_reason() {
    let city = City { folder: TempDir::new().unwrap(), all: messages(0..4) };
    let name = broker::unique("unfit");
    let pipeline = full_pipeline(&name, &city.topic("unfit", &city.all));
    let run = |pipeline: &Path, folder: &Path| refused(start_with(pipeline, &from(folder)));

    let said = run(&pipeline, &city.folder.path().join("nothing"));
    assert!(said.contains("nothing` holds no complete epoch"), "{said}");
    assert!(said.contains("hint: name the folder of a backfill"), "{said}");

    let other = full_pipeline(&broker::unique("other"), "unused");
    let said = run(&pipeline, &city.backfilled(&other, &city.all, &["--partitions", "4"]));
    assert!(said.contains("` belongs to pipeline `other-"), "{said}");

    let text = std::fs::read_to_string(&pipeline).unwrap();
    let six = city.folder.path().join("six.yaml");
    std::fs::write(&six, &text).unwrap();
    let said = run(&pipeline, &city.backfilled(&six, &city.all, &["--partitions", "6"]));
    assert!(said.contains("was filled with [6] partitions, and there are [4] now"), "{said}");

    let folder = city.backfilled(&pipeline, &city.all, &[]);
    let changed = city.folder.path().join("changed.yaml");
    std::fs::write(&changed, text.replace("count: 4", "count: 5")).unwrap();
    let said = run(&changed, &folder);
    assert!(said.contains("the pipeline file changed under existing state: lags"), "{said}");

    let mark = folder.join("finished");
    let kept = std::fs::read(&mark).unwrap();
    std::fs::remove_file(&mark).unwrap();
    let said = run(&pipeline, &folder);
    assert!(said.contains("` was stopped after ") && said.contains("hint: finish it first"), "{said}");
    std::fs::write(&mark, kept).unwrap();

    let file = city.file(&format!("{name}-history"), &messages(0..5));
    let said = run(&pipeline, &folder);
    assert!(
        said.contains("has read ") && said.contains(" rows of `") && said.contains(file.to_str().unwrap()),
        "{said}"
    );
    assert!(said.contains("hint: finish it first"), "{said}");
    city.file(&format!("{name}-history"), &city.all);

    // Nothing of all this was committed: a run without history begins at the beginning.
    let ran = finish(start(&pipeline));
    assert_eq!(ran["rows"]["in"].as_u64(), Some(city.all.len() as u64));
    let said = run(&pipeline, &folder);
    assert!(said.contains("goes on from what is committed, which was not handed over from"), "{said}");
    assert!(said.contains("hint: start without `--state-from`"), "{said}");
}
