//! Features from tables and from two columns: what is known when, and tables that say nothing of times.

use std::collections::BTreeMap;
use std::sync::Arc;

use arterial::stages::clean::{Cell, Table};
use arterial::stages::features::{At, FeatureSettings, Features, FeaturesPlan};
use chrono_tz::Tz;

use super::features::{input, plan, window};
use super::spec_support::{only_problem, problems, spoilt};

const HOUR: i64 = 3_600_000_000;
const MINUTE: i64 = 60_000_000;
/// Monday 2026-01-05, 00:00 UTC.
const MONDAY: i64 = 1_767_571_200_000_000;

fn table(name: &str, key: &str, csv: &str) -> Arc<Table> {
    Arc::new(Table::from_csv(name, csv.as_bytes(), key).unwrap())
}

/// Rain by the hour, the rows in no order.
const WEATHER: &str =
    "at,rain_mm,temp\n2026-01-05T02:00:00Z,2.5,\n2026-01-05T00:00:00Z,0,4\n2026-01-05T01:00:00Z,1.5,3.5\n";

fn weather(max_age: i64) -> FeatureSettings {
    let (table, columns) = (table("weather", "at", WEATHER), vec!["rain_mm".to_owned(), "temp".to_owned()]);
    FeatureSettings::Lookup { table, columns, max_age, age: true, zone: None }
}

fn shown(row: &[f64]) -> String {
    format!("{row:?}")
}

#[test]
fn lookup_sees_the_latest_value_that_is_not_newer_than_the_windows_end() {
    let plan = plan(&[weather(HOUR)]);
    let names: Vec<&str> = plan.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["weather.rain_mm", "weather.temp", "weather.age"]);
    let mut features = Features::new(plan);
    let mut at = |time: i64| shown(features.update(&window(time, &[50.0])).row(0));
    assert_eq!(at(MONDAY - 1), "[NaN, NaN, NaN]", "nothing is known before the first row");
    assert_eq!(at(MONDAY), "[0.0, 4.0, 0.0]");
    assert_eq!(at(MONDAY + HOUR - 1_000_000), "[0.0, 4.0, 0.9997222222222222]", "a second before the next one");
    assert_eq!(at(MONDAY + HOUR), "[1.5, 3.5, 0.0]");
    assert_eq!(at(MONDAY + 2 * HOUR + 30 * MINUTE), "[2.5, NaN, 0.5]", "a null is a null, not what came before");
    assert_eq!(at(MONDAY + 3 * HOUR), "[2.5, NaN, 1.0]");
    assert_eq!(at(MONDAY + 3 * HOUR + 1), "[NaN, NaN, NaN]", "too old");
}

#[test]
fn calendar_marks_the_day_its_eve_and_the_day_after_by_the_clocks_of_its_zone() {
    let holidays = table("holidays", "day", "day,name\n2026-01-06,Epiphany\n");
    let zone = chrono_tz::Europe::Copenhagen;
    let now = |at| FeatureSettings::Calendar { table: Arc::clone(&holidays), at, zone };
    let mut features = Features::new(plan(&[now(At::Now)]));
    let mut at = |time: i64| shown(features.update(&window(time, &[50.0])).row(0));
    assert_eq!(at(MONDAY), "[0.0, 1.0, 0.0]");
    assert_eq!(at(MONDAY + 22 * HOUR + 59 * MINUTE), "[0.0, 1.0, 0.0]");
    assert_eq!(at(MONDAY + 23 * HOUR), "[1.0, 0.0, 0.0]", "midnight in Copenhagen");
    assert_eq!(at(MONDAY + 47 * HOUR), "[0.0, 0.0, 1.0]");
    let ahead = plan(&[now(At::Target)]);
    let columns: Vec<_> = ahead.columns().iter().map(|one| (one.name.as_str(), one.horizon_steps)).collect();
    let names = ["calendar.holidays", "calendar.holidays_eve", "calendar.holidays_after"];
    assert_eq!(columns, [1, 3].map(|steps| names.map(|name| (name, Some(steps)))).concat());
    let matrix = Features::new(ahead).update(&window(MONDAY + 21 * HOUR, &[50.0]));
    assert_eq!(matrix.row(0), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0], "one hour ahead it is Monday, three ahead the holiday");
}

#[test]
fn ratio_of_nothing_or_to_nothing_is_null() {
    let ratio = FeatureSettings::Ratio { of: "flow".to_owned(), to: "speed".to_owned() };
    let plan = plan(&[ratio]);
    assert_eq!(plan.columns()[0].name, "flow.by_speed");
    let mut features = Features::new(plan);
    let mut closed = window(MONDAY, &[5.0, 0.0, f64::NAN]);
    closed.columns[1][0] = -8.0;
    let matrix = features.update(&closed);
    assert_eq!(shown(&matrix.values), "[-1.6, NaN, NaN]");
}

#[test]
fn tables_that_say_nothing_of_times_are_refused_with_the_key() {
    let refused = |settings: FeatureSettings| {
        let errors = FeaturesPlan::new(&[settings], &input()).unwrap_err();
        (errors[0].to_string(), errors[0].hint.clone().unwrap_or_default())
    };
    let days = table("days", "day", "day\n2026-13-01\n");
    let (said, _) = refused(FeatureSettings::Calendar { table: days, at: At::Now, zone: Tz::UTC });
    assert_eq!(said, "features[0].calendar: table `days`: key `2026-13-01` is no date, as 2026-12-25");
    let lookup = |csv: &str, column: &str, zone: Option<Tz>| {
        let table = table("weather", "at", csv);
        refused(FeatureSettings::Lookup { table, columns: vec![column.to_owned()], max_age: HOUR, age: false, zone })
    };
    let (said, hint) = lookup("at,rain\n2026-01-05T02:00:00,2\n", "rain", None);
    assert!(said.ends_with("key `2026-01-05T02:00:00` has no offset, and no `timezone` is declared"), "{said}");
    assert!(hint.contains("RFC 3339"), "{hint}");
    let (said, _) = lookup("at,rain\n2026-01-05T02:00:00Z,2\n2026-01-05T03:00:00+01:00,2\n", "rain", None);
    assert!(said.contains("is the time of another row, too"), "{said}");
    let (said, hint) = lookup(WEATHER, "rain", None);
    assert!(said.ends_with("table `weather` has no column `rain`"), "{said}");
    assert_eq!(hint, "did you mean `rain_mm`?");
    let (said, _) = lookup("at,sky\n2026-01-05T02:00:00Z,blue\n", "sky", None);
    assert!(said.ends_with("column `sky` of table `weather` holds no numbers"), "{said}");
    let row = BTreeMap::from([
        ("at".to_owned(), Cell::Text("2026-01-05 02:00".to_owned())),
        ("rain".to_owned(), Cell::Int(1)),
    ]);
    let local = Arc::new(Table::from_rows("weather", &[row], "at").unwrap());
    let zone = Some(chrono_tz::Europe::Copenhagen);
    let columns = vec!["rain".to_owned()];
    let settings = FeatureSettings::Lookup { table: local, columns, max_age: HOUR, age: false, zone };
    let matrix = Features::new(plan(&[settings])).update(&window(MONDAY + HOUR, &[50.0]));
    assert_eq!(matrix.row(0), [1.0], "01:00 in UTC");
}

#[test]
fn features_of_tables_are_checked_in_the_file() {
    const LAGS: &str = "  - lags: { column: speed_kmh, count: 6 }\n";
    let with = |feature: &str| spoilt(&[(LAGS, &format!("{LAGS}  - {feature}\n"))]);
    only_problem(
        &with("calendar: { table: «holidays }"),
        "table `holidays` is not declared under `tables:`",
        "tables: sites",
    );
    let text = with("lookup: { table: «site, columns: [a], max_age: 1h }");
    only_problem(&text, "table `site` is not declared under `tables:`", "`sites`");
    let message = "`features[1].lookup.max_age` must be longer than 0s";
    let text = with("lookup: { table: sites, columns: [a], max_age: «0s }");
    assert!(problems(&text.replace('«', "")).iter().any(|one| one.message == message), "{:?}", problems(&text));
    let text = with("ratio: { of: «sped_kmh, to: free_flow_kmh }");
    only_problem(&text, "`sped_kmh` is not a column of the window", "speed_kmh");
    let both = "ratio: { of: speed_kmh, to: free_flow_kmh }\n  - ratio: { of: readings, to: free_flow_kmh }";
    assert_eq!(problems(&with(both)), []);
}
