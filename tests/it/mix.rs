//! Mixtures of experts: weights that follow evidence, asleep and spoofed experts, explanations, state, plans.

use std::sync::Arc;

use arterial::stages::features::FeatureColumn;
use arterial::stages::predict::mix::Mix;
use arterial::stages::predict::{
    Baseline, ExpertSettings, MeanWeight, MixParams, MixSettings, ModelSettings, Predict, PredictorSettings,
    ScoreTotal, merge_totals,
};
use arterial::vocab::Snapshot;

use crate::predict_support::{
    Feed, MemoryState, Numbers, SIZE, bits, city_model, columns, full, plan, settings, try_plan,
};

const PARAMS: MixParams = MixParams { rate: 0.03, forgetting: 0.999, floor: 0.02, shared: 0.8 };

fn mix(params: MixParams, experts: usize, keys: usize) -> Mix {
    let mut mix = Mix::new("predict.test", params, (experts, 1), false);
    mix.grow(keys);
    mix
}

fn blended(mix: &Mix, experts: &[Vec<f64>]) -> Vec<f64> {
    let mut forecasts = vec![f64::NAN; experts[0].len()];
    mix.blend(0, experts, &mut forecasts);
    forecasts
}

#[test]
fn mixture_comes_to_trust_the_better_expert_and_keeps_the_other_at_the_floor() {
    let mut mix = mix(PARAMS, 2, 3);
    let mut numbers = Numbers(7);
    for step in 0..2_000 {
        let labels: Vec<f64> = (0..3).map(|_| 50.0 + 5.0 * numbers.normal()).collect();
        let good: Vec<f64> = labels.iter().map(|label| label + 0.5 * numbers.normal()).collect();
        let bad: Vec<f64> = labels.iter().map(|label| label + 8.0 + 0.5 * numbers.normal()).collect();
        let experts = [good, bad];
        if step == 0 {
            let middle = (experts[0][0] + experts[1][0]) / 2.0;
            assert!((blended(&mix, &experts)[0] - middle).abs() < 1e-9, "equal weights at first");
        }
        mix.learn(0, &experts, &labels);
    }
    for key in 0..3 {
        let weights = mix.weights(0, key, |_| true);
        assert!((weights[1] - 0.02).abs() < 1e-6, "{weights:?}");
        assert!((weights[0] + weights[1] - 1.0).abs() < 1e-12);
    }
}

#[test]
fn mixture_of_probabilities_trusts_the_expert_that_is_as_sure_as_it_ought_to_be() {
    let mut mix = Mix::new("predict.test", PARAMS, (2, 1), true);
    mix.grow(3);
    let mut numbers = Numbers(5);
    for _ in 0..4_000 {
        // Seven of ten are positive: who says so errs by more in the mean than who is sure of it.
        let labels: Vec<f64> = (0..3).map(|_| f64::from(u8::from(numbers.uniform() < 0.7))).collect();
        mix.learn(0, &[vec![0.7; 3], vec![0.97; 3]], &labels);
    }
    let weights = mix.weights(0, 0, |_| true);
    // Near the better one there is little left to gain, so the weights rest short of the floor.
    assert!(weights[0] > 0.7, "{weights:?}");
    // A mixture that was sure of what did not come is evidence like any other.
    mix.learn(0, &[vec![0.0; 3], vec![0.0; 3]], &[1.0; 3]);
    mix.learn(0, &[vec![0.0; 3], vec![1.0; 3]], &[0.0; 3]);
    assert!(mix.weights(0, 0, |_| true).iter().all(|weight| weight.is_finite()));
}

#[test]
fn two_experts_that_err_to_either_side_are_better_mixed_than_alone() {
    let mut mix = mix(PARAMS, 2, 1);
    let mut numbers = Numbers(11);
    let (mut mixed, mut alone) = (0.0, 0.0);
    for step in 0..4_000 {
        let label = 50.0 + 5.0 * numbers.normal();
        let experts = [vec![label + 3.0 + numbers.normal()], vec![label - 3.0 + numbers.normal()]];
        if step >= 500 {
            mixed += (blended(&mix, &experts)[0] - label).abs();
            alone += (experts[0][0] - label).abs();
        }
        mix.learn(0, &experts, &[label]);
    }
    assert!(mixed < 0.4 * alone, "{mixed} beside {alone}");
}

/// Mean absolute error of the mixture from label 500 on, of an expert that errs by little and often beside one that errs by
/// much and seldom; what the first labels say is `odd`.
fn error_after(odd: &[(usize, [f64; 2])], params: MixParams) -> f64 {
    let mut mix = mix(params, 2, 1);
    let mut numbers = Numbers(5);
    let mut sum = 0.0;
    for step in 0..3_000 {
        let label = 50.0 + 5.0 * numbers.normal();
        let often = label + 2.0 * numbers.normal().signum();
        let seldom = label + if numbers.normal() > 1.2 { 30.0 } else { 0.5 };
        let experts = [vec![often], vec![seldom]];
        if step >= 500 {
            sum += (blended(&mix, &experts)[0] - label).abs();
        }
        match odd.iter().find(|(at, _)| *at == step) {
            Some((_, errors)) => mix.learn(0, &errors.map(|error| vec![label + error]), &[label]),
            None => mix.learn(0, &experts, &[label]),
        }
    }
    sum / 2_500.0
}

#[test]
fn neither_a_still_nor_a_spoofed_start_spoils_a_mixture_for_good() {
    let still: Vec<_> = (0..40).map(|step| (step, [0.0, 0.0])).collect();
    for params in [PARAMS, MixParams { forgetting: 0.9, ..PARAMS }] {
        let usual = error_after(&[], params);
        for spoofed_at in [0, 5, 30] {
            let error = error_after(&[(spoofed_at, [1e6, -3e6])], params);
            assert!(error < 1.03 * usual, "spoofed at {spoofed_at}: {error} beside {usual}");
        }
        let error = error_after(&still, params);
        assert!(error < 1.03 * usual, "still: {error} beside {usual}");
    }
}

#[test]
fn told_weights_are_means_over_the_keys_that_have_had_a_label() {
    let mut mix = mix(MixParams { shared: 0.5, ..PARAMS }, 2, 3);
    assert_eq!(mix.weight_sums(0).1, 0);
    for _ in 0..50 {
        mix.learn(0, &[vec![51.0, 49.0, 50.0], vec![58.0, 50.5, 50.0]], &[50.0, 50.0, f64::NAN]);
    }
    let (sums, keys) = mix.weight_sums(0);
    let of = |expert: usize| (0..2).map(|key| mix.weights(0, key, |_| true)[expert]).sum::<f64>();
    assert_eq!((sums[0], sums[1], keys), (of(0), of(1), 2));
    mix.forget(&[0]);
    assert_eq!(mix.weight_sums(0).1, 1, "a key that is forgotten has none");
}

#[test]
fn totals_of_two_partitions_weigh_keys_alike() {
    let total = |sum: f64, keys: u64| ScoreTotal {
        predictor: "speed".to_owned(),
        model: "robust".to_owned(),
        horizon_micros: 900_000_000,
        sums: Default::default(),
        refused: 0,
        weight: Some(MeanWeight { sum, keys }),
    };
    let mut totals = vec![total(0.9, 1)];
    merge_totals(&mut totals, &[total(0.9, 3), total(0.0, 0)]);
    assert_eq!(totals[0].weight.and_then(MeanWeight::mean), Some(1.8 / 4.0));
    assert_eq!(total(0.0, 0).weight.and_then(MeanWeight::mean), None);
}

#[test]
fn expert_that_was_bad_comes_back_when_it_turns_good() {
    let mut mix = mix(MixParams { forgetting: 0.99, ..PARAMS }, 2, 1);
    let mut learn = |steps: usize, first: f64, second: f64| {
        for _ in 0..steps {
            mix.learn(0, &[vec![50.0 + first], vec![50.0 + second]], &[50.0]);
        }
        mix.weights(0, 0, |_| true)[1]
    };
    assert!(learn(1_000, 0.5, 6.0) < 0.1);
    assert!(learn(1_000, 6.0, 0.5) > 0.9);
}

#[test]
fn evidence_of_other_keys_moves_a_key_that_has_none() {
    let learned = |shared| {
        let mut mix = mix(MixParams { shared, ..PARAMS }, 2, 2);
        for _ in 0..200 {
            mix.learn(0, &[vec![51.0, 51.0], vec![58.0, 58.0]], &[50.0, f64::NAN]);
        }
        mix.weights(0, 1, |_| true)[0]
    };
    assert!((learned(0.0) - 0.5).abs() < 1e-12);
    assert!(learned(0.8) > 0.9);
}

#[test]
fn expert_without_a_forecast_sleeps_and_the_others_share_its_weight() {
    let mut mix = mix(PARAMS, 3, 1);
    for _ in 0..50 {
        mix.learn(0, &[vec![51.0], vec![f64::NAN], vec![58.0]], &[50.0]);
    }
    let weights = mix.weights(0, 0, |expert| expert != 1);
    assert_eq!(weights[1], 0.0);
    assert!((weights[0] + weights[2] - 1.0).abs() < 1e-12);
    let all = mix.weights(0, 0, |_| true);
    assert!(all[1] > all[2], "what it was not asked about is not held against it: {all:?}");
    assert!(blended(&mix, &[vec![f64::NAN], vec![f64::NAN], vec![f64::NAN]])[0].is_nan());
    assert_eq!(blended(&mix, &[vec![f64::NAN], vec![7.0], vec![f64::NAN]])[0], 7.0);
}

#[test]
fn one_spoofed_value_moves_no_weight_far() {
    let mut mix = mix(PARAMS, 2, 2);
    for _ in 0..300 {
        mix.learn(0, &[vec![51.0, 51.0], vec![52.0, 52.0]], &[50.0, 50.0]);
    }
    let before = [mix.weights(0, 0, |_| true)[0], mix.weights(0, 1, |_| true)[0]];
    for huge in [1e300, f64::MAX, -1e300, f64::INFINITY, f64::NAN] {
        mix.learn(0, &[vec![51.0, 51.0], vec![52.0, 52.0]], &[huge, 50.0]);
        mix.learn(0, &[vec![huge, 51.0], vec![52.0, 52.0]], &[50.0, 50.0]);
    }
    for (key, before) in before.into_iter().enumerate() {
        let after = mix.weights(0, key, |_| true)[0];
        assert!((after - before).abs() < 0.15, "key {key}: {before} -> {after}");
    }
    for _ in 0..300 {
        mix.learn(0, &[vec![51.0, 51.0], vec![58.0, 58.0]], &[50.0, 50.0]);
    }
    assert!(mix.weights(0, 0, |_| true)[0] > 0.9, "and it goes on learning");
}

#[test]
fn after_ten_million_labels_weights_still_follow_who_is_better() {
    const KEYS: usize = 500;
    let mut mix = mix(PARAMS, 2, KEYS);
    let mut numbers = Numbers(13);
    let mut live = |mix: &mut Mix, steps: usize, better: usize| {
        for _ in 0..steps {
            let labels: Vec<f64> = (0..KEYS).map(|_| 50.0 + 5.0 * numbers.normal()).collect();
            let mut off = |by: f64| labels.iter().map(|label| label + by + numbers.normal()).collect::<Vec<f64>>();
            let (good, bad) = (off(0.0), off(4.0));
            mix.learn(0, &if better == 0 { [good, bad] } else { [bad, good] }, &labels);
        }
    };
    live(&mut mix, 19_000, 0);
    assert!(mix.weights(0, KEYS - 1, |_| true)[0] > 0.95);
    live(&mut mix, 1_000, 1);
    assert!(mix.weights(0, KEYS - 1, |_| true)[1] > 0.95, "and can come back");
}

/// Two linear models, the last value and the profile.
fn mixed(horizon_steps: &[i64]) -> PredictorSettings {
    let expert =
        |loss| ExpertSettings::OnlineLinear(arterial::stages::predict::OnlineLinearSettings { loss, ..city_model() });
    let feature = |name: &str| ExpertSettings::Feature(name.to_owned());
    let experts = [
        ("last", feature("speed.lag0")),
        ("robust", expert(arterial::stages::predict::Loss::Huber)),
        ("squared", expert(arterial::stages::predict::Loss::Squared)),
    ];
    let experts = experts.into_iter().map(|(name, expert)| (name.to_owned(), expert)).collect();
    let model = ModelSettings::Mix(MixSettings { experts, params: PARAMS });
    PredictorSettings { model, minimum: Some(0.0), maximum: Some(62.0), ..settings(horizon_steps, city_model()) }
}

fn values(numbers: &mut Numbers, step: usize, keys: usize) -> Vec<f64> {
    (0..keys).map(|key| 50.0 + 8.0 * ((step + key) as f64 / 9.0).sin() + 2.0 * numbers.normal()).collect()
}

#[test]
fn experts_are_scored_beside_the_mixture_and_its_contributions_add_up() {
    let plan = plan(mixed(&[1, 3]), &columns(3, &[]));
    let (mut predict, mut feed, mut numbers) =
        (Predict::new(Arc::clone(&plan)), Feed::new(3, &columns(3, &[])), Numbers(3));
    let mut explained = 0;
    for step in 0..400 {
        let (window, features) = feed.window(step as i64, &values(&mut numbers, step, 4), &[]);
        let forecasts = predict.step(&window, &features).forecasts;
        for (horizon, made) in forecasts[0].model.iter().enumerate() {
            for (key, &forecast) in made.iter().enumerate().filter(|(_, forecast)| forecast.is_finite()) {
                let why = predict.explain(0, horizon, key as u32).unwrap();
                assert_eq!(why.forecast.to_bits(), forecast.to_bits());
                let sum: f64 = why.contributions.iter().map(|one| one.share).sum();
                assert!((why.baseline + sum - forecast).abs() < 1e-9, "{why:?}");
                explained += 1;
            }
        }
    }
    assert!(explained > 3_000);
    let totals = predict.totals();
    let names: Vec<&str> = totals[..6].iter().map(|total| total.model.as_str()).collect();
    assert_eq!(names, ["mix", "persistence", "profile", "last", "robust", "squared"]);
    for horizon in totals.chunks(6) {
        let weights: Vec<_> = horizon.iter().map(|total| total.weight).collect();
        assert_eq!(weights[..3], [None; 3], "of experts only");
        let means: Vec<f64> = weights[3..].iter().map(|weight| weight.unwrap().mean().unwrap()).collect();
        assert!((means.iter().sum::<f64>() - 1.0).abs() < 1e-12 && means.iter().all(|&mean| mean >= 0.02), "{means:?}");
        assert!(means[0] < means[1].max(means[2]), "the last value is the worst: {means:?}");
        assert_eq!(weights[3].unwrap().keys, 4);
    }
    let sums = |model: &str| totals.iter().find(|total| total.model == model).unwrap().sums.clone();
    assert_eq!(sums("last").count, sums("persistence").count, "scored on the same labels");
    assert!(sums("last").mae() < sums("persistence").mae(), "which is not held at the limits");
    let best = sums("robust").mae().unwrap().min(sums("squared").mae().unwrap());
    assert!(sums("mix").mae().unwrap() < 1.05 * best);
}

#[test]
fn expert_that_slept_is_compared_with_what_the_baselines_made_of_its_own_labels() {
    let mut settings = mixed(&[1]);
    settings.min_history_micros = 200 * SIZE;
    let mut predict = Predict::new(plan(settings, &columns(1, &[])));
    let (mut feed, mut numbers) = (Feed::new(1, &columns(1, &[])), Numbers(3));
    let mut persistence = 0.0;
    for step in 0..400 {
        // The last value is a bad forecast at first, and a good one once the others have started.
        let values = vec![50.0 + if step < 200 { 30.0 * numbers.normal() } else { 0.5 * numbers.normal() }];
        let (window, features) = feed.window(step, &values, &[]);
        predict.step(&window, &features);
        persistence = predict.totals()[1].sums.absolute;
    }
    let totals = predict.totals();
    let robust = totals.iter().find(|total| total.model == "robust").unwrap();
    assert!(robust.sums.count < totals[1].sums.count - 150);
    assert!(robust.sums.persistence < 0.05 * persistence, "of its own labels alone");
    let skill = robust.skill(Baseline::Persistence).unwrap();
    assert!((skill - (1.0 - robust.sums.absolute / robust.sums.persistence)).abs() < 1e-12);
    assert!(skill < 0.9, "{skill}");
}

#[test]
fn mixture_comes_back_bit_for_bit_and_goes_on_alike() {
    let plan = plan(mixed(&[1, 2]), &columns(2, &[]));
    let run = |predict: &mut Predict, feed: &mut Feed, steps: std::ops::Range<usize>, ledger: &mut MemoryState| {
        let mut made = Vec::new();
        for step in steps {
            let values = values(&mut Numbers(step as u64 + 1), step, 5 + step / 40);
            let (mut window, features) = feed.window(step as i64, &values, &[]);
            if step == 90 {
                window.expired = vec![2];
            }
            made.extend(predict.step(&window, &features).forecasts.iter().map(|forecasts| bits(&forecasts.model)));
            predict.snapshot(Snapshot::Changed, ledger);
        }
        made
    };
    let (mut whole, mut feed, mut ledger) =
        (Predict::new(Arc::clone(&plan)), Feed::new(2, &columns(2, &[])), MemoryState::default());
    run(&mut whole, &mut feed, 0..120, &mut ledger);
    let mut restored = Predict::new(Arc::clone(&plan));
    restored.restore(&ledger).unwrap();
    assert_eq!(full(&mut restored), full(&mut whole), "changes add up to the state");
    let mut other = feed.clone();
    let (mut left, mut right) = (ledger.clone(), ledger);
    assert_eq!(run(&mut whole, &mut feed, 120..160, &mut left), run(&mut restored, &mut other, 120..160, &mut right));
    assert_eq!(left.blocks, right.blocks);
}

#[test]
fn plan_of_a_mixture_reports_every_problem_at_its_place() {
    let columns: Vec<FeatureColumn> = columns(2, &[]);
    let mut linear = city_model();
    linear.forgetting = 1.5;
    let mut other = city_model();
    other.features = Some(vec!["speed.lag1".to_owned(), "speed.lag9".to_owned()]);
    let experts = vec![
        ("last".to_owned(), ExpertSettings::Feature("speed.lag7".to_owned())),
        ("linear".to_owned(), ExpertSettings::OnlineLinear(linear)),
        ("other".to_owned(), ExpertSettings::OnlineLinear(other)),
        ("profile".to_owned(), ExpertSettings::Feature("speed.lag0".to_owned())),
    ];
    let params = MixParams { rate: 0.0, forgetting: 2.0, floor: 0.3, shared: -1.0 };
    let wrong = PredictorSettings {
        model: ModelSettings::Mix(MixSettings { experts, params }),
        ..settings(&[1, 2], city_model())
    };
    let problems = try_plan(&[wrong], &columns).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let place = "predict.speed.model.mix";
    let expected = [
        format!("{place}.rate: rate 0 is not a number above 0, at most 10"),
        format!("{place}.forgetting: forgetting 2 is not a number above 0, at most 1"),
        format!("{place}.floor: floor 0.3 is not 0 to 1 / 4 experts"),
        format!("{place}.shared: shared -1 is not 0 to 1"),
        format!("{place}.experts.last.feature: `speed.lag7` matches no feature column"),
        format!("{place}.experts.linear.online_linear.forgetting: forgetting 1.5 lies outside 0 (exclusive) to 1"),
        format!("{place}.experts.other.online_linear.features[1]: `speed.lag9` matches no feature column"),
        format!(
            "{place}.experts.profile: an expert cannot be called `profile`: scores have another model of that name"
        ),
    ];
    assert_eq!(shown, expected);
}

/// Two feature experts and nothing else, after some labels; the newest values lie above or below what is usual.
fn explained(newest: f64) -> (arterial::stages::predict::Explanation, f64) {
    let feature = |lag: usize| (format!("lag{lag}"), ExpertSettings::Feature(format!("speed.lag{lag}")));
    let model = ModelSettings::Mix(MixSettings { experts: [0, 1].map(feature).into(), params: PARAMS });
    let columns = columns(3, &[]);
    let mut predict = Predict::new(plan(PredictorSettings { model, ..settings(&[1], city_model()) }, &columns));
    let (mut feed, mut numbers, mut sum) = (Feed::new(3, &columns), Numbers(5), 0.0);
    for step in 0..300 {
        let value = if step < 297 { 50.0 + numbers.normal() } else { newest };
        sum += if step < 297 { value } else { 0.0 };
        let (window, features) = feed.window(step, &[value], &[]);
        predict.step(&window, &features);
    }
    (predict.explain(0, 0, 0).unwrap(), sum / 297.0)
}

#[test]
fn baseline_of_a_feature_expert_is_the_mean_of_its_column_and_its_share_what_differs() {
    for newest in [40.0, 60.0] {
        let (why, mean) = explained(newest);
        // The last labels taught the rows of the newest values but two.
        assert!((why.baseline - mean).abs() < 0.2, "{why:?} beside {mean}");
        assert_eq!(why.forecast, newest);
        for one in &why.contributions {
            assert_eq!(one.share.signum(), (newest - mean).signum(), "{one:?}");
        }
        let sum: f64 = why.contributions.iter().map(|one| one.share).sum();
        assert!((why.baseline + sum - why.forecast).abs() < 1e-9, "{why:?}");
    }
}

#[test]
fn what_a_limit_took_from_one_expert_has_a_share_in_the_mixture_and_no_value_of_its_own() {
    let feature = |lag: usize| (format!("lag{lag}"), ExpertSettings::Feature(format!("speed.lag{lag}")));
    let model = ModelSettings::Mix(MixSettings { experts: [0, 1].map(feature).into(), params: PARAMS });
    let columns = columns(3, &[]);
    let settings = PredictorSettings { model, maximum: Some(62.0), ..settings(&[1], city_model()) };
    let (mut predict, mut feed) = (Predict::new(plan(settings, &columns)), Feed::new(3, &columns));
    for step in 0..30 {
        let (window, features) = feed.window(step, &[if step < 29 { 50.0 } else { 80.0 }], &[]);
        predict.step(&window, &features);
    }
    let why = predict.explain(0, 0, 0).unwrap();
    assert!(why.forecast > 50.0 && why.forecast < 62.0, "{why:?}");
    let limits: Vec<_> = why.contributions.iter().filter(|one| one.feature == "limit").collect();
    let [limit] = limits.as_slice() else { panic!("{why:?}") };
    assert!(limit.value.is_nan() && limit.share < 0.0, "{why:?}");
}
