//! Names of the pipeline and of everything that has a name in it.

use super::Check;
use crate::spec::syntax;
use crate::stages::expression::is_column;

/// Mappings whose keys are names.
const NAMED: [&str; 5] = ["sources", "tables", "predict", "alerts", "sinks"];

pub(super) fn check(check: &mut Check<'_>) {
    let pipeline = check.file.get("pipeline");
    if let Some(name) = pipeline.text().filter(|name| !syntax::is_name(name)) {
        check.push(pipeline.problem(format!("`{name}` is not a name for a pipeline"), advice(name)));
    }
    for section in NAMED {
        for (name, part) in check.file.get(section).entries() {
            if !syntax::is_name(name) {
                check.push(part.key_problem(format!("`{name}` is not a name"), advice(name)));
            } else if section == "predict" && !is_column(name) {
                let message = format!("`{name}` cannot name a predictor: `measure` would read it as a subtraction");
                check.push(part.key_problem(message, "start with a letter; use `_` instead of `-`"));
            }
        }
    }
    for (_, predictor) in check.file.get("predict").entries() {
        let challengers = predictor.get("challengers").entries();
        let models = std::iter::once(predictor.get("model")).chain(challengers.iter().map(|(_, model)| model.clone()));
        let experts = models.flat_map(|model| model.get("mix").get("experts").entries());
        let named = experts.chain(challengers.iter().cloned());
        for (name, part) in named.filter(|(name, _)| !syntax::is_name(name)) {
            check.push(part.key_problem(format!("`{name}` is not a name"), advice(name)));
        }
    }
}

/// The rule, and a name that keeps it where one is near.
fn advice(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let repaired: String = name.chars().map(legal).collect();
    let repaired = repaired.trim_matches(['-', '_']);
    let rule = format!(
        "names have up to {} lower-case letters, digits, `_` and `-`, a letter or digit first",
        syntax::NAME_CHARS_MAX
    );
    // Of a name in other letters nothing recognisable would be left.
    if name.is_ascii() && syntax::is_name(repaired) { format!("{rule}: `{repaired}`") } else { rule }
}
