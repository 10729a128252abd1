//! What a model comes to know: a law, a constant, a key that comes back; and that it still does after very many labels.

use arterial::stages::features::FeatureMatrix;

use super::{Case, FEATURES, Keys, Labels, Promise, cases, keeping, state};
use crate::predict_support::{Numbers, SIZE, bits};

#[test]
fn every_model_learns_the_law_of_its_labels_and_counts_them() {
    for case in keeping(Promise::Law) {
        let mut model = case.fresh();
        case.learn_steps(&mut *model, 3, 0..case.steps);
        let miss = case.miss(&*model);
        assert!(miss < case.within[0], "{}: {miss}", case.name);
        for horizon in 0..case.horizons {
            assert_eq!(model.refused(horizon), 0, "{}", case.name);
            // Those of a history that is passed over were not learned.
            let passed = if case.name.contains("until its history has passed") { 3 * 24 } else { 0 };
            assert_eq!(model.version(horizon), 3 * case.steps as u64 - passed, "{}", case.name);
        }
        if case.labels == Labels::Classes {
            let sums = case.scored(&*model);
            assert!(sums.auc().unwrap() > 0.95, "{}: {:?}", case.name, sums.auc());
            let error = sums.calibration_error().unwrap();
            assert!(error < 0.05, "{}: it is as sure as it ought to be, but for {error}", case.name);
        }
    }
}

/// A window in which everything is always the same.
fn constant(case: &Case, step: i64) -> (FeatureMatrix, Vec<f64>) {
    let (mut features, _) = case.sample(1, step);
    features.values.fill(20.0);
    (features, vec![if case.labels == Labels::Classes { 1.0 } else { 20.0 }])
}

#[test]
fn constant_target_is_known_in_the_end_and_the_power_to_learn_is_not_lost() {
    for case in keeping(Promise::Constant) {
        let mut model = case.fresh();
        for step in 0..case.steps_again {
            let (features, labels) = constant(&case, step);
            case.learn(&mut *model, &features, &labels);
        }
        let (features, labels) = constant(&case, 0);
        // Least squares are exact; networks come near, and no probability is 1.
        let within = match (case.keys, case.labels) {
            (Keys::Own, _) => 1e-6,
            (Keys::Shared, Labels::Quantities) => 0.1,
            (Keys::Shared, Labels::Classes) => 0.03,
        };
        for forecast in case.forecasts(&*model, &features).concat() {
            assert!((forecast - labels[0]).abs() < within, "{}: {forecast}", case.name);
        }
        if case.keeps(Promise::LawAfterConstant) {
            case.learn_steps(&mut *model, 1, 0..case.steps_again);
            let miss = case.miss(&*model);
            assert!(miss < case.within[1], "{}: {miss} once the features move", case.name);
        }
    }
}

#[test]
fn key_that_vanishes_and_comes_back_is_a_fresh_key() {
    for case in cases() {
        let mut model = case.fresh();
        case.learn_steps(&mut *model, 4, 0..200);
        let (mut features, _) = case.sample(5, 200);
        // A key that was never seen, with the row of the one that vanishes.
        features.values.copy_within(2 * FEATURES..3 * FEATURES, 4 * FEATURES);
        let before = case.forecasts(&*model, &features);
        model.forget(&[2]);
        model.grow(5);
        let after = case.forecasts(&*model, &features);
        for (before, after) in before.iter().zip(&after) {
            let others = [0, 1, 3].map(|key: usize| (before[key].to_bits(), after[key].to_bits()));
            assert!(others.iter().all(|(before, after)| before == after), "{}: others stay as they are", case.name);
            let same =
                after[2] == after[4] || (after[2] - after[4]).abs() < 1e-4 || after[2].is_nan() && after[4].is_nan();
            assert!(same, "{}: {} is not {} of a key that was never seen", case.name, after[2], after[4]);
        }
    }
}

#[test]
fn key_with_a_model_of_its_own_goes_on_as_one_that_was_never_there() {
    for case in cases().into_iter().filter(|case| case.keys == Keys::Own) {
        let (mut model, mut fresh) = (case.fresh(), case.fresh());
        case.learn_steps(&mut *model, 4, 0..200);
        model.forget(&[2]);
        fresh.grow(4);
        for step in 200..260 {
            let (features, labels) = case.sample(4, step);
            let made = [&model, &fresh].map(|one| case.forecasts(&**one, &features));
            let of_key = made.map(|made| bits(&made.iter().map(|horizon| vec![horizon[2]]).collect::<Vec<_>>()));
            assert_eq!(of_key[0], of_key[1], "{}, window {step}", case.name);
            case.learn(&mut *model, &features, &labels);
            case.learn(&mut *fresh, &features, &labels);
        }
    }
}

/// One key for very long: a column that moves, one that is stuck, one that is silent at 0.
fn poor(case: &Case, numbers: &mut Numbers, features: &mut FeatureMatrix) -> f64 {
    features.end = features.end.plus(SIZE);
    let moving = 10.0 * numbers.uniform();
    features.values.copy_from_slice(&[moving, 7.0, 0.0]);
    let noise = numbers.uniform() - 0.5;
    match case.labels {
        Labels::Quantities => 0.8 * moving + 3.0 + noise,
        Labels::Classes => f64::from(u8::from(moving + 2.0 * noise > 5.0)),
    }
}

/// Runs these for long, under poor excitation.
fn last(cases: impl Iterator<Item = Case>) {
    for case in cases {
        let (mut model, mut numbers, mut features) = (case.fresh(), Numbers(99), case.sample(1, 0).0);
        let steps = (case.long_run / case.horizons) as i64;
        let (mut bytes, mut misses) = ([0, 0], 0_i64);
        for step in 0..steps {
            let label = poor(&case, &mut numbers, &mut features);
            if step % (steps / 200) == 0 {
                let made = case.forecasts(&*model, &features).concat();
                assert!(step < steps / 2 || made.iter().all(|one| one.is_finite()), "{}: {made:?}", case.name);
                let near = |made: &f64| match case.labels {
                    Labels::Quantities => (made - label).abs() < 1.0,
                    Labels::Classes => (made - label).abs() < 0.5,
                };
                misses += i64::from(step >= steps / 2 && !made.iter().all(near));
            }
            case.learn(&mut *model, &features, &[label]);
            if step == steps / 2 || step == steps - 1 {
                bytes[usize::from(step == steps - 1)] = state(&mut *model).blocks.values().map(Vec::len).sum::<usize>();
            }
        }
        // Numbers of labels are written in as many bytes as they need.
        assert!(bytes[1] <= bytes[0] + 64, "{}: state grew from {} bytes to {}", case.name, bytes[0], bytes[1]);
        if case.keeps(Promise::Law) {
            // Of 100 forecasts; labels of classes cannot all be told.
            assert!(misses <= 20, "{}: {misses} of 100 were far off", case.name);
        }
    }
}

#[test]
fn millions_of_labels_leave_models_of_single_keys_bounded_and_accurate() {
    last(cases().into_iter().filter(|case| case.keys == Keys::Own));
}

#[test]
fn very_many_labels_leave_models_of_all_keys_bounded_and_accurate() {
    last(cases().into_iter().filter(|case| case.keys == Keys::Shared));
}
