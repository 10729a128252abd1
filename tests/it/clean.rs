//! Cleaning steps other than SQL: every policy, the fate of every row, tables, and what a plan refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arterial::stages::clean::{
    Cell, CleanInput, CleanPlan, CleanStep, Cleaner, Limits, Missing, Otherwise, Table, TableError,
};
use arterial::stages::rows::Reason;

use crate::clean_support::*;

#[test]
fn null_if_makes_only_the_values_under_a_true_condition_null() {
    let mut input = [row("A", 0, -99.0), row("A", 60, 50.0), row("A", 120, 1.0)];
    input[2].speed = None;
    let cleaned = clean(&[null_if("speed_kmh", "speed_kmh < 0 OR speed_kmh > 250")], &input);
    assert_eq!(floats(&cleaned, "speed_kmh"), [None, Some(50.0), None]);
    assert_eq!(cleaned.rows.origin, [0, 1, 2]);
}

#[test]
fn conditions_of_one_null_if_all_see_the_row_as_it_came() {
    let conditions = BTreeMap::from([
        ("count".to_owned(), "speed_kmh < 0".to_owned()),
        ("speed_kmh".to_owned(), "count = 1".to_owned()),
    ]);
    let cleaned = clean(&[CleanStep::NullIf(conditions)], &[row("A", 0, -1.0)]);
    assert_eq!((floats(&cleaned, "speed_kmh"), ints(&cleaned, "count")), (vec![None], vec![None]));
}

#[test]
fn null_if_condition_that_fails_sends_its_row_alone_to_the_dead_letters() {
    let mut input = vec![row("A", 0, 1.0), row("A", 60, 2.0), row("A", 120, 3.0)];
    input[1].note = Some("x7".to_owned());
    let cleaned = clean(&[null_if("count", "CAST(note AS BIGINT) = 7")], &input);
    assert_eq!(cleaned.rows.origin, [0, 2]);
    assert_eq!(ints(&cleaned, "count"), [None, None]);
    let [(origin, reason, detail)] = rejects(&cleaned).try_into().unwrap();
    assert_eq!((origin, reason), (1, Reason::SqlFailed));
    assert!(detail.contains("note = x7"), "{detail}");
}

#[test]
fn range_nulls_clamps_drops_or_dead_letters_what_lies_outside_and_leaves_null_alone() {
    let mut input = [row("A", 0, -5.0), row("A", 60, 250.0), row("A", 120, 300.0), row("A", 180, 0.0)];
    input[3].speed = None;
    let run = |otherwise| clean(&[range("speed_kmh", Limits::default(), otherwise)], &input);

    let nulled = run(Otherwise::Null);
    assert_eq!(floats(&nulled, "speed_kmh"), [None, Some(250.0), None, None]);
    let clamped = run(Otherwise::Clamp);
    assert_eq!(floats(&clamped, "speed_kmh"), [Some(0.0), Some(250.0), Some(250.0), None]);
    let dropped = run(Otherwise::Drop);
    assert_eq!((&dropped.rows.origin, &dropped.filtered), (&vec![1, 3], &vec![0, 2]));
    assert_eq!(dropped.rows.times, [60 * SECOND, 180 * SECOND]);
    let dead = run(Otherwise::DeadLetter);
    assert_eq!(dead.rows.origin, [1, 3]);
    let detail = |value| format!("speed_kmh = {value} is outside 0..250");
    assert_eq!(rejects(&dead), [(0, Reason::OutOfRange, detail("-5.0")), (2, Reason::OutOfRange, detail("300.0"))]);
}

#[test]
fn range_of_whole_numbers_clamps_to_whole_limits_and_own_limits_come_before_the_schemas() {
    let mut input = [row("A", 0, 90.0), row("A", 60, 10.0)];
    input[0].count = Some(9);
    input[1].count = Some(-9);
    let limits = Limits { minimum: Some(-2.5), maximum: Some(3.9) };
    let speeds = Limits { minimum: Some(20.0), maximum: None };
    let steps = [range("count", limits, Otherwise::Clamp), range("speed_kmh", speeds, Otherwise::Clamp)];
    let cleaned = clean(&steps, &input);
    assert_eq!(ints(&cleaned, "count"), [Some(3), Some(-2)]);
    assert_eq!(floats(&cleaned, "speed_kmh"), [Some(90.0), Some(20.0)]);
}

#[test]
fn nan_lies_in_no_range_and_has_no_nearest_limit() {
    let cleaned = clean(&[range("speed_kmh", Limits::default(), Otherwise::Clamp)], &[row("A", 0, f64::NAN)]);
    assert_eq!(floats(&cleaned, "speed_kmh"), [None]);
}

#[test]
fn row_out_of_range_in_two_columns_is_filtered_once() {
    let limits = BTreeMap::from([
        ("count".to_owned(), Limits { minimum: Some(5.0), maximum: None }),
        ("speed_kmh".to_owned(), Limits::default()),
    ]);
    let step = CleanStep::Range { columns: limits, otherwise: Otherwise::Drop };
    assert_eq!(clean(&[step], &[row("A", 0, -1.0)]).filtered, [0]);
}

#[test]
fn dedupe_keeps_the_first_reading_of_a_key_across_batches() {
    let mut cleaner = Cleaner::new(Arc::new(plan(&[dedupe(600)]).unwrap()));
    let first = cleaner.clean(rows(&[row("A", 0, 1.0), row("B", 0, 2.0), row("A", 0, 3.0)])).unwrap();
    assert_eq!((first.rows.origin.clone(), first.duplicates.clone()), (vec![0, 1], vec![2]));
    assert_eq!(floats(&first, "speed_kmh"), [Some(1.0), Some(2.0)]);
    let second = cleaner.clean(rows(&[row("A", 60, 1.0), row("B", 0, 9.0), row("A", 30, 1.0)])).unwrap();
    assert_eq!((second.rows.origin, second.duplicates), (vec![0, 2], vec![1]));
}

#[test]
fn dedupe_forgets_what_lies_further_back_than_within() {
    let at = |seconds| row("A", seconds, 1.0);
    let cleaned = clean(&[dedupe(600)], &[at(0), at(600), at(0), at(601), at(0), at(1)]);
    // 0 is remembered while the newest is 600, and forgotten once it is 601; 1 is seen for the first time.
    assert_eq!(cleaned.duplicates, [2]);
}

#[test]
fn row_with_a_null_in_its_dedupe_key_is_no_duplicate() {
    let mut unknown = row("A", 0, 1.0);
    unknown.sensor = None;
    assert_eq!(clean(&[dedupe(600)], &[unknown.clone(), unknown]).rows.origin, [0, 1]);
}

#[test]
fn dedupe_tells_apart_keys_of_several_columns_of_any_identifying_type() {
    let step = CleanStep::Dedupe { key: names(&["sensor_id", "observed_at", "count", "note"]), within_micros: SECOND };
    let mut input = vec![row("A", 0, 1.0), row("A", 0, 1.0), row("A", 0, 1.0), row("A", 0, 1.0)];
    input[1].count = Some(2);
    input[2].note = Some(String::new());
    assert_eq!(clean(&[step], &input).duplicates, [3]);
}

#[test]
fn duplicate_comes_before_every_other_fate() {
    let mut bad = row("A", 0, 1.0);
    bad.note = Some("x".to_owned());
    let later = Row { time: 60 * SECOND, ..bad.clone() };
    let steps = [null_if("count", "CAST(note AS BIGINT) = 7"), dedupe(600), sql("SELECT * FROM rows WHERE false")];
    let cleaned = clean(&steps, &[row("A", 0, 1.0), bad, row("A", 60, 1.0), later]);
    assert_eq!(cleaned.duplicates, [1, 3]);
    assert_eq!((cleaned.filtered, cleaned.rejected.len()), (vec![0, 2], 0));
}

#[test]
fn lookup_adds_typed_columns_of_the_one_match() {
    let cleaned = clean(
        &[lookup(&["segment_id", "free_flow_kmh", "lanes", "closed", "label"], Missing::Null)],
        &[row("B", 0, 1.0), row("A", 0, 1.0), row("Z", 0, 1.0)],
    );
    assert_eq!(texts(&cleaned, "segment_id"), [Some("S2".to_owned()), Some("S1".to_owned()), None]);
    assert_eq!(floats(&cleaned, "free_flow_kmh"), [None, Some(110.5), None]);
    assert_eq!(ints(&cleaned, "lanes"), [Some(3), Some(2), None]);
    let closed = cleaned.rows.batch.column_by_name("closed").unwrap().as_boolean().clone();
    assert_eq!(closed.iter().collect::<Vec<_>>(), [Some(false), Some(true), None]);
    // Leading zeros make an identifier, not a number.
    assert_eq!(texts(&cleaned, "label")[0], Some("02".to_owned()));
}

#[test]
fn row_without_a_match_is_dropped_or_dead_lettered_as_declared() {
    let mut input = vec![row("A", 0, 1.0), row("Z", 0, 1.0), row("B", 0, 1.0)];
    input[2].sensor = None;
    let dropped = clean(&[lookup(&["lanes"], Missing::Drop)], &input);
    assert_eq!((dropped.rows.origin, dropped.filtered), (vec![0], vec![1, 2]));
    let dead = clean(&[lookup(&["lanes"], Missing::DeadLetter)], &input);
    assert_eq!(
        rejects(&dead),
        [
            (1, Reason::LookupMissing, "sensor_id = `Z` is not in table `sites`".to_owned()),
            (2, Reason::LookupMissing, "sensor_id = null is not in table `sites`".to_owned()),
        ]
    );
}

#[test]
fn lookup_on_a_whole_number_matches_the_tables_keys_as_numbers() {
    let cells = |key: i64, name: &str| {
        BTreeMap::from([("id".to_owned(), Cell::Int(key)), ("name".to_owned(), Cell::Text(name.to_owned()))])
    };
    let table = Table::from_rows("kinds", &[cells(1, "car"), cells(2, "bus")], "id").unwrap();
    let tables = BTreeMap::from([("kinds".to_owned(), Arc::new(table))]);
    let columns = names(&["name"]);
    let step = CleanStep::Lookup { table: "kinds".into(), on: "count".into(), columns, missing: Missing::Null };
    let plan = CleanPlan::new(&[step], &input(), &tables).unwrap();
    let second = Row { count: Some(2), ..row("A", 0, 1.0) };
    let cleaned = Cleaner::new(Arc::new(plan)).clean(rows(&[row("A", 0, 1.0), second])).unwrap();
    assert_eq!(texts(&cleaned, "name"), [Some("car".to_owned()), Some("bus".to_owned())]);
}

#[test]
fn table_refuses_repeated_missing_and_absent_keys_and_ragged_lines() {
    let read = |text: &str| Table::from_csv("t", text.as_bytes(), "id").unwrap_err();
    assert_eq!(read("id,x\na,1\na,2\n"), TableError::RepeatedKey { row: 2, key: "a".into() });
    assert_eq!(read("id,x\n,1\n"), TableError::NullKey { row: 1, key: "id".into() });
    assert_eq!(read("ID,x\na,1\n"), TableError::NoKeyColumn { key: "id".into(), columns: "ID, x".into() });
    assert_eq!(read("id,x,x\na,1,2\n"), TableError::RepeatedColumn { name: "x".into() });
    assert!(matches!(read("id,x\na\n"), TableError::Csv { line: 2, .. }));
}

#[test]
fn tables_hash_depends_on_every_cell_and_on_nothing_else() {
    let hash = |text: &str| Table::from_csv("t", text.as_bytes(), "id").unwrap().hash().to_owned();
    assert_eq!(hash("id,x\na,1\n"), hash("x, id\n1,a\n"));
    assert_ne!(hash("id,x\na,1\n"), hash("id,x\na,2\n"));
    assert_ne!(hash("id,x\na,\n"), hash("id,x\na,0\n"));
    assert_ne!(hash("id,x,y\na,bc,d\n"), hash("id,x,y\na,b,cd\n"));
}

#[test]
fn batch_of_no_rows_passes() {
    let text = "SELECT *, 1 / count AS x FROM rows WHERE count > 0";
    let cleaned = clean(&[dedupe(60), lookup(&["lanes"], Missing::Drop), sql(text)], &[]);
    assert_eq!((cleaned.rows.batch.num_rows(), cleaned.rows.batch.num_columns()), (0, 7));
}

#[test]
fn batch_of_other_columns_is_an_error_of_the_engine() {
    let mut cleaner = Cleaner::new(Arc::new(plan(&[]).unwrap()));
    let mut wrong = rows(&[row("A", 0, 1.0)]);
    wrong.batch = wrong.batch.project(&[0, 1]).unwrap();
    let error = cleaner.clean(wrong).unwrap_err().to_string();
    assert!(error.contains("sensor_id Utf8"), "{error}");
}

#[test]
fn every_problem_of_every_step_is_reported_at_once_with_its_place() {
    let steps = [
        null_if("sped_kmh", "cont > 1"),
        null_if("observed_at", "count = 1"),
        range("note", Limits::default(), Otherwise::Null),
        range("count", Limits::default(), Otherwise::Null),
        range("count", Limits { minimum: Some(0.2), maximum: Some(0.8) }, Otherwise::Null),
        CleanStep::Dedupe { key: names(&["sensor_id", "speed_kmh", "sensor_id"]), within_micros: 0 },
        lookup(&["lane", "sensor_id"], Missing::DeadLetter),
    ];
    assert_eq!(
        problems(&steps),
        [
            "clean[0].null_if.sped_kmh: unknown column `sped_kmh`; did you mean `speed_kmh`?",
            "clean[0].null_if.sped_kmh: line 1, column 1: unknown column `cont`; did you mean `count`?",
            "clean[1].null_if.observed_at: column `observed_at` is the source's `event_time.column` and must stay as it \
             came; drop such rows instead: `- sql: SELECT * FROM rows WHERE ...`",
            "clean[2].range.columns.note: column `note` is Utf8, not a number",
            "clean[3].range.columns.count: column `count` has neither `minimum` nor `maximum`",
            "clean[4].range.columns.count: column `count`: no Int64 lies between 0.2 and 0.8",
            "clean[5].dedupe.key: dedupe key lacks `observed_at`",
            "clean[5].dedupe.within: 0 us is no time to remember readings for",
            "clean[5].dedupe.key[1]: column `speed_kmh` is Float64, which cannot identify a reading",
            "clean[5].dedupe.key[2]: column `sensor_id` is listed twice",
            "clean[6].lookup.columns[0]: table `sites` has no column `lane`; did you mean `lanes`?",
            "clean[6].lookup.columns[1]: column `sensor_id` exists already",
        ]
    );
}

#[test]
fn no_step_may_alter_the_column_that_partitions_or_the_event_time() {
    let limits = Limits { minimum: Some(0.0), maximum: Some(9.0) };
    // Partitioned by a number, which `clamp` could make another sensor's.
    let refused = |steps: &[CleanStep]| {
        let input = CleanInput { partitioned_by: "count".to_owned(), ..input() };
        match CleanPlan::new(steps, &input, &sites()) {
            Ok(_) => Vec::new(),
            Err(refused) => refused.errors.iter().map(|at| format!("{at}; {}", at.hint.as_deref().unwrap())).collect(),
        }
    };
    let fixed =
        |column: &str, role: &str| format!("column `{column}` is the source's `{role}` and must stay as it came");
    let partitioned = fixed("count", "partitioned_by");
    let otherwise = "write `otherwise: drop` or `otherwise: dead_letter`";
    for altering in [Otherwise::Clamp, Otherwise::Null] {
        let found = refused(&[range("count", limits, altering)]);
        assert_eq!(found, [format!("clean[0].range.columns.count: {partitioned}; {otherwise}")]);
        let found = refused(&[range("observed_at", limits, altering)]);
        let timed = fixed("observed_at", "event_time.column");
        assert_eq!(found, [format!("clean[0].range.columns.observed_at: {timed}; {otherwise}")]);
    }
    for removing in [Otherwise::Drop, Otherwise::DeadLetter] {
        assert_eq!(refused(&[range("count", limits, removing)]), Vec::<String>::new());
    }
    let hint = "drop such rows instead: `- sql: SELECT * FROM rows WHERE ...`";
    let found = refused(&[null_if("count", "count > 9")]);
    assert_eq!(found, [format!("clean[0].null_if.count: {partitioned}; {hint}")]);
    let (hint, changed) = ("give the computed value another name", "column `count` must be selected unchanged");
    for (text, column) in [
        ("SELECT * REPLACE (least(count, 9) AS count) FROM rows", 38),
        ("SELECT * EXCLUDE (count), length(note) AS count FROM rows", 27),
        ("SELECT sensor_id AS count, observed_at FROM rows", 8),
    ] {
        let found = refused(&[sql(text)]);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let wanted = format!("clean[0].sql: line 1, column {column}: {changed}; {hint}");
        assert_eq!(found, [wanted], "{text}");
    }
}

#[test]
fn dedupe_after_a_step_that_removes_rows_is_refused() {
    let found = problems(&[lookup(&["lanes"], Missing::Drop), dedupe(60)]);
    assert_eq!(found, ["clean[1].dedupe: `dedupe` stands after `lookup`, which removes rows"]);
}

#[test]
fn unknown_table_is_refused_with_the_one_that_was_meant() {
    let step = CleanStep::Lookup { table: "site".into(), on: "x".into(), columns: vec![], missing: Missing::Null };
    let unknown = [
        "clean[0].lookup.on: unknown column `x`",
        "clean[0].lookup.table: unknown table `site`; did you mean `sites`?",
    ];
    assert_eq!(problems(&[step]), unknown);
}

#[test]
fn output_schema_is_known_in_spite_of_problems_that_do_not_touch_it() {
    let refused = plan(&[dedupe(0), sql("SELECT *, 1 AS one FROM rows")]).unwrap_err();
    assert!(refused.schema.unwrap().index_of("one").is_ok());
    assert!(plan(&[sql("SELECT")]).unwrap_err().schema.is_none());
}
