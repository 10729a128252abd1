//! Messages of delimited text: one record each, cells by declared names, the same rows and the same refusals as JSON
//! gives, and nothing that a producer can write makes the decoder stumble.

use arterial::stages::decode::{CsvSettings, DecodePlan, DecodePlanError, DecodeSettings, Decoded, Format};
use arterial::stages::rows::Reason;
use arterial_connectors::csv::CsvDialect;
use arterial_connectors::payload::RawRows;
use proptest::prelude::*;

use super::decode_support::{assert_accounted, decode, decoder, flat_settings, raw, schema};

const COLUMNS: [&str; 7] = ["note", "sensor_id", "observed_at", "km/h", "lanes", "open", "unread"];

fn settings() -> DecodeSettings {
    let columns = Some(COLUMNS.map(str::to_owned).to_vec());
    DecodeSettings {
        format: Format::Csv,
        csv: CsvSettings { columns, nulls: vec!["NA".to_owned()], ..CsvSettings::default() },
        paths: [("speed_kmh".to_owned(), "km/h".to_owned())].into(),
        ..flat_settings()
    }
}

fn rows(decoded: &Decoded) -> Vec<String> {
    let mut text = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut text);
    writer.write(&decoded.rows.batch).unwrap();
    writer.finish().unwrap();
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

fn refused(settings: DecodeSettings, record: &str) -> (Reason, String) {
    let decoded = decode(settings, &[record]);
    let rejected = decoded.rejected.first().unwrap_or_else(|| panic!("{record} was read: {:?}", rows(&decoded)));
    (rejected.reason, rejected.detail.clone())
}

#[test]
fn cells_become_the_rows_that_json_would_give() {
    let records = [
        "\"a \"\"quoted\"\", long\nnote\",L1,2026-03-02T08:00:00Z, 12.5 ,3,TRUE,x",
        ",L2,2026-03-02 08:00:00+01:00,NA,4.0,0,\"\"\r\n",
        "NA,L3,2026-03-02T08:00:01.5Z,1e2,-7,false,",
    ];
    let json = [
        r#"{"note":"a \"quoted\", long\nnote","sensor_id":"L1","observed_at":"2026-03-02T08:00:00Z","speed_kmh":12.5,"lanes":3,"open":true}"#,
        r#"{"sensor_id":"L2","observed_at":"2026-03-02T07:00:00Z","lanes":4,"open":false}"#,
        r#"{"sensor_id":"L3","observed_at":"2026-03-02T08:00:01.5Z","speed_kmh":100,"lanes":-7,"open":false}"#,
    ];
    let (csv, expected) = (decode(settings(), &records), decode(flat_settings(), &json));
    assert_eq!(rows(&csv), rows(&expected));
    assert_eq!(csv.rows.times, expected.rows.times);
    assert_eq!((csv.rows.origin, csv.rejected.len()), (vec![0, 1, 2], 0));
}

#[test]
fn a_cell_or_record_that_cannot_be_read_is_refused_with_its_column_and_value() {
    let record = |speed: &str, lanes: &str, open: &str| format!(",L1,2026-03-02T08:00:00Z,{speed},{lanes},{open},");
    let cases = [
        (record("fast", "", ""), Reason::WrongType, "`km/h`: `fast` is not a number"),
        (record("nan", "", ""), Reason::NotFinite, "`km/h`: `nan` is not a finite number"),
        (record("1e999", "", ""), Reason::Overflow, "`km/h`: `1e999` is not a number that 64 bits hold"),
        (record("\"7,5\"", "", ""), Reason::WrongType, "`km/h`: `7,5` is not a number"),
        (record("", "2.5", ""), Reason::WrongType, "`lanes`: `2.5` is not a whole number"),
        (record("", "9999999999999999999", ""), Reason::Overflow, "`lanes`: `9999999999999999999` is not a whole"),
        (record("", "", "yes"), Reason::WrongType, "`open`: `yes` is not true or false"),
        (",L1,yesterday,,,,".to_owned(), Reason::BadTimestamp, "`observed_at`: `yesterday` is not an RFC 3339 time"),
        (",L1,,,,,".to_owned(), Reason::MissingColumn, "`observed_at` is absent or null"),
        (",NA,2026-03-02T08:00:00Z,,,,".to_owned(), Reason::MissingColumn, "`sensor_id` is absent or null"),
        ("a,L1".to_owned(), Reason::Malformed, "expected 7 cells, found 2"),
        (record("", "", "") + ",more", Reason::Malformed, "expected 7 cells, found 8"),
        (String::new(), Reason::Malformed, "found an empty line"),
        (record("", "", "") + "\nnext,record", Reason::TrailingData, "found another: `next,record`"),
        ("\"open quote".to_owned(), Reason::Malformed, "expected 7 cells, found 1"),
        (record(&"9".repeat(2000), "", ""), Reason::TooLarge, "the limit is 1000"),
    ];
    for (record, reason, detail) in cases {
        let (found, said) = refused(settings(), &record);
        assert_eq!(found, reason, "{record}: {said}");
        assert!(said.contains(detail), "{record}: {said}");
    }
    let decoded = decode(settings(), &[b",L\xff1,2026-03-02T08:00:00Z,,,,".as_slice()]);
    assert_eq!(decoded.rejected[0].reason, Reason::InvalidUtf8);
}

#[test]
fn delimiter_quote_and_epoch_times_are_as_declared() {
    let dialect = CsvDialect { delimiter: b';', quote: b'\'' };
    let csv = CsvSettings { dialect, ..settings().csv };
    let timestamp = arterial::stages::decode::TimestampFormat::EpochS;
    let settings = || DecodeSettings { csv: csv.clone(), timestamp, ..settings() };
    let decoded = decode(settings(), &["'a;b';L1;1702033201.5;7;;;", ";L1;1702033201;7;;;"]);
    assert_eq!(decoded.rows.times, [1_702_033_201_500_000, 1_702_033_201_000_000]);
    assert!(rows(&decoded)[0].contains(r#""note":"a;b""#), "{:?}", rows(&decoded));
    let (reason, detail) = refused(settings(), ";L1;2026-03-02;;;;");
    assert_eq!(
        (reason, detail.as_str()),
        (
            Reason::BadTimestamp,
            "`observed_at`: `2026-03-02` is not a time of the years 0000 to 9999 in seconds since 1970"
        )
    );
}

#[test]
fn columns_that_lack_what_is_read_are_refused_with_the_nearest() {
    let columns = ["sensor", "observed_at", "kmh", "kmh"].map(str::to_owned).to_vec();
    let csv = CsvSettings { columns: Some(columns), ..CsvSettings::default() };
    let errors = DecodePlan::new(DecodeSettings { csv, ..settings() }, &schema()).unwrap_err();
    let said: Vec<String> = errors.iter().map(|at| format!("{} {:?}", at.error, at.hint)).collect();
    assert_eq!(errors[0].error, DecodePlanError::RepeatedCell { name: "kmh".to_owned() });
    assert!(said[1].contains("`columns` lacks `sensor_id`"), "{said:?}");
    assert!(said[2].contains("lacks `km/h`, which schema column `speed_kmh`") && said[2].contains("`kmh`"), "{said:?}");
}

#[test]
fn thousands_are_groups_of_three_or_no_number() {
    let settings = |thousands: char, decimal_comma: bool| {
        let dialect = CsvDialect { delimiter: b';', ..CsvDialect::default() };
        let csv = CsvSettings { dialect, decimal_comma, thousands: Some(thousands), ..settings().csv };
        DecodeSettings { csv, ..settings() }
    };
    let record = |number: &str| format!(";L1;2026-03-02T08:00:00Z;{number};;;");
    for (sign, comma, number, expected) in [
        ('.', true, "1.038,4", "1038.4"),
        ('.', true, "-1.234.567", "-1234567.0"),
        ('.', true, "1038,4", "1038.4"),
        ('.', true, "61", "61.0"),
        (',', false, "1,038.4", "1038.4"),
        ('\'', false, "12'000", "12000.0"),
        ('\u{a0}', true, "12\u{a0}000,5", "12000.5"),
    ] {
        let read = decode(settings(sign, comma), &[record(number)]);
        assert!(rows(&read).iter().any(|row| row.contains(&format!("\"speed_kmh\":{expected}"))), "{number}: {read:?}");
    }
    for (sign, comma, wrong) in [
        ('.', true, "61.5"),
        ('.', true, "1.0384"),
        ('.', true, ".038"),
        ('.', true, "1,038.4"),
        ('.', true, "1..038"),
        (',', false, "1,03"),
        (',', false, "1038,400"),
        (' ', false, "1 038,4"),
    ] {
        let (reason, detail) = refused(settings(sign, comma), &record(wrong));
        assert_eq!((reason, detail), (Reason::WrongType, format!("`km/h`: `{wrong}` is not a number")));
    }
    let whole = decode(settings('.', true), &[";L1;2026-03-02T08:00:00Z;;1.038;;"]);
    assert!(rows(&whole)[0].contains("\"lanes\":1038"), "{whole:?}");
}

#[test]
fn a_file_of_other_columns_brings_its_own_names() {
    let mut decoder = decoder(settings());
    for (names, record) in [
        (["observed_at", "sensor_id"], "2026-03-02T08:00:00Z,L1"),
        (["sensor_id", "observed_at"], "L1,2026-03-02T08:00:00Z"),
    ] {
        let mut rows = RawRows::of_file("a.csv".into(), Some(names.map(str::to_owned).as_slice().into()));
        rows.push_line(0, 2, None, record.as_bytes());
        let decoded = decoder.decode(&arterial_connectors::payload::Payload::Raw(rows)).unwrap();
        assert_eq!(decoded.rows.times, [1_772_438_400_000_000]);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_stumble(records in proptest::collection::vec("[,\"\r\n;a0.\\-L1é ]{0,40}", 0..20)) {
        let decoded = decoder(settings()).decode(&raw(&records)).unwrap();
        assert_accounted(&decoded, records.len());
    }

    #[test]
    fn what_was_written_by_others_is_read_back(notes in proptest::collection::vec("[,\"\r\na-zé ]{1,12}", 1..20)) {
        let records: Vec<Vec<u8>> = notes.iter().map(|note| {
            let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
            writer.write_record([note, "L1", "2026-03-02T08:00:00Z", "", "", "", ""]).unwrap();
            writer.into_inner().unwrap()
        }).collect();
        let decoded = decode(settings(), &records);
        let found = decoded.rows.batch.column_by_name("note").unwrap();
        let found: Vec<&str> = arrow::array::AsArray::as_string::<i32>(found).iter().map(Option::unwrap).collect();
        prop_assert_eq!(found, notes);
    }
}

#[test]
fn decimals_may_stand_behind_a_comma_and_then_no_point_is_guessed_at() {
    let csv = CsvSettings {
        dialect: CsvDialect { delimiter: b';', ..CsvDialect::default() },
        decimal_comma: true,
        ..settings().csv
    };
    let settings = DecodeSettings { csv, ..settings() };
    let decoded =
        decode(settings.clone(), &[";L1;2026-03-02T08:00:00Z;-61,5;3,0;;", ";L1;2026-03-02T08:00:01Z;61;3;;"]);
    assert_eq!(decoded.rejected.len(), 0, "{:?}", decoded.rejected);
    let speeds = rows(&decoded);
    assert!(
        speeds[0].contains("\"speed_kmh\":-61.5,\"lanes\":3") && speeds[1].contains("\"speed_kmh\":61.0"),
        "{speeds:?}"
    );
    for wrong in ["1.234,5", "61.5", "6,1,5"] {
        let (reason, detail) = refused(settings.clone(), &format!(";L1;2026-03-02T08:00:00Z;{wrong};;;"));
        assert_eq!((reason, detail), (Reason::WrongType, format!("`km/h`: `{wrong}` is not a number")));
    }
}
