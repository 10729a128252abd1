//! What a spoofed sensor can do to others: a neighbour whose value a model reads, and a key that shares a model.

use arterial::stages::features::{FeatureMatrix, Period, Profile, ProfilePlan};
use arterial::stages::predict::neural::MlpPredictor;
use arterial::stages::predict::online::LinearPredictor;
use arterial::stages::predict::online::linear_predictor::HorizonModel;
use arterial::stages::predict::{ClassSums, Loss, Predictor};
use arterial::vocab::EventTime;

use crate::mlp::{mlp, network};
use crate::predictor_checks::{
    Case, FEATURES, class_sample, classifiers, forecasts, learn, linear, matrix, params, sample,
};

const SPOOFED: f64 = 1e8;

/// Least squares with a model that started long ago.
fn squares() -> LinearPredictor {
    let horizon = HorizonModel { params: params(&linear(Loss::Squared), 24), columns: (0..FEATURES).collect() };
    let mut model = LinearPredictor::new("predict.test", vec![horizon; 2]);
    for step in 0..2_000 {
        let (features, labels) = sample(2, step, 0.5);
        learn(&mut model, &features, &labels);
    }
    model
}

/// Mean error over some steps; `alter` makes of a row what is read.
fn error(model: &mut LinearPredictor, steps: std::ops::Range<i64>, alter: impl Fn(i64, &mut [f64])) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for step in steps {
        let (mut features, labels) = sample(2, step, 0.5);
        alter(step, &mut features.values[..FEATURES]);
        sum += (forecasts(model, &features)[0][0] - labels[0]).abs();
        count += 1.0;
        learn(model, &features, &labels);
    }
    sum / count
}

#[test]
fn value_of_a_spoofed_neighbour_counts_as_its_usual_one_and_is_used_again_afterwards() {
    let calm = error(&mut squares(), 2_000..2_050, |_, _| {});
    let mut model = squares();
    // The neighbour's share of the labels is 0.3 times its value, which spreads by 2.9.
    let spoofed = error(&mut model, 2_000..2_001, |_, row| row[1] = SPOOFED);
    assert!(spoofed < 4.0, "{spoofed} beside {calm}");
    let after = error(&mut model, 2_001..2_050, |_, _| {});
    assert!(after < 1.1 * calm, "{after} beside {calm}");
}

#[test]
fn neighbour_that_is_spoofed_for_good_leaves_what_the_others_say() {
    let mut model = squares();
    let spoofed = error(&mut model, 2_000..6_000, |step, row| row[1] = SPOOFED * (step % 7 - 3) as f64);
    // Noise alone leaves 0.4; without the neighbour it is 0.84.
    assert!(spoofed < 1.0, "{spoofed}");
}

#[test]
fn sane_features_and_labels_are_learned_bit_for_bit_as_without_limits() {
    // A feature and a label at the edge of what is held: forty deviations, and the same less of another.
    let mut model = squares();
    let (features, _) = sample(2, 2_000, 0.5);
    let mut wide = features.clone();
    wide.values[1] = 15.0 + 90.0;
    let made = forecasts(&model, &wide)[0][0] - forecasts(&model, &features)[0][0];
    let slope = forecasts(&model, &matrix(0, &[[10.0, 11.0, 10.0]]))[0][0];
    let slope = slope - forecasts(&model, &matrix(0, &[[10.0, 10.0, 10.0]]))[0][0];
    let expected = slope * (wide.values[1] - features.values[1]);
    assert!((made - expected).abs() < 1e-6, "{made} beside {expected}");
    assert_eq!(model.refused(0), 0);
    learn(&mut model, &wide, &[20.0, 20.0]);
    assert_eq!(model.refused(0), 0);
}

#[test]
fn label_that_was_spoofed_moves_squared_loss_as_far_as_an_accident_does() {
    let mut model = squares();
    let (features, mut labels) = sample(2, 2_000, 0.5);
    labels[0] = SPOOFED;
    learn(&mut model, &features, &labels);
    let after = error(&mut model, 2_001..2_100, |_, _| {});
    assert!(after < 15.0, "{after}");
}

/// Scores of all keys but one, which from a step on says what it is told to.
fn beside_spoofed(case: &Case, spoof: impl Fn(i64, &mut [f64], &mut f64)) -> ClassSums {
    let mut model = case.fresh();
    let mut sums = ClassSums::default();
    for step in 0..3_000 {
        let (mut features, mut labels) = class_sample(10, step);
        if step >= 300 {
            spoof(step, &mut features.values[..3], &mut labels[0]);
        }
        if step >= 2_000 {
            let made = case.forecasts(&*model, &features);
            made[0].iter().zip(&labels).skip(1).for_each(|(probability, label)| sums.add(*probability, *label, 0.5));
        }
        case.learn(&mut *model, &features, &labels);
    }
    sums
}

#[test]
fn key_that_is_spoofed_for_good_and_lies_about_its_class_spoils_no_classifier_for_the_others() {
    for case in classifiers() {
        let name = case.name;
        let sums = beside_spoofed(&case, |step, row, label| {
            row.fill(1e9 * (step % 5 - 2) as f64);
            *label = 1.0 - *label;
        });
        // The law itself is right in 89.6 % of cases.
        assert!(sums.accuracy().unwrap() > 0.87, "{name}: {:?}", sums.accuracy());
        assert!(sums.auc().unwrap() > 0.95, "{name}: {:?}", sums.auc());
    }
}

#[test]
fn spoofed_neighbour_spoils_no_classifier() {
    for case in classifiers() {
        let name = case.name;
        // The third column says nothing of the class.
        let sums = beside_spoofed(&case, |step, row, _| row[2] = 1e9 * (step % 3 - 1) as f64);
        assert!(sums.accuracy().unwrap() > 0.87, "{name}: {:?}", sums.accuracy());
    }
}

#[test]
fn first_window_is_learned_in_spreads_whatever_the_unit() {
    // One window of fifty keys, then many of one: what the first taught must not stand in the way of the rest.
    let regression = classifiers().find(|case| case.name == "ftrl").unwrap();
    let run = |unit: f64| {
        let mut model = regression.fresh();
        for step in 0..40 {
            let (mut features, labels) = class_sample(if step == 0 { 50 } else { 3 }, step);
            features.values.iter_mut().for_each(|value| *value *= unit);
            regression.learn(&mut *model, &features, &labels);
        }
        let (mut features, _) = class_sample(5, 9_999);
        features.values.iter_mut().for_each(|value| *value *= unit);
        regression.forecasts(&*model, &features).swap_remove(0)
    };
    for (one, other) in run(1.0).iter().zip(run(2_f64.powi(-30))) {
        assert!((one - other).abs() < 1e-9, "{one} beside {other}: the unit shows");
    }
}

/// Spoofs a feature of the first key, or its label.
fn spoof(features: &mut FeatureMatrix, labels: &mut [f64], place: usize) {
    if place < FEATURES { features.values[place] = 1e9 } else { labels[0] = 1e9 }
}

/// Mean error of the network from the `first` key on.
fn error_of(model: &MlpPredictor, first: usize) -> f64 {
    let mut errors = Vec::new();
    for step in 0..50 {
        let (features, labels) = sample(4, 50_000 + step, 0.0);
        let made = forecasts(model, &features);
        errors.extend(made[0].iter().zip(&labels).skip(first).map(|(made, label)| (made - label).abs()));
    }
    errors.iter().sum::<f64>() / errors.len() as f64
}

/// A network of 40 windows, one of whose first values was spoofed.
fn with_history(spoofed: Option<(i64, usize)>) -> MlpPredictor {
    let mut model = mlp(&network(Loss::Absolute), FEATURES, Vec::new());
    for step in 0..600 {
        let (mut features, mut labels) = sample(4, step, 0.1);
        if let Some((_, place)) = spoofed.filter(|(at, _)| *at == step) {
            spoof(&mut features, &mut labels, place);
        }
        learn(&mut model, &features, &labels);
    }
    model
}

#[test]
fn spoofed_value_in_the_history_does_not_blind_the_network_for_ever() {
    let error = |model| error_of(&model, 0);
    let calm = error(with_history(None));
    for at in [0, 12, 20] {
        for place in [0, 1, FEATURES] {
            let spoofed = error(with_history(Some((at, place))));
            assert!(spoofed < 2.0 * calm + 0.2, "window {at}, place {place}: {spoofed} beside {calm}");
        }
    }
}

/// Where the night without a reading ends.
const MORNING: i64 = 100;

/// A network of keys that all say nothing until the morning, but for one value of the first key.
fn after_a_night(spoofed: Option<(i64, usize)>) -> MlpPredictor {
    let mut model = mlp(&network(Loss::Absolute), FEATURES, Vec::new());
    for step in 0..900 {
        let (mut features, mut labels) = sample(4, step, 0.1);
        if step < MORNING {
            features.values.fill(0.0);
            labels.fill(0.0);
        }
        if let Some((_, place)) = spoofed.filter(|(at, _)| *at == step) {
            spoof(&mut features, &mut labels, place);
        }
        learn(&mut model, &features, &labels);
    }
    model
}

#[test]
fn one_spoofed_value_in_a_night_without_counts_does_not_blind_the_network_for_ever() {
    let error = |model| error_of(&model, 1);
    let calm = error(after_a_night(None));
    // Labels of 8 to 18 are held at 10 by the scale of the night alone.
    assert!(calm < 1.5, "{calm}");
    // In the history, and after the scales were fixed.
    for at in [5, 20, 80] {
        for place in [0, FEATURES] {
            let spoofed = error(after_a_night(Some((at, place))));
            assert!(spoofed < 2.0 * calm + 0.2, "window {at}, place {place}: {spoofed} beside {calm}");
        }
    }
}

#[test]
fn one_spoofed_value_in_a_night_without_counts_spoils_no_classifier() {
    let accuracy = |case: &Case, spoofed: bool| {
        let (mut model, mut sums) = (case.fresh(), ClassSums::default());
        for step in 0..4_000 {
            let (mut features, labels) = class_sample(10, step);
            if step < 200 {
                features.values.fill(0.0);
                if spoofed && step == 150 {
                    features.values[..3].fill(1e9);
                }
            }
            if step >= 3_000 {
                let made = case.forecasts(&*model, &features).swap_remove(0);
                made.iter().zip(&labels).skip(1).for_each(|(probability, label)| sums.add(*probability, *label, 0.5));
            }
            case.learn(&mut *model, &features, &labels);
        }
        sums.accuracy().unwrap()
    };
    for case in classifiers() {
        let (calm, spoofed) = (accuracy(&case, false), accuracy(&case, true));
        assert!(calm > 0.8 && spoofed > calm - 0.03, "{}: {spoofed} beside {calm}", case.name);
    }
}

#[test]
fn profile_of_a_key_that_was_constant_is_rid_of_a_spoofed_value_once_readings_come() {
    let hour = 3_600_000_000;
    let mut profile = Profile::new(ProfilePlan {
        step: "profile".to_owned(),
        slot_micros: hour,
        period: Period::Day,
        smooth: 0,
        min_values: 1,
        memory: None,
        zone: chrono_tz::UTC,
    });
    for step in 1..=48_i64 {
        let (day, of_day) = ((step - 1) / 24, step % 24);
        let value = if of_day < 12 { 0.0 } else { 20.0 + (step % 5) as f64 };
        profile.observe(EventTime(step * hour), &[if (day, of_day) == (0, 11) { 1e9 } else { value }]);
    }
    let mut known = [f64::NAN];
    for of_day in 1..=24 {
        profile.fill(EventTime((48 + of_day) * hour), &mut known);
        assert!((0.0..=24.0).contains(&known[0]), "{of_day}: {known:?}");
    }
}
