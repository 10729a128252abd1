//! Predictors of classes: how they are scored, when a label is learned, and what cannot be meant. What every model of
//! classes must survive is in `predictor_checks`.

use std::sync::Arc;

use arterial::stages::features::{ColumnKind, FeatureColumn};
use arterial::stages::predict::{
    ClassSums, ExpertSettings, FtrlSettings, MlpClassifierSettings, ModelSettings, Predict, PredictError, PredictPlan,
    PredictorSettings, Task,
};

use crate::predict_support::{Numbers, city_model, settings, try_plan};
use crate::predictor_checks::{class_columns, class_sample, classifier_settings, ftrl, window};

fn classes(model: ExpertSettings, horizon_steps: &[i64]) -> PredictorSettings {
    let model = ModelSettings::One(model);
    PredictorSettings { task: Task::Classification, model, ..settings(horizon_steps, city_model()) }
}

fn plan(settings: PredictorSettings) -> Arc<PredictPlan> {
    Arc::new(try_plan(&[settings], &class_columns()).unwrap())
}

#[test]
fn every_label_is_scored_once_beside_the_last_one_and_the_share_of_ones() {
    let mut predict = Predict::new(plan(classes(ExpertSettings::Ftrl(ftrl()), &[0])));
    let (mut last, mut ones, mut seen) = (0.5, 0, 0);
    let (mut no_change, mut majority) = (ClassSums::default(), ClassSums::default());
    for step in 0..300 {
        let (features, mut labels) = class_sample(1, step);
        match step % 10 {
            3 => labels[0] = f64::NAN,
            7 => labels[0] = 0.5,
            _ => {
                no_change.add(last, labels[0], 0.5);
                majority.add(f64::from(ones + 1) / f64::from(seen + 2), labels[0], 0.5);
                (last, ones, seen) = (labels[0], ones + i32::from(labels[0] > 0.5), seen + 1);
            }
        }
        predict.step(&window(step, labels), &features);
    }
    let totals = predict.totals();
    let names: Vec<&str> = totals.iter().map(|total| total.model.as_str()).collect();
    assert_eq!(names, ["ftrl", "persistence", "profile"]);
    assert!(totals.iter().all(|total| total.sums.count == 240 && total.sums.classes.as_ref().unwrap().count() == 240));
    assert_eq!(totals[0].refused, 30, "labels that are no classes");
    let near = |one: &ClassSums, other: &ClassSums| {
        assert!((one.log_loss - other.log_loss).abs() < 1e-9);
        assert_eq!(one.accuracy(), other.accuracy());
    };
    near(totals[1].sums.classes.as_ref().unwrap(), &no_change);
    near(totals[2].sums.classes.as_ref().unwrap(), &majority);
    let accuracy = |index: usize| totals[index].sums.classes.as_ref().unwrap().accuracy().unwrap();
    assert!(accuracy(0) > 0.8 && accuracy(1) < 0.7 && accuracy(2) < 0.7);
}

#[test]
fn class_of_a_later_window_is_learned_when_that_window_has_closed() {
    // The class of a window is what its features said of the one before.
    let mut predict = Predict::new(plan(classes(ExpertSettings::Ftrl(ftrl()), &[1])));
    for step in 0..400 {
        let labels = if step == 0 { vec![f64::NAN; 2] } else { class_sample(2, step - 1).1 };
        predict.step(&window(step, labels), &class_sample(2, step).0);
    }
    let totals = predict.totals();
    assert!(totals[0].sums.classes.as_ref().unwrap().accuracy().unwrap() > 0.85, "{totals:?}");
}

#[test]
fn measures_are_what_their_definitions_say() {
    let mut numbers = Numbers(11);
    let pairs: Vec<(f64, f64)> = (0..400)
        .map(|_| {
            let label = f64::from(u8::from(numbers.uniform() < 0.3));
            // In the middle of a bin, so that ties are those of equal probabilities.
            let bin = ((100.0 + 60.0 * (label - 0.5) + 20.0 * numbers.normal()) as i32).clamp(0, 199);
            ((f64::from(bin) + 0.5) / 200.0, label)
        })
        .collect();
    let (mut sums, mut parts) = (ClassSums::default(), [ClassSums::default(), ClassSums::default()]);
    for (index, &(probability, label)) in pairs.iter().enumerate() {
        sums.add(probability, label, 0.4);
        parts[index % 2].add(probability, label, 0.4);
    }
    let [mut first, second] = parts;
    first.merge(&second);
    assert_eq!((first.auc(), first.accuracy(), first.count()), (sums.auc(), sums.accuracy(), 400));
    let of = |class: f64| pairs.iter().filter(move |(_, label)| *label == class).map(|(probability, _)| *probability);
    let (mut better, mut all) = (0.0, 0.0);
    for positive in of(1.0) {
        for negative in of(0.0) {
            all += 1.0;
            better += if positive > negative { 1.0 } else { 0.5 * f64::from(u8::from(positive == negative)) };
        }
    }
    assert!((sums.auc().unwrap() - better / all).abs() < 1e-12);
    let loss = |(p, label): &(f64, f64)| -(label * p.ln() + (1.0 - label) * (1.0 - p).ln());
    let mean = pairs.iter().map(loss).sum::<f64>() / 400.0;
    assert!((sums.mean_log_loss().unwrap() - mean).abs() < 1e-12);
    let called = pairs.iter().filter(|(probability, _)| *probability >= 0.4).count() as f64;
    let right = pairs.iter().filter(|(probability, label)| *probability >= 0.4 && *label == 1.0).count() as f64;
    let (precision, recall) = (right / called, right / of(1.0).count() as f64);
    assert!((sums.precision().unwrap() - precision).abs() < 1e-12);
    assert!((sums.recall().unwrap() - recall).abs() < 1e-12);
    assert!((sums.f1().unwrap() - 2.0 * precision * recall / (precision + recall)).abs() < 1e-12);
    let certain = {
        let mut sums = ClassSums::default();
        sums.add(0.0, 1.0, 0.5);
        sums
    };
    assert!((certain.log_loss - 34.54).abs() < 0.01, "a wrong certainty costs much, not everything");
    assert_eq!((certain.precision(), certain.auc(), ClassSums::default().accuracy()), (None, None, None));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |settings: PredictorSettings, columns: &[&str]| {
        let columns: Vec<FeatureColumn> = columns
            .iter()
            .map(|name| FeatureColumn { name: (*name).to_owned(), kind: ColumnKind::OwnUnit, horizon_steps: None })
            .collect();
        let problems = try_plan(&[settings], &columns).unwrap_err();
        problems.into_iter().map(|problem| problem.error).collect::<Vec<_>>()
    };
    let regression = || ExpertSettings::Ftrl(ftrl());
    assert!(matches!(
        refused(PredictorSettings { task: Task::Regression, ..classes(regression(), &[1]) }, &["a"])[..],
        [PredictError::ModelTask { ref model, task: "regression" }] if model == "ftrl"
    ));
    assert!(matches!(
        refused(classes(ExpertSettings::OnlineLinear(city_model()), &[1]), &["a"])[..],
        [PredictError::ModelTask { task: "classification", .. }]
    ));
    assert!(matches!(refused(settings(&[0], city_model()), &["speed.lag0"])[..], [PredictError::HorizonNow]));
    assert!(matches!(refused(classes(regression(), &[0, 1]), &["a"])[..], [PredictError::HorizonsMixed]));
    for name in ["speed", "speed.lag0", "speed.profile", "speed.missing", "free_flow.by_speed"] {
        assert!(matches!(
            refused(classes(regression(), &[0]), &["a", name])[..],
            [PredictError::OwnLabel { ref feature, .. }] if feature == name
        ));
    }
    assert!(try_plan(&[classes(regression(), &[0])], &class_columns()).is_ok());
    let none = PredictorSettings { threshold: 1.0, ..classes(regression(), &[0]) };
    assert!(matches!(refused(none, &["a"])[..], [PredictError::Threshold { .. }]));
    let steep = ExpertSettings::Ftrl(FtrlSettings { alpha: 0.0, ..ftrl() });
    assert!(matches!(refused(classes(steep, &[0]), &["a"])[..], [PredictError::Classifier { name: "alpha", .. }]));
    let flat = ExpertSettings::MlpClassifier(MlpClassifierSettings { hidden: Vec::new(), ..classifier_settings() });
    assert!(matches!(refused(classes(flat, &[0]), &["a"])[..], [PredictError::Classifier { name: "hidden", .. }]));
}
