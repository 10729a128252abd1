//! Where a reader stands: partitions and offsets. Plain values, no I/O.

use serde::{Deserialize, Serialize};

/// One partition of one topic (or of what stands for a topic: a folder of files, a memory queue).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// Index of the topic in the source's `topics`, in the order the user wrote them.
    pub topic: u16,
    /// The partition's number within its topic.
    pub number: i32,
}

/// The offset that will be read next from a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The partition.
    pub partition: Partition,
    /// The next offset to read: everything below it has been disposed of.
    pub next_offset: i64,
}

/// The partition that a key belongs to in a topic of `partitions` partitions: Kafka's own murmur2 rule
/// (`toPositive(murmur2(key)) % partitions`), so that files, memory and Java producers agree.
#[must_use]
pub fn partition_of_key(key: &[u8], partitions: u32) -> i32 {
    let hash = murmur2::murmur2(key, murmur2::KAFKA_SEED) & 0x7fff_ffff;
    // A remainder of a 31-bit number by a count of partitions is itself below 2^31.
    i32::try_from(hash % partitions.max(1)).unwrap_or(0)
}
