//! Measures of probabilities from sums: what they say beside what the rows themselves say.

use arterial::stages::predict::ClassSums;
use arterial::stages::predict::neural::fit::Evaluation;

use crate::predict_support::Numbers;

/// Probabilities about a base rate, and classes that come as often as they say.
fn events(rate: f64, spread: f64) -> (Vec<f64>, Vec<f32>) {
    let mut numbers = Numbers(23);
    let one = |_| {
        let odds = (rate / (1.0 - rate)).ln() + spread * numbers.normal();
        let probability = 1.0 / (1.0 + (-odds).exp());
        (probability, f32::from(u8::from(numbers.uniform() < probability)))
    };
    (0..40_000).map(one).unzip()
}

#[test]
fn area_under_the_curve_of_rare_events_is_that_of_their_rows() {
    for (rate, spread) in [(0.5, 1.0), (0.002, 0.5), (0.002, 2.0), (0.998, 0.5)] {
        let (probabilities, labels) = events(rate, spread);
        let exact = Evaluation::of(&probabilities, &labels, 0.5).auc.unwrap();
        // As they come, from two partitions.
        let (mut one, mut other) = (ClassSums::default(), ClassSums::default());
        for (row, (probability, label)) in probabilities.iter().zip(&labels).enumerate() {
            if row % 3 == 0 { &mut one } else { &mut other }.add(*probability, f64::from(*label), 0.5);
        }
        one.merge(&other);
        let binned = one.auc().unwrap();
        assert!((binned - exact).abs() < 1e-3, "{rate}, {spread}: {binned} where rows say {exact}");
    }
}

#[test]
fn calibration_error_is_over_ten_groups_of_equal_width() {
    let (probabilities, labels) = events(0.4, 1.5);
    let mut sums = ClassSums::default();
    let mut groups = [[0.0; 2]; 10];
    for (probability, label) in probabilities.iter().zip(&labels) {
        sums.add(*probability, f64::from(*label), 0.5);
        let group = &mut groups[(probability * 10.0) as usize];
        group[0] += probability;
        group[1] += f64::from(*label);
    }
    let expected = groups.iter().map(|[said, came]| (said - came).abs()).sum::<f64>() / labels.len() as f64;
    assert!((sums.calibration_error().unwrap() - expected).abs() < 1e-12);
    // Certain ones, right and wrong.
    let mut certain = ClassSums::default();
    for (probability, label) in [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)] {
        certain.add(probability, label, 0.5);
    }
    assert_eq!((certain.auc(), certain.calibration_error()), (Some(0.5), Some(0.5)));
}
