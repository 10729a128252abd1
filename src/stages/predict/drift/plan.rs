//! Settings of drift detection and the models it has to do with -> [`DriftParams`]. No data.

use super::params::{DriftEffect, DriftError, DriftParams};
use crate::stages::predict::experts::ExpertPlan;
use crate::stages::predict::lane::fresh;
use crate::stages::predict::plan::Problem;
use crate::stages::predict::settings::PredictorSettings;
use crate::vocab::At;

/// Effects are taken by models of one key and horizon; where none of the predictor's is such, only telling is left.
pub(in crate::stages::predict) fn plan_drift(
    settings: &PredictorSettings,
    experts: &[ExpertPlan],
    problems: &mut Vec<Problem>,
) -> Option<DriftParams> {
    let checked = DriftParams::new(settings.drift.as_ref()?).and_then(|params| {
        let effect = params.effect;
        let takes = |expert: &ExpertPlan| fresh(&expert.model, &expert.step).supports(effect);
        if effect == DriftEffect::None || experts.iter().any(takes) {
            return Ok(params);
        }
        let models: Vec<String> = experts.iter().map(|expert| format!("`{}`", expert.name)).collect();
        Err(DriftError::Unsupported { effect: effect.name(), models: models.join(", ") })
    });
    let place = settings.path.key("drift");
    checked
        .map_err(|error| {
            let path = error.setting().split('.').fold(place, |path, key| path.key(key));
            let hint = match &error {
                DriftError::Unsupported { .. } => {
                    Some("write `effect: none`, which only tells, or mix it with `online_linear`".to_owned())
                }
                DriftError::Unused { .. } => Some("remove it, or write `effect: forget`".to_owned()),
                DriftError::Range { .. } => None,
            };
            problems.push(At { path, error: error.into(), hint });
        })
        .ok()
}
