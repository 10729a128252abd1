//! The file against the JSON Schema: plain sentences with places, and a schema that editors can complete from.

use arterial::spec::json_schema::pipeline_schema;
use arterial::spec::model::{AlertSpec, Span};
use serde_json::{Value, json};

use super::spec_support::{GOOD, only_problem, parse, problems, refused, spoilt};

#[test]
fn the_good_file_has_no_problem_and_its_defaults() {
    assert_eq!(problems(GOOD), []);
    let spec = parse(GOOD).finish().expect("a good file");
    assert_eq!(spec.window.size, Span::seconds(300));
    assert_eq!(spec.window.min_count, 1);
    assert_eq!(spec.keys.max, 1_000_000);
    let alert: &AlertSpec = &spec.alerts["congestion"];
    assert_eq!(
        (alert.hold, alert.expire_after(spec.keys.expire_after, spec.window.every())),
        (Span::default(), Span::seconds(1800))
    );
}

#[test]
fn unknown_key_suggests_the_one_meant_and_lists_the_others() {
    let hint =
        "did you mean `carry`? allowed keys: allowed_lateness, at_end, carry, columns, every, key, min_count, size";
    refused("  carry: [free", "  «carri: [free", "unknown key `carri`", hint);
}

#[test]
fn misspelt_required_key_is_reported_once_not_as_missing_too() {
    let hint = "did you mean `horizons`?";
    refused("horizons: [15m, 30m]", "«horizonts: [15m, 30m]", "unknown key `horizonts`", hint);
}

#[test]
fn unknown_key_at_the_top_is_placed_there() {
    refused("delivery: exactly_once", "«delivry: exactly_once", "unknown key `delivry`", "did you mean `delivery`?");
}

#[test]
fn missing_key_is_reported_at_its_mapping_with_what_it_means() {
    let text = spoilt(&[("  size: 5m\n", ""), ("\nwindow:", "\n«window:")]);
    only_problem(&text, "key `size` is missing in `window`", "Length. Windows are aligned to 1970-01-01T00:00Z.");
}

#[test]
fn missing_key_of_the_file_itself_is_reported_at_its_start() {
    let text = format!("«{}", spoilt(&[("pipeline: ring-road\n", "")]));
    only_problem(&text, "key `pipeline` is missing", "Names its consumer group");
}

#[test]
fn wrong_types_say_what_was_expected_and_what_was_found() {
    let wrong = [
        ("workers: 2", "workers: «many", "expected a whole number, found text `many`", ""),
        ("workers: 2", "workers: «2.5", "expected a whole number, found number 2.5", ""),
        ("horizons: [15m, 30m]", "horizons: «15m", "expected a list, found text `15m`", "write a list"),
        (
            "measure: speed.15m / free_flow_kmh",
            "measure: «7",
            "expected text, found number 7",
            "put it in quotes: \"7\"",
        ),
        ("measure: speed.15m / free_flow_kmh", "measure: «true", "expected text, found `true`", "quotes: \"true\""),
        ("when: \"< 0.45\"", "when: «40", "expected a comparison, found number 40", "operator, too: `\"> 40\"` or"),
        ("severe: \"< 0.2\"", "severe: «0.2", "expected a comparison, found number 0.2", "`\"< 0.2\"`"),
        ("minimum: 0,", "«minimum: [0],", "expected a number, found a list", ""),
        ("online_linear: {}", "«online_linear:", "expected a mapping, found nothing", "write `{}`"),
        ("count: 6", "count: 6, age: «yes", "expected true or false, found text `yes`", "write `true` or `false`"),
        ("runtime: {", "«listen_on: {", "unknown key `listen_on`", "allowed keys: alerts, clean"),
    ];
    for (from, to, message, hint) in wrong {
        refused(from, to, message, hint);
    }
}

#[test]
fn optional_key_without_a_value_is_refused_not_ignored() {
    refused("future_skew: 60s", "«future_skew:", "expected text, found nothing", "give it a value, or remove the key");
}

#[test]
fn numbers_out_of_range_name_the_limit() {
    let wrong = [
        ("workers: 2", "workers: «0", "expected at least 1, found number 0"),
        ("workers: 2", "workers: «257", "expected at most 256, found number 257"),
        ("count: 6", "count: «4294967296", "expected at most 10080, found number 4294967296"),
        ("count: 6", "count: «-1", "expected at least 1, found number -1"),
        ("online_linear: {}", "online_linear: { forgetting: «0 }", "expected more than 0, found number 0"),
        ("online_linear: {}", "online_linear: { forgetting: «1.1 }", "expected at most 1, found number 1.1"),
        ("version: 1", "version: «2", "expected 1, found number 2"),
    ];
    for (from, to, message) in wrong {
        refused(from, to, message, "");
    }
}

#[test]
fn empty_lists_and_mappings_that_need_an_entry_are_refused() {
    let message = "expected at least 1 entry, found none";
    refused("horizons: [15m, 30m]", "«horizons: []", message, "");
    refused("columns: [free_flow_kmh]", "«columns: []", message, "");
}

#[test]
fn whole_number_written_as_a_float_is_that_number() {
    let spec = parse(&spoilt(&[("workers: 2", "workers: 2.0")])).finish().expect("a good file");
    assert_eq!(spec.runtime.workers, 2);
}

#[test]
fn durations_need_a_number_and_a_unit() {
    let hint = "write a whole number and a unit: 250ms, 90s, 5m, 12h, 60d";
    for wrong in ["5 minutes", "5", "m", "1.5h", "-5m", "5M", "123456789s", "5min"] {
        let written = if wrong == "5" { "\"5\"" } else { wrong };
        refused("size: 5m", &format!("size: «{written}"), &format!("text `{wrong}` is not a duration"), hint);
    }
    refused("size: 5m", "size: «5", "expected a duration, found number 5", hint);
}

#[test]
fn spans_are_read_and_printed_alike() {
    for (text, micros) in [("250ms", 250_000), ("90s", 90_000_000), ("5m", 300_000_000), ("60d", 5_184_000_000_000)] {
        let span = Span::parse(text).expect("a span");
        assert_eq!((span.micros, span.to_string().as_str()), (micros, text));
    }
    assert_eq!(Span::default().to_string(), "0s");
    assert!(Span::parse("9223372036854775807d").is_err(), "it does not fit 64 bits");
}

#[test]
fn word_that_is_none_of_the_choices_suggests_one() {
    let message = "text `exactly_one` is not one of the choices";
    let hint = "did you mean `exactly_once`? choices: exactly_once, at_least_once";
    refused("delivery: exactly_once", "delivery: «exactly_one", message, hint);
    refused("delivery: exactly_once", "delivery: «1", "expected a word, found number 1", "choices: exactly_once");
}

#[test]
fn null_where_the_word_is_meant_asks_for_quotes() {
    let step = "  - null_if: { speed_kmh: speed_kmh < 0 }";
    let range = "  - range: { columns: { speed_kmh: {} }, otherwise: «null }";
    refused(step, range, "expected a word, found nothing", "\"null\"");
}

#[test]
fn unknown_step_suggests_the_one_meant() {
    let hint = "did you mean `dedupe`? choices: null_if, range, dedupe, lookup, impute, normalise, rename, filter, cast, unit, sql";
    refused("- dedupe:", "- «dedup:", "`dedup` is not one of the choices", hint);
}

#[test]
fn mistake_inside_a_step_is_placed_inside_it() {
    refused("within: 10m }", "«withing: 10m }", "unknown key `withing`", "did you mean `within`?");
    let text = spoilt(&[("model: { online_linear: {} }", "model: { online_linear: { «forgeting: 0.9 } }")]);
    only_problem(&text, "unknown key `forgeting`", "did you mean `forgetting`?");
}

#[test]
fn two_steps_under_one_dash_are_refused() {
    let text = spoilt(&[("  - dedupe: {", "  - «sql: SELECT * FROM rows\n    dedupe: {")]);
    let found = problems(&text.replace('«', ""));
    let expected = "expected one key, found 2: sql, dedupe";
    let problem = found.iter().find(|problem| problem.message == expected).unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!((problem.at.line, problem.at.column), (14, 5));
    assert!(problem.hint.as_deref().is_some_and(|hint| hint.contains("own `- `")));
}

#[test]
fn step_without_its_mapping_is_refused() {
    let step = "  - dedupe: { key: [sensor_id, observed_at], within: 10m }";
    refused(step, "  - «dedupe", "expected a mapping with one key, found text `dedupe`", "choices: null_if, range");
}

#[test]
fn nothing_may_stand_in_an_empty_mapping() {
    let text = spoilt(&[("{ from: late, kafka: { topic: late.v1 } }", "{ from: late, memory: { «size: 3 } }")]);
    let found = problems(&text.replace('«', ""));
    let problem = found.iter().find(|problem| problem.message == "unknown key `size`").expect("it is reported");
    assert_eq!(problem.hint.as_deref(), Some("nothing may stand in this mapping: write `{}`"));
}

/// Every object of a JSON value, the value itself included.
fn objects(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(object) => {
            found.push(value.clone());
            object.values().for_each(|below| objects(below, found));
        }
        Value::Array(items) => items.iter().for_each(|below| objects(below, found)),
        _ => {}
    }
}

#[test]
fn schema_closes_every_struct_and_gives_every_step_one_required_key() {
    let schema = pipeline_schema();
    let mut all = Vec::new();
    objects(&schema, &mut all);
    for object in all.iter().filter(|object| object["properties"].is_object() && object["type"] == "object") {
        assert_eq!(object["additionalProperties"], json!(false), "{object}");
    }
    let steps = schema["definitions"]["CleanStepSpec"]["oneOf"].as_array().expect("the steps");
    assert_eq!(steps.len(), 12);
    for step in steps {
        assert_eq!(step["required"].as_array().map(Vec::len), Some(1), "{step}");
        assert!(step["description"].is_string(), "{step}");
    }
}

#[test]
fn schema_describes_every_key() {
    let mut all = Vec::new();
    objects(&pipeline_schema(), &mut all);
    for properties in all.iter().filter_map(|object| object.get("properties")?.as_object()) {
        // A key that is itself called `properties` is no such mapping.
        if !properties.values().all(Value::is_object) {
            continue;
        }
        for (key, property) in properties {
            // The one key of a step is described by the step and by what it refers to.
            let described =
                property.get("description").is_some() || property.get("$ref").is_some() || properties.len() == 1;
            assert!(described, "`{key}` has no description");
        }
    }
}

#[test]
fn schema_has_two_patterns_both_of_durations_and_no_nulls() {
    // The sentences about them rely on it.
    let mut all = Vec::new();
    objects(&pipeline_schema(), &mut all);
    assert_eq!(all.iter().filter(|object| object.get("pattern").is_some_and(Value::is_string)).count(), 2);
    assert_eq!(all.iter().filter(|object| object.get("anyOf").is_some_and(Value::is_array)).count(), 0);
    assert_eq!(all.iter().filter(|object| object.get("type") == Some(&json!("null"))).count(), 0);
}
