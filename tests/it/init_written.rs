//! `arterial init` over tables as portals of European cities publish them: their encodings, dates and numbers.

use serde_json::Value;

use crate::init::{readings, walk};

/// The readings of [`readings`], with their times written by a format of chrono.
fn table(header: &str, format: &str, line: impl Fn(String, usize, f64) -> String) -> String {
    let rows = readings(|time, station, value| {
        let time = chrono::NaiveDateTime::parse_from_str(&time, "%Y-%m-%d %H:%M").unwrap();
        line(time.format(format).to_string(), station, value)
    });
    format!("{header}\n{rows}")
}

fn all_accepted(rows: &Value, pipeline: &str) {
    assert_eq!((&rows["in"], &rows["accepted"]), (&120.into(), &120.into()), "{rows}\n{pipeline}");
}

#[test]
fn a_table_in_latin_1_is_read_and_the_line_that_says_so_is_named() {
    let text = table("Meßstelle;Zeit;Geschwindigkeit", "%d.%m.%Y %H:%M", |time, station, value| {
        format!("Ümlaut {station};{time};{}", value.to_string().replace('.', ","))
    });
    let latin: Vec<u8> = text.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
    let (pipeline, rows) = walk("zaehler.csv.gz", latin);
    all_accepted(&rows, &pipeline);
    assert!(pipeline.contains("      # The encoding: line 1 is not UTF-8."), "{pipeline}");
    assert!(pipeline.contains("      csv: { encoding: windows-1252 }\n"), "{pipeline}");
    assert!(pipeline.contains("      timestamp_format: \"%d.%m.%Y %H:%M\"\n"), "{pipeline}");
    assert!(pipeline.contains("sensor_id: \"Meßstelle\"") || pipeline.contains("\"Meßstelle\""), "{pipeline}");
}

#[test]
fn excels_unicode_text_is_read() {
    let text =
        table("station\ttime\tspeed", "%Y-%m-%d %H:%M", |time, station, value| format!("Å{station}\t{time}\t{value}"));
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    for (bytes, line) in [
        (
            [vec![0xff, 0xfe], little(&text)].concat(),
            "# The encoding: its first bytes say so.\n      csv: { encoding: utf-16le }",
        ),
        (
            [vec![0xfe, 0xff], big(&text)].concat(),
            "# The encoding: its first bytes say so.\n      csv: { encoding: utf-16be }",
        ),
        (
            little(&text),
            "# The encoding: every other byte of its first line is zero.\n      csv: { encoding: utf-16le }",
        ),
    ] {
        let (pipeline, rows) = walk("excel.csv", bytes);
        all_accepted(&rows, &pipeline);
        assert!(pipeline.contains(line), "{pipeline}");
    }
}

#[test]
fn dates_of_other_kinds_are_found_and_their_order_is_decided_by_what_is_no_month() {
    for (format, expected, why) in [
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M", "# Times are written so.\n"),
        (
            "%d/%m/%Y %H:%M:%S",
            "%d/%m/%Y %H:%M:%S",
            "# Nothing in the sample says whether day or month comes first. Where the month does: \"%m/%d/%Y %H:%M:%S\".\n",
        ),
        ("%Y%m%d %H%M", "%Y%m%d %H%M", "# Times are written so.\n"),
        ("%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M", "# Times are written so.\n"),
        ("%d.%m.%y %H:%M", "%d.%m.%y %H:%M", "# Times are written so.\n"),
    ] {
        let text = table("station,time,speed", format, |time, station, value| format!("S{station},{time},{value}"));
        let (pipeline, rows) = walk("dates.csv", text);
        all_accepted(&rows, &pipeline);
        assert!(pipeline.contains(&format!("      timestamp_format: \"{expected}\"\n")), "{format}: {pipeline}");
        assert!(pipeline.contains(why), "{format}: {pipeline}");
    }
    // Readings of the 23rd: no month.
    let later = |format| {
        table("station,time,speed", format, |time, station, value| {
            let moved = time.replacen("03/02/", "03/23/", 1).replacen("02/03/", "23/03/", 1);
            format!("S{station},{moved},{value}")
        })
    };
    for (format, written) in [("%m/%d/%Y %-I:%M %p", "%m/%d/%Y %I:%M %p"), ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M")] {
        let (pipeline, rows) = walk("order.csv", later(format));
        all_accepted(&rows, &pipeline);
        assert!(pipeline.contains(&format!("timestamp_format: \"{written}\"")), "{pipeline}");
        assert!(pipeline.contains("one number in it is no month"), "{pipeline}");
    }
}

#[test]
fn a_date_and_a_time_of_day_of_other_kinds_in_two_columns_become_one_time() {
    for (format, joined) in [("%d.%m.%Y,%H:%M", "%d.%m.%Y %H:%M"), ("%Y%m%d,%H%M", "%Y%m%d %H%M")] {
        let text =
            table("datum,uhrzeit,station,speed", format, |time, station, value| format!("{time},S{station},{value}"));
        let (pipeline, rows) = walk("halves.csv", text);
        all_accepted(&rows, &pipeline);
        assert!(pipeline.contains("csv: { join: { observed_at: [\"datum\", \"uhrzeit\"] } }"), "{pipeline}");
        assert!(pipeline.contains(&format!("timestamp_format: \"{joined}\"")), "{pipeline}");
    }
}

#[test]
fn a_table_of_days_is_one_of_times() {
    let rows: String =
        (1..=28).map(|day| format!("S1,2026-02-{day:02},{}\nS2,2026-02-{day:02},{}\n", day * 10, day * 9)).collect();
    let (pipeline, counted) = walk("days.csv", format!("station,date,count\n{rows}"));
    assert_eq!((&counted["in"], &counted["accepted"]), (&56.into(), &56.into()), "{pipeline}");
    assert!(pipeline.contains("timestamp_format: \"%Y-%m-%d\"") && pipeline.contains("size: 1d"), "{pipeline}");
}

#[test]
fn thousands_are_told_from_decimals() {
    for (file, delimiter, number, expected) in [
        ("german.csv", ';', "1.038,4", &["decimal: \",\"\n", "thousands: \".\"\n"][..]),
        ("english.csv", ';', "1,038.4", &["thousands: \",\"\n"]),
        ("quoted.csv", ',', "\"1,038\"", &["thousands: \",\"\n"]),
        ("millions.csv", ';', "1.038.400", &["decimal: \",\"\n", "thousands: \".\"\n"]),
    ] {
        let text = table(
            &"station,time,count".replace(',', &delimiter.to_string()),
            "%Y-%m-%d %H:%M",
            |time, station, value| {
                let number = if value < 45.0 { value.trunc().to_string() } else { number.to_owned() };
                [format!("S{station}"), time, number].join(&delimiter.to_string())
            },
        );
        let (pipeline, rows) = walk(file, text);
        all_accepted(&rows, &pipeline);
        for line in expected {
            assert!(pipeline.contains(line), "{file}: {pipeline}");
        }
    }
}
