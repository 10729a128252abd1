//! Readings in the order they were first seen -> blocks that are appended to and dropped whole: a commit writes only
//! the newest block, however many readings are remembered.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::vocab::{StateError, from_block, to_block};

/// Readings of a block: 15 to 30 kB on disk.
pub(super) const BLOCK_READINGS: usize = 4096;

/// A remembered reading: the series it is of, and its event time in microseconds.
pub(super) type Reading = (u32, i64);

/// Blocks of readings, oldest first.
#[derive(Debug, Default)]
pub(super) struct ReadingLog {
    blocks: VecDeque<Block>,
    /// Number of the oldest block; ascends for good, so that block numbers are never used again.
    first: u32,
    count: usize,
}

#[derive(Debug, Default)]
struct Block {
    series: Vec<u32>,
    times: Vec<i64>,
    newest: i64,
}

/// A block as written: times as differences from the one before, which postcard keeps short.
#[derive(Serialize, Deserialize)]
struct BlockRecord {
    series: Vec<u32>,
    steps: Vec<i64>,
}

impl ReadingLog {
    /// An empty log whose next block has this number.
    pub(super) fn starting_at(first: u32) -> Self {
        Self { blocks: VecDeque::new(), first, count: 0 }
    }

    /// Readings held.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Numbers of the blocks held.
    pub(super) fn numbers(&self) -> std::ops::Range<u32> {
        // Block numbers fit: 2^31 blocks are 10^13 readings of one partition.
        self.first..self.first + self.blocks.len() as u32
    }

    /// Whether the next reading starts a block: the moment to drop old ones.
    pub(super) fn block_full(&self) -> bool {
        self.blocks.back().is_none_or(|block| block.series.len() == BLOCK_READINGS)
    }

    /// Appends a reading.
    pub(super) fn push(&mut self, (series, time): Reading) {
        if self.block_full() {
            self.blocks.push_back(Block { newest: i64::MIN, ..Block::default() });
        }
        if let Some(block) = self.blocks.back_mut() {
            block.series.push(series);
            block.times.push(time);
            block.newest = block.newest.max(time);
            self.count += 1;
        }
    }

    /// Takes the oldest block out, if every reading in it is older than `horizon`.
    pub(super) fn drop_older(&mut self, horizon: i64) -> Option<Vec<Reading>> {
        if self.blocks.front()?.newest >= horizon {
            return None;
        }
        let block = self.blocks.pop_front()?;
        self.first += 1;
        self.count -= block.series.len();
        Some(block.series.into_iter().zip(block.times).collect())
    }

    /// All readings in order.
    pub(super) fn readings(&self) -> impl Iterator<Item = Reading> {
        self.blocks.iter().flat_map(|block| block.series.iter().copied().zip(block.times.iter().copied()))
    }

    /// A block's bytes.
    pub(super) fn encode(&self, number: u32) -> Option<Vec<u8>> {
        let block = self.blocks.get(number.checked_sub(self.first)? as usize)?;
        let mut before = 0;
        let mut steps = Vec::with_capacity(block.times.len());
        for time in &block.times {
            steps.push(time.wrapping_sub(before));
            before = *time;
        }
        Some(to_block(&BlockRecord { series: block.series.clone(), steps }))
    }

    /// Appends a block as written.
    ///
    /// # Errors
    /// [`StateError`] where the bytes are no block.
    pub(super) fn decode(&mut self, step: &str, number: u32, bytes: &[u8]) -> Result<(), StateError> {
        let error = |reason: &str| StateError { step: step.to_owned(), block: number, reason: reason.to_owned() };
        let record: BlockRecord = from_block(step, number, bytes)?;
        if number != self.numbers().end {
            return Err(error("a block of readings is missing before this one"));
        }
        if record.series.len() != record.steps.len() || record.series.len() > BLOCK_READINGS {
            return Err(error("the block does not hold one time per reading"));
        }
        self.blocks.push_back(Block { newest: i64::MIN, ..Block::default() });
        let mut time = 0_i64;
        if let Some(block) = self.blocks.back_mut() {
            for step in record.steps {
                time = time.wrapping_add(step);
                block.times.push(time);
                block.newest = block.newest.max(time);
            }
            self.count += record.series.len();
            block.series = record.series;
        }
        Ok(())
    }
}
