//! Explanations beside those of the `shap` package: the engine's own models, restored with the weights of the golden file,
//! explain the same rows. How the file was made, and what must agree with what, is said in `tests/golden/shap/shap_golden.py`.

use arterial::stages::features::FeatureMatrix;
use arterial::stages::predict::online::LinearPredictor;
use arterial::stages::predict::online::OnlineLinearParams;
use arterial::stages::predict::online::bank::Bank;
use arterial::stages::predict::online::linear_predictor::HorizonModel;
use arterial::stages::predict::online::recursive_least_squares::triangle;
use arterial::stages::predict::{Loss, Predictor};
use arterial::vocab::{EventTime, to_block};
use serde::Deserialize;

use crate::predict_support::MemoryState;
use crate::predictor_checks::{FEATURES, feature_columns, linear};

#[derive(Deserialize)]
struct Golden {
    linear: Linear,
}

#[derive(Deserialize)]
struct Linear {
    coefficients: Vec<f64>,
    intercept: f64,
    means: Vec<f64>,
    rows: Vec<Vec<f64>>,
    baseline: f64,
    forecasts: Vec<f64>,
    shares: Vec<Vec<f64>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/shap/golden.json")).unwrap()
}

/// One row per key, at midnight of a Thursday, UTC.
fn features(rows: &[Vec<f64>]) -> FeatureMatrix {
    FeatureMatrix { end: EventTime(0), columns: feature_columns(), rows: rows.len(), values: rows.concat() }
}

#[test]
fn shares_of_a_linear_model_are_those_of_shaps_linear_explainer() {
    let golden = golden().linear;
    // As the engine keeps them: features and target are divided by scales of their own.
    let (scales, settings) = ([10.0, 2.0, 0.5], linear(Loss::Squared));
    let params = OnlineLinearParams::new(&settings, scales.to_vec(), Some(0), 0).unwrap();
    let (width, keys) = (params.width(), golden.rows.len());
    let scaled = golden.coefficients.iter().zip(&scales).map(|(weight, scale)| weight * scale / settings.scale);
    let weights: Vec<f64> = scaled.chain([golden.intercept / settings.scale]).collect();
    let means: Vec<f64> = golden.means.iter().zip(&scales).map(|(mean, scale)| mean / scale).chain([1.0]).collect();
    let bank = Bank {
        started: vec![true; keys],
        weights: weights.repeat(keys),
        covariance: vec![0.0; keys * triangle(width)],
        deviation: vec![0.0; keys],
        learned: vec![50; keys],
        refused: vec![0; keys],
        means: means.repeat(keys),
        memory: vec![50.0; keys],
        passed: vec![0; keys],
    };
    let mut state = MemoryState::default();
    state.blocks.insert(("predict.test.models".to_owned(), 0), to_block(&vec![bank]));
    let mut model =
        LinearPredictor::new("predict.test", vec![HorizonModel { params, columns: (0..FEATURES).collect() }]);
    model.restore(&state).unwrap();
    let features = features(&golden.rows);
    for key in 0..keys {
        let why = model.explain(0, &features, key as u32).unwrap();
        assert!((why.baseline - golden.baseline).abs() < 1e-9, "row {key}: {}", why.baseline);
        assert!((why.forecast - golden.forecasts[key]).abs() < 1e-9, "row {key}: {}", why.forecast);
        assert_eq!(why.contributions.len(), FEATURES);
        for (share, expected) in why.contributions.iter().zip(&golden.shares[key]) {
            assert!((share.share - expected).abs() < 1e-9, "row {key}: {share:?}, shap says {expected}");
        }
    }
}
