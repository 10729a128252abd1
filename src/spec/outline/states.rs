//! The steps of a plan that keep state: by what, what for, how long and how much at most.

use super::{Scope, StateOutline};
use crate::spec::model::{CleanStepSpec, FeatureSpec};
use crate::spec::plan::PipelinePlan;
use crate::stages::clean::READINGS_MAX;
use crate::state::StatefulStep;
use crate::vocab::duration_text;

/// What a step remembers, when it forgets, and the most that it holds.
struct Memory {
    key: Vec<String>,
    holds: String,
    forgets: String,
    limit: String,
}

/// Each with the name of its stage, in the order the data flows.
pub(super) fn of(plan: &PipelinePlan) -> Vec<(&'static str, StateOutline)> {
    let mut states = Vec::new();
    for step in plan.stateful_steps() {
        let name = step.identity.step.as_str();
        if let Some((stage, memory)) = memory(plan, name) {
            states.push((stage, outline(Scope::of(plan), step, memory)));
        }
    }
    states
}

fn outline(scope: Scope, step: &StatefulStep, memory: Memory) -> StateOutline {
    let Memory { key, holds, forgets, limit } = memory;
    let (step, made_from) = (step.identity.step.clone(), step.made_from.clone());
    StateOutline { step, scope, key, holds, forgets, limit, made_from }
}

/// `None` for a step of which the file uses nothing: features without lags, say.
fn memory(plan: &PipelinePlan, step: &str) -> Option<(&'static str, Memory)> {
    let uses = |wanted: fn(&FeatureSpec) -> bool| plan.spec.features.iter().any(wanted);
    let of_key = |holds: &str| by_window_key(plan, holds);
    Some(match step.split_once('.').map_or((step, ""), |parts| parts) {
        ("clean", "") => return None,
        ("watermark", _) => ("decode", watermark(plan)),
        ("clean", _) => ("clean", cleaning(plan, step)),
        ("window", _) => ("window", of_key("open windows")),
        ("lags", _) if uses(|feature| matches!(feature, FeatureSpec::Lags(_))) => {
            ("features", of_key("the last values"))
        }
        ("profile", _) if uses(|feature| matches!(feature, FeatureSpec::Profile(_))) => {
            ("features", of_key("seasonal means"))
        }
        ("repeats", _) if uses(|feature| matches!(feature, FeatureSpec::Deviation(of) if of.repeats)) => {
            ("features", of_key("how long readings have held"))
        }
        ("predict", name) => {
            let predict = plan.spec.predict.get(name)?;
            let horizons: Vec<String> = predict.horizons.iter().map(ToString::to_string).collect();
            ("predict", of_key(&format!("a model for {}, forecasts that wait for labels, scores", horizons.join(", "))))
        }
        ("drift", name) => {
            let predict = plan.spec.predict.get(name)?;
            let horizons: Vec<String> = predict.horizons.iter().map(ToString::to_string).collect();
            (
                "predict",
                of_key(&format!("a drift detector for {}, usual errors by the time of day", horizons.join(", "))),
            )
        }
        ("challenger", name) => {
            let (name, challenger) = name.split_once('.')?;
            let predict = plan.spec.predict.get(name)?;
            let horizons: Vec<String> = predict.horizons.iter().map(ToString::to_string).collect();
            let holds = format!("as {name}, of its challenger {challenger} for {}", horizons.join(", "));
            ("predict", of_key(&holds))
        }
        ("contest", name) => {
            let (name, days) = name.split_once('.').map_or((name, false), |(name, _)| (name, true));
            let names: Vec<&str> = plan.spec.predict.get(name)?.challengers.keys().map(String::as_str).collect();
            if days {
                let holds = format!("errors by day of the model and of {}, and which are usual", names.join(", "));
                return Some(("predict", of_key(&holds)));
            }
            (
                "predict",
                Memory {
                    key: Vec::new(),
                    holds: "who serves".to_owned(),
                    forgets: "never".to_owned(),
                    limit: "1".to_owned(),
                },
            )
        }
        ("alert", name) => {
            let expire_after =
                plan.spec.alerts.get(name)?.expire_after(plan.spec.keys.expire_after, plan.spec.window.every());
            let forgets = format!("an alert without a measure for {expire_after}");
            ("alert", Memory { forgets, ..of_key("open alerts") })
        }
        _ => return None,
    })
}

fn watermark(plan: &PipelinePlan) -> Memory {
    Memory {
        key: Vec::new(),
        holds: format!("the newest event time, less {}", duration_text(plan.window.max_delay())),
        forgets: "never".to_owned(),
        limit: "1".to_owned(),
    }
}

fn cleaning(plan: &PipelinePlan, step: &str) -> Memory {
    if step.starts_with("clean.impute.") {
        return imputing(plan, step);
    }
    if let Some(number) = step.strip_prefix("clean.normalise.") {
        return normalising(plan, number);
    }
    let names: Vec<&str> = plan.clean.stateful_steps().map(|made_with| made_with.step.as_str()).collect();
    let index = names.iter().position(|name| *name == step).unwrap_or(0);
    let dedupes = plan.spec.clean.iter().filter_map(|step| match step {
        CleanStepSpec::Dedupe(dedupe) => Some(dedupe),
        _ => None,
    });
    // Those of the engine come before those of the embedding program.
    dedupes.clone().nth(index).map_or_else(
        || Memory {
            key: Vec::new(),
            holds: "what the custom step keeps".to_owned(),
            forgets: "as the custom step says".to_owned(),
            limit: "as the custom step says".to_owned(),
        },
        |dedupe| Memory {
            key: dedupe.key.clone(),
            holds: "readings seen".to_owned(),
            forgets: format!("readings {} behind the newest", dedupe.within),
            limit: format!("{READINGS_MAX} readings"),
        },
    )
}

fn imputing(plan: &PipelinePlan, step: &str) -> Memory {
    let number = step.rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let steps = plan.spec.clean.iter();
    let numbered = steps.filter(|step| matches!(step, CleanStepSpec::Impute(_)));
    let within = match { numbered }.nth(number) {
        Some(CleanStepSpec::Impute(impute)) => impute.within.to_string(),
        _ => String::new(),
    };
    let forgets = format!("a key without values for {within}, `max_delay` and a window");
    Memory { forgets, ..by_window_key(plan, "last values") }
}

/// Steps with parameters of their own keep no state and are not numbered.
fn normalising(plan: &PipelinePlan, number: &str) -> Memory {
    let learning = plan.spec.clean.iter().filter_map(|step| match step {
        CleanStepSpec::Normalise(one) if one.parameters.is_none() && one.parameters_file.is_none() => Some(one),
        _ => None,
    });
    let number = number.parse().unwrap_or(0);
    let by = { learning }.nth(number).and_then(|step| step.by.clone()).unwrap_or_default();
    let holds = "what columns are scaled by".to_owned();
    if by.is_empty() {
        return Memory { key: by, holds, forgets: "never".to_owned(), limit: "1".to_owned() };
    }
    Memory { key: by, holds, ..by_window_key(plan, "") }
}

/// State of window keys goes with its key.
fn by_window_key(plan: &PipelinePlan, holds: &str) -> Memory {
    let keys = &plan.spec.keys;
    Memory {
        key: plan.window.key_columns().to_vec(),
        holds: holds.to_owned(),
        forgets: format!("a key without accepted rows for {}", keys.expire_after),
        limit: format!("{} keys", keys.max),
    }
}
