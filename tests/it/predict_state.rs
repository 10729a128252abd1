//! State of the predict stage: restored bit for bit, written as changes, refused where it is another plan's.

use std::sync::Arc;

use arterial::stages::predict::Predict;
use arterial::vocab::Snapshot;
use proptest::prelude::*;

use crate::predict_support::{
    Feed, MemoryState, Numbers, SIZE, bits, city_model, columns, full, plan, settings, speeds,
};

/// What happens at one window of a random run.
#[derive(Debug, Clone)]
struct Happening {
    keys: usize,
    silent: Vec<bool>,
    expire: Option<u32>,
    commit: bool,
    skip: bool,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = (0usize..3, prop::collection::vec(prop::bool::weighted(0.2), 40), prop::option::weighted(0.1, 0u32..12));
    let one = (one, prop::bool::weighted(0.3), prop::bool::weighted(0.05));
    let one = one.prop_map(|((keys, silent, expire), commit, skip)| Happening { keys, silent, expire, commit, skip });
    prop::collection::vec(one, 1..60)
}

/// Runs the happenings; at every commit, changes go to `ledger`. Returns the stage.
fn live_through(
    predict: &mut Predict,
    feed: &mut Feed,
    happenings: &[Happening],
    first: usize,
    ledger: &mut MemoryState,
) -> Vec<Vec<Vec<u64>>> {
    let mut emitted = Vec::new();
    let mut keys = 1 + happenings[..first].iter().map(|happening| happening.keys).sum::<usize>();
    for (step, happening) in happenings.iter().enumerate().skip(first) {
        keys += happening.keys;
        if happening.skip {
            continue;
        }
        let mut numbers = Numbers(step as u64 * 7919 + 1);
        let mut values: Vec<f64> = (0..keys).map(|_| 50.0 + 5.0 * numbers.normal()).collect();
        for (value, _) in values.iter_mut().zip(&happening.silent).filter(|(_, silent)| **silent) {
            *value = f64::NAN;
        }
        let (mut window, features) = feed.window(step as i64, &values, &[]);
        window.expired = happening.expire.iter().copied().filter(|key| (*key as usize) < keys).collect();
        for forecasts in predict.step(&window, &features).forecasts {
            emitted.push(bits(&forecasts.model));
        }
        for key in &window.expired {
            feed.forget(*key as usize);
        }
        if happening.commit {
            predict.snapshot(Snapshot::Changed, ledger);
        }
    }
    emitted
}

/// Blocks that two states do not have in common, bit for bit.
fn differing(left: &MemoryState, right: &MemoryState) -> Vec<(String, u32)> {
    let of = |state: &MemoryState, key: &(String, u32)| state.blocks.get(key).cloned();
    let keys = left.blocks.keys().chain(right.blocks.keys());
    keys.filter(|key| of(left, key) != of(right, key)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn restored_state_goes_on_bit_for_bit(happenings in happenings(), cut in 0.0f64..1.0, history in 0i64..9) {
        let columns = columns(2, &[]);
        let mut wanted = settings(&[1, 3], city_model());
        wanted.min_history_micros = history * SIZE;
        let plan = plan(wanted, &columns);
        let cut = (cut * happenings.len() as f64) as usize;

        let (mut whole, mut feed) = (Predict::new(Arc::clone(&plan)), Feed::new(2, &columns));
        let mut ledger = MemoryState::default();
        live_through(&mut whole, &mut feed, &happenings[..cut], 0, &mut ledger);
        whole.snapshot(Snapshot::Changed, &mut ledger);
        let at_cut = full(&mut whole);
        prop_assert_eq!(differing(&ledger, &at_cut), [], "changes add up to the whole");
        let mut nothing = MemoryState::default();
        whole.snapshot(Snapshot::Changed, &mut nothing);
        prop_assert_eq!(nothing.writes, 0, "nothing changed since");

        let mut restored = Predict::new(plan);
        restored.restore(&at_cut).unwrap();
        prop_assert_eq!(differing(&full(&mut restored), &at_cut), []);
        restored.snapshot(Snapshot::Changed, &mut nothing);
        prop_assert_eq!(nothing.writes, 0, "a restored state is clean");

        let past = feed.past();
        let mut other_feed = Feed::new(2, &columns);
        other_feed.set_past(past);
        let (mut left, mut right) = (ledger.clone(), ledger);
        let ours = live_through(&mut whole, &mut feed, &happenings, cut, &mut left);
        let theirs = live_through(&mut restored, &mut other_feed, &happenings, cut, &mut right);
        prop_assert_eq!(ours, theirs);
        prop_assert_eq!(differing(&full(&mut whole), &full(&mut restored)), []);
        prop_assert_eq!(differing(&left, &right), []);
        prop_assert_eq!(whole.totals(), restored.totals());
    }
}

#[test]
fn a_key_that_comes_new_leaves_the_blocks_of_its_neighbours_as_they_were_written() {
    let columns = columns(2, &[]);
    let mut wanted = settings(&[1], city_model());
    wanted.min_history_micros = 8 * SIZE;
    let plan = plan(wanted, &columns);
    let (mut predict, mut feed) = (Predict::new(plan), Feed::new(2, &columns));
    let mut ledger = MemoryState::default();
    for (step, values) in
        [&[50.0, 51.0][..], &[52.0, 50.0], &[51.0, 49.0], &[50.0, 51.0], &[f64::NAN; 6]].iter().enumerate()
    {
        let (window, features) = feed.window(step as i64, values, &[]);
        predict.step(&window, &features);
        predict.snapshot(Snapshot::Changed, &mut ledger);
        assert_eq!(differing(&ledger, &full(&mut predict)), [], "step {step}");
    }
}

#[test]
fn state_of_keys_without_values_is_the_same_however_it_came_about() {
    let columns = columns(2, &[]);
    let plan = plan(settings(&[1, 3], city_model()), &columns);
    let (mut predict, mut feed) = (Predict::new(Arc::clone(&plan)), Feed::new(2, &columns));
    let mut ledger = MemoryState::default();
    for (step, value) in [f64::NAN, f64::NAN, 50.0, 51.0].into_iter().enumerate() {
        let (mut window, features) = feed.window(step as i64, &[value], &[]);
        if step == 3 {
            window.expired = vec![0];
        }
        predict.step(&window, &features);
        predict.snapshot(Snapshot::Changed, &mut ledger);
        let whole = full(&mut predict);
        assert_eq!(differing(&ledger, &whole), [], "step {step}");
        let mut restored = Predict::new(Arc::clone(&plan));
        restored.restore(&whole).unwrap();
        assert_eq!(differing(&full(&mut restored), &whole), [], "step {step}");
    }
}

#[test]
fn state_of_another_plan_is_refused() {
    let columns = columns(3, &[]);
    let mut predict = Predict::new(plan(settings(&[1, 3], city_model()), &columns));
    let mut feed = Feed::new(3, &columns);
    for (step, values) in speeds(4, 20, 2).iter().enumerate() {
        let (window, features) = feed.window(step as i64, values, &[]);
        predict.step(&window, &features);
    }
    let state = full(&mut predict);
    let mut narrower = settings(&[1, 3], city_model());
    narrower.features = Some(vec!["speed.lag0".to_owned()]);
    for other in [narrower, settings(&[1], city_model())] {
        let error = Predict::new(plan(other, &columns)).restore(&state).unwrap_err();
        assert_eq!((error.step.as_str(), error.block), ("predict.speed.models", 0), "{error}");
    }
}
