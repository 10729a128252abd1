//! Classifiers: probabilities of the class of a window, or of one ahead; how they are scored; and what every model of
//! classes must survive.

use std::sync::Arc;

use arterial::stages::features::{ColumnKind, FeatureColumn, FeatureMatrix};
use arterial::stages::predict::neural::{MlpClassifier, MlpClassifierParams};
use arterial::stages::predict::online::{FtrlParams, FtrlPredictor};
use arterial::stages::predict::{
    ClassSums, ExpertSettings, FtrlSettings, MixParams, MixSettings, MlpClassifierSettings, ModelSettings,
    OnlinePredictor, Predict, PredictError, PredictPlan, PredictorSettings, Task,
};
use arterial::stages::window::ClosedWindow;
use arterial::vocab::{EventTime, Snapshot};

use crate::predict_support::{MemoryState, Numbers, SIZE, bits, city_model, full, settings, try_plan};

const FEATURES: usize = 3;

pub(crate) fn ftrl() -> FtrlSettings {
    FtrlSettings { features: None, alpha: 0.3, beta: 1.0, l1: 0.0, l2: 0.0 }
}

fn network() -> MlpClassifierSettings {
    MlpClassifierSettings {
        features: None,
        hidden: vec![16, 8],
        dropout: 0.0,
        min_labels: 20,
        steps: 2,
        batch: 32,
        learning_rate: 0.003,
        weight_decay: 0.0,
        average: 0.9,
        replay_rows: 100,
        seed: 3,
        online: true,
        pretrained: None,
    }
}

fn feature_columns() -> Arc<[FeatureColumn]> {
    ["a", "b", "c"]
        .map(|name| FeatureColumn { name: name.to_owned(), kind: ColumnKind::OwnUnit, horizon_steps: None })
        .into()
}

/// Every model of classes, with one horizon.
pub(crate) fn models() -> Vec<(&'static str, Box<dyn OnlinePredictor>)> {
    let named = || vec![feature_columns().iter().cloned().enumerate().collect::<Vec<_>>()];
    let classifier = |settings: &MlpClassifierSettings| {
        MlpClassifier::new("predict.test", MlpClassifierParams::new(settings).unwrap(), named())
    };
    vec![
        ("ftrl", Box::new(FtrlPredictor::new("predict.test", FtrlParams::new(&ftrl()).unwrap(), vec![vec![0, 1, 2]]))),
        ("network", Box::new(classifier(&network()))),
        ("network with dropout", Box::new(classifier(&MlpClassifierSettings { dropout: 0.2, ..network() }))),
    ]
}

/// Seeded rows of some keys and their classes: more often 1 the greater a - b, whatever c.
pub(crate) fn sample(keys: usize, step: i64) -> (FeatureMatrix, Vec<f64>) {
    let mut numbers = Numbers(step as u64 * 104_729 + 17);
    let values: Vec<f64> = (0..keys * FEATURES).map(|_| 100.0 + 10.0 * numbers.normal()).collect();
    let label = |row: &[f64]| f64::from(u8::from(row[0] - row[1] + 5.0 * numbers.normal() > 0.0));
    let labels = values.chunks_exact(FEATURES).map(label).collect();
    let features = FeatureMatrix { end: EventTime(step * SIZE), columns: feature_columns(), rows: keys, values };
    (features, labels)
}

pub(crate) fn learn(model: &mut dyn OnlinePredictor, features: &FeatureMatrix, labels: &[f64]) {
    model.grow(features.rows);
    model.learn_many(0, features, labels);
}

pub(crate) fn probabilities(model: &dyn OnlinePredictor, features: &FeatureMatrix) -> Vec<f64> {
    let mut all = vec![vec![f64::NAN; features.rows]];
    model.predict_many(features, &mut all);
    all.swap_remove(0)
}

fn state(model: &mut dyn OnlinePredictor) -> MemoryState {
    let mut state = MemoryState::default();
    model.snapshot(Snapshot::Full, &mut state);
    state
}

pub(crate) fn score(model: &dyn OnlinePredictor) -> ClassSums {
    let mut sums = ClassSums::default();
    for step in 100_000..100_200 {
        let (features, labels) = sample(5, step);
        for (probability, label) in probabilities(model, &features).iter().zip(labels) {
            sums.add(*probability, label, 0.5);
        }
    }
    sums
}

#[test]
fn every_classifier_learns_a_noisy_law_and_says_how_sure_it_is() {
    for (name, mut model) in models() {
        for step in 0..1500 {
            let (features, labels) = sample(3, step);
            learn(&mut *model, &features, &labels);
        }
        let sums = score(&*model);
        // The law itself is right in 89.6 % of cases: the angle of a - b, of spread 14.1, to noise of spread 5.
        assert!(sums.accuracy().unwrap() > 0.87, "{name}: {:?}", sums.accuracy());
        assert!(sums.auc().unwrap() > 0.95, "{name}: {:?}", sums.auc());
        assert!(sums.calibration_error().unwrap() < 0.05, "{name}: {:?}", sums.calibration_error());
        assert_eq!((model.version(0), model.refused(0)), (4500, 0), "{name}");
    }
}

#[test]
fn every_classifier_comes_back_bit_for_bit_and_goes_on_alike() {
    for (index, (name, mut model)) in models().into_iter().enumerate() {
        let mut ledger = MemoryState::default();
        // Before the network has started, while its memory fills up, and after it has begun to overwrite.
        for step in 0..80 {
            let (features, labels) = sample(2, step);
            learn(&mut *model, &features, &labels);
            model.snapshot(Snapshot::Changed, &mut ledger);
            if [5, 30, 79].contains(&step) {
                assert_eq!(state(&mut *model).blocks, ledger.blocks, "{name}: changes add up to the state");
                let (_, mut restored) = models().swap_remove(index);
                restored.restore(&ledger).unwrap();
                assert_eq!(state(&mut *restored).blocks, ledger.blocks, "{name}, step {step}");
                for step in 200..210 {
                    let (features, labels) = sample(2, step);
                    let (_, mut twin) = models().swap_remove(index);
                    twin.restore(&ledger).unwrap();
                    learn(&mut *restored, &features, &labels);
                    learn(&mut *twin, &features, &labels);
                    if step == 200 {
                        assert_eq!(state(&mut *twin), state(&mut *restored), "{name}");
                    }
                }
                model = restored;
                ledger = state(&mut *model);
            }
        }
    }
}

#[test]
fn huge_values_leave_every_classifier_able_to_tell() {
    for (name, mut model) in models() {
        for step in 0..500 {
            let (features, labels) = sample(3, step);
            learn(&mut *model, &features, &labels);
        }
        for huge in [1e5, 1e12, -1e80, 1e150, -1e300, f64::MAX] {
            for label in [0.0, 1.0] {
                let features = FeatureMatrix { values: vec![huge; FEATURES], rows: 1, ..sample(1, 500).0 };
                learn(&mut *model, &features, &[label]);
            }
        }
        for step in 501..2000 {
            let (features, labels) = sample(3, step);
            learn(&mut *model, &features, &labels);
        }
        assert!(score(&*model).accuracy().unwrap() > 0.86, "{name}: {:?}", score(&*model).accuracy());
    }
}

#[test]
fn what_a_row_lacks_is_no_number_for_one_and_told_to_the_other() {
    for (name, mut model) in models() {
        for step in 0..200 {
            let (features, labels) = sample(3, step);
            learn(&mut *model, &features, &labels);
        }
        let (mut features, _) = sample(3, 200);
        features.values[0] = f64::NAN;
        features.values[FEATURES..2 * FEATURES].fill(f64::NAN);
        let before = state(&mut *model);
        model.learn_many(0, &features, &[f64::NAN, 1.0, f64::NAN]);
        assert_eq!(state(&mut *model), before, "{name}: a row without any value teaches nothing");
        let known: Vec<bool> = probabilities(&*model, &features).iter().map(|value| value.is_finite()).collect();
        assert_eq!(known, [name != "ftrl", false, true], "{name}");
        assert!(model.explain(0, &features, 1).is_none(), "{name}");
    }
}

#[test]
fn shares_of_the_features_add_up_to_the_probability() {
    for (name, mut model) in models() {
        for step in 0..400 {
            let (features, labels) = sample(3, step);
            learn(&mut *model, &features, &labels);
            let why = model.explain(0, &features, 1).unwrap();
            let shares: f64 = why.contributions.iter().map(|part| part.share).sum();
            assert!((why.baseline + shares - why.forecast).abs() < 1e-9, "{name}, step {step}");
            assert_eq!(why.forecast.to_bits(), probabilities(&*model, &features)[1].to_bits(), "{name}");
            let gap = why.contributions.iter().find(|part| part.feature == "completeness_gap");
            assert!(gap.is_none_or(|gap| gap.share.abs() < 1e-3), "{name}: {gap:?}");
        }
        // c says nothing, and is hardly given a share.
        let why = model.explain(0, &sample(3, 400).0, 1).unwrap();
        let share = |feature: &str| why.contributions.iter().find(|part| part.feature == feature).unwrap().share.abs();
        assert!(share("c") < 0.5 * share("a").max(share("b")), "{name}: {why:?}");
    }
}

fn classes(model: ExpertSettings, horizon_steps: &[i64]) -> PredictorSettings {
    let model = ModelSettings::One(model);
    PredictorSettings { task: Task::Classification, model, ..settings(horizon_steps, city_model()) }
}

fn mixed() -> PredictorSettings {
    let experts = vec![
        ("network".to_owned(), ExpertSettings::MlpClassifier(network())),
        ("regression".to_owned(), ExpertSettings::Ftrl(ftrl())),
    ];
    let params = MixParams { rate: 0.03, forgetting: 0.999, floor: 0.02, shared: 0.8 };
    let model = ModelSettings::Mix(MixSettings { experts, params });
    PredictorSettings { model, ..classes(ExpertSettings::Ftrl(ftrl()), &[0]) }
}

fn plan(settings: PredictorSettings) -> Arc<PredictPlan> {
    Arc::new(try_plan(&[settings], &feature_columns()).unwrap())
}

/// A window of these labels, which is what the target measures.
fn window(step: i64, labels: &[f64]) -> ClosedWindow {
    let end = EventTime(step * SIZE);
    ClosedWindow {
        start: end.plus(-SIZE),
        end,
        live: vec![true; labels.len()],
        rows: vec![10; labels.len()],
        imputed: Vec::new(),
        measured_columns: Vec::new(),
        columns: vec![labels.to_vec(), vec![100.0; labels.len()]],
        expired: Vec::new(),
    }
}

/// Probabilities of each window, by the labels that `labels_at` makes of the law's.
fn run(predict: &mut Predict, steps: std::ops::Range<i64>, change: impl Fn(i64, &mut Vec<f64>)) -> Vec<Vec<Vec<u64>>> {
    let one = |step| {
        let (features, mut labels) = sample(2, step);
        change(step, &mut labels);
        let forecasts = predict.step(&window(step, &labels), &features).forecasts;
        let why = predict.explain(0, 0, 1).unwrap();
        assert_eq!(why.forecast.to_bits(), forecasts[0].model[0][1].to_bits(), "explained by the model that made it");
        bits(&forecasts[0].model)
    };
    steps.map(one).collect()
}

#[test]
fn label_is_seen_after_its_own_window_and_not_before() {
    let plan = plan(mixed());
    let made = |changed: i64| {
        run(&mut Predict::new(Arc::clone(&plan)), 0..60, |step, labels| {
            if step == changed {
                labels.iter_mut().for_each(|label| *label = 1.0 - *label);
            }
        })
    };
    let (one, other) = (made(40), made(1000));
    assert_eq!(one[..=40], other[..=40], "at its own window a label has said nothing yet");
    assert_ne!(one[41], other[41], "with the next it has");
}

#[test]
fn classifier_of_windows_goes_on_after_a_restart_as_if_there_had_been_none() {
    let plan = plan(mixed());
    let mut whole = Predict::new(Arc::clone(&plan));
    let expected = run(&mut whole, 0..80, |_, _| {});
    let mut made = Vec::new();
    let mut ledger = MemoryState::default();
    for part in [0..1, 1..30, 30..31, 31..80] {
        let mut predict = Predict::new(Arc::clone(&plan));
        predict.restore(&ledger).unwrap();
        made.extend(run(&mut predict, part, |_, _| {}));
        predict.snapshot(Snapshot::Changed, &mut ledger);
        assert_eq!(full(&mut predict).blocks, ledger.blocks);
    }
    assert_eq!(made, expected);
    assert_eq!(full(&mut whole).blocks, ledger.blocks);
}

#[test]
fn every_label_is_scored_once_beside_the_last_one_and_the_share_of_ones() {
    let mut predict = Predict::new(plan(classes(ExpertSettings::Ftrl(ftrl()), &[0])));
    let (mut last, mut ones, mut seen) = (0.5, 0, 0);
    let (mut no_change, mut majority) = (ClassSums::default(), ClassSums::default());
    for step in 0..300 {
        let (features, mut labels) = sample(1, step);
        match step % 10 {
            3 => labels[0] = f64::NAN,
            7 => labels[0] = 0.5,
            _ => {
                no_change.add(last, labels[0], 0.5);
                majority.add(f64::from(ones + 1) / f64::from(seen + 2), labels[0], 0.5);
                (last, ones, seen) = (labels[0], ones + i32::from(labels[0] > 0.5), seen + 1);
            }
        }
        predict.step(&window(step, &labels), &features);
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
        let labels = if step == 0 { vec![f64::NAN; 2] } else { sample(2, step - 1).1 };
        predict.step(&window(step, &labels), &sample(2, step).0);
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
    assert!(try_plan(&[classes(regression(), &[0])], &feature_columns()).is_ok());
    let none = PredictorSettings { threshold: 1.0, ..classes(regression(), &[0]) };
    assert!(matches!(refused(none, &["a"])[..], [PredictError::Threshold { .. }]));
    let steep = ExpertSettings::Ftrl(FtrlSettings { alpha: 0.0, ..ftrl() });
    assert!(matches!(refused(classes(steep, &[0]), &["a"])[..], [PredictError::Classifier { name: "alpha", .. }]));
    let flat = ExpertSettings::MlpClassifier(MlpClassifierSettings { hidden: Vec::new(), ..network() });
    assert!(matches!(refused(classes(flat, &[0]), &["a"])[..], [PredictError::Classifier { name: "hidden", .. }]));
}
