//! Settings of a champion and its challengers, and the predictor they belong to -> the challengers' plans and the contest's.

use super::ContestPlan;
use super::params::{CHALLENGERS_MAX, ComparedBy, ContestError, PromotionParams};
use crate::stages::expression::did_you_mean;
use crate::stages::features::ProfilePlan;
use crate::stages::predict::experts::{Scope, plan_experts};
use crate::stages::predict::plan::{MIX, PERSISTENCE, PROFILE, PredictorPlan, Problem};
use crate::stages::predict::settings::Task;
use crate::vocab::At;

/// How the name of a challenger's step begins.
#[must_use]
pub fn challenger_step(predictor: &str, challenger: &str) -> String {
    format!("challenger.{predictor}.{challenger}")
}

/// Gives a predictor its challengers.
pub(in crate::stages::predict) fn plan_contest(
    scope: &Scope<'_>,
    own: &mut PredictorPlan,
    problems: &mut Vec<Problem>,
) {
    let settings = scope.settings;
    let mut note = |error: ContestError, hint: Option<String>| {
        let path = error.setting().split('.').fold(settings.path.clone(), |path, key| path.key(key));
        problems.push(At { path, error: error.into(), hint });
    };
    let given = [("champion", settings.champion.is_some()), ("promotion", settings.promotion.is_some())];
    if settings.challengers.is_empty() {
        let hint = "add `challengers: { NAME: { ... } }`, each a model as under `model`";
        let alone = given.into_iter().filter(|(_, given)| *given);
        alone.for_each(|(setting, _)| note(ContestError::Alone { setting }, Some(hint.to_owned())));
        return;
    }
    let challengers = settings.challengers.len();
    if challengers > CHALLENGERS_MAX {
        note(ContestError::TooMany { challengers }, None);
    }
    let taken: Vec<&str> = own.experts.iter().map(|expert| expert.name.as_str()).collect();
    for (name, _) in &settings.challengers {
        if [PERSISTENCE, PROFILE, MIX].contains(&name.as_str()) || taken.contains(&name.as_str()) {
            note(ContestError::Name { name: name.clone() }, None);
        }
    }
    let classification = settings.task == Task::Classification;
    let promotion = settings.promotion.as_ref().map(|promotion| PromotionParams::new(promotion, classification));
    let promotion = promotion.transpose().map_err(|error| note(error, None)).unwrap_or_default();
    let names: Vec<String> = std::iter::once(own.model_name().to_owned())
        .chain(settings.challengers.iter().map(|(name, _)| name.clone()))
        .collect();
    let champion = settings.champion.as_ref().map_or(Some(0), |wanted| names.iter().position(|name| name == wanted));
    if champion.is_none() {
        let name = settings.champion.clone().unwrap_or_default();
        let hint = did_you_mean(&name, names.iter().map(String::as_str));
        note(ContestError::UnknownChampion { name }, hint);
    }
    own.contest = Some(ContestPlan {
        predictor: own.name.clone(),
        names,
        champion: champion.unwrap_or_default(),
        by: promotion.map_or(ComparedBy::usual(classification), |promotion| promotion.by),
        promotion,
        horizons: own.horizons.len(),
    });
    for (name, model) in &settings.challengers {
        let step = challenger_step(&own.name, name);
        let place = settings.path.key("challengers").key(name);
        let Some((experts, mix)) = plan_experts(scope, (model, &step), &place, problems) else { continue };
        let profile = ProfilePlan { step: format!("{step}.profile"), ..own.profile.clone() };
        let challenger = PredictorPlan {
            challenger: Some(name.clone()),
            challengers: Vec::new(),
            contest: None,
            drift_step: format!("{}.{name}", own.drift_step),
            step,
            experts,
            mix,
            profile,
            ..own.clone()
        };
        own.challengers.push(challenger);
    }
}
