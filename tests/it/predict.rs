//! The predict stage: what is scored, learned and explained, and when.

use std::sync::Arc;

use arterial::stages::features::FeatureColumn;
use arterial::stages::predict::{ErrorSums, Predict, ScoreBy, ScoreRow, merge_totals};
use arterial::vocab::EventTime;

use crate::predict_support::{Feed, SIZE, bits, city_model, columns, full, plan, settings, speeds};

/// The peers' model, word by word (`Model.java`, `feed`): lags seen, lags newest first, weights, upper triangle.
struct PeerModel {
    seen: usize,
    lags: [f64; 6],
    weights: [f64; 7],
    p: [f64; 28],
}

impl PeerModel {
    fn fresh() -> Self {
        let mut model = Self { seen: 0, lags: [0.0; 6], weights: [0.0; 7], p: [0.0; 28] };
        model.weights[0] = 1.0;
        let mut at = 0;
        for i in 0..7 {
            model.p[at] = 1.0;
            at += 7 - i;
        }
        model
    }

    fn feed(&mut self, avg: f64) -> Option<f64> {
        let y = avg / 100.0;
        if self.seen >= 6 {
            self.learn(y);
        } else {
            self.seen += 1;
        }
        for i in (1..6).rev() {
            self.lags[i] = self.lags[i - 1];
        }
        self.lags[0] = y;
        if self.seen < 6 {
            return None;
        }
        let mut r = self.weights[6];
        for i in 0..6 {
            r += self.weights[i] * self.lags[i];
        }
        Some(r * 100.0)
    }

    #[allow(clippy::needless_range_loop, reason = "the transcription keeps the indices of the original")]
    fn learn(&mut self, y: f64) {
        let mut x = [1.0; 7];
        x[..6].copy_from_slice(&self.lags);
        let mut px = [0.0; 7];
        let mut at = 0;
        for i in 0..7 {
            px[i] += self.p[at] * x[i];
            at += 1;
            for j in i + 1..7 {
                px[i] += self.p[at] * x[j];
                px[j] += self.p[at] * x[i];
                at += 1;
            }
        }
        let (mut den, mut e) = (0.999, y);
        for i in 0..7 {
            den += x[i] * px[i];
            e -= self.weights[i] * x[i];
        }
        for i in 0..7 {
            self.weights[i] += px[i] / den * e;
        }
        at = 0;
        for i in 0..7 {
            for j in i..7 {
                self.p[at] = (self.p[at] - px[i] * px[j] / den) / 0.999;
                at += 1;
            }
        }
    }
}

#[test]
fn city_job_forecasts_equal_those_of_the_peers_model() {
    let columns = columns(6, &[]);
    let mut predict = Predict::new(plan(settings(&[1], city_model()), &columns));
    let mut feed = Feed::new(6, &columns);
    let mut peers: Vec<PeerModel> = (0..20).map(|_| PeerModel::fresh()).collect();
    let mut worst: f64 = 0.0;
    for (step, values) in speeds(20, 3000, 7).iter().enumerate() {
        let (window, features) = feed.window(step as i64, values, &[]);
        let forecasts = predict.step(&window, &features).forecasts.remove(0);
        for (key, peer) in peers.iter_mut().enumerate() {
            match peer.feed(values[key]) {
                None => assert!(forecasts.model[0][key].is_nan(), "step {step}"),
                Some(expected) => worst = worst.max((forecasts.model[0][key] / expected - 1.0).abs()),
            }
        }
    }
    println!("largest relative difference {worst:e}");
    assert!(worst < 1e-12, "{worst:e}");
    assert!(predict.totals().iter().all(|total| total.refused == 0));
}

/// Steps through a whole series; returns the model's forecasts as `[step][horizon][key]`.
fn run(predict: &mut Predict, feed: &mut Feed, series: &[Vec<f64>]) -> Vec<Vec<Vec<f64>>> {
    let mut forecasts = Vec::new();
    for (step, values) in series.iter().enumerate() {
        let (window, features) = feed.window(step as i64, values, &[]);
        forecasts.push(predict.step(&window, &features).forecasts.remove(0).model);
    }
    forecasts
}

#[test]
fn no_forecast_knows_a_value_that_comes_after_it() {
    let columns = columns(3, &[]);
    let series = speeds(3, 120, 3);
    for perturbed in [60, 61, 90] {
        let mut changed = series.clone();
        changed[perturbed][1] += 40.0;
        let plan = plan(settings(&[1, 3, 6], city_model()), &columns);
        let before = run(&mut Predict::new(Arc::clone(&plan)), &mut Feed::new(3, &columns), &series);
        let after = run(&mut Predict::new(plan), &mut Feed::new(3, &columns), &changed);
        for step in 0..series.len() {
            let same = bits(&before[step]) == bits(&after[step]);
            assert_eq!(same, step < perturbed, "value of step {perturbed}, forecasts of step {step}");
            // Other keys never know it.
            for horizon in 0..3 {
                assert_eq!(before[step][horizon][0].to_bits(), after[step][horizon][0].to_bits());
            }
        }
    }
}

#[test]
fn label_is_learned_at_the_close_of_its_own_window() {
    // Without the target among the features, a value reaches the model as a label only.
    let columns: Vec<FeatureColumn> = columns(1, &["time_of_day.sin1"]);
    let mut wanted = settings(&[1, 3], city_model());
    wanted.features = Some(vec!["time_of_day.*".to_owned()]);
    wanted.min_history_micros = 5 * SIZE;
    let plan = plan(wanted, &columns);
    let run = |perturbed: Option<usize>| {
        let (mut predict, mut feed) = (Predict::new(Arc::clone(&plan)), Feed::new(1, &columns));
        let mut forecasts = Vec::new();
        for step in 0..40 {
            let value = 50.0 + step as f64 + if perturbed == Some(step) { 30.0 } else { 0.0 };
            let (window, features) = feed.window(step as i64, &[value], &[(step as f64).sin()]);
            forecasts.push(predict.step(&window, &features).forecasts.remove(0).model);
        }
        forecasts
    };
    let (before, after) = (run(None), run(Some(20)));
    for step in 0..40 {
        for horizon in 0..2 {
            let same = before[step][horizon][0].to_bits() == after[step][horizon][0].to_bits();
            assert_eq!(same, step < 20, "step {step}, horizon {horizon}");
        }
    }
}

#[test]
fn scores_are_the_errors_of_the_forecasts_that_were_emitted() {
    let columns = columns(2, &[]);
    let mut wanted = settings(&[1, 4], city_model());
    wanted.score_from = Some(EventTime(100 * SIZE));
    let mut predict = Predict::new(plan(wanted, &columns));
    let mut feed = Feed::new(2, &columns);
    let series = speeds(3, 700, 11);
    let mut emitted = Vec::new();
    let mut rows: Vec<ScoreRow> = Vec::new();
    for (step, values) in series.iter().enumerate() {
        let (mut window, features) = feed.window(step as i64, values, &[]);
        if step % 5 == 0 {
            window.rows[2] = 1;
        }
        let mut done = predict.step(&window, &features);
        rows.append(&mut done.scores);
        emitted.push(done.forecasts.remove(0));
    }
    let totals = predict.totals();
    assert_eq!(totals.len(), 6);
    for (index, steps) in [1usize, 4].into_iter().enumerate() {
        let mut expected = [(); 3].map(|()| ErrorSums::default());
        for step in 100 + steps..700 {
            let origin = &emitted[step - steps];
            for key in (0..3).filter(|key| *key != 2 || step % 5 != 0) {
                let label = series[step][key];
                let (last, usual) = (origin.persistence[index][key] - label, origin.profile[index][key] - label);
                for (sums, error) in expected.iter_mut().zip([origin.model[index][key] - label, last, usual]) {
                    sums.add(error, last, usual);
                }
                assert_eq!(origin.persistence[index][key], series[step - steps][key]);
            }
        }
        for (model, name) in ["online_linear", "persistence", "profile"].iter().enumerate() {
            let total = &totals[index * 3 + model];
            assert_eq!((total.model.as_str(), total.horizon_micros), (*name, steps as i64 * SIZE));
            assert_eq!(total.sums, expected[model]);
        }
        assert!(expected[0].absolute < expected[1].absolute, "the model learns: {expected:?}");
    }
    // Days 0 and 1 have ended at step 700 (2.43 days) for both horizons and the three models.
    assert_eq!(rows.iter().map(|row| row.day).collect::<Vec<_>>(), [[0; 6], [1; 6]].concat());
    let first_day: u64 =
        rows.iter().filter(|row| row.day == 0 && row.model == "profile").map(|row| row.sums.count).sum();
    assert_eq!(first_day, 2 * (188 * 3) - 38 - 37, "origins 100..288, less the unmeasured labels of key 2");
}

#[test]
fn scores_by_label_count_the_same_labels_at_every_horizon() {
    let columns = columns(1, &[]);
    let counts = |score_by| {
        let mut wanted = settings(&[1, 4], city_model());
        wanted.score_from = Some(EventTime(20 * SIZE));
        wanted.score_by = score_by;
        let (mut predict, mut feed) = (Predict::new(plan(wanted, &columns)), Feed::new(1, &columns));
        run(&mut predict, &mut feed, &speeds(2, 50, 51));
        [0, 3].map(|row| predict.totals()[row].sums.count)
    };
    assert_eq!(counts(ScoreBy::Label), [2 * 30, 2 * 30]);
    assert_eq!(counts(ScoreBy::Forecast), [2 * 29, 2 * 26]);
}

#[test]
fn window_below_min_count_is_neither_learned_nor_scored() {
    let columns = columns(1, &[]);
    let plan = plan(settings(&[1], city_model()), &columns);
    let (mut predict, mut feed) = (Predict::new(Arc::clone(&plan)), Feed::new(1, &columns));
    for step in 0..10 {
        let (mut window, features) = feed.window(step, &[50.0 + step as f64], &[]);
        window.rows[0] = 1;
        let forecasts = predict.step(&window, &features).forecasts.remove(0);
        assert!((forecasts.model[0][0] - 50.0 - step as f64).abs() < 1e-9, "weights stay at persistence");
        assert_eq!(forecasts.persistence[0][0], 50.0 + step as f64, "a known value is known");
        assert_eq!(forecasts.version, [0]);
    }
    assert_eq!(predict.totals()[0].sums.count, 0);
}

#[test]
fn forecasts_are_held_at_their_limits_in_what_is_emitted_scored_and_explained() {
    let columns = columns(1, &[]);
    let mut wanted = settings(&[1], city_model());
    wanted.minimum = Some(0.0);
    wanted.maximum = Some(60.0);
    let mut predict = Predict::new(plan(wanted, &columns));
    let mut feed = Feed::new(1, &columns);
    let (window, features) = feed.window(0, &[90.0, -5.0, 30.0], &[]);
    let forecasts = predict.step(&window, &features).forecasts.remove(0);
    assert_eq!(forecasts.model[0][..2], [60.0, 0.0]);
    assert!((forecasts.model[0][2] - 30.0).abs() < 1e-9);
    let explained = predict.explain(0, 0, 0).unwrap();
    let limit = explained.contributions.last().unwrap();
    assert_eq!((limit.feature.as_str(), limit.value), ("limit", 60.0));
    assert!((limit.share + 30.0).abs() < 1e-9);
    assert_eq!(predict.explain(0, 0, 2).unwrap().contributions.len(), 1, "no limit, no share");
}

#[test]
fn held_forecast_is_the_one_that_is_scored() {
    let columns = columns(1, &[]);
    let mut wanted = settings(&[1], city_model());
    wanted.maximum = Some(60.0);
    let mut predict = Predict::new(plan(wanted, &columns));
    let mut feed = Feed::new(1, &columns);
    for step in 0..2 {
        let (window, features) = feed.window(step, &[90.0], &[]);
        predict.step(&window, &features);
    }
    let totals = predict.totals();
    let baselines = ErrorSums { persistence: 0.0, profile: 0.0, ..totals[0].sums.clone() };
    assert_eq!(baselines, ErrorSums { count: 1, absolute: 30.0, squared: 900.0, ..ErrorSums::default() });
    assert_eq!([totals[1].sums.absolute, totals[0].sums.persistence], [0.0; 2]);
}

#[test]
fn contributions_and_baseline_add_up_to_the_forecast() {
    let columns = columns(4, &["time_of_day.sin1"]);
    let mut predict = Predict::new(plan(settings(&[1, 3], city_model()), &columns));
    let mut feed = Feed::new(4, &columns);
    let mut worst: f64 = 0.0;
    for (step, values) in speeds(5, 600, 5).iter().enumerate() {
        let wave = (step as f64 / 50.0).sin();
        let (window, features) = feed.window(step as i64, values, &[wave]);
        let forecasts = predict.step(&window, &features).forecasts.remove(0);
        for key in 0..5u32 {
            let Some(explained) = predict.explain(0, 1, key) else {
                assert!(step < 3);
                continue;
            };
            assert_eq!(explained.forecast, forecasts.model[1][key as usize]);
            assert_eq!(explained.version, forecasts.version[1]);
            let shares: f64 = explained.contributions.iter().map(|part| part.share).sum();
            worst = worst.max((explained.baseline + shares - explained.forecast).abs());
            assert_eq!(explained.contributions[0].value, values[key as usize]);
            assert_eq!(explained.contributions[4].value, wave);
        }
    }
    assert!(worst < 1e-9, "{worst:e}");
    assert!(predict.explain(0, 2, 0).is_none() && predict.explain(0, 0, 9).is_none());
    let explained = predict.explain(0, 0, 0).unwrap();
    assert!((50.0..90.0).contains(&explained.baseline), "the forecast of a mean row: {}", explained.baseline);
}

#[test]
fn columns_of_another_horizon_are_never_used() {
    let mut columns = columns(1, &["speed.profile", "speed.profile"]);
    columns[1].horizon_steps = Some(1);
    columns[2].horizon_steps = Some(3);
    let plan = plan(settings(&[1, 3], city_model()), &columns);
    let run = |near: f64, far: f64| {
        let (mut predict, mut feed) = (Predict::new(Arc::clone(&plan)), Feed::new(1, &columns));
        let mut all = Vec::new();
        for (step, values) in speeds(1, 50, 9).iter().enumerate() {
            let others = [60.0 + near * (step as f64).sin(), 60.0 + far * (step as f64).cos()];
            let (window, features) = feed.window(step as i64, values, &others);
            all.push(predict.step(&window, &features).forecasts.remove(0).model);
        }
        (
            all.iter().map(|model| model[0][0]).collect::<Vec<_>>(),
            all.iter().map(|model| model[1][0]).collect::<Vec<_>>(),
        )
    };
    let (base, near, far) = (run(1.0, 1.0), run(5.0, 1.0), run(1.0, 5.0));
    assert!(base.0 != near.0 && base.1 == near.1);
    assert!(base.0 == far.0 && base.1 != far.1);
}

#[test]
fn window_that_is_missing_shifts_no_label() {
    // Alternating series: a label one step off would teach the opposite.
    let columns = columns(1, &[]);
    let mut predict = Predict::new(plan(settings(&[1], city_model()), &columns));
    let mut feed = Feed::new(1, &columns);
    let mut last = f64::NAN;
    for step in (0..400).filter(|step| step % 7 != 0) {
        let value = if step % 2 == 0 { 40.0 } else { 80.0 };
        let (window, features) = feed.window(step, &[value], &[]);
        last = predict.step(&window, &features).forecasts[0].model[0][0];
        if step > 300 {
            assert!((last - (120.0 - value)).abs() < 10.0, "step {step}: {last}");
        }
    }
    let learned = predict.totals()[0].sums.count;
    assert_eq!(learned, (1..400).filter(|step| step % 7 != 0 && (step - 1) % 7 != 0).count() as u64, "{last}");
}

#[test]
fn window_that_closed_before_is_not_learned_again() {
    let columns = columns(2, &[]);
    let plan = plan(settings(&[1, 2], city_model()), &columns);
    let (mut once, mut twice) = (Predict::new(Arc::clone(&plan)), Predict::new(plan));
    let mut feed = Feed::new(2, &columns);
    for (step, values) in speeds(2, 30, 21).iter().enumerate() {
        let (window, features) = feed.window(step as i64, values, &[]);
        once.step(&window, &features);
        twice.step(&window, &features);
        assert!(twice.step(&window, &features).forecasts.is_empty());
    }
    assert_eq!(full(&mut once), full(&mut twice));
}

#[test]
fn expired_key_leaves_nothing_to_the_key_that_gets_its_id() {
    let columns = columns(2, &[]);
    let plan = plan(settings(&[1, 3], city_model()), &columns);
    let series = speeds(2, 120, 31);
    let (mut reused, mut fresh) = (Predict::new(Arc::clone(&plan)), Predict::new(plan));
    let (mut reused_feed, mut fresh_feed) = (Feed::new(2, &columns), Feed::new(2, &columns));
    for (step, values) in series.iter().enumerate() {
        let (mut window, features) = reused_feed.window(step as i64, values, &[]);
        if step == 60 {
            window.expired = vec![1];
        }
        let left = predict_one(&mut reused, &window, &features);
        if step == 60 {
            reused_feed.forget(1);
            assert!(reused.explain(0, 0, 1).is_none(), "nothing is left to explain");
        }
        let silent = if step <= 60 { [values[0], f64::NAN] } else { [values[0], values[1]] };
        let (window, features) = fresh_feed.window(step as i64, &silent, &[]);
        let right = predict_one(&mut fresh, &window, &features);
        if step > 60 {
            assert_eq!(bits(&left.0), bits(&right.0), "step {step}");
            assert_eq!(bits(&left.1), bits(&right.1), "profile, step {step}");
        }
    }
}

fn predict_one(
    predict: &mut Predict,
    window: &arterial::stages::window::ClosedWindow,
    features: &arterial::stages::features::FeatureMatrix,
) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let forecasts = predict.step(window, features).forecasts.remove(0);
    (forecasts.model, forecasts.profile)
}

#[test]
fn dead_key_gets_no_forecast() {
    let columns = columns(1, &[]);
    let mut predict = Predict::new(plan(settings(&[1], city_model()), &columns));
    let mut feed = Feed::new(1, &columns);
    let (mut window, features) = feed.window(0, &[50.0, 60.0], &[]);
    window.live[1] = false;
    let forecasts = predict.step(&window, &features).forecasts.remove(0);
    assert_eq!(bits(&forecasts.model), bits(&[vec![50.0, f64::NAN]]));
    assert_eq!(bits(&forecasts.persistence), bits(&[vec![50.0, f64::NAN]]));
}

#[test]
fn profile_is_the_mean_of_earlier_values_at_the_same_time_of_day() {
    let columns = columns(1, &[]);
    let mut predict = Predict::new(plan(settings(&[6], city_model()), &columns));
    let mut feed = Feed::new(1, &columns);
    for step in 1..288 * 5 {
        // Half-hour slots: the value is the slot's number plus the day's. A window lies where its last instant does.
        let (day, slot) = ((step - 1) / 288, (step - 1) % 288 / 6);
        let (window, features) = feed.window(step, &[(slot + day * 100) as f64], &[]);
        let profile = predict.step(&window, &features).forecasts[0].profile[0][0];
        if day == 3 && slot < 47 {
            assert!((profile - (slot + 1 + 100) as f64).abs() < 1e-9, "step {step}: {profile}");
        }
    }
}

#[test]
fn totals_of_partitions_add_up() {
    let columns = columns(1, &[]);
    let plan = plan(settings(&[1], city_model()), &columns);
    let series = speeds(2, 50, 41);
    let run = |keys: std::ops::Range<usize>| {
        let (mut predict, mut feed) = (Predict::new(Arc::clone(&plan)), Feed::new(1, &columns));
        for (step, values) in series.iter().enumerate() {
            let (window, features) = feed.window(step as i64, &values[keys.clone()], &[]);
            predict.step(&window, &features);
        }
        predict.totals()
    };
    let mut totals = run(0..1);
    merge_totals(&mut totals, &run(1..2));
    let whole = run(0..2);
    assert_eq!((totals.len(), whole.len()), (3, 3));
    for (merged, whole) in totals.iter().zip(&whole) {
        assert_eq!((&merged.model, merged.sums.count), (&whole.model, whole.sums.count));
        assert!((merged.sums.mae().unwrap() / whole.sums.mae().unwrap() - 1.0).abs() < 1e-12);
        assert!((merged.sums.rmse().unwrap() / whole.sums.rmse().unwrap() - 1.0).abs() < 1e-12);
    }
    assert!(Predict::new(plan).totals()[0].sums.mae().is_none(), "nothing was scored");
}
