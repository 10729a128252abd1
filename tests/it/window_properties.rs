//! Windows as properties: against a naive reference, under other batches, other orders of arrival and restarts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use arterial::stages::window::{Stamps, WindowSettings};
use arterial::vocab::Snapshot;

use super::predict_support::MemoryState;
use super::window_support::{Closed, KeyRow, Partition, Row, SECOND, columns, row, settings};

const SIZE: i64 = 10 * SECOND;

/// Ten-second windows with every aggregate.
fn small(max_delay: i64, expire_after: i64) -> WindowSettings {
    let columns = columns(&[
        ("a", "count(*)"),
        ("b", "sum(speed)"),
        ("c", "avg(speed)"),
        ("d", "min(speed)"),
        ("e", "max(speed)"),
        ("f", "first(speed)"),
        ("g", "last(flow)"),
        ("h", "median(speed)"),
        ("i", "quantile(speed, 0.9)"),
        ("j", "stddev(speed)"),
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

/// What windows must be, straight from their definition: `(closed windows, late rows)`. A window has the index of its last
/// stretch of `every`.
fn reference(rows: &[Row], settings: &WindowSettings) -> (Vec<Closed>, Vec<i64>) {
    let shift = if settings.stamps == Stamps::End { settings.interval } else { 0 };
    let every = settings.every.unwrap_or(settings.size);
    let more = settings.size / every - 1;
    let (mut newest, mut late) = (i64::MIN, Vec::new());
    let mut accepted: BTreeMap<String, BTreeMap<i64, Vec<Row>>> = BTreeMap::new();
    let mut watermark = i64::MIN;
    for row in rows {
        let first = (row.time - shift).div_euclid(every);
        let mut open = (first..=first + more).filter(|index| (index + 1) * every > watermark).peekable();
        if open.peek().is_none() {
            late.push(row.time);
        } else if !row.removed {
            let windows = accepted.entry(row.sensor.clone().unwrap()).or_default();
            open.for_each(|index| windows.entry(index).or_default().push(row.clone()));
        }
        newest = newest.max(row.time);
        watermark = newest - settings.max_delay;
    }
    let is_closed = |index: i64| (index + 1) * every <= watermark;
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
                let ends = (index - last) * every >= settings.expire_after;
                let end = (index + 1) * every;
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

/// The aggregates of [`small`], all but the last, over the rows of one key and window, each straight from its definition.
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
        naive_quantile(&speeds, 0.5),
        naive_quantile(&speeds, 0.9),
    ];
    KeyRow { rows: rows.len() as u32, values: values.iter().map(|value| value.to_bits()).collect() }
}

/// The quantile of ascending values: between two of them on the line.
fn naive_quantile(values: &[f64], level: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let rank = level * last as f64;
    let (low, high) = (values[rank as usize] + 0.0, values[(rank.ceil() as usize).min(last)] + 0.0);
    if low == high { low } else { low + (high - low) * rank.fract() }
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
        every in proptest::option::of(prop_oneof![Just(SIZE), Just(SIZE / 2), Just(2 * SECOND)]),
        lengths in proptest::collection::vec(1..30usize, 1..8),
    ) {
        let stamps = if interval == 0 { Stamps::Start } else { Stamps::End };
        let mut settings = WindowSettings { stamps, interval, every, ..small(max_delay, expire_after) };
        settings.columns.remove("j");
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
        every in prop_oneof![Just(None), Just(Some(2 * SECOND))],
    ) {
        let arriving = delayed(&rows, &delays);
        let settings = WindowSettings { every, ..small(30 * SECOND, 60 * SECOND) };
        let mut left = Partition::new(settings.clone());
        let mut right = Partition::new(settings);
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
        every in prop_oneof![Just(None), Just(Some(2 * SECOND))],
    ) {
        let settings = WindowSettings { every, ..small(30 * SECOND, expire_after) };
        let mut left = Partition::new(settings.clone());
        let mut right = Partition::new(settings);
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
        every in prop_oneof![Just(None), Just(Some(2 * SECOND))],
    ) {
        let arriving = delayed(&rows, &delays);
        let settings = WindowSettings { every, ..small(30 * SECOND, 60 * SECOND) };
        let mut undisturbed = Partition::new(settings.clone());
        let mut partition = Partition::new(settings.clone());
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
                partition = Partition::new(settings.clone());
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

/// Windows of every second over the same ten seconds hold the same rows by another way: ten panes put together.
fn whole_and_in_panes(columns_of: &[(&str, &str)], rows: &[Row]) -> [Closed; 2] {
    let last = row(1000 * SECOND, "z", 0.0);
    [None, Some(SECOND)].map(|every| {
        let settings =
            WindowSettings { size: SIZE, every, max_delay: 20 * SECOND, columns: columns(columns_of), ..settings() };
        let mut partition = Partition::new(settings);
        partition.push(rows);
        partition.push(std::slice::from_ref(&last));
        partition.closed.into_iter().find(|window| window.end == SIZE).unwrap()
    })
}

proptest! {
    #[test]
    fn deviation_is_that_of_the_sample_however_far_from_zero(
        mut offsets in proptest::collection::vec(-50.0..50.0f64, 2..60),
        far in prop_oneof![Just(0.0), Just(1e6), Just(-1e9)],
        seed in any::<u64>(),
    ) {
        let made = |offsets: &[f64]| {
            let time = |index: usize| (seed.wrapping_mul(index as u64 + 1) % SIZE as u64) as i64;
            let rows: Vec<Row> =
                offsets.iter().enumerate().map(|(index, offset)| row(time(index), "a", far + offset)).collect();
            whole_and_in_panes(&[("d", "stddev(speed)")], &rows).map(|window| window.value("a", 0))
        };
        let [whole, panes] = made(&offsets);
        prop_assert_eq!(whole.to_bits(), panes.to_bits());
        // Two passes over what the values were rounded to.
        let values: Vec<f64> = offsets.iter().map(|offset| (far + offset) - far).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let naive = (squares / (values.len() - 1) as f64).sqrt();
        prop_assert!((whole - naive).abs() <= 1e-9 * naive, "{whole} {naive}");
        offsets.reverse();
        prop_assert_eq!(made(&offsets)[0].to_bits(), whole.to_bits());
    }

    #[test]
    fn quantiles_of_many_values_are_within_their_bound_in_any_order_and_any_panes(
        values in proptest::collection::vec(prop_oneof![-1e3..1e3f64, -1e-3..1e-3f64, 0.0..1e9f64], 33..400),
        order in any::<u64>(),
    ) {
        let columns = [("a", "quantile(speed, 0.05)"), ("b", "median(speed)"), ("c", "quantile(speed, 0.99)")];
        let rows: Vec<Row> =
            values.iter().enumerate().map(|(index, value)| row((index as i64 * 997) % SIZE, "a", *value)).collect();
        let mut shuffled = rows.clone();
        shuffled.sort_by_key(|row| (row.time as u64).wrapping_mul(order | 1));
        let [whole, panes] = whole_and_in_panes(&columns, &rows);
        prop_assert_eq!(&whole, &panes);
        prop_assert_eq!(&whole, &whole_and_in_panes(&columns, &shuffled)[0]);
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        for (column, level) in [0.05, 0.5, 0.99].into_iter().enumerate() {
            let rank = level * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[rank as usize], sorted[rank.ceil() as usize]);
            // Each of the two neighbours is off by 0.4 % at most.
            let slack = 0.004 * low.abs().max(high.abs());
            let value = whole.value("a", column);
            prop_assert!((low - slack..=high + slack).contains(&value), "{value} of {low}..{high}");
        }
    }
}

#[test]
fn values_of_every_magnitude_there_is_need_no_more_memory_than_joined_buckets() {
    // 4,000 octaves' worth of eighths: more buckets than there may be, of both signs.
    let spread =
        |index: i64| f64::from_bits((((index as u64 % 2000) << 52) | (index as u64 * 0x9e37_79b9)) & !(1 << 63));
    let values: Vec<f64> =
        (1..20_000).map(|index| if index % 3 == 0 { -spread(index) } else { spread(index) }).collect();
    let rows = |values: &[f64]| -> Vec<Row> {
        values.iter().enumerate().map(|(index, value)| row(index as i64 * 400, "a", *value)).collect()
    };
    let columns_of = [("a", "median(speed)"), ("b", "quantile(speed, 0.9)")];
    let backwards: Vec<f64> = values.iter().rev().copied().collect();
    let [whole, panes] = whole_and_in_panes(&columns_of, &rows(&values));
    assert_eq!(whole, panes);
    assert_eq!(whole, whole_and_in_panes(&columns_of, &rows(&backwards))[1]);
    let mut partition = Partition::new(WindowSettings { columns: columns(&columns_of), ..settings() });
    partition.push(&rows(&values));
    let bytes: usize = partition.full().values().map(Vec::len).sum();
    assert!(bytes < 2 * 2048 * 8, "{bytes} bytes of state");
    let mut sorted = values;
    sorted.sort_by(f64::total_cmp);
    // Buckets were joined until they fit: the median is near zero, the ninth decile right to a factor.
    let ratio = whole.value("a", 1) / sorted[sorted.len() * 9 / 10];
    assert!((0.2..5.0).contains(&ratio), "{ratio}");
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
