//! State: comes back bit for bit, whole or put together of changes, at any window; the same twice; bounded.

use arterial::stages::predict::OnlinePredictor;
use arterial::vocab::Snapshot;

use super::{Case, cases, state};
use crate::predict_support::{MemoryState, bits};

/// Windows after which one of the two goes on in a new process: before warm starts and networks have begun, while
/// memories fill up, and after they have begun to overwrite.
const RESTARTS: [i64; 6] = [0, 5, 23, 24, 60, 99];
const STEPS: i64 = 120;

/// A window of more and more keys, one of which is forgotten; two blocks of state and more.
fn window(case: &Case, model: &mut dyn OnlinePredictor, step: i64) -> Vec<Vec<u64>> {
    let (features, labels) = case.sample(90 + step as usize / 20, step);
    case.learn(model, &features, &labels);
    if step == 50 {
        model.forget(&[1, 40]);
    }
    bits(&case.forecasts(model, &features))
}

#[test]
fn every_model_comes_back_bit_for_bit_and_goes_on_alike() {
    for case in cases() {
        let (mut whole, mut stopped) = (case.fresh(), case.fresh());
        let (mut left, mut right) = (MemoryState::default(), MemoryState::default());
        for step in 0..STEPS {
            let expected = window(&case, &mut *whole, step);
            assert_eq!(window(&case, &mut *stopped, step), expected, "{}, window {step}", case.name);
            whole.snapshot(Snapshot::Changed, &mut left);
            stopped.snapshot(Snapshot::Changed, &mut right);
            assert_eq!(left.blocks, right.blocks, "{}, window {step}", case.name);
            if RESTARTS.contains(&step) {
                assert_eq!(state(&mut *whole).blocks, left.blocks, "{}: changes add up to the state", case.name);
                stopped = case.restored(&right);
                assert_eq!(state(&mut *stopped).blocks, right.blocks, "{}, window {step}", case.name);
            }
        }
    }
}

#[test]
fn every_model_goes_on_alike_from_a_full_snapshot() {
    for case in cases() {
        let mut whole = case.fresh();
        case.learn_steps(&mut *whole, 7, 0..40);
        let saved = state(&mut *whole);
        let mut restored = case.restored(&saved);
        case.learn_steps(&mut *whole, 7, 40..60);
        case.learn_steps(&mut *restored, 7, 40..60);
        assert_eq!(state(&mut *whole), state(&mut *restored), "{}", case.name);
    }
}

#[test]
fn every_model_gives_the_same_twice_whenever_it_learns_ahead() {
    for case in cases() {
        let (mut first, mut second) = (case.fresh(), case.fresh());
        for step in 0..100 {
            let (features, labels) = case.sample(7, step);
            case.learn(&mut *first, &features, &labels);
            case.learn(&mut *second, &features, &labels);
            if step % 3 == 0 {
                let before = state(&mut *second);
                second.prepare();
                assert_eq!(state(&mut *second), before, "{}, window {step}", case.name);
            }
            let made = [&first, &second].map(|model| bits(&case.forecasts(&**model, &features)));
            assert_eq!(made[0], made[1], "{}, window {step}", case.name);
        }
        assert_eq!(state(&mut *first), state(&mut *second), "{}", case.name);
    }
}

#[test]
fn forecasts_and_explanations_are_no_part_of_the_state_and_snapshots_change_nothing() {
    for case in cases() {
        let (mut asked, mut silent) = (case.fresh(), case.fresh());
        for step in 0..60 {
            let (features, labels) = case.sample(5, step);
            case.forecasts(&*asked, &features);
            asked.explain(0, &features, step as u32 % 5);
            state(&mut *asked);
            case.learn(&mut *asked, &features, &labels);
            case.learn(&mut *silent, &features, &labels);
        }
        assert_eq!(state(&mut *asked), state(&mut *silent), "{}", case.name);
    }
}
