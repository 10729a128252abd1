//! `tests:` entries: told apart by name, and each expects something.

use super::Check;
use crate::spec::part::Part;
use crate::spec::suggest;

pub(super) fn check(check: &mut Check<'_>) {
    let tables = check.file.get("tables").keys();
    let mut names: Vec<&str> = Vec::new();
    for test in check.file.get("tests").items() {
        let name = test.get("name");
        if let Some(text) = name.text() {
            if names.contains(&text) {
                check.push(name.problem(format!("two tests are named `{text}`"), "give each its own sentence"));
            }
            names.push(text);
        }
        let expect = test.get("expect");
        if expect.given() && expect.is_empty() {
            check.push(expect.problem(
                "the test expects nothing, so it cannot fail",
                "name an output: `clean`, `windows`, `alerts`, ...",
            ));
        }
        check_drift(check, &expect.get("drift"));
        for (table, part) in test.get("given").get("tables").entries() {
            if !tables.contains(&table) {
                let hint = suggest::hint(table, tables.iter().copied(), "tables");
                let hint = hint.unwrap_or_else(|| "declare it under `tables:`".to_owned());
                check.push(part.key_problem(format!("table `{table}` is not declared under `tables:`"), hint));
            }
        }
    }
}

/// Where no predictor looks for drift there is none, so that a test which expects none could not fail.
fn check_drift(check: &mut Check<'_>, expected: &Part<'_>) {
    let watched = check.file.get("predict").entries().iter().any(|(_, predictor)| predictor.get("drift").given());
    if expected.given() && !watched {
        let hint = "add `drift:` to a predictor, or leave it out";
        check.push(expected.key_problem("no predictor of the pipeline looks for drift", hint));
    }
}
