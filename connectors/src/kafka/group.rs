//! Proof of membership in a consumer group, carried from the source to the ledger.

use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaResult;

use super::context::Context;

/// A member at one moment: its metadata for a transaction, and itself for a commit without one.
#[derive(Clone)]
pub(super) struct GroupMember {
    pub(super) metadata: Arc<ConsumerGroupMetadata>,
    consumer: Arc<BaseConsumer<Context>>,
}

impl GroupMember {
    pub(super) fn of(consumer: &Arc<BaseConsumer<Context>>) -> Option<Self> {
        let metadata = Arc::new(consumer.group_metadata()?);
        Some(Self { metadata, consumer: Arc::clone(consumer) })
    }

    /// Commits offsets outside any transaction.
    pub(super) fn commit(&self, offsets: &TopicPartitionList) -> KafkaResult<()> {
        self.consumer.commit(offsets, CommitMode::Async)
    }
}
