//! `arterial init` over tables as portals of European cities publish them: their encodings, dates and numbers.

use serde_json::Value;

use crate::file_support::write;
use crate::init::{arterial, readings, said, walk};

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

/// Lines of a made table, in whatever order.
fn lines(line: impl Fn(String, usize, f64) -> String) -> Vec<String> {
    readings(line).lines().map(str::to_owned).collect()
}

/// What `init` says of a table, and the pipeline.
fn told(text: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("t.csv"), text);
    let made = arterial(folder.path(), &["init", "--from", "t.csv", "--name", "made"]);
    (said(&made), std::fs::read_to_string(folder.path().join("made.yaml")).unwrap_or_default())
}

#[test]
fn one_clock_that_is_far_ahead_neither_stretches_delays_nor_makes_others_late() {
    let mut rows = lines(|time, station, kmh| format!("N{station},{time},{kmh}"));
    rows[30] = "N0,2099-01-01 00:00,40".to_owned();
    let table = format!("sensor,when,kmh\n{}\n", rows.join("\n"));
    let (pipeline, rows) = walk("t.csv", &table);
    assert_eq!((&rows["accepted"], &rows["dead_letter"], &rows["late"]), (&119.into(), &1.into(), &0.into()), "{rows}");
    assert!(pipeline.contains("max_delay: 5m, latest: \"20"), "{pipeline}");
    assert!(pipeline.contains("# Row 31 of the sample has the time 2099-01-01T00:00:00Z"), "{pipeline}");
    assert!(told(&table).0.contains("clock:  row 31 has the time 2099-01-01T00:00:00Z, far ahead of the others"));
    let behind = table.replace("2099-01-01", "1970-01-01");
    let (said, pipeline) = told(&behind);
    assert!(said.contains("row 31 has the time 1970-01-01T00:00:00Z, far behind the others: it is late"), "{said}");
    assert!(pipeline.contains("max_delay: 5m }"), "{pipeline}");
}

#[test]
fn rows_that_come_newest_first_or_sensor_by_sensor_are_told() {
    let mut rows = lines(|time, station, kmh| format!("N{station},{time},{kmh}"));
    rows.reverse();
    let table = |rows: &[String]| format!("sensor,when,kmh\n{}\n", rows.join("\n"));
    assert!(told(&table(&rows)).0.contains("order:  rows come newest first: sort them by time"));
    rows.sort();
    assert!(told(&table(&rows)).0.contains("order:  rows come sorted by something else than their time"));
}

#[test]
fn few_columns_that_differ_in_a_number_are_sensors_and_particles_are_not() {
    let (_, rows) = walk("t.csv", readings_of("time,sensor_1,sensor_2,sensor_3"));
    assert_eq!(rows["accepted"], 120 * 3, "{rows}");
    let (said, _) = told(&readings_of("time,pm1,pm10,pm25"));
    assert!(said.contains("all rows are of one") && said.contains("value:  `pm25`"), "{said}");
}

/// A table with three columns of numbers.
fn readings_of(header: &str) -> String {
    format!("{header}\n{}", readings(|time, station, kmh| format!("{time},{kmh},{station},{}", kmh + 1.0)))
}

#[test]
fn titles_above_the_header_are_told_with_the_line_to_begin_at() {
    let table = readings(|time, station, kmh| format!("N{station};{time};{kmh}"));
    let (said, _) = told(&format!("Zählung 2026, alle Werte\n\nsensor;when;kmh\n{table}"));
    assert!(said.contains("first line has 1 of 3 cells") && said.contains("`tail -n +3`"), "{said}");
}

#[test]
fn a_value_that_nothing_measures_and_a_row_that_is_cut_off_shape_nothing() {
    let mut rows = lines(|time, station, kmh| format!("{time},N{station},{kmh}"));
    rows[50] = "2026-03-02 08:20,N2,1e308".to_owned();
    rows.push("2026-03-02 10:20".to_owned());
    let table = format!("time,sensor,kmh\n{}\n", rows.join("\n"));
    let (said, _) = told(&table);
    assert!(said.contains("121 rows of 3 sensors"), "{said}");
    let (pipeline, _) = walk("t.csv", &table);
    assert!(pipeline.contains("scale: 17"), "{pipeline}");
}

#[test]
fn names_keep_their_letters_and_the_alert_says_which_values_are_bad() {
    let (said, pipeline) = told(&format!(
        "Zählstelle,Zeit,Geschwindigkeit\n{}",
        readings(|time, station, kmh| format!("N{station},{time},{kmh}"))
    ));
    assert!(pipeline.contains("partitioned_by: zahlstelle"), "{said}{pipeline}");
    assert!(said.contains("alert:  where `Geschwindigkeit` is low (as speeds are)"), "{said}");
    let (said, _) = told(&format!("id,time,no2\n{}", readings(|time, n, no2| format!("N{n},{time},{no2}"))));
    assert!(said.contains("alert:  where `no2` is high"), "{said}");
}

#[test]
fn points_between_thousands_are_told_from_decimals_by_the_rest_of_the_table_or_of_the_column() {
    let german = |n: usize| if n < 1_000 { n.to_string() } else { format!("{}.{:03}", n / 1_000, n % 1_000) };
    let flow = |value: f64| 400 + (40.0 * (value - 40.0)) as usize;
    let both = readings(|time, n, value| {
        format!("S{n};{time};{};{value:.1}", german(flow(value)))
            .replace(&format!("{value:.1}"), &format!("{value:.1}").replace('.', ","))
    });
    let (pipeline, rows) = walk("t.csv", format!("Station;Zeit;Kfz/h;Geschwindigkeit\n{both}"));
    all_accepted(&rows, &pipeline);
    assert!(pipeline.contains("decimal: \",\"") && pipeline.contains("thousands: \".\""), "{pipeline}");
    assert!(pipeline.contains("target: geschwindigkeit"), "{pipeline}");
    let alone = readings(|time, n, value| format!("S{n};{time};{}", german(flow(value))));
    let (pipeline, rows) = walk("t.csv", format!("Station;Zeit;Kfz/h\n{alone}"));
    all_accepted(&rows, &pipeline);
    assert!(pipeline.contains("thousands: \".\"") && pipeline.contains("goes from 400 to 1180"), "{pipeline}");
    let blanks = readings(|time, n, value| format!("S{n};{time};{}", german(flow(value)).replace('.', " ")));
    let (pipeline, rows) = walk("t.csv", format!("Station;Zeit;Kfz/h\n{blanks}"));
    all_accepted(&rows, &pipeline);
    assert!(pipeline.contains("thousands: \" \""), "{pipeline}");
    // Three decimals in every number are decimals.
    let decimals = readings(|time, n, value| format!("S{n};{time};{:.3}", value / 7.0));
    let (pipeline, rows) = walk("t.csv", format!("Station;Zeit;Pegel\n{decimals}"));
    all_accepted(&rows, &pipeline);
    assert!(!pipeline.contains("thousands"), "{pipeline}");
}

#[test]
fn titles_that_a_spreadsheet_has_made_as_long_as_its_rows_are_told_too() {
    let table = readings(|time, n, kmh| format!("N{n};{time};{kmh}"));
    let (said, _) = told(&format!("Zählung;;\n;;\nMessstelle;Zeit;kmh\n{table}"));
    assert!(said.contains("2 columns of its first line have no name") && said.contains("`tail -n +3`"), "{said}");
}

#[test]
fn end_of_an_interval_is_no_sensor_and_newest_first_is_as_far_apart_as_oldest_first() {
    let mut rows = lines(|time, n, kmh| format!("{time},{}:59,M{n},{kmh}", &time[..13]));
    rows.reverse();
    let (said, pipeline) = told(&format!("Von,Bis,Messstelle,kmh\n{}\n", rows.join("\n")));
    assert!(said.contains("sensor: `Messstelle`"), "{said}");
    assert!(pipeline.contains("  size: 5m\n"), "{pipeline}");
}

#[test]
fn columns_that_may_be_sensors_are_told_where_one_of_them_is_taken_for_the_value() {
    let (said, _) = told(&readings_of("time,Ost,West,Sued"));
    assert!(said.contains("others: `West`, `Sued` are numbers, too") && said.contains("csv.unpivot"), "{said}");
}
