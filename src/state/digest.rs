//! Canonical state -> 256 bits, so that equality of two runs is one comparison.

use std::fmt;

use super::Blocks;

/// A blake3 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Digest of one partition's full snapshot: steps, block numbers and bytes in order, lengths included.
#[must_use]
pub fn digest_of_blocks(blocks: &Blocks) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for (step, block, value) in blocks.iter() {
        hasher.update(&(step.len() as u64).to_le_bytes());
        hasher.update(step.as_bytes());
        hasher.update(&block.to_le_bytes());
        hasher.update(&(value.len() as u64).to_le_bytes());
        hasher.update(value);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// Digest of several partitions, in the order given.
#[must_use]
pub fn combine(digests: impl Iterator<Item = Digest>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for digest in digests {
        hasher.update(&digest.0);
    }
    Digest(*hasher.finalize().as_bytes())
}
