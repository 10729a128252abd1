//! Event times of decoded rows, before cleaning -> which rows are late, and where windows close.
//!
//! The watermark is the largest event time seen, less `max_delay`. It advances row by row: a row is judged by the rows
//! before it, put into its window, and only then moves the watermark. So batch boundaries change nothing. What the
//! wall clock or the end of the input decide is a flush: it closes windows and leaves the watermark where it is.

use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use super::WindowPlan;
use crate::stages::rows::Rows;
use crate::vocab::{EventTime, MadeWith, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Step name of the state.
const STEP: &str = "watermark";

/// The watermark of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    plan: Grid,
    state: Saved,
    changed: bool,
}

/// What the watermark needs of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    every: i64,
    /// How much longer than `every` a window is: so long a row is in time after its first window closed.
    overlap: i64,
    stamp_shift: i64,
    max_delay: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    /// Largest event time seen.
    newest: Option<EventTime>,
    /// Windows that end at or before this were closed by decision, whatever the watermark says.
    flushed_until: Option<EventTime>,
    /// The end of the last window that is closed: stays closed where a later plan waits longer or cuts other windows.
    closed_until: Option<EventTime>,
}

/// A point in a batch at which windows close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// The row, by its index in the source's batch, that moved the watermark. It is in its window already.
    pub after_origin: u32,
    /// Windows that end at or before this close.
    pub watermark: EventTime,
}

/// What the watermark says of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advance {
    /// For each row, whether it is late.
    pub late: Vec<bool>,
    /// Where windows close, in row order.
    pub crossings: Vec<Crossing>,
}

impl Advance {
    /// The rows that are in time, and the origins of the late ones.
    ///
    /// # Errors
    /// Only where Arrow refuses to filter, which these masks never cause.
    pub fn split(&self, rows: Rows) -> Result<(Rows, Vec<u32>), ArrowError> {
        let in_time: Vec<bool> = self.late.iter().map(|late| !late).collect();
        rows.split(&in_time)
    }
}

impl Watermark {
    /// A partition of which nothing was read yet.
    #[must_use]
    pub fn new(plan: &WindowPlan) -> Self {
        let (every, overlap) = (plan.every(), plan.size() - plan.every());
        let plan = Grid { every, overlap, stamp_shift: plan.stamp_shift(), max_delay: plan.max_delay() };
        Self { plan, state: Saved { newest: None, flushed_until: None, closed_until: None }, changed: false }
    }

    /// What a saved watermark was made with: event times mean the same under every plan.
    #[must_use]
    pub fn made_with(plan: &WindowPlan) -> MadeWith {
        MadeWith { step: STEP.to_owned(), meaning: String::new(), settings: plan.max_delay().to_string() }
    }

    /// Judges the rows of a batch in order, and advances.
    pub fn advance(&mut self, rows: &Rows) -> Advance {
        let Grid { every, overlap, stamp_shift, max_delay } = self.plan;
        let mut advance = Advance { late: Vec::with_capacity(rows.times.len()), crossings: Vec::new() };
        let mut newest = self.state.newest.map_or(i64::MIN, |time| time.0);
        let mut closed_until = self.closed_until();
        for (time, origin) in rows.times.iter().zip(&rows.origin) {
            // Its last window ends at or before `closed_until`, itself the end of a window, where the reading lies before
            // all that the next one holds.
            advance.late.push(time.saturating_sub(stamp_shift) < closed_until.saturating_sub(overlap));
            if *time <= newest {
                continue;
            }
            newest = *time;
            let watermark = newest.saturating_sub(max_delay);
            // The division is needed only where the watermark may have reached the next window's end.
            if closed_until == i64::MIN || watermark >= closed_until.saturating_add(every) {
                let until = floor(watermark, every);
                if until > closed_until {
                    closed_until = until;
                    advance.crossings.push(Crossing { after_origin: *origin, watermark: EventTime(until) });
                }
            }
        }
        if newest != i64::MIN && self.state.newest != Some(EventTime(newest)) {
            self.state.newest = Some(EventTime(newest));
            self.changed = true;
        }
        self.keep_closed();
        advance
    }

    /// Decides to close every window up to the first that holds the newest reading, although the watermark has not passed
    /// it: later ones that overlap with it may still take rows. Returns up to
    /// when windows are now closed; `None` where there is nothing to close.
    pub fn flush(&mut self) -> Option<EventTime> {
        let newest = self.state.newest?.0;
        let every = self.plan.every;
        self.flush_to(EventTime(floor(newest.saturating_sub(self.plan.stamp_shift), every).saturating_add(every)))
    }

    /// Takes a decision to close every window that ends at or before `until`, although the watermark may not have
    /// passed it: rows for them are late from now on. The largest event time seen stays what it is. Returns up to when
    /// windows are now closed; `None` where they are already.
    pub fn flush_to(&mut self, until: EventTime) -> Option<EventTime> {
        let until = floor(until.0, self.plan.every);
        if until <= self.closed_until() {
            return None;
        }
        self.state.flushed_until = Some(EventTime(until));
        self.changed = true;
        self.keep_closed();
        self.state.flushed_until
    }

    /// Largest event time seen.
    #[must_use]
    pub fn newest(&self) -> Option<EventTime> {
        self.state.newest
    }

    /// The end of the last window that is closed.
    fn closed_until(&self) -> i64 {
        let decided = [self.state.flushed_until, self.state.closed_until];
        let decided = decided.into_iter().flatten().map(|time| time.0).max().unwrap_or(i64::MIN);
        let Some(newest) = self.state.newest else { return decided };
        floor(newest.0.saturating_sub(self.plan.max_delay), self.plan.every).max(decided)
    }

    fn keep_closed(&mut self) {
        let closed_until = self.closed_until();
        self.state.closed_until = (closed_until > i64::MIN).then_some(EventTime(closed_until));
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        if which == Snapshot::Full || std::mem::take(&mut self.changed) {
            writer.put(STEP, 0, to_block(&self.state));
        }
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] where the block is not this state.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        if let Some((block, bytes)) = reader.blocks(STEP).next() {
            self.state = from_block(STEP, block, bytes)?;
            // Under other windows, one that was closed in part is closed.
            let every = self.plan.every;
            for until in [&mut self.state.flushed_until, &mut self.state.closed_until].into_iter().flatten() {
                *until = EventTime(floor(until.0.saturating_add(every - 1), every));
            }
        }
        Ok(())
    }
}

/// The last end of a window at or before `time`.
fn floor(time: i64, every: i64) -> i64 {
    time.div_euclid(every).saturating_mul(every)
}
