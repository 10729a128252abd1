//! `arterial init`: what it writes is valid, passes its own test and reads the rows that it was made from.

use std::path::Path;
use std::process::{Command, Output};

use proptest::prelude::*;
use serde_json::Value;

use crate::file_support::write;

pub fn arterial(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
    command.current_dir(folder).env("ARTERIAL_LOG", "warn").args(arguments).output().expect("the binary runs")
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn init(folder: &Path, file: &str) -> String {
    let made = arterial(folder, &["init", "--from", file, "--name", "made"]);
    assert!(made.status.success(), "{}", said(&made));
    std::fs::read_to_string(folder.join("made.yaml")).expect("a pipeline")
}

/// Makes a pipeline of a file, tests and runs it; its text and the counts of rows.
pub fn walk(file: &str, text: impl AsRef<[u8]>) -> (String, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join(file), text);
    let pipeline = init(folder.path(), file);
    for verb in ["validate", "test"] {
        let done = arterial(folder.path(), &[verb, "made.yaml"]);
        assert!(done.status.success(), "{verb}: {}\n{pipeline}", said(&done));
    }
    let ran = arterial(folder.path(), &["run", "--until", "latest", "--format", "json", "made.yaml"]);
    assert!(ran.status.success(), "{}\n{pipeline}", said(&ran));
    let summary: Value = serde_json::from_slice(&ran.stdout).expect("a summary");
    (pipeline, summary["rows"].clone())
}

/// Readings of three stations each five minutes, as `line(time, station, value)` writes one.
pub fn readings(line: impl Fn(String, usize, f64) -> String) -> String {
    let time = |step: usize| format!("2026-03-02 {:02}:{:02}", 7 + step / 12, 5 * (step % 12));
    let all = (0..40).flat_map(|step| (0..3).map(move |station| (step, station)));
    all.map(|(step, station)| line(time(step), station, 40.0 + step as f64 / 2.0) + "\n").collect()
}

#[test]
fn table_with_semicolons_and_local_times_becomes_a_pipeline_that_reads_it() {
    let table =
        readings(|time, station, mph| format!("N{station};{time};{};{mph}", if station == 0 { "-" } else { "1" }));
    let (pipeline, rows) = walk("loops.csv", format!("station;time;lane;mph\n{table}"));
    assert_eq!((&rows["in"], &rows["accepted"]), (&120.into(), &120.into()), "{rows}");
    for line in [
        "    partitioned_by: station\n",
        "      delimiter: \";\"\n",
        "      nulls: [\"-\"]\n",
        "      # Times of \"time\" have no zone: put in where the sensors are, as Europe/Copenhagen.\n",
        "max_delay: 5m }\n",
        "    target: mph\n",
        "    measure: mph\n    when: \"< ",
    ] {
        assert!(pipeline.contains(line), "no {line:?} in\n{pipeline}");
    }
}

#[test]
fn lines_of_json_with_values_in_depth_and_epoch_times_are_read() {
    let lines = readings(|time, station, value| {
        let at = chrono::NaiveDateTime::parse_from_str(&time, "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp_millis();
        format!(r#"{{"device":{{"id":{station}}},"ts":{at},"data":{{"pm25":{value},"ok":true}},"note":[1]}}"#)
    });
    let (pipeline, rows) = walk("air.ndjson.gz", lines);
    assert_eq!(rows["accepted"], 120, "{rows}");
    assert!(pipeline.contains("timestamp: epoch_ms") && pipeline.contains("\"device.id\""), "{pipeline}");
    assert!(pipeline.contains("when: \"> "), "much of it is bad: {pipeline}");
}

#[test]
fn wide_table_without_times_asks_when_it_begins_and_is_read_once_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let names: Vec<String> = (0..12).map(|sensor| format!("77{sensor:02}")).collect();
    let rows: String = (0..30).map(|row| vec![(50 + row).to_string(); 12].join(",") + "\n").collect();
    write(&folder.path().join("speeds.csv"), format!("{}\n{rows}", names.join(",")));
    let pipeline = init(folder.path(), "speeds.csv");
    let refused = arterial(folder.path(), &["validate", "made.yaml"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(said(&refused).contains("`FILL IN: 2026-01-01T00:00:00Z` is no time"), "{}", said(&refused));
    std::fs::write(folder.path().join("made.yaml"), pipeline.replace("FILL IN: ", "")).expect("written");
    let ran = arterial(folder.path(), &["run", "--until", "latest", "--format", "json", "made.yaml"]);
    let summary: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", said(&ran)));
    assert_eq!(summary["rows"]["accepted"], 360);
}

#[test]
fn table_that_is_sorted_by_sensor_waits_as_long_as_its_rows_are_late() {
    let mut rows: Vec<String> =
        readings(|time, station, mph| format!("N{station},{time},{mph}")).lines().map(str::to_owned).collect();
    rows.sort();
    let (pipeline, rows) = walk("sorted.csv", format!("sensor,when,mph\n{}\n", rows.join("\n")));
    assert_eq!(rows["accepted"], 120, "{rows}");
    assert!(pipeline.contains("max_delay: 195m }") && pipeline.contains("better sorted by time"), "{pipeline}");
}

#[test]
fn files_that_are_there_and_files_that_no_pipeline_can_be_made_of_are_told_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = readings(|time, station, mph| format!("N{station},{time},{mph}"));
    write(&folder.path().join("loops.csv"), format!("sensor,time,mph\n{table}"));
    init(folder.path(), "loops.csv");
    let again = arterial(folder.path(), &["init", "--from", "loops.csv", "--name", "made"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(said(&again).contains("is there already; give --force"), "{}", said(&again));
    let schema = folder.path().join("made.avsc");
    std::fs::remove_file(&schema).unwrap();
    assert_eq!(arterial(folder.path(), &["init", "--from", "loops.csv", "--name", "made"]).status.code(), Some(2));
    assert!(!schema.exists(), "half of what was refused was written");
    for (file, text, expected) in [
        ("empty.csv", "", "its first line has to name the columns"),
        ("head.csv", "sensor,time,mph\n", "no row could be read"),
        ("text.ndjson", "sensor offline\n", "no row could be read"),
        ("untimed.csv", "sensor,day,mph\nN1,Monday,3\nN2,Monday,4\n", "no column holds times that can be read"),
        ("words.csv", "sensor,time,state\nN1,2026-03-02T07:00:00Z,on\n", "no column of numbers is left"),
        ("nobody.ndjson", "{\"time\":\"2026-03-02T07:00:00Z\",\"mph\":3}\n", "no column seems to name the sensor"),
        ("table.parquet", "PAR1", "is not a complete Parquet file"),
    ] {
        write(&folder.path().join(file), text);
        let refused = arterial(folder.path(), &["init", "--from", file, "--name", "other"]);
        assert_eq!(refused.status.code(), Some(1), "{file}: {}", said(&refused));
        assert!(said(&refused).contains(expected), "{file}: {}", said(&refused));
        assert!(!folder.path().join("other.yaml").exists());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Headers may hold anything; what is made of them is a pipeline that passes its test, or a refusal that is no defect.
    #[test]
    fn whatever_columns_are_called_the_file_is_sound(names in proptest::collection::vec("[^\"\\r\\n,;|\\t]{0,12}", 3), key in "[^\"\\r\\n,]{1,8}") {
        let [time, sensor, value] = &names[..] else { unreachable!() };
        let header = format!("\"{time} time\",\"{sensor} id\",\"{value}\"");
        let table = readings(|time, station, value| format!("{time},\"{key}{station}\",{value}"));
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder.path().join("t.csv"), format!("{header}\n{table}"));
        let made = arterial(folder.path(), &["init", "--from", "t.csv", "--name", "made"]);
        prop_assert!(!said(&made).contains("please report it"), "{}", said(&made));
        if made.status.success() {
            let tested = arterial(folder.path(), &["test", "made.yaml"]);
            prop_assert!(tested.status.success(), "{}", said(&tested));
        }
    }
}

#[test]
fn table_of_another_language_keeps_its_sensors_apart_and_what_was_guessed_is_told() {
    let table = readings(|time, station, speed| format!("RWS-{station};{time};{speed};{}", 600 + 10 * station));
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("lussen.csv"), format!("meetpunt;tijdstip;snelheid_kmh;intensiteit\n{table}"));
    let made = arterial(folder.path(), &["init", "--from", "lussen.csv"]);
    assert!(made.status.success(), "{}", said(&made));
    let said = said(&made);
    assert!(said.contains("from 120 rows of 3 sensors"), "{said}");
    for guessed in [
        "sensor: `meetpunt` (its name holds `meetpunt`)",
        "time:   `tijdstip` as UTC, or as --timezone says (its cells are times); another: --time COLUMN",
        "value:  `snelheid_kmh` (its name holds `kmh`)",
    ] {
        assert!(said.contains(guessed), "{said}");
    }
}

#[test]
fn speeds_are_known_by_their_names_in_other_languages_and_by_their_unit_and_little_of_them_is_bad() {
    for (header, value) in
        [("Geschwindigkeit [km/h]", "its name holds the unit `km/h`"), ("vitesse", "its name holds `vitesse`")]
    {
        let table = readings(|time, station, speed| format!("Z{station};{time};{};{speed}", 20 - station));
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder.path().join("t.csv"), format!("sensor;time;Temperatur;{header}\n{table}"));
        let made = arterial(folder.path(), &["init", "--from", "t.csv", "--name", "made"]);
        assert!(said(&made).contains(&format!("value:  `{header}` ({value})")), "{}", said(&made));
        let text = std::fs::read_to_string(folder.path().join("made.yaml")).expect("a pipeline");
        assert!(text.contains("when: \"< "), "{text}");
    }
}

#[test]
fn what_the_user_says_is_not_guessed_and_what_is_not_there_is_refused_with_what_is() {
    let table = readings(|time, station, speed| format!("{station};A;{time};{speed};{}", 600 + 10 * station));
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("t.csv"), format!("punt;station;wanneer;snelheid;intensiteit\n{table}"));
    let said_so =
        |more: &[&str]| arterial(folder.path(), &[&["init", "--from", "t.csv", "-o", "other.yaml"], more].concat());
    let made =
        said_so(&["--sensor", "punt", "--value", "intensiteit", "--timezone", "Europe/Amsterdam", "--time", "wanneer"]);
    assert!(made.status.success(), "{}", said(&made));
    let text = std::fs::read_to_string(folder.path().join("other.yaml")).expect("a pipeline");
    for line in [
        "pipeline: other\n",
        "timezone: Europe/Amsterdam\n",
        "# The sensor: as given.\n    partitioned_by: punt\n",
        "target: intensiteit\n",
        "folder: { path: other-out }",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let tested = arterial(folder.path(), &["test", "other.yaml"]);
    assert!(tested.status.success(), "{}", said(&tested));
    for (option, value, expected) in [
        ("--sensor", "punkt", "--sensor: no column `punkt`; did you mean `punt`?"),
        ("--value", "station", "--value: `station` is not a column of numbers"),
        ("--time", "punt", "no column holds times that can be read"),
        ("--time", "station", "no column holds times that can be read"),
        ("--timezone", "Europe/Eindhoven", "a zone bears the name of one large city in it"),
        ("--timezone", "Europe/Amsterdm", "did you mean `Europe/Amsterdam`?"),
    ] {
        let refused = said_so(&["--force", option, value]);
        assert!(!refused.status.success() && said(&refused).contains(expected), "{option} {value}: {}", said(&refused));
    }
}

#[test]
fn run_tells_where_its_outputs_are_and_that_a_second_one_found_nothing_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = readings(|time, station, speed| format!("S{station},{time},{speed}"));
    write(&folder.path().join("t.csv"), format!("station,time,speed\n{table}"));
    init(folder.path(), "t.csv");
    let run = || {
        let ran = arterial(folder.path(), &["run", "--until", "latest", "made.yaml"]);
        assert!(ran.status.success(), "{}", said(&ran));
        said(&ran)
    };
    let first = run();
    assert!(
        first.contains("outputs in made-out/epoch-*: alerts.ndjson (15); nothing for dead_letter, late"),
        "{first}"
    );
    assert!(!first.contains("earlier runs"), "{first}");
    let second = run();
    assert!(
        second.contains("nothing new was read: all of it is of earlier runs. To read it again, remove `made-out`"),
        "{second}"
    );
    let letters = arterial(folder.path(), &["dlq", "ls", "made.yaml"]);
    assert_eq!(letters.status.code(), Some(2), "{}", said(&letters));
    assert!(said(&letters).contains("go to the folder `made-out`"), "{}", said(&letters));
    assert!(said(&letters).contains("`made-out/epoch-*/dead_letter.ndjson`"), "{}", said(&letters));
    write(&folder.path().join("t.csv"), "station,time,speed\nS0,2026-03-02T07:00:00Z,40\n");
    let shorter = said(&arterial(folder.path(), &["run", "--until", "latest", "made.yaml"]));
    assert!(shorter.contains("`t.csv` does not begin as it did") && shorter.contains("fill a new folder"), "{shorter}");
}

/// Lines of the README's console block below `arterial init`: each command with the lines that stand under it.
fn console() -> Vec<(String, Vec<String>)> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let block = readme.split("```").find(|block| block.starts_with("console\n") && block.contains("arterial init"));
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.expect("a console block").lines().skip(1) {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, under))) => under.push(line.to_owned()),
            (None, None) => panic!("no command above {line:?}"),
        }
    }
    commands
}

#[test]
fn readmes_five_minutes_end_with_an_alert() {
    let folder = tempfile::tempdir().expect("a folder");
    let programs = Path::new(env!("CARGO_BIN_EXE_arterial")).parent().expect("a folder").display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let mut last = String::new();
    for (command, under) in console() {
        // Lines under a command that writes a file are the file, under any other what it says.
        if let Some(file) = command.strip_prefix("cat > ") {
            write(&folder.path().join(file), under.join("\n") + "\n");
            continue;
        }
        let mut shell = Command::new("sh");
        let ran = shell.current_dir(folder.path()).env("PATH", &path).args(["-c", &command]).output().expect("a shell");
        last = said(&ran);
        assert!(ran.status.success(), "{command}: {last}");
        assert!(under.iter().all(|line| last.contains(line)), "{command} says {last}");
    }
    let alerts: Vec<Value> = last.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(alerts.len(), 2, "{last}");
    assert!(last.contains("\"station\":\"N7\"") && last.contains("opened") && last.contains("cleared"), "{last}");
}

#[test]
fn decimal_commas_are_found_and_read() {
    let table = readings(|time, station, speed| format!("{station};{time};{},5", speed.floor()));
    let (pipeline, rows) = walk("zahlen.csv", format!("station;time;speed\n{table}"));
    assert!(pipeline.contains("      decimal: \",\"\n"), "{pipeline}");
    assert_eq!((rows["accepted"].as_u64(), rows["dead_letter"].as_u64()), (rows["in"].as_u64(), Some(0)));
    let (pipeline, _) = walk("numbers.csv", format!("station;time;speed\n{}", table.replace(",5", ".5")));
    assert!(!pipeline.contains("decimal"), "{pipeline}");
}

#[test]
fn one_column_for_two_things_and_sensors_that_no_key_is_made_of_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("t.csv"), "id,time,speed\n1,2026-03-02T07:00:00Z,50\n");
    write(&folder.path().join("two.csv"), "id,time,speed,speed\n1,2026-03-02T07:00:00Z,50,51\n");
    write(&folder.path().join("t.ndjson"), "{\"s\":1.5,\"time\":\"2026-03-02T07:00:00Z\",\"speed\":50}\n");
    for (arguments, expected) in [
        (["--from", "t.csv", "--sensor", "time", "--time", "time"], "--time and --sensor both name `time`"),
        (
            ["--from", "t.ndjson", "--sensor", "s", "--value", "speed"],
            "--sensor: `s` holds neither text nor whole numbers",
        ),
        (["--from", "two.csv", "--sensor", "id", "--value", "speed"], "names column `speed` twice"),
    ] {
        let refused = arterial(folder.path(), &[&["init", "--name", "made"], arguments.as_slice()].concat());
        assert!(!refused.status.success() && said(&refused).contains(expected), "{}", said(&refused));
        assert!(!folder.path().join("made.yaml").exists());
    }
}

#[test]
fn slow_is_what_is_warned_of_however_the_speed_is_called() {
    let table = readings(|time, station, speed| format!("{station};{time};{speed};{}", 5 + station));
    let (pipeline, _) = walk("punte.csv", format!("counting_point;measured;avg_kph;lorries_pct\n{table}"));
    assert!(pipeline.contains("target: avg_kph\n") && pipeline.contains("when: \"<"), "{pipeline}");
}

#[test]
fn date_and_time_of_day_in_two_columns_become_one_time() {
    let table = readings(|time, station, speed| format!("{},S{station},{speed}", time.replace(' ', ",")));
    let (pipeline, rows) = walk("halves.csv", format!("date,time,station,speed\n{table}"));
    assert_eq!((&rows["in"], &rows["accepted"]), (&120.into(), &120.into()), "{rows}");
    assert!(pipeline.contains("      csv: { join: { observed_at: [\"date\", \"time\"] } }\n"), "{pipeline}");
    assert!(pipeline.contains("# The time: `date` and `time`, a date and a time of day."), "{pipeline}");
    // Also where every other column is a sensor, and in the order and with the names that others use.
    let table = readings(|time, station, speed| {
        let (day, hour) = time.split_once(' ').expect("both");
        if station == 0 {
            format!("{hour};{};{day}", vec![speed.floor().to_string() + ",5"; 9].join(";"))
        } else {
            String::new()
        }
    });
    let table: Vec<&str> = table.lines().filter(|line| !line.is_empty()).collect();
    let header = "uhrzeit;7701;7702;7703;7704;7705;7706;7707;7708;7709;tag";
    let (pipeline, rows) = walk("breit.csv", format!("{header}\n{}\n", table.join("\n")));
    assert_eq!((&rows["in"], &rows["accepted"]), (&360.into(), &360.into()), "{rows}");
    assert!(pipeline.contains("join: { observed_at: [\"tag\", \"uhrzeit\"] }"), "{pipeline}");
    assert!(pipeline.contains("decimal: \",\""), "{pipeline}");
}

#[test]
fn three_rows_are_enough_for_a_pipeline_that_is_sound() {
    for (file, text) in [
        ("one.csv", "time,speed\n2026-03-02 07:00,50\n2026-03-02 07:05,51\n2026-03-02 07:10,20\n"),
        ("two.csv", "station;time;speed\nA;2026-03-02 07:00;50,5\nB;2026-03-02 07:00;51,5\nA;2026-03-02 07:05;20,5\n"),
        (
            "same.csv",
            "station,time,speed\nA,2026-03-02T07:00:00Z,50\nB,2026-03-02T07:00:00Z,50\nC,2026-03-02T07:00:00Z,50\n",
        ),
        ("halves.csv", "date,time,id,no2\n2026-03-02,07:00,1,50\n2026-03-02,07:00,2,\n2026-03-02,08:00,1,20\n"),
        (
            "three.ndjson",
            "{\"id\":1,\"ts\":1772434800,\"pm10\":3}\n{\"id\":2,\"ts\":1772434800,\"pm10\":4}\n{\"id\":1,\"ts\":1772435100,\"pm10\":9}\n",
        ),
    ] {
        let (pipeline, rows) = walk(file, text);
        assert_eq!((&rows["in"], &rows["accepted"]), (&3.into(), &3.into()), "{file}: {rows}\n{pipeline}");
    }
}
