//! One sensor that is far off in a contest of a champion and its challengers: it promotes nobody and stands in nobody's way.

use arterial::stages::predict::contest::Reason;
use arterial::stages::predict::{ComparedBy, ModelSettings, Predict, Promotion, PromotionSettings};

use crate::contest::{DAY, contest, learning, rule, stale};
use crate::predict_support::{Feed, Numbers, columns, plan};

const KEYS: usize = 24;

/// Promotions over four days of speeds that come back to 70, halfway in each window; `spoof` changes the value of the first key.
fn promotions(
    challenger: (&str, ModelSettings),
    by: ComparedBy,
    mut spoof: impl FnMut(usize, f64) -> f64,
) -> Vec<Promotion> {
    let columns = columns(6, &[]);
    let rule = PromotionSettings { by: Some(by), ..rule() };
    let mut predict = Predict::new(plan(contest(&[challenger], Some(rule)), &columns));
    let (mut feed, mut numbers, mut past) = (Feed::new(6, &columns), Numbers(5), [0.0; KEYS]);
    let mut step = |step: usize| {
        past.iter_mut().for_each(|past| *past = 0.5 * *past + 5.0 * numbers.normal());
        let mut values: Vec<f64> = past.iter().map(|deviation| 70.0 + deviation).collect();
        values[0] = spoof(step, values[0]);
        let (window, features) = feed.window(step as i64, &values, &[]);
        predict.step(&window, &features).promotions
    };
    (0..4 * DAY).flat_map(&mut step).collect()
}

#[test]
fn sensor_that_suits_the_worse_model_alone_does_not_promote_it() {
    for by in [ComparedBy::Mae, ComparedBy::Rmse] {
        // To and fro: the value of an odd number of windows ago is always right, the last one always wrong.
        let spoof = |step: usize, value: f64| if step < DAY { value } else { 1e6 * (step % 2) as f64 };
        assert_eq!(promotions(("stale", stale()), by, spoof), [], "{by:?}");
    }
}

#[test]
fn sensor_that_is_far_off_does_not_keep_the_better_model_out() {
    let better = |by: ComparedBy, case: &str, spoof: &mut dyn FnMut(usize, f64) -> f64| {
        let promotions = promotions(("learning", learning()), by, spoof);
        let [promotion] = promotions.as_slice() else { panic!("{case}, {by:?}: {promotions:?}") };
        assert_eq!((promotion.after.as_str(), promotion.reason), ("learning", Reason::Better), "{case}");
        assert_eq!(promotion.at.0 / 86_400_000_000, 2, "{case}: after the two days of the rule");
        let usual = |measure: f64| (0.1..2.0).contains(&measure);
        assert!(promotion.comparisons.iter().all(|one| usual(one.before) && usual(one.after)), "{case}: {promotion:?}");
    };
    for by in [ComparedBy::Mae, ComparedBy::Rmse] {
        for (case, from) in [("from the first day on", 0), ("from the second day on", DAY)] {
            // A walk: no model can do better than the last value, and beside its steps all others are nothing.
            let (mut numbers, mut walk) = (Numbers(9), 0.0);
            better(by, case, &mut |step, value| {
                walk += 1e5 * numbers.normal();
                if step < from { value } else { walk }
            });
        }
        for label in [1e9, 1e200] {
            better(by, "one label", &mut |step, value| if step == DAY + 100 { label } else { value });
        }
    }
}
