//! The simulated city as a source of raw rows: as fast as it goes, or paced by a clock that is passed in.
//! Every partition ends where the simulated length is over; an endless one never does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::config::SimulateConfig;
use super::readings::Readings;
use crate::payload::{Payload, RawRows};
use crate::position::Partition;
use crate::source::{GroupMetadata, SeekTo, Source, SourceBatch, SourceError, SourceEvent};

/// A clock: microseconds since 1970 UTC, or since anything else that stays the same.
pub type NowMicros = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Most rows of a batch: 1,024 readings are about 110 kB.
const BATCH_ROWS_MAX: usize = 1024;

/// How far one partition has been read. Offset `n` is the partition's reading number `n`.
struct Reading {
    readings: Readings,
    /// Offset of the next reading out of `readings`.
    next_offset: i64,
    seeked: bool,
    paused: bool,
    ended: bool,
}

/// Where simulated time stood when the clock said what.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    clock_micros: i64,
    simulated_micros: i64,
}

/// A reader of the simulated city; it owns every partition.
pub struct SimulateSource {
    config: SimulateConfig,
    now_micros: NowMicros,
    readings: BTreeMap<Partition, Reading>,
    assigned: bool,
    anchor: Option<Anchor>,
    value: Vec<u8>,
}

impl SimulateSource {
    /// Opens the city. Simulated time starts to run with the first poll after the first `seek`, at the time of
    /// the reading that comes first then; what a later rewind repeats is delivered at once.
    ///
    /// # Errors
    /// [`SourceError::Config`] as [`SimulateConfig::check`].
    pub fn open(config: SimulateConfig, now_micros: NowMicros) -> Result<Self, SourceError> {
        config.check()?;
        let mut readings = BTreeMap::new();
        for number in 0..config.partitions as i32 {
            let fresh = Reading {
                readings: Readings::of_partition(&config, number)?,
                next_offset: 0,
                seeked: false,
                paused: false,
                ended: false,
            };
            readings.insert(Partition { topic: 0, number }, fresh);
        }
        Ok(Self { config, now_micros, readings, assigned: false, anchor: None, value: Vec::new() })
    }

    fn reading(&mut self, partition: Partition) -> Result<&mut Reading, SourceError> {
        let found = self.readings.get_mut(&partition).filter(|_| self.assigned);
        found.ok_or(SourceError::NotAssigned(partition))
    }

    /// The partition whose next reading is the oldest, and that reading's time.
    fn oldest(&self) -> Option<(Partition, i64)> {
        let active = self.readings.iter().filter(|(_, reading)| reading.seeked && !reading.paused);
        let timed = active.filter_map(|(partition, reading)| Some((*partition, reading.readings.next_time_micros()?)));
        timed.min_by_key(|(_, time)| *time)
    }

    /// Simulated time up to which (inclusive) readings are due.
    fn due_micros(&mut self) -> i64 {
        if self.config.speed == 0.0 {
            return i64::MAX - 1;
        }
        let Some((_, oldest)) = self.oldest() else { return i64::MIN };
        let clock_micros = (self.now_micros)();
        let anchor = *self.anchor.get_or_insert(Anchor { clock_micros, simulated_micros: oldest });
        let passed = (clock_micros - anchor.clock_micros) as f64 * self.config.speed;
        anchor.simulated_micros.saturating_add(passed as i64)
    }

    fn next_event(&mut self) -> Option<SourceEvent> {
        if !self.assigned {
            self.assigned = true;
            return Some(SourceEvent::Assigned(self.readings.keys().copied().collect()));
        }
        // Asked again after the batches: a partition may end without a further row.
        self.next_end().or_else(|| self.next_batch()).or_else(|| self.next_end())
    }

    fn next_end(&mut self) -> Option<SourceEvent> {
        let active = self.readings.iter_mut().filter(|(_, reading)| reading.seeked && !reading.paused);
        let mut waiting = active.filter(|(_, reading)| !reading.ended);
        let (partition, reading) = waiting.find(|(_, reading)| reading.readings.next_time_micros().is_none())?;
        reading.ended = true;
        Some(SourceEvent::End(*partition))
    }

    fn next_batch(&mut self) -> Option<SourceEvent> {
        let due_micros = self.due_micros();
        loop {
            let (partition, time) = self.oldest()?;
            if time > due_micros {
                return None;
            }
            let reading = self.readings.get_mut(&partition)?;
            let mut rows = RawRows::default();
            while rows.len() < BATCH_ROWS_MAX {
                let next = reading.readings.next_into(&mut self.value, due_micros + 1);
                let Some((id, timestamp_ms)) = next else { break };
                rows.push(reading.next_offset, Some(timestamp_ms), Some(id.as_bytes()), Some(&self.value));
                reading.next_offset += 1;
            }
            let next_offset = reading.next_offset;
            if !rows.is_empty() {
                let payload = Payload::Raw(rows);
                return Some(SourceEvent::Batch(SourceBatch { partition, payload, next_offset, skipped: 0 }));
            }
            // Every detector of the partition left its turn out: its time has moved on, others may be due.
        }
    }

    /// Real time until the next reading is due; zero where one is or none ever will be.
    fn until_due(&mut self) -> Option<Duration> {
        let due_micros = self.due_micros();
        let (_, time) = self.oldest()?;
        let ahead = time.saturating_sub(due_micros).max(0) as f64;
        Some(Duration::from_micros((ahead / self.config.speed.max(f64::MIN_POSITIVE)).ceil() as u64))
    }
}

impl Source for SimulateSource {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        if let Some(event) = self.next_event() {
            return Ok(Some(event));
        }
        let wait = self.until_due().unwrap_or(timeout).min(timeout);
        if wait.is_zero() {
            return Ok(None);
        }
        std::thread::sleep(wait);
        Ok(self.next_event())
    }

    fn seek(&mut self, partition: Partition, to: SeekTo) -> Result<(), SourceError> {
        let config = self.config.clone();
        let reading = self.reading(partition)?;
        let wanted = match to {
            SeekTo::Offset(offset) => offset.max(0),
            SeekTo::Start => 0,
        };
        if wanted < reading.next_offset {
            reading.readings = Readings::of_partition(&config, partition.number)?;
            reading.next_offset = 0;
        }
        // Traffic depends on what was before: the road is driven again, without writing readings.
        reading.readings.skip_readings((wanted - reading.next_offset) as u64);
        reading.next_offset = wanted;
        reading.seeked = true;
        reading.ended = false;
        Ok(())
    }

    fn release(&mut self, _partitions: &[Partition]) -> Result<(), SourceError> {
        Ok(())
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        partitions.iter().try_for_each(|partition| self.reading(*partition).map(|reading| reading.paused = true))
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        partitions.iter().try_for_each(|partition| self.reading(*partition).map(|reading| reading.paused = false))
    }

    /// Nothing waits anywhere: a reading exists when it is read.
    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        self.readings.iter().filter(|(_, reading)| reading.seeked).map(|(partition, _)| (*partition, 0)).collect()
    }

    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError> {
        Ok(vec![self.config.partitions])
    }

    fn group_metadata(&self) -> Option<GroupMetadata> {
        None
    }

    fn connected(&self) -> Result<(), String> {
        Ok(())
    }
}
