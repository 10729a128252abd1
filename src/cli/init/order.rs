//! Times of a sample -> in what order rows come, and whose clocks are far off.

use std::collections::BTreeMap;

use super::sample::Sample;
use super::time::{TimeText, micros};
use crate::vocab::{EventTime, MICROS_PER_SECOND};

const HOUR: i64 = 3600 * MICROS_PER_SECOND;
/// Rows, of a hundred, that may be of clocks which are far off; one in any case.
const STRAYS: usize = 1;
/// With fewer rows nobody can say which clock is off.
const ROWS_MIN: usize = 8;
/// A time is far off where it lies so many times further from the others than they from each other.
const FAR: i64 = 10;

/// In what order rows come.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// How far behind the newest time before it in its partition a row comes at most, microseconds; clocks that are far off
    /// left aside.
    pub(super) disorder: i64,
    /// From the first to the last of the times, of the same.
    pub(super) span: i64,
    /// Whether most rows come before the one that they follow.
    pub(super) newest_first: bool,
    /// The first row whose clock is far ahead.
    pub(super) ahead: Option<Stray>,
    /// The first one whose clock is far behind.
    pub(super) behind: Option<Stray>,
}

/// A row whose clock is far off.
#[derive(Debug)]
pub(super) struct Stray {
    /// Its place in the sample, from 1.
    pub(super) row: usize,
    /// Its time, microseconds.
    pub(super) at: i64,
}

impl Order {
    /// Of the times in this column.
    pub(super) fn of(sample: &Sample, (time, text): &(usize, TimeText)) -> Self {
        let times: Vec<Option<i64>> = sample.rows.iter().map(|row| micros(&row[*time], text)).collect();
        let Some((first, last)) = usual(times.iter().flatten().copied().collect()) else { return Self::default() };
        let stray = |off: &dyn Fn(i64) -> bool| {
            times.iter().zip(1..).find_map(|(at, row)| at.filter(|at| off(*at)).map(|at| Stray { row, at }))
        };
        let mut newest: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        let (mut disorder, mut back, mut on) = (0, 0_usize, 0_usize);
        for (at, partition) in times.iter().zip(&sample.partitions) {
            let Some(at) = at.filter(|at| (first..=last).contains(at)) else { continue };
            let (newest, before) = newest.entry(*partition).or_insert((at, at));
            (back, on) = (back + usize::from(at < *before), on + usize::from(at > *before));
            (*newest, *before) = (at.max(*newest), at);
            disorder = disorder.max(*newest - at);
        }
        Self {
            disorder,
            span: last - first,
            newest_first: back > on,
            ahead: stray(&|at| at > last),
            behind: stray(&|at| at < first),
        }
    }

    /// Whether rows are so far out of order that windows wait for most of the table.
    pub(super) fn unsorted(&self, interval: i64) -> bool {
        self.disorder > interval.saturating_mul(FAR) && self.disorder > self.span / 2
    }

    /// What is odd, one to a line.
    pub(super) fn told(&self, interval: i64) -> impl Iterator<Item = String> {
        let stray = |stray: &Option<Stray>, side: &str, fate: &str| {
            let Stray { row, at } = stray.as_ref()?;
            Some(format!("clock:  row {row} has the time {}, far {side} the others: {fate}", EventTime(*at)))
        };
        let how = if self.newest_first { "newest first" } else { "sorted by something else than their time" };
        let unsorted = self.unsorted(interval).then(|| {
            format!("order:  rows come {how}: sort them by time, or windows wait for all of them, and rows below these are late")
        });
        let ahead = "without `event_time.latest` it closes all windows, and the rows after it are late";
        [stray(&self.ahead, "ahead of", ahead), stray(&self.behind, "behind", "it is late"), unsorted]
            .into_iter()
            .flatten()
    }
}

/// The first and the last of the times, without the few that lie far from all others.
fn usual(mut times: Vec<i64>) -> Option<(i64, i64)> {
    times.sort_unstable();
    let (first, last) = (*times.first()?, *times.last()?);
    if times.len() < ROWS_MIN {
        return Some((first, last));
    }
    let few = (times.len() * STRAYS / 100).max(1);
    let core = &times[few..times.len() - few];
    let within = core.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(0);
    let far = within.saturating_mul(FAR).min(core[core.len() - 1] - core[0]).max(HOUR);
    let apart = |two: &[i64]| two[1].saturating_sub(two[0]) > far;
    let begins = times[..=few].windows(2).rposition(apart).map_or(0, |place| place + 1);
    let tail = times.len() - few - 1;
    let ends = times[tail..].windows(2).position(apart).map_or(times.len() - 1, |place| tail + place);
    Some((times[begins], times[ends]))
}
