//! A source that owns all its partitions -> one worker's share of them. Others are never started, so nothing of them is
//! delivered; each worker reads the files for itself.

use std::time::Duration;

use arterial_connectors::position::Partition;
use arterial_connectors::source::{GroupMetadata, SeekTo, Source, SourceError, SourceEvent};

/// Every `workers`th partition, beginning with number `worker`.
pub(super) struct Share {
    pub(super) source: Box<dyn Source>,
    pub(super) worker: u32,
    pub(super) workers: u32,
}

impl Share {
    fn owns(&self, partition: Partition) -> bool {
        partition.number.unsigned_abs() % self.workers.max(1) == self.worker
    }
}

impl Source for Share {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        Ok(match self.source.poll(timeout)? {
            Some(SourceEvent::Assigned(mut partitions)) => {
                partitions.retain(|partition| self.owns(*partition));
                Some(SourceEvent::Assigned(partitions))
            }
            event => event,
        })
    }

    fn start_of(&mut self, partition: Partition) -> Result<Option<i64>, SourceError> {
        self.source.start_of(partition)
    }

    fn seek(&mut self, partition: Partition, to: SeekTo) -> Result<(), SourceError> {
        self.source.seek(partition, to)
    }

    fn release(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.source.release(partitions)
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.source.pause(partitions)
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.source.resume(partitions)
    }

    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        self.source.lag_rows()
    }

    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError> {
        self.source.partition_counts()
    }

    fn group_metadata(&self) -> Option<GroupMetadata> {
        self.source.group_metadata()
    }

    fn connected(&self) -> Result<(), String> {
        self.source.connected()
    }
}
