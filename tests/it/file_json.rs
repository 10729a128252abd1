//! Lines of JSON stand for a topic: the payloads, partitions, dead letters and state that the topic would give, whatever
//! the compression, with errors that name the line.

use std::path::PathBuf;

use arterial_connectors::conformance::{Patience, SourceHarness, check_source};
use arterial_connectors::file::{FileSource, FileSourceConfig};
use arterial_connectors::position::{Partition, partition_of_key};
use arterial_connectors::source::{Source, Until};

use super::conformance::{IN_PROCESS, without_broker};
use super::file_support::{file_plan, header, packed, read_rows, refusal, run_file, write};

fn reading(row: u32) -> String {
    let (sensor, minute, second) = (row % 17, row / 60, row % 60);
    format!(
        r#"{{"sensor_id":"L{sensor}","observed_at":"2026-03-02T08:{minute:02}:{second:02}Z","speed_kmh":{}}}"#,
        row % 90
    )
}

fn readings(rows: std::ops::Range<u32>) -> String {
    rows.map(|row| reading(row) + "\n").collect()
}

/// Two files, one of them compressed.
struct TextTopic {
    folder: tempfile::TempDir,
    batch_rows: usize,
}

impl SourceHarness for TextTopic {
    fn fill(&mut self) -> Result<(), String> {
        write(&self.folder.path().join("a.ndjson.gz"), readings(0..400));
        write(&self.folder.path().join("b.ndjson"), readings(400..1000));
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        (0..4).map(|number| Partition { topic: 0, number }).collect()
    }

    fn rows_total(&self) -> usize {
        1000
    }

    fn open(&mut self, _until: Until) -> Result<Box<dyn Source>, String> {
        let pattern = self.folder.path().join("*.ndjson*");
        let config = FileSourceConfig { batch_rows: self.batch_rows, ..FileSourceConfig::new(pattern, 4, "sensor_id") };
        Ok(Box::new(FileSource::open(&config).map_err(|error| error.to_string())?))
    }

    fn patience(&self) -> Patience {
        IN_PROCESS
    }
}

#[test]
fn files_of_text_conform_whatever_the_batch_size() {
    for batch_rows in [1, 64, 5000] {
        let mut topic = TextTopic { folder: tempfile::tempdir().unwrap(), batch_rows };
        assert_eq!(check_source(&mut topic).unwrap(), without_broker(), "{batch_rows} rows at a time");
    }
}

#[test]
fn lines_lie_where_a_producer_of_their_key_would_put_them_in_every_compression() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        r#"{"at":{"id":"L1"},"n":1}"#,
        "",
        r#"{"n":2,"at":{"other":[1,{"id":"L9"}],"id":42}}"#,
        r#"{"at":{"id":null}}"#,
        "no JSON",
        r#"{"at":{"id":4.5}}"#,
        r#"{"at":"L1"}"#,
        r#"{"id":"L1"}"#,
    ];
    for name in ["a.ndjson", "a.jsonl.gz", "a.json.zst", "A.NDJSON.GZ"] {
        let path = folder.path().join(name);
        // A byte order mark, lines ended as Windows does, and no end of the last line.
        write(&path, format!("\u{feff}{}", lines.join("\r\n")));
        let rows = read_rows(&FileSourceConfig::new(&path, 8, "at.id")).unwrap();
        let mut expected = vec![Vec::new(); 8];
        for (number, line) in (1..).zip(lines).filter(|(_, line)| !line.is_empty()) {
            let key = [(1, "L1"), (3, "42")].iter().find(|(with_key, _)| *with_key == number).map(|(_, key)| *key);
            let partition = key.map_or(0, |key| partition_of_key(key.as_bytes(), 8));
            expected[partition as usize].push((number, key.map(str::to_owned), line.to_owned()));
        }
        assert_eq!(rows, expected, "{name}");
    }
}

#[test]
fn a_run_over_files_keeps_the_accounts_and_its_dead_letters_name_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("day-2.ndjson.zst");
    write(&folder.path().join("day-1.ndjson.gz"), readings(0..1500));
    let bad = r#"{"sensor_id":"L3","observed_at":"2026-03-02T08:30:00Z","speed_kmh":"fast"}"#;
    write(&second, format!("{}\n{bad}\n{{\"sensor_id\":\n{}", reading(1500), readings(1501..3000)));
    let pattern = folder.path().join("day-*");
    let (summary, letters) =
        run_file(file_plan(&format!("path: \"{}\", partitions: 2", pattern.display()), "")).unwrap();
    let accounts: Vec<_> = summary.partitions.values().map(|partition| partition.accounting).collect();
    assert_eq!(accounts.iter().map(|account| account.rows_in).sum::<u64>(), 3002);
    assert_eq!(accounts.iter().map(|account| account.accepted).sum::<u64>(), 3000);
    assert_eq!(letters.len(), 2);
    for (line, value) in [("2", bad), ("3", "{\"sensor_id\":")] {
        let letter = letters.iter().find(|letter| letter.value.as_deref() == Some(value.as_bytes())).expect(value);
        assert_eq!(header(letter, "arterial.dlq.topic"), second.display().to_string());
        assert_eq!(header(letter, "__connect.errors.offset"), line);
    }
}

#[test]
fn what_is_no_readable_file_of_text_is_refused_by_name_line_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    for name in ["cut.ndjson.gz", "cut.ndjson.zst"] {
        let whole = packed(&at(name), readings(0..5000).as_bytes());
        std::fs::write(at(name), &whole[..whole.len() * 2 / 3]).unwrap();
        let refusal = refusal(&at(name));
        assert!(refusal.contains(&format!("{name}`: is cut short")), "{refusal}");
        assert!(refusal.contains("at line ") && !refusal.contains("at line 1;"), "{refusal}");
        assert!(refusal.contains("copy it again"), "{refusal}");
    }
    for name in ["plain.ndjson.gz", "plain.ndjson.zst"] {
        std::fs::write(at(name), readings(0..10)).unwrap();
        assert!(refusal(&at(name)).contains("its name says"), "{}", refusal(&at(name)));
    }
    std::fs::write(at("one-line.json"), "[".repeat((16 << 20) + 10)).unwrap();
    let long = refusal(&at("one-line.json"));
    assert!(long.contains("line 1 is longer than 16777216 bytes"), "{long}");
    assert!(long.contains("on a line of its own"), "{long}");

    std::fs::create_dir(at("folder.ndjson")).unwrap();
    assert!(refusal(&at("folder.ndjson")).contains("is a directory"), "{}", refusal(&at("folder.ndjson")));
    std::os::unix::fs::symlink("nowhere", at("gone.ndjson")).unwrap();
    assert!(refusal(&at("gone.ndjson")).contains("No such file"), "{}", refusal(&at("gone.ndjson")));
    assert!(refusal(&at("absent-*.ndjson")).contains("matches no file"), "{}", refusal(&at("absent-*.ndjson")));
    write(&at("mixed-a.ndjson"), readings(0..1));
    write(&at("mixed-b.parquet"), "PAR1");
    let mixed = refusal(&at("mixed-*"));
    assert!(mixed.contains("mixed-b.parquet`: is Parquet by its name where"), "{mixed}");
    assert!(mixed.contains("narrow the pattern"), "{mixed}");
}
