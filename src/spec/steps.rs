//! The plans of all stages -> the steps that keep state: what it is made with, and from the state of which others.

use super::model::{ModelSpec, OnlineLinearSpec, PipelineSpec, PredictSpec};
use crate::stages::alert::AlertPlan;
use crate::stages::clean::CleanPlan;
use crate::stages::features::FeaturesPlan;
use crate::stages::window::{Watermark, WindowPlan};
use crate::state::StatefulStep;
use crate::vocab::MadeWith;

/// Stateful steps in the order the data flows.
pub(super) fn stateful_steps(
    spec: &PipelineSpec,
    clean: &CleanPlan,
    window: &WindowPlan,
    features: &FeaturesPlan,
    alerts: &AlertPlan,
) -> Vec<StatefulStep> {
    let names = |steps: &[MadeWith]| steps.iter().map(|step| step.step.clone()).collect::<Vec<_>>();
    let (watermark, windows) = ([Watermark::made_with(window)], [window.made_with()]);
    let mut all: Vec<StatefulStep> =
        clean.stateful_steps().map(|made_with| StatefulStep::new(made_with, Vec::new())).collect();
    all.push(StatefulStep::new(&watermark[0], Vec::new()));
    all.push(StatefulStep::new(&windows[0], names(&watermark)));
    let looked_back = features.made_with();
    all.extend(looked_back.iter().map(|made_with| StatefulStep::new(made_with, names(&windows))));
    let models: Vec<MadeWith> = spec.predict.iter().map(|(name, predict)| learned_with(name, predict, spec)).collect();
    let made_from = [names(&windows), names(&looked_back)].concat();
    all.extend(models.iter().map(|made_with| StatefulStep::new(made_with, made_from.clone())));
    for (rule, made_with) in alerts.rules().iter().zip(alerts.stateful_steps()) {
        let mut made_from = names(&windows);
        let read = rule.forecasts_read().iter().filter_map(|(predictor, _)| models.get(*predictor));
        made_from.extend(read.map(|model| model.step.clone()));
        all.push(StatefulStep::new(made_with, made_from));
    }
    all
}

/// Everything that a predictor learns from and with. How it goes on learning, and where forecasts and scores are cut
/// off, may change under what it has learned.
fn learned_with(name: &str, predict: &PredictSpec, spec: &PipelineSpec) -> MadeWith {
    let model = match &predict.model {
        ModelSpec::OnlineLinear(linear) => {
            let usual = OnlineLinearSpec::default();
            let (forgetting, loss, huber_delta, trace_max) =
                (usual.forgetting, usual.loss, usual.huber_delta, usual.trace_max);
            ModelSpec::OnlineLinear(OnlineLinearSpec { forgetting, loss, huber_delta, trace_max, ..linear.clone() })
        }
        // Only its author knows which settings its state goes on under.
        ModelSpec::Custom(custom) => ModelSpec::Custom(custom.clone()),
    };
    let meant = PredictSpec {
        model,
        minimum: None,
        maximum: None,
        score_from: None,
        score_by: crate::stages::predict::ScoreBy::default(),
        ..predict.clone()
    };
    // Strings, numbers and maps with text keys: JSON holds them.
    let text = |value: serde_json::Result<String>| value.unwrap_or_default();
    MadeWith {
        step: format!("predict.{name}"),
        meaning: text(serde_json::to_string(&(&meant, &spec.features, spec.window.every()))),
        settings: text(serde_json::to_string(predict)),
    }
}
