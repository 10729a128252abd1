//! Rows in offset order -> which of them repeat a reading. A reading is a series (the key without its event time) at
//! an event time. Exact: keys are compared, never only their hashes. Readings older than `within` behind the newest
//! event time are forgotten; they neither repeat nor are remembered. A row with a null in its key identifies nothing
//! and passes.
//!
//! Per series the remembered times, ascending, answer nearly every row from one place in memory; the log of readings
//! is what is written to the state.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use super::CleanPlanError;
use super::cleaner::{CleanError, Working};
use super::key::{KeyColumn, KeyKind, key_kind};
use super::plan::{Scope, Step, Stepped};
use super::reading_log::{BLOCK_READINGS, ReadingLog};
use crate::stages::rows::Reason;
use crate::vocab::{
    KEY_BYTES_MAX, MadeWith, Snapshot, StateError, StateReader, StateWriter, YamlPath, from_block, to_block,
};

/// Most readings remembered per partition, about 300 MB of memory; further ones are dead letters. At one reading per
/// sensor and 30 s, remembered for 10 minutes, that is 400,000 sensors in one partition. Whole blocks of the log, so
/// that a full one looks for what it may forget at every row.
pub const READINGS_MAX: usize = 2048 * BLOCK_READINGS;
/// Series of a block of names: 10 to 30 kB on disk, at most 0.5 MB.
const BLOCK_SERIES: usize = 1024;
/// Blocks from here on hold names of series; those below hold the log.
const SERIES_BLOCKS: u32 = 1 << 31;
/// The block of the step's own numbers.
const HEAD_BLOCK: u32 = u32::MAX;

/// A checked dedupe step.
#[derive(Debug)]
pub(super) struct DedupePlan {
    /// Name of its state.
    pub(super) step: String,
    /// Columns of the series.
    series: Vec<(usize, KeyKind)>,
    within_micros: i64,
    /// What the state depends on.
    pub(super) made_with: MadeWith,
    /// Index of its state in the cleaner.
    state: usize,
}

/// Checks a dedupe step; `before` are the steps in front of it, `state` is its number among the stateful ones.
pub(super) fn plan_dedupe(
    scope: &mut Scope<'_>,
    path: &YamlPath,
    (key, within_micros): (&[String], i64),
    (before, state): (&[Step], usize),
) -> Stepped {
    for required in [&scope.input.event_time, &scope.input.partitioned_by] {
        if !key.contains(required) {
            scope.refuse(&path.key("key"), CleanPlanError::KeyLacks { name: required.clone() });
        }
    }
    if within_micros <= 0 {
        scope.refuse(&path.key("within"), CleanPlanError::Within { micros: within_micros });
    }
    if let Some(remover) = before.iter().find(|step| step.removes_rows()) {
        scope.refuse(path, CleanPlanError::DedupeTooLate { remover: remover.name() });
    }
    let mut series = Vec::new();
    let mut seen = BTreeSet::new();
    for (position, name) in key.iter().enumerate() {
        let place = path.key("key").index(position);
        if !seen.insert(name) {
            scope.refuse(&place, CleanPlanError::RepeatedColumn { name: name.clone() });
        }
        let Some(index) = scope.column(&place, name) else { continue };
        let data_type = scope.schema.field(index).data_type();
        match key_kind(data_type) {
            _ if *name == scope.input.event_time => {}
            Some(kind) => series.push((index, kind)),
            None => {
                let found = data_type.to_string();
                scope.refuse(&place, CleanPlanError::KeyType { name: name.clone(), found });
            }
        }
    }
    let step = if state == 0 { "clean.dedupe".to_owned() } else { format!("clean.dedupe.{}", state + 1) };
    // What is remembered stays good where it is to be remembered longer or shorter.
    let made_with = MadeWith { step: step.clone(), meaning: format!("{key:?}"), settings: within_micros.to_string() };
    let plan = DedupePlan { step, series, within_micros, made_with, state };
    Stepped::Known(Step::Dedupe(plan), std::sync::Arc::clone(scope.schema))
}

impl DedupePlan {
    /// Marks the duplicates of a batch, with the step's own state among `states`.
    pub(super) fn apply(&self, work: &mut Working, states: &mut [Dedupe]) -> Result<(), CleanError> {
        let Some(state) = states.get_mut(self.state) else { return Ok(()) };
        let read = |(index, kind): &(usize, KeyKind)| KeyColumn::read(work.rows.batch.column(*index), *kind);
        let columns = self.series.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let mut scratch = Vec::new();
        for row in 0..work.rows.times.len() {
            let time = work.rows.times[row];
            let seen = match columns.as_slice() {
                // One text column is the usual case, and its bytes are there already.
                [KeyColumn::Text(texts)] => {
                    let key = (!columns[0].is_null(row)).then(|| texts.value(row).as_bytes());
                    state.see(key, time, self.within_micros)
                }
                several => {
                    scratch.clear();
                    several.iter().for_each(|column| column.append(row, &mut scratch));
                    let null = several.iter().any(|column| column.is_null(row));
                    state.see((!null).then_some(scratch.as_slice()), time, self.within_micros)
                }
            };
            match seen {
                Seen::First => {}
                Seen::Before => work.duplicate(row),
                Seen::TooLong => {
                    work.doom(row, Reason::BadKey, format!("the key is longer than {KEY_BYTES_MAX} bytes"));
                }
                Seen::Full => {
                    let detail = format!("dedupe remembers {READINGS_MAX} readings already");
                    work.doom(row, Reason::LimitReached, detail);
                }
            }
        }
        Ok(())
    }
}

/// What is known of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    First,
    Before,
    TooLong,
    Full,
}

/// Readings remembered by one dedupe step of one partition.
#[derive(Debug)]
pub(super) struct Dedupe {
    newest: i64,
    log: ReadingLog,
    names: HashTable<u32>,
    hasher: DefaultHashBuilder,
    series: Vec<Series>,
    /// Numbers of series that were forgotten, to be given out again, least first.
    free: BinaryHeap<Reverse<u32>>,
    changes: Changes,
}

/// One series; without times it is forgotten.
#[derive(Debug, Default)]
struct Series {
    key: Option<Box<[u8]>>,
    times: VecDeque<i64>,
}

/// What changed since the last commit's snapshot.
#[derive(Debug, Default)]
struct Changes {
    head: bool,
    /// Blocks of the log from here on.
    log_from: u32,
    /// Blocks of the log that the state may hold.
    written: std::ops::Range<u32>,
    series: BTreeSet<u32>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    newest: i64,
    first_block: u32,
}

/// Names of the series in use among `BLOCK_SERIES` numbers.
#[derive(Serialize, Deserialize, Default)]
struct SeriesBlock {
    places: Vec<u16>,
    keys: Vec<Vec<u8>>,
}

impl Dedupe {
    /// Nothing remembered.
    pub(super) fn new() -> Self {
        Self {
            newest: i64::MIN,
            log: ReadingLog::default(),
            names: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            series: Vec::new(),
            free: BinaryHeap::new(),
            changes: Changes::default(),
        }
    }

    fn see(&mut self, key: Option<&[u8]>, time: i64, within_micros: i64) -> Seen {
        if time > self.newest {
            self.newest = time;
            self.changes.head = true;
        }
        let horizon = self.newest.saturating_sub(within_micros);
        let Some(key) = key else { return Seen::First };
        if key.len() > KEY_BYTES_MAX {
            return Seen::TooLong;
        }
        if time < horizon {
            return Seen::First;
        }
        if self.log.block_full() {
            self.forget_older(horizon);
        }
        let hash = self.hasher.hash_one(key);
        let found = self.names.find(hash, |id| self.series[*id as usize].key.as_deref() == Some(key)).copied();
        if let Some(id) = found {
            let times = &mut self.series[id as usize].times;
            let place = match times.back() {
                Some(last) if *last < time => times.len(),
                _ => match times.binary_search(&time) {
                    Ok(_) => return Seen::Before,
                    Err(place) => place,
                },
            };
            if self.log.len() >= READINGS_MAX {
                return Seen::Full;
            }
            times.insert(place, time);
            self.log.push((id, time));
            return Seen::First;
        }
        if self.log.len() >= READINGS_MAX {
            return Seen::Full;
        }
        let id = self.name_series(key, hash);
        self.series[id as usize].times.push_back(time);
        self.log.push((id, time));
        Seen::First
    }

    fn name_series(&mut self, key: &[u8], hash: u64) -> u32 {
        let id = match self.free.pop() {
            Some(Reverse(id)) => id,
            None => {
                self.series.push(Series::default());
                // Fewer series than readings, which are limited.
                (self.series.len() - 1) as u32
            }
        };
        self.changes.series.insert(id / BLOCK_SERIES as u32);
        self.set_key(id, key.into(), hash);
        id
    }

    fn set_key(&mut self, id: u32, key: Box<[u8]>, hash: u64) {
        self.series[id as usize].key = Some(key);
        let (series, hasher) = (&self.series, &self.hasher);
        let hash_of = |id: &u32| hasher.hash_one(series[*id as usize].key.as_deref().unwrap_or_default());
        self.names.insert_unique(hash, id, hash_of);
    }

    /// Forgets whole blocks of readings, and the series that have none left. Called when a block is full, which
    /// depends on the rows alone, never on batches or commits.
    fn forget_older(&mut self, horizon: i64) {
        while let Some(readings) = self.log.drop_older(horizon) {
            self.changes.head = true;
            for (id, time) in readings {
                let series = &mut self.series[id as usize];
                if let Ok(place) = series.times.binary_search(&time) {
                    series.times.remove(place);
                }
                if series.times.is_empty() {
                    let key = series.key.take().unwrap_or_default();
                    let hash = self.hasher.hash_one(&*key);
                    if let Ok(entry) = self.names.find_entry(hash, |known| *known == id) {
                        entry.remove();
                    }
                    self.free.push(Reverse(id));
                    self.changes.series.insert(id / BLOCK_SERIES as u32);
                }
            }
        }
    }

    /// Writes the state's blocks under the step's name.
    pub(super) fn snapshot(&mut self, step: &str, mode: Snapshot, writer: &mut dyn StateWriter) {
        let numbers = self.log.numbers();
        let all_series = 0..self.series.len().div_ceil(BLOCK_SERIES) as u32;
        if mode == Snapshot::Full {
            self.write_head(step, writer);
            self.write_log(step, numbers, writer);
            all_series.for_each(|block| self.write_series(step, block, false, writer));
            return;
        }
        let changes = std::mem::take(&mut self.changes);
        if changes.head {
            self.write_head(step, writer);
        }
        for gone in changes.written.start..changes.written.end.min(numbers.start) {
            writer.delete(step, gone);
        }
        self.write_log(step, changes.log_from.max(numbers.start)..numbers.end, writer);
        for block in changes.series {
            self.write_series(step, block, true, writer);
        }
        self.mark_written();
    }

    /// The last block may still grow; those before it never change again.
    fn mark_written(&mut self) {
        let written = self.log.numbers();
        let log_from = if self.log.block_full() { written.end } else { written.end - 1 };
        self.changes = Changes { head: false, log_from, written, series: BTreeSet::new() };
    }

    fn write_head(&self, step: &str, writer: &mut dyn StateWriter) {
        if self.newest > i64::MIN {
            let head = Head { newest: self.newest, first_block: self.log.numbers().start };
            writer.put(step, HEAD_BLOCK, to_block(&head));
        }
    }

    fn write_log(&self, step: &str, numbers: std::ops::Range<u32>, writer: &mut dyn StateWriter) {
        for number in numbers {
            if let Some(bytes) = self.log.encode(number) {
                writer.put(step, number, bytes);
            }
        }
    }

    fn write_series(&self, step: &str, block: u32, delete_empty: bool, writer: &mut dyn StateWriter) {
        let start = block as usize * BLOCK_SERIES;
        let mut record = SeriesBlock::default();
        for (place, series) in self.series.iter().skip(start).take(BLOCK_SERIES).enumerate() {
            if !series.times.is_empty() {
                record.places.push(place as u16);
                record.keys.push(series.key.as_deref().unwrap_or_default().to_vec());
            }
        }
        if !record.places.is_empty() {
            writer.put(step, SERIES_BLOCKS + block, to_block(&record));
        } else if delete_empty {
            writer.delete(step, SERIES_BLOCKS + block);
        }
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] where a block cannot be read or blocks contradict each other.
    pub(super) fn restore(step: &str, reader: &dyn StateReader) -> Result<Self, StateError> {
        let mut state = Self::new();
        if let Some((_, bytes)) = reader.blocks(step).find(|(block, _)| *block == HEAD_BLOCK) {
            let head: Head = from_block(step, HEAD_BLOCK, bytes)?;
            state.newest = head.newest;
            state.log = ReadingLog::starting_at(head.first_block);
        }
        for (block, bytes) in reader.blocks(step) {
            if block < SERIES_BLOCKS {
                state.log.decode(step, block, bytes)?;
            } else if block != HEAD_BLOCK {
                state.read_series(step, block, bytes)?;
            }
        }
        for (id, time) in state.log.readings() {
            let Some(series) = state.series.get_mut(id as usize).filter(|series| series.key.is_some()) else {
                let reason = format!("a reading is of series {id}, which has no name");
                return Err(StateError { step: step.to_owned(), block: SERIES_BLOCKS, reason });
            };
            if let Err(place) = series.times.binary_search(&time) {
                series.times.insert(place, time);
            }
        }
        for (id, series) in state.series.iter().enumerate() {
            if series.times.is_empty() {
                state.free.push(Reverse(id as u32));
            }
        }
        state.mark_written();
        Ok(state)
    }

    fn read_series(&mut self, step: &str, block: u32, bytes: &[u8]) -> Result<(), StateError> {
        let record: SeriesBlock = from_block(step, block, bytes)?;
        let start = (block - SERIES_BLOCKS) as usize * BLOCK_SERIES;
        for (place, key) in record.places.into_iter().zip(record.keys) {
            let id = start + usize::from(place);
            if id >= READINGS_MAX {
                let reason = format!("series {id} is beyond the limit of {READINGS_MAX}");
                return Err(StateError { step: step.to_owned(), block, reason });
            }
            if self.series.len() <= id {
                self.series.resize_with(id + 1, Series::default);
            }
            let hash = self.hasher.hash_one(key.as_slice());
            self.set_key(id as u32, key.into(), hash);
        }
        Ok(())
    }
}
