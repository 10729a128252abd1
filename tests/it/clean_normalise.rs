//! Columns on a common scale: what each row is scaled by, what teaches and what does not, and what has no place on a scale.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type};
use arterial::stages::clean::{
    CleanInput, CleanPlan, CleanStep, Cleaner, Learning, Missing, Normalise, NormaliseMethod, Parameters,
};
use arterial::vocab::Snapshot;
use proptest::prelude::*;

use crate::clean_support::*;
use crate::file_support::write;
use crate::predict_support::MemoryState;

const METHODS: [NormaliseMethod; 3] = [NormaliseMethod::ZScore, NormaliseMethod::MinMax, NormaliseMethod::Robust];

fn readings(speeds: &[f64]) -> Vec<Row> {
    (0..).zip(speeds).map(|(second, speed)| row("A", second, *speed)).collect()
}

fn given(method: NormaliseMethod, parameters: Parameters) -> CleanStep {
    normalise(&["speed_kmh"], method, Learning::Frozen(BTreeMap::from([("speed_kmh".to_owned(), parameters)])))
}

fn clipped(step: CleanStep, clip: f64) -> CleanStep {
    match step {
        CleanStep::Normalise(normalise) => CleanStep::Normalise(Normalise { clip: Some(clip), ..normalise }),
        other => other,
    }
}

fn z(mean: f64, deviation: f64) -> Parameters {
    Parameters { mean: Some(mean), deviation: Some(deviation), ..Parameters::default() }
}

/// Speeds after one step, and after one step that learns.
fn speeds(step: CleanStep, speeds: &[f64]) -> Vec<Option<f64>> {
    floats(&clean(&[step], &readings(speeds)), "speed_kmh")
}

fn learned(method: NormaliseMethod, values: &[f64]) -> Vec<Option<f64>> {
    speeds(normalise(&["speed_kmh"], method, learning(2, None, &[])), values)
}

/// What a row is scaled by, from its definition over all values before it.
fn defined(method: NormaliseMethod, before: &[f64]) -> (f64, f64) {
    let mut sorted = before.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantile = |level: f64| {
        let rank = level * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
        low + (high - low) * rank.fract()
    };
    match method {
        NormaliseMethod::ZScore => {
            let mean = before.iter().sum::<f64>() / before.len() as f64;
            let squares = before.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            (mean, (squares / before.len() as f64).sqrt())
        }
        NormaliseMethod::MinMax => (sorted[0], sorted[sorted.len() - 1] - sorted[0]),
        NormaliseMethod::Robust => (quantile(0.5), quantile(0.75) - quantile(0.25)),
    }
}

#[test]
fn given_parameters_scale_every_row_and_keep_no_state() {
    let none = Row { speed: None, ..row("A", 3, 0.0) };
    let rows = [row("A", 0, 14.1), row("A", 1, 17.6), row("A", 2, 7.1), none];
    let step = given(NormaliseMethod::ZScore, z(14.1, 3.5));
    let cleaned = clean(std::slice::from_ref(&step), &rows);
    let scaled = floats(&cleaned, "speed_kmh");
    assert_eq!((scaled[0], scaled[3]), (Some(0.0), None));
    assert!((scaled[1].unwrap() - 1.0).abs() < 1e-12 && (scaled[2].unwrap() + 2.0).abs() < 1e-12, "{scaled:?}");
    assert_eq!(plan(&[step]).unwrap().stateful_steps().count(), 0);
    let limits = Parameters { minimum: Some(20.0), maximum: Some(60.0), ..Parameters::default() };
    assert_eq!(speeds(given(NormaliseMethod::MinMax, limits), &[20.0, 50.0, 80.0]), [Some(0.0), Some(0.75), Some(1.5)]);
    let quartiles = Parameters { median: Some(50.0), iqr: Some(10.0), ..Parameters::default() };
    assert_eq!(speeds(given(NormaliseMethod::Robust, quartiles), &[50.0, 30.0]), [Some(0.0), Some(-2.0)]);
}

#[test]
fn learned_parameters_are_those_of_the_rows_before_and_of_no_other() {
    let values = [50.0, 70.0, 60.0, 40.0, 90.0, 55.0];
    for method in METHODS {
        let scaled = learned(method, &values);
        assert_eq!(scaled[..2], [None, None], "{method:?}: of one value no spread is known");
        for row in 2..values.len() {
            let (center, spread) = defined(method, &values[..row]);
            let expected = (values[row] - center) / spread;
            assert!((scaled[row].unwrap() - expected).abs() < 1e-12, "{method:?}, row {row}: {scaled:?}");
        }
    }
}

#[test]
fn no_result_until_there_are_enough_values_and_no_learning_after_there_are() {
    let step = normalise(&["speed_kmh"], NormaliseMethod::MinMax, learning(3, Some(3), &[]));
    assert_eq!(speeds(step, &[10.0, 20.0, 30.0, 40.0, 50.0]), [None, None, None, Some(1.5), Some(2.0)]);
    for method in METHODS {
        let step = normalise(&["speed_kmh"], method, learning(2, Some(4), &[]));
        let values = [50.0, 70.0, 60.0, 40.0, 90.0, 1000.0, 55.0];
        let (center, spread) = defined(method, &values[..4]);
        let last = speeds(step, &values)[6].unwrap();
        assert!((last - (55.0 - center) / spread).abs() < 1e-12, "{method:?}: {last}");
    }
}

#[test]
fn what_was_constant_is_in_the_middle_and_what_differs_from_it_has_no_place_unless_clipped() {
    for method in METHODS {
        assert_eq!(learned(method, &[5.0, 5.0, 5.0, 7.0, 5.0])[2..4], [Some(0.0), None], "{method:?}");
        let step = || clipped(normalise(&["speed_kmh"], method, learning(2, None, &[])), 3.0);
        let greatest = if method == NormaliseMethod::MinMax { 4.0 } else { 3.0 };
        assert_eq!(speeds(step(), &[5.0, 5.0, 5.0, 7.0])[2..], [Some(0.0), Some(greatest)], "{method:?}");
        assert_eq!(speeds(step(), &[5.0, 5.0, 3.0])[2], Some(-3.0), "{method:?}");
    }
}

#[test]
fn nan_and_infinities_have_no_place_and_teach_nothing_nor_does_what_is_beyond_all_sense() {
    for method in METHODS {
        let sane = learned(method, &[50.0, 70.0, 60.0, 40.0]);
        let wild = [50.0, f64::NAN, 70.0, f64::INFINITY, 60.0, f64::NEG_INFINITY, 1e300, 40.0];
        let scaled = learned(method, &wild);
        assert_eq!([scaled[4], scaled[7]], [sane[2], sane[3]], "{method:?}");
        assert_eq!([scaled[1], scaled[3], scaled[5]], [None; 3], "{method:?}");
        assert!(scaled[6].unwrap() > 1e297, "{method:?}: it is scaled itself");
        let extremes = [1e100, -1e100, 1e100, -1e100, 1e99];
        assert!(learned(method, &extremes)[2..].iter().all(|value| value.unwrap().abs() <= 2.0), "{method:?}");
    }
    let tiny = given(NormaliseMethod::ZScore, z(0.0, 1e-300));
    assert_eq!(speeds(tiny.clone(), &[1e300, 0.0]), [None, Some(0.0)], "no number is as great as that");
    assert_eq!(speeds(clipped(tiny, 8.0), &[1e300, -1e300]), [Some(8.0), Some(-8.0)]);
}

#[test]
fn an_outlier_moves_the_quartiles_less_than_the_deviation_and_clipping_holds_it() {
    let mut values: Vec<f64> = (0..40).map(|value| f64::from(value % 10)).collect();
    values.extend([10_000.0, 9.0]);
    let of = |method| learned(method, &values)[41].unwrap();
    assert!(of(NormaliseMethod::ZScore).abs() < 0.2, "a nine looks like the mean: {}", of(NormaliseMethod::ZScore));
    assert!(of(NormaliseMethod::Robust) > 0.7, "it is far above the median: {}", of(NormaliseMethod::Robust));
    let step = clipped(normalise(&["speed_kmh"], NormaliseMethod::Robust, learning(30, None, &[])), 4.0);
    assert_eq!(speeds(step, &values)[40], Some(4.0));
}

#[test]
fn keys_have_parameters_of_their_own_and_lose_them_when_they_have_long_been_silent() {
    let step = normalise(&["speed_kmh"], NormaliseMethod::MinMax, learning(2, None, &["sensor_id"]));
    let none = Row { sensor: None, ..row("", 4, 20.0) };
    let rows = [
        row("A", 0, 10.0),
        row("B", 1, 1000.0),
        row("A", 2, 20.0),
        row("B", 3, 2000.0),
        none,
        row("A", 5, 15.0),
        row("B", 6, 1500.0),
        row("B", 7300, 1500.0),
        row("A", 7301, 15.0),
        row("B", 7302, 1500.0),
    ];
    let scaled = floats(&clean(&[step], &rows), "speed_kmh");
    assert_eq!(scaled[..7], [None, None, None, None, None, Some(0.5), Some(0.5)], "a row without a key has none");
    assert_eq!(scaled[7..], [None, None, None], "forgotten after an hour, by the row that shows it already");
}

#[test]
fn key_whose_rows_come_without_a_value_keeps_its_parameters() {
    let step = normalise(&["speed_kmh"], NormaliseMethod::MinMax, learning(2, None, &["sensor_id"]));
    let empty = |seconds| Row { speed: None, ..row("A", seconds, 0.0) };
    let mut rows = vec![row("A", 0, 10.0), row("A", 2, 20.0)];
    rows.extend((1..8).map(|half_hour| empty(1_800 * half_hour)));
    rows.push(row("A", 14_000, 15.0));
    let scaled = floats(&clean(&[step], &rows), "speed_kmh");
    assert_eq!(scaled.last(), Some(&Some(0.5)), "{scaled:?}");
}

#[test]
fn keys_beyond_the_limit_are_dead_letters() {
    let rows: Vec<Row> = (0..1001).map(|sensor| row(&format!("S{sensor}"), 1, 1.0)).collect();
    let step = normalise(&["speed_kmh"], NormaliseMethod::ZScore, learning(2, None, &["sensor_id"]));
    let refused = rejects(&clean(&[step], &rows));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((refused[0].0, refused[0].2.as_str()), (1000, "one key more than `keys.max`: normalise remembers 1000"));
}

#[test]
fn imputed_rows_are_scaled_and_teach_nothing() {
    let missing = Row { speed: None, ..row("A", 2, 0.0) };
    let rows = [row("A", 0, 10.0), row("A", 1, 20.0), missing, row("A", 3, 12.0), row("A", 4, 10.0)];
    let steps = [
        lookup(&["segment_id"], Missing::Null),
        impute(&["speed_kmh"], 60),
        normalise(&["speed_kmh"], NormaliseMethod::ZScore, learning(2, None, &[])),
    ];
    let scaled = floats(&clean(&steps, &rows), "speed_kmh");
    assert_eq!(scaled[..3], [None, None, Some(1.0)], "20 stands in, five above the mean of two");
    assert!((scaled[3].unwrap() + 0.6).abs() < 1e-12, "the mean is 15 and not 50 / 3: {scaled:?}");
}

#[test]
fn results_replace_their_columns_or_stand_beside_them_and_have_no_unit() {
    let step = |suffix: Option<&str>| {
        CleanStep::Normalise(Normalise {
            columns: names(&["count"]),
            method: NormaliseMethod::MinMax,
            learning: learning(2, None, &[]),
            clip: Some(0.0),
            suffix: suffix.map(str::to_owned),
        })
    };
    let rows: Vec<Row> = [2, 4, 3, 9]
        .iter()
        .zip(0..)
        .map(|(count, second)| Row { count: Some(*count), ..row("A", second, 1.0) })
        .collect();
    let beside = clean(&[step(Some("_scaled"))], &rows);
    assert_eq!(ints(&beside, "count"), [Some(2), Some(4), Some(3), Some(9)]);
    assert_eq!(floats(&beside, "count_scaled"), [None, None, Some(0.5), Some(1.0)], "held within 0..1");
    let replaced = clean(&[step(None)], &rows);
    assert_eq!(floats(&replaced, "count"), floats(&beside, "count_scaled"));
    let schema = replaced.rows.batch.schema();
    assert_eq!(schema.field_with_name("count").unwrap().data_type(), &DataType::Float64);
    let twice = [step(Some("_a")), step(Some("_b"))];
    let both = clean(&twice, &rows);
    let column = |name: &str| both.rows.batch.column_by_name(name).unwrap().as_primitive::<Float64Type>().clone();
    assert_eq!(column("count_a"), column("count_b"), "two steps, each with its own state");
}

#[test]
fn limits_of_the_schema_do_not_hold_for_what_was_scaled() {
    let scaled = given(NormaliseMethod::ZScore, z(14.1, 3.5));
    let limited = CleanStep::Range {
        columns: [("speed_kmh".to_owned(), Default::default())].into(),
        otherwise: Default::default(),
    };
    let refused = problems(&[scaled, limited]).join("\n");
    assert!(refused.contains("column `speed_kmh` has neither `minimum` nor `maximum`"), "{refused}");
}

#[test]
fn steps_that_cannot_scale_are_refused_with_the_place() {
    let first = |step: CleanStep| problems(&[step]).join("\n");
    let plain = |columns: &[&str]| normalise(columns, NormaliseMethod::ZScore, learning(2, None, &[]));
    assert!(first(plain(&["note"])).contains("normalise.columns[0]: column `note` is Utf8, not a number"));
    assert!(first(plain(&["sped_kmh"])).contains("did you mean `speed_kmh`?"));
    assert!(first(plain(&["count", "count"])).contains("columns[1]: column `count` is listed twice"));
    let counts = |min_count, freeze_after| {
        first(normalise(&["count"], NormaliseMethod::ZScore, learning(min_count, freeze_after, &[])))
    };
    assert!(counts(1, None).contains("min_count"), "{}", counts(1, None));
    assert!(counts(30, Some(9)).contains("freeze_after: `freeze_after` 9 is less than `min_count` 30"));
    let by = normalise(&["count"], NormaliseMethod::ZScore, learning(2, None, &["speed_kmh"]));
    assert!(first(by).contains("by[0]: column `speed_kmh` is Float64, which cannot identify a reading"));
    for clip in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = first(clipped(plain(&["count"]), clip));
        assert!(refused.contains("limits nothing; write how far"), "{refused}");
    }
    let other = first(given(NormaliseMethod::Robust, z(1.0, 1.0)));
    assert!(
        other.contains("parameters.speed_kmh: column `speed_kmh`: `robust` takes `median` and `iqr` and nothing else")
    );
    let flat = first(given(NormaliseMethod::ZScore, z(1.0, 0.0)));
    assert!(flat.contains("`deviation` is 0, which nothing can be divided by"), "{flat}");
    let none = first(normalise(&["count"], NormaliseMethod::ZScore, Learning::Frozen(BTreeMap::new())));
    assert!(none.contains("parameters: column `count` has no parameters"), "{none}");
    let more =
        first(normalise(&[], NormaliseMethod::ZScore, Learning::Frozen([("count".to_owned(), z(0.0, 1.0))].into())));
    assert!(more.contains("parameters of `count`, which is not among `columns`"), "{more}");
    let late = problems(&[plain(&["count"]), dedupe(120)]).join("\n");
    assert!(late.contains("`dedupe` stands after `normalise`"), "{late}");
    assert!(plan(&[given(NormaliseMethod::ZScore, z(1.0, 1.0)), dedupe(120)]).is_ok(), "without state it may");
}

#[test]
fn damaged_state_is_refused_and_frozen_state_is_small() {
    let input = CleanInput { keys: names(&["sensor_id"]), ..input() };
    let step = |freeze| normalise(&["speed_kmh", "count"], NormaliseMethod::Robust, learning(30, freeze, &[]));
    let state = |freeze| {
        let plan = Arc::new(CleanPlan::new(&[step(freeze)], &input, &sites()).unwrap());
        let mut cleaner = Cleaner::new(Arc::clone(&plan));
        let values: Vec<f64> = (0..5000).map(|value| f64::from(value % 977) / 7.0).collect();
        cleaner.clean(rows(&readings(&values))).unwrap();
        let mut store = MemoryState::default();
        cleaner.snapshot(Snapshot::Changed, &mut store);
        (plan, store)
    };
    let size = |store: &MemoryState| store.blocks.values().map(Vec::len).sum::<usize>();
    let ((plan, mut open), (_, frozen)) = (state(None), state(Some(1000)));
    assert!(size(&frozen) < 80 && size(&open) > 1000, "{} and {} bytes", size(&frozen), size(&open));
    let other =
        CleanPlan::new(&[normalise(&["count"], NormaliseMethod::ZScore, learning(2, None, &[]))], &input, &sites());
    let error = Cleaner::restore(Arc::new(other.unwrap()), &open).map(drop).unwrap_err().to_string();
    assert!(error.contains("clean.normalise.0") && error.contains("other columns"), "{error}");
    open.blocks.values_mut().for_each(|bytes| bytes.truncate(1));
    assert!(Cleaner::restore(plan, &open).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_row_is_scaled_by_the_definition_over_the_rows_before(
        values in prop::collection::vec(-1e6_f64..1e6, 3..30),
        method in prop::sample::select(METHODS.to_vec()),
    ) {
        let scaled = learned(method, &values);
        for row in 2..values.len() {
            let (center, spread) = defined(method, &values[..row]);
            prop_assume!(spread > 0.0);
            let expected = (values[row] - center) / spread;
            let tolerance = 1e-9 * (1.0 + expected.abs());
            prop_assert!((scaled[row].unwrap() - expected).abs() <= tolerance, "{:?} {}: {:?}", method, row, scaled[row]);
        }
    }
}

const PIPELINE: &str = r#"
version: 1
pipeline: scaled
sources:
  loops:
    file: { path: t.csv }
    decode: { format: csv, schema: traffic-observation.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
clean:
  - normalise: { columns: [speed_kmh], method: z_score, parameters_file: scale.json, suffix: _z }
  - normalise: { columns: [speed_kmh], method: robust, by: [sensor_id], freeze_after: 100, clip: 5 }
window: { size: 5m, key: [sensor_id], columns: { robust: avg(speed_kmh), z: avg(speed_kmh_z) } }
features:
  - lags: { column: z, count: 1 }
alerts:
  odd: { measure: robust, when: "> 4", summary: "odd at {sensor_id}" }
delivery: at_least_once
"#;

/// A verb over the pipeline in a folder of its own, with this file of parameters.
fn arterial(verb: &[&str], pipeline: &str, parameters: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    write(&path, pipeline);
    write(&folder.path().join("t.csv"), "sensor_id,observed_at,speed_kmh\nA,2026-03-02T08:00:00Z,70\n");
    write(&folder.path().join("scale.json"), parameters);
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_arterial")).args(verb).arg(&path).output().unwrap();
    (ran.status.success(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

#[test]
fn parameters_of_a_file_scale_as_those_in_the_pipeline_do() {
    let parameters = r#"{ "speed_kmh": { "mean": 50, "deviation": 10 } }"#;
    let tested = format!(
        "{PIPELINE}tests:\n  - name: scaled\n    given: {{ rows: [{{ sensor_id: A, observed_at: \"2026-03-02T08:00:00Z\", \
         speed_kmh: 70 }}] }}\n    expect: {{ clean: [{{ speed_kmh_z: 2.0, speed_kmh: null }}] }}\n"
    );
    let (passed, said) = arterial(&["test"], &tested, parameters);
    assert!(passed, "{said}");
    let (valid, said) = arterial(&["validate"], PIPELINE, r#"{ "speed_kmh": { "mean": 50 } }"#);
    assert!(!valid && said.contains("`z_score` takes `mean` and `deviation` and nothing else"), "{said}");
    let (valid, said) = arterial(&["validate"], PIPELINE, r#"{ "speed_kmh": { "middle": 50 } }"#);
    assert!(!valid && said.contains("holds no parameters: unknown field `middle`"), "{said}");
    let absent = PIPELINE.replace("scale.json", "absent.json");
    let (valid, said) = arterial(&["validate"], &absent, parameters);
    assert!(
        !valid && said.contains("absent.json") && said.contains("paths start where the pipeline file stands"),
        "{said}"
    );
    let both = PIPELINE.replace("suffix: _z", "suffix: _z, min_count: 9, parameters: {}");
    let (valid, said) = arterial(&["validate"], &both, parameters);
    assert!(!valid && said.contains("`parameters` are given already"), "{said}");
    assert!(said.contains("`min_count` is for parameters that are learned, and these are given"), "{said}");
}

#[test]
fn explain_tells_the_unit_and_whose_the_state_is_and_windows_are_made_from_it() {
    let (valid, said) =
        arterial(&["explain", "--format", "json"], PIPELINE, r#"{ "speed_kmh": { "mean": 50, "deviation": 10 } }"#);
    assert!(valid, "{said}");
    let outline: serde_json::Value = serde_json::from_str(&said).unwrap();
    let stages = outline["stages"].as_array().unwrap();
    let stage = |name: &str| stages.iter().find(|stage| stage["stage"] == name).unwrap();
    let columns = stage("clean")["columns"].as_array().unwrap();
    for name in ["speed_kmh", "speed_kmh_z"] {
        let column = columns.iter().find(|column| column["name"] == name).unwrap();
        assert_eq!(column["unit"], "1", "{column}");
    }
    let state = &stage("clean")["states"][0];
    assert_eq!((state["step"].as_str(), state["scope"].as_str()), (Some("clean.normalise.0"), Some("partition")));
    assert_eq!(state["key"], serde_json::json!(["sensor_id"]));
    let made_from = stage("window")["states"][0]["made_from"].to_string();
    assert!(made_from.contains("clean.normalise.0"), "a reset of scales resets windows: {made_from}");
}

#[test]
fn other_counts_go_on_with_what_was_learned_and_another_method_does_not() {
    let made_with = |step: CleanStep| plan(&[step]).unwrap().stateful_steps().next().unwrap().clone();
    let of = |method, learning| made_with(normalise(&["speed_kmh"], method, learning));
    let first = of(NormaliseMethod::ZScore, learning(30, None, &[]));
    let counts = of(NormaliseMethod::ZScore, learning(40, Some(900), &[]));
    assert!(first.meaning == counts.meaning && first.settings != counts.settings);
    assert_ne!(first.meaning, of(NormaliseMethod::Robust, learning(30, None, &[])).meaning);
    assert_ne!(first.meaning, of(NormaliseMethod::ZScore, learning(30, None, &["sensor_id"])).meaning);
    let clipped = made_with(clipped(normalise(&["speed_kmh"], NormaliseMethod::ZScore, learning(30, None, &[])), 5.0));
    assert_eq!(first, clipped, "what is learned is the same");
}
