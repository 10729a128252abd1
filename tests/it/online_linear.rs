//! Recursive least squares and its bank: the update itself, warm starts beside linfa's, `fit_with`, settings. What every
//! model must survive is in `predictor_checks`.

use arterial::stages::predict::online::bank::Bank;
use arterial::stages::predict::online::linear_predictor::HorizonModel;
use arterial::stages::predict::online::recursive_least_squares::{
    GROWTH_MAX, ModelMut, Outcome, UpdateRule, start_covariance, triangle, update,
};
use arterial::stages::predict::online::{LinearPredictor, OnlineLinear, OnlineLinearError, OnlineLinearParams};
use arterial::stages::predict::{Loss, OnlineLinearSettings, Start};
use linfa::Dataset;
use linfa::traits::{Fit, FitWith, Predict};
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2, s};

use crate::predict_support::Numbers;
use crate::predictor_checks::{FEATURES, forecasts, learn, linear, params, sample};

/// Features: a moving one, one that is stuck beside the bias, one that is silent. Ten million updates of whole models are in
/// `predictor_checks`.
#[test]
fn covariance_under_poor_excitation_grows_to_its_bound_and_no_further() {
    const WIDTH: usize = 4;
    for loss in [Loss::Squared, Loss::Huber] {
        let rule = UpdateRule {
            forgetting: 0.999,
            loss,
            initial_covariance: 1.0,
            huber_delta: 1.686,
            trace_max: f64::INFINITY,
        };
        let (mut weights, mut covariance) = ([0.0; WIDTH], [0.0; triangle(WIDTH)]);
        let (mut deviation, mut numbers) = (0.0, Numbers(99));
        start_covariance(&mut covariance, WIDTH, 1.0);
        let mut largest: f64 = 0.0;
        for learned in 0..300_000 {
            let x = [numbers.uniform(), 0.7, 0.0, 1.0];
            let noise = 0.1 * (numbers.uniform() - 0.5);
            let mut model =
                ModelMut { weights: &mut weights, covariance: &mut covariance, deviation: &mut deviation, learned };
            assert_eq!(update(&rule, &mut model, &x, 0.8 * x[0] + 0.3 + noise), Outcome::Learned, "{learned}");
            largest = covariance.iter().fold(largest, |most, element| most.max(element.abs()));
            if learned % 1000 == 999 {
                let forecast: f64 = weights.iter().zip([0.5, 0.7, 0.0, 1.0]).map(|(w, x)| w * x).sum();
                assert!((forecast - 0.7).abs() < 0.02, "{learned}: {forecast}");
            }
        }
        assert!((weights[0] - 0.8).abs() < 0.05, "{weights:?}");
        assert_eq!(weights[2], 0.0, "a silent feature never gets a weight");
        let limit = GROWTH_MAX / rule.forgetting;
        assert!(largest > 0.99 * GROWTH_MAX && largest <= limit * 1.0001, "{largest}");
    }
}

#[test]
fn bound_of_the_covariance_is_inactive_in_ordinary_operation() {
    // Against plain recursive least squares without any bound, in the textbook's form.
    const WIDTH: usize = 3;
    let rule = UpdateRule {
        forgetting: 0.999,
        loss: Loss::Squared,
        initial_covariance: 1.0,
        huber_delta: 3.0,
        trace_max: f64::INFINITY,
    };
    let (mut weights, mut covariance) = ([0.0; WIDTH], [0.0; triangle(WIDTH)]);
    let (mut deviation, mut numbers) = (0.0, Numbers(5));
    start_covariance(&mut covariance, WIDTH, 1.0);
    let (mut plain, mut p) = ([0.0; WIDTH], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    for learned in 0..20_000 {
        let x = [0.5 + 0.05 * numbers.normal(), 0.5 + 0.05 * numbers.normal(), 1.0];
        let y = 0.7 * x[0] + 0.2 * x[1] + 0.05 + 0.01 * numbers.normal();
        let mut model =
            ModelMut { weights: &mut weights, covariance: &mut covariance, deviation: &mut deviation, learned };
        update(&rule, &mut model, &x, y);
        let px: [f64; WIDTH] = std::array::from_fn(|i| (0..WIDTH).map(|j| p[i][j] * x[j]).sum());
        let den: f64 = rule.forgetting + (0..WIDTH).map(|i| x[i] * px[i]).sum::<f64>();
        let error = y - (0..WIDTH).map(|i| plain[i] * x[i]).sum::<f64>();
        for i in 0..WIDTH {
            plain[i] += px[i] / den * error;
            for j in 0..WIDTH {
                p[i][j] = (p[i][j] - px[i] * px[j] / den) / rule.forgetting;
            }
        }
    }
    for i in 0..WIDTH {
        assert!((weights[i] - plain[i]).abs() < 1e-9, "{weights:?} {plain:?}");
    }
    let largest = covariance.iter().fold(0.0f64, |most, element| most.max(*element));
    assert!(largest < GROWTH_MAX / 100.0, "{largest}");
}

#[test]
fn huber_loss_withstands_outliers_that_move_squared_loss() {
    let error_of = |loss| {
        let mut model = LinearPredictor::new(
            "predict.test",
            vec![HorizonModel { params: params(&linear(loss), 0), columns: (0..FEATURES).collect() }; 2],
        );
        for step in 0..3000 {
            let (features, mut labels) = sample(1, step, 0.5);
            if step % 20 == 19 {
                labels[0] += 60.0;
            }
            learn(&mut model, &features, &labels);
        }
        let (features, labels) = sample(1, 9999, 0.0);
        (forecasts(&model, &features)[0][0] - labels[0]).abs()
    };
    let (squared, huber) = (error_of(Loss::Squared), error_of(Loss::Huber));
    assert!(huber < 0.5 && squared > 2.0, "huber {huber}, squared {squared}");
}

/// Rows and labels of one series as linfa wants them.
fn dataset(rows: i64, noise: f64) -> Dataset<f64, f64, ndarray::Ix1> {
    let samples: Vec<_> = (0..rows).map(|step| sample(1, step, noise)).collect();
    let values = samples.iter().flat_map(|(features, _)| features.values.clone()).collect();
    let targets: Array1<f64> = samples.iter().map(|(_, labels)| labels[0]).collect();
    Dataset::new(Array2::from_shape_vec((rows as usize, FEATURES), values).unwrap(), targets)
}

#[test]
fn warm_start_without_ridge_is_linfas_ordinary_least_squares() {
    let data = dataset(200, 1.0);
    let settings = OnlineLinearSettings { ridge: 0.0, ..linear(Loss::Squared) };
    let ours = params(&settings, 1).fit_with(None, &data).unwrap();
    let theirs = LinearRegression::new().fit(&data).unwrap();
    let left: Array1<f64> = ours.predict(data.records());
    let right: Array1<f64> = theirs.predict(data.records());
    for (ours, theirs) in left.iter().zip(&right) {
        assert!((ours - theirs).abs() < 1e-9, "{ours} {theirs}");
    }
    // Features and target share a scale, so the weights are linfa's; the bias is in scaled units.
    for (ours, theirs) in ours.weights().iter().zip(theirs.params()) {
        assert!((ours - theirs).abs() < 1e-10);
    }
    assert!((ours.weights()[FEATURES] * 10.0 - theirs.intercept()).abs() < 1e-8);
}

#[test]
fn warm_start_is_where_recursive_least_squares_without_forgetting_arrives() {
    // P = I / ridge and weights 0 at the start, forgetting 1: the same ridge regression, row by row.
    let data = dataset(60, 1.0);
    let ridge = 0.25;
    let settings = OnlineLinearSettings { ridge, forgetting: 1.0, ..linear(Loss::Squared) };
    let ours = params(&settings, 1).fit_with(None, &data).unwrap();
    let rule = UpdateRule {
        forgetting: 1.0,
        loss: Loss::Squared,
        initial_covariance: 1.0 / ridge,
        huber_delta: 3.0,
        trace_max: f64::INFINITY,
    };
    let width = FEATURES + 1;
    let (mut weights, mut covariance, mut deviation) = (vec![0.0; width], vec![0.0; triangle(width)], 0.0);
    start_covariance(&mut covariance, width, 1.0 / ridge);
    for (row, target) in data.records().rows().into_iter().zip(data.targets()) {
        let x: Vec<f64> = row.iter().map(|value| value / 10.0).chain([1.0]).collect();
        let mut model =
            ModelMut { weights: &mut weights, covariance: &mut covariance, deviation: &mut deviation, learned: 0 };
        update(&rule, &mut model, &x, target / 10.0);
    }
    for (left, right) in ours.weights().iter().chain(ours.covariance()).zip(weights.iter().chain(&covariance)) {
        assert!((left - right).abs() < 1e-10, "{left} {right}");
    }
}

#[test]
fn fit_with_is_the_bank_of_a_pipeline() {
    let data = dataset(100, 1.0);
    for (history, loss) in [(0, Loss::Squared), (24, Loss::Huber)] {
        let params = params(&linear(loss), history);
        let part = |rows: std::ops::Range<usize>| {
            Dataset::new(
                data.records().slice(s![rows.clone(), ..]).to_owned(),
                data.targets().slice(s![rows]).to_owned(),
            )
        };
        let (first, second) = (part(0..24), part(24..100));
        let fitted: OnlineLinear = params.fit_with(None, &first).unwrap();
        let fitted = params.fit_with(Some(fitted), &second).unwrap();
        let mut pipeline =
            LinearPredictor::new("predict.test", vec![HorizonModel { params, columns: (0..FEATURES).collect() }; 2]);
        for step in 0..100 {
            let (features, labels) = sample(1, step, 1.0);
            learn(&mut pipeline, &features, &labels);
        }
        assert_eq!(fitted.weights(), pipeline.bank(1).weights);
        assert_eq!(fitted.covariance(), pipeline.bank(1).covariance);
        assert_eq!(fitted.learned(), 100);
        let (features, _) = sample(1, 5000, 0.0);
        let records = Array2::from_shape_vec((1, FEATURES), features.values.clone()).unwrap();
        let forecast: Array1<f64> = fitted.predict(&records);
        assert_eq!(forecast[0], forecasts(&pipeline, &features)[1][0]);
    }
}

#[test]
fn history_that_cannot_be_solved_is_learned_row_by_row() {
    let settings = OnlineLinearSettings { ridge: 0.0, ..linear(Loss::Squared) };
    let params = params(&settings, 5);
    let stuck = [2.0, 2.0, 2.0, 1.0, 2.0].repeat(5);
    let mut bank = Bank::default();
    bank.grow(&params, 1);
    assert!(bank.forecast(0, &stuck[..4]).is_nan(), "no forecast before the start");
    bank.start(&params, 0, &stuck);
    assert!((bank.forecast(0, &stuck[..4]) - 2.0).abs() < 1e-9);
    assert_eq!(bank.learned, [5]);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |settings: &OnlineLinearSettings, features: usize, persistence, history| {
        OnlineLinearParams::new(settings, vec![1.0; features], persistence, history).unwrap_err().to_string()
    };
    let good = linear(Loss::Squared);
    let with = |change: fn(&mut OnlineLinearSettings)| {
        let mut settings = good.clone();
        change(&mut settings);
        refused(&settings, 2, Some(0), 0)
    };
    assert_eq!(with(|settings| settings.forgetting = 0.0), "forgetting 0 lies outside 0 (exclusive) to 1");
    assert_eq!(with(|settings| settings.scale = f64::NAN), "scale NaN is not a positive number");
    assert_eq!(with(|settings| settings.initial_covariance = -1.0), "initial_covariance -1 is not a positive number");
    assert_eq!(with(|settings| settings.huber_delta = 0.0), "huber_delta 0 is not a positive number");
    assert_eq!(with(|settings| settings.trace_max = Some(0.0)), "trace_max 0 is not a positive number");
    assert!(
        refused(&OnlineLinearSettings { start: Start::Persistence, ..good.clone() }, 2, None, 9).contains("last value")
    );
    assert_eq!(with(|settings| settings.ridge = -0.5), "ridge -0.5 is not a number from 0 up");
    assert!(refused(&good, 64, Some(0), 0).contains("65 features"));
    assert!(refused(&good, 2, None, 0).contains("persistence"));
    let error = params(&good, 0).fit_with(None, &Dataset::new(Array2::zeros((2, 5)), Array1::zeros(2))).unwrap_err();
    assert!(matches!(error, OnlineLinearError::Columns { columns: 5, expected: FEATURES }));
}
