//! Windows as properties: against a naive reference, under other batches, other orders of arrival and restarts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use arterial::stages::window::{Stamps, WindowSettings};
use arterial::vocab::Snapshot;

use super::predict_support::MemoryState;
use super::window_support::{Closed, KeyRow, Partition, Row, SECOND, columns, row, settings};

const SIZE: i64 = 10 * SECOND;

/// Ten-second windows with every aggregate whose value does not depend on which of two rows came first.
fn small(max_delay: i64, expire_after: i64) -> WindowSettings {
    let columns = columns(&[
        ("a", "count(*)"),
        ("b", "sum(speed)"),
        ("c", "avg(speed)"),
        ("d", "min(speed)"),
        ("e", "max(speed)"),
        ("f", "first(speed)"),
        ("g", "last(flow)"),
    ]);
    WindowSettings { size: SIZE, max_delay, expire_after, columns, ..settings() }
}

/// Numbers of very different size, which floating-point sums would round differently in another order.
fn speed() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        1 => Just(None),
        6 => (-1e3..1e3f64).prop_map(Some),
        2 => (-1e16..1e16f64).prop_map(Some),
        2 => (-1e-9..1e-9f64).prop_map(Some),
        1 => Just(Some(-0.0)),
        1 => Just(Some(0.0)),
    ]
}

/// Rows of a few sensors at distinct times, in event-time order, now and then with a gap.
fn rows(count: usize) -> impl Strategy<Value = Vec<Row>> {
    let one = (1..3 * SECOND, 0..60u32, 0..4u32, speed(), any::<Option<i16>>(), 0..8u32);
    proptest::collection::vec(one, 1..count).prop_map(|steps| {
        let mut time = 0;
        let row = |(step, gap, sensor, speed, flow, removed): (i64, u32, u32, Option<f64>, Option<i16>, u32)| {
            time += step + if gap == 0 { 500 * SECOND } else { 0 };
            let flow = flow.map(i64::from);
            Row { speed, flow, removed: removed == 0, ..row(time, &format!("s{sensor}"), 0.0) }
        };
        steps.into_iter().map(row).collect()
    })
}

/// The rows in the order in which they come when each is delayed by one of `delays`, of which each is at most
/// `max_delay`: none of them is late.
fn delayed(rows: &[Row], delays: &[i64]) -> Vec<Row> {
    let mut arrivals: Vec<(i64, Row)> =
        rows.iter().zip(delays).map(|(row, delay)| (row.time + delay, row.clone())).collect();
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    arrivals.into_iter().map(|(_, row)| row).collect()
}

/// Pushes rows in batches of these lengths, used in turn.
fn push_in_batches(partition: &mut Partition, mut rows: &[Row], lengths: &[usize]) {
    for length in lengths.iter().cycle() {
        if rows.is_empty() {
            return;
        }
        let (batch, rest) = rows.split_at((*length).min(rows.len()));
        partition.push(batch);
        rows = rest;
    }
}

/// What windows must be, straight from their definition: `(closed windows, late rows)`.
fn reference(rows: &[Row], settings: &WindowSettings) -> (Vec<Closed>, Vec<i64>) {
    let shift = if settings.stamps == Stamps::End { settings.interval } else { 0 };
    let window_of = |time: i64| (time - shift).div_euclid(settings.size);
    let (mut newest, mut late) = (i64::MIN, Vec::new());
    let mut accepted: BTreeMap<String, BTreeMap<i64, Vec<Row>>> = BTreeMap::new();
    let mut watermark = i64::MIN;
    for row in rows {
        let index = window_of(row.time);
        if (index + 1) * settings.size <= watermark {
            late.push(row.time);
        } else if !row.removed {
            accepted.entry(row.sensor.clone().unwrap()).or_default().entry(index).or_default().push(row.clone());
        }
        newest = newest.max(row.time);
        watermark = newest - settings.max_delay;
    }
    let is_closed = |index: i64| (index + 1) * settings.size <= watermark;
    let mut closed: BTreeMap<i64, Closed> = BTreeMap::new();
    for (name, windows) in &accepted {
        let mut next = windows.keys().copied().peekable();
        while let Some(first) = next.next() {
            // From the first window of a life to the first end with `expire_after` of nothing before it.
            let mut last = first;
            for index in (first..).take_while(|index| is_closed(*index)) {
                if next.next_if(|with_rows| *with_rows == index).is_some() || index == first {
                    last = index;
                }
                let ends = (index - last) * settings.size >= settings.expire_after;
                let end = (index + 1) * settings.size;
                let window = closed.entry(index).or_insert_with(|| Closed {
                    end,
                    keys: BTreeMap::new(),
                    expired: BTreeSet::new(),
                });
                window.keys.insert(name.clone(), aggregates(windows.get(&index).map_or(&[], Vec::as_slice)));
                if ends {
                    window.expired.insert(name.clone());
                    break;
                }
            }
            while next.next_if(|index| !is_closed(*index)).is_some() {}
        }
    }
    (closed.into_values().collect(), late)
}

/// The aggregates of [`small`] over the rows of one key and window, each straight from its definition.
fn aggregates(rows: &[Row]) -> KeyRow {
    let mut speeds: Vec<f64> = rows.iter().filter_map(|row| row.speed).collect();
    speeds.sort_by(f64::total_cmp);
    let by_time = |row: &&&Row| row.time;
    let first = rows.iter().filter(|row| row.speed.is_some()).collect::<Vec<_>>();
    let first = first.iter().min_by_key(by_time).and_then(|row| row.speed).unwrap_or(f64::NAN);
    let last = rows.iter().filter(|row| row.flow.is_some()).collect::<Vec<_>>();
    let last = last.iter().max_by_key(by_time).and_then(|row| row.flow).map_or(f64::NAN, |flow| flow as f64);
    let sum = if speeds.is_empty() { f64::NAN } else { exact_sum(&speeds) };
    let values = [
        rows.len() as f64,
        sum,
        sum / speeds.len() as f64,
        speeds.first().map_or(f64::NAN, |least| least + 0.0),
        speeds.last().map_or(f64::NAN, |most| most + 0.0),
        first,
        last,
    ];
    KeyRow { rows: rows.len() as u32, values: values.iter().map(|value| value.to_bits()).collect() }
}

/// The sum of values, each rounded to a multiple of 2^-64, as the nearest f64: whole numbers and fractions apart, both
/// exact in 128 bits.
fn exact_sum(values: &[f64]) -> f64 {
    let (mut whole, mut fraction) = (0i128, 0i128);
    for value in values {
        whole += value.trunc() as i128;
        fraction += (value.fract() * 2f64.powi(64)).round_ties_even() as i128;
    }
    // At most 120 values of 1e16: together they fit one word of 128 bits.
    ((whole << 64) + fraction) as f64 / 2f64.powi(64)
}

proptest! {
    #[test]
    fn windows_are_what_their_definition_says(
        rows in rows(120),
        delays in proptest::collection::vec(0..60 * SECOND, 120),
        max_delay in prop_oneof![Just(0), Just(SIZE), 0..40 * SECOND],
        expire_after in prop_oneof![Just(SIZE), Just(30 * SECOND), Just(200 * SECOND)],
        interval in prop_oneof![Just(0), Just(SIZE), Just(7 * SECOND)],
        lengths in proptest::collection::vec(1..30usize, 1..8),
    ) {
        let stamps = if interval == 0 { Stamps::Start } else { Stamps::End };
        let settings = WindowSettings { stamps, interval, ..small(max_delay, expire_after) };
        let arriving = delayed(&rows, &delays);
        let (closed, late) = reference(&arriving, &settings);
        let mut partition = Partition::new(settings);
        push_in_batches(&mut partition, &arriving, &lengths);
        prop_assert_eq!(&partition.late, &late);
        prop_assert_eq!(&partition.closed, &closed);
        prop_assert!(partition.refused.is_empty());
    }

    #[test]
    fn batch_boundaries_change_nothing(
        rows in rows(120),
        delays in proptest::collection::vec(0..60 * SECOND, 120),
        one in proptest::collection::vec(1..40usize, 1..8),
        other in proptest::collection::vec(1..40usize, 1..8),
    ) {
        let arriving = delayed(&rows, &delays);
        let mut left = Partition::new(small(30 * SECOND, 60 * SECOND));
        let mut right = Partition::new(small(30 * SECOND, 60 * SECOND));
        push_in_batches(&mut left, &arriving, &one);
        push_in_batches(&mut right, &arriving, &other);
        prop_assert_eq!(&left.closed, &right.closed);
        prop_assert_eq!(&left.late, &right.late);
        prop_assert_eq!(left.full(), right.full());
    }

    #[test]
    fn order_of_arrival_within_the_delay_changes_no_bit(
        rows in rows(120),
        one in proptest::collection::vec(0..=30 * SECOND, 120),
        other in proptest::collection::vec(0..=30 * SECOND, 120),
        expire_after in prop_oneof![Just(SIZE), Just(40 * SECOND)],
    ) {
        let mut left = Partition::new(small(30 * SECOND, expire_after));
        let mut right = Partition::new(small(30 * SECOND, expire_after));
        // A removed last row brings both watermarks to the same place.
        let last = Row { removed: true, ..row(rows[rows.len() - 1].time + 100 * SECOND, "s0", 0.0) };
        for (partition, delays) in [(&mut left, one), (&mut right, other)] {
            let mut arriving = delayed(&rows, &delays);
            arriving.push(last.clone());
            push_in_batches(partition, &arriving, &[17]);
            prop_assert!(partition.late.is_empty());
        }
        prop_assert_eq!(left.closed, right.closed);
    }

    #[test]
    fn restart_at_any_commit_goes_on_as_if_nothing_had_happened(
        rows in rows(120),
        delays in proptest::collection::vec(0..60 * SECOND, 120),
        length in 1..25usize,
        commits in proptest::collection::vec(any::<bool>(), 120),
        flushes in proptest::collection::vec(0..12u32, 120),
    ) {
        let arriving = delayed(&rows, &delays);
        let mut undisturbed = Partition::new(small(30 * SECOND, 60 * SECOND));
        let mut partition = Partition::new(small(30 * SECOND, 60 * SECOND));
        let mut state = MemoryState::default();
        let mut closed = Vec::new();
        for (number, batch) in arriving.chunks(length).enumerate() {
            undisturbed.push(batch);
            partition.push(batch);
            if flushes[number] == 0 {
                prop_assert_eq!(undisturbed.flush(), partition.flush());
            }
            partition.snapshot(Snapshot::Changed, &mut state);
            if commits[number] {
                // What commits wrote, one upon the other, is the state.
                prop_assert_eq!(&state.blocks, &partition.full());
                prop_assert_eq!(&state.blocks, &undisturbed.full());
                closed.append(&mut partition.closed);
                partition = Partition::new(small(30 * SECOND, 60 * SECOND));
                partition.restore(&state);
            }
        }
        closed.append(&mut partition.closed);
        prop_assert_eq!(&closed, &undisturbed.closed);
        prop_assert_eq!(partition.full(), undisturbed.full());
    }

    #[test]
    fn sum_of_one_value_is_the_value(
        value in prop_oneof![-4e18..4e18f64, -1.0..1.0f64, -1e-9..1e-9f64, Just(2f64.powi(-12)), Just(2f64.powi(62))],
    ) {
        let mut partition = Partition::new(small(0, SIZE));
        partition.push(&[row(0, "a", value)]);
        partition.flush();
        let sum = partition.closed[0].value("a", 1);
        if value.abs() >= 2f64.powi(-12) {
            prop_assert_eq!(sum.to_bits(), value.to_bits());
        } else {
            prop_assert!((sum - value).abs() <= 2f64.powi(-65));
        }
    }
}

#[test]
fn sums_beyond_any_word_stay_exact_in_every_order() {
    let big = 2f64.powi(62);
    let values = [big, big, big, 1.0, big, -big, big, 0.5, big, -1.0, 2f64.powi(-64)];
    let sum = |values: &[f64]| {
        let mut partition = Partition::new(small(0, SIZE));
        partition.push(&values.iter().map(|value| row(0, "a", *value)).collect::<Vec<_>>());
        partition.flush();
        partition.closed[0].value("a", 1)
    };
    // Five times 2^62 and something: rounded to the nearest f64, whose spacing is 4096 there.
    assert_eq!(sum(&values), 5.0 * big);
    let back: Vec<f64> = values.iter().chain(&[-big; 5]).copied().collect();
    let exact = 0.5 + 2f64.powi(-64);
    assert_eq!(sum(&back), exact);
    assert_eq!(sum(&back.iter().rev().copied().collect::<Vec<_>>()), exact);
    // From 2^63 on an f64 is a multiple of 2048: half of that is a tie, but not with anything after the point.
    assert_eq!(sum(&[big, big, 1024.0]), 2.0 * big);
    assert_eq!(sum(&[big, big, 1024.0, 0.25]), 2.0 * big + 2048.0);
    assert_eq!(sum(&[-big, -big, -1024.0, -0.25]), -2.0 * big - 2048.0);
}
