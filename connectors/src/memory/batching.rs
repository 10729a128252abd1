//! How a [`super::MemorySource`] cuts rows into batches and takes turns between partitions. Batch boundaries and the
//! order of partitions can change nothing in the engine's results; a seeded choice lets a property test prove it.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Which partition is next, and how many of its rows.
#[derive(Debug, Clone)]
pub struct Batching {
    rows_max: usize,
    random: Option<Box<ChaCha8Rng>>,
    turn: usize,
}

impl Batching {
    /// Partitions in turn, up to `rows_max` rows (at least 1) of each.
    #[must_use]
    pub fn in_turn(rows_max: usize) -> Self {
        Self { rows_max: rows_max.max(1), random: None, turn: 0 }
    }

    /// A partition at random, then 1 to `rows_max` rows of it; the same seed makes the same choices.
    #[must_use]
    pub fn seeded(seed: u64, rows_max: usize) -> Self {
        Self { rows_max: rows_max.max(1), random: Some(Box::new(ChaCha8Rng::seed_from_u64(seed))), turn: 0 }
    }

    /// Index among `partitions` (at least 1) readable partitions, and the most rows to take.
    pub(super) fn next(&mut self, partitions: usize) -> (usize, usize) {
        match &mut self.random {
            Some(random) => (random.random_range(0..partitions), random.random_range(1..=self.rows_max)),
            None => {
                self.turn = self.turn.wrapping_add(1);
                (self.turn % partitions, self.rows_max)
            }
        }
    }
}

impl Default for Batching {
    /// In turn, 1,024 rows: a batch of readings then is of the order of 100 kB, as from Kafka.
    fn default() -> Self {
        Self::in_turn(1024)
    }
}
