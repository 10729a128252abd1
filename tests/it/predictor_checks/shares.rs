//! Explanations: shares add up to the forecast that was made, and what they miss the integral by is told beside them.

use arterial::stages::predict::neural::integrated_gradients::GAP;

use super::{Keys, cases, class_sample, classifiers};

#[test]
fn contributions_add_up_for_every_model() {
    for case in cases() {
        let mut model = case.fresh();
        // The integral of a network takes its time.
        let every = if case.keys == Keys::Own { 1 } else { 20 };
        let mut explained = 0;
        for step in 0..400 {
            let (features, labels) = case.sample(4, step);
            if step % every == 0 {
                let made = case.forecasts(&*model, &features);
                for (horizon, key) in (0..case.horizons).flat_map(|horizon| (0..4).map(move |key| (horizon, key))) {
                    let forecast = made[horizon][key];
                    let why = model.explain(horizon, &features, key as u32);
                    assert_eq!(why.is_some(), forecast.is_finite(), "{}, window {step}", case.name);
                    let Some(why) = why else { continue };
                    let shares: f64 = why.contributions.iter().map(|part| part.share).sum();
                    assert!((why.baseline + shares - why.forecast).abs() < 1e-9, "{}: {why:?}", case.name);
                    let gap = why.contributions.iter().find(|part| part.feature == GAP);
                    assert!(gap.is_none_or(|gap| gap.share.abs() < 1e-3), "{}: {gap:?}", case.name);
                    assert_eq!(why.forecast.to_bits(), forecast.to_bits(), "{}, window {step}", case.name);
                    explained += 1;
                }
            }
            case.learn(&mut *model, &features, &labels);
        }
        assert!(explained > 50, "{}: {explained}", case.name);
    }
}

#[test]
fn column_that_says_nothing_of_the_class_is_hardly_given_a_share() {
    for case in classifiers() {
        let mut model = case.fresh();
        case.learn_steps(&mut *model, 3, 0..400);
        let mut sums = [0.0; 3];
        for step in 90_000..90_020 {
            let why = model.explain(0, &class_sample(3, step).0, 1).unwrap();
            let share = |feature: &str| why.contributions.iter().find(|part| part.feature == feature).unwrap().share;
            for (sum, feature) in sums.iter_mut().zip(["a", "b", "c"]) {
                *sum += share(feature).abs();
            }
        }
        assert!(sums[2] < 0.5 * sums[0].min(sums[1]), "{}: {sums:?}", case.name);
    }
}
