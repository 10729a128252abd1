//! What the tests of the window stage share: rows of a small table, and one partition's watermark and windows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use arterial::stages::rows::{Rejected, Rows};
use arterial::stages::window::{AtEnd, ClosedWindow, Keys, Stamps, Watermark, WindowPlan, WindowSettings, Windows};
use arterial::vocab::{EventTime, Snapshot};

use super::predict_support::MemoryState;

/// A second, microseconds.
pub(crate) const SECOND: i64 = 1_000_000;
/// A minute, microseconds.
pub(crate) const MINUTE: i64 = 60 * SECOND;

/// One row: `sensor`, `lane`, `speed` and `flow`, and whether cleaning takes it away.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) sensor: Option<String>,
    pub(crate) lane: i64,
    pub(crate) speed: Option<f64>,
    pub(crate) flow: Option<i64>,
    pub(crate) removed: bool,
}

/// A row of a sensor with a speed and no flow.
pub(crate) fn row(time: i64, sensor: &str, speed: f64) -> Row {
    Row { time, sensor: Some(sensor.to_owned()), lane: 1, speed: Some(speed), flow: None, removed: false }
}

/// Columns after cleaning.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("sensor", DataType::Utf8, true),
        Field::new("lane", DataType::Int64, true),
        Field::new("speed", DataType::Float64, true),
        Field::new("flow", DataType::Int64, true),
    ]))
}

/// The rows as a batch that decoding gives.
pub(crate) fn batch(rows: &[Row]) -> Rows {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.sensor.as_deref()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.lane)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.speed).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.flow).collect::<Int64Array>()),
    ];
    Rows {
        batch: RecordBatch::try_new(schema(), columns).unwrap(),
        origin: (0..rows.len() as u32).collect(),
        times: rows.iter().map(|row| row.time).collect(),
    }
}

/// Five-minute windows by sensor: the mean speed, stamps at the start, 90 s of delay.
pub(crate) fn settings() -> WindowSettings {
    WindowSettings {
        size: 5 * MINUTE,
        every: None,
        stamps: Stamps::Start,
        interval: 0,
        max_delay: 90 * SECOND,
        key: vec!["sensor".to_owned()],
        columns: columns(&[("speed", "avg(speed)")]),
        carry: Vec::new(),
        min_count: 1,
        expire_after: 60 * MINUTE,
        keys_max: 1000,
        at_end: AtEnd::Flush,
        imputed: false,
    }
}

pub(crate) fn columns(columns: &[(&str, &str)]) -> BTreeMap<String, String> {
    columns.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// One key's row of a closed window: rows and values as bits, so that NaN equals NaN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRow {
    pub(crate) rows: u32,
    pub(crate) values: Vec<u64>,
}

/// A closed window by key's name: what must not depend on ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) end: i64,
    pub(crate) keys: BTreeMap<String, KeyRow>,
    pub(crate) expired: BTreeSet<String>,
}

impl Closed {
    fn new(keys: &Keys, window: &ClosedWindow) -> Self {
        let name = |key: u32| keys.values(key).collect::<Vec<_>>().join("/");
        let live = (0..window.key_count()).filter(|key| window.live[*key]);
        for key in (0..window.key_count()).filter(|key| !window.live[*key]) {
            assert_eq!(window.rows[key], 0);
            assert!(window.columns.iter().all(|column| column[key].is_nan()), "a dead key has values");
        }
        let row = |key: usize| KeyRow {
            rows: window.rows[key],
            values: window.columns.iter().map(|column| column[key].to_bits()).collect(),
        };
        Self {
            end: window.end.0,
            keys: live.map(|key| (name(key as u32), row(key))).collect(),
            expired: window.expired.iter().map(|key| name(*key)).collect(),
        }
    }

    /// A key's value in a column.
    pub(crate) fn value(&self, key: &str, column: usize) -> f64 {
        f64::from_bits(self.keys[key].values[column])
    }
}

/// Watermark and windows of one partition.
pub(crate) struct Partition {
    pub(crate) watermark: Watermark,
    pub(crate) windows: Windows,
    /// All windows closed so far.
    pub(crate) closed: Vec<Closed>,
    /// Event times of all late rows.
    pub(crate) late: Vec<i64>,
    /// All rows that windows refused.
    pub(crate) refused: Vec<Rejected>,
}

impl Partition {
    pub(crate) fn new(settings: WindowSettings) -> Self {
        let plan = Arc::new(WindowPlan::new(settings, &schema()).unwrap());
        Self {
            watermark: Watermark::new(&plan),
            windows: Windows::new(plan),
            closed: Vec::new(),
            late: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Takes one batch through watermark, cleaning and windows, as a shard does.
    pub(crate) fn push(&mut self, rows: &[Row]) {
        let decoded = batch(rows);
        let advance = self.watermark.advance(&decoded);
        let (in_time, late) = advance.split(decoded).unwrap();
        self.late.extend(late.iter().map(|origin| rows[*origin as usize].time));
        let kept: Vec<u32> = in_time.origin.into_iter().filter(|origin| !rows[*origin as usize].removed).collect();
        let cleaned: Vec<Row> = kept.iter().map(|origin| rows[*origin as usize].clone()).collect();
        let cleaned = Rows { origin: kept, ..batch(&cleaned) };
        let closed = &mut self.closed;
        let mut on_close = |keys: &Keys, window: &ClosedWindow| closed.push(Closed::new(keys, window));
        self.refused.extend(self.windows.push(&cleaned, &advance.crossings, &mut on_close));
    }

    /// Closes what is open by decision.
    pub(crate) fn flush(&mut self) -> Option<EventTime> {
        let until = self.watermark.flush()?;
        let closed = &mut self.closed;
        self.windows.close_until(until, &mut |keys, window| closed.push(Closed::new(keys, window)));
        Some(until)
    }

    pub(crate) fn snapshot(&mut self, which: Snapshot, state: &mut MemoryState) {
        self.watermark.snapshot(which, state);
        self.windows.snapshot(which, state);
    }

    /// The canonical state.
    pub(crate) fn full(&mut self) -> BTreeMap<(String, u32), Vec<u8>> {
        let mut state = MemoryState::default();
        self.snapshot(Snapshot::Full, &mut state);
        state.blocks
    }

    pub(crate) fn restore(&mut self, state: &MemoryState) {
        self.watermark.restore(state).unwrap();
        self.windows.restore(state).unwrap();
    }

    /// Ends of the windows closed so far.
    pub(crate) fn ends(&self) -> Vec<i64> {
        self.closed.iter().map(|window| window.end).collect()
    }
}
