//! The suite that every source and ledger has to pass, run for those that need no broker.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arterial_connectors::conformance::{
    CommittedRecord, LEDGER_CHECKS, LedgerHarness, Patience, SOURCE_CHECKS, SourceHarness, check_ledger, check_source,
};
use arterial_connectors::discard::DiscardLedger;
use arterial_connectors::file::{FileSource, FileSourceConfig};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, Records};
use arterial_connectors::memory::{
    Batching, CommitFault, Faults, Membership, MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemoryRecord,
    MemorySource, MemorySourceConfig,
};
use arterial_connectors::position::{Partition, Position};
use arterial_connectors::simulate::{SimulateConfig, SimulateSource};
use arterial_connectors::source::{Source, Until};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

/// In the process everything comes at once or never.
pub(crate) const IN_PROCESS: Patience = Patience { poll: Duration::ZERO, polls_max: 3, quiet_polls: 20 };

fn numbered(count: i32) -> Vec<Partition> {
    (0..count).map(|number| Partition { topic: 0, number }).collect()
}

/// A topic of the memory broker: half of it written by transactions, some of them aborted.
pub(crate) struct MemoryTopic {
    pub(crate) broker: MemoryBroker,
    pub(crate) seed: u64,
    pub(crate) typed: bool,
}

impl MemoryTopic {
    fn send(&self, number: i32, count: i64) {
        for row in 0..count {
            if self.typed {
                let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
                let column = Arc::new(Int64Array::from_iter_values(row..row + 2));
                let rows = RecordBatch::try_new(schema, vec![column]).unwrap();
                self.broker.send_rows("in", number, rows).unwrap();
            } else {
                let record = MemoryRecord { timestamp_ms: Some(row), ..MemoryRecord::new("k", row.to_string()) };
                self.broker.send_to("in", number, record).unwrap();
            }
        }
    }

    fn send_in_transactions(&self) {
        let config = MemoryLedgerConfig::new("writer", "w", &["in"]);
        let mut writer = MemoryLedger::open(&self.broker, config).unwrap();
        writer.restore(&[]).unwrap();
        for round in 0..30 {
            writer.begin().unwrap();
            let mut records = Records::default();
            for key in 0..6 {
                records.push(
                    0,
                    Some(format!("key-{key}").as_bytes()),
                    Some(b"v"),
                    vec![("h".into(), Some(vec![round]))],
                );
            }
            writer.append(&records).unwrap();
            match round % 3 {
                0 => writer.abort().unwrap(),
                _ => {
                    let commit = Commit { positions: &[], state: &mut std::iter::empty(), group: None };
                    assert_eq!(writer.commit(commit).unwrap(), CommitOutcome::Committed);
                }
            }
        }
    }
}

impl SourceHarness for MemoryTopic {
    fn fill(&mut self) -> Result<(), String> {
        self.broker = MemoryBroker::new();
        self.broker.create_topic("in", 3).unwrap();
        numbered(3).iter().for_each(|partition| self.send(partition.number, 20));
        if !self.typed {
            self.send_in_transactions();
        }
        numbered(3).iter().for_each(|partition| self.send(partition.number, 20));
        self.broker.assign("g", "a", &numbered(3));
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        numbered(3)
    }

    fn rows_total(&self) -> usize {
        // Typed: two rows each time; bytes: 20 transactions of 6 records were committed beside.
        3 * 40 + 120
    }

    fn open(&mut self, until: Until) -> Result<Box<dyn Source>, String> {
        self.seed += 1;
        let config = MemorySourceConfig {
            until,
            membership: Membership::Assigned("a".to_owned()),
            batching: Batching::seeded(self.seed, 7),
            ..MemorySourceConfig::new("in", "g")
        };
        let source = MemorySource::open(&self.broker, config).map_err(|error| error.to_string())?;
        Ok(Box::new(source))
    }

    fn grow(&mut self) -> Result<bool, String> {
        numbered(3).iter().for_each(|partition| self.send(partition.number, 2));
        Ok(true)
    }

    fn revoke(&mut self) -> Result<bool, String> {
        self.broker.assign("g", "a", &numbered(3)[1..]);
        Ok(true)
    }

    fn patience(&self) -> Patience {
        IN_PROCESS
    }
}

#[test]
fn memory_source_of_bytes_and_of_typed_rows_conforms() {
    for typed in [false, true] {
        let mut topic = MemoryTopic { broker: MemoryBroker::new(), seed: 0, typed };
        assert_eq!(check_source(&mut topic).unwrap(), SOURCE_CHECKS);
    }
}

/// A file of several row groups whose partitions are of different size.
struct ParquetTopic {
    folder: tempfile::TempDir,
    batch_rows: usize,
}

impl ParquetTopic {
    fn path(&self) -> PathBuf {
        self.folder.path().join("rows.parquet")
    }
}

impl SourceHarness for ParquetTopic {
    fn fill(&mut self) -> Result<(), String> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("sensor_id", DataType::Utf8, true),
        ]));
        let names = (0..1000).map(|row| (row % 50 != 0).then(|| format!("L{}", row % 17)));
        let columns: Vec<Arc<dyn arrow::array::Array>> =
            vec![Arc::new(Int64Array::from_iter_values(0..1000)), Arc::new(StringArray::from_iter(names))];
        let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(130)).build();
        let file = std::fs::File::create(self.path()).unwrap();
        let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        numbered(4)
    }

    fn rows_total(&self) -> usize {
        1000
    }

    fn open(&mut self, _until: Until) -> Result<Box<dyn Source>, String> {
        let config =
            FileSourceConfig { batch_rows: self.batch_rows, ..FileSourceConfig::new(self.path(), 4, "sensor_id") };
        Ok(Box::new(FileSource::open(&config).map_err(|error| error.to_string())?))
    }

    fn patience(&self) -> Patience {
        IN_PROCESS
    }
}

/// What cannot be asked of a source that has all its rows from the start and owns them alone.
const NEEDS_A_BROKER: [&str; 3] = [
    "end_stands_where_the_partition_ended_when_it_was_assigned",
    "rows_that_arrive_later_are_delivered",
    "nothing_comes_after_revoked_and_release_gives_the_partition_up",
];

pub(crate) fn without_broker() -> Vec<&'static str> {
    SOURCE_CHECKS.into_iter().filter(|check| !NEEDS_A_BROKER.contains(check)).collect()
}

#[test]
fn file_source_conforms_whatever_the_batch_size() {
    for batch_rows in [1, 64, 130, 5000] {
        let mut topic = ParquetTopic { folder: tempfile::tempdir().unwrap(), batch_rows };
        assert_eq!(check_source(&mut topic).unwrap(), without_broker(), "{batch_rows} rows at a time");
    }
}

struct Corridor;

impl SourceHarness for Corridor {
    fn fill(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        numbered(4)
    }

    fn rows_total(&self) -> usize {
        arterial_connectors::simulate::Readings::new(&corridor()).unwrap().count()
    }

    fn open(&mut self, _until: Until) -> Result<Box<dyn Source>, String> {
        Ok(Box::new(SimulateSource::open(corridor(), Arc::new(|| 0)).map_err(|error| error.to_string())?))
    }

    fn patience(&self) -> Patience {
        IN_PROCESS
    }
}

fn corridor() -> SimulateConfig {
    SimulateConfig { detectors: 20, length_micros: Some(12 * 3_600_000_000), ..SimulateConfig::default() }
}

#[test]
fn simulated_source_conforms() {
    assert_eq!(check_source(&mut Corridor).unwrap(), without_broker());
}

/// Sinks and a group of the memory broker.
pub(crate) struct MemoryGroup(pub(crate) MemoryBroker);

impl MemoryGroup {
    fn open_with(&self, slot: &str, faults: Faults) -> Result<Box<dyn Ledger>, String> {
        let config =
            MemoryLedgerConfig { faults, looks_in_flight: 2, ..MemoryLedgerConfig::new("g", slot, &["one", "two"]) };
        Ok(Box::new(MemoryLedger::open(&self.0, config).map_err(|error| error.to_string())?))
    }
}

impl LedgerHarness for MemoryGroup {
    fn reset(&mut self) -> Result<(), String> {
        self.0 = MemoryBroker::new();
        ["one", "two"].iter().try_for_each(|topic| self.0.create_topic(topic, 3)).map_err(|error| error.to_string())
    }

    fn partitions(&self) -> Vec<Partition> {
        numbered(3)
    }

    fn open(&mut self, slot: &str) -> Result<Box<dyn Ledger>, String> {
        self.open_with(slot, Faults::none())
    }

    fn open_unknown(&mut self, slot: &str, applied: bool) -> Result<Option<Box<dyn Ledger>>, String> {
        let fault = if applied { CommitFault::UnknownApplied } else { CommitFault::UnknownDropped };
        self.open_with(slot, Faults::none().commit(1, fault)).map(Some)
    }

    fn committed(&mut self, sink: u16) -> Result<Vec<CommittedRecord>, String> {
        let topic = ["one", "two"][usize::from(sink)];
        let records = self.0.committed_records(topic).map_err(|error| error.to_string())?;
        let seen =
            |record: MemoryRecord| CommittedRecord { key: record.key, value: record.value, headers: record.headers };
        Ok(records.into_iter().map(seen).collect())
    }

    fn committed_offset(&mut self, partition: Partition) -> Result<Option<i64>, String> {
        Ok(self.0.committed_offset("g", partition))
    }

    fn set_committed_offset(&mut self, partition: Partition, offset: i64) -> Result<bool, String> {
        self.0.set_committed_offset("g", partition, Some(offset));
        Ok(true)
    }
}

#[test]
fn memory_ledger_conforms() {
    assert_eq!(check_ledger(&mut MemoryGroup(MemoryBroker::new())).unwrap(), LEDGER_CHECKS);
}

/// Nobody can look at what a discarding ledger was given.
struct Nothing;

impl LedgerHarness for Nothing {
    fn reset(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        numbered(3)
    }

    fn open(&mut self, _: &str) -> Result<Box<dyn Ledger>, String> {
        Ok(Box::new(DiscardLedger))
    }

    fn keeps(&self) -> bool {
        false
    }

    fn committed(&mut self, _: u16) -> Result<Vec<CommittedRecord>, String> {
        Ok(Vec::new())
    }

    fn committed_offset(&mut self, _: Partition) -> Result<Option<i64>, String> {
        Ok(None)
    }
}

#[test]
fn discarding_ledger_conforms_as_far_as_it_can_and_restores_nothing_after_a_commit() {
    let passed = check_ledger(&mut Nothing).unwrap();
    assert_eq!(passed.len(), 3, "{passed:?}");
    let mut ledger = DiscardLedger;
    let positions = [Position { partition: numbered(1)[0], next_offset: 5 }];
    ledger.begin().unwrap();
    let commit = Commit { positions: &positions, state: &mut std::iter::empty(), group: None };
    assert_eq!(ledger.commit(commit).unwrap(), CommitOutcome::Committed);
    assert_eq!(ledger.restore(&numbered(1)).unwrap()[0].next_offset, None, "its rows are read again, and learned anew");
}
