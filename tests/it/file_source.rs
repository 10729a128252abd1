//! A Parquet file stands for a topic: the same partitions and offsets as a producer would make, bounded, with errors
//! that say what to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arterial_connectors::file::{FileRows, FileRowsConfig, FileSource, FileSourceConfig};
use arterial_connectors::payload::Payload;
use arterial_connectors::position::{Partition, partition_of_key};
use arterial_connectors::source::{SeekTo, Source, SourceError, SourceEvent};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

const ROWS: i64 = 10_000;

/// Columns `n` (0..10,000), `id` (whole numbers), `name` (`S<id>`), in row groups of 1,500 rows.
fn write_file(folder: &Path) -> PathBuf {
    let id = |row: i64| (row * 7919 % 101) as i32;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(0..ROWS))),
        ("id", Arc::new(Int32Array::from_iter_values((0..ROWS).map(id)))),
        ("name", Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("S{}", id(row)))))),
        ("value", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| row as f64 / 2.0)))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let path = folder.join("rows.parquet");
    write_rows(&path, &rows, 1500);
    path
}

fn write_rows(path: &Path, rows: &RecordBatch, row_group: usize) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(row_group)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// Values of `n` by partition, from `positions` on; the largest batch; batches must be contiguous.
fn read(source: &mut FileSource, positions: &[i64]) -> (Vec<Vec<i64>>, usize) {
    assert!(matches!(source.poll(Duration::ZERO).unwrap(), Some(SourceEvent::Assigned(_))));
    for (number, position) in (0..).zip(positions) {
        source.seek(Partition { topic: 0, number }, SeekTo::Offset(*position)).unwrap();
    }
    let (mut next, mut values, mut largest, mut ended) = (positions.to_vec(), vec![Vec::new(); positions.len()], 0, 0);
    while ended < positions.len() {
        match source.poll(Duration::ZERO).unwrap().unwrap() {
            SourceEvent::Batch(batch) => {
                let Payload::Typed { rows, first_offset } = &batch.payload else { panic!("not typed") };
                let index = batch.partition.number as usize;
                assert_eq!(*first_offset, next[index]);
                next[index] = batch.next_offset;
                largest = largest.max(rows.num_rows());
                values[index].extend(rows.column_by_name("n").unwrap().as_primitive::<Int64Type>().values().iter());
            }
            SourceEvent::End(_) => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    (values, largest)
}

#[test]
fn rows_lie_where_a_producer_of_their_key_would_put_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_file(folder.path());
    for (column, prefix) in [("id", ""), ("name", "S")] {
        let config = FileSourceConfig { batch_rows: 700, ..FileSourceConfig::new(&path, 8, column) };
        let (values, largest) = read(&mut FileSource::open(&config).unwrap(), &[0; 8]);
        let mut expected = vec![Vec::new(); 8];
        for row in 0..ROWS {
            let key = format!("{prefix}{}", row * 7919 % 101);
            expected[partition_of_key(key.as_bytes(), 8) as usize].push(row);
        }
        assert_eq!(values, expected);
        assert!(largest <= 700);
    }
}

#[test]
fn seek_into_the_middle_gives_the_rest_of_each_partition() {
    let folder = tempfile::tempdir().unwrap();
    let config = FileSourceConfig::new(write_file(folder.path()), 4, "id");
    let (all, _) = read(&mut FileSource::open(&config).unwrap(), &[0; 4]);
    for part in [1, 2, 3, 4] {
        let positions: Vec<i64> = all.iter().map(|rows| rows.len() as i64 * part / 4 + part % 2).collect();
        let (rest, _) = read(&mut FileSource::open(&config).unwrap(), &positions);
        for (number, position) in positions.iter().enumerate() {
            let from = (*position as usize).min(all[number].len());
            assert_eq!(rest[number], all[number][from..], "partition {number} from {position}");
        }
    }
}

#[test]
fn file_that_got_shorter_than_what_was_read_of_it_is_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let config = FileSourceConfig::new(write_file(folder.path()), 4, "id");
    let (all, _) = read(&mut FileSource::open(&config).unwrap(), &[0; 4]);
    let mut positions: Vec<i64> = all.iter().map(|rows| rows.len() as i64).collect();
    read(&mut FileSource::open(&config).unwrap(), &positions);
    positions[2] += 5;
    let mut source = FileSource::open(&config).unwrap();
    source.poll(Duration::ZERO).unwrap();
    for (number, position) in (0..).zip(&positions) {
        source.seek(Partition { topic: 0, number }, SeekTo::Offset(*position)).unwrap();
    }
    let error = std::iter::repeat_with(|| source.poll(Duration::ZERO)).take(4).find_map(Result::err).unwrap();
    let (path, rows) = (config.path.display(), all[2].len());
    let told = format!("`{path}` got shorter: partition 2 was read up to row {}, and has {rows} rows now", rows + 5);
    assert!(error.to_string().starts_with(&told) && !error.transient(), "{error}");
    assert!(error.hint().contains("put the rows back") && error.hint().contains("--reset all"), "{}", error.hint());
}

#[test]
fn columns_are_renamed_and_only_those_asked_for_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_file(folder.path());
    let columns = BTreeMap::from([("name".to_owned(), "sensor_id".to_owned())]);
    let config = FileSourceConfig {
        columns: columns.clone(),
        project: Some(vec!["n".to_owned()]),
        ..FileSourceConfig::new(&path, 2, "sensor_id")
    };
    let mut source = FileSource::open(&config).unwrap();
    source.poll(Duration::ZERO).unwrap();
    source.seek(Partition { topic: 0, number: 1 }, SeekTo::Start).unwrap();
    let Some(SourceEvent::Batch(batch)) = source.poll(Duration::ZERO).unwrap() else { panic!("no batch") };
    let Payload::Typed { rows, .. } = batch.payload else { panic!("not typed") };
    let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["n", "sensor_id"]);

    let rows = FileRowsConfig {
        columns,
        project: Some(vec!["sensor_id".to_owned(), "value".to_owned()]),
        batch_rows: 999,
        ..FileRowsConfig::new(&path)
    };
    let rows = FileRows::open(&rows).unwrap();
    assert_eq!(rows.rows_total(), ROWS as u64);
    assert_eq!(rows.schema().fields().len(), 2);
    let batches: Vec<RecordBatch> = rows.map(Result::unwrap).collect();
    assert!(batches.iter().all(|batch| batch.num_rows() <= 999));
    let mut row = 0;
    for batch in &batches {
        let values = batch.column_by_name("value").unwrap().as_primitive::<arrow::datatypes::Float64Type>();
        for value in values.values() {
            assert_eq!(*value, f64::from(row) / 2.0);
            row += 1;
        }
    }
    assert_eq!(i64::from(row), ROWS);
}

fn reason(config: &FileSourceConfig) -> String {
    let Err(error) = FileSource::open(config) else { panic!("no error") };
    let folder = config.path.parent().unwrap().display().to_string();
    assert!(error.to_string().contains(&folder), "{error}");
    error.to_string()
}

#[test]
fn errors_name_the_path_and_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_file(folder.path());
    let missing = FileSourceConfig::new(folder.path().join("absent.parquet"), 1, "id");
    assert!(reason(&missing).contains("No such file"));
    assert!(reason(&FileSourceConfig::new(folder.path(), 1, "id")).contains("is a directory"));
    let no_key = reason(&FileSourceConfig::new(&path, 1, "sensor_id"));
    assert!(no_key.contains("has no column `sensor_id`, only: n, id, name, value"), "{no_key}");
    let renamed = |from: &str, to: &str| FileSourceConfig {
        columns: BTreeMap::from([(from.to_owned(), to.to_owned())]),
        ..FileSourceConfig::new(&path, 1, "id")
    };
    assert!(reason(&renamed("ts", "observed_at")).contains("has no column `ts`"));
    assert!(reason(&renamed("name", "value")).contains("has two columns `value`"));
    let whole = std::fs::read(&path).unwrap();
    let truncated = folder.path().join("truncated.parquet");
    std::fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    assert!(reason(&FileSourceConfig::new(&truncated, 1, "id")).contains("is not a complete Parquet file"));
    assert!(matches!(FileSource::open(&FileSourceConfig::new(&path, 0, "id")), Err(SourceError::Config { .. })));
}

#[test]
fn damage_and_keys_of_no_exact_text_show_when_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_file(folder.path());
    let first_error = |config: &FileSourceConfig| {
        let mut source = FileSource::open(config).unwrap();
        source.poll(Duration::ZERO).unwrap();
        for number in 0..2 {
            source.seek(Partition { topic: 0, number }, SeekTo::Start).unwrap();
        }
        loop {
            match source.poll(Duration::ZERO) {
                Ok(Some(SourceEvent::End(_)) | None) => panic!("no error"),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
    };
    let by_float = first_error(&FileSourceConfig::new(&path, 2, "value"));
    assert!(by_float.contains("must be text or a whole number"), "{by_float}");
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[4..half].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let damaged = first_error(&FileSourceConfig::new(&path, 2, "id"));
    assert!(damaged.contains("rows.parquet`: cannot be read"), "{damaged}");
}

/// A file of columns `n` (whole numbers), `id` (`n` modulo 7), in row groups of 100 rows.
fn write_range(path: &Path, rows: std::ops::Range<i64>) {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(rows.clone()))),
        ("id", Arc::new(Int64Array::from_iter_values(rows.map(|row| row % 7)))),
    ];
    write_rows(path, &RecordBatch::try_from_iter(columns).unwrap(), 100);
}

#[test]
fn files_of_a_pattern_are_one_topic_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, rows) in [("b.parquet", 450..450), ("c.parquet", 450..1000), ("a.parquet", 0..450)] {
        write_range(&folder.path().join(name), rows);
    }
    write_range(&folder.path().join(".hidden.parquet"), 0..5);
    std::fs::create_dir(folder.path().join("folder.parquet")).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no Parquet").unwrap();
    let pattern = folder.path().join("*.parquet");
    let config = FileSourceConfig { batch_rows: 70, ..FileSourceConfig::new(&pattern, 4, "id") };
    let (all, _) = read(&mut FileSource::open(&config).unwrap(), &[0; 4]);
    let mut expected = vec![Vec::new(); 4];
    for row in 0..1000 {
        expected[partition_of_key((row % 7).to_string().as_bytes(), 4) as usize].push(row);
    }
    assert_eq!(all, expected);

    // Offsets go on from file to file: a start in the last file passes over the first, one near its end goes back.
    for part in [1, 3] {
        let positions: Vec<i64> = all.iter().map(|rows| rows.len() as i64 * part / 4).collect();
        let (rest, _) = read(&mut FileSource::open(&config).unwrap(), &positions);
        for (number, position) in positions.iter().enumerate() {
            assert_eq!(rest[number], all[number][*position as usize..], "partition {number} from {position}");
        }
    }

    let rows = FileRows::open(&FileRowsConfig::new(&pattern)).unwrap();
    assert_eq!(rows.rows_total(), 1000);
    let values = |batch: RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(rows.flat_map(|batch| values(batch.unwrap())).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_pattern_without_files_with_half_a_file_or_with_mixed_columns_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = FileSourceConfig::new(folder.path().join("*.parquet"), 1, "id");
    assert!(reason(&pattern).contains("*.parquet`: matches no file"), "{}", reason(&pattern));
    assert!(reason(&FileSourceConfig::new(folder.path().join("[a"), 1, "id")).contains("is no pattern"));

    write_range(&folder.path().join("a.parquet"), 0..10);
    let texts: Vec<(&str, ArrayRef)> =
        vec![("n", Arc::new(Int64Array::from(vec![1]))), ("id", Arc::new(StringArray::from(vec!["S1"])))];
    let other = folder.path().join("b.parquet");
    write_rows(&other, &RecordBatch::try_from_iter(texts).unwrap(), 100);
    let mixed = reason(&pattern);
    assert!(
        mixed.contains("b.parquet`: has `id` of type Utf8 as column 2 where there is `id` of type Int64"),
        "{mixed}"
    );
    assert!(mixed.contains("a.parquet"), "{mixed}");

    write_range(&other, 10..20);
    let whole = std::fs::read(&other).unwrap();
    std::fs::write(&other, &whole[..whole.len() / 2]).unwrap();
    let half = reason(&pattern);
    assert!(half.contains("b.parquet`: is not a complete Parquet file"), "{half}");
}

#[test]
fn a_file_of_a_pattern_that_is_replaced_before_its_turn_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write_range(&folder.path().join("a.parquet"), 0..10);
    write_range(&folder.path().join("b.parquet"), 10..20);
    let rows = FileRows::open(&FileRowsConfig::new(folder.path().join("*.parquet"))).unwrap();
    write_range(&folder.path().join("b.parquet"), 10..400);
    let error = rows.filter_map(Result::err).next().unwrap();
    assert!(error.to_string().contains("b.parquet`: cannot be read: it was replaced"), "{error}");
}
