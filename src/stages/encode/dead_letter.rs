//! A row that could not be used -> headers that say why; its key, value and own headers stay as they were. And back: the
//! headers of a dead letter -> what they say, and those that the row had before.

use crate::stages::rows::Rejected;

/// A header: name and bytes.
type Header = (String, Option<Vec<u8>>);

/// Names of the added headers, in their order: those of Kafka Connect's convention, then Arterial's own.
const ADDED: [&str; 14] = [
    "__connect.errors.topic",
    "__connect.errors.partition",
    "__connect.errors.offset",
    "__connect.errors.stage",
    "__connect.errors.exception.class.name",
    "__connect.errors.exception.message",
    "arterial.dlq.topic",
    "arterial.dlq.partition",
    "arterial.dlq.offset",
    "arterial.dlq.stage",
    "arterial.dlq.reason",
    "arterial.dlq.detail",
    "arterial.dlq.pipeline",
    "arterial.dlq.version",
];

/// How often a row was sent back from the dead letters. The row keeps it: should it die again, its dead letter has it too.
const REPLAYS: &str = "arterial.dlq.replays";

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
pub fn dead_letter_headers(original: &[Header], origin: &DeadLetterOrigin<'_>, rejected: &Rejected) -> Vec<Header> {
    let (partition, offset) = (origin.partition.to_string(), origin.offset.to_string());
    let (stage, reason, detail) = (rejected.stage.name(), rejected.reason.code(), rejected.detail.as_str());
    let place = [origin.topic, partition.as_str(), offset.as_str()];
    let values = place.into_iter().chain([stage, reason, detail]).chain(place);
    let values = values.chain([stage, reason, detail, origin.pipeline, origin.version]);
    let added = ADDED.iter().zip(values).map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())));
    original.iter().cloned().chain(added).collect()
}

/// What the headers of a dead letter say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// Topic, or file of text, that the row was read from.
    pub topic: &'a str,
    /// Partition it was read from.
    pub partition: i32,
    /// Its offset there; in a file of text its line.
    pub offset: i64,
    /// The stage that stopped it.
    pub stage: &'a str,
    /// Stable code of the reason.
    pub reason: &'a str,
    /// The value and the place.
    pub detail: &'a str,
    /// The pipeline that stopped it.
    pub pipeline: &'a str,
    /// Hash of that pipeline's settings.
    pub version: &'a str,
    /// How often the row has been sent back before.
    pub replays: u32,
    /// The headers that the row had.
    pub original: &'a [Header],
}

impl<'a> DeadLetter<'a> {
    /// Reads the headers of a record; `None` where they do not end with those of a dead letter of Arterial.
    #[must_use]
    pub fn read(headers: &'a [Header]) -> Option<Self> {
        let (original, added) = headers.split_at_checked(headers.len().checked_sub(ADDED.len())?)?;
        let mut values = [""; ADDED.len()];
        for ((value, name), (found, bytes)) in values.iter_mut().zip(ADDED).zip(added) {
            *value = std::str::from_utf8(bytes.as_deref().filter(|_| found == name)?).ok()?;
        }
        let [topic, partition, offset, .., stage, reason, detail, pipeline, version] = values;
        let replays =
            original.iter().rfind(|(name, _)| name == REPLAYS).and_then(|(_, value)| number(value.as_deref()?));
        Some(Self {
            topic,
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
            stage,
            reason,
            detail,
            pipeline,
            version,
            replays: replays.unwrap_or(0),
            original,
        })
    }

    /// The headers with which the row is sent back: its own, and how often that has been done.
    #[must_use]
    pub fn headers_to_replay(&self) -> Vec<Header> {
        let count = (REPLAYS.to_owned(), Some(self.replays.saturating_add(1).to_string().into_bytes()));
        self.original.iter().filter(|(name, _)| name != REPLAYS).cloned().chain([count]).collect()
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
