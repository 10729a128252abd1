//! The least `within` that the rules allow is enough for the last repeat that is still in time, and what lies a moment
//! further back is late.

use std::sync::Arc;

use arterial::runtime::{DryRun, dry_run};
use arterial_connectors::payload::RawRows;

use crate::run_support::{edited, plan};

/// Takes readings of one sensor, given by their times, through the pipeline with this event time and `within`.
fn taken(stamps: &str, within: &str, times: &[&str]) -> DryRun {
    let text = edited(&[("stamps: end, interval: 60s, max_delay: 60s", stamps), ("within: 20m", within)]);
    let mut rows = RawRows::default();
    for (offset, time) in times.iter().enumerate() {
        let row = format!(r#"{{"sensor_id": "L1", "observed_at": "2026-03-02T{time}Z", "speed_kmh": 80}}"#);
        rows.push(offset as i64, None, None, Some(row.as_bytes()));
    }
    dry_run(&Arc::new(plan(&text)), rows, RawRows::default()).unwrap()
}

#[test]
fn last_repeat_in_time_is_recognised_with_the_least_within() {
    // Windows of 5 minutes, 90 s of delay. The newest reading's watermark stands a microsecond before the end of the
    // window 00:05..00:10, whose first reading comes again: stamped at its end, 00:06, or at its start, 00:05.
    let newest = "00:11:29.999999";
    for (stamps, within, first) in [
        ("stamps: end, interval: 60s, max_delay: 90s", "within: 330s", "00:06:00"),
        ("stamps: start, max_delay: 90s", "within: 390s", "00:05:00"),
    ] {
        let got = taken(stamps, within, &[first, newest, first]);
        assert_eq!((got.clean.len(), got.late.len()), (2, 0), "{stamps}");
        let closed = taken(stamps, within, &[first, "00:11:30", first]);
        assert_eq!((closed.clean.len(), closed.late.len()), (2, 1), "{stamps}: a moment later it is late");
    }
}

#[test]
fn other_readings_as_far_back_are_no_repeats() {
    let got = taken("stamps: start, max_delay: 90s", "within: 390s", &["00:11:29.999999", "00:05:00", "00:05:01"]);
    assert_eq!((got.clean.len(), got.late.len()), (3, 0));
}
