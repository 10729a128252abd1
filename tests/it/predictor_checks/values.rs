//! What may stand in a row or a label: nothing, infinity, what is huge; and columns that come and go.

use arterial::stages::features::FeatureMatrix;

use super::{Case, FEATURES, Keys, Labels, Promise, SilencedBy, cases, state};
use crate::predict_support::bits;

/// Rows of four keys: whole, without the second column, infinite in the first, without any.
fn with_gaps(case: &Case, step: i64) -> FeatureMatrix {
    let (mut features, _) = case.sample(4, step);
    features.values[FEATURES + 1] = f64::NAN;
    features.values[2 * FEATURES] = f64::INFINITY;
    features.values[3 * FEATURES..].fill(f64::NAN);
    features
}

/// Which of those rows have a forecast.
fn spoken(silenced_by: SilencedBy) -> [bool; 4] {
    match silenced_by {
        SilencedBy::Any => [true, false, false, false],
        SilencedBy::First => [true, true, false, false],
        SilencedBy::All => [true, true, true, false],
        SilencedBy::None(_) => [true; 4],
    }
}

#[test]
fn silent_sensor_and_missing_features_give_no_forecast_and_teach_nothing() {
    for case in cases() {
        let mut model = case.fresh();
        case.learn_steps(&mut *model, 4, 0..50);
        let before = state(&mut *model);
        // The window that was learned last, so that none of an earlier one is due.
        let features = with_gaps(&case, 49);
        let spoken = spoken(case.silenced_by);
        // A row that has no forecast teaches nothing; but a network that forecasts quantities learns of a key and a time too.
        let dumb = case.silenced_by == SilencedBy::Any || case.labels == Labels::Classes;
        let labels = spoken.map(|spoken| if dumb && !spoken { 1.0 } else { f64::NAN });
        case.learn(&mut *model, &features, &labels);
        assert_eq!(state(&mut *model), before, "{}: rows without a feature", case.name);
        let (whole, _) = case.sample(4, 49);
        for nothing in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            case.learn(&mut *model, &whole, &[nothing; 4]);
            assert_eq!(state(&mut *model), before, "{}: {nothing} is no label", case.name);
        }
        for (horizon, made) in case.forecasts(&*model, &features).iter().enumerate() {
            assert_eq!(made.iter().map(|one| one.is_finite()).collect::<Vec<_>>(), spoken, "{}: {made:?}", case.name);
            assert!(!made.iter().any(|one| one.is_infinite()), "{}: {made:?}", case.name);
            for (key, spoken) in spoken.iter().enumerate() {
                let why = model.explain(horizon, &features, key as u32);
                assert_eq!(why.is_some(), *spoken, "{}, key {key}", case.name);
            }
        }
        assert!(model.explain(0, &features, 4).is_none(), "{}: a key that is not there", case.name);
    }
}

#[test]
fn key_that_the_model_has_not_met_has_no_forecast_and_teaches_nothing() {
    for case in cases().into_iter().filter(|case| case.keys == Keys::Own) {
        let mut model = case.fresh();
        case.learn_steps(&mut *model, 2, 0..60);
        let (features, labels) = case.sample(3, 60);
        let made = case.forecasts(&*model, &features);
        assert!(made.iter().all(|made| made[..2].iter().all(|one| one.is_finite()) && made[2].is_nan()), "{made:?}");
        assert!(model.explain(0, &features, 2).is_none(), "{}", case.name);
        let before = model.version(0);
        model.learn_many(0, &features, &labels);
        assert_eq!(model.version(0), before + 2, "{}", case.name);
    }
}

#[test]
fn gaps_of_one_key_change_no_forecast_of_another() {
    for case in cases() {
        let mut model = case.fresh();
        case.learn_steps(&mut *model, 4, 0..50);
        let (whole, _) = case.sample(4, 60);
        let made = [case.forecasts(&*model, &whole), case.forecasts(&*model, &with_gaps(&case, 60))];
        let first = made.map(|made| made.iter().map(|horizon| horizon[0].to_bits()).collect::<Vec<_>>());
        assert_eq!(first[0], first[1], "{}", case.name);
    }
}

#[test]
fn column_that_appears_is_used_and_one_that_vanishes_leaves_the_model_as_it_was() {
    for case in cases() {
        let without = |step: i64| {
            let (mut features, labels) = case.sample(3, step);
            features.values.iter_mut().skip(2).step_by(FEATURES).for_each(|value| *value = f64::NAN);
            (features, labels)
        };
        let speaks = !matches!(case.silenced_by, SilencedBy::Any);
        let mut model = case.fresh();
        for step in 0..100 {
            let (features, labels) = without(step);
            case.learn(&mut *model, &features, &labels);
        }
        let made = case.forecasts(&*model, &without(100).0).concat();
        assert!(made.iter().all(|one| one.is_finite() == speaks), "{}: before it was there: {made:?}", case.name);
        let told = case.keeps(Promise::Law) && case.keeps(Promise::NewColumn);
        let there = 100 + if told { case.steps } else { 100 };
        case.learn_steps(&mut *model, 3, 100..there);
        if told {
            let miss = case.miss(&*model);
            assert!(miss < case.within[1], "{}: {miss} once it is there", case.name);
        }
        let (asked, _) = case.sample(3, 50_000);
        let before = case.forecasts(&*model, &asked);
        for step in there..there + 100 {
            let (features, labels) = without(step);
            case.learn(&mut *model, &features, &labels);
            let made = case.forecasts(&*model, &features).concat();
            assert!(made.iter().all(|one| one.is_finite() == speaks), "{}: {made:?}", case.name);
        }
        let after = case.forecasts(&*model, &asked);
        if !speaks {
            assert_eq!(bits(&after), bits(&before), "{}: what it could not read taught nothing", case.name);
        } else if told {
            let miss = case.miss(&*model);
            assert!(miss < 2.0 * case.within[1], "{}: {miss} after it was gone for a while", case.name);
        }
    }
}

#[test]
fn huge_values_leave_every_model_finite_and_able_to_recover() {
    for case in cases() {
        let mut model = case.fresh();
        case.learn_steps(&mut *model, 1, 0..100);
        let quantities = case.labels == Labels::Quantities;
        for (step, huge) in [1e5, 1e12, -1e80, 1e150, -1e300, f64::MAX, f64::MIN_POSITIVE].into_iter().enumerate() {
            let (usual, _) = case.sample(1, 100 + step as i64);
            let one = [&[huge], &usual.values[1..]].concat();
            for values in [one, vec![huge; FEATURES], usual.values.clone()] {
                for label in if quantities { [huge, 10.0] } else { [0.0, 1.0] } {
                    let features = FeatureMatrix { values: values.clone(), ..usual.clone() };
                    case.learn(&mut *model, &features, &[label]);
                    let made = case.forecasts(&*model, &features).concat();
                    assert!(!made.iter().any(|one| one.is_infinite()), "{}: {made:?}", case.name);
                }
            }
        }
        let (features, _) = case.sample(1, 5000);
        let made = case.forecasts(&*model, &features).concat();
        assert!(made.iter().all(|one| one.is_finite()), "{}: {made:?}", case.name);
        if case.keeps(Promise::Refusal) {
            assert!(model.refused(0) > 0, "{}", case.name);
        }
        if case.keeps(Promise::Recovery) {
            case.learn_steps(&mut *model, 1, 100..100 + case.steps_again);
            let miss = case.miss(&*model);
            assert!(miss < case.within[1], "{}: {miss}", case.name);
        }
        let saved = state(&mut *model);
        assert_eq!(state(&mut *case.restored(&saved)), saved, "{}", case.name);
    }
}
