//! Drift inside the predict stage and a pipeline: told soon after a change and not before, models that recover faster for it,
//! keys that bother nobody else, state that comes back, and files that ask for what cannot be.

use std::ops::Range;
use std::sync::Arc;

use arterial::observe::RunEvent;
use arterial::stages::predict::drift::DriftDetection;
use arterial::stages::predict::{
    DetectorSettings, DriftEffect, DriftSettings, ExpertSettings, ModelSettings, Predict, PredictorSettings, Start,
};
use arterial::vocab::Snapshot;
use serde_json::Value;

use crate::encode_support::conforms;
use crate::mlp::network;
use crate::predict_support::{
    Feed, MemoryState, Numbers, SIZE, bits, city_model, columns, full, plan, settings, try_plan,
};
use crate::predictor_checks::{Promise, cases, state};
use crate::run_support::{Ends, edited, plan as pipeline, run};

const ADWIN: DetectorSettings = DetectorSettings::Adwin { delta: 0.002 };
const PAGE_HINKLEY: DetectorSettings = DetectorSettings::PageHinkley { delta: 0.5, threshold: 100.0 };
/// The step at which the first key changes.
const CHANGE: usize = 3_000;
const KEYS: usize = 3;

fn drift(detector: DetectorSettings, effect: DriftEffect) -> DriftSettings {
    let (forgetting, forgetting_labels) = (None, None);
    DriftSettings { detector, effect, forgetting, forgetting_labels, min_labels: 300, zone: chrono_tz::UTC }
}

/// A predictor that forgets slowly.
fn watched(drift: Option<DriftSettings>) -> PredictorSettings {
    let model = arterial::stages::predict::OnlineLinearSettings { forgetting: 0.9999, ..city_model() };
    PredictorSettings { drift, min_history_micros: 100 * SIZE, ..settings(&[1, 3], model) }
}

/// A road on which speeds come back to a level; from `CHANGE` on the first key swings about a lower one.
fn speed(past: f64, step: usize, key: usize, numbers: &mut Numbers) -> f64 {
    if key == 0 && step >= CHANGE {
        40.0 - 0.6 * (past - 40.0) + numbers.normal()
    } else {
        70.0 + 0.8 * (past - 70.0) + numbers.normal()
    }
}

#[derive(Default)]
struct Ran {
    drifts: Vec<DriftDetection>,
    /// Forecasts of each window.
    forecasts: Vec<Vec<Vec<f64>>>,
    /// Absolute error of the first key, one step ahead, of each window.
    errors: Vec<f64>,
    /// Its values.
    values: Vec<f64>,
}

/// Runs windows; the values are a function of the step alone.
fn live(predict: &mut Predict, feed: &mut Feed, steps: Range<usize>, ledger: &mut MemoryState) -> Ran {
    let mut ran = Ran::default();
    for step in steps {
        let past = feed.past().first().cloned().unwrap_or_else(|| vec![70.0; KEYS]);
        let mut numbers = Numbers(step as u64 * 7_919 + 1);
        let values: Vec<f64> = (0..past.len()).map(|key| speed(past[key], step, key, &mut numbers)).collect();
        let (window, features) = feed.window(step as i64, &values, &[]);
        let made = predict.step(&window, &features);
        ran.values.push(values[0]);
        if let Some(last) = ran.forecasts.last() {
            ran.errors.push((last[0][0] - values[0]).abs());
        }
        ran.drifts.extend(made.drifts);
        ran.forecasts.extend(made.forecasts.into_iter().map(|forecasts| forecasts.model));
        if step % 7 == 0 {
            predict.snapshot(Snapshot::Changed, ledger);
        }
    }
    ran
}

fn whole(drift: Option<DriftSettings>) -> Ran {
    let columns = columns(2, &[]);
    let mut predict = Predict::new(plan(watched(drift), &columns));
    live(&mut predict, &mut Feed::new(2, &columns), 0..CHANGE + 900, &mut MemoryState::default())
}

/// Mean error of the first key in the windows after the change.
fn mean_error(ran: &Ran, after: Range<usize>) -> f64 {
    let errors: Vec<f64> = ran.errors[CHANGE + after.start..CHANGE + after.end]
        .iter()
        .copied()
        .filter(|error| error.is_finite())
        .collect();
    errors.iter().sum::<f64>() / errors.len() as f64
}

#[test]
fn change_is_told_soon_after_it_came_and_of_its_key_alone() {
    for detector in [ADWIN, PAGE_HINKLEY] {
        let ran = whole(Some(drift(detector, DriftEffect::None)));
        assert!(ran.drifts.iter().all(|drift| drift.key == 0), "{:?}", ran.drifts);
        for horizon in 0..2 {
            let first = ran.drifts.iter().find(|drift| drift.horizon == horizon).unwrap();
            let delay = first.at.0 / SIZE - CHANGE as i64;
            assert!((0..60).contains(&delay), "{detector:?}: {delay} windows");
            let shift = first.shift;
            assert!(shift.after.mean > 1.5 * shift.before.mean, "{shift:?}");
            assert!((delay - shift.after.labels as i64).abs() < 12, "{delay} windows, {shift:?}");
            assert!(first.version > 0);
        }
    }
}

#[test]
fn model_that_forgets_faster_or_starts_anew_recovers_sooner() {
    for detector in [ADWIN, PAGE_HINKLEY] {
        let none = whole(Some(drift(detector, DriftEffect::None)));
        let (untouched, forget) = (whole(None), whole(Some(drift(detector, DriftEffect::Forget))));
        let rewarm = whole(Some(drift(detector, DriftEffect::Rewarm)));
        for (left, right) in none.forecasts.iter().zip(&untouched.forecasts) {
            assert_eq!(bits(left), bits(right), "`none` only tells");
        }
        let late = 350..850;
        let [none_error, forget_error, rewarm_error] =
            [&none, &forget, &rewarm].map(|ran| mean_error(ran, late.clone()));
        // Noise of deviation 1 leaves a mean absolute error of 0.80 to who knows the law.
        let lost = |error: f64| error - 0.8;
        assert!(lost(forget_error) < 0.7 * lost(none_error), "{forget_error} beside {none_error}");
        assert!(lost(rewarm_error) < 0.5 * lost(none_error), "{rewarm_error} beside {none_error}");
        // Other keys notice nothing of it.
        for other in [&forget, &rewarm] {
            let others =
                |forecasts: &Vec<Vec<f64>>| forecasts.iter().map(|keys| keys[1..].to_vec()).collect::<Vec<_>>();
            for (left, right) in none.forecasts.iter().zip(&other.forecasts) {
                assert_eq!(bits(&others(left)), bits(&others(right)));
            }
        }
    }
}

#[test]
fn key_that_starts_anew_is_silent_for_its_history_at_that_horizon() {
    let ran = whole(Some(drift(ADWIN, DriftEffect::Rewarm)));
    for horizon in 0..2 {
        let told = (ran.drifts.iter().find(|drift| drift.horizon == horizon).unwrap().at.0 / SIZE) as usize;
        // The label that told is the first of the new history of 100.
        let silent = (told..told + 99).filter(|&step| ran.forecasts[step][horizon][0].is_nan()).count();
        assert_eq!(silent, 99, "horizon {horizon}");
        assert!(ran.forecasts[told + 99][horizon][0].is_finite());
    }
}

#[test]
fn persistence_speaks_from_the_first_window_after_it_starts_anew() {
    let mut wanted = watched(Some(drift(ADWIN, DriftEffect::Rewarm)));
    let model = arterial::stages::predict::OnlineLinearSettings {
        start: Start::Persistence,
        forgetting: 0.9999,
        ..city_model()
    };
    wanted.model = ModelSettings::One(ExpertSettings::OnlineLinear(model));
    let columns = columns(2, &[]);
    let mut predict = Predict::new(plan(wanted, &columns));
    let mut feed = Feed::new(2, &columns);
    let ran = live(&mut predict, &mut feed, 0..CHANGE + 300, &mut MemoryState::default());
    let told = (ran.drifts.iter().find(|drift| drift.horizon == 0).unwrap().at.0 / SIZE) as usize;
    for step in told..told + 99 {
        let (forecast, last) = (ran.forecasts[step][0][0], ran.values[step]);
        assert!((forecast - last).abs() < 1e-9, "step {step}: {forecast} after {last}");
    }
    assert!(ran.forecasts[told..].iter().all(|forecasts| forecasts[0][0].is_finite()));
}

#[test]
fn state_comes_back_bit_for_bit_also_while_a_key_forgets_faster() {
    for detector in [ADWIN, PAGE_HINKLEY] {
        for effect in [DriftEffect::None, DriftEffect::Forget, DriftEffect::Rewarm] {
            let columns = columns(2, &[]);
            let plan = plan(watched(Some(drift(detector, effect))), &columns);
            let (mut whole, mut feed, mut ledger) =
                (Predict::new(Arc::clone(&plan)), Feed::new(2, &columns), MemoryState::default());
            // Some labels after the change was told, while `forget` lasts.
            let cut = CHANGE + 90;
            let before = live(&mut whole, &mut feed, 0..cut, &mut ledger);
            assert!(!before.drifts.is_empty());
            whole.snapshot(Snapshot::Changed, &mut ledger);
            assert_eq!(full(&mut whole).blocks, ledger.blocks, "changes add up to the state");
            let mut restored = Predict::new(Arc::clone(&plan));
            restored.restore(&ledger).unwrap();
            let (mut left, mut right, mut other) = (ledger.clone(), ledger, feed.clone());
            let one = live(&mut whole, &mut feed, cut..cut + 700, &mut left);
            let two = live(&mut restored, &mut other, cut..cut + 700, &mut right);
            assert_eq!(one.drifts, two.drifts);
            for (one, two) in one.forecasts.iter().zip(&two.forecasts) {
                assert_eq!(bits(one), bits(two), "{effect:?}");
            }
            assert_eq!(full(&mut whole).blocks, full(&mut restored).blocks);
        }
    }
}

#[test]
fn key_that_expired_is_a_fresh_key() {
    let columns = columns(2, &[]);
    let plan = plan(watched(Some(drift(ADWIN, DriftEffect::Forget))), &columns);
    let (mut predict, mut feed) = (Predict::new(Arc::clone(&plan)), Feed::new(2, &columns));
    live(&mut predict, &mut feed, 0..CHANGE + 60, &mut MemoryState::default());
    let (mut window, features) = feed.window((CHANGE + 60) as i64, &[40.0, 70.0, 70.0], &[]);
    window.expired = vec![0, 1, 2];
    predict.step(&window, &features);
    let mut fresh = Predict::new(plan);
    let detectors = |predict: &mut Predict| {
        let blocks = full(predict).blocks;
        blocks.into_iter().filter(|((step, _), _)| step == "drift.speed").collect::<Vec<_>>()
    };
    let (window, features) = Feed::new(2, &columns).window(1, &[f64::NAN; KEYS], &[]);
    fresh.step(&window, &features);
    let blocks = detectors(&mut predict);
    assert!(!blocks.is_empty());
    assert_eq!(blocks, detectors(&mut fresh));
}

#[test]
fn model_takes_an_effect_for_one_key_and_horizon_or_says_that_it_cannot() {
    for case in cases() {
        let (name, takes) = (case.name, case.keeps(Promise::Effects));
        let (mut model, mut other) = (case.fresh(), case.fresh());
        for effect in [DriftEffect::Forget, DriftEffect::Rewarm] {
            assert_eq!(model.supports(effect), takes, "{name}");
        }
        if !takes {
            continue;
        }
        case.learn_steps(&mut *model, 3, 0..300);
        case.learn_steps(&mut *other, 3, 0..300);
        model.hasten(0, 1, Some(0.9));
        let (features, labels) = case.sample(3, 300);
        case.learn(&mut *model, &features, &labels);
        case.learn(&mut *other, &features, &labels);
        let (left, right) = (case.forecasts(&*model, &features), case.forecasts(&*other, &features));
        assert_ne!(left[0][1].to_bits(), right[0][1].to_bits(), "{name}");
        assert_eq!([left[0][0], left[0][2]].map(f64::to_bits), [right[0][0], right[0][2]].map(f64::to_bits), "{name}");
        assert_eq!(bits(&left[1..]), bits(&right[1..]), "{name}");
        // What it forgets by is no part of its state, and an end of it leaves nothing behind.
        let saved = state(&mut *model);
        model.hasten(0, 1, None);
        assert_eq!(state(&mut *model), saved, "{name}");
        let mut restored = case.restored(&saved);
        case.learn(&mut *model, &features, &labels);
        case.learn(&mut *restored, &features, &labels);
        assert_eq!(state(&mut *model), state(&mut *restored), "{name}");
        model.rewarm(1, 2);
        let mut fresh = case.fresh();
        fresh.grow(3);
        let (after, begun) = (case.forecasts(&*model, &features), case.forecasts(&*fresh, &features));
        assert_eq!(after[1][2].to_bits(), begun[1][2].to_bits(), "{name}");
        let before = case.forecasts(&*restored, &features);
        assert_eq!(bits(&after[..1]), bits(&before[..1]), "{name}");
        assert_eq!(after[1][..2], before[1][..2], "{name}");
    }
}

#[test]
fn state_of_the_other_detector_is_refused() {
    let columns = columns(2, &[]);
    let of = |detector| Predict::new(plan(watched(Some(drift(detector, DriftEffect::None))), &columns));
    let (mut one, mut ledger) = (of(ADWIN), MemoryState::default());
    live(&mut one, &mut Feed::new(2, &columns), 0..20, &mut ledger);
    let refused = of(PAGE_HINKLEY).restore(&ledger).unwrap_err();
    assert_eq!(refused.step, "drift.speed");
    assert!(refused.to_string().contains("not of 2 horizons and `page_hinkley`"), "{refused}");
}

/// What is wrong with such a predictor, and the hint.
fn refused(settings: PredictorSettings) -> (String, Option<String>) {
    let problems = try_plan(&[settings], &columns(2, &[])).unwrap_err();
    assert_eq!(problems.len(), 1);
    (problems[0].to_string(), problems[0].hint.clone())
}

#[test]
fn settings_that_cannot_be_are_refused_at_their_place() {
    let wrong = |edit: &dyn Fn(&mut DriftSettings)| {
        let mut settings = drift(ADWIN, DriftEffect::Forget);
        edit(&mut settings);
        refused(watched(Some(settings))).0
    };
    let place = "predict.speed.drift";
    assert_eq!(
        wrong(&|drift| drift.detector = DetectorSettings::Adwin { delta: 1.0 }),
        format!("{place}.detector.adwin.delta: delta 1 is not above 0 and below 1")
    );
    assert_eq!(
        wrong(&|drift| drift.detector = DetectorSettings::PageHinkley { delta: 0.1, threshold: 0.0 }),
        format!("{place}.detector.page_hinkley.threshold: threshold 0 is not a positive number")
    );
    assert_eq!(
        wrong(&|drift| drift.forgetting = Some(1.0)),
        format!("{place}.forgetting: forgetting 1 is not above 0 and below 1")
    );
    assert_eq!(
        wrong(&|drift| (drift.effect, drift.forgetting_labels) = (DriftEffect::Rewarm, Some(9))),
        format!("{place}.forgetting_labels: forgetting_labels has no use with the effect `rewarm`")
    );
}

#[test]
fn effect_that_no_model_can_take_for_one_key_is_refused() {
    let network = ExpertSettings::Mlp(network(arterial::stages::predict::Loss::Absolute));
    let single = |effect| PredictorSettings {
        model: ModelSettings::One(network.clone()),
        ..watched(Some(drift(ADWIN, effect)))
    };
    let (problem, hint) = refused(single(DriftEffect::Rewarm));
    assert_eq!(
        problem,
        "predict.speed.drift.effect: the effect `rewarm` cannot be had: `mlp` cannot take it for one key alone"
    );
    assert!(hint.unwrap().contains("`effect: none`"));
    assert!(try_plan(&[single(DriftEffect::None)], &columns(2, &[])).is_ok());
}

/// The corridor, watched by a detector that tells at the slightest rise.
fn corridor() -> String {
    edited(&[
        (
            "    model: { online_linear: { scale: 10 } }\n",
            "    model: { online_linear: { scale: 10 } }\n    drift: { detector: { page_hinkley: { delta: 0, threshold: 4 } }, effect: forget, min_labels: 30 }\n",
        ),
        (
            "  alerts: { from: alerts, memory: {} }\n",
            "  alerts: { from: alerts, memory: {} }\n  drift: { from: drift, memory: {} }\n",
        ),
    ])
}

#[test]
fn detections_are_records_a_metric_and_an_event() {
    let ends = Ends::with_sinks(10, &["alerts", "drift", "control"]);
    let ran = run(pipeline(&corridor()), &ends);
    ran.result.unwrap();
    let records = ends.broker.committed_records("drift").unwrap();
    assert!(!records.is_empty());
    for record in &records {
        let value: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        conforms("drift.v1", &value);
        assert_eq!(value["key"]["sensor_id"], String::from_utf8_lossy(record.key.as_ref().unwrap()).as_ref());
        assert_eq!((&value["predictor"], &value["detector"]), (&"speed".into(), &"page_hinkley".into()));
        assert_eq!((&value["effect"], &value["horizon_s"]), (&"forget".into(), &900.0.into()));
        let (before, after) = (value["mae_before"].as_f64().unwrap(), value["mae_after"].as_f64().unwrap());
        assert!(0.0 < before && before < after, "{value:#}");
        assert!(value["labels_before"].as_u64().unwrap() > 0 && value["labels_after"].as_u64().unwrap() > 0);
        assert!(value["model_version"].as_str().unwrap().starts_with("speed@"));
    }
    let text = ran.metrics.encode().unwrap();
    let line = format!("arterial_predict_drifts_total{{predictor=\"speed\",horizon=\"15m\"}} {}", records.len());
    assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    let told = ran.events.iter().filter_map(|event| match event {
        RunEvent::Drift { detections, first } => Some((*detections, first)),
        _ => None,
    });
    let (told, firsts): (Vec<u64>, Vec<_>) = told.unzip();
    assert_eq!(told.iter().sum::<u64>(), records.len() as u64);
    assert!(firsts[0].to_string().contains("  speed.15m: mean absolute error "), "{}", firsts[0]);
}

#[test]
fn explain_says_what_is_kept_and_of_what_it_is_made() {
    let outline = serde_json::to_value(pipeline(&corridor()).outline()).unwrap();
    let stages = outline["stages"].as_array().unwrap();
    let states = stages.iter().find(|stage| stage["stage"] == "predict").unwrap()["states"].as_array().unwrap();
    let state = states.iter().find(|state| state["step"] == "drift.speed").unwrap_or_else(|| panic!("{states:#?}"));
    assert_eq!(state["scope"], "partition");
    assert_eq!(state["key"], serde_json::json!(["sensor_id"]));
    assert_eq!(state["holds"], "a drift detector for 15m, usual errors by the time of day");
    assert!(state["made_from"].as_array().unwrap().contains(&"predict.speed".into()), "{state:#}");
}
