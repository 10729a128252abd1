//! `predict:` entries.

use super::{Check, window};
use crate::spec::model::Span;
use crate::spec::part::Part;

pub(super) fn check(check: &mut Check<'_>) {
    let columns = check.file.get("window").get("columns").keys();
    let features = check.file.get("features");
    for (name, predictor) in check.file.get("predict").entries() {
        window::check_window_column(check, &predictor.get("target"), &columns);
        check_horizons(check, &predictor.get("horizons"));
        check_limits(check, &predictor);
        if features.is_empty() && predictor.get("model").given() {
            let message = format!("predictor `{name}` has no features to predict from");
            check.push(predictor.key_problem(message, "add `features:`, as `- lags: { column: ..., count: 6 }`"));
        }
    }
}

fn check_horizons(check: &mut Check<'_>, horizons: &Part<'_>) {
    let size = check.file.get("window").get("size").read::<Span>().filter(|size| size.micros > 0);
    let mut before: Option<(Span, &str)> = None;
    for part in horizons.items() {
        let Some(horizon) = part.read::<Span>() else { continue };
        if let Some(size) = size
            && horizon.micros % size.micros != 0
        {
            let message = format!("horizon {horizon} is not a whole multiple of the window's size {size}");
            check.push(part.problem(message, format!("write {}", multiples_around(horizon, size))));
        }
        let written = part.text().unwrap_or_default();
        match before {
            Some((earlier, as_written)) if horizon == earlier => {
                let message = format!("horizon `{written}` stands here twice: before it as `{as_written}`");
                check.push(part.problem(message, "remove one of them"));
            }
            Some((earlier, _)) if horizon < earlier => {
                let message = format!("horizon {horizon} does not come after {earlier}");
                check.push(part.problem(message, "put the horizons in ascending order"));
            }
            _ => {}
        }
        before = Some((horizon, written));
    }
}

/// The multiples of `size` next to `horizon`, in words.
fn multiples_around(horizon: Span, size: Span) -> String {
    let lower = horizon.micros / size.micros * size.micros;
    let upper = Span { micros: lower.saturating_add(size.micros) };
    if lower == 0 { upper.to_string() } else { format!("{} or {upper}", Span { micros: lower }) }
}

fn check_limits(check: &mut Check<'_>, predictor: &Part<'_>) {
    let maximum = predictor.get("maximum");
    if let (Some(least), Some(greatest)) = (predictor.get("minimum").read::<f64>(), maximum.read::<f64>())
        && least >= greatest
    {
        check.push(
            maximum.problem(format!("`maximum` {greatest} is not above `minimum` {least}"), "swap or correct them"),
        );
    }
}

/// The models of a predictor: its own, its challengers', and the experts that any of them mixes.
pub(super) fn models<'a>(predictor: &Part<'a>) -> Vec<Part<'a>> {
    let challengers = predictor.get("challengers").entries().into_iter().map(|(_, model)| model);
    let mut models: Vec<Part<'a>> = std::iter::once(predictor.get("model")).chain(challengers).collect();
    let experts = models.iter().flat_map(|model| model.get("mix").get("experts").entries());
    let experts: Vec<Part<'a>> = experts.map(|(_, expert)| expert).collect();
    models.extend(experts);
    models
}
