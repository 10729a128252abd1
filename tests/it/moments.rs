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
