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
    #[cfg(feature = "neural")]
    networks: Vec<network::Network>,
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
        spreads: vec![0.0; keys * width],
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

#[cfg(feature = "neural")]
mod network {
    use arterial::stages::predict::Predictor;
    use arterial::stages::predict::neural::integrated_gradients::GAP;
    use arterial::stages::predict::neural::params::MlpScope;
    use arterial::stages::predict::neural::{MlpParams, MlpPredictor};
    use arterial::stages::predict::{Loss, MlpSettings};
    use arterial::vocab::{EventTime, to_block};
    use serde::Deserialize;

    use super::features;
    use crate::mlp::network;
    use crate::predict_support::{MemoryState, SIZE};
    use crate::predictor_checks::{FEATURES, feature_columns};

    const HORIZONS: usize = 2;
    /// Standard errors of the package's draws that a share may be away by: chance takes one of 16,000 further.
    const ERRORS_MAX: f64 = 4.0;
    /// What the engine's shares may miss the integral by, in spreads of the target.
    const MISS_MAX: f64 = 1e-4;

    #[derive(Deserialize)]
    pub(super) struct Network {
        anchors: Vec<usize>,
        weights: Vec<f32>,
        means: Vec<f64>,
        spreads: Vec<f64>,
        target_mean: f64,
        target_spread: f64,
        rows: Vec<Vec<f64>>,
        /// By key and horizon.
        baselines: Vec<Vec<f64>>,
        forecasts: Vec<Vec<f64>>,
        /// By key, horizon and column.
        shares: Vec<Vec<Vec<f64>>>,
        standard_errors: Vec<Vec<Vec<f64>>>,
    }

    /// The engine's network with the file's weights, by way of its state.
    fn restored(golden: &Network) -> MlpPredictor {
        let settings = MlpSettings { width: 6, slot_micros: Some(86_400_000_000), ..network(Loss::Squared) };
        let scope = MlpScope {
            columns: (0..FEATURES).collect(),
            anchors: vec![golden.anchors.clone(); HORIZONS],
            horizons_micros: vec![SIZE; HORIZONS],
            every_micros: SIZE,
            history: 1,
        };
        let params = MlpParams::new(&settings, scope).unwrap();
        // Count, mean and sum of squares, with which the spread is the file's; no first values are judged any more, and no
        // column was constant.
        let moments =
            |mean: f64, spread: f64| (100.0_f64, mean, 100.0 * spread * spread, Vec::<f64>::new(), None::<u8>);
        let columns: Vec<_> =
            golden.means.iter().zip(&golden.spreads).map(|(mean, spread)| moments(*mean, *spread)).collect();
        let unsettled = Vec::<u8>::new();
        let scales = (1_u64, columns, moments(golden.target_mean, golden.target_spread), unsettled);
        let counts = vec![1_u64; HORIZONS];
        let progress = (golden.rows.len() as u64, 1_u64, None::<EventTime>, &counts, &counts, &counts, scales);
        let zeros = vec![0.0_f32; golden.weights.len()];
        let mut state = MemoryState::default();
        let mut put = |step: &str, bytes| state.blocks.insert((format!("predict.test.{step}"), 0), bytes);
        put("progress", to_block(&progress));
        put("network", to_block(&(&golden.weights, &golden.weights, &zeros, &zeros)));
        let mut model = MlpPredictor::new("predict.test", params, feature_columns().to_vec());
        model.restore(&state).unwrap();
        model
    }

    #[test]
    fn shares_of_a_network_are_those_of_shaps_gradient_explainer_within_the_error_of_its_draws() {
        let golden = super::golden().networks;
        assert_eq!(golden.len(), 2, "without anchors and with them");
        for network in &golden {
            let (model, features) = (restored(network), features(&network.rows));
            for key in 0..network.rows.len() {
                for horizon in 0..HORIZONS {
                    let why = model.explain(horizon, &features, key as u32).unwrap();
                    let place = format!("anchors {:?}, key {key}, horizon {horizon}", network.anchors);
                    let close = |made: f64, expected: f64| (made - expected).abs() < 1e-5 * network.target_spread;
                    // It is the same network: both compute in 32 bits.
                    assert!(close(why.baseline, network.baselines[key][horizon]), "{place}: {}", why.baseline);
                    assert!(close(why.forecast, network.forecasts[key][horizon]), "{place}: {}", why.forecast);
                    let gap = why.contributions.last().unwrap();
                    assert!(
                        gap.feature == GAP && gap.share.abs() <= MISS_MAX * network.target_spread,
                        "{place}: {gap:?}"
                    );
                    for (column, share) in why.contributions[..FEATURES].iter().enumerate() {
                        let expected = network.shares[key][horizon][column];
                        let error = network.standard_errors[key][horizon][column];
                        let allowed = ERRORS_MAX * error + MISS_MAX * network.target_spread;
                        let away = (share.share - expected).abs();
                        assert!(away < allowed, "{place}: {share:?}, shap says {expected} with {error}");
                        assert!(error < 0.02 * network.target_spread, "{place}: draws that say nothing: {error}");
                    }
                }
            }
        }
    }
}
