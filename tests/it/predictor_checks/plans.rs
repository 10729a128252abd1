//! Whole predictors with their baselines, of one model or a mixture: what every model promises, and that no label is used
//! before its time.

use std::collections::VecDeque;

use arterial::stages::predict::neural::integrated_gradients::GAP;
use arterial::stages::predict::{Forecasts, Predict};
use arterial::vocab::Snapshot;

use super::plan_cases::{Input, PlanCase, all_bits, drawn, plans};
use super::{FEATURES, Labels};
use crate::predict_support::{MemoryState, full};

/// Keys come, one goes, and its id is given to another.
fn keys(step: i64) -> usize {
    3 + step as usize / 40
}

fn take(predict: &mut Predict, input: &Input) -> Forecasts {
    predict.step(&input.window, &input.features).forecasts.swap_remove(0)
}

/// The window of a life with keys that come and go.
fn lived(case: &PlanCase, step: i64) -> Input {
    let mut input = case.input(step, keys(step));
    match step {
        50 => input.window.expired = vec![1],
        // Its sensor is silent.
        70..75 => {
            input.window.columns[0][0] = f64::NAN;
            input.window.rows[0] = 0;
            input.features.values[..FEATURES].fill(f64::NAN);
        }
        80 => input.window.live[2] = false,
        _ => {}
    }
    input
}

#[test]
fn every_predictor_goes_on_after_a_restart_as_if_there_had_been_none() {
    for case in plans() {
        let (mut whole, mut stopped) = (case.fresh(), case.fresh());
        let (mut left, mut right) = (MemoryState::default(), MemoryState::default());
        for step in 0..130 {
            let input = lived(&case, step);
            let made = [&mut whole, &mut stopped].map(|one| all_bits(&take(one, &input)));
            assert_eq!(made[0], made[1], "{}, window {step}", case.name);
            if step % 3 == 0 {
                stopped.prepare();
            }
            whole.snapshot(Snapshot::Changed, &mut left);
            stopped.snapshot(Snapshot::Changed, &mut right);
            assert_eq!(left.blocks, right.blocks, "{}, window {step}", case.name);
            if [0, 1, 23, 24, 51, 72, 100].contains(&step) {
                assert_eq!(full(&mut whole).blocks, left.blocks, "{}: changes add up to the state", case.name);
                stopped = case.fresh();
                stopped.restore(&right).unwrap();
                assert_eq!(full(&mut stopped).blocks, right.blocks, "{}, window {step}", case.name);
            }
        }
        assert_eq!(whole.totals(), stopped.totals(), "{}", case.name);
    }
}

#[test]
fn label_is_seen_with_its_own_window_and_not_before() {
    for case in plans() {
        let run = |changed: i64| {
            let mut predict = case.fresh();
            let mut made = Vec::new();
            for step in 0..80 {
                let mut input = case.input(step, 2);
                if step == changed {
                    // The label alone: what is known by then stays as it is.
                    let other = |label: f64| if case.labels == Labels::Classes { 1.0 - label } else { label + 20.0 };
                    input.window.columns[0].iter_mut().for_each(|label| *label = other(*label));
                }
                made.push(all_bits(&take(&mut predict, &input)));
            }
            made
        };
        let (one, other) = (run(60), run(1_000));
        // A class of the window itself is predicted before its label is looked at.
        let unseen = if case.ahead() == 0 { 61 } else { 60 };
        assert_eq!(one[..unseen], other[..unseen], "{}: a label was seen before its time", case.name);
        assert_ne!(one[unseen], other[unseen], "{}: a label was never seen", case.name);
    }
}

/// Skill of the first horizon's model beside the share of what can be known without features, where labels are noise.
/// `leak`: a column tells the label that is to be forecast.
fn skill_on_noise(case: &PlanCase, leak: bool) -> f64 {
    let noise = |step: i64, key: usize| {
        let normal = drawn(step, key, 2).normal();
        if case.labels == Labels::Classes { f64::from(u8::from(normal > 0.0)) } else { 50.0 + 5.0 * normal }
    };
    let (mut predict, keys) = (case.fresh(), 4);
    let (mut sum, mut without, mut last) = (0.0, 0.0, None::<Vec<f64>>);
    let mut waiting = VecDeque::new();
    for step in 0..700 {
        let mut input = case.input(step, keys);
        for key in 0..keys {
            input.window.columns[0][key] = noise(step, key);
            let row = &mut input.features.values[key * FEATURES..(key + 1) * FEATURES];
            let mut other = drawn(step, key, 3);
            row.iter_mut().for_each(|value| *value = 50.0 + 5.0 * other.normal());
            if leak {
                row[0] = noise(step + case.ahead(), key);
            }
        }
        waiting.push_back(take(&mut predict, &input).model.swap_remove(0));
        if waiting.len() as i64 > case.ahead() {
            last = waiting.pop_front();
        }
        let Some(made) = last.take().filter(|_| step >= 350) else { continue };
        for (key, forecast) in made.iter().enumerate() {
            let label = noise(step, key);
            let middle = if case.labels == Labels::Classes { 0.5 } else { 50.0 };
            sum += (forecast - label).powi(2);
            without += (middle - label).powi(2);
        }
    }
    1.0 - sum / without
}

#[test]
fn noise_cannot_be_forecast_but_by_who_is_told_of_it() {
    for case in plans() {
        let (honest, told) = (skill_on_noise(&case, false), skill_on_noise(&case, true));
        assert!(honest < 0.02, "{}: skill {honest} on noise: it saw a label before its time", case.name);
        // The check would find it.
        assert!(told > 0.4, "{}: skill {told} of one that was told the label", case.name);
    }
}

#[test]
fn silent_sensor_gives_no_label_and_no_key_without_a_row_a_forecast() {
    for case in plans() {
        let (mut predict, mut labels) = (case.fresh(), 0);
        for step in 0..120 {
            let mut input = case.input(step, 3);
            let silent = (60..90).contains(&step);
            if silent {
                input.window.columns[0][1] = f64::NAN;
                input.window.rows[1] = 0;
                input.features.values[FEATURES..2 * FEATURES].fill(f64::NAN);
                // A label of an infinite value, or of too few rows, is none.
                input.window.columns[0][2] = f64::INFINITY;
                input.window.live[0] = step != 75;
            }
            labels += (0..3).filter(|&key| input.window.measured(0, key, 2)).count() as u64;
            let made = take(&mut predict, &input);
            for one in [&made.model, &made.persistence, &made.profile, &made.lower, &made.upper].into_iter().flatten() {
                assert!(!one.iter().any(|value| value.is_infinite()), "{}, window {step}: {one:?}", case.name);
                assert!(step != 75 || one[0].is_nan(), "{}: a key without a row: {one:?}", case.name);
            }
            for horizon in &made.model {
                assert!(step < 30 || step == 75 || horizon[0].is_finite(), "{}, window {step}", case.name);
                assert!(step < 90 || horizon[1].is_finite(), "{}, window {step}: it is back", case.name);
            }
        }
        let persistence = predict.totals().into_iter().find(|total| total.model == "persistence").unwrap();
        assert!(persistence.sums.count <= labels, "{}: {} of {labels}", case.name, persistence.sums.count);
        assert!(persistence.sums.count > 150, "{}: {}", case.name, persistence.sums.count);
    }
}

/// Mean absolute error at the first horizon, of all keys but the first, in each of some stretches of 300 windows; and the
/// bytes of the state after each.
fn lived_through<const N: usize>(
    case: &PlanCase,
    ends: [i64; N],
    change: impl Fn(i64, &mut Input),
) -> ([f64; N], [usize; N]) {
    let (mut predict, mut errors, mut bytes) = (case.fresh(), [0.0; N], [0; N]);
    let mut waiting = VecDeque::new();
    for step in 0..ends[N - 1] {
        let mut input = case.input(step, 4);
        change(step, &mut input);
        let made = take(&mut predict, &input).model.swap_remove(0);
        assert!(!made.iter().any(|value| value.is_infinite()), "{}, window {step}: {made:?}", case.name);
        waiting.push_back(made);
        let made = if waiting.len() as i64 > case.ahead() { waiting.pop_front() } else { None };
        for (stretch, end) in ends.iter().enumerate() {
            if let Some(made) = made.as_ref().filter(|_| (end - 300..*end).contains(&step)) {
                let labels = &input.window.columns[0];
                errors[stretch] += (1..4).map(|key| (made[key] - labels[key]).abs()).sum::<f64>() / 900.0;
            }
            if step == end - 1 {
                bytes[stretch] = full(&mut predict).blocks.values().map(Vec::len).sum();
            }
        }
    }
    (errors, bytes)
}

#[test]
fn huge_values_of_one_key_leave_the_others_forecasts_as_good_in_the_end() {
    for case in plans() {
        let calm = lived_through(&case, [700], |_, _| {}).0[0];
        let shaken = lived_through(&case, [700], |step, input| {
            let Some(huge) = [1e5, 1e12, -1e80, 1e150, -1e300, f64::MAX].get((step - 300) as usize) else { return };
            input.features.values[..FEATURES].fill(*huge);
            if case.labels == Labels::Quantities {
                input.window.columns[0][0] = *huge;
            }
        });
        let shaken = shaken.0[0];
        assert!(shaken < 1.2 * calm + 1e-9, "{}: {shaken} beside {calm}", case.name);
    }
}

#[test]
fn constant_target_is_known_by_every_predictor_and_its_baselines() {
    for case in plans() {
        let (mut predict, mut newest) = (case.fresh(), None);
        let constant = if case.labels == Labels::Classes { 1.0 } else { 50.0 };
        for step in 0..700 {
            let mut input = case.input(step, 2);
            input.window.columns[0].fill(constant);
            if case.labels == Labels::Quantities {
                input.features.values.fill(constant);
            }
            newest = Some(take(&mut predict, &input));
        }
        let newest = newest.unwrap();
        for forecast in newest.model.concat() {
            assert!((forecast - constant).abs() < case.constant_within, "{}: {forecast}", case.name);
        }
        for forecast in [newest.persistence, newest.profile].concat().concat() {
            // The share of ones among 1400 labels, and one of each kind before.
            assert!((forecast - constant).abs() < 1e-3, "{}: {forecast} of a baseline", case.name);
        }
    }
}

#[test]
fn key_that_vanishes_and_comes_back_has_no_past() {
    for case in plans() {
        let mut predict = case.fresh();
        for step in 0..100 {
            let mut input = case.input(step, 4);
            if step == 99 {
                input.window.expired = vec![2];
            }
            take(&mut predict, &input);
        }
        for step in 100..160 {
            // Both are new, and alike.
            let mut input = case.input(step, 5);
            input.window.columns[0][4] = input.window.columns[0][2];
            input.features.values.copy_within(2 * FEATURES..3 * FEATURES, 4 * FEATURES);
            let made = take(&mut predict, &input);
            for one in [&made.persistence, &made.profile].into_iter().flatten() {
                assert_eq!(one[2].to_bits(), one[4].to_bits(), "{}, window {step}: {one:?}", case.name);
            }
            for one in &made.model {
                // Keys that share a network do not learn the same rows from then on.
                let same = (one[2] - one[4]).abs() < 1e-4 || one[2].is_nan() && one[4].is_nan();
                assert!(step > 100 || same, "{}, window {step}: {one:?}", case.name);
            }
        }
    }
}

#[test]
fn shares_of_every_predictor_add_up_to_what_was_forecast() {
    for case in plans() {
        let (mut predict, mut explained) = (case.fresh(), 0);
        for step in 0..150 {
            let made = take(&mut predict, &case.input(step, 3));
            let pairs = (0..case.horizons()).flat_map(|horizon| (0..3).map(move |key| (horizon, key)));
            for (horizon, key) in pairs.filter(|_| step % 10 == 9) {
                let why = predict.explain(0, horizon, key as u32);
                assert_eq!(why.is_some(), made.model[horizon][key].is_finite(), "{}, window {step}", case.name);
                let Some(why) = why else { continue };
                assert_eq!(why.forecast.to_bits(), made.model[horizon][key].to_bits(), "{}, window {step}", case.name);
                assert_eq!(why.version, made.version[horizon], "{}, window {step}", case.name);
                let shares: f64 = why.contributions.iter().map(|part| part.share).sum();
                assert!((why.baseline + shares - why.forecast).abs() < 1e-9, "{}: {why:?}", case.name);
                let gap = why.contributions.iter().find(|part| part.feature == GAP);
                assert!(gap.is_none_or(|gap| gap.share.abs() < 1e-3), "{}: {gap:?}", case.name);
                explained += 1;
            }
        }
        assert!(explained >= 30, "{}: {explained}", case.name);
    }
}

#[test]
fn predictor_that_has_run_for_long_is_as_good_as_before_and_no_larger() {
    for case in plans() {
        // The networks' memories of 300 windows are full by the first of the two.
        let ([early, late], bytes) = lived_through(&case, [1_300, 2_500], |_, _| {});
        assert!(late < 1.15 * early, "{}: {late} after {early}", case.name);
        // Numbers of labels are written in as many bytes as they need.
        assert!(bytes[1] <= bytes[0] + bytes[0] / 50 + 64, "{}: {bytes:?}", case.name);
    }
}
