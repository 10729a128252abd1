//! Tables that are not in UTF-8, and files that are no text whatever their names say.

use std::path::{Path, PathBuf};

use arterial_connectors::file::{FileSourceConfig, TableLayout, TextEncoding};

use super::file_support::{FileRow, file_plan, header, packed, read_rows, refusal, run_file, write};

/// Two rows, and letters of one, two and three bytes in UTF-8; the last is no letter of Latin-1.
const TABLE: &str = "sensor_id;straße\r\nL1;Münsterplatz\r\nL2;5 €\r\n";

fn rows_in(path: &Path, encoding: TextEncoding) -> Result<Vec<FileRow>, String> {
    let dialect = arterial_connectors::csv::CsvDialect { delimiter: b';', ..Default::default() };
    let table = TableLayout { encoding, dialect, ..TableLayout::default() };
    let config = FileSourceConfig { table, ..FileSourceConfig::new(path, 1, "sensor_id") };
    read_rows(&config).map(|mut rows| rows.remove(0)).map_err(|error| error.to_string())
}

fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

fn windows_1252(text: &str) -> Vec<u8> {
    text.chars().map(|letter| if letter == '€' { 0x80 } else { u8::try_from(letter).unwrap() }).collect()
}

fn label(text: &str) -> TextEncoding {
    TextEncoding::of(text).unwrap()
}

#[test]
fn a_table_in_its_declared_encoding_gives_the_rows_that_it_gives_in_utf_8() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("utf-8.csv"), TABLE).unwrap();
    let expected = rows_in(&at("utf-8.csv"), TextEncoding::UTF_8).unwrap();
    let texts: Vec<&str> = expected.iter().map(|row| row.2.as_str()).collect();
    assert_eq!(texts, ["L1;Münsterplatz", "L2;5 €"]);
    let marked = |mark: &[u8], bytes: Vec<u8>| [mark.to_vec(), bytes].concat();
    for (encoding, bytes) in [
        ("latin1", windows_1252(TABLE)),
        ("Windows-1252", windows_1252(TABLE)),
        ("utf-16", utf_16(TABLE, u16::to_le_bytes)),
        ("utf-16le", marked(b"\xff\xfe", utf_16(TABLE, u16::to_le_bytes))),
        ("utf-16be", marked(b"\xfe\xff", utf_16(TABLE, u16::to_be_bytes))),
        ("utf-8", marked(b"\xef\xbb\xbf", TABLE.as_bytes().to_vec())),
    ] {
        for ending in ["csv", "csv.gz", "csv.zst"] {
            let path = at(&format!("{encoding}.{ending}"));
            std::fs::write(&path, packed(&path, &bytes)).unwrap();
            assert_eq!(rows_in(&path, label(encoding)).unwrap(), expected, "{encoding}, {ending}");
        }
    }
}

#[test]
fn text_that_is_longer_than_a_buffer_is_the_same_wherever_its_pieces_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.csv.gz");
    let rows: String = (0..60_000).map(|row| format!("L{};{}€\n", row % 7, "ü".repeat(row % 5))).collect();
    std::fs::write(&path, packed(&path, &utf_16(&format!("sensor_id;note\n{rows}"), u16::to_be_bytes))).unwrap();
    let found = rows_in(&path, TextEncoding::UTF_16BE).unwrap();
    let text: String = found.iter().map(|row| row.2.clone() + "\n").collect();
    assert!(text == rows, "{} rows of 60000", found.len());
}

#[test]
fn a_mark_that_says_another_encoding_is_told_with_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("excel.csv");
    std::fs::write(&path, [b"\xfe\xff".to_vec(), utf_16(TABLE, u16::to_be_bytes)].concat()).unwrap();
    for declared in ["utf-8", "utf-16le", "windows-1252"] {
        let refused = rows_in(&path, label(declared)).unwrap_err();
        assert!(refused.contains("is written in UTF-16") && refused.contains("encoding: utf-16be"), "{refused}");
    }
    std::fs::write(&path, "\u{feff}sensor_id;x\nL1;1\n").unwrap();
    let refused = rows_in(&path, TextEncoding::WINDOWS_1252).unwrap_err();
    assert!(refused.contains("begins with the mark of UTF-8") && refused.contains("remove `encoding`"), "{refused}");
}

#[test]
fn a_header_that_is_no_utf_8_ends_the_run_and_a_row_that_is_none_is_a_dead_letter_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin.csv");
    std::fs::write(&path, windows_1252(TABLE)).unwrap();
    let refused = rows_in(&path, TextEncoding::UTF_8).unwrap_err();
    assert!(
        refused.contains("latin.csv`: is not utf-8: its header is no such text behind `sensor_id;stra`"),
        "{refused}"
    );
    assert!(refused.contains("`csv: { encoding: windows-1252 }`"), "{refused}");

    let table =
        "sensor_id,observed_at,speed_kmh,road_id\nL1,2026-03-02T08:00:00Z,5,Süd\nL1,2026-03-02T08:01:00Z,6,Ost\n";
    std::fs::write(&path, windows_1252(table)).unwrap();
    let plan = |csv: &str| file_plan(&format!("path: \"{}\"{csv}", path.display()), ", format: csv");
    let (summary, letters) = run_file(plan("")).unwrap();
    let account = summary.partitions.values().next().unwrap().accounting;
    assert_eq!((account.accepted, account.dead_letter_decode), (1, 1));
    let said = header(&letters[0], "__connect.errors.exception.message");
    assert!(said.contains("not UTF-8 from byte 27") && said.contains("csv: { encoding: windows-1252 }"), "{said}");
    assert_eq!(header(&letters[0], "__connect.errors.offset"), "2");
    let (summary, _) = run_file(plan(", csv: { encoding: windows-1252 }")).unwrap();
    assert_eq!(summary.partitions.values().next().unwrap().accounting.accepted, 2);
}

#[test]
fn what_is_no_text_in_its_encoding_is_a_dead_letter_and_the_rows_around_it_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.csv");
    let mut bytes = utf_16("sensor_id;note\nL1;a\nL2;", u16::to_le_bytes);
    // Half of a pair, which is no character.
    bytes.extend(0xd800_u16.to_le_bytes());
    bytes.extend(utf_16("\nL3;c\n", u16::to_le_bytes));
    std::fs::write(&path, bytes).unwrap();
    let rows = rows_in(&path, TextEncoding::UTF_16LE).unwrap();
    let texts: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
    assert_eq!(texts, ["L1;a", "L2;\u{fffd}", "L3;c"], "the byte that is no UTF-8 is shown replaced");
}

#[test]
fn files_that_are_no_text_are_told_by_what_they_are_and_how_to_name_or_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let gzip = packed(Path::new("x.gz"), b"sensor_id,x\n");
    let zstd = packed(Path::new("x.zst"), b"sensor_id,x\n");
    let noise: Vec<u8> = (0_u32..2000).map(|step| (step.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (name, bytes, says) in [
        ("a.csv", &gzip[..], "is gzip by its first bytes; name it `a.csv.gz`"),
        ("b.csv", &zstd, "is zstd by its first bytes; name it `b.csv.zst`"),
        ("c.csv", b"PAR1\x15\x04\x15\x00", "is Parquet by its first bytes; name it `c.parquet`"),
        (
            "d.csv",
            b"PK\x03\x04\x14\x00",
            "is a zip archive (Excel's `.xlsx` is one) by its first bytes; unpack it (`unzip d.csv`)",
        ),
        ("e.csv", b"<!DOCTYPE html><html>", "is a web page, not a table"),
        ("f.csv", &noise, "is no text: its first line holds a byte 0x"),
        ("g.ndjson", &gzip, "is gzip by its first bytes; name it `g.ndjson.gz`"),
    ] {
        let refused = refusal(&at(name, bytes));
        assert!(refused.contains(says), "{name}: {refused}");
    }
    // What a name says is no more believed within: packed twice it is still packed.
    let path = folder.path().join("twice.csv.gz");
    write(&path, &gzip);
    assert!(refusal(&path).contains("is gzip by its first bytes"), "{}", refusal(&path));
}

#[test]
fn a_table_in_utf_8_under_another_encoding_is_told_before_its_sensors_become_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loops.csv");
    let line = |name: &str| format!("{name},2026-03-02T08:00:00Z,50\n");
    std::fs::write(&path, format!("sensor_id,observed_at,speed_kmh\n{}", line("Nürnberger Straße"))).unwrap();
    let refused = rows_in(&path, TextEncoding::WINDOWS_1252).unwrap_err();
    assert!(refused.contains("is written in UTF-8 by its bytes") && refused.contains("iconv -f utf-8"), "{refused}");
    assert_eq!(rows_in(&path, TextEncoding::UTF_8).unwrap().len(), 1);
    let latin = b"sensor_id,observed_at,speed_kmh\nN\xfcrnberger Stra\xdfe,2026-03-02T08:00:00Z,50\n";
    std::fs::write(&path, latin).unwrap();
    assert_eq!(rows_in(&path, TextEncoding::WINDOWS_1252).unwrap().len(), 1);
}
