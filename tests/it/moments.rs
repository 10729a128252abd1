//! Means and spreads of columns: those of all values while they are sane, and hardly moved by what is no reading.

use arterial::stages::moments::Moments;

use crate::predict_support::Numbers;

/// Values about 50, of spread 5.
fn value(numbers: &mut Numbers) -> f64 {
    50.0 + 5.0 * numbers.normal()
}

#[test]
fn sane_values_count_as_they_are() {
    let (mut moments, mut numbers, mut values) = (Moments::default(), Numbers(3), Vec::new());
    for _ in 0..5_000 {
        let value = value(&mut numbers);
        values.push(value);
        let held = moments.hold(value, 10.0);
        assert_eq!((held.value.to_bits(), held.spoofed_before), (value.to_bits(), false));
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    assert!((moments.mean() - mean).abs() < 1e-9 && (moments.spread() - variance.sqrt()).abs() < 1e-9);
}

#[test]
fn one_of_the_first_values_may_be_no_reading() {
    for place in 0..10 {
        for spoofed in [1e9, -1e300, f64::MAX] {
            let (mut moments, mut numbers) = (Moments::default(), Numbers(7));
            for step in 0..30 {
                let value = value(&mut numbers);
                let held = moments.hold(if step == place { spoofed } else { value }, 10.0);
                assert_eq!(held.spoofed_before, step == 9, "the tenth tells: value {step} after {place} was spoofed");
            }
            let (mean, spread) = (moments.mean(), moments.spread());
            assert!((45.0..55.0).contains(&mean) && (3.0..9.0).contains(&spread), "{place}: {mean}, {spread}");
        }
    }
}

#[test]
fn sensor_that_is_spoofed_for_good_does_not_widen_the_spread_for_others() {
    for every in [20, 60] {
        let (mut moments, mut numbers) = (Moments::default(), Numbers(11));
        for step in 0..50_000 {
            let value = value(&mut numbers);
            moments.add_held(if step > 500 && step % every == 0 { 1e9 } else { value });
        }
        let (mean, spread) = (moments.mean(), moments.spread());
        assert!((45.0..60.0).contains(&mean) && spread < 15.0, "one of {every}: {mean}, {spread}");
    }
}

#[test]
fn column_with_few_large_values_and_one_that_was_constant_are_known_in_the_end() {
    // A flag that is 1 once in 40 rows, after 400 in which it was not; and a sensor that begins to count, after as many.
    let (mut flag, mut count, mut numbers) = (Moments::default(), Moments::default(), Numbers(5));
    for step in 0..20_000 {
        flag.add_held(f64::from(u8::from(step > 400 && step % 40 == 0)));
        count.add_held(if step < 400 { 0.0 } else { (5_000.0 + 1_000.0 * numbers.normal()).max(0.0) });
    }
    assert!((0.1..0.2).contains(&flag.spread()), "{}", flag.spread());
    assert!((4_000.0..6_000.0).contains(&count.mean()) && count.spread() > 800.0, "{count:?}");
}

/// Nothing for a while, of which one value may be no reading; then readings.
fn after_a_constant(constants: usize, spoofed: Option<(usize, f64)>, readings: usize) -> (Moments, Vec<usize>) {
    let (mut moments, mut numbers, mut told) = (Moments::default(), Numbers(13), Vec::new());
    for step in 0..constants + readings {
        let sane = if step < constants { 0.0 } else { value(&mut numbers) };
        let value = spoofed.filter(|(at, _)| *at == step).map_or(sane, |(_, value)| value);
        if moments.hold(value, 10.0).spoofed_before {
            told.push(step);
        }
    }
    (moments, told)
}

#[test]
fn one_value_that_is_no_reading_does_not_blind_a_column_that_was_constant() {
    for constants in [10, 15, 1_000] {
        let (calm, told) = after_a_constant(constants, None, 2_000);
        assert!(told.is_empty(), "nothing was spoofed: {told:?}");
        for spoofed in [1e7, 1e9, -1e300] {
            // Among the first ten, at their end, and later.
            for at in [3, 9, constants - 1] {
                let (moments, told) = after_a_constant(constants, Some((at, spoofed)), 2_000);
                // The tenth value that differs, or the ninth reading, tells.
                assert_eq!(told, [constants + 8], "{constants}, {at}, {spoofed}");
                let ratio = moments.spread() / calm.spread();
                assert!((0.5..2.0).contains(&ratio), "{constants}, {at}, {spoofed}: {moments:?} beside {calm:?}");
                assert!((moments.mean() - calm.mean()).abs() < calm.spread(), "{moments:?} beside {calm:?}");
            }
        }
    }
}

#[test]
fn sensor_that_is_spoofed_through_a_night_without_counts_does_not_blind_the_morning() {
    let (mut moments, mut numbers) = (Moments::default(), Numbers(17));
    for step in 0..6_000_usize {
        let sane = if step < 2_000 { 0.0 } else { value(&mut numbers) };
        // One sensor of twenty.
        moments.add_held(if step % 20 == 7 { 1e9 * (step / 20 % 5) as f64 } else { sane });
    }
    assert!((10.0..60.0).contains(&moments.mean()) && moments.spread() < 60.0, "{moments:?}");
}

#[test]
fn what_is_rare_is_no_spoofed_value() {
    // A flag, and rain: dry for weeks, and then between a tenth of a millimetre and forty.
    let (mut flag, mut rain, mut numbers) = (Moments::default(), Moments::default(), Numbers(19));
    for step in 0..20_000 {
        let rains = step > 2_000 && step % 400 < 12;
        assert!(!flag.hold(f64::from(u8::from(rains)), 10.0).spoofed_before);
        let fallen = (0.1 + 40.0 * numbers.uniform().powi(4) * 10.0).round() / 10.0;
        assert!(!rain.hold(if rains { fallen } else { 0.0 }, 10.0).spoofed_before, "{step}: {fallen}");
    }
    assert!(flag.unsettled() && rain.unsettled(), "{rain:?}");
}
