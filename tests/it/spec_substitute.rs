//! `${...}`: variables first, environment only under `vars:`, and no value that is put in can be more than a value.

use arterial::spec::model::{ModelSpec, PipelineSpec};
use arterial::spec::substitute::substitute;
use arterial::spec::template::{self, TemplateError};
use arterial::spec::{PipelineFile, Problem, Registry, tree};
use proptest::prelude::*;

use super::spec_support::{GOOD, only_problem, refused, spoilt};

fn read(text: &str, environment: &[(&str, &str)]) -> Result<PipelineSpec, Vec<Problem>> {
    let lookup =
        |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let file = PipelineFile::parse("pipeline.yaml", text, &lookup, &Registry::default());
    file.finish().map_err(|errors| errors.problems().to_vec())
}

/// What becomes of `group: ${group}` in the good file with these variables.
fn group(vars: &str, environment: &[(&str, &str)]) -> String {
    let text = spoilt(&[("vars: { city: aarhus }", vars), ("topics: [", "group: \"${group}\", topics: [")]);
    let spec = read(&text, environment).expect("a good file");
    let source = spec.sources.into_values().next().expect("a source");
    source.kafka.and_then(|kafka| kafka.group).expect("a group")
}

#[test]
fn variable_reads_the_environment_or_its_default() {
    let vars = "vars: { city: aarhus, group: \"${GROUP:-cars}\" }";
    assert_eq!(group(vars, &[]), "cars");
    assert_eq!(group(vars, &[("GROUP", "")]), "cars");
    assert_eq!(group(vars, &[("GROUP", "buses")]), "buses");
}

#[test]
fn value_with_yaml_in_it_stays_one_value() {
    let vars = "vars: { city: aarhus, group: \"${GROUP:?set it}\" }";
    for value in ["a # b", "a: b", "p@ss: [x", "}\nsinks: {}", "'\"", "${city}", "$$", "null", "*a", "- x", "\0"] {
        assert_eq!(group(vars, &[("GROUP", value)]), value);
    }
}

#[test]
fn scalars_under_vars_are_taken_as_they_are_written() {
    let scalars = [("007", "007"), ("1.50", "1.50"), ("true", "true"), ("\"a b\"", "a b"), ("\"$$x$y\"", "$x$y")];
    for (written, text) in scalars {
        assert_eq!(group(&format!("vars: {{ city: aarhus, group: {written} }}"), &[]), text);
    }
}

#[test]
fn substituted_text_becomes_the_number_that_is_due() {
    let text = spoilt(&[
        ("vars: { city: aarhus }", "vars: { city: aarhus, n: 3, f: 0.99, age: true }"),
        ("workers: 2", "workers: \"${n}\""),
        ("online_linear: {}", "online_linear: { forgetting: \"${f}\" }"),
        ("count: 6", "count: 6, age: \"${age}\""),
    ]);
    let spec = read(&text, &[]).expect("a good file");
    assert_eq!(spec.runtime.workers, 3);
    let ModelSpec::OnlineLinear(linear) = &spec.predict["speed"].model else { panic!("{spec:?}") };
    assert_eq!(linear.forgetting, 0.99);
    let features = serde_json::to_value(&spec.features).expect("JSON");
    assert_eq!(features[0]["lags"]["age"], true);
}

#[test]
fn substituted_text_that_is_no_number_is_a_wrong_type() {
    let text =
        spoilt(&[("vars: { city: aarhus }", "vars: { city: aarhus, n: three }"), ("workers: 2", "workers: «\"${n}\"")]);
    only_problem(&text, "expected a whole number, found text `three`", "");
}

#[test]
fn text_without_a_variable_is_not_taken_for_a_number() {
    refused("workers: 2", "workers: «\"2\"", "expected a whole number, found text `2`", "without quotes");
}

#[test]
fn required_variable_says_what_its_author_wrote() {
    refused(
        "vars: { city: aarhus }",
        "vars: { city: aarhus, token: «\"${TOKEN:?ask the platform team}\" }",
        "environment variable `TOKEN` is not set: ask the platform team",
        "set `TOKEN`",
    );
}

#[test]
fn unset_variable_is_reported_once_however_often_it_is_used() {
    let vars = "vars: { city: «\"${CITY}\" }";
    refused("vars: { city: aarhus }", vars, "environment variable `CITY` is not set", "${CITY:-default}");
}

#[test]
fn unknown_variable_suggests_the_one_meant() {
    let text = spoilt(&[("[\"${city}.loops\"]", "[«\"${citi}.loops\"]")]);
    only_problem(&text, "variable `citi` is not declared under `vars:`", "did you mean `city`?");
}

#[test]
fn environment_outside_vars_is_refused_with_the_remedy() {
    let text = spoilt(&[("[\"${city}.loops\"]", "[«\"${CITY:-aarhus}.loops\"]")]);
    let message = "`CITY` is read from the environment here; that is possible only under `vars:`";
    only_problem(&text, message, "declare it under `vars:`");
}

#[test]
fn reference_that_is_none_is_refused() {
    let refusals = [
        ("${city", "`${` is never closed"),
        ("${}", "`${}` is not a variable reference"),
        ("${ city }", "`${ city }` is not a variable reference"),
        ("${a.b}", "`${a.b}` is not a variable reference"),
    ];
    for (written, message) in refusals {
        refused("measure: speed.15m / free_flow_kmh", &format!("measure: «\"{written}\""), message, "`$${`");
    }
}

#[test]
fn variable_in_a_key_is_refused() {
    let text = spoilt(&[("readings: count(*)", "\"${city}\": count(*)")]);
    let problems = read(&text, &[]).expect_err("a bad file");
    let message = "key `${city}` holds a variable; variables are replaced in values only";
    assert!(problems.iter().any(|problem| problem.message == message && problem.at.line == 20), "{problems:?}");
}

#[test]
fn name_that_no_reference_can_have_is_refused() {
    let message = "variable name `my-city` can never be used as `${...}`";
    refused("vars: { city: aarhus }", "vars: { city: aarhus, «my-city: x }", message, "underscores");
}

#[test]
fn variable_without_a_value_is_refused() {
    let found = read(&spoilt(&[("vars: { city: aarhus }", "vars: { city: aarhus, token: }")]), &[]).expect_err("bad");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].at.line, found[0].at.column), (3, 23));
    assert!(found[0].message.starts_with("expected ") && found[0].message.ends_with("found nothing"), "{found:?}");
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let text = spoilt(&[
        ("vars: { city: aarhus }", "vars: { city: aarhus, password: \"${PASSWORD:?set it}\" }"),
        ("topics: [", "properties: { sasl.password: \"${password}\" }, topics: ["),
    ]);
    let spec = read(&text, &[("PASSWORD", "hunter2")]).expect("a good file");
    assert_eq!(spec.vars.0["password"], "hunter2");
    let shown = format!("{spec:?}");
    assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn dollar_signs_that_begin_no_reference_stay() {
    for text in ["'^a$'", "a$b", "$", "$ {x}"] {
        assert_eq!(template::replace(text, |_| Err(TemplateError::Unclosed)), Ok((text.to_owned(), 0)));
    }
    assert_eq!(template::replace("$${x}", |_| Err(TemplateError::Unclosed)), Ok(("${x}".to_owned(), 0)));
}

/// Keys and list lengths of a tree, without its scalars.
fn skeleton(node: &tree::Node) -> String {
    match &node.value {
        tree::Value::Map(entries) => {
            let below: Vec<String> = entries.iter().map(|e| format!("{}={}", e.key, skeleton(&e.value))).collect();
            format!("{{{}}}", below.join(","))
        }
        tree::Value::List(items) => format!("[{}]", items.iter().map(skeleton).collect::<Vec<_>>().join(",")),
        _ => String::new(),
    }
}

proptest! {
    #[test]
    fn no_value_of_a_variable_changes_the_tree_it_is_put_into(value in any::<String>()) {
        let text = GOOD.replace("vars: { city: aarhus }", "vars: { city: \"${CITY}\" }").replace("alerts.v1", "\"${city}\"");
        let mut root = tree::parse(&text).root.expect("a document");
        let before = skeleton(&root);
        let unreplaced = substitute(&mut root, &|_| Some(value.clone()));
        prop_assert_eq!(unreplaced.problems, vec![]);
        prop_assert_eq!(skeleton(&root), before);
        let json = root.to_json();
        prop_assert_eq!(json["sinks"]["alerts"]["kafka"]["topic"].as_str(), Some(value.as_str()));
    }

    #[test]
    fn escaped_text_comes_back_as_it_was(text in any::<String>()) {
        let escaped = text.replace('$', "$$");
        prop_assert_eq!(template::replace(&escaped, |_| Err(TemplateError::Unclosed)), Ok((text, 0)));
    }
}
