//! Settings of a classification -> what a regression does not have, checked. No data.

use super::error::PredictError;
use super::plan::{PredictInput, Problem};
use super::settings::{PredictorSettings, Task};
use crate::vocab::At;

/// The least probability that means 1; `None` of a regression.
pub(super) fn plan_threshold(settings: &PredictorSettings, problems: &mut Vec<Problem>) -> Option<f64> {
    let threshold = settings.threshold;
    if settings.task == Task::Regression {
        return None;
    }
    if !(threshold > 0.0 && threshold < 1.0) {
        problems.push(At {
            path: settings.path.key("threshold"),
            error: PredictError::Threshold { threshold },
            hint: None,
        });
    }
    if settings.intervals.is_some() {
        let hint = Some("a probability says how sure it is".to_owned());
        problems.push(At { path: settings.path.key("intervals"), error: PredictError::ClassIntervals, hint });
    }
    Some(threshold)
}

/// Refuses features that hold the very label that is predicted: all that are made of the target, but for its earlier lags.
pub(super) fn refuse_own_label(
    settings: &PredictorSettings,
    used: &[usize],
    input: &PredictInput<'_>,
    problems: &mut Vec<Problem>,
) {
    let target = settings.target.as_str();
    let earlier = |kind: &str| kind.strip_prefix("lag").is_some_and(|lag| lag != "0");
    for name in used.iter().map(|&column| &input.feature_columns[column].name) {
        let (of, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        let holds = (of == target && !earlier(kind)) || kind.strip_prefix("by_") == Some(target);
        if holds {
            let error = PredictError::OwnLabel { feature: name.clone(), target: target.to_owned() };
            let hint = Some("name the features to use under `features` of the predictor, without it".to_owned());
            problems.push(At { path: settings.path.key("features"), error, hint });
        }
    }
}
