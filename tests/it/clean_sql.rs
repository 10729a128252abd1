//! The `sql` step: projection and filter, rows that fail alone, every refusal with its place, and hostile text.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::DataType;
use arterial::stages::clean::{Cleaner, Missing};
use arterial::stages::rows::Reason;

use crate::clean_support::*;

#[test]
fn sql_projects_and_filters_and_null_conditions_filter() {
    let mut input = vec![row("A", 0, 55.0), row("B", 60, 10.0), row("C", 120, 1.0)];
    input[2].speed = None;
    let text = "SELECT *, least(speed_kmh / 110, 1.2) AS ratio, count + 1 AS next FROM rows WHERE speed_kmh > 20";
    let cleaned = clean(&[sql(text)], &input);
    assert_eq!((cleaned.rows.origin.clone(), cleaned.filtered.clone()), (vec![0], vec![1, 2]));
    assert_eq!((floats(&cleaned, "ratio"), ints(&cleaned, "next")), (vec![Some(0.5)], vec![Some(2)]));
    assert_eq!(cleaned.rows.times, [0]);
}

#[test]
fn sql_wildcard_may_leave_out_and_replace_columns() {
    let text = "SELECT * EXCLUDE (note) REPLACE (speed_kmh * 2 AS speed_kmh) FROM rows";
    let plan = plan(&[sql(text)]).unwrap();
    let names: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["sensor_id", "observed_at", "speed_kmh", "count"]);
    let cleaned = Cleaner::new(Arc::new(plan)).clean(rows(&[row("A", 0, 4.0)])).unwrap();
    assert_eq!(floats(&cleaned, "speed_kmh"), [Some(8.0)]);
}

#[test]
fn computed_columns_are_wide_numbers_and_plain_text() {
    let text = "SELECT sensor_id, observed_at, CAST(count AS SMALLINT) AS a, CAST(speed_kmh AS REAL) AS b,
                upper(note) AS c, speed_kmh > 1 AS d, date_part('hour', observed_at) AS e FROM rows";
    let plan = plan(&[sql(text)]).unwrap();
    let types: Vec<&DataType> = plan.schema().fields().iter().skip(2).map(|field| field.data_type()).collect();
    assert_eq!(types, [&DataType::Int64, &DataType::Float64, &DataType::Utf8, &DataType::Boolean, &DataType::Int64]);
}

#[test]
fn cast_division_overflow_and_infinity_fail_their_row_alone() {
    let good = row("A", 0, 10.0);
    let cases = [
        ("CAST(note AS BIGINT)", Row { note: Some("x".into()), ..good.clone() }, "note = x"),
        ("10 / count", Row { count: Some(0), ..good.clone() }, "count = 0"),
        ("count / speed_kmh", Row { speed: Some(0.0), ..good.clone() }, "speed_kmh = 0.0"),
        ("least(1 / speed_kmh, 1.2)", Row { speed: Some(0.0), ..good.clone() }, "speed_kmh = 0.0"),
        ("count * 4000000000", Row { count: Some(4_000_000_000), ..good.clone() }, "count = 4000000000"),
        ("exp(speed_kmh)", Row { speed: Some(1000.0), ..good.clone() }, "result is inf"),
        ("sqrt(speed_kmh)", Row { speed: Some(-1.0), ..good.clone() }, "square root of a negative number"),
        ("CAST(speed_kmh AS BIGINT)", Row { speed: Some(1e300), ..good.clone() }, "speed_kmh = 1e300"),
    ];
    for (expression, bad, wanted) in cases {
        for position in 0..5 {
            let mut input = vec![good.clone(); 5];
            input[position] = bad.clone();
            let cleaned = clean(&[sql(&format!("SELECT *, {expression} AS x FROM rows"))], &input);
            let [(origin, reason, detail)] = rejects(&cleaned).try_into().unwrap();
            assert_eq!((origin as usize, reason), (position, Reason::SqlFailed), "{expression}");
            assert!(detail.contains(wanted), "{expression}: {detail}");
            assert_eq!(cleaned.rows.origin.len(), 4, "{expression}");
            assert_eq!(cleaned.rows.batch.column_by_name("x").unwrap().null_count(), 0, "{expression}");
        }
    }
}

#[test]
fn where_that_fails_is_a_dead_letter_and_where_that_is_false_is_filtered_before_the_projection_can_fail() {
    let mut input = vec![row("A", 0, 1.0), row("A", 60, 1.0), row("A", 120, 1.0)];
    input[0].note = Some("x".into());
    input[1].count = Some(0);
    let text = "SELECT *, 1 / count AS x FROM rows WHERE CAST(note AS BIGINT) = 7 AND count > 0";
    let cleaned = clean(&[sql(text)], &input);
    assert_eq!(rejects(&cleaned).len(), 1);
    assert_eq!((cleaned.rejected[0].origin, cleaned.filtered, cleaned.rows.origin), (0, vec![1], vec![2]));
}

#[test]
fn guarded_division_does_not_fail_whatever_rows_share_the_batch() {
    let mut input = vec![row("A", 0, 1.0), row("A", 60, 1.0), row("A", 120, 1.0)];
    input[1].count = Some(0);
    let text = "SELECT *, CASE WHEN count <> 0 THEN 10 / count END AS x FROM rows WHERE count = 0 OR 10 / count = 10";
    let cleaned = clean(&[sql(text)], &input);
    assert_eq!(ints(&cleaned, "x"), [Some(10), None, Some(10)]);
}

/// Texts whose shape is not `SELECT ... FROM rows [WHERE ...]`.
const SHAPES: [(&str, &str); 36] = [
    ("SELECT * FROM rows ORDER BY count", "line 1, column 20: ORDER BY is not allowed"),
    ("SELECT * FROM rows\n  LIMIT 5", "line 2, column 3: LIMIT is not allowed"),
    ("SELECT * FROM rows OFFSET 5", "line 1, column 20: OFFSET is not allowed"),
    ("SELECT DISTINCT * FROM rows", "line 1, column 8: DISTINCT is not allowed"),
    ("SELECT count FROM rows GROUP BY count", "line 1, column 24: GROUP BY is not allowed"),
    ("SELECT * FROM rows HAVING count > 1", "line 1, column 20: HAVING is not allowed"),
    ("SELECT * FROM rows WHERE count > 1 ORDER BY count", "line 1, column 36: ORDER BY is not allowed"),
    ("SELECT * FROM rows WHERE count > 1 LIMIT 1", "line 1, column 36: LIMIT is not allowed"),
    ("SELECT * FROM rows WHERE true WINDOW w AS (ORDER BY count)", "line 1, column 31: WINDOW is not allowed"),
    ("SELECT * FROM rows WHERE true UNION SELECT 1 FROM rows", "line 1, column 37: `SELECT"),
    ("SELECT * FROM rows WHERE true FOR UPDATE", "is not one SELECT"),
    ("WITH a AS (SELECT 1) SELECT * FROM rows", "line 1, column 1: WITH is not allowed"),
    ("SELECT * INTO x FROM rows", "line 1, column 10: INTO is not allowed"),
    ("SELECT * FROM rows QUALIFY count > 1", "line 1, column 20: QUALIFY is not allowed"),
    ("SELECT * FROM rows JOIN rows b ON true", "line 1, column 20: JOIN is not allowed; read from `rows`"),
    ("SELECT * FROM rows, rows", "line 1, column 19: a second table is not allowed; read from `rows`"),
    ("SELECT 1 AS x", "is not one SELECT"),
    ("SELECT * FROM other", "line 1, column 15: unknown table `other`"),
    ("SELECT * FROM '/etc/passwd'", "line 1, column 15: unknown table"),
    ("SELECT * FROM rows AS r", "line 1, column 20: `SELECT * FROM rows AS r` is not one SELECT; write one"),
    ("SELECT * FROM rows TABLESAMPLE (10 PERCENT)", "is not one SELECT"),
    ("SELECT * FROM (SELECT * FROM rows)", "line 1, column 15: a subquery is not allowed; join with a `lookup`"),
    ("SELECT *, (SELECT 1) AS x FROM rows", "line 1, column 12: a subquery is not allowed; join with a `lookup`"),
    ("SELECT * FROM rows WHERE count IN (SELECT 1)", "line 1, column 36: a subquery is not allowed"),
    ("SELECT * FROM rows WHERE EXISTS (SELECT 1)", "line 1, column 34: a subquery is not allowed"),
    ("SELECT * FROM rows UNION SELECT * FROM rows", "line 1, column 20: UNION is not allowed"),
    ("SELECT * FROM rows; SELECT * FROM rows", "line 1, column 21: `SELECT * FROM rows; SELECT * FROM rows` is not"),
    ("VALUES (1)", "is not one SELECT"),
    ("INSERT INTO rows VALUES (1)", "is not one SELECT"),
    ("DROP TABLE rows", "`DROP TABLE rows` is not one SELECT"),
    ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x'", "is not one SELECT"),
    ("COPY rows TO 'x'", "is not one SELECT"),
    ("SET a = 1", "is not one SELECT"),
    ("EXPLAIN SELECT * FROM rows", "is not one SELECT"),
    ("-- nothing", "is not one SELECT"),
    ("", "is not one SELECT"),
];

/// Texts of the right shape with an expression, a name or a type that is not.
const EXPRESSIONS: [(&str, &str); 38] = [
    ("SELECT *, avg(count) AS x FROM rows", "line 1, column 11: `avg` is a function over several rows; aggregates"),
    ("SELECT *, row_number() OVER () AS x FROM rows", "line 1, column 11: `row_number` is a function over several"),
    ("SELECT *, upper(note) OVER () AS x FROM rows", "line 1, column 11: `upper` is a function over several"),
    ("SELECT *, now() AS x FROM rows", "line 1, column 11: `now` does not give the same result on every replay"),
    ("SELECT *, random() AS x FROM rows", "`random` does not give the same result"),
    ("SELECT *, uuid() AS x FROM rows", "`uuid` does not give the same result"),
    ("SELECT *, version() AS x FROM rows", "`version` does not give the same result"),
    ("SELECT *, current_date AS x FROM rows", "`current_date` does not give the same result"),
    ("SELECT *, current_timestamp AS x FROM rows", "`current_timestamp` does not give the same result"),
    ("SELECT *, repeat(note, 1000000000) AS x FROM rows", "`repeat` may give results of any size"),
    ("SELECT *, lpad(note, 2000000000) AS x FROM rows", "`lpad` may give results of any size"),
    ("SELECT *, generate_series(1, 2) AS x FROM rows", "unknown function `generate_series`"),
    ("SELECT *, uper(note) AS x FROM rows", "line 1, column 11: unknown function `uper`; did you mean `upper`?"),
    ("SELECT *,\n  sped_kmh + 1 AS x FROM rows", "line 2, column 3: unknown column `sped_kmh`; did you mean `speed_"),
    ("SELECT *, SPEED_KMH AS x FROM rows", "unknown column `SPEED_KMH`; did you mean `speed_kmh`?"),
    ("SELECT *, rows.coun AS x FROM rows", "line 1, column 16: unknown column `coun`; did you mean `count`?"),
    ("SELECT *, other.count AS x FROM rows", "line 1, column 11: unknown column `other.count`"),
    ("SELECT * EXCLUDE (nope) FROM rows", "line 1, column 19: unknown column `nope`; did you mean `note`?"),
    ("SELECT *, count + 1 FROM rows", "line 1, column 11: computed column `count + 1` has no name; name it"),
    ("SELECT *, 1 AS count FROM rows", "column `count` is selected twice"),
    ("SELECT *, $1 AS x FROM rows", "`$1` is not a scalar expression"),
    ("SELECT *, @@version AS x FROM rows", "unknown column `@@version`"),
    ("SELECT *, [1, 2] AS x FROM rows", "is not a scalar expression"),
    ("SELECT *, struct(1) AS x FROM rows", "line 1, column 11: `struct` is not a scalar expression"),
    ("SELECT *, CAST(count AS ARRAY<INT>) AS x FROM rows", "line 1, column 25: `ARRAY` is not a scalar"),
    ("SELECT *, named_struct('a', 1) AS x FROM rows", "not a number, text, condition or time"),
    ("SELECT *, NULL AS x FROM rows", "not a number, text, condition or time"),
    ("SELECT * FROM rows WHERE count + 1", "line 1, column 26: the result is Int64, not a condition"),
    ("SELECT *, substr(count, note) AS x FROM rows", "line 1, column 18: No function matches the given name and arg"),
    ("SELECT *, count AND note AS x FROM rows", "line 1, column 11"),
    ("SELECT *, CAST('x' AS BIGINT) AS x FROM rows", "line 1, column"),
    ("SELECT * FROM rows WHERE", "line 1, column"),
    ("SELECT * FROM rows WHERE note = 'open", "line 1, column 33"),
    ("SELECT sensor_id FROM rows", "column `observed_at` is not selected, but a later stage reads it; select `obs"),
    ("SELECT observed_at, count FROM rows", "column `sensor_id` is not selected"),
    ("SELECT observed_at, note AS sensor_id FROM rows", "line 1, column 21: column `sensor_id` must be selected unch"),
    ("SELECT * REPLACE (observed_at + INTERVAL '1 hour' AS observed_at) FROM rows", "`observed_at` must be selected u"),
    ("SELECT *, 'a' || repeat(note, 3) AS x FROM rows", "`repeat` may give results of any size"),
];

#[test]
fn sql_refusals_name_the_place_and_what_to_do() {
    let mut wrong = Vec::new();
    for (text, wanted) in SHAPES.iter().chain(&EXPRESSIONS) {
        let [problem] = problems(&[sql(text)]).try_into().unwrap();
        if !problem.starts_with("clean[0].sql: line ") || !problem.contains(wanted) {
            wrong.push(format!("{text}: {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn key_that_a_lookup_added_must_pass_a_later_sql_step() {
    let steps = [lookup(&["segment_id"], Missing::Null), sql("SELECT sensor_id, observed_at FROM rows")];
    assert!(problems(&steps)[0].starts_with("clean[1].sql: line 1, column 1: column `segment_id` is not selected"));
}

/// Expressions that would exhaust a stack or the memory, and a part of what is said about them.
fn hostile_expressions() -> Vec<(String, &'static str)> {
    let chain = |terms: usize| vec!["count"; terms].join(" + ");
    let around = |open: &str, inside: &str, close: &str, depth: usize| {
        format!("{}{inside}{}", open.repeat(depth), close.repeat(depth))
    };
    vec![
        (chain(10_000), "exceed the limit of"),
        (chain(900), "nests deeper than 128"),
        (around("(", "count", ")", 900), "nests deeper than"),
        (around("(", "count", ")", 60), "nests deeper than"),
        (around("NOT ", "count", "", 900), "line 1"),
        (around("- ", "count", "", 900), "nests deeper than"),
        (around("abs(", "1", ")", 300), "nests deeper than"),
        (around("CASE WHEN count = 1 THEN ", "1", " END", 150), "line 1"),
        (around("[", "1", "]", 900), "nests deeper than"),
        (around("INTERVAL ", "'1 day'", "", 900), "line 1"),
        (format!("CAST(1 AS {})", around("ARRAY<", "INT", ">", 400)), "is not a scalar expression"),
        (format!("CAST(1 AS {})", around("Nullable(", "INT", ")", 400)), "is not a scalar expression"),
        (format!("count{}", "::BIGINT".repeat(600)), "nests deeper than"),
        (format!("count{}", " IS NULL".repeat(900)), "nests deeper than"),
        (format!("count IN ({})", vec!["1"; 5_000].join(", ")), "words and signs exceed the limit"),
        (format!("1 AS x FROM rows{}", " UNION SELECT 1 AS y".repeat(300)), "UNION is not allowed"),
        (format!("1 AS x FROM {}", around("(", "rows", ")", 900)), "a subquery is not allowed"),
        (format!("'{}'", "x".repeat(100_000)), "bytes of SQL exceed the limit"),
        ("9".repeat(30_000), "result is inf"),
        ("/*".repeat(10_000), "line 1"),
        ("\u{0}\u{fffd}'".to_owned(), "line 1"),
    ]
}

#[test]
fn hostile_sql_is_refused_and_never_ends_the_process() {
    let mut wrong = Vec::new();
    for (expression, wanted) in hostile_expressions() {
        let step = sql(&format!("SELECT *, {expression} AS x FROM rows"));
        // A literal beyond every float fails every row, should the planner take it.
        let said = match plan(std::slice::from_ref(&step)) {
            Err(_) => problems(&[step])[0].clone(),
            Ok(_) => rejects(&clean(&[step], &[row("A", 0, 1.0)]))[0].2.clone(),
        };
        if !said.contains(wanted) {
            wrong.push(format!("{}: {said}", expression.chars().take(40).collect::<String>()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn expression_at_the_limits_plans_and_runs_on_a_small_stack() {
    let work = || {
        let chain = vec!["count"; 125].join(" + ");
        let branches: String = (0..150).map(|value| format!(" WHEN count = {value} THEN {value}")).collect();
        let list = (0..900).map(|value| value.to_string()).collect::<Vec<_>>().join(", ");
        let in_list = format!("CAST(count IN ({list}) AS BIGINT)");
        for (expression, wanted) in [(chain, 125), (format!("CASE{branches} END"), 1), (in_list, 1)] {
            let cleaned = clean(&[sql(&format!("SELECT *, {expression} AS x FROM rows"))], &[row("A", 0, 1.0)]);
            assert_eq!(ints(&cleaned, "x"), [Some(wanted)]);
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}
