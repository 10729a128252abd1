//! Why a forecast is what it is -> its JSON in alerts and forecasts.

use serde::Serialize;

use crate::stages::predict::Explanation;
use crate::vocab::MICROS_PER_SECOND;

#[derive(Debug, Serialize)]
pub(super) struct ExplanationJson<'a> {
    predictor: &'a str,
    horizon_s: f64,
    baseline: f64,
    forecast: f64,
    contributions: Vec<ContributionJson<'a>>,
}

#[derive(Debug, Serialize)]
struct ContributionJson<'a> {
    feature: &'a str,
    value: Option<f64>,
    share: f64,
}

/// Shares in the order of their size; `None` where the model had run away, so that there is nothing to add up. The horizon is in
/// microseconds.
pub(super) fn explanation_json<'a>(
    predictor: &'a str,
    horizon: i64,
    why: &'a Explanation,
) -> Option<ExplanationJson<'a>> {
    let shares = why.contributions.iter().map(|one| one.share);
    if !shares.chain([why.baseline, why.forecast]).all(f64::is_finite) {
        return None;
    }
    let mut contributions: Vec<ContributionJson<'a>> = why
        .contributions
        .iter()
        .map(|one| ContributionJson {
            feature: &one.feature,
            value: Some(one.value).filter(|value| value.is_finite()),
            share: one.share,
        })
        .collect();
    contributions.sort_by(|one, other| other.share.abs().total_cmp(&one.share.abs()));
    let horizon_s = horizon as f64 / MICROS_PER_SECOND as f64;
    Some(ExplanationJson { predictor, horizon_s, baseline: why.baseline, forecast: why.forecast, contributions })
}
