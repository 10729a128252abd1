//! The folder ledger: the suite that every ledger passes, and what a disk adds to it.

use std::path::Path;

use arterial_connectors::conformance::{CommittedRecord, LEDGER_CHECKS, LedgerHarness, check_ledger};
use arterial_connectors::folder::{Folder, FolderError, FolderLedger, FolderLedgerConfig, FolderSink, Manifest};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, StateRecord};
use arterial_connectors::position::{Partition, Position};
use tempfile::TempDir;

use crate::folder_support::{epochs, lines, record};

fn partition(number: i32) -> Partition {
    Partition { topic: 0, number }
}

fn config() -> FolderLedgerConfig {
    FolderLedgerConfig {
        pipeline: "p".to_owned(),
        input: "rows.parquet".to_owned(),
        layout: "by sensor".to_owned(),
        files: Vec::new(),
        partitions: vec![3],
        sinks: vec![FolderSink::lines("one"), FolderSink::lines("two")],
    }
}

struct Directory {
    root: TempDir,
    folder: Folder,
}

impl Directory {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(&root.path().join("out")).unwrap();
        Self { root, folder }
    }

    /// As the next process finds it.
    fn reopened(self) -> Self {
        let Self { root, folder } = self;
        drop(folder);
        let folder = Folder::open(&root.path().join("out")).unwrap();
        Self { root, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ledger(&self) -> FolderLedger {
        let mut ledger = FolderLedger::open(&self.folder, "0-0", config()).unwrap();
        ledger.restore(&[partition(0)]).unwrap();
        ledger
    }
}

impl LedgerHarness for Directory {
    fn reset(&mut self) -> Result<(), String> {
        *self = Self::new();
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        (0..3).map(partition).collect()
    }

    fn open(&mut self, slot: &str) -> Result<Box<dyn Ledger>, String> {
        let ledger = FolderLedger::open(&self.folder, slot, config()).map_err(|error| error.to_string())?;
        Ok(Box::new(ledger))
    }

    fn committed(&mut self, sink: u16) -> Result<Vec<CommittedRecord>, String> {
        Ok(lines(self.path(), ["one", "two"][usize::from(sink)]).iter().map(record).collect())
    }

    fn committed_offset(&mut self, partition: Partition) -> Result<Option<i64>, String> {
        let manifest = Manifest::newest(self.path()).map_err(|error| error.to_string())?;
        let positions = manifest.map(|manifest| manifest.positions).unwrap_or_default();
        Ok(positions.iter().find(|position| position.partition == partition).map(|position| position.next_offset))
    }
}

#[test]
fn folder_ledger_conforms() {
    // Positions stand beside the state they belong to, so the two cannot disagree; and no disk here forgets a rename.
    let not_possible = [
        "restore_refuses_state_that_disagrees_with_the_committed_offset",
        "unknown_commit_is_whole_or_absent_after_restore",
    ];
    let expected: Vec<&str> = LEDGER_CHECKS.into_iter().filter(|check| !not_possible.contains(check)).collect();
    assert_eq!(check_ledger(&mut Directory::new()).unwrap(), expected);
}

/// Commits an epoch with one record and one key of state.
fn commit_epoch(ledger: &mut FolderLedger, round: i64, value: &str) {
    ledger.begin().unwrap();
    let mut records = Records::default();
    records.push(0, Some(b"k"), Some(value.as_bytes()), Vec::new());
    ledger.append(&records).unwrap();
    let key = format!("key{round}").into_bytes();
    let state = [StateRecord { partition: partition(0), key, value: Some(vec![7; 100]) }];
    let positions = [Position { partition: partition(0), next_offset: round }];
    let commit = Commit { positions: &positions, state: &mut state.iter().cloned(), group: None };
    assert_eq!(ledger.commit(commit).unwrap(), CommitOutcome::Committed);
}

#[test]
fn line_holds_json_as_it_is_and_other_bytes_without_losing_any() {
    let directory = Directory::new();
    let mut ledger = directory.ledger();
    let values: [&[u8]; 6] = [b"{\"a\": 1.50}", b"[1]", b"{\"a\":", b"5", b"{\"a\":\n1}", &[0xff, b'{']];
    for (round, value) in (1..).zip(values) {
        ledger.begin().unwrap();
        let mut records = Records::default();
        records.push(0, Some(&[0xfe]), Some(value), vec![("h".to_owned(), Some(vec![0xfd]))]);
        ledger.append(&records).unwrap();
        let positions = [Position { partition: partition(0), next_offset: round }];
        ledger.commit(Commit { positions: &positions, state: &mut std::iter::empty(), group: None }).unwrap();
    }
    let head = r#"{"key_base64":"/g==","#;
    let tail = r#","headers":[{"name":"h","value_base64":"/Q=="}]}"#;
    let expected = [
        r#""value":{"a": 1.50}"#,
        r#""value":[1]"#,
        r#""value_text":"{\"a\":""#,
        r#""value_text":"5""#,
        r#""value_text":"{\"a\":\n1}""#,
        r#""value_base64":"/3s=""#,
    ];
    for (epoch, expected) in epochs(directory.path()).into_iter().zip(expected) {
        let text = std::fs::read_to_string(epoch.join("one.ndjson")).unwrap();
        assert_eq!(text, format!("{head}{expected}{tail}\n"));
    }
}

#[test]
fn outputs_of_every_epoch_stay_and_the_state_of_the_newest_two() {
    let directory = Directory::new();
    let mut ledger = directory.ledger();
    for round in 1..=4 {
        commit_epoch(&mut ledger, round, "v");
    }
    let found = epochs(directory.path());
    let names: Vec<_> = found.iter().map(|epoch| epoch.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["epoch-0000000001", "epoch-0000000002", "epoch-0000000003", "epoch-0000000004"]);
    let kept: Vec<bool> = found.iter().map(|epoch| epoch.join("state.bin").exists()).collect();
    assert_eq!(kept, [false, false, true, true]);
    assert_eq!(lines(directory.path(), "one").len(), 4);
    // Where the disk lost the newest epoch, the one before it is whole.
    drop(ledger);
    std::fs::remove_dir_all(&found[3]).unwrap();
    let directory = directory.reopened();
    let ledger = FolderLedger::open(&directory.folder, "0-0", config());
    let restored = ledger.unwrap().restore(&[partition(0)]).unwrap();
    assert_eq!((restored[0].next_offset, restored[0].state.len()), (Some(3), 3));
}

#[test]
fn what_a_crash_left_is_removed_and_counts_as_never_written() {
    let directory = Directory::new();
    commit_epoch(&mut directory.ledger(), 1, "kept");
    let left = directory.path().join("0-1.unfinished");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("one.ndjson"), "{\"key\":").unwrap();
    let directory = directory.reopened();
    assert!(!left.exists());
    commit_epoch(&mut directory.ledger(), 2, "next");
    let values: Vec<_> = lines(directory.path(), "one").iter().map(|line| line["value_text"].clone()).collect();
    assert_eq!(values, ["kept", "next"]);
}

#[test]
fn second_process_is_refused_until_the_first_one_ends() {
    let directory = Directory::new();
    let ledger = directory.ledger();
    let path = directory.path().to_owned();
    // A second handle has a lock of its own, also within one process.
    let refused = Folder::open(&path).unwrap_err();
    assert!(matches!(refused, FolderError::Taken { .. }), "{refused}");
    assert!(refused.to_string().ends_with("is in use by another process"), "{refused}");
    let Directory { root, folder } = directory;
    drop((ledger, folder));
    Folder::open(&path).unwrap();
    drop(root);
}

#[test]
fn folder_of_another_pipeline_input_or_number_of_partitions_is_refused() {
    let directory = Directory::new();
    commit_epoch(&mut directory.ledger(), 1, "v");
    let directory = directory.reopened();
    let open = |config| FolderLedger::open(&directory.folder, "0-0", config).err().unwrap();
    let foreign = open(FolderLedgerConfig { pipeline: "q".to_owned(), ..config() });
    assert!(matches!(&foreign, FolderError::Foreign { found, expected, .. } if found == "p" && expected == "q"));
    let other = open(FolderLedgerConfig { input: "others.parquet".to_owned(), ..config() });
    assert!(matches!(&other, FolderError::Input { found, .. } if found == "rows.parquet"), "{other}");
    let cut = open(FolderLedgerConfig { layout: "by road".to_owned(), ..config() });
    assert!(cut.to_string().ends_with("made with by sensor, and now they are made with by road"), "{cut}");
    let moved = open(FolderLedgerConfig { partitions: vec![4], ..config() });
    assert!(matches!(&moved, FolderError::Partitions { found, .. } if *found == [3]), "{moved}");
}

#[test]
fn damaged_state_is_refused_whatever_happened_to_it() {
    for (damage, said) in ["its digest is", "in the middle of an entry", "its digest is"].into_iter().enumerate() {
        let directory = Directory::new();
        commit_epoch(&mut directory.ledger(), 1, "v");
        let path = epochs(directory.path())[0].join("state.bin");
        let mut bytes = std::fs::read(&path).unwrap();
        match damage {
            0 => bytes[30] ^= 1,
            1 => bytes.truncate(50),
            _ => bytes.clear(),
        }
        std::fs::write(&path, bytes).unwrap();
        let ledger = FolderLedger::open(&directory.folder, "0-0", config());
        let refused = ledger.unwrap().restore(&[partition(0)]).unwrap_err();
        assert!(matches!(refused, LedgerError::Folder(FolderError::Damaged { .. })), "{refused}");
        assert!(refused.to_string().contains(said), "{refused}");
        assert!(!refused.transient());
    }
}

#[test]
fn workers_of_one_process_add_their_epochs_in_turn_and_none_loses_the_others_state() {
    let directory = Directory::new();
    let mut workers = ["0-0", "0-1"].map(|slot| FolderLedger::open(&directory.folder, slot, config()).unwrap());
    for (number, worker) in (0..).zip(&mut workers) {
        worker.restore(&[partition(number)]).unwrap();
    }
    for round in 1..=3i64 {
        workers.iter_mut().for_each(|worker| worker.begin().unwrap());
        for (number, worker) in (0..).zip(&mut workers) {
            let mut records = Records::default();
            records.push(0, None, Some(format!("{number}/{round}").as_bytes()), Vec::new());
            worker.append(&records).unwrap();
            let value = Some(round.to_string().into_bytes());
            let state = [StateRecord { partition: partition(number), key: b"k".to_vec(), value }];
            let positions = [Position { partition: partition(number), next_offset: round }];
            let outcome = worker
                .commit(Commit { positions: &positions, state: &mut state.iter().cloned(), group: None })
                .unwrap();
            assert_eq!(outcome, CommitOutcome::Committed);
        }
    }
    drop(workers);
    let directory = directory.reopened();
    let ledger = FolderLedger::open(&directory.folder, "0-0", config());
    for restored in ledger.unwrap().restore(&[partition(0), partition(1)]).unwrap() {
        assert_eq!((restored.next_offset, restored.state), (Some(3), vec![(b"k".to_vec(), b"3".to_vec())]));
    }
    let values: Vec<_> = lines(directory.path(), "one").iter().map(|line| line["value_text"].clone()).collect();
    assert_eq!(values, ["0/1", "1/1", "0/2", "1/2", "0/3", "1/3"]);
}
