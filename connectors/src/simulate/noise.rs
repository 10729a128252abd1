//! Seeded random numbers, equal on every platform.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for; each purpose and index has its own, so that none depends on another's use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Layout,
    Day,
    Incident,
    Demand,
    Capacity,
    Measurement,
    Fault,
    Weather,
    Stadium,
    Defect,
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Noise(ChaCha8Rng);

impl Noise {
    /// The stream of one purpose and index (a detector, a day).
    pub(super) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(((purpose as u64) << 56) | (index & ((1 << 56) - 1)));
        Self(rng)
    }

    /// The stream of one purpose and index of a corridor; the first corridor's is that of the purpose and index alone.
    pub(super) fn of_corridor(seed: u64, purpose: Purpose, corridor: u32, index: u64) -> Self {
        Self::new(seed, purpose, index ^ (u64::from(corridor) << 40))
    }

    /// Uniform in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        // 53 bits: every value is a double, exactly.
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Mean 0, variance 1, nearly normal: the sum of four uniform 16-bit numbers (Irwin-Hall). Avoids `ln` and `cos`,
    /// which differ between platforms in the last bit.
    pub(super) fn normal(&mut self) -> f64 {
        const SQRT_3: f64 = 1.732_050_807_568_877_2;
        let bits = self.0.next_u64();
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
        (sum as f64 / 65_536.0 + 4.0 / 131_072.0 - 2.0) * SQRT_3
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }
}
