//! `custom:` parts: each is registered by the program that embeds the pipeline.

use super::Check;
use super::predict::models;
use crate::spec::part::Part;
use crate::stages::expression::did_you_mean;

pub(super) fn check(check: &mut Check<'_>) {
    let parts = &check.registry.parts;
    let source = check.source().map(|source| source.get("custom"));
    let predictors = check.file.get("predict").entries().into_iter();
    let models = predictors.flat_map(|(_, one)| models(&one)).map(|model| model.get("custom"));
    let steps = check.file.get("clean").items().into_iter().map(|one| one.get("custom"));
    let rules = check.file.get("alerts").entries().into_iter().map(|(_, one)| one.get("custom"));
    let mut used: Vec<(Part<'_>, &str, Vec<&String>)> = Vec::new();
    used.extend(source.map(|part| (part, "source", parts.sources.keys().collect())));
    used.extend(steps.map(|part| (part, "cleaning step", parts.clean_steps.keys().collect())));
    used.extend(models.map(|part| (part, "model", parts.models.keys().collect())));
    used.extend(rules.map(|part| (part, "alert rule", parts.alert_rules.keys().collect())));
    let ledger = check.file.get("ledger");
    used.push((ledger.get("custom"), "ledger", parts.ledgers.keys().collect()));
    for (part, what, known) in used {
        check_name(check, &part.get("name"), what, &known);
    }
    if ledger.given() && check.kafka_source().is_some() {
        let message = "a Kafka source keeps positions and state in Kafka, in one transaction with the outputs";
        check.push(ledger.key_problem(message, "remove `ledger`"));
    }
    if ledger.given() && check.source().is_some_and(|source| source.get("feed").given()) {
        let message = "a `feed` lets rows go when its own memory has committed them, and would fill up";
        let hint = "remove `ledger`: positions and state are in what `PipelineBuilder::memory` is given; or read from a custom source";
        check.push(ledger.key_problem(message, hint));
    }
}

fn check_name(check: &mut Check<'_>, name: &Part<'_>, what: &str, known: &[&String]) {
    let Some(text) = name.text().filter(|text| !known.iter().any(|one| one == text)) else { return };
    let hint = did_you_mean(text, known.iter().map(|one| one.as_str()));
    let general =
        || format!("the program that embeds the pipeline registers it: `Registry::standard().{}(..)`", call(what));
    check.push(name.problem(format!("no {what} `{text}` is registered"), hint.unwrap_or_else(general)));
}

/// The method that registers such a part.
fn call(what: &str) -> &str {
    match what {
        "cleaning step" => "clean_step",
        "alert rule" => "alert_rule",
        other => other,
    }
}
