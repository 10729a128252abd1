//! Cleaned rows of one partition -> closed windows, exactly where the watermark crosses their ends.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::accumulator::Run;
use super::keys::{Interned, Keys, Life, UNKNOWN};
use super::open::OpenWindow;
use super::readings::Readings;
use super::{ClosedWindow, Crossing, WindowPlan};
use crate::stages::rows::{Reason, RejectStage, Rejected, Rows};
use crate::vocab::{EventTime, KEY_BYTES_MAX, KeyId};

/// Takes a closed window with the keys as they were in it.
pub type OnClose<'a> = dyn FnMut(&Keys, &ClosedWindow) + 'a;

/// The windows of one partition.
#[derive(Debug)]
pub struct Windows {
    pub(super) plan: Arc<WindowPlan>,
    pub(super) keys: Keys,
    /// Panes with rows, by index; a window has the index of its last pane, and without overlap is that pane. Those
    /// between them exist only once they close.
    pub(super) open: BTreeMap<i64, OpenWindow>,
    /// Windows with an index below this are closed.
    pub(super) closed: i64,
    /// Whether some key has a row in the window after the last closed one, whatever comes.
    pub(super) any_live: bool,
    pub(super) dirty: super::saved::Dirty,
    runs: Runs,
    /// Ids of the rows of a stretch; the memory is kept between stretches.
    found: Vec<KeyId>,
}

/// Rows of one stretch of a batch, by pane. The memory is kept between stretches.
#[derive(Debug, Default)]
struct Runs {
    runs: Vec<(i64, Run)>,
    used: usize,
}

impl Runs {
    /// The place of a pane's run.
    fn of(&mut self, index: i64) -> usize {
        if let Some(place) = self.runs[..self.used].iter().position(|(window, _)| *window == index) {
            return place;
        }
        if self.used == self.runs.len() {
            self.runs.push((index, Run::default()));
        }
        self.runs[self.used].0 = index;
        self.used += 1;
        self.used - 1
    }

    fn clear(&mut self) {
        for (_, run) in &mut self.runs[..self.used] {
            run.keys.clear();
            run.rows.clear();
        }
        self.used = 0;
    }
}

impl Windows {
    /// A partition without rows.
    #[must_use]
    pub fn new(plan: Arc<WindowPlan>) -> Self {
        let keys = Keys::new(plan.key_columns().len());
        Self {
            plan,
            keys,
            open: BTreeMap::new(),
            closed: i64::MIN,
            any_live: false,
            dirty: super::saved::Dirty::default(),
            runs: Runs::default(),
            found: Vec::new(),
        }
    }

    /// The partition's keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Puts rows into their windows and closes windows at the crossings, in row order. `rows` are those that cleaning
    /// left of the rows that the watermark judged in time; a crossing holds also where its row is gone. `on_close` is
    /// called at each closing; ids that expire there may be given out again right after it. Returns the rows that were
    /// refused, in row order; all others are accepted.
    pub fn push(&mut self, rows: &Rows, crossings: &[Crossing], on_close: &mut OnClose<'_>) -> Vec<Rejected> {
        let plan = Arc::clone(&self.plan);
        let readings = Readings::new(&plan, rows);
        let mut refused = Vec::new();
        let mut from = 0;
        for crossing in crossings {
            let to = from + rows.origin[from..].partition_point(|origin| *origin <= crossing.after_origin);
            self.take(&readings, from..to, &mut refused);
            self.close_until(crossing.watermark, on_close);
            from = to;
        }
        self.take(&readings, from..rows.origin.len(), &mut refused);
        refused
    }

    /// Closes every window that ends at or before `until`, in order.
    pub fn close_until(&mut self, until: EventTime, on_close: &mut OnClose<'_>) {
        let target = until.0.div_euclid(self.plan.every());
        while let Some(index) = self.next_to_close().filter(|index| *index < target) {
            self.close(index, on_close);
        }
        if target > self.closed {
            self.closed = target;
            self.dirty.closed = true;
        }
    }

    /// The next window with anything to say: the one after the last closed while a key lives, else the first with
    /// rows. So a jump of event time costs at most `expire_after` of empty windows.
    fn next_to_close(&self) -> Option<i64> {
        let first = || self.open.keys().next().map(|pane| *pane.max(&self.closed));
        if self.any_live { Some(self.closed) } else { first() }
    }

    fn close(&mut self, index: i64, on_close: &mut OnClose<'_>) {
        let open = self.gather(index);
        if let Some(open) = &open {
            for (key, _) in open.rows.iter().enumerate().filter(|(_, rows)| **rows > 0) {
                self.keys.seen(key as KeyId, index);
                self.dirty.life(key as KeyId);
            }
        }
        let window = self.closed_window(index, open.as_ref());
        on_close(&self.keys, &window);
        for key in &window.expired {
            self.expire(*key);
        }
        self.any_live = window.live.iter().filter(|live| **live).count() > window.expired.len();
        self.closed = index + 1;
        self.dirty.closed = true;
    }

    /// What the panes of a window hold together. The oldest is gone from there on: no later window reaches back to it.
    fn gather(&mut self, index: i64) -> Option<OpenWindow> {
        let oldest = index.saturating_sub(self.plan.panes() - 1);
        let mut all = self.open.remove(&oldest);
        if let Some(pane) = &all {
            self.dirty.closed_pane(oldest, pane);
        }
        for (_, pane) in self.open.range(oldest..=index) {
            match &mut all {
                Some(all) => all.merge(pane),
                None => all = Some(pane.clone()),
            }
        }
        all
    }

    /// Forgets a key. One that has rows in a later window, already there because rows come out of order, is a new key
    /// of the same id and name from that window on: whether it is must not depend on the order of rows.
    fn expire(&mut self, key: KeyId) {
        self.dirty.life(key);
        match self.open.iter().find(|(_, window)| window.rows_of(key) > 0) {
            Some((index, _)) => self.keys.begin(key, *index),
            None => {
                self.keys.expire(key);
                self.dirty.name(key);
            }
        }
    }

    fn closed_window(&self, index: i64, open: Option<&OpenWindow>) -> ClosedWindow {
        let (every, lives) = (self.plan.every(), self.keys.lives());
        let end = index.saturating_add(1).saturating_mul(every);
        let live: Vec<bool> = lives.iter().map(|life| life.first_window <= index).collect();
        let mut rows: Vec<u32> = open.map(|open| open.rows.clone()).unwrap_or_default();
        rows.resize(lives.len(), 0);
        let nothing = OpenWindow::new(&self.plan);
        let column = |place: usize| open.unwrap_or(&nothing).column(place, &live);
        // NaN, of a key that is not live, becomes 0.
        let imputed = self.plan.imputed().map(|place| column(place).iter().map(|count| *count as u32).collect());
        let imputed: Vec<u32> = imputed.unwrap_or_default();
        let measured = |place: usize| match self.plan.aggregates()[place].column {
            Some(_) => column(place),
            // Whole rows are counted by the window itself.
            None => column(place).iter().zip(&imputed).map(|(rows, imputed)| rows - f64::from(*imputed)).collect(),
        };
        let others = self.plan.imputed().map_or(0, |place| place + 1)..self.plan.aggregates().len();
        let measured_columns = if imputed.is_empty() { Vec::new() } else { others.map(measured).collect() };
        let empty_for = |life: &Life| index.saturating_sub(life.last_window).saturating_mul(every);
        let expired =
            |key: &KeyId| live[*key as usize] && empty_for(&lives[*key as usize]) >= self.plan.settings().expire_after;
        ClosedWindow {
            start: EventTime(end.saturating_sub(self.plan.size())),
            end: EventTime(end),
            rows,
            measured_columns,
            imputed,
            columns: (0..self.plan.output_columns().len()).map(column).collect(),
            expired: (0..lives.len() as KeyId).filter(expired).collect(),
            live,
        }
    }

    /// Puts rows `range` into their panes. Between two crossings only the order of rows within a pane counts.
    fn take(&mut self, readings: &Readings<'_>, range: Range<usize>, refused: &mut Vec<Rejected>) {
        let (every, shift) = (self.plan.every(), self.plan.stamp_shift());
        let mut runs = std::mem::take(&mut self.runs);
        let mut found = std::mem::take(&mut self.found);
        self.keys.find_many(&readings.keys, range.clone(), &mut found);
        // The pane of the row before, by its bounds: neighbouring rows mostly share it.
        let (mut index, mut start, mut end, mut place) = (0, 0, 0, 0);
        for (row, key) in range.zip(&found) {
            let time = readings.rows.times[row].saturating_sub(shift);
            if time < start || time >= end {
                index = time.div_euclid(every);
                start = index.saturating_mul(every);
                end = start.saturating_add(every);
                place = runs.of(index);
            }
            match self.admit(readings, row, *key, index) {
                Ok(key) => {
                    runs.runs[place].1.keys.push(key);
                    runs.runs[place].1.rows.push(row as u32);
                }
                Err((reason, detail)) => {
                    let origin = readings.rows.origin[row];
                    refused.push(Rejected { origin, stage: RejectStage::Clean, reason, detail });
                }
            }
        }
        for (window, run) in runs.runs[..runs.used].iter().filter(|(_, run)| !run.keys.is_empty()) {
            let open = self.open.entry(*window).or_insert_with(|| OpenWindow::new(&self.plan));
            open.add(&self.plan, run, readings, self.keys.len());
        }
        runs.clear();
        self.runs = runs;
        self.found = found;
    }

    /// The key of a row that may enter pane `index`, or why it may not; `found` is its id, if it was found already.
    fn admit(
        &mut self,
        readings: &Readings<'_>,
        row: usize,
        found: KeyId,
        index: i64,
    ) -> Result<KeyId, (Reason, String)> {
        if let Some((aggregate, value)) = readings.too_large(row, &self.plan) {
            let detail = format!("`{}` cannot add up {value:e}: it is beyond 2^62", aggregate.name);
            return Err((Reason::Unrepresentable, detail));
        }
        let keys_max = self.plan.settings().keys_max;
        let interned = match found {
            UNKNOWN => self.keys.intern(&readings.keys, row, index, keys_max),
            key => Interned::Known(key),
        };
        match interned {
            Interned::Known(key) => {
                // The first row to come need not be the first in event time.
                if self.keys.before_first(key, index) {
                    self.keys.begin(key, index);
                    self.dirty.life(key);
                }
                Ok(key)
            }
            Interned::New(key) => {
                self.dirty.life(key);
                self.dirty.name(key);
                Ok(key)
            }
            Interned::NoKey => Err((Reason::BadKey, "a key column is null or holds U+001F".to_owned())),
            Interned::TooLong => Err((Reason::BadKey, format!("the key is longer than {KEY_BYTES_MAX} bytes"))),
            Interned::Full => {
                Err((Reason::LimitReached, format!("one key more than `keys.max`: the partition has {keys_max}")))
            }
        }
    }
}
