//! Choices of a linear model: how it starts, where Huber's loss turns, where forgetting ends.

use arterial::stages::predict::online::LinearPredictor;
use arterial::stages::predict::online::linear_predictor::HorizonModel;
use arterial::stages::predict::online::recursive_least_squares::{
    ModelMut, UpdateRule, start_covariance, triangle, update,
};
use arterial::stages::predict::{Loss, OnlineLinearSettings, OnlinePredictor, Predictor, Start};

use super::predict_support::{Numbers, bits};
use super::predictor_checks::{FEATURES, forecasts, learn, linear, params, sample, state};

#[test]
fn model_that_starts_at_persistence_repeats_the_last_value_until_its_history_has_passed() {
    let settings = OnlineLinearSettings { start: Start::Persistence, ..linear(Loss::Squared) };
    let fresh = |history| {
        let horizon = HorizonModel { params: params(&settings, history), columns: (0..FEATURES).collect() };
        LinearPredictor::new("predict.test", vec![horizon; 2])
    };
    let (mut waiting, mut late) = (fresh(50), fresh(0));
    late.grow(2);
    for step in 0..120 {
        let (features, mut labels) = sample(2, step, 0.5);
        if step % 2 == 0 {
            // The second key has half as many labels: it waits twice as long.
            labels[1] = f64::NAN;
        }
        waiting.grow(2);
        let last: Vec<f64> = (0..2).map(|key| features.row(key)[0]).collect();
        let made = forecasts(&waiting, &features);
        assert_eq!((made[0][0] - last[0]).abs() < 1e-9, step <= 50, "{step}");
        assert_eq!((made[0][1] - last[1]).abs() < 1e-9, step <= 101, "{step}");
        learn(&mut waiting, &features, &labels);
        labels[0] = if step < 50 { f64::NAN } else { labels[0] };
        labels[1] = if step < 100 { f64::NAN } else { labels[1] };
        learn(&mut late, &features, &labels);
        if step == 30 {
            // The count of what has passed is state.
            let mut restored = fresh(50);
            restored.restore(&state(&mut waiting)).unwrap();
            assert_eq!(state(&mut restored), state(&mut waiting));
            waiting = restored;
        }
    }
    let (features, _) = sample(2, 9999, 0.0);
    assert_eq!(bits(&forecasts(&waiting, &features)), bits(&forecasts(&late, &features)), "nothing older was learned");
}

#[test]
fn huber_loss_turns_at_the_declared_number_of_mean_residuals() {
    // One feature, `P` = 1, nothing forgotten: the step is v e / (1 + v) for a residual e of weight v.
    let step = |huber_delta, deviation, learned, target: f64| {
        let rule = UpdateRule {
            forgetting: 1.0,
            loss: Loss::Huber,
            initial_covariance: 1.0,
            huber_delta,
            trace_max: f64::INFINITY,
        };
        let (mut weights, mut covariance, mut deviation) = ([0.0], [1.0], deviation);
        let mut model =
            ModelMut { weights: &mut weights, covariance: &mut covariance, deviation: &mut deviation, learned };
        update(&rule, &mut model, &[1.0], target);
        weights[0]
    };
    let near = |left: f64, right: f64| assert!((left - right).abs() < 1e-12, "{left}, not {right}");
    near(step(3.0, 0.2, 100, 0.5), 0.25);
    // 1.2 is twice 3 x 0.2.
    near(step(3.0, 0.2, 100, 1.2), 0.5 * 1.2 / 1.5);
    near(step(6.0, 0.2, 100, 1.2), 0.6);
    // The scale is not trusted yet; and it never falls below 0.05.
    near(step(3.0, 0.2, 99, 1.2), 0.6);
    near(step(3.0, 0.0, 100, 0.1), 0.5 * 0.1 / 1.5);
}

#[test]
fn absolute_loss_aims_at_the_median_and_squared_loss_at_the_mean() {
    let aim = |loss| {
        let rule =
            UpdateRule { forgetting: 0.999, loss, initial_covariance: 1.0, huber_delta: 3.0, trace_max: f64::INFINITY };
        let (mut weights, mut covariance, mut deviation) = ([0.0], [1.0], 0.0);
        let (mut numbers, mut sum) = (Numbers(5), 0.0);
        for learned in 0..20_000 {
            // Exponential: its mean is 1, its median ln 2.
            let target = -(1.0 - numbers.uniform()).ln();
            let mut model =
                ModelMut { weights: &mut weights, covariance: &mut covariance, deviation: &mut deviation, learned };
            update(&rule, &mut model, &[1.0], target);
            sum += if learned >= 10_000 { weights[0] } else { 0.0 };
        }
        sum / 10_000.0
    };
    assert!((aim(Loss::Squared) - 1.0).abs() < 0.02, "{}", aim(Loss::Squared));
    assert!((aim(Loss::Absolute) - std::f64::consts::LN_2).abs() < 0.03, "{}", aim(Loss::Absolute));
    let between = aim(Loss::Huber);
    assert!(between < 1.0 && between > std::f64::consts::LN_2, "{between}");
}

#[test]
fn covariance_whose_trace_has_reached_its_bound_is_not_forgotten() {
    let trace_after = |trace_max| {
        let rule =
            UpdateRule { forgetting: 0.99, loss: Loss::Squared, initial_covariance: 1.0, huber_delta: 3.0, trace_max };
        let (mut weights, mut covariance, mut deviation) = ([0.0; 2], [0.0; triangle(2)], 0.0);
        start_covariance(&mut covariance, 2, 1.0);
        for learned in 0..2000 {
            let mut model =
                ModelMut { weights: &mut weights, covariance: &mut covariance, deviation: &mut deviation, learned };
            // The second feature is silent: its element of `P` only grows.
            update(&rule, &mut model, &[1.0, 0.0], 1.0);
        }
        covariance[0] + covariance[2]
    };
    let bounded = trace_after(100.0);
    assert!(bounded > 99.0 && bounded < 100.0 / 0.99, "{bounded}");
    assert!(trace_after(f64::INFINITY) > 9000.0);
}
