//! Sources that are another but for a few calls: `forwarded!` writes the calls that go to the source inside.

/// The calls of `Source` that are named, as those of a field: `forwarded!(inner: seek, pause);` inside of an `impl Source`.
macro_rules! forwarded {
    ($field:ident: $($call:ident),+ $(,)?) => { $(crate::source_support::forwarded!(@ $field $call);)+ };
    (@ $field:ident poll) => {
        fn poll(
            &mut self,
            timeout: std::time::Duration,
        ) -> Result<Option<arterial_connectors::source::SourceEvent>, arterial_connectors::source::SourceError> {
            self.$field.poll(timeout)
        }
    };
    (@ $field:ident start_of) => {
        fn start_of(
            &mut self,
            partition: arterial_connectors::position::Partition,
        ) -> Result<Option<i64>, arterial_connectors::source::SourceError> {
            self.$field.start_of(partition)
        }
    };
    (@ $field:ident seek) => {
        fn seek(
            &mut self,
            partition: arterial_connectors::position::Partition,
            to: arterial_connectors::source::SeekTo,
        ) -> Result<(), arterial_connectors::source::SourceError> {
            self.$field.seek(partition, to)
        }
    };
    (@ $field:ident lag_rows) => {
        fn lag_rows(&self) -> Vec<(arterial_connectors::position::Partition, u64)> {
            self.$field.lag_rows()
        }
    };
    (@ $field:ident partition_counts) => {
        fn partition_counts(&mut self) -> Result<Vec<u32>, arterial_connectors::source::SourceError> {
            self.$field.partition_counts()
        }
    };
    (@ $field:ident others_finished) => {
        fn others_finished(&mut self) -> Result<bool, arterial_connectors::source::SourceError> {
            self.$field.others_finished()
        }
    };
    (@ $field:ident group_metadata) => {
        fn group_metadata(&self) -> Option<arterial_connectors::source::GroupMetadata> {
            self.$field.group_metadata()
        }
    };
    (@ $field:ident connected) => {
        fn connected(&self) -> Result<(), String> {
            self.$field.connected()
        }
    };
    // The three that take partitions.
    (@ $field:ident $call:ident) => {
        fn $call(
            &mut self,
            partitions: &[arterial_connectors::position::Partition],
        ) -> Result<(), arterial_connectors::source::SourceError> {
            self.$field.$call(partitions)
        }
    };
}

pub(crate) use forwarded;
