//! Bounds of forecasts: what they promise holds whatever the errors do, they are wide where errors are, and their state comes
//! back.

use std::sync::Arc;

use arterial::stages::predict::intervals::{IntervalParams, Intervals};
use arterial::stages::predict::{IntervalSettings, IntervalSums, Predict, PredictorSettings};
use arterial::vocab::{EventTime, Snapshot};

use crate::predict_support::{
    Feed, MemoryState, Numbers, SIZE, bits, city_model, columns, full, plan, settings, try_plan,
};

/// What a step's clue and error are.
type Law = fn(usize, &mut Numbers) -> (f64, f64);

const PARAMS: IntervalParams = IntervalParams { coverage: 0.9, zone: chrono_tz::UTC };

/// Runs intervals over `law(step, numbers) -> (clue, error)`: the last value is `clue` away from the forecast. Sums from the
/// step `from` on, and beside them those of bounds that are as wide as 90 % of all errors.
fn run(steps: usize, from: usize, mut law: impl FnMut(usize, &mut Numbers) -> (f64, f64)) -> [IntervalSums; 2] {
    let mut intervals = Intervals::new("predict.test", PARAMS, 1);
    intervals.grow(1);
    let (mut numbers, mut sums, mut errors, mut seen) = (Numbers(3), IntervalSums::default(), Vec::new(), Vec::new());
    for step in 0..steps {
        let (clue, error) = law(step, &mut numbers);
        let (forecast, end) = (100.0, EventTime(step as i64 * SIZE));
        let made = [&[forecast][..], &[forecast + clue][..], &[forecast][..]];
        let bounds = intervals.bounds(0, end, made, |bound| bound);
        let label = forecast + error;
        match bounds.interval(0) {
            Some(interval) if step >= from => {
                sums.add(0.9, interval, label);
                seen.push(error);
            }
            _ => errors.push(error.abs()),
        }
        intervals.learn(0, end, &[forecast], &bounds, &[label]);
    }
    // Split conformal: calibrated on what came before.
    errors.sort_by(f64::total_cmp);
    let width = errors[((errors.len() + 1) * 9 / 10).min(errors.len()) - 1];
    let mut split = IntervalSums::default();
    seen.iter().for_each(|error| split.add(0.9, (-width, width), *error));
    [sums, split]
}

#[test]
fn nine_of_ten_labels_lie_inside_whatever_the_errors_do() {
    let laws: [(&str, Law); 5] = [
        ("steady", |_, numbers| (1.0, 3.0 * numbers.normal())),
        ("skewed", |_, numbers| (1.0, numbers.normal().exp() - 1.3)),
        ("growing", |step, numbers| (1.0, (1.0 + step as f64 / 500.0) * numbers.normal())),
        ("jumping", |step, numbers| (1.0, if step / 700 % 2 == 0 { 1.0 } else { 8.0 } * numbers.normal())),
        ("biased", |_, numbers| (1.0, 1.0 + numbers.normal())),
    ];
    for (name, law) in laws {
        let [sums, _] = run(8_000, 1_000, law);
        let coverage = sums.coverage().unwrap();
        assert!((0.885..=0.915).contains(&coverage), "{name}: {coverage}");
    }
}

#[test]
fn bounds_are_wide_where_a_clue_says_so_and_score_better_for_it() {
    let [sums, split] = run(10_000, 3_000, |step, numbers| {
        let clue = if step % 10 < 3 { 10.0 } else { 0.5 };
        (clue, clue * numbers.normal())
    });
    let (own, other) = (sums.mean_score().unwrap(), split.mean_score().unwrap());
    assert!(own < 0.8 * other, "{own} beside {other}");
    assert!((0.885..=0.915).contains(&sums.coverage().unwrap()));
}

#[test]
fn key_whose_forecasts_are_hardly_ever_wrong_spoils_no_other() {
    let score = |quiet: f64| {
        let mut intervals = Intervals::new("predict.test", PARAMS, 1);
        intervals.grow(2);
        let (mut numbers, mut sums) = (Numbers(3), IntervalSums::default());
        for step in 0..8_000 {
            let end = EventTime(step * SIZE);
            let clue = if step % 10 < 3 { 10.0 } else { 0.5 };
            let (error, small) = (clue * numbers.normal(), quiet * numbers.normal());
            let made = [&[100.0, 0.0][..], &[100.0 + clue, 5.0][..], &[100.0, 0.0][..]];
            let bounds = intervals.bounds(0, end, made, |bound| bound);
            let labels = [100.0 + error, small];
            if step >= 4_000 {
                sums.add(0.9, bounds.interval(0).unwrap(), labels[0]);
            }
            intervals.learn(0, end, &[100.0, 0.0], &bounds, &labels);
        }
        sums.mean_score().unwrap()
    };
    let (usual, still) = (score(1.0), score(1e-9));
    assert!(still < 1.1 * usual, "{still} beside {usual}");
    assert!(score(0.0) < 1.1 * usual);
}

#[test]
fn errors_that_differ_by_the_time_of_day_are_known_by_it() {
    let law = |step: usize, numbers: &mut Numbers| {
        let hour = step % 288 / 12;
        (0.0, if (7..9).contains(&hour) { 12.0 } else { 1.0 } * numbers.normal())
    };
    let [sums, split] = run(30 * 288, 15 * 288, law);
    assert!(sums.mean_score().unwrap() < 0.75 * split.mean_score().unwrap(), "{sums:?} beside {split:?}");
}

#[test]
fn distance_widens_the_side_that_it_is_on() {
    let mut intervals = Intervals::new("predict.test", PARAMS, 1);
    intervals.grow(1);
    let (mut numbers, mut widths) = (Numbers(3), [0.0; 2]);
    for step in 0..6_000 {
        let end = EventTime(step * SIZE);
        // The label lies between the forecast and the last value, ten above or below.
        let away = if step % 2 == 0 { 10.0 } else { -10.0 };
        let label = 100.0 + away * (step % 17) as f64 / 17.0 + 0.3 * numbers.normal();
        let made = [&[100.0][..], &[100.0 + away][..], &[100.0][..]];
        let bounds = intervals.bounds(0, end, made, |bound| bound);
        if let Some((lower, upper)) = bounds.interval(0).filter(|_| step >= 4_000) {
            let sides = if away > 0.0 { [upper - 100.0, 100.0 - lower] } else { [100.0 - lower, upper - 100.0] };
            widths.iter_mut().zip(sides).for_each(|(sum, side)| *sum += side);
        }
        intervals.learn(0, end, &[100.0], &bounds, &[label]);
    }
    let [towards, other] = widths;
    assert!(towards > 0.0 && other < 0.7 * towards, "{other} beside {towards}");
}

#[test]
fn side_that_needs_more_at_one_time_of_day_has_it_there_for_all_keys() {
    const KEYS: usize = 20;
    let mut intervals = Intervals::new("predict.test", PARAMS, 1);
    intervals.grow(KEYS);
    let (mut numbers, mut above, mut count) = (Numbers(3), 0.0, 0.0);
    let forecasts = [100.0; KEYS];
    for step in 0..30 * 288 {
        let end = EventTime(step as i64 * SIZE);
        let rush = (7..9).contains(&(step % 288 / 12));
        let error = |numbers: &mut Numbers| {
            let error = numbers.normal();
            if rush { 6.0 * error.abs() } else { error }
        };
        let labels: Vec<f64> = (0..KEYS).map(|_| 100.0 + error(&mut numbers)).collect();
        let bounds = intervals.bounds(0, end, [&forecasts[..]; 3], |bound| bound);
        for (key, label) in labels.iter().enumerate().filter(|_| rush && step >= 20 * 288) {
            count += 1.0;
            above += f64::from(u8::from(*label > bounds.interval(key).unwrap().1));
        }
        intervals.learn(0, end, &forecasts, &bounds, &labels);
    }
    assert!((0.035..0.065).contains(&(above / count)), "{} of {count}", above / count);
}

#[test]
fn one_spoofed_label_widens_nothing_for_long() {
    let law = |spoofed: bool| {
        move |step: usize, numbers: &mut Numbers| {
            let error = numbers.normal();
            (1.0, if spoofed && step == 2_000 { 1e12 } else { error })
        }
    };
    let ([calm, _], [spoofed, _]) = (run(4_000, 2_050, law(false)), run(4_000, 2_050, law(true)));
    assert!(spoofed.mean_score().unwrap() < 1.05 * calm.mean_score().unwrap(), "{spoofed:?} beside {calm:?}");
}

/// Half the distance of the bounds after errors of these sizes, one after the other.
fn half_width(errors: impl Iterator<Item = f64>) -> f64 {
    let mut intervals = Intervals::new("predict.test", PARAMS, 1);
    intervals.grow(1);
    let (mut end, forecast) = (0, [100.0]);
    let mut width = f64::NAN;
    for error in errors.chain([0.0]) {
        end += SIZE;
        let bounds = intervals.bounds(0, EventTime(end), [&forecast; 3], |bound| bound);
        width = bounds.interval(0).map_or(f64::NAN, |(lower, upper)| (upper - lower) / 2.0);
        intervals.learn(0, EventTime(end), &forecast, &bounds, &[100.0 + error]);
    }
    width
}

#[test]
fn one_small_error_does_not_make_forgotten_those_before_it() {
    let sign = |step: i32| if step % 2 == 0 { 20.0 } else { -20.0 };
    let before = half_width((0..200).map(sign));
    let after = half_width((0..200).map(sign).chain([0.01]));
    assert!(after > 0.8 * before, "{before} {after}");
}

#[test]
fn one_spoofed_label_after_exact_ones_widens_nothing_for_long() {
    let exact = std::iter::repeat_n(0.0, 1_000);
    let usual = || (0..200).map(|step| if step % 2 == 0 { 1.0 } else { -1.0 });
    let spoofed = half_width(exact.clone().chain([1e6]).chain(usual()));
    let honest = half_width(exact.chain(usual()));
    assert!(spoofed < 3.0 * honest, "{spoofed} {honest}");
}

#[test]
fn bounds_hold_what_they_promise_after_ten_million_labels() {
    const KEYS: usize = 1_000;
    let mut intervals = Intervals::new("predict.test", PARAMS, 1);
    intervals.grow(KEYS);
    let (forecasts, mut numbers, mut sums) = (vec![100.0; KEYS], Numbers(11), IntervalSums::default());
    for step in 0..10_000 {
        let end = EventTime(step * SIZE);
        let bounds = intervals.bounds(0, end, [&forecasts; 3], |bound| bound);
        let labels: Vec<f64> = (0..KEYS).map(|key| 100.0 + (1 + key % 7) as f64 * numbers.normal()).collect();
        if step >= 9_500 {
            let made = (0..KEYS).filter_map(|key| Some((bounds.interval(key)?, labels[key])));
            made.for_each(|(interval, label)| sums.add(0.9, interval, label));
        }
        intervals.learn(0, end, &forecasts, &bounds, &labels);
    }
    assert_eq!(sums.count, 500 * KEYS as u64);
    let coverage = sums.coverage().unwrap();
    assert!((0.895..=0.905).contains(&coverage), "{coverage}");
}

fn bounded() -> PredictorSettings {
    let intervals = Some(IntervalSettings { coverage: 0.8, zone: chrono_tz::UTC });
    PredictorSettings { intervals, minimum: Some(0.0), maximum: Some(62.0), ..settings(&[1, 3], city_model()) }
}

#[test]
fn predictor_bounds_its_forecasts_scores_them_and_comes_back_bit_for_bit() {
    let plan = plan(bounded(), &columns(3, &[]));
    let run = |predict: &mut Predict, feed: &mut Feed, steps: std::ops::Range<usize>, ledger: &mut MemoryState| {
        let mut made = Vec::new();
        for step in steps {
            let mut numbers = Numbers(step as u64 + 1);
            let values: Vec<f64> = (0..4 + step / 60)
                .map(|key| 55.0 + 4.0 * ((step + key) as f64 / 9.0).sin() + numbers.normal())
                .collect();
            let (mut window, features) = feed.window(step as i64, &values, &[]);
            if step == 130 {
                window.expired = vec![2];
            }
            for forecasts in predict.step(&window, &features).forecasts {
                for (horizon, model) in forecasts.model.iter().enumerate() {
                    for (key, forecast) in model.iter().enumerate() {
                        let (lower, upper) = (forecasts.lower[horizon][key], forecasts.upper[horizon][key]);
                        let around = lower <= *forecast && *forecast <= upper && lower >= 0.0 && upper <= 62.0;
                        assert!(around || lower.is_nan() && upper.is_nan(), "{lower} {forecast} {upper}");
                    }
                }
                made.push([bits(&forecasts.lower), bits(&forecasts.upper)]);
            }
            predict.snapshot(Snapshot::Changed, ledger);
        }
        made
    };
    let (mut whole, mut feed, mut ledger) =
        (Predict::new(Arc::clone(&plan)), Feed::new(3, &columns(3, &[])), MemoryState::default());
    run(&mut whole, &mut feed, 0..200, &mut ledger);
    assert_eq!(full(&mut whole).blocks, ledger.blocks, "changes add up to the state");
    let mut restored = Predict::new(Arc::clone(&plan));
    restored.restore(&ledger).unwrap();
    let mut other = feed.clone();
    let (mut left, mut right) = (ledger.clone(), ledger);
    assert_eq!(run(&mut whole, &mut feed, 200..500, &mut left), run(&mut restored, &mut other, 200..500, &mut right));
    assert_eq!(left.blocks, right.blocks);
    let totals = whole.totals();
    let intervals = totals[0].sums.intervals;
    assert!(intervals.count > 1_000 && (0.74..0.86).contains(&intervals.coverage().unwrap()), "{intervals:?}");
    assert_eq!(totals[1].sums.intervals, IntervalSums::default(), "of the model alone");
}

#[test]
fn coverage_that_cannot_be_is_refused_at_its_place() {
    let mut wrong = bounded();
    wrong.intervals = Some(IntervalSettings { coverage: 1.0, zone: chrono_tz::UTC });
    let problems = try_plan(&[wrong], &columns(3, &[])).unwrap_err();
    assert_eq!(problems[0].to_string(), "predict.speed.intervals.coverage: coverage 1 is not above 0 and below 1");
}
