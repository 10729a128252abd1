//! `rename`, `filter`, `cast` and `unit`: what becomes of columns and rows, and what a plan refuses.

use std::collections::BTreeMap;

use arterial::stages::clean::{CastType, CleanStep, Limits, Otherwise, UnitChange};
use arterial::stages::rows::Reason;
use proptest::prelude::*;

use crate::clean_support::*;

fn map<T: Clone>(pairs: &[(&str, T)]) -> BTreeMap<String, T> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn rename(pairs: &[(&str, &str)]) -> CleanStep {
    CleanStep::Rename(pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect())
}

fn unit(column: &str, from: &str, to: &str, name: Option<&str>) -> CleanStep {
    let change = UnitChange { from: from.to_owned(), to: to.to_owned(), name: name.map(str::to_owned) };
    CleanStep::Unit(map(&[(column, change)]))
}

#[test]
fn columns_swap_names_and_keep_their_place_and_values() {
    let cleaned = clean(&[rename(&[("count", "number"), ("note", "count")])], &[row("A", 0, 50.0)]);
    let names: Vec<_> = cleaned.rows.batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["sensor_id", "observed_at", "speed_kmh", "number", "count"]);
    assert_eq!(ints(&cleaned, "number"), [Some(1)]);
}

#[test]
fn rows_for_which_a_filter_is_false_or_null_are_filtered_and_those_it_fails_for_are_dead_letters() {
    let mut input = vec![row("A", 0, 10.0), row("A", 60, 90.0), row("A", 120, 90.0), row("A", 180, 90.0)];
    input[2].speed = None;
    input[3].note = Some("x".to_owned());
    let condition = "speed_kmh > 20 AND CAST(note AS BIGINT) = 7";
    let cleaned = clean(&[CleanStep::Filter(condition.to_owned())], &input);
    assert_eq!((&cleaned.rows.origin, &cleaned.filtered), (&vec![1], &vec![0, 2]));
    let [(origin, reason, _)] = rejects(&cleaned).try_into().unwrap();
    assert_eq!((origin, reason), (3, Reason::SqlFailed));
}

#[test]
fn a_value_that_does_not_fit_a_cast_sends_its_row_to_the_dead_letters_with_the_value() {
    let mut input = vec![row("A", 0, 1.0), row("A", 60, 2.0), row("A", 120, 3.0)];
    input[1].note = Some("x7".to_owned());
    input[2].note = None;
    let cleaned = clean(&[CleanStep::Cast(map(&[("note", CastType::Int)]))], &input);
    assert_eq!(ints(&cleaned, "note"), [Some(7), None]);
    let [(origin, reason, detail)] = rejects(&cleaned).try_into().unwrap();
    assert_eq!((origin, reason), (1, Reason::SqlFailed));
    assert!(detail.contains("x7"), "{detail}");
}

#[test]
fn units_have_the_factors_of_their_definitions() {
    let cases = [
        ("mph", "km/h", 60.0, 96.560_64),
        ("degF", "degC", 50.0, 10.0),
        ("degC", "K", -273.15, 0.0),
        ("kn", "m/s", 36.0, 18.52),
        ("inHg", "hPa", 29.92, 1_013.207_481_190),
        ("mg/m3", "ug/m3", 0.5, 500.0),
        ("ppb", "ppm", 40.0, 0.04),
        ("%", "1", 45.0, 0.45),
        ("ft", "m", 10.0, 3.048),
    ];
    for (from, to, value, wanted) in cases {
        let cleaned = clean(&[unit("speed_kmh", from, to, Some("converted"))], &[row("A", 0, value)]);
        let found = floats(&cleaned, "converted")[0].unwrap();
        assert!((found - wanted).abs() <= wanted.abs() * 1e-12 + 1e-10, "{value} {from} is {found} {to}");
    }
}

proptest! {
    #[test]
    fn a_unit_and_back_is_the_same_number(value in -1e6..1e6_f64, pair in 0..4_usize) {
        let (from, to) = [("mph", "m/s"), ("degF", "K"), ("psi", "mmHg"), ("m3/h", "L/s")][pair];
        let steps = [unit("speed_kmh", from, to, None), unit("speed_kmh", to, from, None)];
        let found = floats(&clean(&steps, &[row("A", 0, value)]), "speed_kmh")[0].unwrap();
        prop_assert!((found - value).abs() <= value.abs() * 1e-12 + 1e-9, "{value} became {found}");
    }
}

#[test]
fn limits_of_the_schema_do_not_hold_in_another_unit() {
    let open = range("speed_kmh", Limits::default(), Otherwise::Null);
    let changed = [unit("speed_kmh", "km/h", "m/s", None), open];
    assert_eq!(
        problems(&changed),
        [
            "clean[1].range.columns.speed_kmh: column `speed_kmh` has neither `minimum` nor `maximum`; a step before has \
          changed the unit, and the schema's limits are in the one before: give some in m/s, or put `range` first"
        ]
    );
    let own = range("speed_kmh", Limits { minimum: Some(0.0), maximum: Some(70.0) }, Otherwise::Null);
    let cleaned = clean(&[unit("speed_kmh", "km/h", "m/s", None), own], &[row("A", 0, 180.0), row("A", 60, 360.0)]);
    assert_eq!(floats(&cleaned, "speed_kmh"), [Some(50.0), None]);
}

#[test]
fn steps_that_take_no_row_out_may_stand_before_dedupe_and_others_are_named() {
    let before = [rename(&[("note", "remark")]), unit("speed_kmh", "km/h", "m/s", None), dedupe(600)];
    let cleaned = clean(&before, &[row("A", 0, 36.0), row("A", 0, 72.0)]);
    assert_eq!((floats(&cleaned, "speed_kmh"), cleaned.duplicates), (vec![Some(10.0)], vec![1]));
    let filter = CleanStep::Filter("speed_kmh > 1".to_owned());
    assert!(problems(&[filter, dedupe(600)])[0].contains("`dedupe` stands after `filter`, which removes rows"));
}

#[test]
fn what_cannot_be_is_refused_with_the_nearest_name() {
    let cases: [(CleanStep, &str); 12] = [
        (rename(&[("cont", "n")]), "clean[0].rename.cont: unknown column `cont`; did you mean `count`?"),
        (rename(&[("count", "note")]), "clean[0].rename.count: column `note` exists already"),
        (rename(&[("sensor_id", "id")]), "is the source's `partitioned_by` and must stay as it came"),
        (rename(&[("count", "n"), ("note", "n")]), "clean[0].rename.count: column `n` exists already"),
        (CleanStep::Filter("sped_kmh > 1".to_owned()), "unknown column `sped_kmh`; did you mean `speed_kmh`?"),
        (CleanStep::Cast(map(&[("observed_at", CastType::Text)])), "is the source's `event_time.column`"),
        (unit("speed_kmh", "kmph", "m/s", None), "clean[0].unit.speed_kmh: unknown unit `kmph`; did you mean `km/h`?"),
        (unit("speed_kmh", "km/h", "metres", None), "unknown unit `metres`; write `m`"),
        (unit("speed_kmh", "km/h", "bananas", None), "unknown unit `bananas`; units are m/s, km/h, mi/h"),
        (unit("speed_kmh", "km/h", "degC", None), "`km/h` and `degC` measure different things"),
        (unit("note", "km/h", "m/s", None), "column `note` is Utf8, not a number"),
        (unit("speed_kmh", "km/h", "m/s", Some("count")), "column `count` exists already"),
    ];
    for (step, wanted) in cases {
        let found = problems(std::slice::from_ref(&step));
        assert!(found.iter().any(|problem| problem.contains(wanted)), "{step:?}: {found:?}");
    }
}
