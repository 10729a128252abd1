//! Tables of delimited text stand for a topic: by header, wide or long, with times or without, whatever the compression.

use std::path::Path;

use arterial_connectors::conformance::{Patience, SourceHarness, check_source};
use arterial_connectors::file::{FileSource, FileSourceConfig, TableClock, TableLayout, Unpivot};
use arterial_connectors::position::{Partition, partition_of_key};
use arterial_connectors::source::{Source, Until};

use super::conformance::{IN_PROCESS, without_broker};
use super::file_support::{FileRow, file_plan, header, read_rows, refusal, run_file, timed_file_plan, write};

/// METR-LA's shape: a time, then a column for every sensor.
fn wide(rows: std::ops::Range<u32>) -> String {
    let row = |row: u32| format!("2026-03-02T{:02}:{:02}:00Z,{},,{}\n", row / 12, row % 12 * 5, row % 90, row % 70);
    format!("observed_at,L1,L2,L3\n{}", rows.map(row).collect::<String>())
}

fn unpivoted() -> TableLayout {
    let unpivot = Unpivot { column: "sensor_id".to_owned(), value: "speed_kmh".to_owned(), keep: None };
    TableLayout {
        unpivot: Some(unpivot),
        required: vec!["sensor_id".to_owned(), "observed_at".to_owned()],
        ..TableLayout::default()
    }
}

struct WideTopic {
    folder: tempfile::TempDir,
    batch_rows: usize,
}

impl SourceHarness for WideTopic {
    fn fill(&mut self) -> Result<(), String> {
        write(&self.folder.path().join("a.csv.gz"), wide(0..120));
        write(&self.folder.path().join("b.csv"), wide(120..280));
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        (0..2).map(|number| Partition { topic: 0, number }).collect()
    }

    fn rows_total(&self) -> usize {
        560
    }

    fn open(&mut self, _until: Until) -> Result<Box<dyn Source>, String> {
        let pattern = self.folder.path().join("*.csv*");
        let config = FileSourceConfig {
            batch_rows: self.batch_rows,
            table: unpivoted(),
            ..FileSourceConfig::new(pattern, 2, "sensor_id")
        };
        Ok(Box::new(FileSource::open(&config).map_err(|error| error.to_string())?))
    }

    fn patience(&self) -> Patience {
        IN_PROCESS
    }
}

#[test]
fn wide_tables_conform_whatever_the_batch_size() {
    // Keys of the three sensors that leave no partition empty.
    assert_ne!(partition_of_key(b"L1", 2), partition_of_key(b"L3", 2));
    for batch_rows in [1, 64, 5000] {
        let mut topic = WideTopic { folder: tempfile::tempdir().unwrap(), batch_rows };
        assert_eq!(check_source(&mut topic).unwrap(), without_broker(), "{batch_rows} rows at a time");
    }
}

fn rows_of(path: &Path, table: TableLayout) -> Vec<FileRow> {
    let config = FileSourceConfig { table, ..FileSourceConfig::new(path, 1, "sensor_id") };
    read_rows(&config).unwrap().remove(0)
}

#[test]
fn a_row_is_a_record_as_it_stands_and_one_of_a_wide_table_is_a_record_for_every_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.csv.zst");
    write(&path, "\u{feff}sensor_id;note\r\nL1;\"a;\nb\"\r\n\r\n;x\r\nL3");
    let dialect = arterial_connectors::csv::CsvDialect { delimiter: b';', ..Default::default() };
    let row = |line: i64, key: Option<&str>, text: &str| (line, key.map(str::to_owned), text.to_owned());
    assert_eq!(
        rows_of(&path, TableLayout { dialect, ..TableLayout::default() }),
        [row(2, Some("L1"), "L1;\"a;\nb\""), row(5, None, ";x"), row(6, Some("L3"), "L3")],
    );

    let path = folder.path().join("wide.csv");
    write(&path, "L1,\"L,2\",L3\n61.5,NA,3\n,4,5\n");
    let clock = TableClock { column: "observed_at".to_owned(), start_micros: 0, step_micros: 300_000_000 };
    let table = TableLayout {
        clock: Some(clock),
        nulls: vec!["NA".to_owned()],
        add: [("city".to_owned(), "X".to_owned())].into(),
        ..unpivoted()
    };
    assert_eq!(
        rows_of(&path, table),
        [
            row(2, Some("L1"), "1970-01-01T00:00:00Z,X,L1,61.5"),
            row(2, Some("L3"), "1970-01-01T00:00:00Z,X,L3,3"),
            row(3, Some("L,2"), "1970-01-01T00:05:00Z,X,\"L,2\",4"),
            row(3, Some("L3"), "1970-01-01T00:05:00Z,X,L3,5"),
        ],
    );
}

#[test]
fn a_run_over_tables_keeps_the_accounts_and_its_dead_letters_name_file_line_column_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day.csv.gz");
    let text = "lane;observed_at;speed_kmh;sensor_id\n\
        1;2026-03-02 08:00:00;61,5;L1\n\
        1;2026-03-02 08:00:30;61.5;L1\n\
        2;2026-03-02 08:01;-;L2\n\
        2;2026-03-02 08:01:30;62.5\n";
    write(&path, text);
    let decode = ", format: csv, delimiter: \";\", nulls: [\"-\"], timezone: Europe/Copenhagen";
    let (summary, letters) = run_file(file_plan(&format!("path: \"{}\"", path.display()), decode)).unwrap();
    let account = summary.partitions.values().next().unwrap().accounting;
    assert_eq!((account.rows_in, account.accepted, account.dead_letter_decode), (4, 2, 2));
    let said: Vec<_> = letters
        .iter()
        .map(|letter| (header(letter, "__connect.errors.offset"), header(letter, "__connect.errors.exception.message")))
        .collect();
    assert_eq!(header(&letters[0], "arterial.dlq.topic"), path.display().to_string());
    assert_eq!(said[0].0, "2");
    assert!(said[0].1.contains("`speed_kmh`: `61,5` is not a number"), "{said:?}");
    assert_eq!(said[1].0, "5");
    assert!(said[1].1.contains("expected 4 cells, found 3"), "{said:?}");
}

#[test]
fn a_wide_table_without_times_runs_as_the_long_one_with_times_does() {
    let folder = tempfile::tempdir().unwrap();
    let (long, bare) = (folder.path().join("long.csv"), folder.path().join("bare.csv"));
    let table = wide(0..200);
    let mut rows = "sensor_id,speed_kmh,observed_at\n".to_owned();
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        rows.push_str(&format!("L1,{},{}\nL3,{},{}\n", cells[1], cells[0], cells[3], cells[0]));
    }
    write(&long, rows);
    write(&bare, table.lines().map(|line| line.split_once(',').unwrap().1.to_owned() + "\n").collect::<String>());
    let digest = |file: &str| {
        let (summary, letters) = run_file(file_plan(file, ", format: csv")).unwrap();
        assert!(letters.is_empty());
        summary.partitions.values().map(|one| (one.accounting.accepted, one.digest)).collect::<Vec<_>>()
    };
    let csv = "csv: { unpivot: { column: sensor_id, value: speed_kmh }, event_time: { start: \"2026-03-02T00:00:00Z\", step: 5m } }";
    let found = digest(&format!("path: \"{}\", {csv}", bare.display()));
    assert_eq!(found, digest(&format!("path: \"{}\"", long.display())));
    assert_eq!(found[0].0, 400);
}

#[test]
fn row_of_a_wide_table_with_other_cells_than_the_header_is_a_dead_letter_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.csv");
    let rows = [
        "2026-03-02T08:00:00Z,1,2,3",
        "2026-03-02T08:05:00Z,1",
        "2026-03-02T08:10:00Z,L1,5",
        "2026-03-02T08:15:00Z,1,2,3",
    ];
    write(&path, format!("observed_at,L1,L2,L3\n{}\n", rows.join("\n")));
    let csv = "csv: { unpivot: { column: sensor_id, value: speed_kmh } }";
    let plan = file_plan(&format!("path: \"{}\", {csv}", path.display()), ", format: csv");
    let (summary, letters) = run_file(plan).unwrap();
    let accounts = summary.partitions.values().map(|one| one.accounting);
    let (read, refused) =
        accounts.fold((0, 0), |(read, refused), one| (read + one.accepted, refused + one.dead_letter_decode));
    assert_eq!((read, refused), (6, 2));
    let lines: Vec<_> = letters.iter().map(|letter| header(letter, "__connect.errors.offset")).collect();
    assert_eq!(lines, ["3", "4"], "also where the row has as many cells as a reading has");
}

#[test]
fn tables_that_lack_what_readings_need_are_refused_by_name_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        write(&path, text);
        path
    };
    let refused = |path: &Path, csv: &str| {
        let plan = file_plan(&format!("path: \"{}\"{csv}", path.display()), ", format: csv");
        run_file(plan).map(drop).expect_err("it is refused")
    };
    let missing = refused(&at("other.csv", "sensor_id,observed,speed_kmh\n"), "");
    assert!(missing.hint().contains("as under `paths:`") && missing.hint().contains("`delimiter:`"), "{missing:?}");
    let missing = missing.to_string();
    assert!(
        missing.contains("other.csv`: has no column `observed_at`, only: sensor_id, observed, speed_kmh"),
        "{missing}"
    );
    let refused = |path: &Path, csv: &str| refused(path, csv).to_string();
    let open = "sensor_id,observed_at,speed_kmh\nL1,2026-03-02T08:00:00Z,\"5\nL2,2026-03-02T08:00:00Z,6\n";
    let open = refused(&at("open.csv", open), "");
    assert!(open.contains("open.csv`: line 2 opens a quote that is never closed; close or remove it"), "{open}");
    let rows = |at: usize| (0..at).map(|row| format!("L1,2026-03-02T08:{:02}:00Z,5\n", row % 60)).collect::<String>();
    let stray =
        format!("sensor_id,observed_at,speed_kmh\n{}L1,2026-03-02T09:00:00Z,\"5\n{}L1,\"x\",5\n", rows(9), rows(300));
    let stray = refused(&at("stray.csv", &stray), "");
    assert!(stray.contains("stray.csv`: line 11 opens a quote that is still open 100 lines later"), "{stray}");
    let utf_16: Vec<u8> = "sensor_id,observed_at,speed_kmh\nL1,2026-03-02T08:00:00Z,5\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let excel = folder.path().join("excel.csv");
    std::fs::write(&excel, &utf_16).unwrap();
    let unmarked = refused(&excel, "");
    assert!(unmarked.contains("as text in UTF-16 does; say so") && unmarked.contains("utf-16le"), "{unmarked}");
    std::fs::write(&excel, [vec![0xff, 0xfe], utf_16].concat()).unwrap();
    let marked = refused(&excel, "");
    assert!(
        marked.contains("excel.csv`: is written in UTF-16") && marked.contains("csv: { encoding: utf-16le }"),
        "{marked}"
    );
    let old = refused(&at("old.csv", "sensor_id,observed_at,speed_kmh\rL1,2026-03-02T08:00:00Z,5\r"), "");
    assert!(old.contains("ends its lines with carriage returns alone"), "{old}");
    let twice = refused(&at("twice.csv", "sensor_id,sensor_id\n"), "");
    assert!(twice.contains("names column `sensor_id` twice"), "{twice}");
    let own = refused(&at("own.csv", "observed_at,sensor_id\n"), ", csv: { add: { sensor_id: x } }");
    assert!(own.contains("has a column `sensor_id` of its own"), "{own}");
    assert!(refusal(&at("empty.csv", "")).contains("its first line has to name the columns"));
    let cut = folder.path().join("cut.csv.gz");
    let whole = super::file_support::packed(&cut, wide(0..4000).as_bytes());
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    assert!(refusal(&cut).contains("is cut short"), "{}", refusal(&cut));
}

#[test]
fn time_in_two_columns_is_put_together_and_half_of_one_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("halves.csv");
    let join = |parts: &[&str]| TableLayout {
        join: [("observed_at".to_owned(), parts.iter().map(|part| (*part).to_owned()).collect())].into(),
        nulls: vec!["-".to_owned()],
        required: vec!["sensor_id".to_owned(), "observed_at".to_owned()],
        ..TableLayout::default()
    };
    write(
        &path,
        "date,sensor_id,\"time\",speed_kmh\n2026-03-02,L1,08:00,5\n2026-03-02,L1,-,6\n2026-03-02,L2, 08:05 ,7\n",
    );
    let rows = rows_of(&path, join(&["date", "time"]));
    let last = |row: &FileRow| row.2.rsplit(',').next().unwrap().to_owned();
    assert_eq!(rows.iter().map(last).collect::<Vec<_>>(), ["2026-03-02 08:00", "", "2026-03-02 08:05"]);
    let config = FileSourceConfig { table: join(&["date", "hour"]), ..FileSourceConfig::new(&path, 1, "sensor_id") };
    let refused = FileSource::open(&config).err().unwrap().to_string();
    assert!(refused.contains("has no column `hour`, only: date, sensor_id, time, speed_kmh"), "{refused}");
    // In a wide table they are no sensors.
    let unpivot = Unpivot { column: "sensor_id".to_owned(), value: "speed_kmh".to_owned(), keep: None };
    write(&path, "date,time,L1,L2\n2026-03-02,08:00,5,6\n");
    let rows = rows_of(&path, TableLayout { unpivot: Some(unpivot), ..join(&["date", "time"]) });
    let values: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
    assert_eq!(values, ["2026-03-02 08:00,L1,5", "2026-03-02 08:00,L2,6"]);
}

#[test]
fn carriage_return_within_a_line_makes_a_dead_letter_of_it_and_time_that_cannot_be_meant_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.csv");
    let rows = [
        "L1,2026-03-02T08:00:00Z,50",
        "L1,2026-03-02T08:01:00Z,5\r0",
        "L1,2036-03-02T08:02:00Z,50",
        "L1,2026-03-02T08:03:00Z,50",
    ];
    write(&path, format!("sensor_id,observed_at,speed_kmh\n{}\n", rows.join("\n")));
    let plan = |latest: &str| timed_file_plan(&format!("path: \"{}\"", path.display()), ", format: csv", latest);
    let (summary, letters) = run_file(plan(", latest: \"2027-01-01T00:00:00Z\"")).unwrap();
    let account = summary.partitions.values().next().unwrap().accounting;
    assert_eq!((account.accepted, account.late, account.dead_letter_decode), (2, 0, 2), "the clock did not jump");
    let said: Vec<&str> = letters.iter().map(|letter| header(letter, "__connect.errors.exception.message")).collect();
    assert!(said[0].contains("found another"), "{said:?}");
    assert!(said[1].contains("2036-03-02T08:02:00Z lies after `latest`, 2027-01-01T00:00:00Z"), "{said:?}");
    let (summary, _) = run_file(plan("")).unwrap();
    assert_eq!(summary.partitions.values().next().unwrap().accounting.late, 1, "without it the clock jumps");
}
