//! Evaluations over a real broker: of all that the topic holds, each in a group of its own, keeping nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arterial::runtime::{Connect, Wiring};
use arterial::spec::{PipelinePlan, load_plan};
use arterial_connectors::ledger::{Commit, CommitOutcome, Records};
use arterial_connectors::position::{Partition, Position};
use arterial_connectors::source::{SeekTo, Source, SourceEvent, Until};
use serde_json::Value;

use crate::broker;
use crate::kafka_run_support::{fill, pipeline};

fn plan_of(path: &Path) -> Arc<PipelinePlan> {
    Arc::new(load_plan(path, &BTreeMap::new()).unwrap())
}

#[test]
fn an_evaluation_reads_from_the_earliest_record_whatever_start_at_says() {
    let (topic, name) = (broker::unique("readings"), broker::unique("latest"));
    let rows = fill(&topic, 3);
    let path = pipeline(&name, &topic, "workers: 1");
    let text = std::fs::read_to_string(&path).expect("the file");
    std::fs::write(&path, text.replace("topics: [", "start_at: latest, topics: [")).expect("written");
    let evaluated = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args(["eval", "--format", "json"])
        .arg(&path)
        .stderr(Stdio::inherit())
        .output()
        .expect("the binary runs");
    let evaluated: Value = serde_json::from_slice(&evaluated.stdout).expect("a summary");
    assert_eq!(evaluated["rows"]["in"], rows);
    assert!(evaluated["scores"][0]["count"].as_u64() > Some(0), "{evaluated:#}");
}

/// Reads two sources in turn until both have told the end of every partition; rows of each.
fn read_both(mut sources: [Box<dyn Source>; 2], partitions: usize) -> [u64; 2] {
    let (mut rows, mut ended) = ([0, 0], [0, 0]);
    let deadline = Instant::now() + broker::PATIENCE;
    while ended != [partitions; 2] {
        assert!(Instant::now() < deadline, "{ended:?} of {partitions} partitions each, {rows:?} rows");
        for (index, source) in sources.iter_mut().enumerate() {
            match source.poll(Duration::from_millis(50)).expect("read") {
                Some(SourceEvent::Assigned(assigned)) => {
                    assigned.into_iter().for_each(|one| source.seek(one, SeekTo::Start).expect("sought"));
                }
                Some(SourceEvent::Batch(batch)) => rows[index] += batch.payload.len() as u64,
                Some(SourceEvent::End(_)) => ended[index] += 1,
                Some(SourceEvent::Revoked(revoked)) => panic!("{revoked:?} are shared with the other evaluation"),
                Some(SourceEvent::Lost(_)) | None => {}
            }
        }
    }
    rows
}

#[test]
fn two_evaluations_of_one_process_id_read_all_partitions_each() {
    let (topic, name) = (broker::unique("readings"), broker::unique("twice"));
    let rows = fill(&topic, 1);
    let plan = plan_of(&pipeline(&name, &topic, "workers: 1"));
    // Of one process, as those of two containers may seem to be.
    let sources = [0, 1].map(|_| Wiring::detached(&plan).source("0-0", Until::Latest).expect("a source"));
    assert_eq!(read_both(sources, 4), [rows; 2]);
}

#[test]
fn an_evaluation_keeps_neither_outputs_nor_state() {
    let plan = plan_of(&pipeline(&broker::unique("nothing"), "nowhere", "workers: 1"));
    let mut ledger = Wiring::detached(&plan).ledger("0-0", &[1]).expect("a ledger");
    let partition = Partition { topic: 0, number: 0 };
    ledger.begin().unwrap();
    let mut records = Records::default();
    records.push(0, Some(b"key"), Some(b"value"), Vec::new());
    ledger.append(&records).unwrap();
    let positions = [Position { partition, next_offset: 1 }];
    let commit = Commit { positions: &positions, state: &mut std::iter::empty(), group: None };
    assert_eq!(ledger.commit(commit).unwrap(), CommitOutcome::Committed);
    assert_eq!(ledger.restore(&[partition]).unwrap()[0].next_offset, None);
}
