//! Windows: which rows are late, where windows close, what they hold, and how long keys live.

use arterial::stages::rows::Reason;
use arterial::stages::window::{MAGNITUDE_MAX, Stamps, WindowSettings};
use arterial::vocab::{EventTime, Snapshot};

use super::predict_support::MemoryState;
use super::window_support::{KeyRow, MINUTE, Partition, Row, SECOND, columns, row, settings};

/// Times of day in these tests, microseconds since 1970.
fn at(hour: i64, minute: i64, second: i64) -> i64 {
    (hour * 3600 + minute * 60 + second) * SECOND
}

#[test]
fn reading_at_the_end_of_a_window_belongs_to_the_next_one() {
    let mut partition = Partition::new(settings());
    partition.push(&[row(at(11, 30, 0), "a", 10.0), row(at(11, 29, 59), "a", 20.0), row(at(11, 40, 0), "a", 1.0)]);
    assert_eq!(partition.ends(), [at(11, 30, 0), at(11, 35, 0)]);
    assert_eq!(partition.closed[0].value("a", 0), 20.0);
    assert_eq!(partition.closed[1].value("a", 0), 10.0);
}

#[test]
fn reading_stamped_at_the_end_of_its_interval_belongs_to_the_window_that_ends_there() {
    let mut partition = Partition::new(settings_at_end());
    // 11:30 speaks of 11:25..11:30.
    partition.push(&[row(at(11, 30, 0), "a", 10.0), row(at(11, 35, 0), "a", 20.0), row(at(11, 40, 0), "a", 30.0)]);
    assert_eq!(partition.ends(), [at(11, 30, 0), at(11, 35, 0)]);
    assert_eq!(partition.closed[0].value("a", 0), 10.0);
    assert_eq!(partition.closed[1].value("a", 0), 20.0);
}

fn settings_at_end() -> WindowSettings {
    WindowSettings { stamps: Stamps::End, interval: 5 * MINUTE, ..settings() }
}

#[test]
fn row_is_late_exactly_when_its_window_ends_at_or_before_the_watermark() {
    for (moves_to, late) in [(at(11, 31, 30) - 1, false), (at(11, 31, 30), true)] {
        let mut partition = Partition::new(settings());
        // Delay 90 s: 11:31:30 puts the watermark on 11:30:00, the end of the window.
        partition.push(&[row(moves_to, "a", 1.0), row(at(11, 29, 59), "b", 2.0), row(at(11, 30, 0), "b", 3.0)]);
        assert_eq!(partition.late, if late { vec![at(11, 29, 59)] } else { vec![] });
    }
}

#[test]
fn row_stamped_at_its_end_is_late_by_its_window_not_by_its_stamp() {
    let mut partition = Partition::new(settings_at_end());
    // The watermark stands at 11:30; the window 11:25..11:30 holds readings that begin there: stamps before 11:35.
    partition.push(&[
        row(at(11, 31, 30), "a", 1.0),
        row(at(11, 30, 0), "b", 2.0),
        row(at(11, 34, 59), "b", 3.0),
        row(at(11, 35, 0), "b", 4.0),
    ]);
    assert_eq!(partition.late, [at(11, 30, 0), at(11, 34, 59)]);
}

#[test]
fn without_delay_a_row_is_judged_by_the_rows_before_it_only() {
    let mut partition = Partition::new(WindowSettings { max_delay: 0, ..settings() });
    partition.push(&[row(at(11, 29, 0), "a", 1.0), row(at(11, 30, 0), "a", 2.0), row(at(11, 29, 30), "a", 3.0)]);
    assert_eq!(partition.late, [at(11, 29, 30)]);
    assert_eq!(partition.ends(), [at(11, 30, 0)]);
    assert_eq!(partition.closed[0].value("a", 0), 1.0);
    partition.push(&[row(at(11, 30, 0), "a", 4.0), row(at(11, 35, 0), "a", 0.0)]);
    assert_eq!(partition.late.len(), 1, "the same time again is not late");
    assert_eq!(partition.closed[1].value("a", 0), 3.0);
}

#[test]
fn row_that_moves_the_watermark_is_in_its_window_before_older_ones_close() {
    // With stamps at the end and no delay, a reading closes the very window that it belongs to.
    let settings = WindowSettings { max_delay: 0, ..settings_at_end() };
    let mut partition = Partition::new(settings);
    partition.push(&[row(at(11, 30, 0), "a", 10.0), row(at(11, 30, 0), "b", 20.0)]);
    assert_eq!(partition.ends(), [at(11, 30, 0)]);
    assert_eq!(partition.closed[0].value("a", 0), 10.0);
    assert_eq!(partition.late, [at(11, 30, 0)], "b's reading came after its window had closed");
}

#[test]
fn row_that_cleaning_removes_still_closes_windows_where_it_stood() {
    let removed = Row { removed: true, ..row(at(11, 40, 0), "a", 9.0) };
    let mut partition = Partition::new(settings());
    partition.push(&[row(at(11, 30, 0), "a", 1.0), removed, row(at(11, 37, 0), "b", 2.0)]);
    // b's row comes after the crossing: the window 11:30..11:35 closed without any key b.
    assert_eq!(partition.ends(), [at(11, 35, 0)]);
    assert_eq!(partition.closed[0].keys.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn flush_closes_open_windows_and_leaves_the_watermark_where_it_is() {
    let mut partition = Partition::new(settings());
    partition.push(&[row(at(11, 31, 0), "a", 1.0), row(at(11, 36, 0), "a", 2.0)]);
    assert_eq!(partition.ends(), Vec::<i64>::new());
    assert_eq!(partition.flush(), Some(EventTime(at(11, 40, 0))));
    assert_eq!(partition.ends(), [at(11, 35, 0), at(11, 40, 0)]);
    assert_eq!(partition.watermark.newest(), Some(EventTime(at(11, 36, 0))));
    assert_eq!(partition.flush(), None, "nothing is left to close");
    // Rows of flushed windows are late although the watermark stands at 11:34:30; the next window is open.
    partition.push(&[row(at(11, 39, 59), "a", 3.0), row(at(11, 40, 0), "a", 4.0), row(at(11, 46, 30), "a", 5.0)]);
    assert_eq!(partition.late, [at(11, 39, 59)]);
    assert_eq!(partition.ends(), [at(11, 35, 0), at(11, 40, 0), at(11, 45, 0)]);
    assert_eq!(partition.closed[2].value("a", 0), 4.0);
}

#[test]
fn flush_decided_elsewhere_closes_up_to_its_time() {
    let mut partition = Partition::new(settings());
    partition.push(&[row(at(11, 31, 0), "a", 1.0)]);
    assert_eq!(partition.watermark.flush_to(EventTime(at(11, 37, 0))), Some(EventTime(at(11, 35, 0))));
    assert_eq!(partition.watermark.flush_to(EventTime(at(11, 35, 0))), None);
    partition.push(&[row(at(11, 34, 59), "a", 1.0)]);
    assert_eq!(partition.late, [at(11, 34, 59)]);
}

#[test]
fn aggregates_leave_nulls_out_and_count_rows_apart() {
    let all = columns(&[
        ("a_rows", "count(*)"),
        ("b_count", "count(speed)"),
        ("c_sum", "sum(flow)"),
        ("d_avg", "avg(speed)"),
        ("e_min", "min(speed)"),
        ("f_max", "max(flow)"),
        ("g_first", "first(speed)"),
        ("h_last", "last(speed)"),
        ("i_names", "count(sensor)"),
    ]);
    let carry = vec!["lane".to_owned()];
    let settings = WindowSettings { columns: all, carry, ..settings() };
    let mut partition = Partition::new(settings);
    let reading = |second, speed, flow, lane| Row { speed, flow, lane, ..row(at(11, 30, second), "a", 0.0) };
    partition.push(&[
        reading(30, Some(60.0), Some(7), 1),
        reading(10, None, Some(-9), 2),
        reading(40, Some(f64::NAN), None, 3),
        reading(20, Some(-0.0), Some(5), 4),
        row(at(11, 40, 0), "b", 0.0),
    ]);
    let values: Vec<f64> = (0..10).map(|column| partition.closed[0].value("a", column)).collect();
    assert_eq!(values, [4.0, 2.0, 3.0, 30.0, 0.0, 7.0, 0.0, 60.0, 4.0, 3.0]);
    assert_eq!(partition.closed[0].keys["a"].rows, 4);
}

#[test]
fn silent_key_has_a_row_with_nulls_and_counts_of_zero_whether_or_not_others_speak() {
    let both = columns(&[("rows", "count(*)"), ("speed", "avg(speed)")]);
    let mut partition = Partition::new(WindowSettings { columns: both, ..settings() });
    partition.push(&[row(at(11, 30, 0), "a", 1.0), row(at(11, 36, 0), "b", 2.0), row(at(11, 47, 0), "b", 2.0)]);
    assert_eq!(partition.ends(), [at(11, 35, 0), at(11, 40, 0), at(11, 45, 0)]);
    let silent = KeyRow { rows: 0, values: vec![0.0f64.to_bits(), f64::NAN.to_bits()] };
    assert_eq!(partition.closed[0].keys.len(), 1, "b does not live before its first row");
    assert_eq!(partition.closed[1].keys["a"], silent);
    assert_eq!(partition.closed[2].keys["a"], silent);
    assert_eq!(partition.closed[2].keys["b"], silent);
}

#[test]
fn key_without_rows_expires_and_its_id_goes_to_another() {
    let settings = WindowSettings { expire_after: 10 * MINUTE, ..settings() };
    let mut partition = Partition::new(settings);
    partition.push(&[row(at(11, 30, 0), "a", 1.0)]);
    partition.push(&[row(at(11, 31, 0), "b", 2.0), row(at(11, 44, 0), "b", 2.0)]);
    assert_eq!(partition.windows.keys().live_count(), 2);
    partition.push(&[row(at(11, 46, 30), "b", 3.0)]);
    let ended = partition.closed.iter().find(|window| window.expired.contains("a")).unwrap();
    // Its last row stands in 11:30..11:35: at 11:45 two windows have passed without one.
    assert_eq!(ended.end, at(11, 45, 0));
    assert!(ended.keys.contains_key("a"), "the window at whose end a key expires still has its row");
    assert_eq!(partition.windows.keys().live_count(), 1);
    partition.push(&[row(at(11, 47, 0), "c", 4.0), row(at(11, 52, 0), "c", 4.0)]);
    assert_eq!(partition.windows.keys().len(), 2, "c took a's id");
    assert_eq!(partition.windows.keys().values(0).collect::<Vec<_>>(), ["c"]);
    let last = partition.closed.last().unwrap();
    assert_eq!(last.keys.keys().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(last.value("c", 0), 4.0);
}

#[test]
fn key_expires_by_event_time_even_where_its_next_row_came_early() {
    let settings = || WindowSettings { expire_after: 10 * MINUTE, max_delay: 30 * MINUTE, ..settings() };
    let first = row(at(11, 30, 0), "a", 1.0);
    let (again, other) = (row(at(11, 59, 0), "a", 2.0), row(at(12, 16, 0), "b", 3.0));
    let end = row(at(12, 40, 0), "b", 0.0);
    let mut early = Partition::new(settings());
    early.push(&[first.clone(), again.clone(), other.clone(), end.clone()]);
    let mut late = Partition::new(settings());
    late.push(&[first, other, again, end]);
    assert_eq!(early.closed, late.closed);
    let ended: Vec<i64> = early.closed.iter().filter(|one| one.expired.contains("a")).map(|one| one.end).collect();
    assert_eq!(ended, [at(11, 45, 0), at(12, 10, 0)]);
    let live: Vec<i64> = early.closed.iter().filter(|one| one.keys.contains_key("a")).map(|one| one.end).collect();
    assert_eq!(live, [35, 40, 45, 60, 65, 70].map(|minute| at(11, minute, 0)));
}

#[test]
fn jump_over_years_closes_no_window_without_a_live_key() {
    let century = 100 * 365 * 24 * 60 * MINUTE;
    let mut partition = Partition::new(settings());
    partition.push(&[row(0, "a", 1.0), row(century, "b", 2.0), row(2 * century, "a", 3.0)]);
    // One window with rows and the twelve until expiry, twice.
    assert_eq!(partition.closed.len(), 26);
    assert_eq!(partition.closed[12].expired.iter().collect::<Vec<_>>(), ["a"]);
    assert_eq!(partition.closed[13].keys.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(partition.refused, []);
    // To the edges of representable time and back in one batch.
    partition.push(&[row(i64::MAX, "a", 1.0), row(i64::MIN, "a", 1.0)]);
    assert_eq!(partition.late, [i64::MIN]);
}

#[test]
fn keys_beyond_the_limit_or_without_a_value_are_refused() {
    let mut partition = Partition::new(WindowSettings { keys_max: 2, ..settings() });
    let null = Row { sensor: None, ..row(at(11, 30, 0), "", 1.0) };
    partition.push(&[
        row(at(11, 30, 0), "a", 1.0),
        null,
        row(at(11, 30, 0), "b", 1.0),
        row(at(11, 30, 0), "c", 1.0),
        row(at(11, 30, 0), "b", 1.0),
    ]);
    let refused: Vec<(u32, Reason)> = partition.refused.iter().map(|one| (one.origin, one.reason)).collect();
    assert_eq!(refused, [(1, Reason::BadKey), (3, Reason::LimitReached)]);
    assert!(partition.refused[1].detail.contains("`keys.max`"), "{}", partition.refused[1].detail);
    partition.flush();
    assert_eq!(partition.closed[0].keys["b"].rows, 2);
}

#[test]
fn several_key_columns_never_run_into_each_other() {
    let key = vec!["sensor".to_owned(), "lane".to_owned()];
    let mut partition = Partition::new(WindowSettings { key, ..settings() });
    let lane = |sensor: &str, lane| Row { lane, ..row(at(11, 30, 0), sensor, 1.0) };
    partition.push(&[lane("a", 11), lane("a1", 1), lane("", 1), lane("a\u{1f}1", 1), lane("a", 11)]);
    partition.flush();
    assert_eq!(partition.closed[0].keys.keys().collect::<Vec<_>>(), ["/1", "a/11", "a1/1"]);
    assert_eq!(partition.refused.iter().map(|one| one.origin).collect::<Vec<_>>(), [3]);
}

#[test]
fn lone_key_column_may_hold_anything() {
    let mut partition = Partition::new(settings());
    partition.push(&[row(at(11, 30, 0), "a\u{1f}b", 1.0), row(at(11, 30, 0), "", 1.0)]);
    let keys = partition.windows.keys();
    assert_eq!(keys.values(0).collect::<Vec<_>>(), ["a\u{1f}b"]);
    assert_eq!(keys.values(1).collect::<Vec<_>>(), [""]);
    assert_eq!(partition.refused, []);
}

#[test]
fn number_too_large_to_add_up_is_refused_and_touches_nothing() {
    let mut partition = Partition::new(settings());
    let beyond = MAGNITUDE_MAX * 1.5;
    partition.push(&[
        row(at(11, 30, 0), "a", 3.0),
        row(at(11, 30, 1), "a", -beyond),
        row(at(11, 30, 2), "new", f64::INFINITY),
        row(at(11, 30, 3), "a", 5.0),
    ]);
    let refused: Vec<(u32, Reason)> = partition.refused.iter().map(|one| (one.origin, one.reason)).collect();
    assert_eq!(refused, [(1, Reason::Unrepresentable), (2, Reason::Unrepresentable)]);
    partition.flush();
    assert_eq!(partition.closed[0].value("a", 0), 4.0);
    assert_eq!(partition.closed[0].keys.len(), 1, "a refused row makes no key");
    // What is not added up has no limit.
    let most = columns(&[("speed", "max(speed)")]);
    let mut partition = Partition::new(WindowSettings { columns: most, ..settings() });
    partition.push(&[row(0, "a", beyond)]);
    partition.flush();
    assert_eq!(partition.closed[0].value("a", 0), beyond);
}

#[test]
fn key_that_appears_after_a_commit_is_in_the_next_one() {
    let mut partition = Partition::new(settings());
    let mut state = MemoryState::default();
    partition.push(&[row(at(11, 30, 0), "a", 1.0)]);
    partition.snapshot(Snapshot::Changed, &mut state);
    partition.push(&[row(at(11, 31, 0), "b", 2.0)]);
    partition.snapshot(Snapshot::Changed, &mut state);
    assert_eq!(state.blocks, partition.full());
    let mut restored = Partition::new(settings());
    restored.restore(&state);
    restored.flush();
    assert_eq!(restored.closed[0].value("b", 0), 2.0);
}

#[test]
fn commit_without_rows_writes_nothing_and_one_row_writes_its_blocks_only() {
    let mut partition = Partition::new(WindowSettings { keys_max: 10_000, ..settings() });
    let many: Vec<Row> = (0..9000).map(|key| row(at(11, 30, 0), &format!("s{key:04}"), 1.0)).collect();
    partition.push(&many);
    let mut state = MemoryState::default();
    partition.snapshot(Snapshot::Changed, &mut state);
    state.writes = 0;
    partition.snapshot(Snapshot::Changed, &mut state);
    assert_eq!(state.writes, 0);
    partition.push(&[row(at(11, 30, 0), "s5000", 1.0)]);
    partition.snapshot(Snapshot::Changed, &mut state);
    assert_eq!(state.writes, 1, "a known key, an open window, an unmoved watermark: one block");
    assert_eq!(state.blocks, partition.full());
}

#[test]
fn state_of_other_windows_is_refused() {
    let mut partition = Partition::new(settings());
    partition.push(&[row(at(11, 30, 0), "a", 1.0)]);
    let mut state = MemoryState::default();
    partition.snapshot(Snapshot::Full, &mut state);
    let least = columns(&[("speed", "min(speed)")]);
    let mut other = Partition::new(WindowSettings { columns: least, ..settings() });
    let error = other.windows.restore(&state).unwrap_err();
    assert!(error.to_string().contains("other aggregates"), "{error}");
    state.blocks.remove(&("window.keys".to_owned(), 0));
    let error = Partition::new(settings()).windows.restore(&state).unwrap_err();
    assert_eq!(error.step, "window.lives");
}

#[test]
fn longer_delay_under_existing_state_opens_no_closed_window_again() {
    let mut before = Partition::new(settings());
    before.push(&[row(0, "a", 1.0), row(7 * MINUTE, "a", 1.0)]);
    assert_eq!(before.ends(), [5 * MINUTE]);
    let mut state = MemoryState::default();
    before.snapshot(Snapshot::Changed, &mut state);
    let mut after = Partition::new(WindowSettings { max_delay: 10 * MINUTE, ..settings() });
    after.restore(&state);
    after.push(&[row(4 * MINUTE, "a", 1.0), row(5 * MINUTE, "a", 1.0), row(21 * MINUTE, "a", 1.0)]);
    assert_eq!(after.late, [4 * MINUTE], "its window was closed under the shorter delay");
    assert_eq!(after.ends(), [10 * MINUTE], "the longer delay holds from then on");
}

#[test]
fn window_of_another_size_that_was_closed_in_part_is_closed() {
    let mut before = Partition::new(settings());
    before.push(&[row(0, "a", 1.0), row(7 * MINUTE, "a", 1.0)]);
    let mut state = MemoryState::default();
    before.watermark.snapshot(Snapshot::Changed, &mut state);
    let mut after = Partition::new(WindowSettings { size: 3 * MINUTE, ..settings() });
    after.watermark.restore(&state).unwrap();
    // Minutes 0 to 5 were closed, so of the new windows those up to minute 6 are.
    after.push(&[row(5 * MINUTE, "a", 1.0), row(6 * MINUTE, "a", 1.0)]);
    assert_eq!(after.late, [5 * MINUTE]);
}
