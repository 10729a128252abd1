//! A row that could not be used -> headers that say why; its key, value and own headers stay as they were.

use crate::stages::rows::Rejected;

/// Where a dead letter came from.
#[derive(Debug, Clone)]
pub struct DeadLetterOrigin<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// Hash of the pipeline's settings.
    pub version: &'a str,
    /// Topic, or file of text, it was read from.
    pub topic: &'a str,
    /// Partition it was read from.
    pub partition: i32,
    /// Its offset there; in a file of text its line.
    pub offset: i64,
}

/// The original's headers, then those of Kafka Connect's convention, then Arterial's own.
#[must_use]
pub fn dead_letter_headers(
    original: &[(String, Option<Vec<u8>>)],
    origin: &DeadLetterOrigin<'_>,
    rejected: &Rejected,
) -> Vec<(String, Option<Vec<u8>>)> {
    let (partition, offset) = (origin.partition.to_string(), origin.offset.to_string());
    let (stage, reason, detail) = (rejected.stage.name(), rejected.reason.code(), rejected.detail.as_str());
    let added = [
        ("__connect.errors.topic", origin.topic),
        ("__connect.errors.partition", &partition),
        ("__connect.errors.offset", &offset),
        ("__connect.errors.stage", stage),
        ("__connect.errors.exception.class.name", reason),
        ("__connect.errors.exception.message", detail),
        ("arterial.dlq.topic", origin.topic),
        ("arterial.dlq.partition", &partition),
        ("arterial.dlq.offset", &offset),
        ("arterial.dlq.stage", stage),
        ("arterial.dlq.reason", reason),
        ("arterial.dlq.detail", detail),
        ("arterial.dlq.pipeline", origin.pipeline),
        ("arterial.dlq.version", origin.version),
    ];
    let added = added.into_iter().map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())));
    original.iter().cloned().chain(added).collect()
}
